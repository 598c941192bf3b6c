# A real pg_cron really calls the tick, in its own database and in another.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
timezone = 'America/New_York'
shared_preload_libraries = 'pg_cron,order2cash'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 20
});
$node->start;
if ($node->psql('postgres', 'CREATE EXTENSION pg_cron') != 0)
{
	plan skip_all => 'pg_cron is not installed';
}

# The served database is not pg_cron's own.
$node->safe_psql('postgres', 'CREATE DATABASE shop');
for my $db ('shop', 'postgres')
{
	$node->safe_psql($db, 'CREATE EXTENSION order2cash');
	$node->safe_psql($db, 'SELECT o2c.install()');
}
$node->safe_psql('shop', q{
	SELECT o2c.create_company('Shop', 'DE', 'EUR', 'Europe/Berlin');
	INSERT INTO o2c.customer (company_id, code, name, email) VALUES (1, 'A', 'Alpha', 'a@example.com');
	INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'mail', 'email', 'smtp://127.0.0.1:2525');
	INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
	SELECT 1, id, 'invoice', 'I1', '2026-01-01', '2026-01-31', 'EUR', 100, 100 FROM o2c.customer;
	-- its turn was yesterday, whatever the time of day is now
	INSERT INTO o2c.job (company_id, name, every, run_at, last_for) VALUES (1, 'dunning', 'day', '00:00', o2c.today(1) - 3);
});

# Each job commits by itself: what was done before one that is cancelled stays.
$node->safe_psql('postgres', q{
	SELECT o2c.create_company('Commits', 'DE', 'EUR', 'UTC');
	CREATE FUNCTION o2c._job_cancelled(company_id integer, day date) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION USING ERRCODE = 'query_canceled', MESSAGE = 'cancelled'; END $$;
	INSERT INTO o2c.job (company_id, name, every, run_at) VALUES (1, 'cancelled', 'day', '23:00')});
isnt($node->psql('postgres', q{CALL o2c.run_jobs('2026-03-01 23:30+00')}), 0, 'a tick that is cancelled in its last job');
is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ' ORDER BY name) FROM o2c.job WHERE last_for = '2026-03-01' AND last_started_at IS NOT NULL}),
	'billing credit dunning expiry kpi matching promises retention stock', 'has done the others');
is($node->safe_psql('postgres', q{SELECT last_started_at IS NULL FROM o2c.job WHERE name = 'cancelled'}), 't', 'and not that one');
isnt($node->psql('postgres', q{SELECT * FROM o2c.run_due_jobs('2026-03-02 23:30+00')}), 0, 'as a function it is one transaction');
is($node->safe_psql('postgres', q{SELECT count(*) FROM o2c.job WHERE last_for = '2026-03-02' AND last_started_at IS NOT NULL}), '0', 'that did nothing');
$node->safe_psql('postgres', q{DELETE FROM o2c.job WHERE name = 'cancelled'; DROP FUNCTION o2c._job_cancelled});

# Where pg_cron is not, the error says what to run where.
my ($code, $out, $err) = $node->psql('shop', 'SELECT o2c.schedule_jobs()');
isnt($code, 0, 'pg_cron lives elsewhere');
like($err, qr/pg_cron lives in database "postgres"/, 'the detail says where');
my ($statement) = $err =~ /HINT:\s+In database "postgres" run: (SELECT .*;)/;
ok($statement, 'the hint is a statement');
is($node->safe_psql('postgres', $statement), '1', 'that can be run as it is');
is($node->safe_psql('postgres', q{SELECT o2c.schedule_jobs(database => 'shop')}), '1', 'or from there, for another database: the same entry');
my $own = $node->safe_psql('postgres', 'SELECT o2c.schedule_jobs()');
is($node->safe_psql('postgres', 'SELECT o2c.schedule_jobs()'), $own, 'scheduled again it is the same entry');
is($node->safe_psql('postgres', q{SELECT string_agg(format('%s|%s|%s', jobname, schedule, database), ', ' ORDER BY jobname) FROM cron.job}),
	'order2cash postgres|* * * * *|postgres, order2cash shop|* * * * *|shop', 'one entry for each database');
($code, $out, $err) = $node->psql('postgres', q{SELECT o2c.schedule_jobs(database => 'nowhere')});
like($err, qr/there is no database "nowhere"/, 'a database that does not exist is refused');

# It fires within the minute.
my $since = $node->safe_psql('postgres', 'SELECT now()');
for my $db ('shop', 'postgres')
{
	$node->poll_query_until($db, "SELECT count(*) = 1 FROM o2c.job_heartbeat WHERE last_tick_at > '$since'::timestamptz")
	  or diag($node->safe_psql('postgres', 'SELECT * FROM cron.job_run_details'));
	is($node->safe_psql($db, "SELECT count(*) FROM o2c.job_heartbeat WHERE last_tick_at > '$since'::timestamptz"), '1',
		"the tick came to $db");
}
is($node->safe_psql('shop', 'SELECT count(*) FROM o2c.dunning_notice'), '1', 'and made up the reminder');
is($node->safe_psql('shop', q{SELECT last_for = o2c.today(1) FROM o2c.job WHERE name = 'dunning'}), 't', 'for the company\'s today');
is($node->safe_psql('shop', 'SELECT coalesce(array_length(warnings, 1), 0) FROM o2c.version()') =~ /^\d+$/ ? 1 : 0, 1, 'version() can be asked');
is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE status = 'failed'}), '0', 'no run failed');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT command, ' ') FROM cron.job}), 'CALL o2c.run_jobs()', 'with a transaction a job');

# A tick that stops coming is noticed; unscheduling takes the entry away.
$node->safe_psql('postgres', q{UPDATE o2c.job_heartbeat SET last_tick_at = now() - interval '1 hour'});
like($node->safe_psql('postgres', 'SELECT warnings::text FROM o2c.version()'), qr/no tick since/, 'version() warns when no tick comes');
is($node->safe_psql('postgres', 'SELECT o2c.unschedule_jobs()'), 't', 'unscheduled');
is($node->safe_psql('postgres', 'SELECT o2c.unschedule_jobs()'), 'f', 'again: nothing to do');
is($node->safe_psql('postgres', q{SELECT o2c.unschedule_jobs(database => 'shop')}), 't', 'the other database as well');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'), '0', 'nothing is left');
$node->stop;
done_testing();
