# Waiting for a gapless series with the library preloaded: on the bell first,
# in the lock's queue later.  Who waits is let in when the holder commits, rolls
# back, goes back to a savepoint, is terminated or was prepared; it can be
# cancelled, times out, and takes part in the search for deadlocks.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('wait');
$node->init;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'order2cash'
max_prepared_transactions = 4
max_connections = 60
deadlock_timeout = 200ms});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION order2cash;
	SELECT o2c.install();
	SELECT o2c.create_company('Wait', 'DE', 'EUR', vat_id => 'DE123456789');
	INSERT INTO o2c.customer (company_id, code, name) SELECT 1, 'C' || n, 'C' || n FROM generate_series(1, 600) n;
	INSERT INTO o2c.number_series (company_id, code, prefix, assign, early_release) VALUES
		(1, 'a', 'A', 'issue', false), (1, 'b', 'B', 'issue', false), (1, 'c', 'C', 'commit', true);
	-- each with a customer of its own: those of one share its exposure
	INSERT INTO o2c.invoice (company_id, id, customer_id, currency, series)
	SELECT 1, n, (SELECT min(id) FROM o2c.customer) + n - 1, 'EUR', CASE WHEN n > 200 THEN 'c' WHEN n > 100 THEN 'b' ELSE 'a' END FROM generate_series(1, 600) n;
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
	SELECT 1, n, 1, 'Item', 1, 100, 'EUR', 'S', 19 FROM generate_series(1, 600) n;
});

my $next = 1;
sub issue { my ($id) = @_; return "SELECT o2c.issue_invoice(1, $id, '2026-01-31')"; }
sub number { return $node->safe_psql('postgres', "SELECT coalesce(sequence_no::text, 'none') FROM o2c.invoice WHERE id = $_[0]"); }
# a session of its own that runs these statements one after another
sub client
{
	my @statements = @_;
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return { handle => $handle, out => \$out, err => \$err };
}
sub finish { my ($c) = @_; $c->{handle}->finish; return ${ $c->{err} }; }
sub waits
{
	my ($type, $n) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) = $n FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event_type = '$type'")
	  or die "not $n sessions wait for $type";
}
# a holder of a series: draws, then waits for an advisory lock that we hold
my $gate = client('SELECT pg_advisory_lock(1)', 'SELECT pg_sleep(100)');
sub gate
{
	my ($shut) = @_;
	if ($shut)
	{
		$gate = client('SELECT pg_advisory_lock(1)', 'SELECT pg_sleep(100)') if !$gate;
		$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}) or die 'the gate is open';
	}
	else
	{
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)%')});
		$gate->{handle}->finish;
		$gate = undef;
	}
}
sub holder
{
	my ($id, @end) = @_;
	gate(1);
	my $c = client('BEGIN', issue($id), 'SELECT pg_advisory_xact_lock_shared(1)', @end);
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die 'the holder does not wait at the gate';
	return $c;
}

# the bell comes first: sampled while the series is held, nobody stands in the queue yet
my $holder = holder(1, 'COMMIT');
my $seen = $node->safe_psql('postgres', q{
	CREATE EXTENSION IF NOT EXISTS dblink;
	SELECT dblink_connect('w', 'dbname=postgres host=' || (SELECT setting FROM pg_settings WHERE name = 'unix_socket_directories') || ' port=' || current_setting('port'));
	SELECT dblink_send_query('w', $$SELECT o2c.issue_invoice(1, 2, '2026-01-31')$$);
	DO $$
	BEGIN
		FOR i IN 1 .. 3000 LOOP
			PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
			IF EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%issue_invoice(1, 2,%' AND pid <> pg_backend_pid() AND wait_event_type = 'Extension') THEN
				RAISE NOTICE 'waits for the bell';
				RETURN;
			END IF;
		END LOOP;
		RAISE EXCEPTION 'nobody waits for the bell';
	END $$;
	-- out of patience it stands in the queue, for all to see
	DO $$
	BEGIN
		FOR i IN 1 .. 3000 LOOP
			PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
			EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted AND classid = 'o2c.number_counter'::regclass);
		END LOOP;
	END $$;
	SELECT 'queued ' || count(*) FROM pg_locks WHERE NOT granted AND classid = 'o2c.number_counter'::regclass;
	SELECT dblink_cancel_query('w');
	SELECT dblink_disconnect('w');
});
like($seen, qr/queued 1/, 'who waits sleeps on the bell, and in time stands in the queue');
is(number(2), 'none', 'cancelled there, it drew nothing');

# many wait, all get in when the holder commits
my @clients = map { client(issue($_)) } 2 .. 9;
waits('Lock', 9);    # and the holder at the gate
gate(0);
is(join('', map { finish($_) } $holder, @clients), '', 'all are let in when the holder commits');
is($node->safe_psql('postgres', 'SELECT string_agg(sequence_no::text, \',\' ORDER BY sequence_no) FROM o2c.invoice WHERE id BETWEEN 1 AND 9'),
	'1,2,3,4,5,6,7,8,9', 'with numbers one behind the other');

# the holder rolls back, goes back to a savepoint, is terminated, was prepared
$holder = holder(10, 'ROLLBACK');
my $second = client(issue(11));
gate(0);
is(finish($holder) . finish($second), '', 'let in when the holder rolls back');
is(number(11), 10, 'with the number that it had');

gate(1);
$holder = client('BEGIN', 'SAVEPOINT s', issue(12), 'ROLLBACK TO s', 'SELECT pg_advisory_xact_lock_shared(1)', 'COMMIT');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die 'the holder does not wait at the gate';
$node->safe_psql('postgres', issue(13), timeout => 60);
is(number(13), 11, 'let in when the holder goes back to a savepoint');
gate(0);
finish($holder);

$holder = holder(14, 'COMMIT');
$second = client(issue(15));
waits('Lock', 2);
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%advisory_xact%'});
like(finish($holder), qr/terminating connection/, 'the holder is terminated');
is(finish($second), '', 'and the next is let in');
is(number(15), 12, 'with its number');
gate(0);

$node->safe_psql('postgres', 'BEGIN; ' . issue(16) . "; PREPARE TRANSACTION 'p'");
my @after = map { client(issue($_)) } 17 .. 18;
waits('Lock', 2);
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is(join('', map { finish($_) } @after), '', 'let in when the prepared transaction is committed');
is(number(16), 13, 'behind it');
# its end rings no bell: who sleeps on one goes to the queue and finds the lock free
$node->safe_psql('postgres', 'BEGIN; ' . issue(19) . "; PREPARE TRANSACTION 'p'");
$second = client(issue(20));
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
is(finish($second) . number(20), '16', 'let in when it is rolled back, at any moment');

# cancelled, and out of time
$holder = holder(21, 'COMMIT');
my ($ret, $out, $err) = $node->psql('postgres', "SET statement_timeout = '40ms'; " . issue(22));
like($err, qr/statement timeout/, 'a session on the bell can be cancelled');
my $start = time;
($ret, $out, $err) = $node->psql('postgres', "SET lock_timeout = '30ms'; " . issue(22));
like($err, qr/lock timeout/, 'lock_timeout holds for the series');
gate(0);
finish($holder);
is($node->safe_psql('postgres', issue(22)) . number(22), sprintf('A2026-%06d', 18) . '18', 'neither drew a number');

# two series in opposite order
gate(1);
my @crossed;
for my $ids ([23, 101], [102, 24])
{
	push @crossed, client('BEGIN', issue($ids->[0]), 'SELECT pg_advisory_xact_lock_shared(1)', issue($ids->[1]), 'COMMIT');
}
waits('Lock', 2);
gate(0);
my @errors = map { finish($_) } @crossed;
is(scalar(grep { /deadlock detected/ } @errors), 1, 'one of two that would wait for each other is failed');
is(scalar(grep { $_ eq '' } @errors), 1, 'and the other commits');

# twenty sessions at once, with rollbacks and savepoints
$node->safe_psql('postgres', 'CREATE SEQUENCE draft START 201');
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/work.sql", <<'SQL');
\set what random(1, 10)
SELECT nextval('draft') AS id \gset
BEGIN;
SAVEPOINT s;
SELECT o2c.issue_invoice(1, :id, '2026-01-31');
\if :what = 1
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK TO s;
SELECT o2c.issue_invoice(1, :id, '2026-01-31');
\endif
\if :what = 2
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
\else
COMMIT;
\endif
SQL
$node->command_ok([ 'pgbench', '-n', '-c', '20', '-j', '2', '-t', '20', '-f', "$dir/work.sql", $node->connstr('postgres') ], 'twenty sessions at once');
is($node->safe_psql('postgres', q{SELECT count(*) = max(sequence_no) AND min(sequence_no) = 1 AND count(*) > 200 FROM o2c.invoice WHERE series = 'c' AND number IS NOT NULL}),
	't', 'their numbers have no gaps');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
