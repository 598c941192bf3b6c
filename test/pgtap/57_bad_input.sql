-- Every public function of receivables and payments, called with what nobody
-- should pass: each argument in turn is NULL, negative, not a number, infinite,
-- huge, of a wrong scale, empty, unknown, or another company's.  The answer is
-- a refusal of class O2, 22 or 23, or a harmless result; never an internal
-- error, and afterwards check() is empty and no money has moved.
SET client_min_messages = warning;
SELECT plan(7);

SELECT o2c.create_company('Bad input', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Other', 'DE', 'EUR') AS other \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'A'), (:other, 'X', 'X');
CREATE TABLE opening AS SELECT 'I' || g AS number, 'A' AS customer_code, '2026-01-01'::date AS document_date, '2026-01-31'::date AS due_date,
  'EUR' AS currency, 100 AS amount FROM generate_series(1, 5) g;
SELECT o2c.import_open_items(:c, 'opening');
CREATE TABLE opening_x AS SELECT 'X' || g AS number, 'X' AS customer_code, '2026-01-01'::date AS document_date, '2026-01-31'::date AS due_date,
  'EUR' AS currency, 100 AS amount FROM generate_series(1, 5) g;
SELECT o2c.import_open_items(:other, 'opening_x');
SELECT o2c.record_payment(:c, 'A', 80, 'EUR', '2026-02-01', 'r1') AS pay \gset
SELECT o2c.record_payment(:other, 'X', 80, 'EUR', '2026-02-01', 'r1') AS pay_x \gset
SELECT o2c.apply_payment(:c, :pay, 'I1', 30, '2026-02-02') AS alloc \gset
SELECT o2c.apply_payment(:other, :pay_x, 'X1', 30, '2026-02-02') AS alloc_x \gset
SELECT o2c.write_off(:c, 'I2', 1, 'small', '2026-02-03') AS entry \gset
SELECT o2c.write_off(:other, 'X2', 1, 'small', '2026-02-03') AS entry_x \gset
SELECT o2c.refund(:c, :pay, 5, 'test') AS refund \gset
SELECT o2c.refund(:other, :pay_x, 5, 'test') AS refund_x \gset
SELECT o2c.close_period(:other, '2020-01-01', '2020-01-31') AS period_x \gset
INSERT INTO o2c.bank_account (company_id, code, iban, currency) VALUES (:c, 'B', 'DE89370400440532013000', 'EUR');

-- one good call a function; each argument is replaced by each bad value of its kind
CREATE TABLE call (call_no serial, function text, arguments text[], kinds text[]);
INSERT INTO call (function, arguments, kinds)
SELECT f, replace(replace(a, '%c', :'c'), '%pay', :'pay')::text[], k::text[] FROM (VALUES
  ('close_period', '{%c,''2030-01-01'',''2030-01-31''}', '{company,date,date}'),
  ('reopen_period', '{%c,1,''x''}', '{company,period,text}'),
  ('write_off', '{%c,''I3'',1,''x'',''2026-03-01''}', '{company,number,amount,text,date}'),
  ('reverse_entry', '{%c,1,''x'',''2026-03-01''}', '{company,entry,text,date}'),
  ('import_open_items', '{%c,''opening''}', '{company,table}'),
  ('import_payment_history', '{%c,''opening''}', '{company,table}'),
  ('import_bank_lines', '{%c,''B'',''opening''}', '{company,text,table}'),
  ('import_statement', '{%c,''B'',''x'',''auto''}', '{company,text,bytes,text}'),
  ('record_payment', '{%c,''A'',10,''EUR'',''2026-03-01'',NULL,''transfer'',''2026-03-01''}', '{company,code,amount,currency,date,text,text,date}'),
  ('apply_payment', '{%c,%pay,''I3'',1,''2026-03-01''}', '{company,payment,number,amount,date}'),
  ('unapply', '{%c,1,''2026-03-01'',''x''}', '{company,allocation,date,text}'),
  ('return_payment', '{%c,%pay,''x'',''2026-03-01''}', '{company,payment,text,date}'),
  ('refund', '{%c,%pay,1,''x''}', '{company,payment,amount,text}'),
  ('approve_refund', '{%c,1,''2026-03-01''}', '{company,refund,date}'),
  ('match_cash', '{%c,''2026-03-01''}', '{company,date}'),
  ('accept_matches', '{%c,"''{1}''"}', '{company,ids}'),
  ('reject_matches', '{%c,"''{1}''"}', '{company,ids}'),
  ('accept_match', '{%c,1}', '{company,id}'),
  ('reject_match', '{%c,1}', '{company,id}'),
  ('create_mandate', '{%c,''A'',''DE89370400440532013000'',''2026-01-01''}', '{company,code,text,date}'),
  ('revoke_mandate', '{%c,1,''x'',''2026-03-01''}', '{company,id,text,date}'),
  ('collect_direct_debits', '{%c,''B'',''2026-03-01'',''2026-03-31''}', '{company,text,date,date}'),
  ('order_refunds', '{%c,''B'',''2026-03-01''}', '{company,text,date}'),
  ('payment_order_xml', '{%c,1,NULL}', '{company,id,text}'),
  ('void_payment_order', '{%c,1,''x''}', '{company,id,text}'),
  ('settle_payment_order', '{%c,1,''2026-03-01'',NULL}', '{company,id,date,id}'),
  ('export_journal', '{%c,''2026-01-01'',''2026-12-31''}', '{company,date,date}'),
  ('revalue', '{%c,''2026-03-31''}', '{company,date}'),
  ('take_aging_snapshot', '{%c,''2026-03-31''}', '{company,date}'),
  ('statement_of_account', '{%c,''A'',''2026-01-01'',''2026-12-31''}', '{company,code,date,date}'),
  ('statement_of_open_items', '{%c,''A'',''2026-12-31''}', '{company,code,date}'),
  ('dso', '{%c,''2026-01-01'',''2026-03-31'',''simple''}', '{company,date,date,text}'),
  ('cash_forecast', '{%c,''2026-03-31'',4}', '{company,date,count}')) v (f, a, k);

CREATE TABLE bad (kind text, value text);
INSERT INTO bad VALUES
  ('company', 'NULL'), ('company', '0'), ('company', '-1'), ('company', '2147483647'),
  ('date', 'NULL'), ('date', '''infinity'''), ('date', '''-infinity'''), ('date', '''0001-01-01'''), ('date', '''5874897-12-31'''), ('date', '''4713-01-01 BC'''),
  ('amount', 'NULL'), ('amount', '0'), ('amount', '-1'), ('amount', '''NaN'''), ('amount', '''Infinity'''), ('amount', '''-Infinity'''),
  ('amount', '1e30'), ('amount', '0.001'), ('amount', '1e-20'), ('amount', '99999999999999999999.99'),
  ('currency', 'NULL'), ('currency', ''''''), ('currency', '''XAU'''), ('currency', '''USD'''), ('currency', '''€'''), ('currency', '''EURO'''),
  ('text', 'NULL'), ('text', ''''''), ('text', 'repeat(''x'', 100000)'), ('text', 'E''a\u0001\uFFFD'''), ('text', '''nothing'''),
  ('number', 'NULL'), ('number', ''''''), ('number', '''none'''), ('number', '''X1'''), ('number', 'repeat(''9'', 10000)'),
  ('code', 'NULL'), ('code', ''''''), ('code', '''X'''), ('code', '''none'''),
  ('table', 'NULL'), ('table', '''pg_class'''), ('table', '''pg_type'''), ('table', '''o2c.company'''), ('table', '''o2c_bi.aging'''),
  ('bytes', 'NULL'), ('bytes', ''''''), ('bytes', '''\x00ff00'''), ('bytes', '''<Document/>'''),
  ('ids', 'NULL'), ('ids', '''{}'''), ('ids', '''{NULL}'''), ('ids', '''{0,-1,9223372036854775807}'''),
  ('count', 'NULL'), ('count', '0'), ('count', '-1'), ('count', '2147483647');
INSERT INTO bad SELECT k.kind, v.value FROM (VALUES ('payment', :'pay_x'), ('allocation', :'alloc_x'), ('entry', :'entry_x'), ('refund', :'refund_x'), ('period', :'period_x'), ('id', '1')) k (kind, theirs),
  LATERAL (VALUES ('NULL'), ('0'), ('-1'), ('9223372036854775807'), (k.theirs)) v (value);

-- answers: the code of the refusal, or 'done'
CREATE TABLE answer (function text, argument integer, value text, code text, message text);
CREATE PROCEDURE try_all() LANGUAGE plpgsql AS $$
DECLARE
  x record;
  code text;
  said text;
BEGIN
  FOR x IN SELECT k.function, p.position, b.value, pg_catalog.format('SELECT count(q.x::text) FROM (SELECT o2c.%I(%s) AS x) q', k.function,
             (SELECT string_agg(CASE WHEN a.n = p.position THEN b.value ELSE a.argument END, ', ' ORDER BY a.n)
              FROM unnest(k.arguments) WITH ORDINALITY a (argument, n))) AS statement
           FROM call k CROSS JOIN LATERAL unnest(k.kinds) WITH ORDINALITY p (kind, position) JOIN bad b ON b.kind = p.kind
           ORDER BY k.call_no, p.position, b.value LOOP
    BEGIN
      EXECUTE x.statement;
      code := 'done';
      said := NULL;
      -- nothing of it stays, unless it is a constraint that looks at commit
      SET CONSTRAINTS ALL IMMEDIATE;
      IF EXISTS (SELECT FROM o2c.check()) THEN
        code := 'broken';
      END IF;
      RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = code;
    EXCEPTION
      WHEN SQLSTATE 'ZZ000' THEN code := SQLERRM; said := NULL;
      WHEN OTHERS THEN code := SQLSTATE; said := SQLERRM;
    END;
    INSERT INTO answer VALUES (x.function, x.position, x.value, code, said);
  END LOOP;
END $$;
CALL try_all();

SELECT cmp_ok((SELECT count(*)::integer FROM answer), '>=', 400, 'hundreds of bad calls were made');
SELECT is_empty($$SELECT * FROM answer WHERE code <> 'done' AND code !~ '^(O2|22|23)'$$, 'each is refused as bad input, or does nothing that is wrong');
SELECT is_empty($$SELECT * FROM answer WHERE code ~ '^2[23]' AND message ~ '(null value in column|violates not-null|cache lookup|unexpected)'$$,
  'a refusal says what is wrong with the input');
SELECT is_empty($$SELECT * FROM answer a JOIN call k USING (function) WHERE a.code = 'done' AND k.kinds[a.argument] = 'amount'
  AND a.value <> 'NULL'$$, 'no amount that is none is taken');
SELECT is_empty($$SELECT * FROM answer a JOIN call k USING (function) WHERE a.code = 'done' AND k.kinds[a.argument] = 'company'$$,
  'no company that is none is taken');
SELECT is_empty($$SELECT * FROM answer a JOIN call k USING (function) WHERE a.code = 'done' AND k.kinds[a.argument] = 'date'
  AND a.value ~ 'infinity' AND a.function <> 'match_cash'$$, 'no infinite date is taken, but as the end of what is matched');
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
