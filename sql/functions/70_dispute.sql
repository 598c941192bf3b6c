-- Disputes: opening, resolving; the disputed share of an item is derived.

CREATE FUNCTION o2c._dispute_share() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispute_share';
COMMENT ON FUNCTION o2c._dispute_share() IS
  'Statement trigger: carries unresolved disputes to open_item.disputed_amount; refuses (O2033) more than the item has.';

CREATE FUNCTION o2c.open_dispute(company_id integer, number text, amount numeric DEFAULT NULL, reason text DEFAULT NULL,
  opened_on date DEFAULT NULL, assigned_to text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  item record;
  target bigint;
  share numeric;
  result bigint;
BEGIN
  IF coalesce($4, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a dispute needs a reason';
  END IF;
  PERFORM o2c._require_era($5, 'to open a dispute on');
  target := o2c._debit_item($1, $2, coalesce($3, 0)); -- not in the query: a company without items would never ask for it
  SELECT i.id, i.customer_id, i.currency, i.open_amount, i.disputed_amount INTO item
  FROM o2c.open_item i
  WHERE i.company_id = $1 AND i.id = target
  FOR NO KEY UPDATE;
  -- the same dispute again is the one that is there
  SELECT d.id INTO result FROM o2c.dispute d
  WHERE d.company_id = $1 AND d.item_id = item.id AND d.state <> 'resolved' AND d.reason = $4
    AND ($3 IS NULL OR d.amount = $3);
  IF result IS NOT NULL THEN
    RETURN result;
  END IF;
  share := coalesce($3, item.open_amount - item.disputed_amount);
  IF share <= 0 OR NOT o2c.is_amount(share, item.currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not an amount in %s that can be disputed', share, item.currency),
      DETAIL = pg_catalog.format('Of item %s %s is open, %s of it disputed already.', $2, item.open_amount, item.disputed_amount);
  END IF;
  IF share > item.open_amount - item.disputed_amount THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('cannot dispute %s of item %s', share, $2),
      DETAIL = pg_catalog.format('%s is open, %s of it disputed already.', item.open_amount, item.disputed_amount);
  END IF;
  INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on, assigned_to)
  VALUES ($1, item.id, item.customer_id, item.currency, share, $4, coalesce($5, o2c.today($1)), $6)
  RETURNING id INTO result;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.open_dispute(integer, text, numeric, text, date, text) IS
  'Note that the customer objects to an item, or to amount of it (NULL: all that is open); that share is not reminded of. Returns the dispute''s id; the same again: the same id. Errors: O2002, O2003, O2004, O2033, O2043, O2044.';

CREATE FUNCTION o2c.investigate_dispute(company_id integer, dispute_id bigint, assigned_to text DEFAULT NULL, note text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result text;
BEGIN
  UPDATE o2c.dispute d SET state = 'investigating', assigned_to = coalesce($3, d.assigned_to), note = coalesce($4, d.note)
  WHERE d.company_id = $1 AND d.id = $2
  RETURNING d.state::text INTO result;
  IF result IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no dispute %s', $2);
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.investigate_dispute(integer, bigint, text, text) IS
  'Take up an open dispute; returns its state. Errors: O2003, O2010 when it is resolved.';

CREATE FUNCTION o2c.resolve_dispute(company_id integer, dispute_id bigint, outcome text, note text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  present record;
BEGIN
  IF $3 IS NULL OR $3 NOT IN ('accepted', 'partial', 'rejected', 'withdrawn') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('unknown outcome "%s"', $3),
      HINT = 'Use accepted, partial, rejected or withdrawn.';
  END IF;
  SELECT d.state, d.outcome INTO present FROM o2c.dispute d
  WHERE d.company_id = $1 AND d.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no dispute %s', $2);
  END IF;
  IF present.state = 'resolved' THEN
    IF present.outcome <> $3 THEN
      RAISE EXCEPTION USING ERRCODE = 'O2010',
        MESSAGE = pg_catalog.format('dispute %s is already resolved as "%s"', $2, present.outcome),
        HINT = 'Open a new dispute to change the outcome.';
    END IF;
    RETURN $2;
  END IF;
  PERFORM pg_catalog.set_config('order2cash.reason', coalesce($4, $3), true);
  UPDATE o2c.dispute d SET state = 'resolved', outcome = $3, note = coalesce($4, d.note), resolved_at = pg_catalog.now()
  WHERE d.company_id = $1 AND d.id = $2;
  RETURN $2;
END $$;
COMMENT ON FUNCTION o2c.resolve_dispute(integer, bigint, text, text) IS
  'Resolve a dispute as accepted (the customer is right; credit it with o2c.credit_invoice), partial, rejected or withdrawn; its share is reminded of again as far as it stays open. Returns its id. Errors: O2003, O2004, O2010 (already resolved otherwise).';

CREATE FUNCTION o2c._check_dispute(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'the disputed share of an item is the sum of its unresolved disputes', i.company_id, 'open_item', i.id,
         pg_catalog.format('stored %s, disputes %s', i.disputed_amount, coalesce(d.amount, 0))
  FROM o2c.open_item i
  LEFT JOIN (SELECT d.company_id, d.item_id, pg_catalog.sum(d.amount) AS amount FROM o2c.dispute d
             WHERE ($1 IS NULL OR d.company_id = $1) AND d.state <> 'resolved'
             GROUP BY d.company_id, d.item_id) d ON d.company_id = i.company_id AND d.item_id = i.id
  WHERE ($1 IS NULL OR i.company_id = $1) AND i.disputed_amount <> coalesce(d.amount, 0)
$$;
COMMENT ON FUNCTION o2c._check_dispute(integer) IS 'Violated invariants of disputes.';
