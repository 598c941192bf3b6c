-- Analytics: statements of account, ratios, forecast, revaluation, snapshots.

CREATE FUNCTION o2c.check_journal_balance() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_check_journal_balance';
COMMENT ON FUNCTION o2c.check_journal_balance() IS
  'Deferred constraint trigger of journal_line: each document balances at commit (O2034).';

CREATE FUNCTION o2c._seed_company_receivable(company integer) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  INSERT INTO o2c.account_mapping (company_id, purpose, account, name) VALUES
    (company, 'receivable', '1200', 'Trade receivables'), (company, 'unapplied', '1210', 'Payments on account'),
    (company, 'unidentified', '1290', 'Unidentified receipts'), (company, 'cash', '1000', 'Bank'),
    (company, 'revenue', '4000', 'Revenue'), (company, 'prepayment', '3270', 'Prepayments received'),
    (company, 'tax', '3800', 'Output tax'), (company, 'rounding', '4840', 'Rounding'),
    (company, 'discount', '4730', 'Cash discounts granted'), (company, 'bad_debt', '6930', 'Bad debt'),
    (company, 'charge', '6855', 'Deductions and bank charges'), (company, 'fee', '4830', 'Dunning fees'),
    (company, 'interest', '7100', 'Interest income'), (company, 'exchange', '6880', 'Exchange differences'),
    (company, 'transfer', '1299', 'Transfers in transit'), (company, 'opening', '9000', 'Opening balances')
  ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION o2c._seed_company_receivable(integer) IS 'Accounts of a new company''s journal, to be changed to its own.';

-- Receivables and sales of a company in its own currency.

CREATE FUNCTION o2c._receivables_at(company integer, on_date date, OUT balance numeric, OUT not_overdue numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  SELECT coalesce(pg_catalog.sum(a.total), 0), coalesce(pg_catalog.sum(a.buckets[1]), 0) INTO balance, not_overdue
  FROM o2c.aging(company, on_date, '{0}', grouped_by => 'company',
    in_currency => (SELECT c.currency FROM o2c.company c WHERE c.company_id = company)) a;
END $$;
COMMENT ON FUNCTION o2c._receivables_at(integer, date) IS
  'Balance of all receivables and what of it is not overdue, in the company''s currency.';

CREATE FUNCTION o2c._sales(company integer, from_date date, to_date date)
RETURNS TABLE (day date, amount numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  base o2c.currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = company);
BEGIN
  RETURN QUERY
    SELECT s.document_date, pg_catalog.sum(CASE WHEN s.currency::text = base::text THEN s.amount
             ELSE s.amount * o2c.exchange_rate_on(company, s.currency, base, s.document_date) END)
    FROM (SELECT i.document_date, i.currency, pg_catalog.sum(i.amount) AS amount FROM o2c.open_item i
          WHERE i.company_id = company AND i.document_date BETWEEN from_date AND to_date
            AND i.kind IN ('invoice', 'debit_note', 'credit_note', 'opening')
          GROUP BY i.document_date, i.currency) s
    GROUP BY s.document_date;
END $$;
COMMENT ON FUNCTION o2c._sales(integer, date, date) IS
  'Sales on credit per day, tax included, credit notes deducted, in the company''s currency.';

CREATE FUNCTION o2c._require_range(from_date date, to_date date) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF from_date IS NULL OR to_date IS NULL OR from_date < '0001-01-01' OR to_date > '9999-12-31' OR from_date > to_date THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044',
      MESSAGE = pg_catalog.format('%s to %s is not a range of dates', coalesce(from_date::text, 'NULL'), coalesce(to_date::text, 'NULL')),
      HINT = 'Give two days of the years 1 to 9999, the earlier first.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_range(date, date) IS 'Raises O2044 unless both dates are of this era and in order.';

CREATE FUNCTION o2c.dso(company_id integer, from_date date, to_date date, method text DEFAULT 'simple')
RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  at_end record;
  sales numeric;
  days integer;
  rest numeric;
  result numeric := 0;
  month record;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $3);
  IF method IS NULL OR method NOT IN ('simple', 'countback', 'best_possible', 'add') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('method "%s" is not known', method),
      HINT = 'Use simple, countback, best_possible or add (simple less best possible).';
  END IF;
  days := to_date - from_date + 1;
  SELECT * INTO at_end FROM o2c._receivables_at($1, $3);

  IF method = 'countback' THEN
    rest := at_end.balance;
    -- whole months backwards, the last one as far as the balance reaches
    FOR month IN
      SELECT m.first_on, LEAST((m.first_on + '1 month - 1 day'::interval)::date, $3) AS last_on, m.amount
      FROM (SELECT pg_catalog.date_trunc('month', s.day::timestamp)::date AS first_on, pg_catalog.sum(s.amount) AS amount
            FROM o2c._sales($1, '0001-01-01', $3) s GROUP BY 1) m
      ORDER BY m.first_on DESC
    LOOP
      EXIT WHEN rest <= 0;
      -- months without sales count in full
      result := ($3 - month.last_on)::numeric;
      IF month.amount > 0 THEN
        IF rest <= month.amount THEN
          RETURN pg_catalog.round(result + rest / month.amount * (month.last_on - month.first_on + 1), 2);
        END IF;
        rest := rest - month.amount;
      END IF;
      result := ($3 - month.first_on + 1)::numeric;
    END LOOP;
    RETURN CASE WHEN at_end.balance <= 0 THEN 0 WHEN result > 0 THEN pg_catalog.round(result, 2) END;
  END IF;

  sales := (SELECT pg_catalog.sum(s.amount) FROM o2c._sales($1, $2, $3) s);
  IF coalesce(sales, 0) <= 0 THEN
    RETURN NULL;
  END IF;
  RETURN pg_catalog.round(CASE method
    WHEN 'simple' THEN at_end.balance
    WHEN 'best_possible' THEN at_end.not_overdue
    ELSE at_end.balance - at_end.not_overdue END / sales * days, 2);
END $$;
COMMENT ON FUNCTION o2c.dso(integer, date, date, text) IS
  'Days sales outstanding at to_date over the sales from from_date to to_date. Methods: simple (balance / sales × days), countback (month by month back from to_date until the balance is used up), best_possible (what is not overdue / sales × days), add (average days delinquent: simple less best_possible). NULL without sales, or when more was credited than sold. Errors: O2002, O2004, O2044.';

CREATE FUNCTION o2c.cei(company_id integer, from_date date, to_date date) RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  at_start numeric;
  at_end record;
  sales numeric;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $3);
  at_start := (SELECT r.balance FROM o2c._receivables_at($1, $2 - 1) r);
  SELECT * INTO at_end FROM o2c._receivables_at($1, $3);
  sales := (SELECT coalesce(pg_catalog.sum(s.amount), 0) FROM o2c._sales($1, $2, $3) s);
  RETURN pg_catalog.round((at_start + sales - at_end.balance) / nullif(at_start + sales - at_end.not_overdue, 0) * 100, 2);
END $$;
COMMENT ON FUNCTION o2c.cei(integer, date, date) IS
  'Collection effectiveness in percent: what was collected of what could be: (start + sales - end) / (start + sales - not overdue). NULL when nothing could. Errors: O2002, O2044.';

CREATE FUNCTION o2c._paid(company integer, from_date date, to_date date)
RETURNS TABLE (customer_id bigint, currency o2c.currency, amount numeric, days_late integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT e.customer_id, e.currency, - e.amount, e.effective_on - e.due_date
    FROM o2c.ledger_entry e
    WHERE e.company_id = company AND e.effective_on BETWEEN from_date AND to_date
      AND e.kind = 'application' AND NOT e.credit AND e.amount < 0
      AND NOT EXISTS (SELECT FROM o2c.allocation r
                      WHERE r.company_id = company AND r.reverses_id = e.allocation_id AND r.effective_on <= to_date);
END $$;
COMMENT ON FUNCTION o2c._paid(integer, date, date) IS
  'What was paid of debits in a range of dates and how late; what was undone by to_date was not paid.';

CREATE FUNCTION o2c.average_days_late(company_id integer, from_date date, to_date date, customer_code text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  one bigint;
  base o2c.currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = $1);
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $3);
  IF $4 IS NOT NULL THEN
    one := o2c._customer_id($1, $4);
  END IF;
  RETURN (
    SELECT pg_catalog.round(pg_catalog.sum(p.amount * p.days_late * r.rate) / nullif(pg_catalog.sum(p.amount * r.rate), 0), 2)
    FROM (SELECT x.currency::text AS currency, x.days_late, pg_catalog.sum(x.amount) AS amount FROM o2c._paid($1, $2, $3) x
          WHERE one IS NULL OR x.customer_id = one GROUP BY 1, 2) p
    CROSS JOIN LATERAL (SELECT CASE WHEN p.currency = base::text THEN 1 ELSE o2c.exchange_rate_on($1, p.currency, base, $3) END AS rate) r);
END $$;
COMMENT ON FUNCTION o2c.average_days_late(integer, date, date, text) IS
  'Days between due date and payment, weighted by amount, of what was paid in the range and not undone in it; negative is early. Errors: O2002, O2003, O2044.';

CREATE FUNCTION o2c.cash_forecast(company_id integer, as_of date DEFAULT NULL, weeks integer DEFAULT 13)
RETURNS TABLE (week_from date, week_to date, currency text, expected numeric, due numeric, items bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  today date := coalesce($2, o2c.today($1));
BEGIN
  PERFORM o2c._require_company($1);
  IF weeks IS NULL OR weeks NOT BETWEEN 1 AND 520 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a forecast reaches 1 to 520 weeks';
  END IF;
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range(today, today);
  RETURN QUERY
    WITH habit AS (
      SELECT p.customer_id, pg_catalog.round(pg_catalog.sum(p.amount * p.days_late) / pg_catalog.sum(p.amount))::integer AS late
      FROM o2c._paid($1, today - 365, today) p GROUP BY p.customer_id),
    -- open then: what is open now, less what was posted since
    open AS (
      SELECT o.item_id, pg_catalog.sum(o.amount) AS amount
      FROM (SELECT b.item_id, b.open_amount AS amount FROM o2c.open_balance b WHERE b.company_id = $1
            UNION ALL
            SELECT e.item_id, - e.amount FROM o2c.ledger_entry e WHERE e.company_id = $1 AND e.effective_on > today) o
      GROUP BY o.item_id HAVING pg_catalog.sum(o.amount) > 0),
    disputed AS (
      SELECT d.item_id, pg_catalog.sum(d.amount) AS amount
      FROM o2c.dispute d JOIN o2c.company k ON k.company_id = d.company_id
      WHERE d.company_id = $1 AND d.opened_on <= today
        AND (d.resolved_at IS NULL OR (d.resolved_at AT TIME ZONE k.time_zone)::date > today)
      GROUP BY d.item_id),
    expected AS (
      SELECT i.currency::text AS currency, i.due_date,
             CASE WHEN d.item_id IS NULL THEN o.amount ELSE GREATEST(0, o.amount - d.amount) END AS amount,
             -- what should have come already is spread over the next weeks by its age
             GREATEST(i.due_date + coalesce(h.late, 0), today + 7 * (1 + LEAST(3, GREATEST(0, today - i.due_date - coalesce(h.late, 0)) / 30))
                      * (i.due_date + coalesce(h.late, 0) <= today)::integer) AS pays_on
      FROM open o JOIN o2c.open_item i ON i.company_id = $1 AND i.id = o.item_id
      LEFT JOIN disputed d ON d.item_id = o.item_id
      LEFT JOIN habit h ON h.customer_id = i.customer_id),
    cell AS (
      SELECT x.currency, c.week, pg_catalog.sum(x.amount) FILTER (WHERE c.pays) AS expected,
             pg_catalog.sum(x.amount) FILTER (WHERE NOT c.pays) AS due, pg_catalog.count(*) FILTER (WHERE c.pays) AS items
      FROM expected x
      CROSS JOIN LATERAL (VALUES (true, x.pays_on), (false, x.due_date)) v (pays, day)
      CROSS JOIN LATERAL (SELECT v.pays, (v.day - today - 1) / 7 AS week) c
      WHERE x.amount > 0 AND v.day > today
      GROUP BY x.currency, c.week)
    SELECT today + 7 * w + 1, today + 7 * (w + 1), k.currency, coalesce(c.expected, 0), coalesce(c.due, 0), coalesce(c.items, 0)
    FROM pg_catalog.generate_series(0, weeks - 1) w
    CROSS JOIN (SELECT DISTINCT x.currency FROM expected x) k
    LEFT JOIN cell c ON c.currency = k.currency AND c.week = w
    ORDER BY k.currency, w;
END $$;
COMMENT ON FUNCTION o2c.cash_forecast(integer, date, integer) IS
  'Receipts expected per week and currency: what of each debit was open on the date, less what was in dispute, on its due date plus the customer''s average days late of the year before; what should have come already follows in the next weeks. Errors: O2002, O2004, O2044.';

CREATE FUNCTION o2c.statement_of_account(company_id integer, customer_code text, from_date date, to_date date)
RETURNS TABLE (line_no bigint, entry_date date, kind text, number text, description text, due_date date, currency text,
               debit numeric, credit numeric, balance numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  one bigint := o2c._customer_id($1, $2);
BEGIN
  PERFORM o2c._require_range($3, $4);
  RETURN QUERY
    WITH moved AS (
      -- the two entries of an allocation within the account say nothing of its balance
      SELECT pg_catalog.min(e.id) AS id, e.effective_on, e.kind, i.number, e.reason, e.due_date, e.currency, pg_catalog.sum(e.amount) AS amount
      FROM o2c.open_item i JOIN o2c.ledger_entry e ON e.company_id = i.company_id AND e.item_id = i.id
      WHERE i.company_id = $1 AND i.customer_id = one AND e.effective_on <= $4 AND e.allocation_id IS NULL
      GROUP BY e.id, e.effective_on, e.kind, i.number, e.reason, e.due_date, e.currency
      UNION ALL
      SELECT pg_catalog.min(e.id), e.effective_on, pg_catalog.min(e.kind), pg_catalog.min(i.number), NULL, pg_catalog.min(e.due_date), e.currency,
             pg_catalog.sum(e.amount)
      FROM o2c.open_item i JOIN o2c.ledger_entry e ON e.company_id = i.company_id AND e.item_id = i.id
      WHERE i.company_id = $1 AND i.customer_id = one AND e.effective_on <= $4 AND e.allocation_id IS NOT NULL
      GROUP BY e.allocation_id, e.effective_on, e.currency HAVING pg_catalog.sum(e.amount) <> 0),
    line AS (
      SELECT 0 AS part, 0::bigint AS id, $3 AS entry_date, 'opening balance' AS kind, NULL::text AS number, NULL::text AS description,
             NULL::date AS due_date, m.currency::text AS currency, coalesce(pg_catalog.sum(m.amount) FILTER (WHERE m.effective_on < $3), 0) AS amount
      FROM moved m GROUP BY m.currency
      UNION ALL
      SELECT 1, m.id, m.effective_on, m.kind::text, m.number, m.reason, m.due_date, m.currency::text, m.amount
      FROM moved m WHERE m.effective_on >= $3)
    SELECT pg_catalog.row_number() OVER w, l.entry_date, l.kind, l.number, l.description, l.due_date, l.currency,
           CASE WHEN l.part = 1 AND l.amount > 0 THEN l.amount END, CASE WHEN l.part = 1 AND l.amount < 0 THEN - l.amount END,
           pg_catalog.sum(l.amount) OVER (PARTITION BY l.currency ORDER BY l.part, l.entry_date, l.id)
    FROM line l WINDOW w AS (ORDER BY l.currency, l.part, l.entry_date, l.id)
    ORDER BY l.currency, l.part, l.entry_date, l.id;
END $$;
COMMENT ON FUNCTION o2c.statement_of_account(integer, text, date, date) IS
  'Statement of a customer: per currency the opening balance, then every movement with the running balance. Applying money within the account moves nothing and is left out. Errors: O2002, O2003, O2044.';

CREATE FUNCTION o2c.statement_of_open_items(company_id integer, customer_code text, as_of date DEFAULT NULL)
RETURNS TABLE (number text, kind text, instalment integer, document_date date, due_date date, days_overdue integer, currency text,
               amount numeric, open_amount numeric, balance numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  one bigint := o2c._customer_id($1, $2);
  on_date date := coalesce($3, o2c.today($1));
BEGIN
  PERFORM o2c._require_range(on_date, on_date);
  RETURN QUERY
    WITH o AS (
      SELECT i.id, i.number, i.kind::text AS kind, i.instalment, i.document_date, i.due_date, i.currency::text AS currency, i.amount,
             pg_catalog.sum(e.amount) AS open_amount
      FROM o2c.open_item i JOIN o2c.ledger_entry e ON e.company_id = i.company_id AND e.item_id = i.id AND e.effective_on <= on_date
      WHERE i.company_id = $1 AND i.customer_id = one
      GROUP BY i.company_id, i.id HAVING pg_catalog.sum(e.amount) <> 0)
    SELECT o.number, o.kind, o.instalment, o.document_date, o.due_date, GREATEST(0, on_date - o.due_date), o.currency, o.amount, o.open_amount,
           pg_catalog.sum(o.open_amount) OVER (PARTITION BY o.currency ORDER BY o.due_date, o.id)
    FROM o ORDER BY o.currency, o.due_date, o.id;
END $$;
COMMENT ON FUNCTION o2c.statement_of_open_items(integer, text, date) IS
  'What a customer owed on a date, item by item, oldest first, with a running balance per currency. Errors: O2002, O2003, O2044.';

CREATE FUNCTION o2c.export_journal(company_id integer, from_date date, to_date date)
RETURNS TABLE (posted_on date, document_kind text, document_id bigint, number text, account text, account_name text, customer_code text,
               currency text, debit numeric, credit numeric, base_currency text, base_debit numeric, base_credit numeric, description text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $3);
  RETURN QUERY
    SELECT j.posted_on, j.document_kind, j.document_id, j.number, j.account, j.account_name, j.customer_code,
           j.currency, j.debit, j.credit, j.base_currency, j.base_debit, j.base_credit, j.kind
    FROM o2c_bi.journal j WHERE j.company_id = $1 AND j.posted_on BETWEEN $2 AND $3
    ORDER BY j.posted_on, j.document_kind, j.document_id, j.base_credit, j.account;
END $$;
COMMENT ON FUNCTION o2c.export_journal(integer, date, date) IS
  'The journal of a range of dates for the general ledger, each document balanced. Errors: O2002, O2044.';

CREATE FUNCTION o2c.revalue(company_id integer, as_of date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  base o2c.currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = $1);
  document bigint := pg_catalog.nextval('o2c.journal_line_id_seq');
  undo bigint := pg_catalog.nextval('o2c.journal_line_id_seq');
  label text := pg_catalog.format('revaluation %s', $2);
  lines bigint;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $2);
  -- once a date: the lock makes a second call wait and then find the first's
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('o2c.revalue'), $1);
  IF EXISTS (SELECT FROM o2c.journal_line l WHERE l.company_id = $1 AND l.posted_on = $2 AND l.description = label) THEN
    RETURN 0;
  END IF;
  CREATE TEMPORARY TABLE o2c_revaluation ON COMMIT DROP AS
  SELECT v.currency, v.purpose, o2c.round_amount(v.now_worth, base) - v.booked AS difference
  FROM (
    SELECT i.currency::text AS currency,
           CASE i.kind WHEN 'on_account' THEN 'unapplied' WHEN 'unidentified' THEN 'unidentified' ELSE 'receivable' END AS purpose,
           pg_catalog.sum(i.open * o2c.exchange_rate_on($1, i.currency, base, $2)) AS now_worth,
           pg_catalog.sum(o2c.round_amount(i.open * coalesce(i.base_rate, o2c.exchange_rate_on($1, i.currency, base, i.document_date)), base)) AS booked
    FROM (SELECT k.currency, k.kind, k.document_date, k.base_rate, pg_catalog.sum(e.amount) AS open
          FROM o2c.open_item k JOIN o2c.ledger_entry e ON e.company_id = k.company_id AND e.item_id = k.id AND e.effective_on <= $2
          WHERE k.company_id = $1 AND k.currency::text <> base::text
          GROUP BY k.company_id, k.id HAVING pg_catalog.sum(e.amount) <> 0) i
    GROUP BY 1, 2) v;
  BEGIN
    INSERT INTO o2c.journal_line (company_id, document_id, posted_on, purpose, currency, base_debit, base_credit, description)
    SELECT $1, CASE d.sign WHEN 1 THEN document ELSE undo END, CASE d.sign WHEN 1 THEN $2 ELSE $2 + 1 END, p.purpose, r.currency,
           GREATEST(p.sign * d.sign * r.difference, 0), GREATEST(- p.sign * d.sign * r.difference, 0),
           CASE d.sign WHEN 1 THEN label ELSE label || ' reversed' END
    FROM pg_temp.o2c_revaluation r
    CROSS JOIN LATERAL (VALUES (r.purpose, 1), ('exchange', -1)) p (purpose, sign)
    CROSS JOIN (VALUES (1), (-1)) d (sign)
    WHERE r.difference <> 0;
    GET DIAGNOSTICS lines = ROW_COUNT;
  EXCEPTION WHEN unique_violation THEN
    -- above READ COMMITTED a revaluation of the meantime is not seen
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = pg_catalog.format('%s was revalued at the same moment', $2),
      HINT = 'Try the transaction again.';
  END;
  DROP TABLE pg_temp.o2c_revaluation;
  RETURN lines;
END $$;
COMMENT ON FUNCTION o2c.revalue(integer, date) IS
  'Revalue open items in other currencies at the rate of a date: journal lines for the unrealised difference, and their reversal the day after. Again for the same date: 0 lines. Errors: O2002, O2003 without a rate, O2044; 40001 above READ COMMITTED, when another did it at the same moment.';

CREATE FUNCTION o2c.take_aging_snapshot(company_id integer, as_of date, bounds integer[] DEFAULT '{0,30,60,90}') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  lines bigint;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $2);
  IF $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'an aging snapshot needs bounds', HINT = 'Leave them out for 0, 30, 60 and 90 days.';
  END IF;
  PERFORM o2c.aging_bucket(0, $3);
  -- waits for postings under way (guard_period), so that known_at parts what is known from what is not
  INSERT INTO o2c.aging_snapshot (company_id, as_of, bounds) VALUES ($1, $2, $3)
  ON CONFLICT (company_id, as_of) DO NOTHING;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  INSERT INTO o2c.aging_snapshot_line (company_id, as_of, customer_code, currency, buckets, unapplied, total)
  SELECT $1, $2, a.customer_code, a.currency, a.buckets, a.unapplied, a.total FROM o2c.aging($1, $2, $3) a;
  GET DIAGNOSTICS lines = ROW_COUNT;
  RETURN lines;
END $$;
COMMENT ON FUNCTION o2c.take_aging_snapshot(integer, date, integer[]) IS
  'Keep the aging of a date, once; returns its rows. o2c.aging_snapshot_differences() compares it with today''s knowledge. Waits for postings under way, and lets others wait until the transaction ends. Errors: O2002, O2004, O2044.';

CREATE FUNCTION o2c.aging_snapshot_differences(company_id integer, as_of date)
RETURNS TABLE (customer_code text, currency text, kept numeric[], kept_unapplied numeric, now numeric[], now_unapplied numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bounds integer[] := (SELECT s.bounds FROM o2c.aging_snapshot s WHERE s.company_id = $1 AND s.as_of = $2);
BEGIN
  IF bounds IS NULL THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no aging snapshot of %s', $2),
      HINT = 'Take one with o2c.take_aging_snapshot().';
  END IF;
  RETURN QUERY
    SELECT coalesce(k.customer_code, a.customer_code), coalesce(k.currency, a.currency), k.buckets, k.unapplied, a.buckets, a.unapplied
    FROM (SELECT * FROM o2c.aging_snapshot_line l WHERE l.company_id = $1 AND l.as_of = $2) k
    FULL JOIN o2c.aging($1, $2, bounds) a ON coalesce(a.customer_code, '') = coalesce(k.customer_code, '') AND a.currency = k.currency
    WHERE (k.buckets, k.unapplied) IS DISTINCT FROM (a.buckets, a.unapplied);
END $$;
COMMENT ON FUNCTION o2c.aging_snapshot_differences(integer, date) IS
  'Where the aging of a date differs from what was kept: entries that were back-dated since. Errors: O2002, O2003.';

CREATE FUNCTION o2c._check_analytics(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- everything is read whole: nothing is looped through, whatever statistics say
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT 'journal document balances', j.company_id, j.document_kind, j.document_id,
           pg_catalog.format('debits %s, credits %s; in %s %s and %s', pg_catalog.sum(j.debit), pg_catalog.sum(j.credit),
             j.base_currency, pg_catalog.sum(j.base_debit), pg_catalog.sum(j.base_credit))
    FROM o2c_bi.journal j
    WHERE (company IS NULL OR j.company_id = company) AND NOT (j.document_kind = 'entry' AND j.kind = 'discount')
    GROUP BY j.company_id, j.document_kind, j.document_id, j.base_currency
    HAVING pg_catalog.sum(j.debit) <> pg_catalog.sum(j.credit) OR pg_catalog.sum(j.base_debit) <> pg_catalog.sum(j.base_credit);
  -- but for discounts: the taxes of each are looked up, which without loops would read whole tables for each
  PERFORM pg_catalog.set_config('enable_nestloop', 'on', true);
  RETURN QUERY
    SELECT 'journal document balances', j.company_id, j.document_kind, j.document_id,
           pg_catalog.format('debits %s, credits %s; in %s %s and %s', pg_catalog.sum(j.debit), pg_catalog.sum(j.credit),
             j.base_currency, pg_catalog.sum(j.base_debit), pg_catalog.sum(j.base_credit))
    FROM o2c_bi.journal j
    WHERE (company IS NULL OR j.company_id = company) AND j.document_kind = 'entry' AND j.kind = 'discount'
    GROUP BY j.company_id, j.document_kind, j.document_id, j.base_currency
    HAVING pg_catalog.sum(j.debit) <> pg_catalog.sum(j.credit) OR pg_catalog.sum(j.base_debit) <> pg_catalog.sum(j.base_credit);
  RETURN QUERY
    SELECT 'kept aging adds up', l.company_id, 'aging_snapshot_line', l.id, pg_catalog.format('%s, total %s', l.as_of, l.total)
    FROM o2c.aging_snapshot_line l
    WHERE (company IS NULL OR l.company_id = company)
      AND l.total <> l.unapplied + (SELECT pg_catalog.sum(b) FROM pg_catalog.unnest(l.buckets) b);
END $$;
COMMENT ON FUNCTION o2c._check_analytics(integer) IS 'Invariants of the journal and of kept agings; see o2c.check().';
