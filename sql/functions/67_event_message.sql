-- From events to messages: what o2c.event_subscription asks for.
--
-- Queued by a trigger in the transaction of the event, once for each event and
-- subscription.  Whatever cannot be queued (no address, no template, a document
-- that cannot be made) is noted in the event log and never stops the business
-- act that it would have told about.

CREATE FUNCTION o2c._event_template(entity text, event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT coalesce(
    (SELECT t.kind FROM (VALUES
      ('invoice', 'issue', 'invoice_issued'), ('payment', 'receive', 'payment_received'),
      ('order', 'confirm', 'order_confirmed'), ('dispute', 'open', 'dispute_opened'),
      ('promise', 'promise', 'promise_recorded'), ('quote', 'send', 'quote_sent'),
      ('customer', 'credit_alert', 'credit_alert')) t(entity, event, kind)
     WHERE t.entity = $1 AND t.event = $2),
    pg_catalog.lower(pg_catalog.regexp_replace($1 || '_' || $2, '[^A-Za-z0-9]+', '_', 'g')))
$$;
COMMENT ON FUNCTION o2c._event_template(text, text) IS 'Kind of the template that tells of an event.';

CREATE FUNCTION o2c._event_record(company_id integer, entity text, entity_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  name text := CASE $2 WHEN 'order' THEN 'sales_order' ELSE $2 END;
  result jsonb;
BEGIN
  IF name ~ '^[a-z_]+$' AND EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = pg_catalog.to_regclass('o2c.' || name) AND a.attname IN ('company_id', 'id')
    HAVING pg_catalog.count(*) = 2) THEN
    EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(t) FROM o2c.%I t WHERE t.company_id = $1 AND t.id = $2', name)
    INTO result USING $1, $3;
  END IF;
  RETURN coalesce(result, '{}');
END $$;
COMMENT ON FUNCTION o2c._event_record(integer, text, bigint) IS 'The document that an event is about, as JSON; empty when there is none.';

CREATE FUNCTION o2c._event_context(company_id integer, event_id bigint, language text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  e record;
  doc jsonb;
  money text;
  customer bigint;
  result jsonb;
BEGIN
  SELECT v.* INTO e FROM o2c.event v WHERE v.company_id = $1 AND v.id = $2;
  doc := o2c._event_record($1, e.entity, e.entity_id);
  customer := CASE e.entity WHEN 'customer' THEN e.entity_id ELSE (doc->>'customer_id')::bigint END;
  money := coalesce(doc->>'total_amount', doc->>'amount');
  money := CASE WHEN money IS NOT NULL AND doc->>'currency' IS NOT NULL
                THEN o2c.format_amount(money::numeric, $3) || ' ' || (doc->>'currency') END;
  SELECT pg_catalog.jsonb_build_object(
    'today', o2c.format_date((pg_catalog.now() AT TIME ZONE c.time_zone)::date, $3),
    'language', $3,
    'company', pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('name', c.name, 'email', c.email,
      'phone', c.phone, 'website', c.website, 'street', c.street, 'postal_code', c.postal_code,
      'city', c.city, 'country', c.country, 'vat_id', c.vat_id)),
    'event', pg_catalog.jsonb_build_object('id', e.id, 'type', e.entity || '.' || e.event, 'at', e.at,
      'entity', e.entity, 'entity_id', e.entity_id, 'from_state', e.from_state, 'to_state', e.to_state,
      'reason', e.reason),
    'record', doc)
    || coalesce(e.data, '{}')
  INTO result FROM o2c.company c WHERE c.company_id = $1;
  result := result || coalesce((
    SELECT pg_catalog.jsonb_build_object('customer', pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'code', k.code, 'name', k.name, 'street', k.street, 'postal_code', k.postal_code, 'city', k.city,
      'country', k.country)))
    FROM o2c.customer k WHERE k.company_id = $1 AND k.id = customer), '{}');
  IF e.event = 'credit_alert' THEN
    result := result || pg_catalog.jsonb_build_object('credit', pg_catalog.jsonb_build_object(
      'limit', o2c.format_amount((e.data->>'limit')::numeric, $3) || ' ' || (e.data->>'currency'),
      'exposure', o2c.format_amount((e.data->>'exposure')::numeric, $3) || ' ' || (e.data->>'currency'),
      'available', o2c.format_amount((e.data->>'limit')::numeric - (e.data->>'exposure')::numeric, $3) || ' ' || (e.data->>'currency'),
      'percent', pg_catalog.round(100 * (e.data->>'exposure')::numeric / nullif((e.data->>'limit')::numeric, 0))::text));
  END IF;
  RETURN result || CASE e.entity
    WHEN 'payment' THEN pg_catalog.jsonb_build_object('payment', pg_catalog.jsonb_build_object(
      'date', o2c.format_date((doc->>'received_on')::date, $3), 'amount', money, 'reference', doc->>'reference'))
    WHEN 'promise' THEN pg_catalog.jsonb_build_object('promise', pg_catalog.jsonb_build_object(
      'date', o2c.format_date((doc->>'promised_on')::date, $3), 'amount', money))
    WHEN 'dispute' THEN pg_catalog.jsonb_build_object(
      'dispute', pg_catalog.jsonb_build_object('id', e.entity_id::text, 'reason', doc->>'reason'),
      'document', pg_catalog.jsonb_build_object('number', coalesce(doc->>'number',
        (SELECT i.number FROM o2c.open_item i WHERE i.company_id = $1
         AND i.id = coalesce(doc->>'item_id', doc->>'open_item_id')::bigint)), 'amount', money))
    ELSE pg_catalog.jsonb_build_object('document', pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'number', coalesce(doc->>'number', doc->>'code'),
      'date', o2c.format_date(coalesce(doc->>'issue_date', doc->>'ordered_on', doc->>'created_on')::date, $3),
      'due_date', o2c.format_date((doc->>'due_date')::date, $3),
      'valid_until', o2c.format_date((doc->>'valid_until')::date, $3),
      'amount', money,
      'open_amount', CASE WHEN doc->>'open_amount' IS NOT NULL THEN
        o2c.format_amount((doc->>'open_amount')::numeric, $3) || ' ' || (doc->>'currency') END,
      'reference', doc->>'payment_reference')))
    END;
END $$;
COMMENT ON FUNCTION o2c._event_context(integer, bigint, text) IS
  'What a template may say of an event: company, customer, document or payment with amounts and dates in that language, event, record.';

CREATE FUNCTION o2c._attach_documents(company_id integer, message_id bigint, entity text, entity_id bigint, attach text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  name text;
BEGIN
  -- a document that cannot be made is noted; the message goes without it
  BEGIN
    IF $3 = 'invoice' THEN
      name := coalesce((SELECT v.number FROM o2c.invoice v WHERE v.company_id = $1 AND v.id = $4), 'invoice-' || $4);
    END IF;
    IF 'ubl' = ANY ($5) AND $3 = 'invoice' THEN
      INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
      VALUES ($1, $2, pg_catalog.regexp_replace(name, '[^A-Za-z0-9._-]+', '-', 'g') || '.xml', 'application/xml',
              pg_catalog.convert_to(o2c.invoice_ubl($1, $4)::text, 'UTF8'));
    END IF;
    IF 'html' = ANY ($5) AND $3 = 'invoice' THEN
      INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
      VALUES ($1, $2, pg_catalog.regexp_replace(name, '[^A-Za-z0-9._-]+', '-', 'g') || '.html', 'text/html; charset=utf-8',
              pg_catalog.convert_to(o2c.invoice_html($1, $4), 'UTF8'));
    ELSIF 'html' = ANY ($5) THEN
      INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
      SELECT $1, $2, pg_catalog.regexp_replace(coalesce(m.subject, m.kind, 'message'), '[^A-Za-z0-9._-]+', '-', 'g') || '.html',
             'text/html; charset=utf-8', pg_catalog.convert_to(m.body_html, 'UTF8')
      FROM o2c.message m WHERE m.company_id = $1 AND m.id = $2 AND m.body_html IS NOT NULL;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    INSERT INTO o2c.event (company_id, entity, entity_id, event, reason)
    VALUES ($1, 'message', $2, 'attach_failed', SQLERRM);
  END;
END $$;
COMMENT ON FUNCTION o2c._attach_documents(integer, bigint, text, bigint, text[]) IS
  'Attach what a subscription asks for to a queued message; what fails is noted in the event log.';

CREATE FUNCTION o2c._queue_event_set(company_ids integer[], event_ids bigint[], subscription_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  WITH wanted AS MATERIALIZED (
    SELECT e.company_id, e.id AS event_id, e.entity, e.entity_id, e.event, s.id AS subscription_id, s.channel,
      s.priority, s.attach, c.kind AS channel_kind,
      coalesce(s.template, o2c._event_template(e.entity, e.event)) AS template,
      k.id AS customer_id, coalesce(k.language, co.language) AS language, k.time_zone,
      CASE s.recipient WHEN 'customer' THEN o2c._recipient_of(e.company_id, k.id, c.kind) ELSE s.recipient END AS recipient
    FROM (SELECT DISTINCT x.company_id, x.id FROM unnest($1, $2) x(company_id, id)) x
    JOIN o2c.event e ON e.company_id = x.company_id AND e.id = x.id
    JOIN o2c.event_subscription s ON s.company_id = e.company_id AND s.entity = e.entity AND s.event = e.event AND s.enabled
      AND ($3 IS NULL OR s.id = $3)
    JOIN o2c.channel c ON c.company_id = s.company_id AND c.code = s.channel
    JOIN o2c.company co ON co.company_id = e.company_id
    CROSS JOIN LATERAL (SELECT CASE e.entity WHEN 'customer' THEN e.entity_id
      ELSE (o2c._event_record(e.company_id, e.entity, e.entity_id)->>'customer_id')::bigint END AS id) d
    LEFT JOIN o2c.customer k ON k.company_id = e.company_id AND k.id = d.id
    -- what became of a message that tells what became of a message is told to nobody: that had no end
    WHERE e.entity <> 'message' OR NOT EXISTS (
      SELECT FROM o2c.message m WHERE m.company_id = e.company_id AND m.id = e.entity_id AND m.entity = 'message')
  ), judged AS MATERIALIZED (
    SELECT w.*, CASE
        WHEN NOT o2c._is_recipient(w.channel_kind, w.recipient) THEN 'no recipient for ' || w.channel_kind
        WHEN w.channel_kind <> 'webhook'
          AND NOT EXISTS (SELECT FROM o2c.find_template(w.company_id, w.template, w.channel_kind, w.language))
          THEN pg_catalog.format('no template "%s" for %s', w.template, w.channel_kind)
      END AS problem
    FROM wanted w
  ), noted AS (
    INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
    SELECT j.company_id, 'event_subscription', j.subscription_id, 'skip', j.problem,
           pg_catalog.jsonb_build_object('event_id', j.event_id)
    -- who subscribes to these notes is not told that he can't be told of them
    FROM judged j WHERE j.problem IS NOT NULL AND j.entity <> 'event_subscription'
  ), queued AS (
    INSERT INTO o2c.message (company_id, channel, recipient, kind, template, context, dedupe_key, language,
      priority, customer_id, entity, entity_id, time_zone, subject, body_text, body_html)
    SELECT j.company_id, j.channel, j.recipient, j.entity || '.' || j.event, j.template, x.context,
      pg_catalog.format('event:%s:%s', j.event_id, j.subscription_id), j.language, j.priority, j.customer_id,
      j.entity, j.entity_id, j.time_zone, t.subject, t.body_text, t.body_html
    FROM judged j
    CROSS JOIN LATERAL (SELECT o2c._event_context(j.company_id, j.event_id, j.language) AS context OFFSET 0) x
    CROSS JOIN LATERAL o2c._message_text(j.company_id, j.template, j.channel_kind, j.language, x.context) t
    WHERE j.problem IS NULL
    ON CONFLICT (company_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
    RETURNING company_id, id, entity, entity_id, dedupe_key
  )
  SELECT pg_catalog.count(*) INTO result FROM queued;

  PERFORM o2c._attach_documents(m.company_id, m.id, m.entity, m.entity_id, s.attach)
  FROM unnest($1, $2) x(company_id, id)
  JOIN o2c.event e ON e.company_id = x.company_id AND e.id = x.id
  JOIN o2c.event_subscription s ON s.company_id = e.company_id AND s.entity = e.entity AND s.event = e.event
    AND s.enabled AND s.attach <> '{}' AND ($3 IS NULL OR s.id = $3)
  JOIN o2c.message m ON m.company_id = e.company_id AND m.state = 'queued'
    AND m.dedupe_key = pg_catalog.format('event:%s:%s', e.id, s.id)
  WHERE NOT EXISTS (SELECT FROM o2c.message_attachment a WHERE a.company_id = m.company_id AND a.message_id = m.id);
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._queue_event_set(integer[], bigint[], bigint) IS
  'Queue the messages that subscriptions (or that one) ask for these events, once each; what has no address or template becomes an event "skip" of the subscription.';

CREATE FUNCTION o2c._queue_event_messages(company_ids integer[], event_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint := 0;
  one record;
BEGIN
  BEGIN
    RETURN o2c._queue_event_set($1, $2, NULL);
  EXCEPTION WHEN OTHERS THEN
    -- what ends the whole transaction is its caller's affair
    IF SQLSTATE ^@ '40' THEN
      RAISE;
    END IF;
  END;
  -- one of them cannot be made: each by itself
  FOR one IN
    SELECT e.company_id, e.id, e.entity, s.id AS subscription_id
    FROM (SELECT DISTINCT x.company_id, x.id FROM unnest($1, $2) x(company_id, id)) x
    JOIN o2c.event e ON e.company_id = x.company_id AND e.id = x.id
    JOIN o2c.event_subscription s ON s.company_id = e.company_id AND s.entity = e.entity AND s.event = e.event AND s.enabled
    ORDER BY e.company_id, e.id, s.id
  LOOP
    BEGIN
      result := result + o2c._queue_event_set(ARRAY[one.company_id], ARRAY[one.id], one.subscription_id);
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE ^@ '40' THEN
        RAISE;
      END IF;
      IF one.entity <> 'event_subscription' THEN
        INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
        VALUES (one.company_id, 'event_subscription', one.subscription_id, 'skip', SQLERRM,
                pg_catalog.jsonb_build_object('event_id', one.id));
      END IF;
    END;
  END LOOP;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._queue_event_messages(integer[], bigint[]) IS
  'Queue the messages that subscriptions ask for these events, once each; whatever cannot be queued becomes an event "skip" of the subscription and stops nothing.';
