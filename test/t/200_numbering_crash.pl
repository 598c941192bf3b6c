# Eight clients issue with one gapless series while the server is killed at
# random: after each recovery the numbers are 1..n, and every number that a
# client was told is there.  All four ways of drawing take their turn.
# O2C_CRASH_ROUNDS sets the number of rounds (4; 20 to be thorough).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = $ENV{O2C_CRASH_ROUNDS} || 4;
my $clients = 8;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "fsync = on\nshared_preload_libraries = 'order2cash'\nmax_connections = 40\nrestart_after_crash = on\nmax_prepared_transactions = 4");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash; SELECT o2c.install()');
$node->safe_psql('postgres', q{
	SELECT o2c.create_company('Crash', 'DE', 'EUR', vat_id => 'DE123456789');
	INSERT INTO o2c.customer (company_id, code, name) SELECT 1, 'C' || n, 'C' || n FROM generate_series(1, 50) n;
	CREATE SEQUENCE draft;
});

# $n further drafts of two lines
sub drafts
{
	my ($n) = @_;
	$node->safe_psql('postgres', qq{
		WITH d AS (INSERT INTO o2c.invoice (company_id, customer_id, currency)
			SELECT 1, (SELECT min(id) FROM o2c.customer) + n % 50, 'EUR' FROM generate_series(1, $n) n RETURNING id)
		INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
		SELECT 1, d.id, l, 'Item', l, 3.33, 'EUR', 'S', 19 FROM d, generate_series(1, 2) l;
	});
}

# A client issues draft after draft, one transaction each, and notes what it
# was told: the id when its commit was answered.  Some roll back on the way.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $once = <<'SQL';
SELECT nextval('draft') AS id \gset
BEGIN;
SELECT o2c.issue_invoice(1, :id, '2026-01-31') AS number \gset
SELECT :id % 7 = 0 AS undo \gset
\if :undo
ROLLBACK;
\else
COMMIT;
\echo told :id
\endif
SQL
open my $fh, '>', "$dir/client.sql" or die $!;
print $fh "\\set ON_ERROR_STOP 1\n", $once x 400;
close $fh;

# What the clients of this round were told.
sub told
{
	return map { -e $_ ? (slurp_file($_) =~ /^told (\d+)$/mg) : () } map { "$dir/out$_" } 0 .. $clients - 1;
}

my %told;
my @ways = (['issue', 'false'], ['commit', 'false'], ['issue', 'true'], ['commit', 'true']);
for my $round (1 .. $rounds)
{
	my ($assign, $early) = @{ $ways[($round - 1) % @ways] };
	$node->safe_psql('postgres', "UPDATE o2c.number_series SET assign = '$assign', early_release = $early WHERE code = 'invoice'");
	drafts(600);
	# the sequence is behind the drafts that were not issued for a crash
	$node->safe_psql('postgres', "SELECT setval('draft', (SELECT min(id) FROM o2c.invoice WHERE state = 'draft' AND id > (SELECT max(id) - 600 FROM o2c.invoice)), false)");
	my @handles;
	for my $c (0 .. $clients - 1)
	{
		my $err = '';
		unlink "$dir/out$c";
		push @handles, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$dir/client.sql" ],
			'<', \'', '>', "$dir/out$c", '2>', \$err);
	}
	# kill the server hard, at some moment of the work
	my $enough = 20 + int(rand(100));
	for (1 .. 600)
	{
		usleep(50_000);
		last if told() >= $enough;
	}
	usleep(int(rand(50_000)));
	if ($round % 2)
	{
		$node->stop('immediate');
	}
	else
	{
		# one backend dies, and the server takes all others with it
		my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%issue_invoice%' AND pid <> pg_backend_pid() LIMIT 1})
			|| $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1});
		kill 9, $pid;
	}
	eval { IPC::Run::finish($_) } for @handles;
	$told{$_} = 1 for told();
	$node->start if $round % 2;
	# asked without a query: a psql that is refused before it reads one ends the test
	my $tries = 0;
	until (run_log([ 'pg_isready', '-q', '-d', $node->connstr('postgres') ]))
	{
		die 'the server does not come back' if ++$tries > 1200;
		usleep(50_000);
	}

	my $n = $node->safe_psql('postgres', q{SELECT count(*) FROM o2c.invoice WHERE number IS NOT NULL});
	is($node->safe_psql('postgres', q{SELECT coalesce(max(sequence_no), 0), count(DISTINCT sequence_no), count(DISTINCT number) FROM o2c.invoice WHERE number IS NOT NULL}),
		"$n|$n|$n", "round $round ($assign" . ($early eq 'true' ? ', early release' : '') . "): numbers 1..$n");
	is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', "round $round: check() is empty");
	my $lost = $node->safe_psql('postgres', 'SELECT count(*) FROM o2c.invoice WHERE id = ANY (ARRAY[' . (join(',', keys %told) || 'NULL') . ']::bigint[]) AND number IS NULL');
	is($lost, '0', "round $round: what clients were told is there (" . keys(%told) . ')');
}
cmp_ok(scalar keys %told, '>', 0, 'clients were told of commits');
$node->stop;
done_testing();
