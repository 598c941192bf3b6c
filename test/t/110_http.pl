# Messages over HTTP: requests built from data, what the reply says, signed
# webhooks, secrets, failover, delivery reports.
use strict;
use warnings;
use File::Spec;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $http = start_peer('http');
my $base = 'http://127.0.0.1:' . port_of($http);
my $secrets = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir()) . '/secrets';
my $write_secrets = sub {
	open my $f, '>', $secrets or die $!;
	print $f "# comment\nhook = whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n sms_token = t0ken-of-sms\n"
	  . "bound\@other.example = never\n1/mine = company-one\n2/theirs = company-two\n";
	close $f;
	chmod shift, $secrets;
};
$write_secrets->(0644);
my $node = new_server('http', "order2cash.secrets_file = '$secrets'");
install_o2c($node);

my $channel = sub {
	my ($code, $kind, $path, $settings, $more) = @_;
	$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts)
		VALUES (1, '$code', '$kind', '$base$path', '$settings', 2)});
};
my $last_error = sub { $node->safe_psql('o2c', "SELECT last_error FROM o2c.message WHERE dedupe_key = '$_[0]'") };
my $field = sub { $node->safe_psql('o2c', "SELECT $_[1] FROM o2c.message WHERE dedupe_key = '$_[0]'") };
my $send = sub {
	my ($code, $recipient, $context, $key) = @_;
	$context =~ s/'/''/g;
	$node->safe_psql('o2c', "SELECT o2c.send_message(1, '$code', $recipient, NULL, '$context', '$key')");
};

# default bodies
$channel->('sms', 'sms', '/ok', '{"response": {"provider_id": "id"}}');
$channel->('letter', 'post', '/header_id', '{"response": {"provider_id": "header:x-message-id"}}');
$channel->('hook', 'webhook', '/ok', '{"signing_secret": "hook"}');
# a gateway of its own kind
$channel->('gate', 'sms', '/nested/{{sender}}', '{"method": "PUT", "headers": {"X-Token": "{{secret:sms_token}}", "X-Mine": "{{secret:mine}}", "X-Name": "{{name}}"},
	"body": {"to": ["{{recipient}}"], "text": "Hi {{name}}: {{text}}", "n": "{{count}}", "obj": "{{o}}", "fixed": 1, "none": null, "id": "{{id}}"},
	"response": {"provider_id": "messages.0.id", "ok": {"status": ["ok", "queued"]}}}');
$channel->('form', 'sms', '/ok', '{"form": {"to": "{{recipient}}", "msg": "{{text}}", "a&b": "c=d"}}');

$send->('sms', "'+49 170 1234567'", '{"body_text": "Grüße \"x\" \\\\ "}', 'sms');
$send->('letter', "E'Kunde\\nWeg 1\\n12345 Ort'", '{"subject": "S", "body_text": "T", "body_html": "<p>T</p>"}', 'letter');
$send->('form', "'0170 1234567'", '{"body_text": "a&b=ü"}', 'form');
$send->('gate', "'0170 1234567'", '{"body_text": "q\"q", "name": "Ann\nX-Evil: 1", "count": 3, "o": {"k": [1, "zwei"]}, "sender": "a/b c"}', 'gate');
$node->safe_psql('o2c', qq{SELECT o2c.send_message(1, 'letter', 'x', NULL, '{"body_text": "T"}', 'file',
	attachments => '[{"name": "a.txt", "content_type": "text/plain", "content": "Grüße"}]')});
is(states($node), 'dead 1, sent 4', 'four sent, one without its secrets');
like($last_error->('gate'), qr/secret "\w+" is not known/, 'a secrets file that others may read is not used');
like(slurp_file($node->logfile), qr/secrets_file .* is not used/, 'and the log says so');
unlike(slurp_file($node->logfile), qr/t0ken/, 'without a value');

my %req = map { $_->[0] => $_ } requests($http);
my $of = sub { $req{ $field->($_[0], 'idempotency_key') } };
is($of->('sms')->[4], '{"id":"' . $field->('sms', 'idempotency_key') . '","to":"+49 170 1234567","text":"Grüße \"x\" \\\\ "}', 'the default body of a text message');
is($field->('sms', 'provider_id'), 'p-' . $field->('sms', 'idempotency_key'), 'provider id out of the reply');
is($field->('letter', 'provider_id'), 'h-' . $field->('letter', 'idempotency_key'), 'provider id out of a header');
like($of->('letter')->[4], qr/"to":"Kunde\\nWeg 1\\n12345 Ort","subject":"S","text":"T","html":"<p>T<\/p>","attachments":\[\]/, 'a letter');
like($of->('file')->[4], qr/"attachments":\[\{"name":"a.txt","content_type":"text\/plain","content":"R3LDvMOfZQ=="\}\]/, 'a file with it');
is($of->('form')->[4], 'to=0170%201234567&a%26b=c%3Dd&msg=a%26b%3D%C3%BC', 'a form');
like($of->('form')->[3], qr/Content-Type: application\/x-www-form-urlencoded/, 'and its type');

# secrets: with the right mode, after a reload
$write_secrets->(0600);
$node->reload;
$node->safe_psql('o2c', "SELECT o2c.resolve_message(1, id, 'resend') FROM o2c.message WHERE dedupe_key = 'gate'");
ok($node->poll_query_until('o2c', "SELECT state = 'sent' FROM o2c.message WHERE dedupe_key = 'gate'"), 'sent once the secrets are known')
  or diag $last_error->('gate');
%req = map { $_->[0] => $_ } requests($http);
my $r = $of->('gate');
is($r->[1], '/nested/a%2Fb%20c', 'a variable in the path is escaped');
like($r->[3], qr/^PUT /, 'the method');
like($r->[3], qr/\\nX-Token: t0ken-of-sms\\n/, 'a header with a secret');
like($r->[3], qr/\\nX-Mine: company-one\\n/, 'a secret of the company');
like($r->[3], qr/\\nX-Name: Ann X-Evil: 1\\n/, 'no header is injected');
my $gate_id = $field->('gate', 'id');
like($r->[4], qr/"to":\["0170 1234567"\]/, 'an array in the body');
like($r->[4], qr/"text":"Hi Ann\\nX-Evil: 1: q\\"q"/, 'strings are escaped for JSON');
like($r->[4], qr/"n":3/, 'a variable alone keeps its type');
like($r->[4], qr/"obj":\{"k": \[1, "zwei"\]\}/, 'even an object');
like($r->[4], qr/"id":$gate_id\b/, 'the id');
is($field->('gate', 'provider_id'), 'n-' . $field->('gate', 'idempotency_key'), 'provider id from inside of the reply');

# secrets of others stay theirs
$channel->('steal1', 'sms', '/ok', '{"bearer_secret": "theirs"}');
$channel->('steal2', 'sms', '/ok', '{"bearer_secret": "bound"}');
$send->('steal1', "'0170 1234567'", '{"body_text": "x"}', 'steal1');
$send->('steal2', "'0170 1234567'", '{"body_text": "x"}', 'steal2');
states($node);
like($last_error->('steal1'), qr/"theirs" is not known/, 'a secret of another company');
like($last_error->('steal2'), qr/"bound" is not known/, 'a secret of another host');

# webhooks
$send->('hook', 'NULL', '{"amount": 5}', 'hook');
states($node);
%req = map { $_->[0] => $_ } requests($http);
$r = $of->('hook');
my ($id) = $r->[3] =~ /webhook-id: (\S+?)\\n/;
my ($stamp) = $r->[3] =~ /webhook-timestamp: (\d+)/;
my ($signature) = $r->[3] =~ /webhook-signature: (\S+?)\\n/;
is($id, $field->('hook', 'idempotency_key'), 'webhook-id');
like($r->[4], qr/^\{"type":.*"data":\{"amount": 5\}\}$/, 'the context is the data');
is($node->safe_psql('o2c', "SELECT o2c.verify_webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '$id', $stamp, 'v1,wrong $signature', convert_to(\$b\$$r->[4]\$b\$, 'UTF8'))"), 't', 'the signature is right');
is($node->safe_psql('o2c', "SELECT o2c.verify_webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '$id', $stamp, '$signature', convert_to(\$b\$$r->[4] \$b\$, 'UTF8'))"), 'f', 'a changed body is not');

# replies
$channel->('refused', 'sms', '/refused_json', '{"response": {"ok": {"status": "0"}, "error": "error.text"}}');
$channel->('html', 'sms', '/not_json', '{"response": {"provider_id": "id"}}');
$channel->('s400', 'sms', '/status/400', '{}');
$send->($_, "'0170 1234567'", '{"body_text": "x"}', $_) for qw(refused html s400);
states($node);
is($field->('refused', 'state'), 'dead', 'a reply of success that says no');
is($last_error->('refused'), 'peer refused it: no credit', 'with the reason of the peer');
is($field->('html', "state || ' ' || (provider_id IS NULL)"), 'sent true', 'a reply that is not JSON has no id');
is($field->('s400', 'state'), 'dead', '400 is final');

# a bounce goes over to the next channel, a report counts once
$node->safe_psql('o2c', q{INSERT INTO o2c.customer (company_id, code, name, street, postal_code, city, phone)
	VALUES (1, 'C1', 'Kunde GmbH', 'Weg 1', '12345', 'Ort', '0170 1234567')});
$node->safe_psql('o2c', q{UPDATE o2c.channel SET failover_channel = 'letter' WHERE code IN ('sms', 's400')});
$node->safe_psql('o2c', q{SELECT o2c.send_message(1, 'sms', '0170 1234567', NULL, '{"body_text": "x"}', 'bounce', customer_code => 'C1')});
states($node);
my $provider = $field->('bounce', 'provider_id');
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, '$provider', 'delivered', report_key => 'r1')"), 'delivered', 'a delivery report');
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, '$provider', 'bounced', 'number unknown', 'r2')"), 'dead', 'a bounce');
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, '$provider', 'bounced', 'number unknown', 'r2')"), 'dead', 'the same report again');
$node->safe_psql('o2c', q{SELECT o2c.send_message(1, 's400', '0170 1234567', NULL, '{"body_text": "y"}', 'failing', customer_code => 'C1')});
states($node);
is($node->safe_psql('o2c', "SELECT string_agg(replace(recipient, E'\\n', '|') || ' ' || state, ', ') FROM o2c.message WHERE failover_of IS NOT NULL"),
	'Kunde GmbH|Weg 1|12345 Ort sent, Kunde GmbH|Weg 1|12345 Ort sent', 'each goes by letter once');

# one-time codes are erased once sent
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text, context, erase, dedupe_key)
	VALUES (1, 'sms', '0170 1234567', 'code 123456', '{"code": "123456"}', true, 'otp')});
states($node);
is($field->('otp', 'body_text IS NULL AND context IS NULL'), 't', 'the text of a sent code is erased');

# rate and quiet hours
$channel->('slow', 'sms', '/ok', '{}');
$node->safe_psql('o2c', "UPDATE o2c.channel SET rate_per_second = 10 WHERE code = 'slow'");
$node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text) SELECT 1, 'slow', '0170 1234567', 'n' || g FROM generate_series(1, 31) g");
states($node);
cmp_ok($node->safe_psql('o2c', "SELECT extract(epoch FROM max(sent_at) - min(sent_at)) FROM o2c.message WHERE channel = 'slow'"), '>', 2.5, 'thirty messages at ten a second take three seconds');
$channel->('night', 'sms', '/ok', '{}');
$node->safe_psql('o2c', "UPDATE o2c.channel SET quiet_from = (now() AT TIME ZONE 'UTC' - interval '1 hour')::time, quiet_to = (now() AT TIME ZONE 'UTC' + interval '1 hour')::time WHERE code = 'night'");
$node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text, priority, time_zone, dedupe_key) VALUES (1, 'night', '0170', 'n', 5, 'UTC', 'quiet'), (1, 'night', '0170', 'n', 1, 'UTC', 'urgent'), (1, 'night', '0170', 'n', 5, 'Etc/GMT-6', 'awake')");
ok($node->poll_query_until('o2c', "SELECT count(*) = 2 FROM o2c.message WHERE dedupe_key IN ('urgent', 'awake') AND state = 'sent'"), 'what is urgent goes, and what goes to where it is day');
is($field->('quiet', "state || ' ' || (next_attempt_at > now() + interval '30 minutes')"), 'queued true', 'the rest waits until the quiet hours end');

# a reminder is checked again before it is sent
$node->safe_psql('o2c', q{CREATE OR REPLACE FUNCTION o2c._message_still_due(company_id integer, message_id bigint)
	RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false'});
$node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text, recheck, dedupe_key) VALUES (1, 'form', '0170', 'n', true, 'stale'), (1, 'form', '0170', 'n', false, 'fresh')");
ok($node->poll_query_until('o2c', "SELECT state = 'sent' FROM o2c.message WHERE dedupe_key = 'fresh'"), 'what needs no check goes');
is($field->('stale', "state || ' ' || last_error"), 'cancelled not due any more', 'what is not due any more is cancelled');

is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
unlike(slurp_file($node->logfile), qr/t0ken|PANIC|terminated by signal/, 'no crash, no secret in the log');
is($node->safe_psql('o2c', "SELECT count(*) FROM o2c.message m WHERE to_jsonb(m)::text ~ 't0ken|company-one'"), '0', 'nor in a row');
$node->stop('fast');
done_testing();
