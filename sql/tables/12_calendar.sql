-- Bank holidays of a company.  Weekends follow from its settings
-- ("weekend": days of the week, 1 is Monday; default [6, 7]).

CREATE TABLE o2c.holiday (
  company_id integer NOT NULL REFERENCES o2c.company,
  day date NOT NULL CHECK (pg_catalog.isfinite(day)),
  name text NOT NULL DEFAULT '',
  PRIMARY KEY (company_id, day)
);
COMMENT ON TABLE o2c.holiday IS 'Days without banking: due dates roll over them and nothing is dunned on them.';
