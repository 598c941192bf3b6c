-- What becomes of an invoice whose instalments are settled in different ways: only what was written off as a whole
-- is written off, and only what was credited as a whole is credited.
BEGIN;
SELECT plan(12);
SELECT o2c.create_company('Settled', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:c, 'A', 'A', 'DE');
INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (:c, 'HALVES', 'instalments');
INSERT INTO o2c.payment_term_line (company_id, term_code, instalment, percent, net_days) VALUES (:c, 'HALVES', 1, 50, 0), (:c, 'HALVES', 2, 50, 30);
INSERT INTO o2c.invoice (company_id, id, customer_id, currency, payment_term)
SELECT :c, n, c.id, 'EUR', 'HALVES' FROM o2c.customer c, generate_series(1, 8) n WHERE c.company_id = :c;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, n, 1, 'Item', 1, 100, 'EUR', 'Z', 0 FROM generate_series(1, 8) n;
SELECT count(*) AS issued FROM o2c.issue_invoices(:c, NULL, '2026-01-31') \gset
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, c.id, 'credit_note', 'CN', '2026-01-31', '2026-01-31', 'EUR', -1000, -1000 FROM o2c.customer c WHERE c.company_id = :c;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, c.id, 'on_account', 'M', '2026-01-31', '2026-01-31', 'EUR', -1000, -1000 FROM o2c.customer c WHERE c.company_id = :c;

-- settles an invoice by one statement: an entry of each kind for its instalments in turn
CREATE FUNCTION pg_temp.entries(invoice bigint, first text, second text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on)
  SELECT i.company_id, i.id, i.customer_id, i.currency, i.due_date, CASE i.instalment WHEN 1 THEN first ELSE second END::o2c.entry_kind, - i.open_amount, false, '2026-02-10'
  FROM o2c.open_item i WHERE i.invoice_id = invoice AND i.company_id = (SELECT max(x.company_id) FROM o2c.company x);
  RETURN (SELECT state FROM o2c.invoice v WHERE v.id = invoice AND v.company_id = (SELECT max(x.company_id) FROM o2c.company x));
END $$;
-- the same of allocations: each instalment takes half of "first" and half of "second"
CREATE FUNCTION pg_temp.allocations(invoice bigint, credits text[], kinds text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on)
  SELECT i.company_id, i.id, m.id, i.currency, 25, kinds[n]::o2c.entry_kind, '2026-02-10'
  FROM o2c.open_item i, generate_series(1, 2) n, o2c.open_item m
  WHERE i.invoice_id = invoice AND i.company_id = (SELECT max(x.company_id) FROM o2c.company x)
    AND m.company_id = i.company_id AND m.number = credits[n];
  RETURN (SELECT state FROM o2c.invoice v WHERE v.id = invoice AND v.company_id = (SELECT max(x.company_id) FROM o2c.company x));
END $$;
SELECT is(:issued, 8, 'invoices in two instalments');
SELECT is(pg_temp.entries(1, 'write_off', 'write_off'), 'written_off', 'both written off');
SELECT is(pg_temp.entries(2, 'write_off', 'discount'), 'paid', 'one written off, the other not');
SELECT is(pg_temp.entries(3, 'discount', 'write_off'), 'paid', 'in either order');
SELECT is(pg_temp.entries(4, 'credit', 'credit'), 'credited', 'both credited');
SELECT is(pg_temp.entries(5, 'credit', 'write_off'), 'paid', 'one credited, the other written off');
SELECT is(pg_temp.allocations(6, '{CN,CN}', '{application,application}'), 'credited', 'credited by a credit note');
SELECT is(pg_temp.allocations(7, '{CN,M}', '{application,application}'), 'paid', 'by a credit note and money for each instalment');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT i.company_id, i.id, i.customer_id, i.currency, i.due_date, k, -25, '2026-02-10'
FROM o2c.open_item i, unnest('{discount,write_off}'::o2c.entry_kind[]) k WHERE i.company_id = :c AND i.invoice_id = 8;
SELECT is((SELECT v.state::text FROM o2c.invoice v WHERE v.company_id = :c AND v.id = 8), 'paid', 'of each instalment half a discount, half written off');
SELECT is((SELECT sum(open_amount) FROM o2c.invoice v WHERE v.company_id = :c), 0.00, 'all are settled');

-- a payment is exactly its item
SELECT throws_ok(format($$INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id)
  SELECT company_id, customer_id, 999, currency, document_date, id FROM o2c.open_item WHERE company_id = %s AND number = 'M'$$, :c),
  'O2033', NULL, 'no payment of less than its item');
SELECT throws_ok(format($$INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id)
  SELECT company_id, customer_id, 1001, currency, document_date, id FROM o2c.open_item WHERE company_id = %s AND number = 'M'$$, :c),
  'O2033', NULL, 'nor of more');
SELECT * FROM finish();
ROLLBACK;
