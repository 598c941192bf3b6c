-- Payment terms: data that due dates, instalments and cash discounts follow
-- from.  Business days come from o2c.holiday and the company's weekend.

CREATE TABLE o2c.payment_term (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> ''),
  name text NOT NULL DEFAULT '',
  kind text NOT NULL DEFAULT 'net' CHECK (kind IN ('net', 'end_of_month', 'day_of_month', 'instalments')),
  net_days integer NOT NULL DEFAULT 30 CHECK (net_days BETWEEN 0 AND 3650),
  months integer NOT NULL DEFAULT 0 CHECK (months BETWEEN 0 AND 120),
  day_of_month integer CHECK (day_of_month BETWEEN 1 AND 31),
  discount_percent numeric NOT NULL DEFAULT 0 CHECK (discount_percent >= 0 AND discount_percent < 100),
  discount_days integer NOT NULL DEFAULT 0 CHECK (discount_days BETWEEN 0 AND 3650),
  discount_grace_days integer NOT NULL DEFAULT 0 CHECK (discount_grace_days BETWEEN 0 AND 60),
  discount_basis text NOT NULL DEFAULT 'gross' CHECK (discount_basis IN ('gross', 'net', 'upfront')),
  business_days text NOT NULL DEFAULT 'none' CHECK (business_days IN ('none', 'following', 'modified')),
  PRIMARY KEY (company_id, code),
  CHECK ((kind = 'day_of_month') = (day_of_month IS NOT NULL))
);
COMMENT ON TABLE o2c.payment_term IS 'When an invoice is due and what an early payment may deduct.';
COMMENT ON COLUMN o2c.payment_term.kind IS
  'net: net_days after the invoice date; end_of_month: end of the month that is months after it, plus net_days; day_of_month: day_of_month of the month that is months after it (the next one when that day is past); instalments: rows of payment_term_line.';
COMMENT ON COLUMN o2c.payment_term.discount_days IS 'Days after the invoice date in which discount_percent may be deducted.';
COMMENT ON COLUMN o2c.payment_term.discount_grace_days IS 'Further days in which a late discount is still granted; not printed.';
COMMENT ON COLUMN o2c.payment_term.discount_basis IS
  'gross: of the total, tax is reduced with it; net: of the amount before tax only; upfront: tax is computed on the discounted amount from the start.';
COMMENT ON COLUMN o2c.payment_term.business_days IS
  'Where a due date that is no business day goes: none stays, following goes to the next business day, modified too unless that is in the next month (then the one before).';

CREATE TABLE o2c.payment_term_line (
  company_id integer NOT NULL,
  term_code text NOT NULL,
  instalment integer NOT NULL CHECK (instalment BETWEEN 1 AND 120),
  percent numeric NOT NULL CHECK (percent > 0 AND percent <= 100),
  kind text NOT NULL DEFAULT 'net' CHECK (kind IN ('net', 'end_of_month', 'day_of_month')),
  net_days integer NOT NULL DEFAULT 0 CHECK (net_days BETWEEN 0 AND 3650),
  months integer NOT NULL DEFAULT 0 CHECK (months BETWEEN 0 AND 120),
  day_of_month integer CHECK (day_of_month BETWEEN 1 AND 31),
  PRIMARY KEY (company_id, term_code, instalment),
  FOREIGN KEY (company_id, term_code) REFERENCES o2c.payment_term (company_id, code) ON DELETE CASCADE,
  CHECK ((kind = 'day_of_month') = (day_of_month IS NOT NULL))
);
COMMENT ON TABLE o2c.payment_term_line IS
  'Instalments of a term of kind instalments, in percent; the last one takes what rounding leaves, so the percents should make 100.';
