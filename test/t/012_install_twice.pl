# install(), migrate() and uninstall() by several sessions at once: one does the
# work, the others find it done.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('twice');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $at_once = sub {
	my ($call, @databases) = @_;
	open my $f, '>', "$dir/script" or die $!;
	print $f "SELECT $call;\n";
	close $f;
	my @runs = map {
		my ($out, $err) = ('', '');
		[ IPC::Run::start([ 'pgbench', '-n', '-c', 3, '-j', 3, '-t', 1, '-f', "$dir/script", $node->connstr($_) ], '>', \$out, '2>', \$err), \$err ]
	} @databases;
	my $failed = grep { !IPC::Run::finish($_->[0]) } @runs;
	is($failed, 0, "$call by three sessions of each of: @databases") or diag map { ${ $_->[1] } } @runs;
};

for my $db (qw(one two))
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION order2cash');
}
# the roles belong to both
$at_once->('o2c.install()', 'one', 'two');
is($node->safe_psql($_, 'SELECT count(*) FROM o2c.installation'), '1', "$_ is installed once") for qw(one two);
$at_once->('o2c.migrate()', 'one');
is($node->safe_psql('one', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$at_once->('o2c.uninstall()', 'one');
$at_once->('o2c.install()', 'one');
$node->stop('fast');
done_testing();
