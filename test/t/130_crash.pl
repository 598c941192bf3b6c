# Kill -9 of the dispatcher and of the whole server, at random, while it sends:
# nothing is lost, nothing is accepted twice, and only what was handed over
# without a reply is uncertain.  Two dispatchers never serve one database.  A
# standby sends nothing; promotion starts it.
#
# O2C_CRASH_ROUNDS (6) kills, one while each O2C_CRASH_MESSAGES (120) messages
# are on their way.
use strict;
use warnings;
use File::Spec;
use FindBin qw($Bin);
use lib "$Bin/../perl";
use Peers;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{O2C_CRASH_ROUNDS} || 6;
my $n = int(($ENV{O2C_CRASH_MESSAGES} || 120) / 2);
my $smtp = start_peer('smtp');
my $http = start_peer('http');
my $node = new_server('crash', 'restart_after_crash = on', 'fsync = on', 'wal_level = replica',
	'max_wal_senders = 4', 'order2cash.dispatch_batch = 50');
install_o2c($node);
my ($mail_url, $http_url) = ('smtp://127.0.0.1:' . port_of($smtp), 'http://127.0.0.1:' . port_of($http) . '/ok');
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_concurrency)
	VALUES (1, 'mail', 'email', '$mail_url', '{"backoff": 0.1}', 4), (1, 'sms', 'sms', '$http_url', '{"backoff": 0.1}', 4)});

srand(42);
my $total = 0;
for my $round (1 .. $rounds)
{
	$node->safe_psql('o2c', qq{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
		SELECT 1, 'mail', 'm' || g || '\@example.com', 's', 'x' FROM generate_series(1, $n) g
		UNION ALL SELECT 1, 'sms', '0170' || g, NULL, 'x' FROM generate_series(1, $n) g});
	$total += 2 * $n;
	my $seen = mails($smtp) + requests($http);
	# somewhere in the middle of this round's messages
	wait_for(sub { mails($smtp) + requests($http) > $seen + rand($n) }, 'some were sent', 60);
	if ($round % 2)
	{
		my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher'");
		kill 'KILL', $pid if $pid;
		sleep 0.5;
		# a client that is turned away takes no statement, and the test would die of the broken pipe
		wait_for(sub { run_log([ 'pg_isready', '-q', '-d', $node->connstr('postgres') ]) }, 'the server answers again', 60);
	}
	else
	{
		$node->kill9;
		sleep 0.5;
		# the children notice that the postmaster is gone
		my $started = wait_for(sub { $node->{_pid} = undef; $node->start(fail_ok => 1) }, 'the server starts again', 60);
		ok($started, "round $round: started after kill -9 of the server") or last;
	}
}
ok($node->poll_query_until('o2c', "SELECT NOT EXISTS (SELECT FROM o2c.message WHERE state IN ('queued', 'retry', 'sending'))"),
	'everything leaves the queue');
my %mail_seen;
$mail_seen{$_}++ for map { /^Message-ID:\s+<([^@>]+)/mi } mails($smtp);
my %http_seen;
$http_seen{ $_->[0] }++ for requests($http);
is((grep { $_ > 1 } values %mail_seen), 0, 'no mail was accepted twice');
is((grep { $_ > 1 } values %http_seen), 0, 'no request was accepted twice');
my %state = map { split /\|/ } split /\n/, $node->safe_psql('o2c', 'SELECT idempotency_key, state FROM o2c.message');
is(scalar(keys %state), $total, 'every message is still there');
my @lost = grep { $state{$_} eq 'sent' && !$mail_seen{$_} && !$http_seen{$_} } keys %state;
is(scalar(@lost), 0, 'what is called sent was accepted');
my @denied = grep { $state{$_} !~ /^(sent|uncertain)$/ } keys %state;
is("@denied", '', 'nothing is dead');
my @unsure = grep { $state{$_} eq 'uncertain' } keys %state;
note "$total messages, $rounds kills: " . (grep { $_ eq 'sent' } values %state) . ' sent, ' . @unsure . ' uncertain';
cmp_ok(scalar(@unsure), '<=', 8 * $rounds, 'only what was in the air is uncertain: ' . @unsure);
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');

# two dispatchers never run for one database: not one that the launcher knows
# nothing of, nor one beside a foreign holder of the lock
my $module = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir()) . '/second_dispatcher';
my $include = `$ENV{PG_CONFIG} --includedir-server`;
chomp $include;
SKIP:
{
	skip 'no compiler for a module that starts a second dispatcher', 4
	  if system("cc -shared -fPIC -I$include -o $module.so $Bin/../peers/second_dispatcher.c 2>/dev/null") != 0;
	$node->safe_psql('o2c', "CREATE FUNCTION start_dispatcher() RETURNS boolean LANGUAGE c AS '$module'");
	my $started = () = slurp_file($node->logfile) =~ /dispatcher started/g;
	my $before = requests($http);
	$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) SELECT 1, 'sms', '0180', 'x' FROM generate_series(1, 500)});
	is($node->safe_psql('o2c', 'SELECT bool_or(start_dispatcher()) FROM generate_series(1, 4)'), 'f', 'a second dispatcher leaves at once');
	ok($node->poll_query_until('o2c', "SELECT NOT EXISTS (SELECT FROM o2c.message WHERE state IN ('queued', 'retry', 'sending'))"), 'all is sent');
	is(requests($http) - $before, 500, 'each message once');
	my $now = () = slurp_file($node->logfile) =~ /dispatcher started/g;
	is($now, $started, 'only the first one ever began');
	$node->safe_psql('o2c', 'DROP FUNCTION start_dispatcher');
}
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher'"), '1', 'one dispatcher');

# a standby sends nothing, promotion starts it
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'order2cash'"), '0', 'no worker on a standby');
set_mode($smtp, 'stall_dot');
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text) VALUES (1, 'mail', 'air@example.com', 's', 'x')});
$node->poll_query_until('o2c', "SELECT state = 'sending' FROM o2c.message WHERE recipient = 'air\@example.com'");
$node->safe_psql('o2c', q{UPDATE o2c.channel SET enabled = false});
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'sms', '0999', 'after promotion')});
$node->wait_for_catchup($standby);
$node->stop('immediate');
set_mode($smtp, 'ok');
my $promoted = time;
$standby->promote;
$standby->safe_psql('o2c', q{UPDATE o2c.channel SET enabled = true});
ok($standby->poll_query_until('o2c', "SELECT state = 'sent' FROM o2c.message WHERE recipient = '0999'"), 'promotion starts the dispatcher');
cmp_ok(time - $promoted, '<', 10, sprintf 'within ten seconds: %.1f s', time - $promoted);
is($standby->safe_psql('o2c', "SELECT state FROM o2c.message WHERE recipient = 'air\@example.com'"), 'sending',
	'what another server may still be sending is left until its lease ends');
$standby->safe_psql('o2c', "UPDATE o2c.message_claim SET lease_until = now() - interval '1 minute'");
ok($standby->poll_query_until('o2c', "SELECT state = 'uncertain' FROM o2c.message WHERE recipient = 'air\@example.com'"), 'then it is uncertain');
$standby->stop('fast');
done_testing();
