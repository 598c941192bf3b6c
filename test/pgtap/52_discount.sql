-- A cash discount from the term to the journal: granted at issue, taken by a
-- payment, spread over the tax rates by largest remainder, and given back.
SET client_min_messages = warning;
SELECT plan(12);

SELECT o2c.create_company('Discount', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'A', 'Alpha GmbH', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code, currency) VALUES (:c, 'M', 'EUR');
INSERT INTO o2c.payment_term (company_id, code, net_days, discount_percent, discount_days, discount_basis)
SELECT :c, v.code, 30, 2, 10, v.basis FROM (VALUES ('G', 'gross'), ('N', 'net')) v (code, basis);
CREATE FUNCTION pg_temp.sold(c integer, term text, lines text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE i bigint;
BEGIN
  INSERT INTO o2c.invoice (company_id, customer_id, currency, payment_term) SELECT c, k.id, 'EUR', term FROM o2c.customer k WHERE k.company_id = c RETURNING id INTO i;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  SELECT c, i, n, 'Item', 1, split_part(l, '@', 1)::numeric, 'EUR', CASE WHEN l LIKE '%@0' THEN 'Z' ELSE 'S' END, split_part(l, '@', 2)::numeric FROM unnest(string_to_array(lines, ' ')) WITH ORDINALITY u(l, n);
  RETURN o2c.issue_invoice(c, i, '2026-01-10');
END $$;
SELECT pg_temp.sold(:c, 'G', '1000@19') AS one, pg_temp.sold(:c, 'N', '1000@19') AS net, pg_temp.sold(:c, 'G', '10.01@19 10.01@7 5@0') AS three \gset
CREATE FUNCTION pg_temp.posted(n text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(j.purpose || ' ' || (j.debit - j.credit), ', ' ORDER BY j.purpose) FROM o2c_bi.journal j WHERE j.number = n AND j.kind = 'discount' $$;

-- the vector: 1190.00 is settled with 1166.20; on the net amount with 1170.00
SELECT results_eq(format('SELECT number, discount_date, discount_amount FROM o2c.open_item WHERE company_id = %s ORDER BY id', :c),
  format($$VALUES (%L, '2026-01-20'::date, 23.80), (%L, '2026-01-20', 20.00), (%L, '2026-01-20', 0.55)$$, :'one', :'net', :'three'), 'what the terms grant');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :c, a.id, v.line, '2026-01-19', v.amount, 'EUR', 'Alpha GmbH', 'DE89370400440532013000', v.n FROM o2c.bank_account a,
  (VALUES ('one', 1166.20, :'one'), ('net', 1170.00, :'net'), ('three', 27.07, :'three')) v (line, amount, n);
SELECT is((SELECT auto_lines FROM o2c.match_cash(:c)), 3::bigint, 'payments less discount are matched');
SELECT is((SELECT array_agg(state::text || ' ' || open_amount ORDER BY id) FROM o2c.invoice), '{"paid 0.00","paid 0.00","paid 0.00"}', 'and settle the invoices');
SELECT is(pg_temp.posted(:'one'), 'discount 20.00, receivable -23.80, tax 3.80', 'discount 20.00 net and 3.80 tax');
SELECT is(pg_temp.posted(:'net'), 'discount 20.00, receivable -20.00', 'on the net amount the tax stays');
SELECT results_eq(format('SELECT tax_rate, discount_amount, net_amount, tax_amount FROM o2c_bi.discount_taxes WHERE number = %L ORDER BY tax_rate', :'three'),
  'VALUES (0::numeric, 0.10, 0.10, 0.00), (7, 0.21, 0.20, 0.01), (19, 0.24, 0.20, 0.04)', 'over several rates it is spread by largest remainder');
SELECT is(pg_temp.posted(:'three'), 'discount 0.50, receivable -0.55, tax 0.05', 'and the journal has their sum');
SELECT is((SELECT sum(debit - credit) FROM o2c_bi.journal WHERE company_id = :c), 0.00, 'debits are credits');

-- taken back with the payment
SELECT o2c.unapply(:c, a.id, '2026-02-01', 'bounced') FROM o2c.allocation a JOIN o2c.open_item i ON i.id = a.debit_item_id WHERE i.number = :'three' \g /dev/null
SELECT is((SELECT string_agg(s.purpose || ' ' || s.amount, ', ' ORDER BY s.purpose) FROM (SELECT j.purpose, sum(j.debit - j.credit) AS amount
  FROM o2c_bi.journal j WHERE j.number = :'three' AND j.kind = 'discount' GROUP BY 1) s), 'discount 0.00, receivable 0.00, tax 0.00', 'an undone discount gives its tax back, cent for cent');
SELECT is((SELECT sum(tax_amount) FROM o2c_bi.discount_taxes WHERE number = :'three'), 0.00, 'for the tax return too');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, kind, amount, currency, due_date, effective_on)
SELECT :c, i.id, i.customer_id, 'discount', v.amount, i.currency, i.due_date, '2026-02-02' FROM o2c.open_item i, (VALUES (-0.01), (-27.61)) v (amount) WHERE i.number = :'three';
SELECT results_eq($$SELECT e.amount, sum(d.discount_amount), count(*) FILTER (WHERE d.discount_amount <> 0) FROM o2c_bi.discount_taxes d
    JOIN o2c.ledger_entry e ON e.company_id = d.company_id AND e.id = d.entry_id AND e.effective_on = '2026-02-02' GROUP BY e.id, e.amount ORDER BY e.id$$,
  'VALUES (-0.01, 0.01, 1::bigint), (-27.61, 27.61, 3)', 'a cent is given once, and all that is left wholly');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
