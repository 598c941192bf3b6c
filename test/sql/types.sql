-- The validated types: vectors, normal form, errors, casts, comparison.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS order2cash;
RESET client_min_messages;
\pset null '(null)'

-- creditor references of ISO 11649: valid, then invalid
SELECT r, o2c.is_creditor_reference(r) FROM unnest(ARRAY[
  'RF18539007547034', 'RF712348231', 'RF185390075470Y', 'RF17INV20240001',
  'rf18 5390 0754 7034', E'RF18\u00a05390 0754 7034',
  'RF17539007547034', 'RF68539007547034', 'RF18', 'RF', '', 'XX18539007547034',
  'RF18539007547034A', 'RF1853900754703-4', 'RF181234567890123456789012', 'RFA8539007547034']) r;
SELECT 'rf18 5390 0754 7034'::o2c.creditor_reference;
SELECT o2c.creditor_reference_from(b) FROM unnest(ARRAY[
  '539007547034', '2348231', '5390075470Y', 'INV20240001', 'inv-2024/0001', '123456789012345678901']) b;
SELECT o2c.creditor_reference_from('1234567890123456789012');
SELECT o2c.creditor_reference_from(' -/ ');
SELECT o2c.creditor_reference_from('RÄ1');

-- IBANs: valid, then each kind of fault
SELECT i, o2c.is_iban(i) FROM unnest(ARRAY[
  'DE89370400440532013000', 'de89 3704 0044 0532 0130 00', 'NO9386011117947', 'MT84MALT011000012345MTLCAST001S',
  'FR1420041010050500013M02606', 'GB29 NWBK 6016 1331 9268 19', 'XK051212012345678906',
  'BE68539007547034', 'ES9121000418450200051332', 'ES2121000418450200051331',
  'DE88370400440532013000', 'DE8937040044053201300', 'DE8937040044053201300A', 'ZZ89370400440532013000',
  'DE', '', 'DE89-3704-0044-0532-0130-00', 'GB29 1WBK 6016 1331 9268 19', repeat('1', 40)]) i;
SELECT 'de89 3704 0044 0532 0130 00'::o2c.iban, o2c.iban_country('DE89370400440532013000'), o2c.iban_format('DE89370400440532013000');
SELECT 'DE88370400440532013000'::o2c.iban;
SELECT 'DE8937040044053201300'::o2c.iban;
SELECT 'ZZ89370400440532013000'::o2c.iban;
SELECT 'hello'::o2c.iban;
-- one pair of check digits only: not the one that is congruent to it modulo 97
SELECT o2c.is_iban('DE' || lpad(c::text, 2, '0') || '370400440532013000') AS valid, count(*)
FROM generate_series(0, 99) c GROUP BY 1 ORDER BY 1;

-- currencies and minor units
SELECT c, o2c.minor_unit(c) FROM unnest('{EUR,JPY,KRW,CLP,BHD,IQD,JOD,KWD,LYD,OMR,TND,CLF,UYW,XAU,XXX}'::o2c.currency[]) c;
SELECT ' eur '::o2c.currency;
SELECT 'EURO'::o2c.currency;
SELECT 'ABC'::o2c.currency;
SELECT ''::o2c.currency;
\set VERBOSITY sqlstate
SELECT 'ABC'::o2c.currency;
SELECT 'ABC'::o2c.iban;
SELECT 'ABC'::o2c.creditor_reference;
SELECT o2c.round_amount('NaN', 'EUR');
SELECT o2c.round_amount(1, 'XAU');
\set VERBOSITY default

-- amounts: digits by value
SELECT a, c, o2c.is_amount(a, c::o2c.currency) FROM (VALUES
  (1.50, 'EUR'), (1.500, 'EUR'), (1.005, 'EUR'), (-0.01, 'EUR'), (0, 'EUR'), (100, 'JPY'), (100.00, 'JPY'), (100.5, 'JPY'),
  (1.001, 'KWD'), (1.0001, 'KWD'), (1.0001, 'CLF'), (1, 'XAU'), ('NaN', 'EUR'), ('Infinity', 'EUR'), ('-Infinity', 'EUR'),
  (1e30, 'EUR'), (NULL, 'EUR')) v(a, c);
SELECT a, c, o2c.round_amount(a, c::o2c.currency) FROM (VALUES
  (1.005, 'EUR'), (-1.005, 'EUR'), (2.5, 'JPY'), (-2.5, 'JPY'), (1.0005, 'KWD'), (1.00005, 'CLF'), (1, 'EUR')) v(a, c);
SELECT q, o2c.is_quantity(q) FROM unnest('{0,1.000001,1.0000001,1.0000000,999999999999999,999999999999999.999999,1000000000000000,-1000000000000000,-1,NaN,Infinity,-Infinity,NULL}'::numeric[]) q;

-- text in all but its checks: comparison, index, collation, casts
CREATE TABLE code_test (id integer, c o2c.currency, i o2c.iban, UNIQUE (c, id));
INSERT INTO code_test SELECT g, (ARRAY['usd', 'EUR', 'JPY'])[1 + g % 3], NULL FROM generate_series(1, 6) g;
INSERT INTO code_test SELECT 7, 'gbp'::varchar, 'gb29 nwbk 6016 1331 9268 19'::char(40);
INSERT INTO code_test SELECT 8, 'nope'::text, NULL;
SELECT c, count(*), min(c), pg_typeof(c) FROM code_test GROUP BY c ORDER BY c;
SELECT id FROM code_test WHERE c = 'EUR' ORDER BY id;
SELECT id FROM code_test WHERE i = o2c.iban 'GB29 NWBK 6016 1331 9268 19';
SELECT id, c || '/' || left(i, 4) AS text FROM code_test WHERE i LIKE 'GB%';
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM code_test WHERE c = 'EUR'::text;
RESET enable_seqscan;
DROP TABLE code_test;
