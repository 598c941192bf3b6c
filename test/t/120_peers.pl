# Peers that misbehave in every phase, by mail and by HTTP, all at once: others
# are not held up, every message ends in the state that the evidence gives,
# and no key is ever accepted twice.
use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $http = start_peer('http');
my $good = start_peer('smtp');
my $node = new_server('peers');
install_o2c($node);

# The phase or answer, what must become of the message, and what it says.
my %mail = (
	stall_greeting => ['dead', 'gave up after 2'], stall_ehlo => ['dead', 'gave up after 2'],
	stall_mail => ['dead', 'gave up after 2'], stall_data => ['uncertain', 'timed out'],
	stall_dot => ['uncertain', 'timed out|Timeout'],
	reset_data => ['(uncertain|dead)(,uncertain)?', ''], reset_dot => ['uncertain', ''],
	rcpt_550 => ['dead', '^550 5.1.1 no such mailbox'], rcpt_451 => ['dead', 'gave up after 2 attempts: 451'],
	dot_554 => ['dead', '^554 5.7.1 refused as spam'], dot_451 => ['dead', 'gave up after 2 attempts: 451'],
	refuse => ['dead', 'gave up'], garbage => ['dead', 'gave up'], trickle => ['sent', '^$']);
my %http = (
	'status/400' => ['dead', '^HTTP status 400'], 'status/404' => ['dead', 'HTTP status 404'],
	'status/500' => ['dead', 'gave up after 2 attempts: HTTP status 500'],
	'status/301' => ['dead', 'HTTP status 301'], 'redirect' => ['dead', 'HTTP status 302'],
	'flaky/1' => ['sent', '^$'], 'retry_after' => ['sent', '^$'],
	'garbage' => ['uncertain', ''], 'endless' => ['sent', '^$'], 'endless_header' => ['sent|uncertain', ''],
	'trickle' => ['sent', '^$'], 'stall_request' => ['uncertain', ''], 'stall_reply' => ['uncertain', ''],
	'stall_body' => ['sent', '^$'], 'reset_request' => ['uncertain', ''], 'reset_reply' => ['uncertain', '']);

my $short = '"timeout": 3, "connect_timeout": 2, "backoff": 0.2';
my $insert = sub {
	my ($code, $kind, $url, $settings) = @_;
	$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts)
		VALUES (1, '$code', '$kind', '$url', '{$settings}', 2)});
};
my %dir;
for my $mode (sort keys %mail)
{
	$dir{$mode} = start_peer('smtp');
	set_mode($dir{$mode}, $mode);
	$insert->("mail.$mode", 'email', 'smtp://127.0.0.1:' . port_of($dir{$mode}), $short);
}
(my %path) = map { my $code = $_; $code =~ s/\W/./g; ($_ => "http.$code") } keys %http;
$insert->($path{$_}, 'sms', 'http://127.0.0.1:' . port_of($http) . "/$_", $short) for sort keys %http;
# slow is not dead
$node->safe_psql('o2c', q{UPDATE o2c.channel SET settings = settings || '{"timeout": 60, "connect_timeout": 60}' WHERE code ~ 'trickle'});
# nobody listens, nobody accepts, no such name, a name that takes for ever
$insert->('mail.closed', 'email', 'smtp://127.0.0.1:' . unused_port(), $short);
$insert->('http.closed', 'sms', 'http://127.0.0.1:' . unused_port() . '/', $short);
my $backlog = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die;
$insert->('mail.mute', 'email', 'smtp://127.0.0.1:' . $backlog->sockport, $short);
$insert->('http.mute', 'sms', 'http://127.0.0.1:' . $backlog->sockport . '/', $short);
$insert->('http.dns', 'sms', 'http://no-such-host.invalid/', $short);
$insert->('http.notls', 'sms', 'https://127.0.0.1:' . port_of($http) . '/', $short);
$insert->('mail.notls', 'email', 'smtp://127.0.0.1:' . port_of($good), "$short, \"tls\": \"require\"");
$insert->('good', 'email', 'smtp://127.0.0.1:' . port_of($good), '"backoff": 0.2');

# three messages for each bad channel, and a stream of good ones among them
$node->safe_psql('o2c', q{
	INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
	SELECT 1, c.code, CASE c.kind WHEN 'sms' THEN '0170' ELSE 'a@example.com' END, 's', 'to ' || c.code || ' ' || n
	FROM o2c.channel c, generate_series(1, 3) n WHERE c.code <> 'good';
	INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
	SELECT 1, 'good', 'good' || n || '@example.com', 'good', 'good ' || n FROM generate_series(1, 300) n});
ok($node->poll_query_until('o2c', "SELECT count(*) = 300 FROM o2c.message WHERE channel = 'good' AND state = 'sent'"),
	'the good messages arrive');
my $all = states($node);
is($node->safe_psql('o2c', "SELECT (SELECT max(g.sent_at) FROM o2c.message g WHERE g.channel = 'good') < max(e.at) FROM o2c.message m
	JOIN o2c.event e ON e.company_id = 1 AND e.entity = 'message' AND e.entity_id = m.id AND e.event IN ('lose', 'fail')"), 't', 'and do not wait for the bad peers');
note $all;

my $outcome = sub {
	my ($code) = @_;
	return split /\|/, $node->safe_psql('o2c', "SELECT string_agg(DISTINCT state::text, ','), coalesce(min(last_error), '') FROM o2c.message WHERE channel = '$code'");
};
my $judge = sub {
	my ($code, $want, $error) = @_;
	my $states = $node->safe_psql('o2c', "SELECT string_agg(DISTINCT state::text, ',') FROM o2c.message WHERE channel = '$code'");
	my $errors = $node->safe_psql('o2c', "SELECT coalesce(min(last_error), '') FROM o2c.message WHERE channel = '$code'");
	like($states, qr/^(?:$want)$/, "$code: $want") or diag $errors;
	like($errors, qr/$error/i, "$code: $errors");
};
$judge->("mail.$_", @{ $mail{$_} }) for sort keys %mail;
$judge->($path{$_}, @{ $http{$_} }) for sort keys %http;
$judge->('mail.closed', 'dead', 'gave up after 2');
$judge->('http.closed', 'dead', 'gave up after 2');
$judge->('mail.mute', 'dead', 'gave up after 2');
$judge->('http.mute', 'uncertain|dead,uncertain|dead', '');
$judge->('http.dns', 'dead', 'resolve|timed out');
$judge->('http.notls', 'dead', 'SSL|TLS|timed out');
$judge->('mail.notls', 'dead', 'SSL|TLS|STARTTLS');

# at most one acceptance of a key
my %accepted;
for my $r (requests($http))
{
	$accepted{ $r->[0] }++ if $r->[2] =~ /^(2..|accepted|garbage|stalled)$/;
}
is((grep { $_ > 1 } values %accepted), 0, 'no key was accepted twice over HTTP');
is((grep { $_->[1] =~ /stolen/ } requests($http)), 0, 'no redirect was followed');
for my $dir ($good, values %dir)
{
	my %ids;
	$ids{$_}++ for map { /^Message-ID:\s+(\S+)/mi } mails($dir);
	is((grep { $_ > 1 } values %ids), 0, 'no mail was accepted twice');
}
is(scalar(mails($dir{reset_dot})), 3, 'what was accepted without a reply is uncertain');

# a provider that knows keys again is asked again within its window
my $again = start_peer('smtp');
$insert->('http.window', 'sms', 'http://127.0.0.1:' . port_of($http) . '/reset_reply', "$short, \"idempotency_window\": 3600");
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'http.window', '0170', 'x')});
states($node);
is($node->safe_psql('o2c', "SELECT state || ' ' || attempts FROM o2c.message WHERE channel = 'http.window'"), 'dead 2', 'tried again within the window, then given up');

# what was uncertain is decided by a person, or by a report
my $id = $node->safe_psql('o2c', "SELECT min(id) FROM o2c.message WHERE channel = 'mail.reset_dot' AND state = 'uncertain'");
is($node->safe_psql('o2c', "SELECT o2c.resolve_message(1, $id, 'sent', 'seen in the inbox')"), 'sent', 'resolved as sent');
my $key = $node->safe_psql('o2c', "SELECT min(idempotency_key) FROM o2c.message WHERE channel = 'mail.reset_dot' AND state = 'uncertain'");
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, '$key', 'delivered')"), 'delivered', 'resolved by a delivery report');

# bounded memory, and nobody died
cmp_ok($node->safe_psql('o2c', "SELECT count(*) FROM o2c.event WHERE entity = 'message' AND event IN ('lose', 'fail')"), '>', 30, 'failures are in the event log');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
my $pid = $node->safe_psql('o2c', 'SELECT pid FROM o2c.dispatch_status()');
my ($rss) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
cmp_ok($rss, '<', 100_000, 'the dispatcher is small') if defined $rss;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');

# stopping while peers stall
set_mode($good, 'stall_dot');
$node->safe_psql('o2c', q{UPDATE o2c.channel SET settings = settings || '{"timeout": 60}' WHERE code IN ('good', 'http.stall_reply')});
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
	SELECT 1, c, r, 's', 'x' FROM (VALUES ('good', 'a@example.com'), ('http.stall_reply', '0170')) v(c, r), generate_series(1, 5)});
$node->poll_query_until('o2c', "SELECT in_flight >= 6 FROM o2c.dispatch_status()");
$node->safe_psql('postgres', 'CREATE DATABASE other');
my $start = time;
$node->safe_psql('postgres', 'DROP DATABASE other');
cmp_ok(time - $start, '<', 2, sprintf 'DROP DATABASE does not wait for a stalling peer: %.2f s', time - $start);
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 2, sprintf 'nor does a fast shutdown: %.2f s', time - $start);
$node->start;
$node->poll_query_until('o2c', "SELECT count(*) = 0 FROM o2c.message WHERE state = 'sending'");
cmp_ok($node->safe_psql('o2c', "SELECT count(*) FROM o2c.message WHERE state = 'uncertain' AND last_error ~ 'stopped before'"), '>=', 6,
	'what was in the air is uncertain');
$node->stop('immediate');
done_testing();
