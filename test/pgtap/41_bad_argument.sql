-- Every argument of every function of customers, prices, orders, credit and
-- fulfilment, wrong in every way a form can send it.
--
-- A table of calls that work, with the kind of each argument, and a table of bad
-- values by kind.  Each call is made with one argument replaced, and undone.  A
-- refusal must be of class O2, or of 22 and 23 with a message that says what is
-- wrong; nothing may fail inside, and what must be refused may not succeed.
SELECT plan(10);

SELECT o2c.create_company('Good', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Other', 'DE', 'EUR') AS x \gset
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (:c, 'A', 'A', 100000), (:x, 'X', 'X', 100000);
INSERT INTO o2c.product (company_id, code, name, unit_price, stocked) VALUES (:c, 'P', 'P', 10, true), (:x, 'Q', 'Q', 10, false);
INSERT INTO o2c.stock (company_id, product_id, on_hand) SELECT :c, id, 1000 FROM o2c.product WHERE company_id = :c;
INSERT INTO o2c.carrier (company_id, code, name) VALUES (:c, 'DHL', 'DHL');
-- an order in each state, in both companies
CREATE TABLE public.o (label text PRIMARY KEY, id bigint);
INSERT INTO public.o SELECT w, o2c.place_order(:c, 'A', '[{"product": "P", "quantity": 2}]', order_code => w)
FROM unnest('{draft,submitted,confirmed,picked,shipped}'::text[]) w;
INSERT INTO public.o SELECT 'other', o2c.place_order(:x, 'X', '[{"product": "Q", "quantity": 2}]');
SELECT o2c.submit_order(:c, id) FROM public.o WHERE label = 'submitted' \gset
SELECT o2c.confirm_order(:c, id) FROM public.o WHERE label IN ('confirmed', 'picked', 'shipped');
SELECT o2c.confirm_order(:x, id) FROM public.o WHERE label = 'other' \gset
INSERT INTO public.o SELECT 'shipment picked', o2c.pick_order(:c, id) FROM public.o WHERE label = 'picked';
INSERT INTO public.o SELECT 'shipment shipped', o2c.ship_order(:c, id) FROM public.o WHERE label = 'shipped';
INSERT INTO public.o SELECT 'shipment other', o2c.ship_order(:x, id) FROM public.o WHERE label = 'other';
SELECT o2c.propose_bank_account(:c, 'A', 'DE89370400440532013000') AS account \gset
INSERT INTO public.o VALUES ('account', :account);

-- value as SQL, kind; a kind with ? may be NULL
CREATE TABLE public.call (id serial, func text, args text[], kinds text[]);
INSERT INTO public.call (func, args, kinds)
SELECT f, string_to_array(replace(replace(a, '$c', :'c'), '$x', :'x'), '|'), string_to_array(k, '|') FROM (VALUES
  ('place_order', '$c|''A''|''[{"product": "P", "quantity": 1}]''|''2026-01-01''|''NEW''|''EUR''|''2026-02-01''|''ref''|''main''|''DHL''|''DAP''|''Berlin''',
   'company|code|lines|date?|code?|currency?|date?|free|code?|code?|code?|free'),
  ('price_of', '$c|''A''|''P''|1|''2026-01-01''|''EUR''', 'company|code|code|quantity|date?|currency?'),
  ('submit_order', '$c|:draft', 'company|id'),
  ('confirm_order', '$c|:submitted', 'company|id'),
  ('confirm_orders', '$c|ARRAY[:submitted]::bigint[]', 'company|ids'),
  ('hold_order', '$c|:confirmed|''manual''|''note''|now() + ''1 day''', 'company|id|code|free|time?'),
  ('release_order', '$c|:confirmed|''note''|''manual''', 'company|id|free|free'),
  ('cancel_order', '$c|:confirmed|''why''', 'company|id|free'),
  ('cancel_rest', '$c|:confirmed|''why''', 'company|id|free'),
  ('amend_order', '$c|:confirmed|''[{"product": "P", "quantity": 1}]''|''why''|''2026-02-01''', 'company|id|lines|free|date?'),
  ('pick_order', '$c|:confirmed|''[{"line": 1, "quantity": 1}]''', 'company|id|part?'),
  ('pack_order', '$c|:confirmed|''[{"line": 1, "quantity": 1}]''', 'company|id|part?'),
  ('ship_order', '$c|:confirmed|''[{"line": 1, "quantity": 1}]''|''2026-01-05''', 'company|id|part?|date?'),
  ('ship_orders', '$c|ARRAY[:confirmed]::bigint[]|''2026-01-05''', 'company|ids|date?'),
  ('deliver_shipment', '$c|:"shipment shipped"|''2099-01-05''', 'company|id|date?'),
  ('return_goods', '$c|:"shipment shipped"|''[{"line": 1, "quantity": 1}]''|''why''|true', 'company|id|part?|free|boolean?'),
  ('cancel_shipment', '$c|:"shipment picked"|''why''', 'company|id|free'),
  ('allocate_stock', '$c|''P''', 'company|code?'),
  ('credit_exposure', '$c|''A''', 'company|code'),
  ('set_credit_limit', '$c|''A''|5000|''why''', 'company|code|amount?|free'),
  ('raise_credit_limit', '$c|''A''|100|''2026-01-01''|''2026-02-01''|''why''', 'company|code|amount|date?|date?|free'),
  ('classify_risk', '$c|''2026-01-01''', 'company|date?'),
  ('propose_bank_account', '$c|''A''|''DE75512108001245126199''|''COBADEFF''|''A''', 'company|code|code|free|free'),
  ('approve_bank_account', '$c|:account', 'company|id')) v(f, a, k);
UPDATE public.call SET args = (SELECT array_agg(
    coalesce((SELECT replace(replace(a, ':"' || o.label || '"', o.id::text), ':' || o.label, o.id::text) FROM public.o
              WHERE a ~ (':"?' || o.label || '\M') ORDER BY length(o.label) DESC LIMIT 1), a) ORDER BY n)
  FROM unnest(args) WITH ORDINALITY u(a, n));

-- refuse: whether the value must be refused, NULL: it may be taken
CREATE TABLE public.bad (kind text, value text, refuse boolean);
INSERT INTO public.bad SELECT k, v, r FROM (VALUES
  ('company', 'NULL::integer', true), ('company', '0', true), ('company', '-1', true), ('company', '2147483647', true), ('company', :'x', true),
  ('id', 'NULL::bigint', true), ('id', '0', true), ('id', '-1', true), ('id', '9223372036854775807', true),
  ('ids', 'NULL::bigint[]', true), ('ids', '''{}''::bigint[]', NULL), ('ids', '''{NULL}''::bigint[]', true), ('ids', '''{-1}''::bigint[]', true),
  ('code', 'NULL::text', true), ('code', '''''', true), ('code', '''  ''', true), ('code', '''nobody''', NULL), ('code', 'repeat(''x'', 1000000)', true),
  ('code', 'E''a\nb''', NULL), ('code', '''A'''' OR 1=1 --''', NULL),
  ('currency', '''''', true), ('currency', '''XXX''', NULL), ('currency', '''euro''', true), ('currency', 'repeat(''x'', 1000000)', true), ('currency', '''eur''', NULL),
  ('free', 'NULL::text', NULL), ('free', '''''', NULL), ('free', 'repeat(''x'', 1000000)', NULL),
  ('date', 'NULL::date', NULL), ('date', '''infinity''::date', true), ('date', '''-infinity''::date', true), ('date', '''5874897-12-31''::date', NULL), ('date', '''4713-01-01 BC''::date', NULL),
  ('time', '''infinity''::timestamptz', NULL), ('time', '''-infinity''::timestamptz', NULL), ('time', '''2000-01-01''::timestamptz', NULL),
  ('quantity', 'NULL::numeric', NULL), ('quantity', '0', true), ('quantity', '-1', true), ('quantity', '''NaN''::numeric', true), ('quantity', '''Infinity''::numeric', true), ('quantity', '1e30', true),
  ('amount', 'NULL::numeric', NULL), ('amount', '-1', true), ('amount', '''NaN''::numeric', true), ('amount', '''Infinity''::numeric', true),
  ('amount', '''-Infinity''::numeric', true), ('amount', '0.001', true), ('amount', '1e30', NULL),
  ('boolean', 'NULL::boolean', NULL)) b(k, v, r)
UNION ALL
SELECT k, format('%L::jsonb', j), true FROM unnest('{lines,part}'::text[]) k, unnest(ARRAY['null', '{}', '[]', '"x"', '1', '[null]', '[1]', '["P"]', '[{}]',
  '[{"product": null, "quantity": 1}]', '[{"product": "nobody", "quantity": 1}]', '[{"product": "Q", "quantity": 1}]', '[{"product": {}, "quantity": 1}]',
  '[{"product": "P", "quantity": 0}]', '[{"product": "P", "quantity": -1}]', '[{"product": "P", "quantity": "NaN"}]', '[{"product": "P", "quantity": "Infinity"}]',
  '[{"product": "P", "quantity": 1e30}]', '[{"product": "P", "quantity": 1e300}]', '[{"product": "P", "quantity": 0.0000001}]', '[{"product": "P", "quantity": ""}]',
  '[{"product": "P", "quantity": "many"}]', '[{"product": "P", "quantity": {}}]', '[{"product": "P", "quantity": [1]}]', '[{"product": "P", "quantity": true}]']) j
UNION ALL
SELECT 'lines', format('%L::jsonb', j), true FROM unnest(ARRAY['[{"product": "P"}]', '[{"product": "P", "quantity": 1, "unit_price": -1}]', '[{"product": "P", "quantity": 1, "unit_price": "NaN"}]',
  '[{"product": "P", "quantity": 1, "unit_price": 1e30}]', '[{"product": "P", "quantity": 1, "unit_price": {}}]', '[{"product": "P", "quantity": 1, "discount_percent": 101}]',
  '[{"product": "P", "quantity": 1, "discount_percent": -1}]', '[{"product": "P", "quantity": 1, "discount_percent": "NaN"}]', '[{"product": "P", "quantity": 1, "discount_percent": []}]',
  '[{"product": "P", "quantity": 999999999999999, "unit_price": 999999999999999}]']) j
UNION ALL
SELECT 'part', format('%L::jsonb', j), true FROM unnest(ARRAY['[{"line": 99}]', '[{"line": -1, "quantity": 1}]', '[{"line": "x"}]', '[{"line": {}}]', '[{"line": 1, "quantity": 3}]',
  '[{"line": 1, "quantity": 2}, {"line": 1, "quantity": 2}]', '[{"line": 1e300}]']) j
UNION ALL SELECT 'lines', 'NULL::jsonb', true UNION ALL SELECT 'lines', $$(SELECT jsonb_agg(jsonb_build_object('product', repeat('x', 1000000), 'quantity', 1)))$$, true
UNION ALL SELECT 'part', 'NULL::jsonb', NULL;

CREATE TABLE public.answer (statement text, refuse boolean, code text, message text);
-- run, note the answer, undo
CREATE FUNCTION public.try(statement text, refuse boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  answer text;
BEGIN
  BEGIN
    EXECUTE statement;
    RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = 'undo';
  EXCEPTION WHEN OTHERS THEN
    INSERT INTO public.answer VALUES (left(statement, 300), refuse, SQLSTATE, left(SQLERRM, 300));
  END;
END $$;
SELECT count(try(format('SELECT * FROM o2c.%I(%s)', c.func, array_to_string(c.args, ', ')), false)) AS calls FROM public.call c \gset
SELECT is((SELECT string_agg(a.statement || ' ' || a.code || ' ' || a.message, E'\n') FROM public.answer a WHERE a.code <> 'ZZ000'), NULL, 'every call works as it stands');
TRUNCATE public.answer;

SELECT count(try(format('SELECT * FROM o2c.%I(%s)', c.func,
    (SELECT string_agg(CASE u.n WHEN k.n THEN b.value ELSE u.a END, ', ' ORDER BY u.n) FROM unnest(c.args) WITH ORDINALITY u(a, n))),
  CASE WHEN b.value LIKE 'NULL::%' AND k.kind LIKE '%?' THEN NULL ELSE b.refuse END)) AS tried
FROM public.call c CROSS JOIN LATERAL unnest(c.kinds) WITH ORDINALITY k(kind, n) JOIN public.bad b ON b.kind = rtrim(k.kind, '?')
-- whom it asks about is the company itself
WHERE NOT (c.func = 'classify_risk' AND b.kind = 'company' AND b.value = :'x') \gset
-- ids of another company
SELECT count(try(format('SELECT * FROM o2c.%I(%s)', c.func, concat_ws(', ', c.args[1], o.id, nullif(array_to_string(c.args[3:], ', '), ''))), true)) AS others
FROM public.call c JOIN public.o ON o.label = CASE WHEN c.args[2] ~ '^\d+$' AND c.func ~ 'shipment|goods' THEN 'shipment other' WHEN c.func !~ 'account' THEN 'other' END
WHERE c.kinds[2] = 'id' \gset

SELECT cmp_ok(:tried + :others, '>', 600, 'many ways to be wrong');
SELECT is((SELECT string_agg(format(E'\n%s: %s %s', a.statement, a.code, a.message), '') FROM public.answer a
  WHERE a.code !~ '^(O2|22|23|ZZ)'), NULL, 'nothing fails inside');
SELECT is((SELECT string_agg(format(E'\n%s', a.statement), '') FROM public.answer a WHERE a.refuse AND a.code = 'ZZ000'), NULL, 'what makes no sense is refused');
SELECT is((SELECT string_agg(format(E'\n%s: %s %s', a.statement, a.code, a.message), '') FROM public.answer a
  WHERE a.code ~ '^(22|23)' AND a.message !~ 'violates check constraint|out of range|too long|overflow|invalid input|must|cannot'), NULL, 'and says what is wrong');
SELECT is((SELECT count(*) FROM public.answer a WHERE a.message IS NULL OR a.message = ''), 0::bigint, 'every refusal has a message');
SELECT is((SELECT max(length(a.message)) <= 300 FROM public.answer a), true, 'and nothing echoes a megabyte') ;

-- the tables, by hand
CREATE TABLE public.direct (what text, statement text);
INSERT INTO public.direct VALUES
  ('a state', 'UPDATE o2c.sales_order SET state = ''fulfilled'' WHERE code = ''draft'''), ('a total', 'UPDATE o2c.sales_order SET total_amount = 1'),
  ('a quantity of NaN', 'UPDATE o2c.sales_order_line SET quantity = ''NaN'''), ('a price of Infinity', 'UPDATE o2c.sales_order_line SET unit_price = ''Infinity'''),
  ('shipped', 'UPDATE o2c.sales_order_line SET shipped = 1'), ('picked', 'UPDATE o2c.sales_order_line SET picked = 1'), ('reserved', 'UPDATE o2c.sales_order_line SET reserved = 99'),
  ('an exposure', 'UPDATE o2c.credit_account SET group_exposure = 0'), ('reserved stock', 'UPDATE o2c.stock SET reserved = 0'), ('stock below what is reserved', 'UPDATE o2c.stock SET on_hand = 0'),
  ('stock of NaN', 'UPDATE o2c.stock SET on_hand = ''NaN'''), ('a limit of NaN', 'UPDATE o2c.customer SET credit_limit = ''NaN'''), ('a negative limit', 'UPDATE o2c.customer SET credit_limit = -1'),
  ('an endless date', 'UPDATE o2c.sales_order SET promised_on = ''infinity'''), ('another currency', 'UPDATE o2c.sales_order SET currency = ''USD'''),
  ('a product of another company', 'UPDATE o2c.sales_order_line l SET product_id = (SELECT p.id FROM o2c.product p WHERE p.code = ''Q'') WHERE l.order_id = (SELECT id FROM public.o WHERE label = ''draft'')'),
  ('a shipment''s number', 'UPDATE o2c.shipment SET number = ''X'''), ('a shipment''s quantity', 'UPDATE o2c.shipment_line SET quantity = 1'), ('a price of NaN', 'UPDATE o2c.product SET unit_price = ''NaN''');
TRUNCATE public.answer;
SELECT count(try(d.statement, true)) AS done FROM public.direct d \gset
SELECT is((SELECT string_agg(format(E'\n%s: %s', a.statement, a.code), '') FROM public.answer a WHERE a.code !~ '^(O2|22|23)'), NULL, 'neither does a statement by hand get what makes no sense');
-- all that was tried was undone
SELECT is((SELECT count(*) FROM o2c.sales_order), 6::bigint, 'nothing is left of it');
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
