-- Statements of account as letters: everything that is open, by customer and
-- currency, once for each period.

CREATE FUNCTION o2c.send_statements(company_id integer, as_of date DEFAULT NULL, customer_code text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'  -- the day is part of what tells the same statement again
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  day date := coalesce($2, o2c.today($1));
  one_customer bigint;
  result bigint;
BEGIN
  PERFORM o2c._require_company($1);
  IF NOT pg_catalog.isfinite(day) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'a statement of account needs a finite date';
  END IF;
  IF $3 IS NOT NULL THEN
    one_customer := o2c._customer_id($1, $3);
  END IF;
  WITH way AS MATERIALIZED (
    SELECT DISTINCT ON (h.kind) h.code, h.kind FROM o2c.channel h
    WHERE h.company_id = $1 AND h.enabled AND h.kind IN ('email', 'post') ORDER BY h.kind, h.id
  ), balance AS MATERIALIZED (
    SELECT b.customer_id, b.currency, pg_catalog.sum(b.open_amount) AS amount,
           pg_catalog.sum(b.open_amount) FILTER (WHERE b.due_date < day AND b.open_amount > 0) AS overdue
    FROM o2c.open_balance b
    WHERE b.company_id = $1 AND b.customer_id IS NOT NULL AND b.document_date <= day
      AND (one_customer IS NULL OR b.customer_id = one_customer)
    GROUP BY b.customer_id, b.currency
  ), receiver AS MATERIALIZED (
    SELECT DISTINCT ON (b.customer_id, b.currency) b.*, k.code AS customer_code, k.name, k.street, k.postal_code, k.city,
           k.country, k.language, k.time_zone, w.code AS channel, w.kind, r.recipient
    FROM balance b
    JOIN o2c._addressees($1, '{dunning,billing}') k ON k.id = b.customer_id
    CROSS JOIN way w
    CROSS JOIN LATERAL (SELECT o2c._dunning_recipient(w.kind, k.email, k.phone, k.name, k.street, k.postal_code, k.city, k.country) AS recipient) r
    WHERE o2c._is_recipient(w.kind, r.recipient)
    ORDER BY b.customer_id, b.currency, w.kind
  ), text_of AS MATERIALIZED (
    SELECT d.kind, d.language, f.template_language, f.subject, f.body_text, f.body_html
    FROM (SELECT DISTINCT r.kind, coalesce(r.language, '') AS language FROM receiver r) d
    CROSS JOIN LATERAL o2c.find_template($1, 'statement', d.kind, nullif(d.language, '')) f
  ), line AS MATERIALIZED (
    SELECT r.customer_id, r.currency, pg_catalog.min(i.document_date) AS first_date,
           pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
             'date', o2c.format_date(i.document_date, t.template_language), 'number', i.number, 'text', i.kind::text,
             'due_date', o2c.format_date(i.due_date, t.template_language), 'currency', i.currency::text,
             'amount', o2c._letter_amount(i.open_amount, i.currency, t.template_language),
             'balance', o2c._letter_amount(i.balance, i.currency, t.template_language))
             ORDER BY i.document_date, i.id) AS lines
    FROM receiver r
    JOIN text_of t ON t.kind = r.kind AND t.language = coalesce(r.language, '')
    JOIN (SELECT i.*, pg_catalog.sum(i.open_amount) OVER (PARTITION BY i.customer_id, i.currency ORDER BY i.document_date, i.id) AS balance
          FROM o2c.open_balance b JOIN o2c.open_item i ON i.company_id = $1 AND i.id = b.item_id AND i.open_amount <> 0
          WHERE b.company_id = $1 AND b.document_date <= day
            AND (one_customer IS NULL OR b.customer_id = one_customer)) i
      ON i.customer_id = r.customer_id AND i.currency = r.currency
    GROUP BY r.customer_id, r.currency
  ), letter AS MATERIALIZED (
    SELECT r.*, t.template_language, t.subject, t.body_text, t.body_html,
           pg_catalog.jsonb_build_object(
             'language', t.template_language, 'today', o2c.format_date(day, t.template_language),
             'from_date', o2c.format_date(l.first_date, t.template_language), 'to_date', o2c.format_date(day, t.template_language),
             'balance', o2c._letter_amount(r.amount, r.currency, t.template_language) || ' ' || r.currency,
             'overdue', o2c._letter_amount(r.overdue, r.currency, t.template_language) || ' ' || r.currency,
             'lines', l.lines,
             'company', pg_catalog.jsonb_build_object('name', c.name, 'email', c.email, 'phone', c.phone, 'website', c.website,
               'street', c.street, 'postal_code', c.postal_code, 'city', c.city, 'country', c.country, 'vat_id', c.vat_id),
             'customer', pg_catalog.jsonb_build_object('code', r.customer_code, 'name', r.name, 'street', r.street,
               'postal_code', r.postal_code, 'city', r.city, 'country', r.country),
             'bank', (SELECT pg_catalog.jsonb_build_object('iban', o2c.iban_format(a.iban), 'bic', a.bic, 'reference', r.customer_code)
                      FROM o2c.bank_account a WHERE a.company_id = $1 AND a.active AND a.iban IS NOT NULL
                      ORDER BY (a.currency = r.currency) DESC NULLS LAST, a.id LIMIT 1)) AS context
    FROM receiver r
    JOIN o2c.company c ON c.company_id = $1
    JOIN text_of t ON t.kind = r.kind AND t.language = coalesce(r.language, '')
    JOIN line l ON l.customer_id = r.customer_id AND l.currency = r.currency
  )
  INSERT INTO o2c.message (company_id, channel, kind, template, recipient, language, time_zone, customer_id, entity, entity_id,
    priority, dedupe_key, subject, body_text, body_html)
  SELECT $1, r.channel, 'statement', 'statement', r.recipient, r.template_language, r.time_zone, r.customer_id, 'customer', r.customer_id,
         7, pg_catalog.format('statement:%s:%s:%s', r.customer_id, r.currency, day),
         pg_catalog.left(o2c.render(r.subject, r.context, 'header'), 1000),
         o2c.render(r.body_text, r.context, 'none'), o2c.render(r.body_html, r.context, 'html')
  FROM letter r
  ON CONFLICT (company_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING;
  GET DIAGNOSTICS result = ROW_COUNT;
  IF EXISTS (SELECT FROM o2c.company c WHERE c.company_id = $1 AND c.settings -> 'attach_statement' = 'true') THEN
    -- the printable page, to what was queued just now
    INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
    SELECT $1, m.id, pg_catalog.format('statement-%s-%s.html', pg_catalog.regexp_replace(k.code, '[^A-Za-z0-9._-]+', '-', 'g'), day),
           'text/html; charset=utf-8', pg_catalog.convert_to(o2c.statement_html($1, k.code, NULL, day, 'open_item'), 'UTF8')
    FROM o2c.message m
    JOIN o2c.customer k ON k.company_id = $1 AND k.id = m.customer_id
    JOIN o2c.channel h ON h.company_id = $1 AND h.code = m.channel AND h.kind = 'email'
    WHERE m.company_id = $1 AND m.entity = 'customer' AND m.kind = 'statement' AND m.state = 'queued'
      AND (one_customer IS NULL OR m.customer_id = one_customer)
      AND m.dedupe_key LIKE 'statement:%:' || day
      AND NOT EXISTS (SELECT FROM o2c.message_attachment a WHERE a.company_id = $1 AND a.message_id = m.id);
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.send_statements(integer, date, text) IS
  'Queue a statement of account with everything open for each customer that owes or has something (or for one), by e-mail or else by post; the same day again: none. With "attach_statement": true in company.settings a mail carries the printable page (statement_html) as a file. Returns how many. Errors: O2002, O2003, O2044.';
