# Peers that talk without end, answer before they are asked, say what no
# database can hold or ask for absurd times: others are not held up, nothing is
# lost, every message ends.  Channels and subscriptions that point at each other
# come to an end too.
use strict;
use warnings;
use File::Spec;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $secrets = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir()) . '/secrets';
open my $f, '>', $secrets or die $!;
print $f "token = t0ken-of-ours\n";
close $f;
chmod 0600, $secrets;
my $http = start_peer('http');
my $base = 'http://127.0.0.1:' . port_of($http);
my $node = new_server('hostile', "order2cash.secrets_file = '$secrets'");
install_o2c($node);
my $check = sub { is($node->safe_psql('o2c', 'SELECT * FROM o2c.check()'), '', "check() is empty: $_[0]") };
my $short = '"timeout": 3, "connect_timeout": 2, "backoff": 0.1';

# Mail: what each mode must end as, and say.
my %mail = (
	early_250 => ['dead', 'gave up after 2 attempts: the peer answered before it was asked'],
	endless_greeting => ['dead', 'gave up after 2'], endless_ehlo => ['dead', 'gave up after 2'],
	endless_mail => ['dead', 'gave up after 2 attempts: the peer talks without end'],
	rcpt_long => ['dead', 'talks without end'],
	'421_mail' => ['dead', 'gave up after 2 attempts: 421 4.3.2'], '421_dot' => ['dead', 'gave up after 2 attempts: 421 4.3.2']);
my $good = start_peer('smtp');
my %dir = (good => $good);
for my $mode (sort keys %mail)
{
	$dir{$mode} = start_peer('smtp');
	set_mode($dir{$mode}, $mode);
}
$node->safe_psql('o2c', join ';', map { "INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts)
	VALUES (1, '$_', 'email', 'smtp://127.0.0.1:" . port_of($dir{$_}) . "', '{$short}', 2)" } sort keys %dir);
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
	SELECT 1, c.code, 'a@example.com', 's', repeat('a long line of text ', 20000) FROM o2c.channel c WHERE c.code <> 'good'});
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text) SELECT 1, 'good', 'a@example.com', 's', 'x' FROM generate_series(1, 20)});
eventually($node, "SELECT count(*) = 20 FROM o2c.message WHERE channel = 'good' AND state = 'sent'", 'good mails are sent beside them');
states($node);
for my $mode (sort keys %mail)
{
	is($node->safe_psql('o2c', "SELECT state FROM o2c.message WHERE channel = '$mode'"), $mail{$mode}[0], "$mode: $mail{$mode}[0]");
	like($node->safe_psql('o2c', "SELECT last_error FROM o2c.message WHERE channel = '$mode'"), qr/$mail{$mode}[1]/, 'and says why');
}
$check->('after mails');

# HTTP: what a peer says is stored as what the database can hold, and never with a secret.
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES
	(1, 'bytes', 'sms', '$base/bytes', '{$short, "headers": {"X-Token": "{{secret:token}}"}, "response": {"ok": {"status": "yes"}, "error": "why"}}')});
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'bytes', '0170', 'x')});
states($node);
is($node->safe_psql('o2c', "SELECT state || ': ' || last_error FROM o2c.message WHERE channel = 'bytes'"), 'dead: peer refused it: ??? not *************', 'a reason that is no text');
is($node->safe_psql('o2c', "SELECT count(*) FROM o2c.event WHERE reason ~ 't0ken'"), '0', 'without the secret that it was sent');

# Retry-After: seconds, dates, nonsense; a day is the most.
my %wait = ('120' => [119, 121], '99999999999999' => [86399, 86401], '4294967297' => [86399, 86401], '-5' => [0, 2], 'soon' => [0, 2],
	'Fri,_31_Dec_2199_23:59:59_GMT' => [86399, 86401], 'Fri,_31_Dec_1999_23:59:59_GMT' => [0, 2], '' => [0, 2]);
my $n = 0;
for my $value (sort keys %wait)
{
	$n++;
	$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (1, 'wait$n', 'sms', '$base/wait/$value', '{$short}');
		UPDATE o2c.channel SET max_attempts = 1000 WHERE code = 'wait$n';
		INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key) VALUES (1, 'wait$n', '0170', 'x', 'wait$n')});
	eventually($node, "SELECT attempts > 0 AND state = 'retry' FROM o2c.message WHERE idempotency_key = 'wait$n'", "Retry-After: $value");
	my $seconds = $node->safe_psql('o2c', "SELECT extract(epoch FROM next_attempt_at - first_attempt_at) FROM o2c.message WHERE idempotency_key = 'wait$n'");
	$node->safe_psql('o2c', "UPDATE o2c.channel SET enabled = false WHERE code = 'wait$n'");
	# one that was taken up meanwhile can be cancelled when that attempt is over
	eventually($node, "SELECT o2c.cancel_message(1, id) = 'cancelled' FROM o2c.message WHERE idempotency_key = 'wait$n'", 'it is called off');
	ok(($wait{$value}[1] <= 2 || $seconds >= $wait{$value}[0]) && $seconds < $wait{$value}[1] + 10, "waits $seconds seconds");
}
states($node);
$check->('after waiting');

# Channels that take over from each other, and somebody who is told of what fails by a channel that fails.
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.channel (company_id, code, kind, url) SELECT 1, c, 'webhook', '$base/status/400' FROM unnest('{ping,pong,pang}'::text[]) c;
	UPDATE o2c.channel SET failover_channel = 'pong' WHERE code = 'ping';
	UPDATE o2c.channel SET failover_channel = 'pang' WHERE code = 'pong';
	UPDATE o2c.channel SET failover_channel = 'ping' WHERE code = 'pang';
	INSERT INTO o2c.customer (company_id, code, name) VALUES (1, 'A', 'Alpha');
	INSERT INTO o2c.message (company_id, channel, recipient, body_text, customer_id) SELECT 1, 'ping', 'x', 'x', id FROM o2c.customer});
states($node);
sleep 1;
is($node->safe_psql('o2c', "SELECT string_agg(channel, ' ' ORDER BY id) FROM o2c.message WHERE channel IN ('ping', 'pong', 'pang')"), 'ping pong pang', 'each channel has its turn once');
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'tell', 'webhook', '$base/status/400'), (1, 'fails', 'webhook', '$base/status/400');
	INSERT INTO o2c.event_subscription (company_id, entity, event, channel) VALUES (1, 'message', 'fail', 'tell');
	INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'fails', 'x', 'x')});
sleep 3;
is($node->safe_psql('o2c', "SELECT count(*) FROM o2c.message WHERE channel = 'tell'"), '1', 'a failure is told of once, also where that fails');
$check->('at the end');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');
$node->stop('fast');
done_testing();
