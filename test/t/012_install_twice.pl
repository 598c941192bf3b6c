# install(), migrate() and uninstall() by several sessions at once: one does the
# work, the others find it done.  migrate() and uninstall() while others work:
# they wait for each other and nobody meets a deadlock.
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
# people at work, some of whom begin with another table than the company
$node->safe_psql('one', q{SELECT o2c.create_company('A', 'DE', 'EUR');
	INSERT INTO o2c.customer (company_id, code, name) SELECT 1, 'A' || n, 'A' FROM generate_series(1, 20) n;
	INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (1, 'P', 'P', 10)});
my $work = "$dir/work";
append_to_file($work, q{\set k random(1, 20)
SELECT o2c.confirm_order(1, o2c.place_order(1, 'A' || :k, '[{"product": "P", "quantity": 1}]', '2026-03-02'));
SELECT o2c.record_payment(1, 'A' || :k, 5, 'EUR', '2026-03-02', 'x', 'transfer');
BEGIN;
UPDATE o2c.customer SET name = name WHERE company_id = 1 AND code = 'A' || :k;
SELECT count(*) FROM o2c_bi.receivables;
INSERT INTO o2c.product (company_id, code, name) VALUES (1, gen_random_uuid()::text, 'x');
COMMIT;
});
my $at_work = sub {
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'pgbench', '-n', '-c', 3, '-j', 3, '-T', 5, '-f', $work, $node->connstr('one') ], '>', \$out, '2>', \$err);
	sleep 1;
	$_[0]->();
	return (IPC::Run::finish($run), \$err);
};
my ($ok, $err) = $at_work->(sub { $node->safe_psql('one', 'SELECT o2c.migrate()') for 1 .. 3; pass('migrate() while others work, three times') });
ok($ok, 'nobody at work is disturbed') or diag $$err;
is($node->safe_psql('one', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$at_work->(sub { is($node->safe_psql('one', 'SELECT left(o2c.uninstall(true), 11)'), 'uninstalled', 'uninstall() while others work') });
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'no deadlock');
$at_once->('o2c.install()', 'one');
$at_once->('o2c.uninstall()', 'one');
$at_once->('o2c.install()', 'one');
$node->stop('fast');
done_testing();
