# Every function of o2c.check() on tables that were never analyzed, with rows in
# all of them: no step of any plan handles more rows than there are documents,
# but for a factor.  On the way there billing with milestones and prepayments,
# and disputes of many items, for which the same holds.
use strict;
use warnings;
use Plans;
use Test::More;

my $n = $ENV{O2C_DOCUMENTS} || 1000;
my $node = plans_server() or plan skip_all => 'auto_explain is not there';
my $c = $node->safe_psql('o2c', "SELECT o2c.create_company('Plans', 'DE', 'EUR', vat_id => 'DE123456789')");

# No step of any plan of a statement has more rows than 40 a document.
sub keeps_to_rows
{
	my ($statement) = @_;
	my ($most, $plan) = busiest_step($node, $statement);
	cmp_ok($most, '<=', 40 * $n, "no step has more than 40 rows a document: $most") or diag(substr($plan, 0, 4000));
	cmp_ok($most, '>', 0, 'plans were seen');
}

# Invoices, some with allowances, and orders: a tenth prepaid, a tenth billed by
# milestones, some not shipped with stock reserved.
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.customer (company_id, code, name, country, email) SELECT $c, 'C' || n, 'Customer ' || n, 'DE', 'c' || n || '\@example.com' FROM generate_series(1, $n) n;
	INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category, stocked) SELECT $c, 'P' || n, 'Product ' || n, n, 'S', n % 4 = 0 FROM generate_series(1, $n) n;
	INSERT INTO o2c.stock (company_id, product_id, on_hand) SELECT $c, p.id, 100 FROM o2c.product p WHERE p.stocked;
	INSERT INTO o2c.channel (company_id, code, kind, url) VALUES ($c, 'mail', 'email', 'smtp://127.0.0.1:2525');
	INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
	SELECT $c, 1000000 + n, (SELECT min(id) FROM o2c.customer) + n % $n, 'EUR' FROM generate_series(1, $n) n;
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
	SELECT $c, 1000000 + n, l, 'Item ' || l, l, 9.99, 'EUR', 'S', CASE l WHEN 1 THEN 7 ELSE 19 END FROM generate_series(1, $n) n, generate_series(1, 3) l;
	INSERT INTO o2c.invoice_allowance (company_id, invoice_id, currency, amount, reason, tax_category, tax_rate)
	SELECT $c, 1000000 + n, 'EUR', 1, 'Loyalty', 'S', 19 FROM generate_series(1, $n, 3) n;
	SELECT count(*) FROM o2c.issue_invoices($c, (SELECT array_agg(1000000::bigint + n) FROM generate_series(1, $n) n), '2026-01-31');
	CREATE TABLE public.orders AS SELECT 'O' || n AS order_code, 'C' || 1 + n % $n AS customer_code, 'P' || 1 + (n + l) % $n AS product_code,
		3 AS quantity, 10 AS unit_price, date '2026-01-01' AS ordered_on FROM generate_series(1, $n) n, generate_series(1, 2) l;
	SELECT * FROM o2c.import_orders($c, 'public.orders');
	UPDATE o2c.sales_order SET state = 'submitted';
	INSERT INTO o2c.invoice (company_id, id, kind, customer_id, order_id, currency)
	SELECT $c, 3000000 + o.id, 'prepayment', o.customer_id, o.id, o.currency FROM (SELECT * FROM o2c.sales_order ORDER BY id LIMIT $n / 4) o;
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
	SELECT $c, i.id, 1, 'Prepayment', 1, 18, 'EUR', 'S', 19 FROM o2c.invoice i WHERE i.kind = 'prepayment';
	SELECT count(*) FROM o2c.issue_invoices($c, (SELECT array_agg(id) FROM o2c.invoice WHERE kind = 'prepayment'), '2026-01-31');
	INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on)
	SELECT $c, o.id, 'M' || m, 50, '2026-01-02' FROM (SELECT id FROM o2c.sales_order ORDER BY id DESC LIMIT $n / 10) o, generate_series(1, 2) m;
	SELECT count(*) FROM o2c.confirm_orders($c, (SELECT array_agg(id) FROM o2c.sales_order));
	SELECT count(*) FROM o2c.ship_orders($c, (SELECT array_agg(id) FROM o2c.sales_order WHERE id % 5 > 0), '2026-01-02')});
keeps_to_rows("SELECT invoices FROM o2c.run_billing($c, '2026-01-31')");
keeps_to_rows("SELECT count(*) FROM o2c.issue_invoices($c, NULL, '2026-01-31')");

# Credit notes of a quarter, many of them to be billed again; what the bank says;
# direct debits; reminders with fees and interest in every state, disputes, a
# snapshot and closed periods.
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.invoice (company_id, id, kind, customer_id, original_id, currency, reason)
	SELECT $c, 4000000 + i.id, 'credit_note', i.customer_id, i.id, i.currency, 'damaged' FROM o2c.invoice i
	JOIN o2c.invoice_line l ON l.company_id = i.company_id AND l.invoice_id = i.id
	WHERE i.kind = 'invoice' AND i.id % 4 = 0 AND l.line_no = 1 AND l.quantity > 0 AND i.state = 'issued';
	INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate, product_id, order_line_id,
		original_line_id, rebill)
	SELECT $c, 4000000 + l.invoice_id, 1, l.description, 1, l.unit_price, 'EUR', l.tax_category, l.tax_rate, l.product_id, l.order_line_id, l.id,
		l.order_line_id IS NOT NULL AND NOT EXISTS (SELECT FROM o2c.invoice_line x
			WHERE x.company_id = l.company_id AND x.invoice_id = l.invoice_id AND x.original_line_id IS NOT NULL)
	FROM o2c.invoice_line l JOIN o2c.invoice i ON i.company_id = l.company_id AND i.id = 4000000 + l.invoice_id WHERE l.line_no = 1;
	SELECT o2c._recalculate($c, (SELECT array_agg(id) FROM o2c.invoice WHERE kind = 'credit_note'));
	SELECT count(*) FROM o2c.issue_invoices($c, (SELECT array_agg(id) FROM o2c.invoice WHERE kind = 'credit_note'), '2026-01-31');
	INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES ($c, 'MAIN', 'EUR', 'DE89370400440532013000');
	CREATE TABLE public.lines AS
	SELECT 'L' || i.id AS line_id, date '2026-02-10' AS booking_date, 'EUR' AS currency, 'Customer' AS payer_name,
		i.open_amount + CASE WHEN i.id % 7 = 0 THEN 0.5 WHEN i.id % 11 = 0 THEN 20 ELSE 0 END AS amount,
		CASE WHEN i.id % 5 = 0 THEN 'nothing known' ELSE 'Invoice ' || i.number END AS remittance_text
	FROM (SELECT * FROM o2c.open_item WHERE open_amount > 0 AND invoice_id > 1000000 ORDER BY id LIMIT $n / 2) i;
	SELECT * FROM o2c.import_bank_lines($c, 'MAIN', 'public.lines');
	SELECT * FROM o2c.match_cash($c);
	INSERT INTO o2c.bank_statement (company_id, id, bank_account_id, format, currency, opening_balance, closing_balance, line_count, line_sum, content_hash)
	SELECT $c, 5000000 + n, a.id, 'camt.053', 'EUR', 0, 1, 1, 1, sha256(n::text::bytea) FROM generate_series(1, $n) n, o2c.bank_account a;
	INSERT INTO o2c.bank_line (company_id, bank_account_id, statement_id, line_id, booking_date, amount, currency)
	SELECT $c, a.id, 5000000 + n, 'S' || n, '2026-02-11', -1, 'EUR' FROM generate_series(1, $n) n, o2c.bank_account a;
	INSERT INTO o2c.mandate (company_id, customer_id, reference, iban, holder, signed_on)
	SELECT $c, id, 'M' || id, 'DE89370400440532013000', 'x', '2026-01-01' FROM o2c.customer WHERE id % 4 = 0;
	INSERT INTO o2c.payment_order (company_id, id, kind, bank_account_id, requested_on, currency, line_count, total_amount)
	SELECT $c, 7000000 + i.id, 'direct_debit', a.id, '2026-03-01', 'EUR', 1, i.open_amount
	FROM o2c.open_item i JOIN o2c.mandate m ON m.company_id = i.company_id AND m.customer_id = i.customer_id, o2c.bank_account a
	WHERE i.open_amount > 0 AND i.invoice_id > 1000000;
	INSERT INTO o2c.payment_order_line (company_id, payment_order_id, customer_id, item_id, mandate_id, sequence_type, end_to_end_id, amount, currency,
		party_name, iban, remittance_text)
	SELECT $c, 7000000 + i.id, i.customer_id, i.id, m.id, 'RCUR', 'E' || i.id, i.open_amount, 'EUR', 'x', m.iban, 'x'
	FROM o2c.open_item i JOIN o2c.mandate m ON m.company_id = i.company_id AND m.customer_id = i.customer_id
	WHERE i.open_amount > 0 AND i.invoice_id > 1000000;
	SELECT o2c.set_dunning_policy($c, 'standard', '[{"level": 1, "days": 1, "fee_amount": 5, "charge_interest": true},
		{"level": 2, "days": 15, "charge_interest": true}]', 'x', '{"is_default": true, "grouping": "item"}');
	SELECT * FROM o2c.run_dunning($c, '2026-03-15');
	UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE company_id = $c AND state = 'queued' AND id % 4 > 0;
	UPDATE o2c.message SET state = 'sent', sent_at = '2026-03-15', lease_owner = NULL WHERE state = 'sending' AND id % 4 > 1;
	UPDATE o2c.message SET state = 'dead', lease_owner = NULL, last_error = 'x' WHERE state = 'sending' AND id % 8 > 3;
	INSERT INTO o2c.message_claim (company_id, lease_owner, lease_until, message_ids)
	SELECT $c, m.lease_owner, now() + interval '1 day', ARRAY[m.id] FROM o2c.message m WHERE m.state = 'sending';
	INSERT INTO o2c.message (company_id, channel, customer_id, recipient, body_text, failover_of)
	SELECT $c, 'mail', m.customer_id, 'x\@example.com', 'x', m.id FROM o2c.message m WHERE m.state = 'dead';
	SELECT * FROM o2c.run_dunning($c, '2026-04-05')});
keeps_to_rows(qq{INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on)
	SELECT $c, i.id, i.customer_id, i.currency, 1, 'price', '2026-03-01' FROM o2c.open_item i WHERE i.open_amount > 1 AND i.kind = 'invoice'});
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, reason)
	SELECT $c, i.id, i.customer_id, i.currency, i.due_date, 'discount', -0.01, '2026-02-20', 'goodwill'
	FROM o2c.open_item i WHERE i.kind = 'invoice' AND i.open_amount > 2 AND i.id % 3 = 0;
	SELECT o2c.take_aging_snapshot($c, '2026-02-28');
	SELECT count(o2c.close_period($c, d::date, (d + interval '1 month - 1 day')::date)) FROM generate_series(timestamp '2021-01-01', '2026-01-01', '1 month') d});

# There is something of everything, and nothing is wrong with it.
is($node->safe_psql('o2c', qq{
	SELECT (SELECT count(*) FROM o2c.payment) >= $n / 4, (SELECT count(*) FROM o2c.match_proposal) >= $n / 4, (SELECT count(*) FROM o2c.allocation) > 0,
		(SELECT count(*) FROM o2c.payment_order) >= $n / 10, (SELECT count(*) FROM o2c.dunning_charge) >= $n, (SELECT count(*) FROM o2c.dispute) >= $n,
		(SELECT count(*) FROM o2c.message WHERE state = 'sending') >= $n / 8, (SELECT count(*) FROM o2c.invoice_line WHERE rebill) >= $n / 10,
		(SELECT count(*) FROM o2c.ledger_entry WHERE kind = 'discount') >= $n / 4, (SELECT sum(reserved) FROM o2c.sales_order_line) > 0, (SELECT count(*) FROM o2c.period) > 50}), join('|', ('t') x 11), 'rows everywhere');
# a payment by hand is looked for by its reference, not among all
my ($most, $plan) = busiest_step($node, "SELECT o2c.record_payment($c, NULL, 5, 'EUR', '2026-02-01', 'receipt 7', 'cash')");
cmp_ok($most, '<=', $n / 8, "recording a payment reads few rows: $most") or diag(substr($plan, 0, 4000));
my @checks = split /\n/, $node->safe_psql('o2c', q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'o2c'::regnamespace AND proname LIKE '\_check\_%' AND proretset AND pronargs = 1 ORDER BY 1});
cmp_ok(scalar(@checks), '>=', 12, 'the checks of the domains');
for my $company ($c, 'NULL')
{
	keeps_to_rows("SELECT count(*) FROM o2c.$_($company)") for @checks;
}
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
