-- Tax rates per country and category, with their dates.

CREATE SEQUENCE o2c.tax_rate_id_seq;
CREATE TABLE o2c.tax_rate (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.tax_rate_id_seq'),
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  tax_category text NOT NULL,
  rate numeric NOT NULL CHECK (rate >= 0 AND rate < 100),
  valid_from date NOT NULL DEFAULT '1900-01-01' CHECK (pg_catalog.isfinite(valid_from)),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, country, tax_category, valid_from)
);
ALTER SEQUENCE o2c.tax_rate_id_seq OWNED BY o2c.tax_rate.id;
COMMENT ON TABLE o2c.tax_rate IS 'Percent of tax for a category in a country, from valid_from until the next row.';
