-- A threshold of the limit is announced again once exposure was below it, whether one item or many bring it there.
BEGIN;
SELECT plan(9);
SELECT o2c.create_company('Alert', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, credit_limit) SELECT :c, code, code, 1000 FROM unnest('{A,B,C}'::text[]) code;
-- each customer's item of that amount; credits are money on account
CREATE FUNCTION pg_temp.post(customers text[], number text, amount numeric) RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT c.company_id, c.id, CASE WHEN amount < 0 THEN 'on_account' ELSE 'opening' END::o2c.item_kind, number || c.code, '2026-01-01', '2026-01-01', 'EUR', amount, amount
  FROM o2c.customer c WHERE c.company_id = (SELECT max(x.company_id) FROM o2c.company x) AND c.code = ANY (customers) $$;
CREATE FUNCTION pg_temp.alerts() RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(c.code || ' ' || (e.data ->> 'threshold'), ', ' ORDER BY c.code, e.id) FROM o2c.event e
  JOIN o2c.customer c ON c.company_id = e.company_id AND c.id = e.entity_id
  WHERE e.company_id = (SELECT max(x.company_id) FROM o2c.company x) AND e.event = 'credit_alert' $$;

SELECT pg_temp.post('{A}', '1', 850);
SELECT is(pg_temp.alerts(), 'A 80', 'the threshold is reached');
SELECT pg_temp.post('{A}', '2', -30), pg_temp.post('{A}', '3', 30);
SELECT is(pg_temp.alerts(), 'A 80', 'less and more above it says nothing');
SELECT pg_temp.post('{A}', '4', -51);
SELECT is((SELECT exposure FROM o2c.credit_exposure(:c, 'A')), 799.00, 'money brings it below');
SELECT pg_temp.post('{A}', '5', 1);
SELECT is(pg_temp.alerts(), 'A 80, A 80', 'and it is reached again');
SELECT pg_temp.post('{A}', '6', 150), pg_temp.post('{A}', '7', -100);
SELECT is(pg_temp.alerts(), 'A 80, A 80, A 90', 'and the next one');

SELECT pg_temp.post('{B,C}', '1', 900);
SELECT is(pg_temp.alerts(), 'A 80, A 80, A 90, B 90, C 90', 'several customers at once, the highest that each reaches');
SELECT pg_temp.post('{B,C}', '2', -50), pg_temp.post('{B,C}', '3', 50);
SELECT is(pg_temp.alerts(), 'A 80, A 80, A 90, B 90, B 90, C 90, C 90', 'only the one they were below');
SELECT pg_temp.post('{B,C}', '4', -900), pg_temp.post('{B,C}', '5', 800);
SELECT is(pg_temp.alerts(), 'A 80, A 80, A 90, B 90, B 90, B 80, C 90, C 90, C 80', 'or the first of them');
SELECT is((SELECT count(*) FROM o2c.check(:c) WHERE invariant !~ 'payment'), 0::bigint, 'the stored exposure is right');
SELECT * FROM finish();
ROLLBACK;
