# What dump and restore must keep, and what install(), migrate() and
# uninstall() promise to those who are not superusers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 30\nshared_preload_libraries = 'order2cash'\nmax_worker_processes = 16");
$node->start;

# One line for each table: its name, its rows and a digest of their content.
my $digest = q{
  SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('%s %s', c.oid::regclass,
             (xpath('/row/d/text()', query_to_xml(format(
               'SELECT count(*) || '' '' || coalesce(md5(string_agg(md5(t::text), '''' ORDER BY t::text)), ''-'') AS d FROM %s t',
               c.oid::regclass), false, true, '')))[1]::text) AS line
    FROM pg_class c WHERE c.relnamespace = 'o2c'::regnamespace AND c.relkind IN ('r', 'p')) x};
# What the schema consists of, definitions included; without parentheses,
# because a restored OR of three is written with fewer.
my $schema = q{
  SELECT string_agg(translate(line, '()', ''), E'\n' ORDER BY line) FROM (
    SELECT 'index ' || pg_get_indexdef(i.indexrelid) AS line FROM pg_index i
      JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'o2c'::regnamespace
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'o2c'::regnamespace AND NOT t.tgisinternal
    UNION ALL SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
      FROM pg_constraint k WHERE k.connamespace = 'o2c'::regnamespace AND k.conrelid <> 0
    UNION ALL SELECT format('policy %s %s', p.tablename, p.policyname) || coalesce(p.qual, '') || coalesce(p.with_check, '')
      FROM pg_policies p WHERE p.schemaname = 'o2c'
    UNION ALL SELECT format('column %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.relnamespace IN ('o2c'::regnamespace, 'o2c_bi'::regnamespace) AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0
    UNION ALL SELECT format('acl %s %s', c.oid::regclass, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(c.relacl) x))
      FROM pg_class c WHERE c.relnamespace IN ('o2c'::regnamespace, 'o2c_bi'::regnamespace)
    UNION ALL SELECT format('function %s %s', p.oid::regprocedure, (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM unnest(p.proacl) x))
      FROM pg_proc p WHERE p.pronamespace = 'o2c'::regnamespace) x};

# The whole cycle of the demo, a second company, and things of the user's own.
sub fill
{
	my ($db) = @_;
	chdir $ENV{O2C_ROOT} or die "cannot enter $ENV{O2C_ROOT}: $!";
	my ($out, $err) = run_command([ 'psql', '-X', '-d', $node->connstr($db), '-v', 'smtp=smtp://127.0.0.1:25', '-f', 'test/demo/10_cycle.sql' ]);
	is($err, '', 'the cycle of the demo fills the tables');
	$node->safe_psql($db, q{
		SELECT o2c.create_company('Acme Inc', 'US', 'USD', 'America/New_York');
		INSERT INTO o2c.customer (company_id, code, name) VALUES (2, 'A', 'A');
		-- a receipt that can bounce and an order beyond the horizon
		UPDATE o2c.company SET settings = '{"credit_horizon_days": 30, "credit_return_days": {"direct_debit": 56}}' WHERE company_id = 2;
		SELECT o2c.record_payment(2, 'A', 10, 'USD', o2c.today(2), 'DD', 'direct_debit');
		INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (2, 'P', 'P', 10);
		SELECT o2c.place_order(2, 'A', '[{"product": "P", "quantity": 1}]', o2c.today(2), 'FAR');
		UPDATE o2c.sales_order SET promised_on = o2c.today(2) + 90 WHERE company_id = 2;
		SELECT o2c.confirm_order(2, id) FROM o2c.sales_order WHERE company_id = 2 AND code = 'FAR';
		SELECT 1 / (deferred AND (SELECT returnable FROM o2c.credit_exposure(2, 'A')) = 10)::integer FROM o2c.sales_order WHERE company_id = 2;
		ALTER TABLE o2c.customer ADD our_segment text DEFAULT 'retail';
		UPDATE o2c.customer SET our_segment = 'wholesale' WHERE code = 'WALD';
		CREATE INDEX our_customer_segment ON o2c.customer (company_id, our_segment);
		CREATE TABLE public.our_notes (company_id integer, customer_id bigint, note text,
			FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id));
		INSERT INTO public.our_notes SELECT company_id, id, 'hello' FROM o2c.customer WHERE code = 'WALD';
	});
}

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', 'CREATE EXTENSION order2cash');
like($node->safe_psql('source', 'SELECT o2c.install()'), qr/^installed/, 'install()');
fill('source');
is($node->safe_psql('source', 'SELECT * FROM o2c.check()'), '', 'check() is empty before the dump');
my $rows = $node->safe_psql('source', $digest);
my $objects = $node->safe_psql('source', $schema);
like($rows, qr/^o2c\.customer 6 /m, 'the digest sees rows');
like($rows, qr/^o2c\.allocation [1-9]/m, 'allocations among them');
my @filled = $rows =~ /^\S+ [1-9]/mg;
cmp_ok(scalar(@filled), '>', 25, scalar(@filled) . ' tables hold rows');

# Dump, restore with four jobs, compare.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/source.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'source' ], 'pg_dump -Fc');
$node->safe_psql('postgres', 'CREATE DATABASE target');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', '4', '-d', 'target', $dump ], 'pg_restore -j4');
is($node->safe_psql('target', $digest), $rows, 'the restored database has the same rows');
is($node->safe_psql('target', $schema), $objects, 'and the same indexes, triggers, constraints, policies, columns and rights');
is($node->safe_psql('target', 'SELECT * FROM o2c.check()'), '', 'check() is empty after the restore');
is($node->safe_psql('target', q{SELECT our_segment FROM o2c.customer WHERE code = 'WALD'}), 'wholesale',
	"the user's own column is there");
is($node->safe_psql('target', q{SELECT count(*) FROM pg_indexes WHERE indexname = 'our_customer_segment'}), '1',
	"and the user's own index");
is($node->safe_psql('target', q{
	WITH n AS (INSERT INTO o2c.customer (company_id, code, name) VALUES (1, 'NEW', 'New') RETURNING id)
	SELECT n.id > (SELECT max(id) FROM o2c.customer) FROM n}), 't', 'sequences go on where they were');
is($node->safe_psql('target', q{SELECT o2c.create_company('Third', 'FR', 'EUR')}), '3', 'also those of companies');
my ($code, $out, $err) = $node->psql('target', 'DELETE FROM o2c.ledger_entry');
like($err, qr/append-only/, 'the restored triggers guard');
is($node->safe_psql('target', q{SELECT total FROM o2c.aging(1, '2025-10-01') WHERE customer_code = 'BERG'}), '746.13', 'the past is told as before');
is($node->safe_psql('target', q{SELECT dispatcher FROM o2c.version()}), 'not armed', 'the restored database does not send');
($code, $out, $err) = $node->psql('target', q{UPDATE o2c.open_item SET open_amount = 0});
isnt($code, 0, 'derived amounts cannot be set in the restored database');

# migrate() after a restore, twice.
$node->safe_psql('target', 'SELECT o2c.migrate()');
is($node->safe_psql('target', $schema), $objects, 'migrate() changes no object');
$node->safe_psql('target', 'SELECT o2c.migrate()');
is($node->safe_psql('target', $schema), $objects, 'nor does a second one');
like($node->safe_psql('target', 'SELECT o2c.install()'), qr/already installed/, 'install() again does nothing');
is($node->safe_psql('target', $schema), $objects, 'and changes no object');

# A plain-text dump that is restored as one script.
my $plain = PostgreSQL::Test::Utils::tempdir() . '/source.sql';
$node->command_ok([ 'pg_dump', '-f', $plain, 'source' ], 'pg_dump as text');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', 'plain', '-f', $plain ], 'restored by psql');
is($node->safe_psql('plain', $digest), $rows, 'the same rows');

# uninstall() refuses while there are rows, takes only its own things, and
# leaves nothing behind.
($code, $out, $err) = $node->psql('source', '\set VERBOSITY sqlstate
SELECT o2c.uninstall()');
like($err, qr/O2007/, 'uninstall() refuses while there are rows');
is($node->safe_psql('source', $digest), $rows, 'and has changed nothing');
($code, $out, $err) = $node->psql('source', 'SELECT o2c.uninstall(drop_data => true)');
like($err, qr/our_notes/, "uninstall() does not drop what a user's table refers to");
$node->safe_psql('source', 'DROP TABLE public.our_notes; SELECT o2c.uninstall(drop_data => true)');
is($node->safe_psql('source', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'o2c'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_class.oid AND d.deptype = 'e')}),
	'0', 'uninstall(drop_data => true) leaves no table, view or sequence');
is($node->safe_psql('source', 'SELECT o2c.uninstall()'), 'not installed', 'again: nothing to do');
like($node->safe_psql('source', 'SELECT o2c.install()'), qr/^installed/, 'and it can be installed anew');
$node->safe_psql('source', 'SELECT o2c.uninstall(); DROP EXTENSION order2cash');
pass('DROP EXTENSION after uninstall() needs no CASCADE');

# The extension cannot be dropped under its tables by mistake.
($code, $out, $err) = $node->psql('target', 'DROP EXTENSION order2cash');
isnt($code, 0, 'DROP EXTENSION without CASCADE is refused while tables use it');

$node->stop;

# A database owner who is no superuser, in a cluster without the roles.
my $other = PostgreSQL::Test::Cluster->new('owner');
$other->init;
$other->append_conf('postgresql.conf', 'fsync = off');
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE shop LOGIN; CREATE ROLE stranger LOGIN');
$other->safe_psql('postgres', 'CREATE DATABASE shop OWNER shop');
my @as_shop = (extra_params => [ '-U', 'shop' ]);
$other->safe_psql('shop', 'CREATE EXTENSION order2cash', @as_shop);
pass('a database owner may create the extension');
($code, $out, $err) = $other->psql('shop', "\\set VERBOSITY verbose\nSELECT o2c.install()", @as_shop);
like($err, qr/O2008/, 'install() without the right to create roles says so');
like($err, qr/CREATE ROLE o2c_reader NOLOGIN/, 'and what a superuser has to run');
my ($commands) = $err =~ /superuser run: (.*?); then/;
$other->safe_psql('shop', $commands // 'SELECT 1/0');
like($other->safe_psql('shop', 'SELECT o2c.install()', @as_shop), qr/^installed/, 'after that the owner installs');
is($other->safe_psql('shop', q{SELECT o2c.create_company('Shop', 'DE', 'EUR')}, @as_shop), '1', 'and makes a company');
is($other->safe_psql('shop', q{INSERT INTO o2c.customer (company_id, code, name) VALUES (1, 'A', 'A') RETURNING id}, @as_shop), '1',
	'and a customer');
is($other->safe_psql('shop', 'SELECT * FROM o2c.check()', @as_shop), '', 'check() is empty');
like($other->safe_psql('shop', 'SELECT o2c.migrate()', @as_shop), qr/tables version/, 'the owner migrates');
($code, $out, $err) = $other->psql('shop', q{SELECT o2c.create_company('Mine', 'DE', 'EUR')}, extra_params => [ '-U', 'stranger' ]);
isnt($code, 0, 'a stranger may do nothing');
($code, $out, $err) = $other->psql('shop', 'SELECT * FROM o2c.customer', extra_params => [ '-U', 'stranger' ]);
isnt($code, 0, 'nor read');
$other->safe_psql('shop', 'SELECT o2c.uninstall(drop_data => true); DROP EXTENSION order2cash', @as_shop);
pass('the owner uninstalls and drops the extension');
$other->stop;

done_testing();
