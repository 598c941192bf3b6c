-- Tax: rates by date, what a destination makes of a category.
SELECT plan(24);

SELECT o2c.create_company('German', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
SELECT o2c.create_company('American', 'US', 'USD') AS us \gset
INSERT INTO o2c.customer (company_id, code, name, country, vat_id) VALUES
  (:c, 'DE', 'Domestic', 'DE', 'DE111111125'), (:c, 'NONE', 'Without country', NULL, NULL), (:c, 'FRB', 'Business', 'FR', 'FR12345678901'),
  (:c, 'FRC', 'Consumer', 'FR', NULL), (:c, 'BLANK', 'Blank id', 'FR', '  '), (:c, 'US', 'Abroad', 'US', NULL), (:us, 'US', 'Domestic', 'US', NULL);
CREATE FUNCTION pg_temp.tax(c integer, customer text, category text, on_date date DEFAULT '2026-01-31') RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws(' ', category, trim_scale(rate), exemption_code) FROM o2c.tax_for(c, customer, category, on_date) $$;

SELECT is(pg_temp.tax(:c, 'DE', 'S'), 'S 19', 'domestic standard');
SELECT is(pg_temp.tax(:c, 'DE', 'S', '2020-08-01'), 'S 16', 'the rate of the date');
SELECT is(pg_temp.tax(:c, 'DE', 'S', '2021-01-01'), 'S 19', 'from the first day');
SELECT is(pg_temp.tax(:c, 'DE', 'S', '1990-01-01'), 'S 19', 'before the first row known, that row');
SELECT is(pg_temp.tax(:c, 'DE', 'AA'), 'S 7', 'reduced is category S');
SELECT is(pg_temp.tax(:c, 'NONE', 'S'), 'S 19', 'no country is domestic');
SELECT is(pg_temp.tax(:c, 'FRB', 'S'), 'K 0 VATEX-EU-IC', 'another EU country with a VAT id');
SELECT is(pg_temp.tax(:c, 'FRC', 'S'), 'S 19', 'without one: the seller''s rate');
SELECT is(pg_temp.tax(:c, 'BLANK', 'S'), 'S 19', 'a blank VAT id is none');
SELECT is(pg_temp.tax(:c, 'US', 'S'), 'G 0 VATEX-EU-G', 'outside the EU');
SELECT is(pg_temp.tax(:c, 'FRB', 'AE'), 'AE 0 VATEX-EU-AE', 'reverse charge');
SELECT is(pg_temp.tax(:c, 'FRC', 'AE'), 'S 19', 'not for consumers');
SELECT is(pg_temp.tax(:c, 'DE', 'AE'), 'AE 0 VATEX-EU-AE', 'domestic reverse charge');
SELECT is(pg_temp.tax(:c, 'DE', 'Z'), 'Z 0', 'zero rated');
SELECT is(pg_temp.tax(:c, 'DE', 'E'), 'E 0', 'exempt');
SELECT is(pg_temp.tax(:c, 'DE', 'O'), 'O 0 VATEX-EU-O', 'not subject');
SELECT is(pg_temp.tax(:us, 'US', 'S'), 'O 0 VATEX-EU-O', 'a country without rates is not subject to VAT');
SELECT throws_ok(format($$SELECT o2c.tax_for(%s, 'DE', 'nonsense')$$, :c), 'O2033', NULL, 'an unknown category');
SELECT throws_ok(format($$SELECT o2c.tax_for(%s, 'nobody', 'S')$$, :c), 'O2003', NULL, 'an unknown customer');

-- policy is data
UPDATE o2c.company SET settings = settings || '{"tax": {"oss": true}}' WHERE company_id = :c;
SELECT is(pg_temp.tax(:c, 'FRC', 'S'), 'S 20', 'one stop shop: the rate where the consumer is');
UPDATE o2c.tax_rule SET result_category = 'AE', exemption_code = 'VATEX-EU-AE' WHERE company_id = :c AND tax_category = '*' AND destination = 'eu_business';
SELECT is(pg_temp.tax(:c, 'FRB', 'S'), 'AE 0 VATEX-EU-AE', 'a company of services');
INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate, valid_from) VALUES (:c, 'DE', 'S', 20, '2027-01-01');
SELECT is(pg_temp.tax(:c, 'DE', 'S', '2027-01-01') || pg_temp.tax(:c, 'DE', 'S', '2026-12-31'), 'S 20S 19', 'a rate of the future');
SELECT throws_ok(format($$INSERT INTO o2c.tax_rule VALUES (%s, 'S', 'domestic', 'E', NULL, NULL)$$, :c), '23514', NULL, 'an exemption needs its reason');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
