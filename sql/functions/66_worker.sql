-- What the dispatcher asks of SQL while it claims, and webhook signatures.

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
