-- What the dispatcher asks of SQL while it claims and records, and webhook
-- signatures.  What it asks for a batch must not fail because of one message.

CREATE FUNCTION o2c._quiet_until(company_id integer, channel text, time_zone text, at timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  way record;
  zone text;
  local timestamp;
BEGIN
  SELECT c.quiet_from, c.quiet_to, c.quiet_days, k.time_zone INTO way
  FROM o2c.channel c JOIN o2c.company k ON k.company_id = c.company_id
  WHERE c.company_id = $1 AND c.code = $2;
  zone := coalesce($3, way.time_zone);
  BEGIN
    local := $4 AT TIME ZONE zone;
  EXCEPTION WHEN invalid_parameter_value THEN
    zone := way.time_zone;
    local := $4 AT TIME ZONE zone;
  END;
  -- at most a week of quiet days, and one quiet night at each end
  FOR i IN 1..9 LOOP
    IF pg_catalog.date_part('isodow', local)::integer = ANY (way.quiet_days) THEN
      local := pg_catalog.date_trunc('day', local) + interval '1 day';
    ELSIF way.quiet_from < way.quiet_to AND local::time >= way.quiet_from AND local::time < way.quiet_to THEN
      local := local::date + way.quiet_to;
    ELSIF way.quiet_from > way.quiet_to AND local::time >= way.quiet_from THEN
      local := local::date + 1 + way.quiet_to;
    ELSIF way.quiet_from > way.quiet_to AND local::time < way.quiet_to THEN
      local := local::date + way.quiet_to;
    ELSE
      EXIT;
    END IF;
  END LOOP;
  IF local = $4 AT TIME ZONE zone THEN
    RETURN NULL;
  END IF;
  RETURN local AT TIME ZONE zone;
END $$;
COMMENT ON FUNCTION o2c._quiet_until(integer, text, text, timestamptz) IS
  'When the channel''s quiet hours and days end for a recipient of that time zone (the company''s when NULL or unknown); NULL when it is not quiet.';

CREATE FUNCTION o2c._stale_messages(company_ids integer[], message_ids bigint[])
RETURNS TABLE (company_id integer, message_id bigint, error text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  stale_companies integer[];
  stale bigint[];
  i integer;
BEGIN
  BEGIN
    SELECT pg_catalog.array_agg(m.company_id), pg_catalog.array_agg(m.id) INTO stale_companies, stale
    FROM unnest($1, $2) m(company_id, id) WHERE NOT o2c._message_still_due(m.company_id, m.id);
    RETURN QUERY SELECT m.company_id, m.id, NULL::text FROM unnest(stale_companies, stale) m(company_id, id);
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
  -- one of them cannot be judged: each by itself
  FOR i IN 1 .. pg_catalog.cardinality($2) LOOP
    company_id := $1[i];
    message_id := $2[i];
    error := NULL;
    BEGIN
      CONTINUE WHEN o2c._message_still_due(company_id, message_id);
    EXCEPTION WHEN OTHERS THEN
      error := SQLERRM;
    END;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c._stale_messages(integer[], bigint[]) IS
  'Which of the messages are not due any more (error NULL), and which cannot be judged (error says why).';

CREATE FUNCTION o2c._report_failures(company_ids integer[], message_ids bigint[], states text[], errors text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  i integer;
BEGIN
  BEGIN
    INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
    SELECT r.company_id, 'message', r.id, CASE r.state WHEN 'dead' THEN 'fail' ELSE 'lose' END, 'sending', r.state, r.error
    FROM unnest($1, $2, $3, $4) r(company_id, id, state, error);
    PERFORM o2c._failover(pg_catalog.array_agg(r.company_id), pg_catalog.array_agg(r.id))
    FROM unnest($1, $2, $3) r(company_id, id, state) WHERE r.state = 'dead' HAVING pg_catalog.count(*) > 0;
    RETURN;
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
  -- one of them cannot be told or handed on: each by itself, and what fails is written down
  FOR i IN 1 .. pg_catalog.cardinality($2) LOOP
    BEGIN
      INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
      VALUES ($1[i], 'message', $2[i], CASE $3[i] WHEN 'dead' THEN 'fail' ELSE 'lose' END, 'sending', $3[i], $4[i]);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'message % of company % could not be told of: %', $2[i], $1[i], SQLERRM;
    END;
    CONTINUE WHEN $3[i] <> 'dead';
    BEGIN
      PERFORM o2c._failover($1[i:i], $2[i:i]);
    EXCEPTION WHEN OTHERS THEN
      UPDATE o2c.message m SET last_error = pg_catalog.concat_ws('; ', m.last_error, 'no failover: ' || SQLERRM)
      WHERE m.company_id = $1[i] AND m.id = $2[i];
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c._report_failures(integer[], bigint[], text[], text[]) IS
  'Write the events of dead and uncertain messages and hand the dead ones to their failover channels; one that fails to is noted in its last_error and stops no other.';

CREATE FUNCTION o2c._late_reports(company_ids integer[], message_ids bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT d.company_id, d.message_id, d.outcome, d.detail, d.occurred_at
           FROM unnest($1, $2) s(company_id, id)
           JOIN o2c.message m ON m.company_id = s.company_id AND m.id = s.id
           JOIN o2c.delivery_report d ON d.company_id = m.company_id AND d.message_id = m.id
           -- those of earlier attempts that somebody has decided on are over
           WHERE d.recorded_at >= m.first_attempt_at
           ORDER BY d.company_id, d.id
  LOOP
    BEGIN
      PERFORM o2c._take_report(r.company_id, r.message_id, r.outcome, r.detail, r.occurred_at);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'the report on message % of company % could not be taken in: %', r.message_id, r.company_id, SQLERRM;
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c._late_reports(integer[], bigint[]) IS
  'Take in the delivery reports that came before these messages'' results were written; one that fails stops no other.';

CREATE FUNCTION o2c.webhook_signature(secret text, webhook_id text, sent_at bigint, body bytea)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_webhook_sign';
COMMENT ON FUNCTION o2c.webhook_signature(text, text, bigint, bytea) IS
  'Signature of Standard Webhooks: "v1," and base64 of HMAC-SHA256 over id.timestamp.body; secret as whsec_ and base64; sent_at in seconds since 1970.';

CREATE FUNCTION o2c.verify_webhook(secret text, webhook_id text, sent_at bigint, signatures text, body bytea,
  at bigint DEFAULT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()))::bigint)
RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_webhook_verify';
COMMENT ON FUNCTION o2c.verify_webhook(text, text, bigint, text, bytea, bigint) IS
  'True when one of the space-separated signatures is right for the raw body and sent_at is within 300 seconds of at, both ways. Compares in constant time.';
