-- What people do with the engine's proposals: accept or reject them, one or many.

CREATE FUNCTION o2c._lock_proposals(company integer, proposal_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  items bigint[];
  moved bigint;
BEGIN
  -- items before payments, as the posting triggers do; documents and accounts too, since they are posted in several statements
  SELECT pg_catalog.array_agg(DISTINCT x) INTO items
  FROM o2c.match_proposal m
  JOIN o2c.payment p ON p.company_id = company AND p.id = m.payment_id
  CROSS JOIN LATERAL pg_catalog.unnest(m.item_ids || p.item_id) x
  WHERE m.company_id = company AND m.id = ANY (proposal_ids);
  PERFORM o2c._lock_posting(company, items);
  SELECT pg_catalog.min(x.id) FILTER (WHERE x.item_id <> ALL (items)) INTO moved
  FROM (SELECT p.id, p.item_id FROM o2c.payment p WHERE p.company_id = company AND p.id IN
          (SELECT m.payment_id FROM o2c.match_proposal m WHERE m.company_id = company AND m.id = ANY (proposal_ids))
        ORDER BY p.id FOR NO KEY UPDATE) x;
  IF moved IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = pg_catalog.format('payment %s was given to a customer at the same moment', moved),
      HINT = 'Try the transaction again.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._lock_proposals(integer, bigint[]) IS
  'Locks what proposals are posted to: items, documents, accounts and payments, in the order of every posting. Errors: 40001.';

CREATE FUNCTION o2c._post_proposals(company integer, proposal_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_m_pay, pg_temp.o2c_m_claim;
  CREATE TEMPORARY TABLE o2c_m_claim ON COMMIT DROP AS
  SELECT m.id AS line_id, u.item_id, (u.cash * f.factor)::bigint AS cash, (u.settle * f.factor)::bigint AS settle,
    coalesce(m.settle_kind::text, '') AS settle_kind, i.customer_id
  FROM o2c.match_proposal m
  JOIN o2c.payment p ON p.company_id = company AND p.id = m.payment_id
  CROSS JOIN LATERAL (SELECT pg_catalog.round(10::numeric ^ o2c.minor_unit(p.currency)) AS factor) f
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(m.item_ids), pg_catalog.unnest(m.amounts), pg_catalog.unnest(m.settled)) AS u(item_id, cash, settle)
  JOIN o2c.open_item i ON i.company_id = company AND i.id = u.item_id
  WHERE m.company_id = company AND m.id = ANY (proposal_ids);
  PERFORM o2c._identify_payments(company, pg_catalog.array_agg(c.payment_id), pg_catalog.array_agg(c.customer_id))
  FROM (SELECT m.payment_id, pg_catalog.min(x.customer_id) AS customer_id
        FROM o2c.match_proposal m JOIN pg_temp.o2c_m_claim x ON x.line_id = m.id
        WHERE m.company_id = company GROUP BY 1) c;
  CREATE TEMPORARY TABLE o2c_m_pay ON COMMIT DROP AS
  SELECT m.id AS line_id, p.currency, p.amount, p.received_on AS booking_date, p.id AS payment_id, p.item_id,
    coalesce(0 > ANY (m.amounts), false) AS notes,
    pg_catalog.round(1 / 10::numeric ^ o2c.minor_unit(p.currency), o2c.minor_unit(p.currency)) AS unit
  FROM o2c.match_proposal m JOIN o2c.payment p ON p.company_id = company AND p.id = m.payment_id
  WHERE m.company_id = company AND m.id = ANY (proposal_ids);
  PERFORM o2c._match_allocate(company);
  PERFORM o2c._match_settle(company);
  UPDATE o2c.match_proposal m SET decided_at = pg_catalog.now(), decided_by = session_user,
    state = CASE WHEN m.id = ANY (proposal_ids) THEN 'accepted' ELSE 'superseded' END::o2c.match_state
  FROM pg_temp.o2c_m_pay p WHERE m.company_id = company AND m.payment_id = p.payment_id AND m.state = 'suggested';
  PERFORM o2c._learn_payers(company, pg_catalog.array_agg(p.payment_id), 1) FROM pg_temp.o2c_m_pay p;
  DROP TABLE pg_temp.o2c_m_pay, pg_temp.o2c_m_claim;
END $$;
COMMENT ON FUNCTION o2c._post_proposals(integer, bigint[]) IS
  'Post suggested proposals, one option a payment, in sets; their payers are learned. Errors: as the posting gives.';

CREATE FUNCTION o2c._proposal_faults(company integer, proposal_ids bigint[])
RETURNS TABLE (proposal_id bigint, payment_id bigint, code text, fault text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH given AS MATERIALIZED (
    SELECT u.id, m.payment_id, m.state::text AS state, p.state::text AS payment_state, p.item_id AS credit_id, m.item_ids, m.amounts, m.settled,
      pg_catalog.count(*) FILTER (WHERE m.state = 'suggested') OVER (PARTITION BY m.payment_id) AS options
    FROM (SELECT DISTINCT x AS id FROM pg_catalog.unnest(proposal_ids) x) u
    LEFT JOIN o2c.match_proposal m ON m.company_id = company AND m.id = u.id
    LEFT JOIN o2c.payment p ON p.company_id = company AND p.id = m.payment_id),
  -- in the order of the proposals, what each takes of an item or of its payment
  taken AS (
    SELECT x.id, x.item_id, pg_catalog.sum(x.amount) OVER (PARTITION BY x.item_id ORDER BY x.id ROWS UNBOUNDED PRECEDING) AS amount
    FROM (SELECT g.id, c.item_id, pg_catalog.abs(c.cash + c.settle) AS amount
          FROM given g
          CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(g.item_ids), pg_catalog.unnest(g.amounts), pg_catalog.unnest(g.settled))
            AS c(item_id, cash, settle)
          WHERE g.state = 'suggested' AND g.options = 1
          UNION ALL
          SELECT g.id, g.credit_id, pg_catalog.sum(a.cash)
          FROM given g CROSS JOIN LATERAL pg_catalog.unnest(g.amounts) a(cash)
          WHERE g.state = 'suggested' AND g.options = 1 GROUP BY 1, 2) x),
  short AS (
    SELECT DISTINCT ON (t.id) t.id, i.number, i.open_amount, i.currency
    FROM taken t JOIN o2c.open_item i ON i.company_id = company AND i.id = t.item_id
    WHERE t.amount > pg_catalog.abs(i.open_amount) ORDER BY t.id, i.id)
  SELECT g.id, g.payment_id, f.code, f.fault
  FROM given g LEFT JOIN short s ON s.id = g.id
  CROSS JOIN LATERAL (
    SELECT 'O2003' AS code, pg_catalog.format('there is no proposal %s', coalesce(g.id::text, 'NULL')) AS fault WHERE g.state IS NULL
    UNION ALL
    SELECT 'O2033', pg_catalog.format('proposal %s is %s', g.id, g.state) WHERE g.state <> 'suggested'
    UNION ALL
    SELECT 'O2033', pg_catalog.format('payment %s was returned', g.payment_id) WHERE g.state = 'suggested' AND g.payment_state = 'returned'
    UNION ALL
    SELECT 'O2033', pg_catalog.format('several proposals of payment %s were given', g.payment_id) WHERE g.state = 'suggested' AND g.options > 1
    UNION ALL
    SELECT 'O2060', pg_catalog.format('of "%s" only %s %s is open', s.number, pg_catalog.abs(s.open_amount), s.currency) WHERE s.id IS NOT NULL
    LIMIT 1) f;
END $$;
COMMENT ON FUNCTION o2c._proposal_faults(integer, bigint[]) IS
  'Which of the proposals cannot be accepted, those before them being accepted, and why.';

CREATE FUNCTION o2c.accept_matches(company_id integer, proposal_ids bigint[],
  OUT proposal_id bigint, OUT payment_id bigint, OUT accepted boolean, OUT reason text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  good bigint[];
  one bigint;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._lock_proposals($1, $2);
  DROP TABLE IF EXISTS pg_temp.o2c_accept;
  CREATE TEMPORARY TABLE o2c_accept ON COMMIT DROP AS
  SELECT u.id, m.payment_id, f.fault AS reason
  FROM (SELECT x AS id, pg_catalog.min(n) AS n FROM pg_catalog.unnest($2) WITH ORDINALITY u(x, n) GROUP BY 1) u
  LEFT JOIN o2c.match_proposal m ON m.company_id = $1 AND m.id = u.id
  LEFT JOIN o2c._proposal_faults($1, $2) f ON f.proposal_id IS NOT DISTINCT FROM u.id
  ORDER BY u.n;
  SELECT pg_catalog.array_agg(a.id ORDER BY a.id) INTO good FROM pg_temp.o2c_accept a WHERE a.reason IS NULL;
  IF good IS NOT NULL THEN
    BEGIN
      PERFORM o2c._post_proposals($1, good);
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE !~ '^(O2|2[23])' THEN
        RAISE;
      END IF;
      -- one of them cannot be posted: each by itself, so that the others go on
      FOREACH one IN ARRAY good LOOP
        BEGIN
          PERFORM o2c._post_proposals($1, ARRAY[one]);
        EXCEPTION WHEN OTHERS THEN
          IF SQLSTATE !~ '^(O2|2[23])' THEN
            RAISE;
          END IF;
          UPDATE pg_temp.o2c_accept a SET reason = SQLERRM WHERE a.id = one;
        END;
      END LOOP;
    END;
  END IF;
  RETURN QUERY SELECT a.id, a.payment_id, a.reason IS NULL, a.reason FROM pg_temp.o2c_accept a;
  DROP TABLE pg_temp.o2c_accept;
END $$;
COMMENT ON FUNCTION o2c.accept_matches(integer, bigint[]) IS
  'Post suggested proposals, one option a payment, in sets; their payers are learned. One row each: accepted, or the reason why not; one that cannot be posted keeps no other from being posted. Errors: O2002.';

CREATE FUNCTION o2c.accept_match(company_id integer, proposal_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._lock_proposals($1, ARRAY[$2]);
  SELECT f.* INTO bad FROM o2c._proposal_faults($1, ARRAY[$2]) f;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = bad.code, MESSAGE = bad.fault,
      HINT = 'o2c_bi.cash_matches lists the proposals that can be accepted; match_cash makes new ones.';
  END IF;
  PERFORM o2c._post_proposals($1, ARRAY[$2]);
END $$;
COMMENT ON FUNCTION o2c.accept_match(integer, bigint) IS
  'Post a suggested proposal; the payment''s other options are superseded. Errors: O2002, O2003, O2033, O2060.';

CREATE FUNCTION o2c.reject_matches(company_id integer, proposal_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  n bigint;
BEGIN
  PERFORM o2c._require_company($1);
  SELECT u.id, m.state::text AS state INTO bad
  FROM pg_catalog.unnest($2) u(id) LEFT JOIN o2c.match_proposal m ON m.company_id = $1 AND m.id = u.id
  WHERE m.state IS NULL OR m.state NOT IN ('suggested', 'rejected') LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN bad.state IS NULL THEN 'O2003' ELSE 'O2033' END,
      MESSAGE = CASE WHEN bad.state IS NULL THEN pg_catalog.format('there is no proposal %s', bad.id)
                     ELSE pg_catalog.format('proposal %s is %s', bad.id, bad.state) END,
      HINT = 'Only suggested proposals are accepted or rejected.';
  END IF;
  UPDATE o2c.match_proposal m SET state = 'rejected', decided_at = pg_catalog.now(), decided_by = session_user
  WHERE m.company_id = $1 AND m.id = ANY ($2) AND m.state = 'suggested';
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c.reject_matches(integer, bigint[]) IS
  'Reject suggested proposals: the same answer is not proposed or posted for the payment again. Returns how many. Errors: O2002, O2003, O2033.';

CREATE FUNCTION o2c.reject_match(company_id integer, proposal_id bigint) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT o2c.reject_matches($1, ARRAY[$2]) $$;
COMMENT ON FUNCTION o2c.reject_match(integer, bigint) IS 'Reject a suggested proposal; the same answer is not proposed again for this payment. Errors: O2003, O2033.';

