# Billing and issuing on tables that were never analyzed (the checks: 221_check_plans.pl): no step of any plan
# handles more rows than there are documents, but for a factor.  Without
# statistics the planner takes tables for small and joins them by nested loops,
# with the square of the rows; what guards against it is in the statements.
use strict;
use warnings;
use Plans;
use Test::More;

my $documents = $ENV{O2C_DOCUMENTS} || 1200;
my $node = plans_server() or plan skip_all => 'auto_explain is not there';
my $company = $node->safe_psql('o2c', "SELECT o2c.create_company('Plans', 'DE', 'EUR', vat_id => 'DE123456789')");
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.customer (company_id, code, name, country) SELECT $company, 'C' || n, 'Customer ' || n, 'DE' FROM generate_series(1, $documents) n;
	INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) SELECT $company, 'P' || n, 'Product ' || n, n, 'S' FROM generate_series(1, $documents) n;
	INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
	SELECT $company, 1000000 + n, (SELECT min(id) FROM o2c.customer) + n % $documents, 'EUR' FROM generate_series(1, $documents) n;
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
	SELECT $company, 1000000 + n, l, 'Item ' || l, l, 9.99, 'EUR', 'S', CASE l WHEN 1 THEN 7 ELSE 19 END FROM generate_series(1, $documents) n, generate_series(1, 3) l;
	INSERT INTO o2c.invoice_allowance (company_id, invoice_id, currency, amount, reason, tax_category, tax_rate)
	SELECT $company, 1000000 + n, 'EUR', 1, 'Loyalty', 'S', 19 FROM generate_series(1, $documents, 3) n;
	CREATE TABLE public.orders AS SELECT 'O' || n AS order_code, 'C' || 1 + n % $documents AS customer_code, 'P' || 1 + (n + l) % $documents AS product_code,
		3 AS quantity, 10 AS unit_price, date '2026-01-01' AS ordered_on FROM generate_series(1, $documents) n, generate_series(1, 2) l;
	SELECT * FROM o2c.import_orders($company, 'public.orders');
	UPDATE o2c.sales_order SET state = 'submitted';
	UPDATE o2c.sales_order SET state = 'confirmed';
	SELECT count(*) FROM o2c.ship_orders($company, (SELECT array_agg(id) FROM o2c.sales_order), '2026-01-02')});

for my $statement (
	"SELECT count(*) FROM o2c.issue_invoices($company, (SELECT array_agg(1000000::bigint + n) FROM generate_series(1, $documents) n), '2026-01-31')",
	"SELECT count(*) FROM o2c.issue_invoices($company, (SELECT array_agg(1000000::bigint + n) FROM generate_series(1, $documents) n), '2026-01-31')",
	"SELECT invoices FROM o2c.run_billing($company, '2026-01-31')",
	"SELECT count(*) FROM o2c.issue_invoices($company, NULL, '2026-01-31')",
	"SELECT invoices FROM o2c.run_billing($company, '2026-01-31')")
{
	my ($most, $plan) = busiest_step($node, $statement);
	cmp_ok($most, '<=', 40 * $documents, "no step has more than 40 rows a document: $most") or diag(substr($plan, 0, 4000));
	cmp_ok($most, '>', 0, 'plans were seen');
}
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
