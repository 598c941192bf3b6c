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
    (company, 'bundle', true, 0.01, 5, 'no number: the payer''s items that make the amount in one way only'),
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
    pg_temp.o2c_m_answer, pg_temp.o2c_m_claim, pg_temp.o2c_m_taken, pg_temp.o2c_m_ok;
  CREATE TEMPORARY TABLE o2c_m_line (
    id bigint NOT NULL, currency o2c.currency NOT NULL, amount numeric NOT NULL, minor_amount bigint NOT NULL,
    minor integer NOT NULL, booking_date date NOT NULL, remittance_text text, payer_name text, account text,
    reference_key bigint NOT NULL, charges bigint NOT NULL, payer integer NOT NULL DEFAULT 0,
    payer_customer bigint, done boolean NOT NULL DEFAULT false,
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
                    AND r.state IN ('rejected', 'reversed'));
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN
    RETURN 0;
  END IF;
  CREATE UNIQUE INDEX ON pg_temp.o2c_m_line (id);
  ANALYZE pg_temp.o2c_m_line;

  CREATE TEMPORARY TABLE o2c_m_token ON COMMIT DROP AS
  SELECT l.id AS line_id, k.key
  FROM pg_temp.o2c_m_line l
  CROSS JOIN LATERAL (SELECT o2c._cash_keys(l.remittance_text, NULL, true) AS key
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
    SELECT n.id AS line_id, c.id AS customer_id, 3 AS rel
    FROM named n JOIN o2c.customer c ON c.company_id = company AND c.iban::text = n.account
    UNION ALL
    SELECT n.id, c.id, 3
    FROM named n JOIN o2c.customer c ON c.company_id = company AND c.account_number = n.account
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END
    FROM named n JOIN alias a ON a.kind = 'account' AND a.value = n.account AND a.users <= 5
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END
    FROM named n JOIN alias a ON a.kind = 'name' AND a.value = n.name_key AND a.users <= 5
    UNION ALL
    SELECT n.id, c.id, 2
    FROM named n JOIN o2c.customer c ON c.company_id = company AND o2c._name_key(c.name) = n.name_key
    WHERE n.name_key <> '')
  SELECT f.line_id, f.customer_id, pg_catalog.max(f.rel) AS rel, false AS grp
  FROM found f GROUP BY 1, 2;
  -- an account that is registered decides: a like name elsewhere is somebody else
  DELETE FROM pg_temp.o2c_m_payer p USING pg_temp.o2c_m_payer q
  WHERE q.line_id = p.line_id AND q.rel = 3 AND p.rel < 3;
  ANALYZE pg_temp.o2c_m_payer;
  -- the parent may pay for its children, a child for its parent and siblings
  INSERT INTO pg_temp.o2c_m_payer
  SELECT DISTINCT p.line_id, k.id, 2, true
  FROM pg_temp.o2c_m_payer p
  JOIN o2c.customer c ON c.company_id = company AND c.id = p.customer_id
  JOIN o2c.customer k ON k.company_id = company AND k.id <> c.id
    AND (k.parent_code = c.code OR k.code = c.parent_code OR k.parent_code = c.parent_code)
  WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_payer q WHERE q.line_id = p.line_id AND q.customer_id = k.id);
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

CREATE FUNCTION o2c._match_candidates(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  CREATE TEMPORARY TABLE o2c_m_cand (line_id bigint NOT NULL, item_id bigint NOT NULL) ON COMMIT DROP;
  -- cited in the text or by reference
  INSERT INTO pg_temp.o2c_m_cand
  SELECT t.line_id, k.item_id
  FROM pg_temp.o2c_m_token t JOIN o2c.match_key k ON k.company_id = company AND k.key = t.key;
  -- the payer's items of this amount, whole or less discount
  INSERT INTO pg_temp.o2c_m_cand
  SELECT l.id, i.id
  FROM pg_temp.o2c_m_line l JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id
  JOIN o2c.open_item i ON i.company_id = company AND i.customer_id = p.customer_id
    AND i.currency = l.currency AND i.open_amount = l.amount
  WHERE i.open_amount <> 0;
  INSERT INTO pg_temp.o2c_m_cand
  SELECT l.id, i.id
  FROM pg_temp.o2c_m_line l JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id
  JOIN o2c.open_item i ON i.company_id = company AND i.customer_id = p.customer_id
    AND i.currency = l.currency AND i.open_amount - i.discount_amount = l.amount
  WHERE i.open_amount <> 0 AND i.discount_amount > 0;
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
END $$;
COMMENT ON FUNCTION o2c._match_candidates(integer) IS
  'Stage of match_cash: items that a line cites, or that its amount pays.';

CREATE FUNCTION o2c._match_all_of_payer(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  INSERT INTO pg_temp.o2c_m_cand
  SELECT l.id, i.id
  FROM pg_temp.o2c_m_line l
  JOIN pg_temp.o2c_m_payer p ON p.line_id = l.id AND NOT p.grp
  CROSS JOIN LATERAL (
    (SELECT j.id FROM o2c.open_item j
     WHERE j.company_id = company AND j.customer_id = p.customer_id AND j.currency = l.currency
       AND j.open_amount <> 0 AND j.due_date >= l.booking_date
     ORDER BY j.due_date LIMIT 60)
    UNION ALL
    (SELECT j.id FROM o2c.open_item j
     WHERE j.company_id = company AND j.customer_id = p.customer_id AND j.currency = l.currency
       AND j.open_amount <> 0 AND j.due_date < l.booking_date
     ORDER BY j.due_date DESC LIMIT 60)) i
  WHERE NOT l.done AND l.payer >= 2;
END $$;
COMMENT ON FUNCTION o2c._match_all_of_payer(integer) IS
  'Stage of match_cash: for undecided lines, the open items of the payer nearest to the booking date.';

CREATE FUNCTION o2c._match_weigh(company integer, whole boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  setting record;
  tolerated record;
BEGIN
  SELECT coalesce(pg_catalog.max(r.max_chance), 0.01)::double precision AS max_chance, coalesce(pg_catalog.max(r.max_size), 5) AS max_size
    INTO setting FROM o2c.match_rule r WHERE r.company_id = company AND r.rule = 'bundle';
  SELECT coalesce(pg_catalog.max(t.amount), 0) AS amount, coalesce(pg_catalog.max(t.percent), 0) AS percent,
    coalesce(pg_catalog.max(t.charges), 0) AS charges, coalesce(pg_catalog.max(t.grace_days), 0) AS grace_days
    INTO tolerated FROM o2c.tolerance t WHERE t.company_id = company AND t.customer_id IS NULL;
  DELETE FROM pg_temp.o2c_m_answer a USING pg_temp.o2c_m_line l WHERE l.id = a.line_id AND NOT l.done;
  INSERT INTO pg_temp.o2c_m_answer
  SELECT w.*, r.automatic AND w.confidence >= r.min_confidence
  FROM o2c._weigh_lines(
    pg_catalog.format($q$
      SELECT l.id, l.minor_amount, l.booking_date - '2000-01-01'::date, l.remittance_text, l.payer_name,
        l.reference_key, l.charges, l.minor, l.payer, %s
      FROM pg_temp.o2c_m_line l WHERE NOT l.done ORDER BY l.id $q$, whole::integer),
    pg_catalog.format($q$
      SELECT c.line_id, i.id, i.customer_id, i.number, i.alt_number,
        CASE WHEN coalesce(p.rel, 0) < 2 THEN u.name END,
        (i.open_amount * f.factor)::bigint - coalesce(k.taken, 0), (i.amount * f.factor)::bigint,
        coalesce((i.discount_amount * f.factor)::bigint, 0), coalesce(i.discount_date, i.document_date) - '2000-01-01'::date,
        i.document_date - '2000-01-01'::date, i.due_date - '2000-01-01'::date,
        coalesce(o2c._reference_key(i.structured_ref), 0),
        least(%2$s * f.factor, pg_catalog.abs(i.amount) * f.factor * %3$s / 100,
              t.amount * f.factor, pg_catalog.abs(i.amount) * f.factor * t.percent / 100)::bigint,
        (least(%4$s, t.charges) * f.factor)::bigint,
        CASE WHEN p.rel IS NOT NULL THEN p.rel WHEN l.payer >= 3 THEN -1 ELSE 0 END, p.grp::integer
      FROM (SELECT DISTINCT x.line_id, x.item_id FROM pg_temp.o2c_m_cand x) c
      JOIN pg_temp.o2c_m_line l ON l.id = c.line_id AND NOT l.done
      JOIN o2c.open_item i ON i.company_id = %1$s AND i.id = c.item_id AND i.currency = l.currency
      JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
      LEFT JOIN o2c.customer u ON u.company_id = %1$s AND u.id = i.customer_id
      LEFT JOIN pg_temp.o2c_m_payer p ON p.line_id = c.line_id AND p.customer_id = i.customer_id
      LEFT JOIN pg_temp.o2c_m_taken k ON k.item_id = i.id
      LEFT JOIN o2c.tolerance t ON t.company_id = %1$s AND t.customer_id = i.customer_id
      UNION ALL
      SELECT t.line_id, 0, s.customer_id, s.number, NULL, u.name, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        CASE WHEN p.rel IS NOT NULL THEN p.rel WHEN l.payer >= 3 THEN -1 ELSE 0 END, p.grp::integer
      FROM pg_temp.o2c_m_token t
      JOIN o2c.settled_number s ON s.company_id = %1$s AND s.key = t.key
      JOIN pg_temp.o2c_m_line l ON l.id = t.line_id AND NOT l.done
      JOIN o2c.customer u ON u.company_id = %1$s AND u.id = s.customer_id
      LEFT JOIN pg_temp.o2c_m_payer p ON p.line_id = t.line_id AND p.customer_id = s.customer_id
      ORDER BY 1 $q$, company, tolerated.amount, tolerated.percent, tolerated.charges),
    setting.max_chance, setting.max_size, tolerated.grace_days, 200000) w
  LEFT JOIN o2c.match_rule r ON r.company_id = company AND r.rule = w.rule;
END $$;
COMMENT ON FUNCTION o2c._match_weigh(integer, boolean) IS
  'Stage of match_cash: the answers of every undecided line; whole: all items of the payer are among the candidates.';

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
  JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
  JOIN pg_temp.o2c_m_line l ON l.id = c.line_id
  JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
  LEFT JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
  GROUP BY c.line_id
  HAVING pg_catalog.bool_and(c.claimed <= pg_catalog.abs((i.open_amount * f.factor)::bigint - coalesce(k.taken, 0)));
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
  DELETE FROM pg_temp.o2c_m_taken;
  INSERT INTO pg_temp.o2c_m_taken
  SELECT c.item_id, pg_catalog.sum(c.cash + c.settle) FROM pg_temp.o2c_m_claim c GROUP BY 1;
  UPDATE pg_temp.o2c_m_line l SET done = true FROM pg_temp.o2c_m_ok o WHERE o.line_id = l.id;
  ANALYZE pg_temp.o2c_m_taken;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_decide(integer) IS
  'Stage of match_cash: sure answers that together claim no item beyond its open amount become decisions; returns how many.';
