-- Cash application, the engine: tokenise, candidates, weigh, decide, post.
-- Each stage is a statement over all open lines, through temporary work
-- tables o2c_m_* that live until the end of the transaction.

CREATE FUNCTION o2c._seed_company_match(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.tolerance (company_id) SELECT company
  WHERE NOT EXISTS (SELECT FROM o2c.tolerance t WHERE t.company_id = company AND t.customer_id IS NULL);
  INSERT INTO o2c.match_rule (company_id, rule, automatic, max_chance, max_size, description) VALUES
    (company, 'reference', true, NULL, NULL, 'structured reference, equal amount'),
    (company, 'number', true, NULL, NULL, 'document number in the text, equal amount'),
    (company, 'numbers', true, NULL, NULL, 'several numbers in the text, equal sum'),
    (company, 'net', true, NULL, NULL, 'invoices less credit notes, equal sum'),
    (company, 'list', true, NULL, NULL, 'list or range completed from shortened numbers, equal sum'),
    (company, 'discount', true, NULL, NULL, 'cited items less their cash discount, in time'),
    (company, 'discount_late', true, NULL, NULL, 'cited items less a discount that had lapsed: the discount stays open'),
    (company, 'tolerance', true, NULL, NULL, 'cited items, difference within the tolerance'),
    (company, 'charges', true, NULL, NULL, 'cited item less stated bank charges'),
    (company, 'number_part', true, NULL, NULL, 'end of a number in the text, equal amount'),
    (company, 'number_slip', true, NULL, NULL, 'number with one slip in the text, equal amount'),
    (company, 'partial', true, NULL, NULL, 'cited item, less than its open amount, from its customer'),
    (company, 'overpayment', true, NULL, NULL, 'cited items, more than their amount, nothing else explains the rest'),
    (company, 'short_stated', true, NULL, NULL, 'cited items, the text says which one is short by how much'),
    (company, 'list_completed', true, NULL, NULL, 'cited items and unnamed ones that make the rest in one way only'),
    (company, 'amount', true, NULL, NULL, 'no number: the payer''s only item of this amount'),
    (company, 'amount_discount', true, NULL, NULL, 'no number: the payer''s only item of this amount less discount'),
    (company, 'amount_name', true, NULL, NULL, 'no number, unknown account: name alike and the only item of this amount'),
    (company, 'amount_group', true, NULL, NULL, 'no number: the only item of this amount in the payer''s group'),
    (company, 'bundle', true, 0.005, 5, 'no number: the payer''s items that make the amount in one way only'),
    (company, 'account_cleared', true, NULL, NULL, 'no number: everything open of the payer'),
    (company, 'past_due_cleared', true, NULL, NULL, 'no number: everything past due of the payer'),
    (company, 'conflict', false, NULL, NULL, 'the cited item and the item of equal amount differ'),
    (company, 'short', false, NULL, NULL, 'several cited items, less money, no word about which'),
    (company, 'duplicate', false, NULL, NULL, 'the cited document is settled already')
  ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION o2c._seed_company_match(integer) IS 'The matching rules and tolerances that a new company begins with.';

CREATE FUNCTION o2c._match_lines(company integer, up_to date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  n bigint;
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_m_line, pg_temp.o2c_m_token, pg_temp.o2c_m_payer, pg_temp.o2c_m_cand,
    pg_temp.o2c_m_answer, pg_temp.o2c_m_claim, pg_temp.o2c_m_rejected, pg_temp.o2c_m_factor, pg_temp.o2c_m_pay, pg_temp.o2c_m_item, pg_temp.o2c_m_taken, pg_temp.o2c_m_ok;
  CREATE TEMPORARY TABLE o2c_m_line (
    id bigint NOT NULL, currency o2c.currency NOT NULL, amount numeric NOT NULL, minor_amount bigint NOT NULL,
    minor integer NOT NULL, booking_date date NOT NULL, remittance_text text, payer_name text, account text,
    reference_key bigint NOT NULL, charges bigint NOT NULL, payer integer NOT NULL DEFAULT 0,
    payer_customer bigint, windowed boolean NOT NULL DEFAULT false, done boolean NOT NULL DEFAULT false,
    look boolean NOT NULL DEFAULT true,
    payment_id bigint, item_id bigint, item_customer bigint) ON COMMIT DROP;
  -- lines never seen, and payments on which nothing is applied yet
  INSERT INTO pg_temp.o2c_m_line (id, currency, amount, minor_amount, minor, booking_date, remittance_text,
    payer_name, account, reference_key, charges, payment_id, item_id, item_customer)
  SELECT b.id, b.currency, b.amount, (b.amount * (10::numeric ^ m.minor))::bigint, m.minor, b.booking_date,
    b.remittance_text, nullif(b.payer_name, ''),
    nullif(pg_catalog.upper(pg_catalog.replace(coalesce(nullif(b.payer_iban, ''), b.payer_account), ' ', '')), ''),
    coalesce(o2c._reference_key(b.structured_ref), 0),
    coalesce((pg_catalog.round(b.charges * (10::numeric ^ m.minor)))::bigint, 0), p.id, p.item_id, p.customer_id
  FROM o2c.bank_line b
  CROSS JOIN LATERAL (SELECT o2c.minor_unit(b.currency) AS minor) m
  LEFT JOIN o2c.payment p ON p.company_id = b.company_id AND p.bank_line_id = b.id
  WHERE b.company_id = company AND b.state = 'open' AND b.amount > 0 AND b.amount < 1e14
    AND b.return_reason IS NULL
    AND (up_to IS NULL OR b.booking_date <= up_to)
  UNION ALL
  SELECT b.id, b.currency, b.amount, (b.amount * (10::numeric ^ m.minor))::bigint, m.minor, b.booking_date,
    b.remittance_text, nullif(b.payer_name, ''),
    nullif(pg_catalog.upper(pg_catalog.replace(coalesce(nullif(b.payer_iban, ''), b.payer_account), ' ', '')), ''),
    coalesce(o2c._reference_key(b.structured_ref), 0), 0, p.id, p.item_id, p.customer_id
  FROM o2c.payment p
  JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
  JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id AND i.open_amount = -p.amount
  CROSS JOIN LATERAL (SELECT o2c.minor_unit(b.currency) AS minor) m
  WHERE p.company_id = company AND p.state = 'received' AND b.state = 'matched' AND b.amount < 1e14
    AND (up_to IS NULL OR b.booking_date <= up_to)
    AND NOT EXISTS (SELECT FROM o2c.match_proposal r WHERE r.company_id = p.company_id AND r.payment_id = p.id
                    AND r.state = 'reversed');
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN
    RETURN 0;
  END IF;
  CREATE UNIQUE INDEX ON pg_temp.o2c_m_line (id);
  ANALYZE pg_temp.o2c_m_line;

  -- what a person rejected is not found again
  CREATE TEMPORARY TABLE o2c_m_rejected ON COMMIT DROP AS
  SELECT l.id AS line_id, r.item_ids
  FROM pg_temp.o2c_m_line l
  JOIN o2c.match_proposal r ON r.company_id = company AND r.payment_id = l.payment_id AND r.state = 'rejected'
  WHERE l.payment_id IS NOT NULL;
  ANALYZE pg_temp.o2c_m_rejected;

  CREATE TEMPORARY TABLE o2c_m_token ON COMMIT DROP AS
  SELECT l.id AS line_id, k.key
  FROM pg_temp.o2c_m_line l
  CROSS JOIN LATERAL (SELECT pg_catalog.unnest(o2c._cash_keys(l.remittance_text)) AS key
                      UNION ALL SELECT l.reference_key WHERE l.reference_key <> 0) k;
  ANALYZE pg_temp.o2c_m_token;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_lines(integer, date) IS
  'First stage of match_cash: the lines to be matched and the keys in their texts; returns how many lines.';

CREATE FUNCTION o2c._match_payers(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  -- rel 3: own account or trusted alias; 2: one confirmation, the same name, or the group
  CREATE TEMPORARY TABLE o2c_m_payer ON COMMIT DROP AS
  WITH named AS (
    SELECT l.id, l.account, o2c._name_key(l.payer_name) AS name_key FROM pg_temp.o2c_m_line l),
  alias AS (
    SELECT a.kind, a.value, a.customer_id,
      a.confirmations >= 2 AND a.contradictions = 0
        AND pg_catalog.count(*) OVER (PARTITION BY a.kind, a.value) = 1 AS trusted,
      pg_catalog.count(*) OVER (PARTITION BY a.kind, a.value) AS users
    FROM o2c.payer_alias a WHERE a.company_id = company AND a.confirmations > a.contradictions),
  found AS (
    SELECT n.id AS line_id, c.id AS customer_id, 3 AS rel, false AS learned
    FROM named n JOIN o2c.customer c ON c.company_id = company AND c.iban::text = n.account
    UNION ALL
    SELECT n.id, c.id, 3, false
    FROM named n JOIN o2c.customer c ON c.company_id = company AND c.account_number = n.account
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END, true
    FROM named n JOIN alias a ON a.kind = 'account' AND a.value = n.account AND a.users <= 5
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END, false
    FROM named n JOIN alias a ON a.kind = 'name' AND a.value = n.name_key AND a.users <= 5
    UNION ALL
    SELECT n.id, c.id, 2, false
    FROM named n JOIN o2c.customer c ON c.company_id = company AND o2c._name_key(c.name) = n.name_key
    WHERE n.name_key <> '')
  SELECT f.line_id, f.customer_id, pg_catalog.max(f.rel) AS rel, false AS grp, pg_catalog.bool_or(f.learned) AS learned
  FROM found f GROUP BY 1, 2;
  -- an account that is registered decides: a like name elsewhere is somebody else
  DELETE FROM pg_temp.o2c_m_payer p USING pg_temp.o2c_m_payer q
  WHERE q.line_id = p.line_id AND q.rel = 3 AND p.rel < 3 AND NOT p.learned;
  -- ... though it has paid for others before: they are its group
  UPDATE pg_temp.o2c_m_payer p SET grp = true
  FROM pg_temp.o2c_m_payer q WHERE q.line_id = p.line_id AND q.rel = 3 AND p.rel < 3;
  ANALYZE pg_temp.o2c_m_payer;
  -- the parent may pay for its children, a child for its parent and siblings
  INSERT INTO pg_temp.o2c_m_payer
  WITH payer AS (
    SELECT c.id, c.code, c.parent_code FROM o2c.customer c
    WHERE c.company_id = company AND c.id IN (SELECT p.customer_id FROM pg_temp.o2c_m_payer p)),
  relative AS (
    SELECT c.id, k.id AS relative_id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.parent_code = c.code
    UNION
    SELECT c.id, k.id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.code = c.parent_code
    UNION
    SELECT c.id, k.id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.parent_code = c.parent_code AND k.id <> c.id)
  SELECT DISTINCT p.line_id, r.relative_id, 2, true, false
  FROM pg_temp.o2c_m_payer p JOIN relative r ON r.id = p.customer_id
  WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_payer q WHERE q.line_id = p.line_id AND q.customer_id = r.relative_id);
  CREATE INDEX ON pg_temp.o2c_m_payer (line_id, customer_id);
  ANALYZE pg_temp.o2c_m_payer;
  UPDATE pg_temp.o2c_m_line l SET payer = p.rel, payer_customer = p.customer_id
  FROM (SELECT q.line_id, pg_catalog.max(q.rel) AS rel,
               CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(q.customer_id) END AS customer_id
        FROM pg_temp.o2c_m_payer q WHERE NOT q.grp GROUP BY 1) p
  WHERE p.line_id = l.id;
  ANALYZE pg_temp.o2c_m_line;
END $$;
COMMENT ON FUNCTION o2c._match_payers(integer) IS
  'Stage of match_cash: who the payers of the lines are, by account, alias and name, and their groups.';

CREATE FUNCTION o2c._match_items(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  tolerated record;
BEGIN
  SELECT coalesce(pg_catalog.max(t.difference), 0) AS difference, coalesce(pg_catalog.max(t.percent), 0) AS percent,
    coalesce(pg_catalog.max(t.charges), 0) AS charges
    INTO tolerated FROM o2c.tolerance t WHERE t.company_id = company AND t.customer_id IS NULL;
  INSERT INTO pg_temp.o2c_m_item
  SELECT i.id, i.customer_id, i.currency, i.number, i.alt_number, u.name,
    (i.open_amount * f.factor)::bigint, (i.amount * f.factor)::bigint,
    coalesce((i.discount_amount * f.factor)::bigint, 0), coalesce(i.discount_date, i.document_date) - '2000-01-01'::date,
    i.document_date - '2000-01-01'::date, i.due_date - '2000-01-01'::date,
    coalesce(o2c._reference_key(i.structured_ref), 0),
    least(tolerated.difference * f.factor, pg_catalog.abs(i.amount) * f.factor * tolerated.percent / 100,
          t.difference * f.factor, pg_catalog.abs(i.amount) * f.factor * t.percent / 100)::bigint,
    (least(tolerated.charges, t.charges) * f.factor)::bigint
  FROM (SELECT DISTINCT c.item_id FROM pg_temp.o2c_m_cand c
        EXCEPT SELECT k.item_id FROM pg_temp.o2c_m_item k) c
  JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
  JOIN pg_temp.o2c_m_factor f ON f.minor = o2c.minor_unit(i.currency)
  LEFT JOIN o2c.customer u ON u.company_id = company AND u.id = i.customer_id
  LEFT JOIN o2c.tolerance t ON t.company_id = company AND t.customer_id = i.customer_id;
  ANALYZE pg_temp.o2c_m_item;
END $$;
COMMENT ON FUNCTION o2c._match_items(integer) IS
  'What the weigher needs of each candidate item, read and scaled once; amounts in minor units, dates in days since 2000.';

CREATE FUNCTION o2c._match_distinct() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  CREATE TEMPORARY TABLE o2c_m_once ON COMMIT DROP AS
  SELECT DISTINCT c.line_id, c.item_id
  FROM pg_temp.o2c_m_cand c JOIN pg_temp.o2c_m_line l ON l.id = c.line_id AND NOT l.done;
  DROP TABLE pg_temp.o2c_m_cand;
  ALTER TABLE pg_temp.o2c_m_once RENAME TO o2c_m_cand;
  ANALYZE pg_temp.o2c_m_cand;
END $$;
COMMENT ON FUNCTION o2c._match_distinct() IS 'Candidates of undecided lines, each once.';

CREATE FUNCTION o2c._match_candidates(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  CREATE TEMPORARY TABLE o2c_m_cand (line_id bigint NOT NULL, item_id bigint NOT NULL) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_item (item_id bigint NOT NULL, customer_id bigint, currency o2c.currency, number text,
    alt_number text, customer_name text, open bigint, amount bigint, discount bigint, discount_date integer, issued integer,
    due integer, reference_key bigint, tolerance bigint, charges bigint) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_taken (item_id bigint NOT NULL, taken bigint NOT NULL) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_claim (line_id bigint NOT NULL, item_id bigint NOT NULL, cash bigint NOT NULL,
    settle bigint NOT NULL, settle_kind text NOT NULL) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_answer (line_id bigint NOT NULL, option integer NOT NULL, sure boolean NOT NULL,
    tier integer NOT NULL, rule text NOT NULL, confidence double precision NOT NULL, customer_id bigint,
    item_ids bigint[] NOT NULL, cash bigint[] NOT NULL, settle bigint[] NOT NULL, settle_kind text NOT NULL,
    explanation text NOT NULL, allowed boolean) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_factor ON COMMIT DROP AS
  SELECT m AS minor, pg_catalog.round(10::numeric ^ m) AS factor, pg_catalog.round(1 / 10::numeric ^ m, m) AS unit FROM pg_catalog.generate_series(0, 4) m;
  -- cited in the text or by reference
  INSERT INTO pg_temp.o2c_m_cand
  SELECT t.line_id, k.item_id
  FROM pg_temp.o2c_m_token t JOIN o2c.match_key k ON k.company_id = company AND k.key = t.key;
  -- the payer's items of this amount, whole or less discount; items are joined
  -- by all three keys at once, never payer by payer, also while their table has
  -- no statistics
  WITH wanted AS MATERIALIZED (
    SELECT l.id, p.customer_id, l.currency, l.amount
    FROM pg_temp.o2c_m_line l JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id)
  INSERT INTO pg_temp.o2c_m_cand
  SELECT w.id, i.id
  FROM wanted w JOIN o2c.open_item i ON i.company_id = company AND i.customer_id = w.customer_id
    AND i.currency = w.currency AND i.open_amount = w.amount
  WHERE i.open_amount <> 0;
  INSERT INTO pg_temp.o2c_m_cand
  SELECT l.id, i.id
  FROM pg_temp.o2c_m_line l JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id
  JOIN o2c.open_item i ON i.company_id = company AND i.customer_id = p.customer_id
    AND i.currency = l.currency AND i.open_amount - i.discount_amount = l.amount
  WHERE i.open_amount <> 0 AND i.discount_amount > 0;
  -- a credit note that makes up what the cited items are more than the payment
  INSERT INTO pg_temp.o2c_m_cand
  WITH cited AS (
    SELECT c.line_id, i.customer_id, i.currency, i.open_amount
    FROM (SELECT DISTINCT x.line_id, x.item_id FROM pg_temp.o2c_m_cand x) c
    JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
    WHERE i.open_amount > 0),
  gap AS (
    SELECT c.line_id, c.customer_id, c.currency, l.amount - c.open_amount AS amount
    FROM cited c JOIN pg_temp.o2c_m_line l ON l.id = c.line_id WHERE l.amount < c.open_amount
    UNION
    SELECT c.line_id, c.customer_id, c.currency, pg_catalog.min(l.amount) - pg_catalog.sum(c.open_amount)
    FROM cited c JOIN pg_temp.o2c_m_line l ON l.id = c.line_id
    GROUP BY 1, 2, 3 HAVING pg_catalog.min(l.amount) < pg_catalog.sum(c.open_amount) AND pg_catalog.count(*) > 1)
  SELECT g.line_id, i.id
  FROM gap g JOIN o2c.open_item i ON i.company_id = company AND i.customer_id = g.customer_id
    AND i.currency = g.currency AND i.open_amount = g.amount
  WHERE i.open_amount < 0 AND i.kind NOT IN ('on_account', 'unidentified');
  -- nobody knows the payer: anybody's items of this amount, when they are few
  INSERT INTO pg_temp.o2c_m_cand
  WITH wanted AS (
    SELECT DISTINCT l.currency, l.amount FROM pg_temp.o2c_m_line l WHERE l.payer < 3),
  hits AS (
    SELECT i.id, i.currency, w.amount,
      pg_catalog.count(*) OVER (PARTITION BY i.currency, w.amount) AS n
    FROM o2c.open_item i JOIN wanted w ON w.currency = i.currency AND w.amount = i.open_amount
    WHERE i.company_id = company AND i.open_amount <> 0)
  SELECT l.id, h.id
  FROM pg_temp.o2c_m_line l JOIN hits h ON h.currency = l.currency AND h.amount = l.amount
  WHERE l.payer < 3 AND h.n <= 60;
  PERFORM o2c._match_distinct();
  PERFORM o2c._match_items(company);
END $$;
COMMENT ON FUNCTION o2c._match_candidates(integer) IS
  'Stage of match_cash: items that a line cites, or that its amount pays.';

CREATE FUNCTION o2c._match_all_of_payer(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_m_book;
  CREATE TEMPORARY TABLE o2c_m_book ON COMMIT DROP AS
  SELECT i.customer_id, i.currency::text AS currency, i.due_date, i.id
  FROM o2c.open_item i
  WHERE i.company_id = company AND i.open_amount <> 0 AND i.kind NOT IN ('on_account', 'unidentified')
    AND i.customer_id IN (SELECT p.customer_id FROM pg_temp.o2c_m_payer p
                          JOIN pg_temp.o2c_m_line l ON l.id = p.line_id AND NOT l.done WHERE NOT p.grp);
  CREATE INDEX ON pg_temp.o2c_m_book (customer_id, currency, due_date);
  ANALYZE pg_temp.o2c_m_book;
  INSERT INTO pg_temp.o2c_m_cand
  SELECT l.id, i.id
  FROM pg_temp.o2c_m_line l
  JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id AND NOT p.grp
  CROSS JOIN LATERAL (
    (SELECT j.id FROM pg_temp.o2c_m_book j
     WHERE j.customer_id = p.customer_id AND j.currency = l.currency::text AND j.due_date >= l.booking_date
     ORDER BY j.due_date LIMIT 40)
    UNION ALL
    (SELECT j.id FROM pg_temp.o2c_m_book j
     WHERE j.customer_id = p.customer_id AND j.currency = l.currency::text AND j.due_date < l.booking_date
     ORDER BY j.due_date DESC LIMIT 60)) i
  WHERE NOT l.done AND l.payer >= 2;
  PERFORM o2c._match_distinct();
  PERFORM o2c._match_items(company);
  UPDATE pg_temp.o2c_m_line l SET windowed = true
  FROM (SELECT b.customer_id, b.currency FROM pg_temp.o2c_m_book b GROUP BY 1, 2 HAVING pg_catalog.count(*) > 40) w
  WHERE NOT l.done AND l.payer_customer = w.customer_id AND l.currency::text = w.currency;
END $$;
COMMENT ON FUNCTION o2c._match_all_of_payer(integer) IS
  'Stage of match_cash: for undecided lines, the open items of the payer nearest to the booking date.';

CREATE FUNCTION o2c._match_weigh(company integer, round integer, late boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  setting record;
  grace integer;
BEGIN
  SELECT coalesce(pg_catalog.max(r.max_chance), 0.01)::double precision AS max_chance, coalesce(pg_catalog.max(r.max_size), 5) AS max_size
    INTO setting FROM o2c.match_rule r WHERE r.company_id = company AND r.rule = 'bundle';
  grace := coalesce((SELECT t.grace_days FROM o2c.tolerance t WHERE t.company_id = company AND t.customer_id IS NULL), 0);
  DELETE FROM pg_temp.o2c_m_answer a USING pg_temp.o2c_m_line l WHERE l.id = a.line_id AND l.look;
  INSERT INTO pg_temp.o2c_m_answer
  SELECT w.*, r.automatic AND w.confidence >= r.min_confidence
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_m_rejected x WHERE x.line_id = w.line_id AND x.item_ids = w.item_ids)
  FROM o2c._weigh_lines(
    pg_catalog.format($q$
      SELECT l.id, l.minor_amount, l.booking_date - '2000-01-01'::date, l.remittance_text, l.payer_name,
        l.reference_key, l.charges, l.minor, l.payer, %s, l.windowed::integer, %s
      FROM pg_temp.o2c_m_line l WHERE l.look ORDER BY l.id $q$, (round > 1)::integer, late::integer),
    pg_catalog.format($q$
      SELECT c.line_id, i.item_id, i.customer_id, i.number, i.alt_number,
        CASE WHEN coalesce(p.rel, 0) < 2 THEN i.customer_name END, i.open - coalesce(k.taken, 0), i.amount,
        i.discount, i.discount_date, i.issued, i.due, i.reference_key, i.tolerance, i.charges,
        CASE WHEN p.rel IS NOT NULL THEN p.rel WHEN l.payer >= 3 THEN -1 ELSE 0 END, p.grp::integer
      FROM pg_temp.o2c_m_cand c
      JOIN pg_temp.o2c_m_line l ON l.id = c.line_id AND l.look
      JOIN pg_temp.o2c_m_item i ON i.item_id = c.item_id AND i.currency = l.currency
      LEFT JOIN pg_temp.o2c_m_payer p ON p.line_id = c.line_id AND p.customer_id = i.customer_id
      LEFT JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
      UNION ALL
      SELECT t.line_id, 0, s.customer_id, s.number, NULL, u.name, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        CASE WHEN p.rel IS NOT NULL THEN p.rel WHEN l.payer >= 3 THEN -1 ELSE 0 END, p.grp::integer
      FROM pg_temp.o2c_m_token t
      JOIN o2c.settled_number s ON s.company_id = %1$s AND s.key = t.key
      JOIN pg_temp.o2c_m_line l ON l.id = t.line_id AND l.look
      JOIN o2c.customer u ON u.company_id = %1$s AND u.id = s.customer_id
      LEFT JOIN pg_temp.o2c_m_payer p ON p.line_id = t.line_id AND p.customer_id = s.customer_id
      ORDER BY 1 $q$, company),
    setting.max_chance, setting.max_size, grace, 100000) w
  LEFT JOIN o2c.match_rule r ON r.company_id = company AND r.rule = w.rule;
  ANALYZE pg_temp.o2c_m_answer;
END $$;
COMMENT ON FUNCTION o2c._match_weigh(integer, integer, boolean) IS
  'Stage of match_cash: the answers of every undecided line; from the second round the payer''s items are among the candidates; late: what other lines clearly pay is gone.';

CREATE FUNCTION o2c._match_decide(company integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  n bigint;
BEGIN
  -- across all lines no item is claimed twice: the better evidence first, then the earlier day
  DROP TABLE IF EXISTS pg_temp.o2c_m_ok;
  CREATE TEMPORARY TABLE o2c_m_ok ON COMMIT DROP AS
  SELECT c.line_id
  FROM (SELECT x.line_id, x.item_id,
          pg_catalog.sum(x.claim) OVER (PARTITION BY x.item_id ORDER BY x.tier, x.booking_date, x.line_id
            ROWS UNBOUNDED PRECEDING) AS claimed
        FROM (SELECT a.line_id, a.tier, l.booking_date, u.item_id, pg_catalog.abs(u.cash + u.settle) AS claim
              FROM pg_temp.o2c_m_answer a
              JOIN pg_temp.o2c_m_line l ON l.id = a.line_id AND NOT l.done
              CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(a.item_ids), pg_catalog.unnest(a.cash), pg_catalog.unnest(a.settle))
                AS u(item_id, cash, settle)
              WHERE a.sure AND a.allowed AND a.option = 1) x) c
  JOIN pg_temp.o2c_m_item i ON i.item_id = c.item_id
  LEFT JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
  GROUP BY c.line_id
  HAVING pg_catalog.bool_and(c.claimed <= pg_catalog.abs(i.open - coalesce(k.taken, 0)));
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN
    RETURN 0;
  END IF;
  INSERT INTO pg_temp.o2c_m_claim
  SELECT a.line_id, u.item_id, u.cash, u.settle, a.settle_kind
  FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_ok o ON o.line_id = a.line_id
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(a.item_ids), pg_catalog.unnest(a.cash), pg_catalog.unnest(a.settle))
    AS u(item_id, cash, settle)
  WHERE a.option = 1;
  ANALYZE pg_temp.o2c_m_claim;
  DELETE FROM pg_temp.o2c_m_taken;
  INSERT INTO pg_temp.o2c_m_taken
  SELECT c.item_id, pg_catalog.sum(c.cash + c.settle) FROM pg_temp.o2c_m_claim c GROUP BY 1;
  UPDATE pg_temp.o2c_m_line l SET done = true FROM pg_temp.o2c_m_ok o WHERE o.line_id = l.id;
  ANALYZE pg_temp.o2c_m_taken;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_decide(integer) IS
  'Stage of match_cash: sure answers that together claim no item beyond its open amount become decisions; returns how many.';

CREATE FUNCTION o2c._match_post(company integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  posted bigint;
  retried bigint[];
BEGIN
  -- what somebody else applied since we read it is not ours to apply: lock, look again
  PERFORM i.id FROM o2c.open_item i
  WHERE i.company_id = company AND i.id IN (SELECT k.item_id FROM pg_temp.o2c_m_taken k)
  ORDER BY i.id FOR NO KEY UPDATE;
  DELETE FROM pg_temp.o2c_m_ok;
  INSERT INTO pg_temp.o2c_m_ok
  SELECT DISTINCT c.line_id
  FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_line l ON l.id = c.line_id
  JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
  JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
  JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
  WHERE pg_catalog.abs(k.taken) > pg_catalog.abs(i.open_amount * f.factor);
  IF FOUND THEN
    DELETE FROM pg_temp.o2c_m_claim c USING pg_temp.o2c_m_ok o WHERE o.line_id = c.line_id;
    UPDATE pg_temp.o2c_m_line l SET done = false FROM pg_temp.o2c_m_ok o WHERE o.line_id = l.id;
  END IF;

  -- each line is a payment with its credit item, understood or not
  CREATE TEMPORARY TABLE o2c_m_pay ON COMMIT DROP AS
  SELECT l.id AS line_id, l.done, l.currency, l.amount, l.booking_date, b.value_date, f.factor, f.unit,
    coalesce(l.payment_id, pg_catalog.nextval('o2c.payment_id_seq')) AS payment_id, l.payment_id IS NULL AS is_new,
    coalesce(l.item_id, pg_catalog.nextval('o2c.open_item_id_seq')) AS item_id,
    CASE WHEN l.done THEN a.customer_id WHEN l.payer >= 3 THEN l.payer_customer END AS customer_id,
    b.end_to_end_id, coalesce(t.cash, 0) AS cash
  FROM pg_temp.o2c_m_line l
  JOIN o2c.bank_line b ON b.company_id = company AND b.id = l.id
  JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
  LEFT JOIN pg_temp.o2c_m_answer a ON a.line_id = l.id AND a.option = 1
  LEFT JOIN (SELECT c.line_id, pg_catalog.sum(c.cash) AS cash FROM pg_temp.o2c_m_claim c GROUP BY 1) t ON t.line_id = l.id
  ORDER BY l.id;
  ANALYZE pg_temp.o2c_m_pay, pg_temp.o2c_m_claim;
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company, p.item_id, p.customer_id,
    CASE WHEN p.customer_id IS NULL THEN 'unidentified' ELSE 'on_account' END::o2c.item_kind,
    'PAY-' || p.payment_id, p.booking_date, p.booking_date, p.currency, - p.amount, - p.amount
  FROM pg_temp.o2c_m_pay p WHERE p.is_new;
  INSERT INTO o2c.payment (company_id, id, state, customer_id, amount, currency, received_on, value_date,
    method, reference, bank_line_id, item_id)
  SELECT company, p.payment_id, CASE WHEN p.done AND p.cash = p.amount * p.factor THEN 'applied' ELSE 'received' END::o2c.payment_state,
    p.customer_id, p.amount, p.currency, p.booking_date, p.value_date, 'transfer', p.end_to_end_id, p.line_id, p.item_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new;
  UPDATE o2c.bank_line b SET state = 'matched', payment_id = p.payment_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new AND b.company_id = company AND b.id = p.line_id;

  -- payments of earlier runs that nobody could place now have a customer
  IF EXISTS (SELECT FROM pg_temp.o2c_m_pay p WHERE NOT p.is_new AND p.done) THEN
    PERFORM o2c._identify_payments(company, pg_catalog.array_agg(p.payment_id), pg_catalog.array_agg(p.customer_id))
    FROM pg_temp.o2c_m_pay p JOIN o2c.payment y ON y.company_id = company AND y.id = p.payment_id
    WHERE NOT p.is_new AND p.done AND y.customer_id IS NULL HAVING pg_catalog.count(*) > 0;
    UPDATE pg_temp.o2c_m_pay p SET item_id = y.item_id
    FROM o2c.payment y WHERE NOT p.is_new AND y.company_id = company AND y.id = p.payment_id AND y.item_id <> p.item_id;
  END IF;
  PERFORM o2c._match_allocate(company);

  -- payments of earlier runs: their state, and their proposals give way to new ones
  SELECT pg_catalog.array_agg(p.payment_id) INTO retried FROM pg_temp.o2c_m_pay p WHERE NOT p.is_new;
  IF retried IS NOT NULL THEN
    PERFORM o2c._restate_payments(company, retried);
    UPDATE o2c.match_proposal m SET state = 'superseded', decided_at = pg_catalog.now()
    WHERE m.company_id = company AND m.payment_id = ANY (retried) AND m.state = 'suggested';
  END IF;
  INSERT INTO o2c.match_proposal (company_id, payment_id, bank_line_id, option, state, rule, confidence, item_ids,
    amounts, settled, settle_kind, explanation)
  SELECT company, p.payment_id, p.line_id, a.option, CASE WHEN p.done THEN 'auto' ELSE 'suggested' END::o2c.match_state,
    a.rule, least(a.confidence, 1)::numeric(6, 5), a.item_ids,
    ARRAY(SELECT u.x * p.unit FROM pg_catalog.unnest(a.cash) WITH ORDINALITY u(x, n) ORDER BY u.n),
    ARRAY(SELECT u.x * p.unit FROM pg_catalog.unnest(a.settle) WITH ORDINALITY u(x, n) ORDER BY u.n),
    nullif(a.settle_kind, '')::o2c.entry_kind, a.explanation
  FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_pay p ON p.line_id = a.line_id
  WHERE CASE WHEN p.done THEN a.option = 1 ELSE pg_catalog.cardinality(a.item_ids) > 0 END
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_m_rejected x WHERE x.line_id = a.line_id AND x.item_ids = a.item_ids);
  -- who paid what he cited is learned as a payer
  PERFORM o2c._learn_payers(company, pg_catalog.array_agg(p.payment_id), 1)
  FROM pg_temp.o2c_m_pay p JOIN pg_temp.o2c_m_line l ON l.id = p.line_id
  JOIN pg_temp.o2c_m_answer a ON a.line_id = p.line_id AND a.option = 1
  WHERE p.done AND l.payer < 3 AND a.tier <= 2 HAVING pg_catalog.count(*) > 0;
  posted := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_m_pay p WHERE p.done);
  RETURN posted;
END $$;
COMMENT ON FUNCTION o2c._match_post(integer) IS
  'Last stage of match_cash: payments, credit items, allocations, settlements and proposals, each in one statement; returns how many lines were applied.';

CREATE FUNCTION o2c._match_returns(company integer, up_to date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  -- money that the bank took back: the payment of that amount that the line names, when it is one
  WITH back AS (
    SELECT b.id, b.booking_date, b.return_reason, pg_catalog.min(p.id) AS payment_id
    FROM o2c.bank_line b
    JOIN o2c.payment p ON p.company_id = company AND p.amount = - b.amount AND p.currency = b.currency
      AND p.state <> 'returned' AND p.received_on <= b.booking_date
    LEFT JOIN o2c.bank_line o ON o.company_id = company AND o.id = p.bank_line_id
    WHERE b.company_id = company AND b.state = 'open' AND b.amount < 0 AND b.return_reason IS NOT NULL
      AND (up_to IS NULL OR b.booking_date <= up_to)
      AND (b.end_to_end_id = coalesce(o.end_to_end_id, p.reference)
        OR (coalesce(b.end_to_end_id, 'NOTPROVIDED') = 'NOTPROVIDED'
            AND o2c._account_key(coalesce(b.payer_iban, b.payer_account)) = o2c._account_key(coalesce(o.payer_iban, o.payer_account))))
    GROUP BY 1, 2, 3 HAVING pg_catalog.count(*) = 1),
  once AS (
    SELECT DISTINCT ON (k.payment_id) k.* FROM back k ORDER BY k.payment_id, k.booking_date, k.id),
  done AS (
    SELECT k.id, k.payment_id, o2c.return_payment(company, k.payment_id, k.return_reason, k.booking_date) AS undone FROM once k)
  UPDATE o2c.bank_line b SET state = 'matched', payment_id = d.payment_id
  FROM done d WHERE b.company_id = company AND b.id = d.id;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_returns(integer, date) IS
  'Stage of match_cash: returned payments (lines with money out and a return reason) by end-to-end id or account, when exactly one fits; returns how many.';

CREATE FUNCTION o2c.match_cash(company_id integer, up_to date DEFAULT NULL,
  OUT lines bigint, OUT auto_lines bigint, OUT suggested_lines bigint, OUT unmatched_lines bigint, OUT auto_amount numeric)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  round integer := 0;
  mark record;
BEGIN
  PERFORM o2c._require_company($1);
  lines := 0;
  auto_lines := 0;
  suggested_lines := 0;
  unmatched_lines := 0;
  auto_amount := 0;
  -- one run a company at a time
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('order2cash.match_cash'), $1);
  SELECT coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0) AS item_id,
    coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0) AS entry_id,
    (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1) AS alias_at
    INTO mark;
  IF NOT EXISTS (SELECT FROM o2c.bank_line b WHERE b.company_id = $1 AND b.state = 'open'
                   AND (b.amount > 0) = (b.return_reason IS NULL) AND b.amount < 1e14 AND ($2 IS NULL OR b.booking_date <= $2))
     AND EXISTS (SELECT FROM o2c.match_watermark w WHERE w.company_id = $1
                   AND w.item_id = mark.item_id AND w.entry_id = mark.entry_id
                   AND w.alias_at IS NOT DISTINCT FROM mark.alias_at) THEN
    RETURN;
  END IF;
  PERFORM o2c._match_returns($1, $2);
  lines := o2c._match_lines($1, $2);
  IF lines > 0 THEN
    PERFORM o2c._match_payers($1);
    PERFORM o2c._match_candidates($1);
    -- again with what the decisions of the round before leave open
    LOOP
      round := round + 1;
      PERFORM o2c._match_weigh($1, round, round > 2);
      EXIT WHEN o2c._match_decide($1) = 0 AND round > 2 OR round >= 8;
      -- the second round brings the payers' other items, the third what is left for them
      -- after that only lines that lost a candidate, or their claim
      IF round < 3 THEN
        UPDATE pg_temp.o2c_m_line l SET look = NOT l.done WHERE l.look <> NOT l.done;
      ELSE
        UPDATE pg_temp.o2c_m_line l SET look = false WHERE l.look;
        UPDATE pg_temp.o2c_m_line l SET look = true
        WHERE NOT l.done AND l.id IN (
          SELECT c.line_id FROM pg_temp.o2c_m_cand c WHERE c.item_id IN (
            SELECT k.item_id FROM pg_temp.o2c_m_claim k JOIN pg_temp.o2c_m_ok o ON o.line_id = k.line_id));
      END IF;
      IF round = 1 THEN
        PERFORM o2c._match_all_of_payer($1);
      END IF;
    END LOOP;
    auto_lines := o2c._match_post($1);
    SELECT pg_catalog.count(DISTINCT a.line_id) INTO suggested_lines
    FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_pay p ON p.line_id = a.line_id
    WHERE NOT p.done AND pg_catalog.cardinality(a.item_ids) > 0;
    unmatched_lines := lines - auto_lines - suggested_lines;
    SELECT coalesce(pg_catalog.sum(p.cash * p.unit), 0) INTO auto_amount FROM pg_temp.o2c_m_pay p WHERE p.done;
    DROP TABLE pg_temp.o2c_m_pay;
  END IF;
  INSERT INTO o2c.match_watermark AS w (company_id, item_id, entry_id, alias_at)
  VALUES ($1, coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0),
          coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0),
          (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1))
  ON CONFLICT (company_id) DO UPDATE SET item_id = EXCLUDED.item_id, entry_id = EXCLUDED.entry_id,
    alias_at = EXCLUDED.alias_at, matched_at = pg_catalog.now();
END $$;
COMMENT ON FUNCTION o2c.match_cash(integer, date) IS
  'Make payments of all open bank lines (up to a booking date) and apply those that are certain; the rest become proposals or stay on account or unidentified. Payments on which nothing is applied are looked at again when something is new. One run a company at a time. Errors: O2002.';
