-- Tax: rates by country and date, and which category a supply gets.

CREATE SEQUENCE o2c.tax_rate_id_seq;
CREATE TABLE o2c.tax_rate (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.tax_rate_id_seq'),
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  tax_category text NOT NULL CHECK (tax_category <> ''),
  rate numeric NOT NULL CHECK (rate >= 0 AND rate < 100 AND pg_catalog.scale(rate) <= 4),
  valid_from date NOT NULL DEFAULT '1900-01-01' CHECK (pg_catalog.isfinite(valid_from)),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, country, tax_category, valid_from)
);
ALTER SEQUENCE o2c.tax_rate_id_seq OWNED BY o2c.tax_rate.id;
COMMENT ON TABLE o2c.tax_rate IS 'Percent of tax for a category in a country, from valid_from until the next row.';
COMMENT ON COLUMN o2c.tax_rate.tax_category IS
  'A product''s tax category: S standard rate, AA reduced rate, or a code of the company''s own for a further rate; all of them are category S on invoices.';

CREATE TABLE o2c.tax_rule (
  company_id integer NOT NULL REFERENCES o2c.company,
  tax_category text NOT NULL CHECK (tax_category <> ''),
  destination text NOT NULL CHECK (destination IN ('domestic', 'eu_business', 'eu_consumer', 'export')),
  result_category text NOT NULL CHECK (result_category IN ('S', 'Z', 'E', 'AE', 'K', 'G', 'O', 'L', 'M')),
  exemption_code text,
  exemption_reason text,
  PRIMARY KEY (company_id, tax_category, destination),
  CHECK (result_category NOT IN ('E', 'AE', 'K', 'G', 'O') OR exemption_code IS NOT NULL OR exemption_reason IS NOT NULL)
);
COMMENT ON TABLE o2c.tax_rule IS
  'Which EN 16931 category a product''s tax category becomes for a destination; * stands for every tax category without a row of its own.';
COMMENT ON COLUMN o2c.tax_rule.destination IS
  'domestic: the company''s country or none given; eu_business: another EU country and the customer has a VAT id; eu_consumer: one without; export: outside the EU.';
COMMENT ON COLUMN o2c.tax_rule.exemption_code IS 'Code of the VATEX list; why no tax is charged.';
