# Each role does its own work, as a login that is no superuser and under row
# security: the cycle from master data to a reminder, and nobody needs more.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE shop LOGIN; CREATE DATABASE shop OWNER shop');
$node->safe_psql('postgres', join ';', map { "CREATE ROLE o2c_$_ NOLOGIN" } qw(reader clerk collector manager admin dispatcher));
my $statement = unpack 'H*', slurp_file("$ENV{O2C_ROOT}/test/data/statement_camt053.xml");

# The result of a statement as a login; an error is a failed test.
sub as
{
	my ($login, $name, $sql, $expected) = @_;
	my ($code, $out, $err) = $node->psql('shop', $sql, extra_params => [ '-U', $login ]);
	if ($code != 0) { fail("$login: $name"); diag $err; }
	elsif (ref $expected) { like($out, $expected, "$login: $name"); }
	else { is($out, $expected, "$login: $name"); }
	return $out;
}

# The owner of the database installs; he is no superuser.
as('shop', 'installs', 'CREATE EXTENSION order2cash; SELECT o2c.install()', qr/^installed/);
$node->safe_psql('postgres', join ';', map { "CREATE ROLE $_ LOGIN IN ROLE o2c_$_" } qw(reader clerk collector manager admin));

as('admin', 'creates a company', q{SELECT o2c.create_company('Shop', 'DE', 'EUR', 'Europe/Berlin', vat_id => 'DE136695976', street => 'Am Markt 1', postal_code => '10178', city => 'Berlin')}, '1');
as('admin', 'lets the others in', q{INSERT INTO o2c.company_member (company_id, role_name) SELECT 1, unnest('{reader,clerk,collector,manager}'::name[]) RETURNING 1}, "1\n1\n1\n1");
as('admin', 'imports customers', q{CREATE TEMP TABLE t (code text, name text, country text, email text, iban text, credit_limit text);
	INSERT INTO t VALUES ('BERG', 'Bergmann Bau GmbH', 'DE', 'a@berg.example', 'DE92500105170000100001', '5000'), ('FELS', 'Fels & Sohn KG', 'DE', 'b@fels.example', 'DE65500105170000100002', '100');
	SELECT * FROM o2c.import_customers(1, 't')}, '2|0|0');
as('admin', 'imports products', q{CREATE TEMP TABLE t (code text, name text, unit_price text, on_hand text);
	INSERT INTO t VALUES ('DRILL', 'Drill', '100', '50'); SELECT * FROM o2c.import_products(1, 't')}, '1|0|0');
as('admin', 'adds a bank account and a channel', q{
	INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (1, 'MAIN', 'EUR', 'DE89370400440532013000');
	INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (1, 'mail', 'email', 'smtp://127.0.0.1:2525', '{"from": "a@shop.example"}');
	UPDATE o2c.number_series SET pattern = 'INV-{yyyy}-{n:4}', reset = 'year' WHERE company_id = 1 AND code = 'invoice' RETURNING 1}, '1');
as('admin', 'imports open items', q{CREATE TEMP TABLE t (number text, customer_code text, document_date date, due_date date, currency text, amount numeric, open_amount numeric);
	INSERT INTO t VALUES ('OLD-1', 'BERG', '2025-01-01', '2025-01-31', 'EUR', 40, 40); SELECT * FROM o2c.import_open_items(1, 't')}, '1|0|0');

as('clerk', 'places orders', q{SELECT o2c.place_order(1, 'BERG', '[{"product": "DRILL", "quantity": 2}]', '2025-09-01', 'A'),
	o2c.place_order(1, 'FELS', '[{"product": "DRILL", "quantity": 2}]', '2025-09-01', 'B')}, '1|2');
as('clerk', 'confirms what credit allows', 'SELECT o2c.confirm_order(1, 1), o2c.confirm_order(1, 2)', 'confirmed|submitted');
as('manager', 'raises a limit and releases', q{SELECT o2c.set_credit_limit(1, 'FELS', 1000, 'guarantee'); SELECT o2c.release_order(1, 2, 'limit raised')}, qr/confirmed$/);
as('clerk', 'ships', q{SELECT o2c.ship_order(1, 1, shipped_on => '2025-09-02'), o2c.ship_order(1, 2, shipped_on => '2025-09-02')}, '1|2');
as('clerk', 'bills and issues', q{SELECT invoices FROM o2c.run_billing(1, '2025-09-03'); SELECT string_agg(number, ' ' ORDER BY number) FROM o2c.issue_invoices(1, issue_date => '2025-09-03')},
	"2\nINV-2025-0001 INV-2025-0002");
as('clerk', 'makes an electronic invoice', q{SELECT xml_is_well_formed_document(o2c.invoice_ubl(1, 1)::text)}, 't');
as('clerk', 'imports a bank statement', "SELECT lines FROM o2c.import_statement(1, 'MAIN', '\\x$statement')", '5');
as('clerk', 'matches cash', 'SELECT lines FROM o2c.match_cash(1)', '4');
as('clerk', 'records and applies a payment', q{SELECT o2c.apply_payment(1, o2c.record_payment(1, 'BERG', 15, 'EUR', '2025-09-10'), 'OLD-1', 15, '2025-09-10') > 0}, 't');
as('clerk', 'undoes it', q{SELECT o2c.unapply(1, (SELECT max(id) FROM o2c.allocation), '2025-09-11', 'wrong item') > 0}, 't');
as('clerk', 'credits an invoice', q{SELECT o2c.credit_invoice(1, 2, reason => 'damaged', issue_date => '2025-09-12') > 0}, 't');
as('manager', 'writes off', q{SELECT o2c.write_off(1, 'OLD-1', 5, 'small', '2025-09-20') IS NOT NULL}, 't');
as('collector', 'takes a promise', q{SELECT o2c.promise_to_pay(1, 'BERG', 10, o2c.today(1) + 5) > 0}, 't');
as('collector', 'opens and resolves a dispute', q{SELECT o2c.resolve_dispute(1, o2c.open_dispute(1, 'OLD-1', 10, 'quality'), 'rejected', 'checked') IS NOT NULL}, 't');
as('collector', 'reminds', q{SELECT notices >= 0 FROM o2c.run_dunning(1, '2025-11-10')}, 't');
as('collector', 'sees the worklist', q{SELECT count(*) >= 0 FROM o2c_bi.worklist}, 't');
as('reader', 'reads receivables', q{SELECT count(*) > 0 FROM o2c_bi.receivables}, 't');
as('reader', 'reads aging', q{SELECT count(*) > 0 FROM o2c_bi.aging}, 't');
as('admin', 'arms the dispatcher', 'SELECT o2c.arm_dispatch() IS NOT NULL', 't');

# The tick: one login with what all jobs take, and others that lack something.
my %ticks = (nightly => 'o2c_admin, o2c_clerk, o2c_collector', no_clerk => 'o2c_admin, o2c_collector', no_collector => 'o2c_admin, o2c_clerk');
$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN IN ROLE $ticks{$_}") for sort keys %ticks;
as('admin', 'lets them in', q{INSERT INTO o2c.company_member (company_id, role_name) SELECT 1, unnest('{nightly,no_clerk,no_collector}'::name[]) RETURNING 1}, "1\n1\n1");
as('admin', 'wants statements', q{INSERT INTO o2c.job (company_id, name, every, run_at) VALUES (1, 'statements', 'month', '06:30') RETURNING 1}, '1');
as('admin', 'has an item that nobody was reminded of', q{INSERT INTO o2c.customer (company_id, code, name, email) VALUES (1, 'TAL', 'Tal AG', 'c@tal.example'); CREATE TEMP TABLE t (number text, customer_code text, document_date date, due_date date, currency text, amount numeric, open_amount numeric);
	INSERT INTO t VALUES ('OLD-2', 'TAL', '2025-10-15', '2025-11-15', 'EUR', 70, 70); SELECT * FROM o2c.import_open_items(1, 't')}, '1|0|0');
as('clerk', 'leaves something to bill and to reserve', q{SELECT o2c.place_order(1, 'BERG', '[{"product": "DRILL", "quantity": 1}]', '2025-11-20', 'C') > 0;
	SELECT o2c.confirm_order(1, 3); SELECT o2c.ship_order(1, 3, shipped_on => '2025-11-21') > 0; SELECT o2c.place_order(1, 'FELS', '[{"product": "DRILL", "quantity": 1}]', '2025-11-20', 'D') > 0}, "t\nconfirmed\nt\nt");
as('collector', 'has a message that is done', q{WITH m AS (SELECT o2c.send_message(1, 'mail', 'x@berg.example', 'note', '{"subject": "x", "body": "x"}', 'old') AS id) SELECT o2c.cancel_message(1, id) FROM m}, qr/./);
sub tick
{
	my ($login, $at, $name, $expected) = @_;
	as($login, $name, "SELECT string_agg(job || CASE WHEN ok THEN '' ELSE ' failed' END, ' ' ORDER BY job) FROM o2c.run_due_jobs('$at')", $expected);
}
tick('nightly', '2025-12-01 12:00+00', 'does every job', 'billing credit dunning expiry kpi matching promises retention statements stock');
is($node->safe_psql('shop', q{SELECT string_agg(name || ': ' || result, '; ' ORDER BY name) FROM o2c.job_run WHERE name IN ('billing', 'dunning', 'kpi', 'statements')}),
	'billing: {"amount": 119.00, "invoices": 1}; dunning: 1 notices, 1 items, 1 messages; kpi: aging of 2025-11-30: 4 rows; statements: 3 statements', 'that had something to do');
tick('no_clerk', '2025-12-02 12:00+00', 'does what takes no clerk', 'billing failed credit dunning expiry kpi matching promises retention stock failed');
is($node->safe_psql('shop', q{SELECT string_agg(name || ': ' || result, '; ' ORDER BY name) FROM o2c.job_run WHERE NOT ok}),
	'billing: 42501: job "billing" takes the rights of o2c_clerk, which no_clerk does not have; stock: 42501: job "stock" takes the rights of o2c_clerk or o2c_manager, which no_clerk does not have',
	'what fails names the missing right');
tick('no_collector', '2025-12-02 12:30+00', 'does what was left', 'billing stock');
tick('no_collector', '2025-12-03 12:00+00', 'and what takes no collector', 'billing credit dunning failed expiry kpi matching promises failed retention stock');
tick('nightly', '2025-12-03 12:30+00', 'makes up the rest', 'dunning promises');
as('nightly', 'ticks with a transaction a job', q{CALL o2c.run_jobs('2025-12-04 12:00+00'); SELECT string_agg(job || ' ' || state, ', ' ORDER BY job) FROM o2c_bi.jobs WHERE last_for = '2025-12-04' OR state <> 'ok'},
	'billing ok, credit ok, dunning ok, expiry ok, kpi ok, matching ok, promises ok, retention ok, stock ok');
like(($node->psql('shop', 'SELECT * FROM o2c.run_due_jobs()', extra_params => [ '-U', 'clerk' ]))[2], qr/permission denied for function run_due_jobs/, 'clerk: may not tick');
as('clerk', 'checks invariants', 'SELECT count(*) FROM o2c.check()', '0');
is($node->safe_psql('shop', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
