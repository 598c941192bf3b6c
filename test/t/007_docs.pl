# What README shows is what happens: its SQL runs as it stands there and gives
# the output printed below it.  And links of the docs lead somewhere.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use File::Find;
use Test::More;

my $root = $ENV{O2C_ROOT} || '.';
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;

# The SQL block of a document and the output block that follows it.
sub example_of
{
	my ($file) = @_;
	my $text = slurp_file("$root/$file");
	my ($sql, $output) = $text =~ /^```sql\n(.*?)^```\n.*?^```(?:text)?\n(.*?)^```/ms;
	return ($sql // '', $output // '');
}

# Output without what carries no meaning: blanks at line ends, empty lines.
sub plain
{
	my ($text) = @_;
	return join "\n", grep { $_ ne '' } map { s/\s+$//r } split /\n/, $text;
}

my ($sql, $output) = example_of('README.md');
cmp_ok(length($sql), '>', 100, 'README has an SQL example');
my ($code, $out, $err) = $node->psql('postgres', "\\set QUIET on\nSET client_min_messages = warning;\n\\pset format aligned\n\\pset footer off\n\\pset tuples_only off\n$sql");
is($err, '', 'it runs without an error');
is(plain($out), plain($output), 'and prints what README says');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty afterwards');

# The list of functions is written by make docs; it must not name what is gone.
my %there = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'o2c'::regnamespace});
my %listed = map { $_ => 1 } slurp_file("$root/docs/reference/functions.md") =~ /^\*\*`(\w+)\(/mg;
is(join(' ', grep { !$there{$_} } sort keys %listed), '', 'docs/reference/functions.md names only functions that are there');
my %named;
for my $file (glob("$root/*.md $root/docs/*.md $root/docs/reference/*.md"))
{
	my $text = slurp_file($file);
	while ($text =~ /\bo2c\.(\w+)\(/g) { $named{$1} = $file unless $there{$1}; }
}
is(join("\n", map { "$_ in $named{$_}" } sort keys %named), '', 'every function that a document calls is there');
my $operations = slurp_file("$root/docs/operations.md");
my @settings = split /\n/, $node->safe_psql('postgres', q{LOAD 'order2cash'; SELECT name FROM pg_settings WHERE name LIKE 'order2cash.%' ORDER BY 1});
cmp_ok(scalar(@settings), '>', 5, 'settings are there');
is(join(' ', grep { $operations !~ /\Q$_\E/ } @settings), '', 'docs/operations.md has every setting');

# The quickstart from its first CREATE EXTENSION on, as a newcomer types it.
sub indented { return join '', map { /^    (.*)/s ? $1 : '' } split /^/, $_[0]; }
my $steps = indented(slurp_file("$root/docs/quickstart.md"));
$steps =~ s/.*?(?=CREATE EXTENSION)//s;
$steps =~ s{/path/statement\.xml}{$root/test/data/statement_camt053.xml} or die 'quickstart imports no statement';
$node->safe_psql('postgres', 'CREATE DATABASE quickstart');
my ($quick, $printed, $complaint) = $node->psql('quickstart', "SET client_min_messages = warning;\n$steps", on_error_stop => 1);
is("$quick $complaint", '0 ', 'the quickstart runs as it stands there');
like($printed, qr/^INV2026-000001$/m, 'and issues its invoice');
is($node->safe_psql('quickstart', 'SELECT * FROM o2c.check()'), '', 'check() is empty afterwards');

# Every statement of every document names functions, arguments, tables and
# columns that are there; every call written with company_id has its arguments.
my %arguments;
push @{ $arguments{(split /\|/)[0]} }, (split /\|/, $_, 2)[1]
	for split /\n/, $node->safe_psql('postgres', q{SELECT proname, coalesce(array_to_string(proargnames[1:pronargs], ','), '') FROM pg_proc WHERE pronamespace = 'o2c'::regnamespace});
my (@unfit, @unknown);
my $statements = 0;
for my $file ("$root/README.md", glob("$root/docs/*.md $root/docs/reference/*.md"))
{
	my $text = slurp_file($file);
	while ($file !~ /functions\.md$/ && $text =~ /\b([a-z][a-z_0-9]+)\((company_id[^()]*)\)/g)
	{
		my ($name, $list) = ($1, join ',', map { /^\s*(\w+)(?!\s*=>)\b/ ? $1 : () } split /,/, $2);
		push @unknown, "$name($list) in $file" unless grep { index("$_,", "$list,") == 0 } @{ $arguments{$name} // [] };
	}
	my @blocks = $text =~ /^```sql\n(.*?)^```/msg;
	$text =~ s/^```.*?^```//msg;
	for my $statement (map { /^((?:SELECT|INSERT|UPDATE|DELETE|WITH)\b.*?;)/msg } @blocks, indented($text))
	{
		next if $statement =~ /\bcron\.|\bmy_customers\b/;	# another extension, the reader's own table
		$statements++;
		my ($fit, undef, $why) = $node->psql('postgres', "PREPARE doc AS $statement");
		push @unfit, "$statement\n$why in $file" if $why ne '';
	}
}
cmp_ok($statements, '>', 50, 'documents have statements');
is(join("\n", @unfit), '', 'and each of them can be run');
is(join("\n", @unknown), '', 'calls have the arguments that functions have');

note('not listed yet, run make docs: ' . join(' ', grep { !/^_/ && !$listed{$_} } sort keys %there));
$node->stop;

my @missing;
find({ no_chdir => 1, wanted => sub {
	return unless /\.md$/ && !m{/build/};
	my $file = $_;
	(my $folder = $file) =~ s{/[^/]*$}{};
	my $text = slurp_file($file);
	while ($text =~ /\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)
	{
		push @missing, "$file -> $1" unless -e "$folder/$1";
	}
} }, "$root/README.md", "$root/CONTRIBUTING.md", "$root/CHANGELOG.md", "$root/docs");
is(join("\n", @missing), '', 'every link of the docs leads to a file');

done_testing();
