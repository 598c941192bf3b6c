-- Prepayments and credit: what is settled of a prepayment invoice lowers the
-- exposure until an invoice deducts it.  An order of 1000 net, 30 % in advance.

SELECT plan(22);

SELECT o2c.create_company('Advance', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, credit_limit)
  SELECT :c, x, x, 'DE', 1500 FROM unnest('{FULL,RETURN,CREDIT,OFF,PART,LATE,HEAD}'::text[]) x;
INSERT INTO o2c.customer (company_id, code, name, country, parent_code) VALUES (:c, 'CHILD', 'Child', 'DE', 'HEAD');
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'P', 'Piece', 100, 'S');
CREATE FUNCTION pg_temp.confirmed(c integer, customer text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(c, customer, '[{"product": "P", "quantity": 10}]', '2026-03-01', customer);
BEGIN PERFORM o2c.submit_order(c, o); PERFORM o2c.confirm_order(c, o); RETURN o; END $$;
-- an issued prepayment invoice of 357.00 gross; its id
CREATE FUNCTION pg_temp.advance(c integer, o bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE p bigint := o2c.prepayment_invoice(c, o, 30);
BEGIN PERFORM o2c.issue_invoice(c, p, '2026-03-02'); RETURN p; END $$;
CREATE FUNCTION pg_temp.paid(c integer, customer text, invoice bigint, amount numeric) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE m bigint := o2c.record_payment(c, customer, amount, 'EUR', '2026-03-03');
BEGIN
  PERFORM o2c.apply_payment(c, m, (SELECT i.number FROM o2c.invoice i WHERE i.company_id = c AND i.id = invoice), amount, '2026-03-03');
  RETURN m;
END $$;
-- exposure, open_items, open_orders, shipped_not_invoiced, unapplied, prepaid
CREATE FUNCTION pg_temp.seen(company integer, customer text) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', trim_scale(e.exposure), trim_scale(e.open_items), trim_scale(e.open_orders),
       trim_scale(e.shipped_not_invoiced), trim_scale(e.unapplied), trim_scale(e.prepaid))
     FROM o2c.credit_exposure(company, customer) e $$;

SELECT pg_temp.confirmed(:c, 'FULL') AS o \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '1000 0 1000 0 0 0', 'the order');
SELECT pg_temp.advance(:c, :o) AS p \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '1357 357 1000 0 0 0', 'a prepayment invoice is a debit like others');
SELECT pg_temp.paid(:c, 'FULL', :p, 178.50) AS m \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '1028.5 178.5 1000 0 0 150', 'half of it paid: half of its net');
SELECT pg_temp.paid(:c, 'FULL', :p, 178.50) AS m \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '700 0 1000 0 0 300', 'prepaid 300 of 1000: exposed 700');
SELECT is((SELECT available FROM o2c.credit_exposure(:c, 'FULL')), 800.00, 'so much is free again');
SELECT o2c.ship_order(:c, :o, NULL, '2026-03-04') IS NOT NULL AS shipped \gset
SELECT o2c.invoice_order(:c, :o) AS f \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '700 0 0 1000 0 300', 'a draft that deducts it changes nothing');
SELECT o2c.issue_invoice(:c, :f, '2026-03-05') AS number \gset
SELECT is(pg_temp.seen(:c, 'FULL'), '833 833 0 0 0 0', 'issued, the invoice has it: 700 and 19 %');

-- in parts: 200 of 1000 delivered
SELECT pg_temp.confirmed(:c, 'PART') AS o \gset
SELECT pg_temp.paid(:c, 'PART', pg_temp.advance(:c, :o), 357) AS m \gset
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 2}]', '2026-03-06') IS NOT NULL AS shipped \gset
SELECT o2c.issue_invoice(:c, o2c.invoice_order(:c, :o), '2026-03-06') AS number \gset
SELECT is(pg_temp.seen(:c, 'PART'), '700 0 800 0 0 100', 'what the first invoice leaves of it counts on');

-- the final invoice comes before the money
SELECT pg_temp.confirmed(:c, 'LATE') AS o \gset
SELECT pg_temp.advance(:c, :o) AS p \gset
SELECT o2c.ship_order(:c, :o, NULL, '2026-03-06') IS NOT NULL AS shipped \gset
SELECT o2c.issue_invoice(:c, o2c.invoice_order(:c, :o), '2026-03-06') AS number \gset
SELECT is(pg_temp.seen(:c, 'LATE'), '1190 1190 0 0 0 0', 'both are owed');
SELECT pg_temp.paid(:c, 'LATE', :p, 357) AS m \gset
SELECT is(pg_temp.seen(:c, 'LATE'), '833 833 0 0 0 0', 'paid late, it is not taken off twice');

-- money that goes back
SELECT pg_temp.confirmed(:c, 'RETURN') AS o \gset
SELECT pg_temp.advance(:c, :o) AS p \gset
SELECT pg_temp.paid(:c, 'RETURN', :p, 357) AS m \gset
SELECT is(pg_temp.seen(:c, 'RETURN'), '700 0 1000 0 0 300', 'paid');
SELECT o2c.return_payment(:c, :m, 'AC04', '2026-03-07') IS NULL AS returned \gset
SELECT is(pg_temp.seen(:c, 'RETURN'), '1357 357 1000 0 0 0', 'returned: owed again, and no advance');

-- a credit note on it
SELECT pg_temp.confirmed(:c, 'CREDIT') AS o \gset
SELECT pg_temp.advance(:c, :o) AS p \gset
SELECT pg_temp.paid(:c, 'CREDIT', :p, 357) AS m \gset
SELECT o2c.credit_invoice(:c, :p, NULL, 'not wanted', '2026-03-08') AS n \gset
SELECT o2c.issue_invoice(:c, :n, '2026-03-08') AS number \gset
SELECT is(pg_temp.seen(:c, 'CREDIT'), '643 0 1000 0 357 0', 'credited: the credit counts, the advance no more');

-- what was never paid
SELECT pg_temp.confirmed(:c, 'OFF') AS o \gset
SELECT pg_temp.advance(:c, :o) AS p \gset
SELECT o2c.write_off(:c, (SELECT number FROM o2c.invoice WHERE company_id = :c AND id = :p), 357, 'no', '2026-03-08') IS NULL AS done \gset
SELECT is(pg_temp.seen(:c, 'OFF'), '1000 0 1000 0 0 0', 'written off is not paid');

-- groups, and what the limit lets pass
SELECT pg_temp.confirmed(:c, 'CHILD') AS o \gset
SELECT pg_temp.paid(:c, 'CHILD', pg_temp.advance(:c, :o), 357) AS m \gset
SELECT is(pg_temp.seen(:c, 'HEAD'), '700 0 1000 0 0 300', 'the group has it');
SELECT is((SELECT group_exposure FROM o2c.credit_account a JOIN o2c.customer k ON k.company_id = a.company_id AND k.id = a.customer_id
  WHERE a.company_id = :c AND k.code = 'HEAD'), 700.00, 'on the account that is judged');
SELECT o2c.place_order(:c, 'HEAD', '[{"product": "P", "quantity": 8}]', '2026-03-01', 'EIGHT') AS o8 \gset
SELECT o2c.submit_order(:c, :o8) \g /dev/null
SELECT is(o2c.confirm_order(:c, :o8)::text, 'confirmed', '700 + 800 is within 1500');
SELECT o2c.place_order(:c, 'HEAD', '[{"product": "P", "quantity": 1}]', '2026-03-01', 'ONE') AS o1 \gset
SELECT o2c.submit_order(:c, :o1) \g /dev/null
SELECT is(o2c.confirm_order(:c, :o1)::text, 'submitted', 'and no more');

-- nobody writes it
SELECT throws_ok(format('UPDATE o2c.invoice SET advance_amount = 1 WHERE company_id = %s AND id = %s', :c, :p), 'O2030', NULL, 'an advance is derived');
SELECT throws_ok(format('UPDATE o2c.credit_account SET unapplied = 1 WHERE company_id = %s', :c), 'O2030', NULL, 'so is the account');
SELECT is_empty(format('SELECT * FROM o2c._check_credit(%s)', :c), 'credit agrees with the documents');
SELECT is_empty('SELECT * FROM o2c.check()', 'all invariants hold');
SELECT * FROM finish();
