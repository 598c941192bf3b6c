# What others do while the dispatcher is at work with a message: they change it
# in the moment of its claim, a delivery report overtakes the answer, somebody
# decides on it, the database is dropped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $http = start_peer('http');
my $base = 'http://127.0.0.1:' . port_of($http);
my $node = new_server('race', 'restart_after_crash = on', 'max_prepared_transactions = 1');
install_o2c($node);
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES
	(1, 'ok', 'sms', '$base/ok', '{"backoff": 0.1}'),
	(1, 'slow', 'webhook', '$base/stall_reply', '{"timeout": 3, "backoff": 60}'),
	(1, 'queue', 'webhook', '$base/stall_reply/queue', '{"timeout": 12}'),
	(1, 'held', 'webhook', '$base/stall_reply', '{"timeout": 12}'),
	(1, 'hang', 'webhook', '$base/stall_reply', '{"timeout": 300}'),
	(1, 'busy', 'webhook', '$base/status/503', '{"backoff": 3600}'),
	(1, 'half', 'sms', '$base/stall_body', '{"timeout": 1, "response": {"ok": {"status": "ok"}}}')});
$node->safe_psql('o2c', "UPDATE o2c.channel SET max_concurrency = 1 WHERE code IN ('queue', 'held')");
my $until = sub {
	my ($key, $state, $what) = @_;
	eventually($node, "SELECT state = '$state' FROM o2c.message WHERE idempotency_key = '$key'", $what // "$key is $state");
};
my $hook = sub {
	my ($channel, @keys) = @_;
	$node->safe_psql('o2c', qq{INSERT INTO o2c.message (company_id, channel, body_text, idempotency_key)
		SELECT 1, '$channel', 'x', k FROM unnest('{@{[ join ',', @keys ]}}'::text[]) k});
};
my $check = sub { is($node->safe_psql('o2c', 'SELECT * FROM o2c.check()'), '', "check() is empty: $_[0]") };

my $crash = sub {
	kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher'");
	sleep 0.5;
	wait_for(sub { run_log([ 'pg_isready', '-q', '-d', $node->connstr('postgres') ]) }, 'the server answers again', 60);
};

# A claim locks message after message.  One that is changed after the claim has
# begun and before its turn stays in the queue and is sent.
$node->safe_psql('o2c', q{
	CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END$$;
	CREATE TRIGGER slowly BEFORE UPDATE ON o2c.message FOR EACH ROW WHEN (NEW.state = 'sending') EXECUTE FUNCTION slowly();
	INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key)
		SELECT 1, 'ok', '0170' || g, 'x', 'm' || g FROM generate_series(1, 10) g;});
eventually($node, "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher' AND wait_event = 'PgSleep'", 'a claim is under way');
is($node->safe_psql('o2c', q{
	UPDATE o2c.message SET last_error = 'touched' WHERE idempotency_key = 'm9' AND state = 'queued' RETURNING state;
	UPDATE o2c.message SET next_attempt_at = now() WHERE idempotency_key = 'm10' AND state = 'queued' RETURNING state}), "queued\nqueued",
	'two messages are changed while others are claimed');
$node->safe_psql('o2c', 'DROP TRIGGER slowly ON o2c.message');
is(states($node), 'sent 10', 'they are sent like the others');
is(scalar(requests($http)), 10, 'each once');
$check->('after changes in the moment of the claim');

# What is not due any more leaves no lease behind.
$node->safe_psql('o2c', q{CREATE OR REPLACE FUNCTION o2c._message_still_due(company_id integer, message_id bigint) RETURNS boolean
	LANGUAGE sql STABLE AS 'SELECT false';
	INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key, recheck)
		SELECT 1, 'ok', '0180' || g, 'x', 'stale' || g, g <= 3 FROM generate_series(1, 4) g});
is(states($node), 'cancelled 3, sent 11', 'three are cancelled before they are sent');
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key, recheck) VALUES (1, 'ok', '0181', 'x', 'stale5', true)});
is(states($node), 'cancelled 4, sent 11', 'and one by itself');
eventually($node, 'SELECT count(*) = 0 FROM o2c.message_claim', 'no claim stays');

# A report that comes before the answer was written down is not forgotten.
$hook->('slow', 'a', 'b', 'c');
$until->($_, 'sending') for 'a', 'b', 'c';
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, 'a', 'delivered', NULL, 'ra')"), 'sending', 'a delivery is reported while it is being sent');
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, 'b', 'bounced', 'nobody here', 'rb')"), 'sending', 'so is a bounce');
my ($rc, $out, $err) = $node->psql('o2c', "\\set VERBOSITY verbose\nSELECT o2c.resolve_message(1, id, 'sent') FROM o2c.message WHERE idempotency_key = 'c'");
like($err, qr/O2010: +message \d+ is being sent/, 'nobody decides on what is being sent');
$until->('a', 'delivered', 'the delivery counts in the end');
$until->('b', 'dead', 'and the bounce');
$until->('c', 'uncertain', 'without a report nobody knows');
$check->('after reports that came early');

# One that the peer had accepted is not sent again, whatever it answered.
$hook->('busy', 'd', 'e');
$until->($_, 'retry') for 'd', 'e';
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, 'd', 'delivered')"), 'delivered', 'a delivery of what waits for another attempt');
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, 'e', 'bounced')"), 'dead', 'a bounce of it');
is($node->safe_psql('o2c', "SELECT o2c.resolve_message(1, id, 'resend') FROM o2c.message WHERE idempotency_key = 'e'"), 'queued', 'a dead one is sent again');
$until->('e', 'retry', 'what was reported before does not count then');
$node->safe_psql('o2c', "SELECT o2c.cancel_message(1, id) FROM o2c.message WHERE idempotency_key = 'e'");
$check->('after reports on what waited');

# An acceptance that the reply's text should confirm, and the reply breaks off.
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key) VALUES (1, 'half', '0170', 'x', 'half')});
$until->('half', 'uncertain', 'half a reply is no refusal');

# Early reports survive the dispatcher.
$hook->('hang', 'f');
$until->('f', 'sending');
wait_for(sub { grep { $_->[0] eq 'f' } requests($http) }, 'the peer has it', 60);
is($node->safe_psql('o2c', "SELECT o2c.record_delivery(1, 'f', 'delivered', NULL, 'rf')"), 'sending', 'reported while it is being sent');
$crash->();
$until->('f', 'delivered', 'the next dispatcher takes the report in');
$check->('after a kill');

# One that somebody holds, for however long and however often the dispatcher
# dies meanwhile, holds up no other, and what is known of it is not forgotten.
$hook->('held', 'held1', 'held2', 'held3');
wait_for(sub { grep { $_->[0] eq 'held1' } requests($http) }, 'the first is under way', 60);
$until->('held3', 'sending');
$node->safe_psql('o2c', q{BEGIN; SELECT FROM o2c.message WHERE idempotency_key = 'held2' FOR UPDATE; PREPARE TRANSACTION 'somebody'});
for my $round (1, 2)
{
	$crash->();
	$until->($round == 1 ? 'held1' : 'held3', 'uncertain', "crash $round: what was handed over is uncertain");
	$node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key) VALUES (1, 'ok', '0170', 'x', 'while$round')");
	$until->("while$round", 'sent', 'others are sent');
	is($node->safe_psql('o2c', "SELECT state FROM o2c.message WHERE idempotency_key = 'held2'"), 'sending', 'while one is held');
	wait_for(sub { grep { $_->[0] eq 'held3' } requests($http) }, 'the third is under way', 60) if $round == 1;
}
$node->safe_psql('o2c', "UPDATE o2c.message_claim SET lease_until = now() - interval '1 minute'; COMMIT PREPARED 'somebody'");
ok(wait_for(sub { grep { $_->[0] eq 'held2' } requests($http) }, 'held2 is sent', 60), 'once let go it is sent: it never had been');
$until->('held2', 'uncertain', 'once');
is((grep { $_->[0] eq 'held2' } requests($http)), 1, 'only');
is(scalar(() = glob($node->data_dir . '/pgsql_tmp_order2cash_*')), 1, 'nothing is kept of what is known');
$check->('after a message was held');

# What waits its turn behind a slow one is given back when its channel is
# switched off or its company disarmed.
for my $stop (["UPDATE o2c.channel SET enabled = false WHERE code = 'queue'", "UPDATE o2c.channel SET enabled = true WHERE code = 'queue'"],
	['SELECT o2c.disarm_dispatch(1)', 'SELECT o2c.arm_dispatch(1)'])
{
	my $before = grep { $_->[1] eq '/stall_reply/queue' } requests($http);
	$node->safe_psql('o2c', q{SELECT o2c.arm_dispatch(1); SELECT o2c.arm_dispatch(o2c.create_company('Other', 'DE', 'EUR')); SELECT o2c.disarm_dispatch(0)})
	  if $stop->[0] =~ /disarm/;
	$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, body_text) SELECT 1, 'queue', 'x' FROM generate_series(1, 5)});
	wait_for(sub { (grep { $_->[1] eq '/stall_reply/queue' } requests($http)) > $before }, 'the first is under way', 60);
	is($node->safe_psql('o2c', "SELECT count(*) FROM o2c.message WHERE channel = 'queue' AND state = 'sending'"), '5', 'the others are claimed');
	$node->safe_psql('o2c', $stop->[0]);
	eventually($node, "SELECT count(*) = 4 FROM o2c.message WHERE channel = 'queue' AND state = 'queued'", "given back: $stop->[0]");
	eventually($node, "SELECT count(*) = 0 FROM o2c.message WHERE channel = 'queue' AND state = 'sending'", 'the first one ends');
	is((grep { $_->[1] eq '/stall_reply/queue' } requests($http)) - $before, 1, 'and not sent');
	$node->safe_psql('o2c', "SELECT o2c.cancel_message(1, id) FROM o2c.message WHERE channel = 'queue' AND state = 'queued'");
	$node->safe_psql('o2c', $stop->[1]);
}
$check->('after switching off');

# The database goes while messages are in the air.
$hook->('hang', 'g');
$until->('g', 'sending');
$node->safe_psql('postgres', 'DROP DATABASE o2c WITH (FORCE)');
pass('a served database can be dropped by force');
$node->stop('fast');
done_testing();
