# The dispatcher leaves when it is told to, whatever the database waits for, and
# stays when only a statement is cancelled.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

$ENV{PGCTLTIMEOUT} = 40;
my $http = start_peer('http');
my $base = 'http://127.0.0.1:' . port_of($http);
my $node = new_server('leave', 'wal_level = replica', 'max_wal_senders = 2');
install_o2c($node);
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES
	(1, 'ok', 'sms', '$base/ok', '{}'), (1, 'hang', 'webhook', '$base/stall_reply', '{"timeout": 300}')});
my $send = sub { $node->safe_psql('o2c', "SET synchronous_commit = local; INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key) VALUES (1, '$_[0]', '0170', 'x', '$_[1]')") };
my $state = sub { $node->safe_psql('o2c', "SELECT state FROM o2c.message WHERE idempotency_key = '$_[0]'") };
my $dispatcher = "pg_stat_activity WHERE backend_type = 'order2cash dispatcher'";
my $stop = sub {
	my ($what) = @_;
	my $start = time;
	ok($node->stop('fast', fail_ok => 1), "a fast shutdown while $what");
	cmp_ok(time - $start, '<', 15, sprintf 'takes %.1f s', time - $start);
	$node->start;
};

# pg_cancel_backend
$send->('hang', 'hang');
wait_for(sub { grep { $_->[0] eq 'hang' } requests($http) }, 'the peer has it', 60);
my $pid = $node->safe_psql('postgres', "SELECT pid FROM $dispatcher");
is($node->safe_psql('postgres', "SELECT bool_and(pg_cancel_backend($pid)) FROM generate_series(1, 3)"), 't', 'the dispatcher is cancelled while it waits for a peer');
$send->('ok', 'beside');
eventually($node, "SELECT state = 'sent' FROM o2c.message WHERE idempotency_key = 'beside'", 'it goes on sending');
is($node->safe_psql('postgres', "SELECT pid FROM $dispatcher"), $pid, 'the same one');
is($state->('hang'), 'sending', 'with what is in the air');

# a statement that takes long
$node->safe_psql('o2c', q{
	CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(300); RETURN NEW; END$$;
	CREATE TRIGGER slowly BEFORE UPDATE ON o2c.message FOR EACH ROW WHEN (NEW.state = 'sending') EXECUTE FUNCTION slowly()});
my $sleeps = "SELECT count(*) = 1 FROM $dispatcher AND wait_event = 'PgSleep'";
$send->('ok', 'slow');
eventually($node, $sleeps, 'a claim takes long');
is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', 'that statement can be cancelled');
eventually($node, "SELECT count(*) = 1 FROM $dispatcher AND wait_event <> 'PgSleep'", 'and it is');
eventually($node, $sleeps, 'then it is tried again, by the same dispatcher');
is($node->safe_psql('postgres', "SELECT pid FROM $dispatcher"), $pid, 'which is still there');
$stop->('a statement takes long');
is($state->('hang'), 'uncertain', 'what was in the air has been written down');
is($state->('slow'), 'queued', 'what was not claimed waits');
$node->safe_psql('o2c', q{CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$});
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM $dispatcher");
eventually($node, "SELECT state = 'sent' FROM o2c.message WHERE idempotency_key = 'slow'", 'and is sent');

# a standby that does not answer
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$node->reload;
$send->('ok', 'alone');
eventually($node, "SELECT count(*) = 1 FROM $dispatcher AND wait_event = 'SyncRep'", 'the dispatcher waits for a standby');
$stop->('a standby is waited for');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
eventually($node, "SELECT state = 'sent' FROM o2c.message WHERE idempotency_key = 'alone'", 'the message is sent');
is((grep { $_->[0] eq 'alone' } requests($http)), 1, 'once');
is($node->safe_psql('o2c', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop('fast');
done_testing();
