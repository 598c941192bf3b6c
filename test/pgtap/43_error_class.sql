-- What an argument cannot be is refused by the function itself, with a code of
-- class O2, and not by the constraint or the date arithmetic that it would meet.
CREATE TABLE public.call (statement text, code text);

SELECT o2c.create_company('Good', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'A');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'P', 10);
SELECT o2c.create_company('Empty', 'DE', 'EUR') AS e \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:e, 'A', 'A');
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, id, 'invoice', 'R-1', '2026-01-01', '2026-01-31', 'EUR', 100, 100 FROM o2c.customer WHERE company_id = :c;
SELECT o2c.record_payment(:e, 'A', 5) AS p \gset

-- an item that is not there, of a company without any: whatever the plan
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT plan(39);
SELECT throws_ok(format(s, :e), 'O2003', NULL, s) FROM unnest(ARRAY[
  $$SELECT o2c.open_dispute(%s, 'R-1', 10, 'broken')$$,
  $$SELECT o2c.write_off(%s, 'R-1', 10, 'small')$$,
  $$SELECT o2c.promise_to_pay(%s, 'A', 10, o2c.today(1), 'R-1')$$]) s;
SELECT throws_ok(format($$SELECT o2c.apply_payment(%s, %s, 'R-1', 5)$$, :e, :p), 'O2003', NULL, 'nothing to apply to');
SELECT throws_ok(s, 'O2002', NULL, s) FROM unnest(ARRAY[
  $$SELECT o2c.open_dispute(99, 'R-1', 10, 'broken')$$,
  $$SELECT o2c.write_off(99, 'R-1', 10, 'small')$$,
  $$SELECT o2c.apply_payment(99, 1, 'R-1', 5)$$]) s;
RESET enable_indexscan;
RESET enable_bitmapscan;

INSERT INTO public.call VALUES
  ($$SELECT o2c.place_order(%1$s, 'A', '[{"product": "P", "quantity": 1}]', currency => 'XXX')$$, 'O2042'),
  ($$SELECT o2c.create_company('X', 'DE', 'EUR', language => 'German')$$, 'O2004'),
  ($$SELECT o2c.create_company('X', 'DE', 'EUR', language => NULL)$$, 'O2004'),
  ($$SELECT * FROM o2c.confirm_orders(%1$s, '{{1,2},{3,4}}')$$, 'O2003'),
  ($$SELECT o2c.open_dispute(%1$s, 'R-1', 10, 'broken', 'infinity')$$, 'O2044'),
  ($$SELECT o2c.block_dunning(%1$s, 'A', 'asked', 'infinity')$$, 'O2044'),
  ($$SELECT o2c.block_dunning(%1$s, 'A', 'asked', valid_from => '-infinity')$$, 'O2044'),
  ($$SELECT o2c.log_activity(%1$s, 'A', 'call', NULL)$$, 'O2004'),
  ($$SELECT o2c.log_activity(%1$s, 'A', 'call', 'x', due_on => 'infinity')$$, 'O2044'),
  ($$SELECT o2c.set_dunning_policy(%1$s, 'x', '[null]')$$, 'O2004'),
  ($$SELECT o2c.set_dunning_policy(%1$s, 'x', '[{}]')$$, 'O2004'),
  ($$SELECT o2c.set_dunning_policy(%1$s, 'x', '[{"level": 1, "days": null}]')$$, 'O2004'),
  ($$SELECT o2c.propose_bank_account(%1$s, 'A', 'DE89370400440532013000', 'nope')$$, 'O2004'),
  ($$SELECT o2c.take_aging_snapshot(%1$s, '2026-01-31', NULL)$$, 'O2004'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'fax', 'en', 'S', 'T')$$, 'O2004'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'email', 'English', 'S', 'T')$$, 'O2004'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'email', NULL, 'S', 'T')$$, 'O2004'),
  ($$SELECT o2c.save_template(%1$s, 'No kind', 'email', 'en', 'S', 'T')$$, 'O2004'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'email', 'en', NULL, 'T')$$, 'O2070'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'sms', 'en', NULL, 'T', '<p>H</p>')$$, 'O2070'),
  ($$SELECT o2c.save_template(%1$s, 'dunning_1', 'post', 'en', 'S')$$, 'O2070'),
  ($$SELECT * FROM o2c.run_dunning(%1$s, '5874897-12-31')$$, 'O2044'),
  ($$SELECT * FROM o2c.run_billing(%1$s, '5874897-12-31')$$, 'O2044'),
  ($$SELECT o2c.late_interest(1, '5874897-12-31', '2026-01-01')$$, 'O2044'),
  ($$SELECT o2c.is_business_day(%1$s, '5874897-12-31')$$, 'O2044'),
  ($$SELECT o2c.next_business_day(%1$s, '5874897-12-31')$$, 'O2044'),
  ($$SELECT o2c.raise_credit_limit(%1$s, 'A', 10, '5874897-12-31')$$, 'O2044'),
  ($$SELECT o2c.raise_credit_limit(%1$s, 'A', 10, '-infinity')$$, 'O2044'),
  ($$SELECT * FROM o2c.cash_forecast(%1$s, '4713-01-01 BC')$$, 'O2044'),
  ($$SELECT o2c.receivables_dashboard(%1$s, '5874897-12-31')$$, 'O2044'),
  ($$SELECT o2c.dso(%1$s, '2026-02-01', '5874897-12-31')$$, 'O2044');
SELECT throws_ok(format(statement, :c), code, NULL, statement) FROM public.call;
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
