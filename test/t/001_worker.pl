# The dispatcher end to end: it sends only when armed, an ordinary mail arrives
# whole, a restart of the server loses nothing and repeats nothing.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $smtp = start_peer('smtp');
my $node = new_server('worker');
install_o2c($node, unarmed => 1);
my $url = 'smtp://127.0.0.1:' . port_of($smtp);
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings)
	VALUES (1, 'mail', 'email', '$url', '{"from": "Billing <billing\@example.com>", "backoff": 0.2}')});

my $send = sub {
	my ($n, $key) = @_;
	return $node->safe_psql('o2c', qq{SELECT o2c.send_message(1, 'mail', 'customer$n\@example.com', NULL,
		'{"subject": "Reminder $n", "body_text": "Please pay $n."}', '$key')});
};

my $id = $send->(1, 'one');
is($send->(1, 'one'), $id, 'the same dedupe key is the same message');
sleep 2;
is(scalar(mails($smtp)), 0, 'nothing is sent before the database is armed');
is($node->safe_psql('o2c', 'SELECT state FROM o2c.dispatch_status()'), 'not armed', 'and the status says so');

$node->safe_psql('o2c', 'SELECT o2c.arm_dispatch()');
is(states($node), 'sent 1', 'once armed it is sent');
my ($mail) = mails($smtp);
like($mail, qr/^MAIL FROM:<billing\@example\.com>/m, 'envelope from');
like($mail, qr/^RCPT TO:<customer1\@example\.com>/m, 'envelope to');
like($mail, qr/^Subject: Reminder 1\r$/m, 'subject');
like($mail, qr/^\r\nPlease pay 1\.\r$/ms, 'text');
my $key = $node->safe_psql('o2c', 'SELECT idempotency_key FROM o2c.message');
like($mail, qr/^Message-ID:\r\n <\Q$key\E\@example\.com>\r$/m, 'the Message-ID is the idempotency key');
is($node->safe_psql('o2c', 'SELECT sent_at IS NOT NULL AND lease_owner IS NULL AND attempts = 1 FROM o2c.message'), 't', 'the row says so');

# latency: woken at commit, not by a timer
my $start = time;
$send->(2, 'two');
is(states($node), 'sent 2', 'a second one');
cmp_ok(time - $start, '<=', 20, 'without waiting for a timer');

# a rolled back transaction sends nothing
$node->safe_psql('o2c', q{BEGIN; SELECT o2c.send_message(1, 'mail', 'never@example.com', NULL, '{"subject": "x", "body_text": "x"}'); ROLLBACK});

# restart: what waits is sent after it, each once
set_mode($smtp, 'rcpt_451');
$send->($_, "restart $_") for 3 .. 12;
$node->restart;
set_mode($smtp, 'ok');
is(states($node), 'sent 12', 'all are sent after a restart');
my %seen;
$seen{$_}++ for map { /^RCPT TO:(\S+)/m } mails($smtp);
is(scalar(keys %seen), 12, 'twelve recipients');
is((grep { $_ > 1 } values %seen), 0, 'none twice');
ok(!exists $seen{'<never@example.com>'}, 'and not what was rolled back');

# switches
is($node->safe_psql('o2c', 'SELECT o2c.pause_dispatch()'), 'paused', 'pause');
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'o2c')");
$send->(13, 'paused');
sleep 1;
is($node->safe_psql('o2c', "SELECT state FROM o2c.message WHERE dedupe_key = 'paused'"), 'queued', 'nothing is sent while paused');
$node->safe_psql('o2c', 'SELECT o2c.resume_dispatch()');
is(states($node), 'sent 13', 'resumed');
is($node->safe_psql('o2c', "SELECT o2c.send_message(1, 'mail', 'late\@example.com', NULL, '{\"subject\": \"x\", \"body_text\": \"x\"}', not_before => now() + interval '1 day') IS NOT NULL"), 't', 'a message for tomorrow');
my $late = $node->safe_psql('o2c', "SELECT id FROM o2c.message WHERE recipient = 'late\@example.com'");
is($node->safe_psql('o2c', "SELECT o2c.cancel_message(1, $late, 'not needed')"), 'cancelled', 'can be cancelled');
is($node->safe_psql('o2c', "SELECT o2c.cancel_message(1, $id, 'too late')"), 'sent', 'what was sent stays sent');

# a clone sends nothing
$node->safe_psql('o2c', 'SELECT o2c.pause_dispatch()');
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'o2c')");
$node->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE o2c');
$node->append_conf('postgresql.conf', "order2cash.databases = 'o2c, clone'");
$node->reload;
$node->safe_psql('clone', 'SELECT o2c.resume_dispatch()');
my $before = mails($smtp);
$node->safe_psql('clone', qq{SELECT o2c.send_message(1, 'mail', 'clone\@example.com', NULL, '{"subject": "x", "body_text": "x"}')});
sleep 2;
is(scalar(mails($smtp)), $before, 'a cloned database sends nothing');
is($node->safe_psql('clone', 'SELECT state FROM o2c.dispatch_status()'), 'not armed', 'it is not armed');
$node->safe_psql('clone', 'SELECT o2c.arm_dispatch()');
is(states($node, database => 'clone'), 'cancelled 1, sent 14', 'until it is; the reload took the new database');

# the served database can be dropped after pause
$node->safe_psql('postgres', 'DROP DATABASE o2c');
pass('DROP DATABASE of a paused database');
is($node->safe_psql('clone', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->safe_psql('clone', 'SELECT o2c.uninstall(drop_data => true)');
$node->safe_psql('clone', 'DROP EXTENSION order2cash');
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'clone')"),
	'the dispatcher leaves when the extension is dropped');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');

$node->stop('fast');
done_testing();
