# No job keeps the others from running: not one whose time is up, that waits for
# a lock, that takes its session with it or is cancelled, tick after tick; no
# company another.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('jobs');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_prepared_transactions = 2");
$node->start;
$node->safe_psql('postgres', $_) for 'CREATE EXTENSION order2cash', 'SELECT o2c.install()', q{SELECT o2c.create_company('C' || g, 'DE', 'EUR', 'UTC') FROM generate_series(1, 3) g};
# jobs that come before all others of their company
my $job = sub {
	my ($name, $body, $where) = @_;
	$node->safe_psql('postgres', qq{
		CREATE FUNCTION o2c._job_$name(company_id integer, day date) RETURNS text LANGUAGE plpgsql AS \$\$ BEGIN $body; END \$\$;
		INSERT INTO o2c.job (company_id, name, every, run_at, last_for) SELECT company_id, '$name', 'day', '00:00', '2026-02-28' FROM o2c.company WHERE $where});
};
my $drop = sub { $node->safe_psql('postgres', "DELETE FROM o2c.job WHERE name = '$_[0]'; DROP FUNCTION o2c._job_$_[0]") };
my $tick = sub {
	my ($at, @settings) = @_;
	return $node->psql('postgres', join('', map { "SET $_;\n" } @settings) . "CALL o2c.run_jobs('$at')", timeout => 60);
};
# companies and how many of their own jobs were done for a day
my $done = sub { $node->safe_psql('postgres', "SELECT string_agg(company_id || ':' || n, ' ' ORDER BY company_id) FROM (SELECT j.company_id, count(*) AS n
	FROM o2c.job j JOIN o2c._default_jobs() d ON d.name = j.name AND d.enabled WHERE j.last_for = '$_[0]' GROUP BY 1) x") };
my $of = sub { $node->safe_psql('postgres', "SELECT $_[1] FROM o2c.job WHERE company_id = 1 AND name = '$_[0]'") };

# its time is up
$job->('a_slow', 'PERFORM pg_sleep(100); RETURN NULL', 'company_id = 1');
$job->('a_while', 'PERFORM pg_sleep(0.6); RETURN NULL', 'true');
my ($rc, $out, $err) = $tick->('2026-03-01 23:00+00', "statement_timeout = '1s'");
is($rc, 0, 'a tick with a job that takes too long') or diag $err;
is($done->('2026-03-01'), '1:9 2:9 3:9', 'the jobs of all companies are done');
is($of->('a_slow', "failures || ' ' || (retry_at = '2026-03-01 23:01+00') || ' ' || last_error"), '1 true canceling statement due to statement timeout', 'all but that one, which is tried again');
is($node->safe_psql('postgres', q{SELECT company_id, name, result FROM o2c.job_run WHERE NOT ok}), '1|a_slow|57014: canceling statement due to statement timeout', 'with a row in the log');
is($node->safe_psql('postgres', q{SELECT count(*) FROM o2c.job_run WHERE name = 'a_while' AND ok}), '3', 'each job has the time for itself');
$drop->('a_slow');
$drop->('a_while');

# it takes its session with it
$job->('a_deadly', 'PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NULL', 'company_id = 1');
isnt(($tick->('2026-03-02 23:00+00'))[0], 0, 'a job ends the session');
is(($tick->('2026-03-02 23:00+00'))[0], 0, 'the next tick');
is($done->('2026-03-02'), '1:9 2:9 3:9', 'does all the others');
isnt(($tick->('2026-03-02 23:01+00'))[0], 0, 'it is tried again after a minute');
is($of->('a_deadly', "failures || ' ' || (retry_at = '2026-03-02 23:03+00') || ' ' || last_error"), '1 true was interrupted', 'then after two');
like($node->safe_psql('postgres', 'SELECT warnings::text FROM o2c.version()'), qr/a_deadly\W+ of company 1 has failed 1 times: was interrupted/, 'version() warns');
$drop->('a_deadly');

# somebody cancels the tick
$job->('a_cancelled', 'PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NULL', 'company_id = 1');
like(($tick->('2026-03-03 23:00+00', "statement_timeout = '30s'"))[2], qr/canceling statement due to user request/, 'who cancels a tick ends it');
is(($tick->('2026-03-03 23:00+00'))[0], 0, 'the next tick');
is($done->('2026-03-03'), '1:9 2:9 3:9', 'begins with the others');
$drop->('a_cancelled');

# somebody holds what it needs, or the company itself
$node->safe_psql('postgres', q{INSERT INTO o2c.customer (company_id, code, name) VALUES (1, 'A', 'Alpha')});
$job->('a_patient', q{UPDATE o2c.customer SET name = name; RETURN current_setting('lock_timeout')}, 'company_id = 1');
$node->safe_psql('postgres', q{BEGIN; SELECT FROM o2c.customer FOR UPDATE; PREPARE TRANSACTION 'somebody'});
is(($tick->('2026-03-04 23:00+00', "lock_timeout = '300ms'"))[0], 0, 'a tick with a job that waits for a lock');
is($done->('2026-03-04'), '1:9 2:9 3:9', 'all the others are done');
is($of->('a_patient', "failures || ' ' || last_error"), '1 canceling statement due to lock timeout', 'that one is tried again');
$node->safe_psql('postgres', q{COMMIT PREPARED 'somebody'});
is(($tick->('2026-03-04 23:01+00'))[0], 0, 'once it is let go');
is($node->safe_psql('postgres', q{SELECT result FROM o2c.job_run WHERE name = 'a_patient' AND ok}), '30s', 'it is done; where nobody says otherwise none waits longer than half a minute');
$node->safe_psql('postgres', q{BEGIN; SELECT FROM o2c.company WHERE company_id = 1 FOR UPDATE; PREPARE TRANSACTION 'somebody'});
($rc, $out, $err) = $tick->('2026-03-05 23:00+00', "lock_timeout = '100ms'");
is($rc, 0, 'a company that is held') or diag $err;
is($done->('2026-03-05'), '1:3 2:9 3:9', 'keeps no other from its jobs');
$node->safe_psql('postgres', q{COMMIT PREPARED 'somebody'});
is(($tick->('2026-03-05 23:01+00'))[0], 0, 'once it is let go');
is($done->('2026-03-05'), '1:9 2:9 3:9', 'it has its own');

is($node->safe_psql('postgres', 'SELECT count(*) FROM o2c.job WHERE begun_at IS NOT NULL'), '0', 'nothing is left that was begun');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop('fast');
done_testing();
