-- Payment terms and business-day calendars: data that due dates follow from.

CREATE TABLE o2c.payment_term (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> ''),
  name text NOT NULL DEFAULT '',
  kind text NOT NULL DEFAULT 'net' CHECK (kind IN ('net', 'end_of_month', 'day_of_month', 'instalments')),
  net_days integer NOT NULL DEFAULT 30 CHECK (net_days BETWEEN 0 AND 3650),
  discount_percent numeric NOT NULL DEFAULT 0 CHECK (discount_percent >= 0 AND discount_percent < 100),
  discount_days integer NOT NULL DEFAULT 0 CHECK (discount_days BETWEEN 0 AND 3650),
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.payment_term IS 'When an invoice is due and what an early payment may deduct.';
