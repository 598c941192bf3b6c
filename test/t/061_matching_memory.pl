# What gathering and weighing take of memory does not grow with the lines that
# are matched at once: lines, their tables and candidates have the memory of one
# hash table together, and claims and answers go to temporary files beyond their
# shares of work_mem.
#
# O2C_LINES (12000) sets the number of bank lines; a tenth of it is what it is
# compared with.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no /proc/self/status to measure memory with' unless -r '/proc/self/status';

my $large = $ENV{O2C_LINES} || 12_000;
my $small = int($large / 10);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf',
	"fsync = off\nshared_buffers = 16MB\nwork_mem = 1MB\nhash_mem_multiplier = 2\ntemp_buffers = 1MB\nmax_wal_size = 4GB\njit = off\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash');
$node->safe_psql('postgres', q{SELECT o2c.install()});

# A company with so many lines, of which one in eight cites nothing, and twice as many items.
sub company
{
	my ($n) = @_;
	return $node->safe_psql('postgres', <<"SQL");
		CREATE TEMP TABLE company AS SELECT o2c.create_company('Lines $n', 'DE', 'EUR') AS id;
		CREATE TEMP TABLE customers AS
		SELECT 'C' || g AS code, 'Customer ' || g AS name, NULL::text AS iban FROM generate_series(1, $n / 10) g;
		SELECT FROM company c, o2c.import_customers(c.id, 'customers');
		CREATE TEMP TABLE items AS
		SELECT to_char(7000000 + g, 'FM9999999') AS number, 'C' || 1 + g % ($n / 10) AS customer_code, date '2026-01-01' AS document_date,
			date '2026-02-01' AS due_date, 'EUR' AS currency, 100 + g % 5000 + 0.25 AS amount, 100 + g % 5000 + 0.25 AS open_amount
		FROM generate_series(1, 2 * $n) g;
		SELECT FROM company c, o2c.import_open_items(c.id, 'items');
		INSERT INTO o2c.bank_account (company_id, code) SELECT id, 'M' FROM company;
		INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, remittance_text)
		SELECT c.id, a.id, 'L' || g, '2026-02-03', 100 + g % 5000 + 0.25, 'EUR', 'Customer ' || 1 + g % ($n / 10),
			CASE WHEN g % 8 = 0 THEN 'Thank you' ELSE 'Invoice ' || 7000000 + g || ' of 01.01.2026, order 8' || g || ', client 9' || g % 100 END
		FROM company c JOIN o2c.bank_account a ON a.company_id = c.id, generate_series(1, $n) g;
		VACUUM ANALYZE o2c.open_item, o2c.bank_line, o2c.match_key, o2c.customer;
		SELECT id FROM company;
SQL
}

# Go through the stages before posting; the highest private memory of that session in MB.
sub match
{
	my ($company, $n) = @_;
	my ($stdout, $stderr);
	$node->psql('postgres', <<"SQL", stdout => \$stdout, stderr => \$stderr, on_error_die => 1);
		SET log_min_messages = debug1;
		BEGIN;
		SET LOCAL enable_nestloop = off;
		SET LOCAL enable_mergejoin = off;
		SELECT o2c._match_lines($company, NULL);
		SELECT FROM o2c._match_payers($company);
		SELECT o2c._match_first($company);
		SELECT FROM o2c._match_books($company);
		SELECT FROM o2c._match_rest($company);
		SELECT count(*) || ' decided' FROM pg_temp.o2c_m_answer WHERE decided AND option = 1;
		SELECT pg_read_file('/proc/self/status');
		ROLLBACK;
SQL
	my %kb = $stdout =~ /^(VmHWM|RssFile|RssShmem):\s+(\d+)/mg;
	my $memory = ($kb{VmHWM} - $kb{RssFile} - $kb{RssShmem}) / 1000;
	my ($decided) = $stdout =~ /^(\d+) decided$/m;

	note(sprintf '= %-52s %.1f MB', "$n lines, work_mem 1 MB", $memory);
	is($stderr, '', 'nothing is left open');
	cmp_ok($decided, '>', 0.8 * $n, "most of $n lines are decided");
	return $memory;
}

my $memory_small = match(company($small), $small);
my $offset = -s $node->logfile;
my $memory_large = match(company($large), $large);
cmp_ok($memory_large - $memory_small, '<', 3, 'ten times the lines take no more than a few times work_mem');

# the lines came in runs, each in less memory than one hash table has
my @runs = slurp_file($node->logfile, $offset) =~ /gathered candidates of \d+ lines in (\d+) kB/g;
cmp_ok(scalar(@runs), '>', 2, 'they come in several runs');
is(scalar(grep { $_ > 2048 } @runs), 0, '... none of which takes more than work_mem and its multiplier allow');
$node->stop;
done_testing();
