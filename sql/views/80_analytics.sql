-- Reporting: receivables, aging, customer behaviour, journal and a star schema.
--
-- Views run with the caller's rights and call nothing that names o2c's tables,
-- so that o2c_reader needs no access to the schema o2c.  "Today" is each
-- company's own date.

CREATE OR REPLACE VIEW o2c_bi.receivables WITH (security_invoker = true) AS
SELECT i.company_id, i.id AS item_id, c.code AS customer_code, c.name AS customer_name,
       i.kind::text AS kind, i.number, i.instalment::bigint AS instalment, i.invoice_id, i.document_date, i.due_date,
       i.currency::text AS currency, i.amount, i.open_amount,
       GREATEST(0, t.today - i.due_date)::bigint AS days_overdue,
       (ARRAY['not due', '1-30', '31-60', '61-90', 'over 90'])[o2c.aging_bucket(t.today - i.due_date, '{0,30,60,90}')] AS bucket,
       i.disputed_amount, i.structured_ref, i.alt_number, i.discount_date, i.discount_amount
FROM o2c.open_balance b
-- said of the item, too: read whole, the table is filtered before it is joined
JOIN o2c.open_item i ON i.company_id = b.company_id AND i.id = b.item_id AND i.open_amount <> 0
JOIN (SELECT k.company_id, (pg_catalog.now() AT TIME ZONE k.time_zone)::date AS today FROM o2c.company k) t
  ON t.company_id = b.company_id
LEFT JOIN o2c.customer c ON c.company_id = b.company_id AND c.id = b.customer_id;
COMMENT ON VIEW o2c_bi.receivables IS 'Every item that is open now: invoices by instalment, credit notes, payments on account, fees, unidentified money.';

-- Customers are joined on either side of the union, so that a report of one
-- customer reads that customer's items alone.
CREATE OR REPLACE VIEW o2c_bi.aging WITH (security_invoker = true) AS
WITH t AS (
  SELECT k.company_id, (pg_catalog.now() AT TIME ZONE k.time_zone)::date AS today FROM o2c.company k),
r AS (
  SELECT b.company_id, c.code, c.name, b.currency, t.today - b.due_date AS days, NULL::boolean AS credit, b.open_amount AS amount
  FROM t JOIN o2c.open_balance b ON b.company_id = t.company_id
  LEFT JOIN o2c.customer c ON c.company_id = b.company_id AND c.id = b.customer_id
  UNION ALL
  -- what was posted with a date to come does not count yet
  SELECT e.company_id, c.code, c.name, e.currency, t.today - e.due_date, e.credit, - e.amount
  FROM t JOIN o2c.ledger_entry e ON e.company_id = t.company_id AND e.effective_on > t.today
  LEFT JOIN o2c.customer c ON c.company_id = e.company_id AND c.id = e.customer_id
  -- true wherever the line above is; tells the planner that these are few
  WHERE e.effective_on >= (pg_catalog.now() AT TIME ZONE 'UTC')::date),
s AS (
  SELECT r.company_id, r.code, r.name, r.currency, o2c._aging_line(r.amount, NULL, r.days, r.credit, '{0,30,60,90}') AS b
  FROM r GROUP BY r.company_id, r.code, r.name, r.currency)
SELECT s.company_id, s.code AS customer_code, s.name AS customer_name, s.currency::text AS currency,
       s.b[1] AS not_due, s.b[2] AS d1_30, s.b[3] AS d31_60, s.b[4] AS d61_90, s.b[5] AS d90_plus,
       s.b[6] AS unapplied, s.b[7] AS total
FROM s
WHERE s.b IS NOT NULL;
COMMENT ON VIEW o2c_bi.aging IS 'Aging by due date as of today, one row per customer and currency; without customer_code: money not identified yet.';

CREATE OR REPLACE VIEW o2c_bi.customer_behaviour WITH (security_invoker = true) AS
SELECT c.company_id, c.code AS customer_code, c.name AS customer_name,
       coalesce(p.settled_items, 0) AS settled_items,
       pg_catalog.round(p.days_late, 2) AS average_days_late,
       pg_catalog.round(p.median_days_late::numeric, 2) AS median_days_late,
       pg_catalog.round(p.days_to_pay, 2) AS average_days_to_pay,
       pg_catalog.round(100 * p.on_time, 2) AS on_time_percent,
       coalesce(p.written_off_items, 0) AS written_off_items, p.last_settled_on,
       coalesce(s.open_items, 0) AS open_items, coalesce(s.overdue_items, 0) AS overdue_items,
       GREATEST(0, coalesce(s.oldest_days_overdue, 0))::bigint AS oldest_days_overdue,
       coalesce(s.disputed_items, 0) AS disputed_items
FROM o2c.customer c
JOIN (SELECT k.company_id, (pg_catalog.now() AT TIME ZONE k.time_zone)::date AS today FROM o2c.company k) t
  ON t.company_id = c.company_id
-- customer by customer: whoever asks for one reads that one's items
CROSS JOIN LATERAL (
  SELECT pg_catalog.count(*) AS settled_items,
         pg_catalog.avg(d.settled_on - d.due_date) AS days_late,
         pg_catalog.avg(d.settled_on - d.document_date) AS days_to_pay,
         pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY d.settled_on - d.due_date) AS median_days_late,
         pg_catalog.avg((d.settled_on <= d.due_date)::integer) AS on_time,
         pg_catalog.count(*) FILTER (WHERE d.written_off) AS written_off_items,
         pg_catalog.max(d.settled_on) AS last_settled_on
  FROM (SELECT i.document_date, i.due_date, e.settled_on, e.written_off
        FROM o2c.open_item i
        CROSS JOIN LATERAL (
          SELECT pg_catalog.max(x.effective_on) FILTER (WHERE x.amount < 0) AS settled_on,
                 pg_catalog.bool_or(x.kind = 'write_off') AS written_off
          FROM o2c.ledger_entry x WHERE x.company_id = i.company_id AND x.item_id = i.id) e
        WHERE i.company_id = c.company_id AND i.customer_id = c.id
          AND i.open_amount = 0 AND i.amount > 0 AND i.kind IN ('invoice', 'debit_note', 'opening')) d) p
CROSS JOIN LATERAL (
  SELECT pg_catalog.count(*) AS open_items,
         pg_catalog.count(*) FILTER (WHERE b.due_date < t.today) AS overdue_items,
         pg_catalog.max(t.today - b.due_date) AS oldest_days_overdue,
         pg_catalog.count(*) FILTER (WHERE i.disputed_amount > 0) AS disputed_items
  FROM o2c.open_balance b JOIN o2c.open_item i ON i.company_id = b.company_id AND i.id = b.item_id
  WHERE b.company_id = c.company_id AND b.customer_id = c.id AND b.open_amount > 0) s;
COMMENT ON VIEW o2c_bi.customer_behaviour IS 'How each customer pays: over its settled invoices and imported items, and what stands open now.';

CREATE OR REPLACE VIEW o2c_bi.discount_taxes WITH (security_invoker = true) AS
SELECT e.company_id, e.id AS entry_id, i.number, c.code AS customer_code, e.effective_on, d.tax_category, d.tax_rate,
       - d.part AS discount_amount, d.tax - d.part AS net_amount, - d.tax AS tax_amount, e.currency::text AS currency
FROM o2c.ledger_entry e
JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
LEFT JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
-- spread over the rates by their totals, the units that rounding leaves to the largest remainders
CROSS JOIN LATERAL (
  SELECT s.tax_category, s.tax_rate, s.sign * s.part AS part,
    CASE WHEN s.reduces_tax AND s.gross <> 0 THEN s.sign * o2c.round_amount(s.part * s.tax / s.gross, s.currency) ELSE 0 END AS tax
  FROM (
    SELECT f.*, o2c.round_amount((f.units + CASE WHEN pg_catalog.row_number() OVER (ORDER BY f.exact - f.units DESC, f.tax_category, f.tax_rate)
                             <= f.whole - pg_catalog.sum(f.units) OVER () THEN 1 ELSE 0 END) / f.factor, f.currency) AS part
    FROM (
      SELECT q.*, pg_catalog.floor(q.exact) AS units
      FROM (
        SELECT x.tax_category, x.tax_rate, x.base_amount + x.tax_amount AS gross, x.tax_amount AS tax, v.currency, u.factor,
          pg_catalog.sign(e.amount) AS sign, coalesce(t.discount_basis, 'gross') = 'gross' AS reduces_tax,
          pg_catalog.abs(e.amount) * u.factor AS whole,
          pg_catalog.abs(e.amount) * u.factor * (x.base_amount + x.tax_amount)
            / nullif(pg_catalog.sum(x.base_amount + x.tax_amount) OVER (), 0) AS exact
        FROM o2c.invoice v
        JOIN o2c.invoice_tax x ON x.company_id = v.company_id AND x.invoice_id = v.id
        LEFT JOIN o2c.payment_term t ON t.company_id = v.company_id AND t.code = v.payment_term
        CROSS JOIN LATERAL (SELECT pg_catalog.round(10::numeric ^ o2c.minor_unit(v.currency)) AS factor) u
        WHERE v.company_id = e.company_id AND v.id = i.invoice_id) q
      WHERE q.exact IS NOT NULL) f) s) d
WHERE e.kind = 'discount';
COMMENT ON VIEW o2c_bi.discount_taxes IS
  'Cash discounts taken, by the tax rates of their invoice: what the tax return takes back; undone ones are negative.';
COMMENT ON COLUMN o2c_bi.discount_taxes.company_id IS 'The company.';
COMMENT ON COLUMN o2c_bi.discount_taxes.entry_id IS 'Ledger entry of the discount, or of its undoing.';
COMMENT ON COLUMN o2c_bi.discount_taxes.number IS 'Number of the invoice.';
COMMENT ON COLUMN o2c_bi.discount_taxes.customer_code IS 'Its customer.';
COMMENT ON COLUMN o2c_bi.discount_taxes.effective_on IS 'Day from which it counts.';
COMMENT ON COLUMN o2c_bi.discount_taxes.tax_category IS 'Category of the tax (UNCL 5305).';
COMMENT ON COLUMN o2c_bi.discount_taxes.tax_rate IS 'Rate in percent.';
COMMENT ON COLUMN o2c_bi.discount_taxes.discount_amount IS 'Share of the discount, tax included.';
COMMENT ON COLUMN o2c_bi.discount_taxes.net_amount IS 'Of that the net amount.';
COMMENT ON COLUMN o2c_bi.discount_taxes.tax_amount IS 'Of that the tax, which is taken back.';
COMMENT ON COLUMN o2c_bi.discount_taxes.currency IS 'Currency of the amounts.';

-- The journal.  Every entry moves its item's control account; entries of one
-- allocation balance each other, an invoice balances with revenue and tax, any
-- other entry with the account of its kind.  In the company's currency an item
-- is worth what it was on its own date, rounded so that it ends at zero when
-- the item does; what then is left of a document is the exchange difference.
--
-- Each kind of document is a branch of its own that joins what it shows, and
-- no branch groups or sorts: a condition on date, number, customer or document
-- goes down to the tables.
CREATE OR REPLACE VIEW o2c_bi.journal WITH (security_invoker = true) AS
WITH entry AS NOT MATERIALIZED (
  SELECT e.company_id, e.id, e.kind, e.amount, e.effective_on, e.recorded_at, e.allocation_id, e.item_id, e.credit,
         i.currency::text AS currency, i.invoice_id, i.number, c.code AS customer_code, k.currency::text AS base,
         CASE i.kind WHEN 'on_account' THEN 'unapplied' WHEN 'unidentified' THEN 'unidentified' ELSE 'receivable' END AS control,
         CASE WHEN i.currency::text = k.currency::text THEN e.amount ELSE (
           SELECT o2c.round_amount(s.upto * q.rate, k.currency) - o2c.round_amount((s.upto - e.amount) * q.rate, k.currency)
           FROM (SELECT pg_catalog.sum(x.amount) AS upto FROM o2c.ledger_entry x
                 WHERE x.company_id = e.company_id AND x.item_id = e.item_id AND x.id <= e.id) s
           CROSS JOIN (SELECT coalesce(i.base_rate, (
             SELECT CASE WHEN q.from_currency::text = i.currency::text THEN q.rate ELSE 1 / q.rate END
             FROM o2c.exchange_rate q
             WHERE q.company_id = i.company_id AND q.valid_from <= i.document_date
               AND ((q.from_currency::text = i.currency::text AND q.to_currency::text = k.currency::text)
                 OR (q.from_currency::text = k.currency::text AND q.to_currency::text = i.currency::text))
             ORDER BY q.valid_from DESC, (q.from_currency::text = i.currency::text) DESC LIMIT 1)) AS rate) q) END AS base_amount
  FROM o2c.ledger_entry e
  JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
  JOIN o2c.company k ON k.company_id = e.company_id
  LEFT JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id),
-- what an invoice credits: revenue, tax, less what was prepaid and rounded
sale AS NOT MATERIALIZED (
  SELECT v.company_id, v.id, v.kind, v.number, v.issue_date, v.issued_at, v.currency::text AS currency, c.code AS customer_code,
         k.currency::text AS base, p.purpose, p.amount,
         CASE WHEN v.currency::text = k.currency::text THEN p.amount ELSE o2c.round_amount(p.amount * coalesce(
           (SELECT i.base_rate FROM o2c.open_item i WHERE i.company_id = v.company_id AND i.invoice_id = v.id
            AND i.base_rate IS NOT NULL ORDER BY i.id LIMIT 1),
           (SELECT CASE WHEN q.from_currency::text = v.currency::text THEN q.rate ELSE 1 / q.rate END
           FROM o2c.exchange_rate q
           WHERE q.company_id = v.company_id AND q.valid_from <= v.issue_date
             AND ((q.from_currency::text = v.currency::text AND q.to_currency::text = k.currency::text)
               OR (q.from_currency::text = k.currency::text AND q.to_currency::text = v.currency::text))
           ORDER BY q.valid_from DESC, (q.from_currency::text = v.currency::text) DESC LIMIT 1)), k.currency) END AS base_amount
  FROM o2c.invoice v
  JOIN o2c.company k ON k.company_id = v.company_id
  LEFT JOIN o2c.customer c ON c.company_id = v.company_id AND c.id = v.customer_id
  CROSS JOIN LATERAL (SELECT CASE v.kind WHEN 'credit_note' THEN -1 ELSE 1 END AS sign) g
  CROSS JOIN LATERAL (VALUES
    (CASE v.kind WHEN 'prepayment' THEN 'prepayment' ELSE 'revenue' END, - g.sign * v.net_amount),
    ('tax', - g.sign * v.tax_amount), ('prepayment', g.sign * v.prepaid_amount), ('rounding', - g.sign * v.rounding_amount))
    p (purpose, amount)
  WHERE v.state NOT IN ('draft', 'void') AND p.amount <> 0),
line AS (
  SELECT e.company_id, e.effective_on AS posted_on, 'allocation' AS document_kind, a.id AS document_id, e.number, e.kind::text AS kind,
         e.customer_code, e.control AS purpose, e.currency, e.amount, e.base AS base_currency, e.base_amount, e.recorded_at
  FROM entry e
  JOIN o2c.allocation a ON a.company_id = e.company_id AND a.id = e.allocation_id AND e.item_id = ANY (ARRAY[a.debit_item_id, a.credit_item_id])
  UNION ALL
  SELECT e.company_id, e.effective_on, 'invoice', e.invoice_id, e.number, e.kind::text,
         e.customer_code, e.control, e.currency, e.amount, e.base, e.base_amount, e.recorded_at
  FROM entry e
  WHERE e.allocation_id IS NULL AND e.invoice_id IS NOT NULL AND e.kind IN ('invoice', 'credit')
  UNION ALL
  SELECT v.company_id, v.issue_date, 'invoice', v.id, v.number, CASE v.kind WHEN 'credit_note' THEN 'credit' ELSE 'invoice' END,
         v.customer_code, v.purpose, v.currency, v.amount, v.base, v.base_amount, v.issued_at
  FROM sale v
  UNION ALL
  -- documents that are one entry: control account and counterpart
  SELECT e.company_id, e.effective_on, 'entry', e.id, e.number, e.kind::text,
         e.customer_code, p.purpose, e.currency, p.amount, e.base, p.base_amount, e.recorded_at
  FROM entry e
  -- a cash discount takes its share of the tax back, rate by rate, unless the term gives it on the net amount
  LEFT JOIN LATERAL (
    SELECT - pg_catalog.sum(d.tax_amount) AS amount,
           o2c.round_amount(- e.base_amount * pg_catalog.sum(d.tax_amount) / e.amount, e.base::o2c.currency) AS base_amount
    FROM o2c_bi.discount_taxes d WHERE e.kind = 'discount' AND d.company_id = e.company_id AND d.entry_id = e.id) x ON true
  CROSS JOIN LATERAL (VALUES (e.control, e.amount, e.base_amount),
    (CASE e.kind WHEN 'opening' THEN 'opening' WHEN 'invoice' THEN 'revenue' WHEN 'credit' THEN 'revenue'
       WHEN 'receipt' THEN 'cash' WHEN 'refund' THEN 'cash' WHEN 'return' THEN 'cash' WHEN 'discount' THEN 'discount'
       WHEN 'write_off' THEN 'bad_debt' WHEN 'charge' THEN 'charge' WHEN 'fee' THEN 'fee' WHEN 'interest' THEN 'interest'
       WHEN 'exchange' THEN 'exchange' ELSE 'transfer' END,
     coalesce(x.amount, 0) - e.amount, coalesce(x.base_amount, 0) - e.base_amount),
    ('tax', - nullif(x.amount, 0), - x.base_amount)) p (purpose, amount, base_amount)
  WHERE e.allocation_id IS NULL AND (e.invoice_id IS NULL OR e.kind NOT IN ('invoice', 'credit')) AND p.amount <> 0
  UNION ALL
  -- exchange differences, in the company's currency alone: what an allocation realises ...
  SELECT d.company_id, d.effective_on, 'allocation', a.id, d.number, 'exchange',
         d.customer_code, 'exchange', d.base, 0, d.base, - (d.base_amount + k.base_amount), d.recorded_at
  FROM entry d
  JOIN o2c.allocation a ON a.company_id = d.company_id AND a.id = d.allocation_id AND a.debit_item_id = d.item_id
  JOIN entry k ON k.company_id = a.company_id AND k.item_id = a.credit_item_id AND k.allocation_id = a.id
  WHERE d.currency <> d.base AND d.base_amount + k.base_amount <> 0
  UNION ALL
  -- ... and what rounding leaves of an invoice
  SELECT v.company_id, v.issue_date, 'invoice', v.id, v.number, 'exchange',
         c.code, 'exchange', k.currency::text, 0, k.currency::text, - r.amount, v.issued_at
  FROM (SELECT b.company_id, b.invoice_id, pg_catalog.sum(b.base_amount) AS amount
        FROM (SELECT s.company_id, s.id AS invoice_id, s.base_amount FROM sale s WHERE s.currency <> s.base
              UNION ALL
              SELECT e.company_id, e.invoice_id, e.base_amount FROM entry e
              WHERE e.allocation_id IS NULL AND e.invoice_id IS NOT NULL AND e.kind IN ('invoice', 'credit') AND e.currency <> e.base) b
        GROUP BY b.company_id, b.invoice_id HAVING pg_catalog.sum(b.base_amount) <> 0) r
  JOIN o2c.invoice v ON v.company_id = r.company_id AND v.id = r.invoice_id
  JOIN o2c.company k ON k.company_id = v.company_id
  LEFT JOIN o2c.customer c ON c.company_id = v.company_id AND c.id = v.customer_id
  UNION ALL
  SELECT j.company_id, j.posted_on, 'journal', j.document_id, j.description, 'exchange', NULL, j.purpose,
         j.currency::text, 0, k.currency::text, j.base_debit - j.base_credit, j.recorded_at
  FROM o2c.journal_line j JOIN o2c.company k ON k.company_id = j.company_id)
SELECT l.company_id, l.posted_on, l.document_kind, l.document_id, l.number, l.kind, l.customer_code,
       l.purpose, m.account, m.name AS account_name, l.currency,
       GREATEST(l.amount, 0) AS debit, GREATEST(- l.amount, 0) AS credit,
       l.base_currency, GREATEST(l.base_amount, 0) AS base_debit, GREATEST(- l.base_amount, 0) AS base_credit, l.recorded_at
FROM line l
LEFT JOIN o2c.account_mapping m ON m.company_id = l.company_id AND m.purpose = l.purpose;
COMMENT ON VIEW o2c_bi.journal IS
  'The balanced journal for the general ledger: debits equal credits per document, in its currency and in the company''s.';

-- Star schema: facts and dimensions, joined by company_id and the id columns.
CREATE OR REPLACE VIEW o2c_bi.dim_customer WITH (security_invoker = true) AS
SELECT c.company_id, c.id AS customer_id, c.code AS customer_code, c.name AS customer_name, c.country,
       c.currency::text AS currency, c.language, c.customer_group, c.parent_code, c.payment_term, c.credit_limit
FROM o2c.customer c;
COMMENT ON VIEW o2c_bi.dim_customer IS 'Dimension: customers.';

CREATE OR REPLACE VIEW o2c_bi.dim_product WITH (security_invoker = true) AS
SELECT p.company_id, p.id AS product_id, p.code AS product_code, p.name AS product_name, p.unit, p.tax_category
FROM o2c.product p;
COMMENT ON VIEW o2c_bi.dim_product IS 'Dimension: products.';

CREATE OR REPLACE VIEW o2c_bi.dim_date WITH (security_invoker = true) AS
SELECT d::date AS date, pg_catalog.date_part('year', d)::bigint AS year, pg_catalog.date_part('quarter', d)::bigint AS quarter,
       pg_catalog.date_part('month', d)::bigint AS month, pg_catalog.date_part('day', d)::bigint AS day,
       pg_catalog.date_part('isodow', d)::bigint AS weekday, pg_catalog.date_part('week', d)::bigint AS iso_week,
       pg_catalog.date_part('isoyear', d)::bigint AS iso_year, pg_catalog.to_char(d, 'YYYY-MM') AS year_month
FROM pg_catalog.generate_series('2000-01-01'::timestamp, '2049-12-31'::timestamp, '1 day'::interval) d;
COMMENT ON VIEW o2c_bi.dim_date IS 'Dimension: days of 2000 to 2049.';

CREATE OR REPLACE VIEW o2c_bi.fact_invoice WITH (security_invoker = true) AS
SELECT l.company_id, l.id AS invoice_line_id, v.id AS invoice_id, v.kind, v.number, v.state::text AS state, v.issue_date, v.due_date,
       v.customer_id, l.product_id, l.quantity, l.unit, v.currency::text AS currency,
       CASE v.kind WHEN 'credit_note' THEN - l.net_amount ELSE l.net_amount END AS net_amount, l.tax_category, l.tax_rate
FROM o2c.invoice_line l JOIN o2c.invoice v ON v.company_id = l.company_id AND v.id = l.invoice_id
WHERE v.state NOT IN ('draft', 'void');
COMMENT ON VIEW o2c_bi.fact_invoice IS 'Fact: lines of issued documents; credit notes negative.';

CREATE OR REPLACE VIEW o2c_bi.fact_allocation WITH (security_invoker = true) AS
SELECT a.company_id, a.id AS allocation_id, a.debit_item_id, a.credit_item_id, d.number AS debit_number, k.number AS credit_number,
       d.customer_id, d.invoice_id, a.kind::text AS kind, a.effective_on AS date, a.recorded_at, a.currency::text AS currency, a.amount,
       (a.effective_on - d.due_date)::bigint AS days_late, a.reverses_id
FROM o2c.allocation a
JOIN o2c.open_item d ON d.company_id = a.company_id AND d.id = a.debit_item_id
JOIN o2c.open_item k ON k.company_id = a.company_id AND k.id = a.credit_item_id;
COMMENT ON VIEW o2c_bi.fact_allocation IS 'Fact: what paid what, reversals as negative rows.';

CREATE OR REPLACE VIEW o2c_bi.fact_payment WITH (security_invoker = true) AS
SELECT e.company_id, e.id AS entry_id, e.item_id, i.number, e.customer_id, e.kind::text AS kind, e.effective_on AS date, e.recorded_at,
       e.currency::text AS currency, - e.amount AS amount
FROM o2c.ledger_entry e JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
WHERE e.kind IN ('receipt', 'refund', 'return') AND e.allocation_id IS NULL;
COMMENT ON VIEW o2c_bi.fact_payment IS 'Fact: money received (positive), refunded or returned (negative).';

CREATE OR REPLACE VIEW o2c_bi.fact_message WITH (security_invoker = true) AS
SELECT m.company_id, m.id AS message_id, m.channel, m.state::text AS state, m.created_at, m.created_at::date AS date, m.sent_at, m.attempts::bigint AS attempts
FROM o2c.message m;
COMMENT ON VIEW o2c_bi.fact_message IS 'Fact: messages and what became of them.';

GRANT INSERT, UPDATE ON o2c.account_mapping TO o2c_admin;
GRANT INSERT ON o2c.journal_line, o2c.aging_snapshot, o2c.aging_snapshot_line TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._receivables_at, o2c._sales, o2c._paid, o2c._require_range, o2c.dso, o2c.cei, o2c.average_days_late, o2c.cash_forecast,
  o2c.statement_of_account, o2c.statement_of_open_items, o2c.statement_html, o2c._statement_words, o2c._statement_page,
  o2c._statement_cell, o2c._statement_accounts, o2c.export_journal, o2c.aging_snapshot_differences, o2c.receivables_dashboard, o2c.customer_profitability
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.revalue, o2c.take_aging_snapshot TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._seed_company_receivable TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._check_analytics TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
