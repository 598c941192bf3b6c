# Numbers and durability: with a synchronous standby no client is answered
# before the standby has flushed its commit, early release or not; prepared
# transactions keep their series; the isolation levels, savepoints and errors.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('first');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = on\nmax_prepared_transactions = 4\nmax_connections = 40");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION order2cash;
	SELECT o2c.install();
	SELECT o2c.create_company('Sync', 'DE', 'EUR', vat_id => 'DE123456789');
	INSERT INTO o2c.customer (company_id, code, name) SELECT 1, 'C' || n, 'C' || n FROM generate_series(1, 60) n;
	INSERT INTO o2c.number_series (company_id, code, prefix, assign, early_release) VALUES
		(1, 'early', 'E', 'commit', true), (1, 'early_issue', 'EI', 'issue', true), (1, 'late', 'L', 'commit', false), (1, 'plain', 'P', 'issue', false);
	-- each with a customer of its own: those of one share its exposure
	INSERT INTO o2c.invoice (company_id, id, customer_id, currency, series)
	SELECT 1, n, (SELECT min(id) FROM o2c.customer) + n - 1, 'EUR', (ARRAY['early', 'early_issue', 'late', 'plain'])[1 + n % 4] FROM generate_series(1, 60) n;
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
	SELECT 1, n, 1, 'Item', 1, 100, 'EUR', 'S', 19 FROM generate_series(1, 60) n;
});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('second');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->append_conf('postgresql.conf', q{synchronous_standby_names = '*'});
$node->reload;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}) or die 'the standby is not synchronous';

my $day = '2026-01-31';
sub number { return $node->safe_psql('postgres', "SELECT coalesce(number, 'none') FROM o2c.invoice WHERE id = $_[0]"); }
# a client of its own, in the background
sub client
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $sql ],
		'<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return { handle => $handle, out => \$out, err => \$err };
}
sub running { my ($c) = @_; $c->{handle}->pump_nb; return $c->{handle}->pumpable; }

# the standby has what was told, at the moment it was told
for my $id (4, 1, 2, 3)    # early, early_issue, late, plain
{
	$node->safe_psql('postgres', "SELECT o2c.issue_invoice(1, $id, '$day')");
	$standby->poll_query_until('postgres', "SELECT number IS NOT NULL FROM o2c.invoice WHERE id = $id") or die 'the standby lacks it';
	pass("document $id was answered, and the standby has it");
}

# a standby that does not answer: the client waits, the others may see and go on
my $receiver = $standby->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'});
kill 'STOP', $receiver;
my $early = client("SELECT o2c.issue_invoice(1, 8, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) or die 'nobody waits for the standby';
usleep(500_000);
ok(running($early), 'early release: no answer while the standby has not flushed');
isnt(number(8), 'none', 'though others see the document already');
my $second = client("SELECT o2c.issue_invoice(1, 12, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) or die 'the second does not come so far';
ok(running($second), 'a second document of the series is as far, and not answered');
my $late = client("SELECT o2c.issue_invoice(1, 6, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) or die 'the third does not come so far';
my $blocked = client("SELECT o2c.issue_invoice(1, 10, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) or die 'nobody waits for the series';
ok(running($late) && running($blocked), 'without early release the next one waits for the series');
is(number(6), 'none', 'and nobody sees the document');
kill 'CONT', $receiver;
for my $c ($early, $second, $late, $blocked)
{
	$c->{handle}->finish;
	is(${ $c->{err} }, '', 'answered when the standby goes on');
}

# the standby takes over: everything that was told is there, numbers 1..n
my $told = $node->safe_psql('postgres', q{SELECT string_agg(id || ':' || number, ' ' ORDER BY id) FROM o2c.invoice WHERE number IS NOT NULL});
$node->stop('immediate');
$standby->promote;
$standby->append_conf('postgresql.conf', q{synchronous_standby_names = ''});
$standby->reload;
is($standby->safe_psql('postgres', q{SELECT string_agg(id || ':' || number, ' ' ORDER BY id) FROM o2c.invoice WHERE number IS NOT NULL}), $told,
	'the standby has every number that was told');
is($standby->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty there');
$node = $standby;

# PREPARE TRANSACTION: the number is drawn, the series locked, through a restart too
$node->safe_psql('postgres', "BEGIN; SELECT o2c.issue_invoice(1, 16, '$day'); PREPARE TRANSACTION 'p';");
my $waits = client("SELECT o2c.issue_invoice(1, 20, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) or die 'the series is not locked';
ok(running($waits), 'a prepared transaction keeps its series locked');
is(number(16), 'none', 'its document is not seen');
$node->stop('immediate');
$waits->{handle}->finish;
$node->start;
$waits = client("SELECT o2c.issue_invoice(1, 20, '$day')");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) or die 'the series is not locked after a crash';
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
$waits->{handle}->finish;
my $last = number(20);
$node->safe_psql('postgres', "BEGIN; SELECT o2c.issue_invoice(1, 16, '$day'); PREPARE TRANSACTION 'p';");
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is(substr(number(16), -6), sprintf('%06d', substr($last, -6) + 1), 'rolled back, its number was drawn again; committed, it follows');

# isolation levels: who looked before is not failed by numbers drawn since
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my ($mine, $other) = $level eq 'SERIALIZABLE' ? (24, 28) : (32, 36);
	my ($code, $out, $err) = $node->psql('postgres', qq{
		BEGIN ISOLATION LEVEL $level;
		SELECT count(*) FROM o2c.company;
		\\! psql -XAtq -d '@{[ $node->connstr('postgres') ]}' -c "SELECT o2c.issue_invoice(1, $other, '$day')"
		SELECT o2c.issue_invoice(1, $mine, '$day');
		COMMIT;
	}, on_error_stop => 1);
	is($code, 0, "$level: the commit does not fail for numbers drawn meanwhile") or diag($err);
	is(substr(number($mine), -6), sprintf('%06d', substr(number($other), -6) + 1), "$level: and its number is the next");
}

# savepoints and errors
$node->safe_psql('postgres', qq{
	BEGIN;
	SAVEPOINT s; SELECT o2c.issue_invoice(1, 40, '$day'); ROLLBACK TO s;
	SAVEPOINT t; SELECT o2c.issue_invoice(1, 44, '$day'); RELEASE t;
	SAVEPOINT u; SELECT o2c.issue_invoice(1, 41, '$day'); ROLLBACK TO u;
	SELECT o2c.issue_invoice(1, 45, '$day');
	COMMIT;
	DO \$\$ BEGIN PERFORM o2c.issue_invoice(1, 48, '$day'); RAISE 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END \$\$;
});
is(number($_), 'none', "document $_ was taken back") for 40, 41, 48;
isnt(number($_), 'none', "document $_ was not") for 44, 45;
my ($code, undef, $err) = $node->psql('postgres', "BEGIN; SELECT o2c.issue_invoice(1, 52, '2025-12-31'); COMMIT;", on_error_stop => 1);
like($err, qr/before the last one/, 'a date before the last one fails the commit');
is(number(52), 'none', 'and draws nothing');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
