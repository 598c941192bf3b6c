# What posting takes of memory does not grow with the items that one statement
# pays: what it notes of them goes to temporary files beyond its share of work_mem.
#
# O2C_ROWS (15000) sets the number of allocations; a tenth of it is what it is
# compared with.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no /proc/self/status to measure memory with' unless -r '/proc/self/status';

my $large = $ENV{O2C_ROWS} || 15_000;
my $small = int($large / 10);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 16MB\nwork_mem = 1MB\nmax_wal_size = 4GB\njit = off\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash');
$node->safe_psql('postgres', q{
	SELECT o2c.install();
	SELECT o2c.create_company('Large', 'DE', 'EUR');
	INSERT INTO o2c.customer (company_id, code, name, country, currency) VALUES (1, 'K', 'Customer', 'DE', 'EUR')});

# Pay so many items in part, each by a credit note, the last one twice; the
# highest private memory of that session in MB.
sub allocate
{
	my ($n, $from) = @_;
	$node->safe_psql('postgres', <<"SQL");
		INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
		SELECT 1, $from + g, c.id, CASE WHEN g > $n THEN 'credit_note' ELSE 'opening' END::o2c.item_kind, 'N' || $from + g, '2026-01-01', '2026-02-01', 'EUR',
			CASE WHEN g > $n THEN -1 ELSE 1 END * 100.50, CASE WHEN g > $n THEN -1 ELSE 1 END * 100.50
		FROM generate_series(1, 2 * $n) g, o2c.customer c
SQL
	my ($lines, $status) = split /\n---\n/, $node->safe_psql('postgres', <<"SQL");
		WITH paid AS (
			INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on)
			SELECT 1, $from + g, $from + 2 * $n + 1 - g, 'EUR', 40.25, 'application'::o2c.entry_kind, '2026-02-01'::date FROM generate_series(1, $n) g
			UNION ALL SELECT 1, $from + $n, $from + $n + 1, 'EUR', 9.75, 'application', '2026-02-02'
			RETURNING 1)
		SELECT count(*) || E'\\n---' FROM paid;
		SELECT pg_read_file('/proc/self/status');
SQL
	my %kb = $status =~ /^(VmHWM|RssFile|RssShmem):\s+(\d+)/mg;
	my $memory = ($kb{VmHWM} - $kb{RssFile} - $kb{RssShmem}) / 1000;

	note(sprintf '= %-52s %.1f MB', "$lines allocations, work_mem 1 MB", $memory);
	is($node->safe_psql('postgres', <<"SQL"), "0|$n|$n|@{[$n - 1]}|1", "$n items are paid in part, in the order of their ids");
		SELECT count(*) FILTER (WHERE x.before > x.item_id), count(DISTINCT x.item_id) FILTER (WHERE x.open_amount > 0),
			count(DISTINCT x.item_id) FILTER (WHERE x.open_amount < 0), count(DISTINCT x.item_id) FILTER (WHERE x.open_amount = 60.25),
			count(DISTINCT x.item_id) FILTER (WHERE x.open_amount = 50.50)
		FROM (SELECT e.item_id, i.open_amount, lag(e.item_id) OVER (ORDER BY e.id) AS before
			FROM o2c.ledger_entry e JOIN o2c.open_item i ON i.company_id = 1 AND i.id = e.item_id
			WHERE e.company_id = 1 AND e.allocation_id IS NOT NULL AND e.item_id > $from) x
SQL
	return $memory;
}

my $memory_small = allocate($small, 1_000_000);
my $memory_large = allocate($large, 2_000_000);
cmp_ok($memory_large - $memory_small, '<', 4, 'ten times the rows take no more than a few times work_mem');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'no invariant of the ledger is violated');
$node->stop;
done_testing();
