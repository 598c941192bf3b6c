# Cash application against chance: the subset search against every subset, and
# the readers of remittance texts against texts of any kind.
#
#	O2C_SUBSETS	cases of the subset search (default 300): up to 18 amounts, each
#			checked against all 2^n sets
#	O2C_TEXTS	texts (default 20000; a million take some minutes)
#	O2C_SEED	another seed
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $subsets = $ENV{O2C_SUBSETS} || 300;
my $texts = $ENV{O2C_TEXTS} || 20000;
my $seed = $ENV{O2C_SEED} || 20260105;
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nclient_min_messages = error");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash');

# -- subset search --------------------------------------------------------------
# Sums of all subsets by doubling; sizes in step.  Amounts collide on purpose in
# a third of the cases, and credits stand among them in another.
my (%cases, @rows);
for my $no (1 .. $subsets)
{
	my $n = 1 + int(rand(18));
	my $kind = int(rand(3));
	my @amount = map { my $a = $kind == 1 ? 1 + int(rand(12)) : 1 + int(rand(50000)); $kind == 2 && rand() < 0.2 ? -$a : $a } 1 .. $n;
	my $max = 1 + int(rand(12));
	my $target = 0;
	if (rand() < 0.8) { $target += $amount[ rand @amount ] for 1 .. 1 + int(rand($max)); }
	else { $target = 1 + int(rand(100000)); }
	my @sum = (0);
	my @size = (0);
	for my $a (@amount)
	{
		push @sum, map { $_ + $a } @sum;
		push @size, map { $_ + 1 } @size;
	}
	my $found = 0;
	for my $set (1 .. $#sum)
	{
		$found++ if $sum[$set] == $target && $size[$set] <= $max;
	}
	$cases{$no} = [ \@amount, $target, $max, $found ];
	push @rows, sprintf "%d\t{%s}\t%d\t%d", $no, join(',', @amount), $target, $max;
}
my $dir = PostgreSQL::Test::Utils::tempdir();
PostgreSQL::Test::Utils::append_to_file("$dir/cases", join("\n", @rows) . "\n");
chmod 0755, $dir;
chmod 0644, "$dir/cases";
my $out = $node->safe_psql('postgres', <<"SQL");
CREATE TABLE subset_case (no integer, amounts bigint[], target bigint, max_size integer);
\\copy subset_case FROM '$dir/cases'
SELECT c.no, coalesce(array_to_string(f.members, ','), ''), f.solutions, f.complete
FROM subset_case c, o2c._subset_search(c.amounts, c.target, c.max_size, 100000000) f ORDER BY 1;
SQL
my ($seen, $wrong_sum, $wrong_count, $incomplete, $unique) = (0, 0, 0, 0, 0);
for my $row (split /\n/, $out)
{
	my ($no, $members, $solutions, $complete) = split /\|/, $row, -1;
	my ($amount, $target, $max, $found) = @{ $cases{$no} };
	$seen++;
	$incomplete++ if $complete ne 't';
	if ($solutions > 0)
	{
		my @at = split /,/, $members;
		my %once = map { $_ => 1 } @at;
		my $sum = 0;
		$sum += $amount->[ $_ - 1 ] for @at;
		$wrong_sum++ if $sum != $target || @at > $max || keys %once != @at;
	}
	$unique++ if $solutions == 1;
	my $expected = $found > 2 ? 2 : $found;
	if (($complete eq 't' && $solutions != $expected) || $solutions > $found)
	{
		$wrong_count++;
		diag("amounts {@$amount} target $target max $max: $solutions found, $found there are") if $wrong_count < 5;
	}
}
is($seen, $subsets, "$subsets searches in up to 18 amounts");
is($wrong_sum, 0, 'what is found adds up, within its size, no amount twice');
is($wrong_count, 0, "none, one or several as all subsets say ($unique unique)");
is($incomplete, 0, 'and each search came to its end');

# -- texts -----------------------------------------------------------------------
# Pieces that occur in remittances, bytes that do not, and lengths up to 4 kB.
my $result = $node->safe_psql('postgres', <<"SQL");
SELECT setseed(@{[ ($seed % 1000) / 1000 ]});
CREATE FUNCTION pg_temp.piece() RETURNS text LANGUAGE sql VOLATILE AS \$\$
  SELECT CASE (random() * 15)::integer
    WHEN 0 THEN (random() * 1e10)::bigint::text
    WHEN 1 THEN 'INV-2025-' || (random() * 1e6)::integer
    WHEN 2 THEN (random() * 99999)::integer || '-' || (random() * 99999)::integer
    WHEN 3 THEN 'RF' || (random() * 1e9)::bigint
    WHEN 4 THEN to_char(random() * 1e6, '999G999D99')
    WHEN 5 THEN '01.' || (random() * 20)::integer || '.2025'
    WHEN 6 THEN repeat('/', (random() * 5)::integer)
    WHEN 7 THEN chr(1 + (random() * 31)::integer)
    WHEN 8 THEN chr(160 + (random() * 50000)::integer)
    WHEN 9 THEN repeat((random() * 9)::integer::text, (random() * 200)::integer)
    WHEN 10 THEN '+++' || (random() * 999)::integer || '/' || (random() * 9999)::integer || '/' || (random() * 99999)::integer || '+++'
    WHEN 11 THEN (ARRAY['u.a.', 'etc', '...', 'less CN', '-3%', 'EUR', 'Gutschrift', 'O', 'I', 'l', 'S', 'B'])[1 + (random() * 11)::integer]
    WHEN 12 THEN md5(random()::text)
    WHEN 13 THEN ', '
    ELSE ' ' END
\$\$;
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.fuzz(times integer) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
  -- pieces are drawn once, texts are drawn from them
  pieces text[] := (SELECT array_agg(pg_temp.piece()) FROM generate_series(1, 5000));
  t text; keys bigint := 0; positions integer := 0; alike integer := 0; nulls integer := 0; longest integer := 0; s float8;
BEGIN
  FOR n IN 1 .. times LOOP
    t := '';
    FOR i IN 0 .. n % 12 + CASE WHEN n % 1000 = 0 THEN 200 ELSE 0 END LOOP
      t := t || pieces[1 + floor(random() * 5000)::integer];
    END LOOP;
    keys := keys + coalesce(cardinality(o2c._cash_keys(t)), 0);
    IF EXISTS (SELECT FROM o2c.cash_tokens(t) k WHERE k."position" < 0 OR k."position" > length(t) * 4) THEN positions := positions + 1; END IF;
    s := o2c.name_similarity(t, substr(t, 2));
    IF s < 0 OR s > 1 THEN alike := alike + 1; END IF;
    IF o2c._name_key(t) IS NULL OR o2c._document_key(t) IS NULL OR length(o2c.reference_kind(t)) = 0 THEN nulls := nulls + 1; END IF;
    longest := greatest(longest, length(t));
  END LOOP;
  RETURN concat_ws(' ', times, keys, positions, alike, nulls, longest);
END \$\$;
SELECT pg_temp.fuzz($texts);
SQL
$result =~ s/^\n//;
my ($n, $keys, $positions, $similar, $nulls, $longest) = split / /, $result;
is($n, $texts, "$texts texts read, $keys keys in them, the longest of $longest characters");
is("$positions $similar $nulls", '0 0 0', 'positions lie in the text, similarities between 0 and 1, keys are there');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
$node->stop;
done_testing();
