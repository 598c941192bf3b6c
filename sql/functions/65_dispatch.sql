-- Dispatch: the outbox, the worker's switches and what comes back.
--
-- Business code queues with send_message (or inserts into o2c.message, in
-- sets); the worker (src/dispatch) sends; record_delivery tells what became of
-- it.  What only the worker calls is in 66_worker.sql.

CREATE FUNCTION o2c._is_recipient(kind text, recipient text) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_dispatch_is_recipient';
COMMENT ON FUNCTION o2c._is_recipient(text, text) IS
  'True when a channel of that kind can reach the recipient: mail address or "Name <address>", telephone number, any text; NULL for webhooks only.';

CREATE FUNCTION o2c._is_line(line text, most integer, breaks boolean) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_dispatch_is_line';
COMMENT ON FUNCTION o2c._is_line(text, integer, boolean) IS
  'True when the text has at most that many bytes and no control character; line feeds only when breaks.';

CREATE FUNCTION o2c._is_key(key text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_dispatch_is_key';
COMMENT ON FUNCTION o2c._is_key(text) IS
  'True for 1 to 128 letters, digits, hyphens and underscores, beginning with a letter or digit.';

CREATE FUNCTION o2c._channel_check() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispatch_channel_check';
COMMENT ON FUNCTION o2c._channel_check() IS
  'Row trigger of o2c.channel: refuses (O2071) a url or settings that could never be used.';

CREATE FUNCTION o2c._message_queued() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispatch_message_queued';
COMMENT ON FUNCTION o2c._message_queued() IS
  'Statement trigger of o2c.message: refuses (O2071) unreachable recipients and messages over the cap; wakes the dispatcher at commit.';

CREATE FUNCTION o2c._message_moved() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispatch_message_moved';
COMMENT ON FUNCTION o2c._message_moved() IS
  'Statement trigger of o2c.message: o2c.message_queue follows what waits and what is uncertain.';

CREATE FUNCTION o2c._message_attached() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispatch_message_attached';
COMMENT ON FUNCTION o2c._message_attached() IS
  'Statement trigger of o2c.message_attachment: refuses (O2071) attachments over the cap or to a message that has left the queue.';

CREATE FUNCTION o2c._event_subscriptions() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dispatch_event_subscriptions';
COMMENT ON FUNCTION o2c._event_subscriptions() IS
  'Statement trigger of o2c.event: queues a message for each enabled subscription that fits.';

CREATE FUNCTION o2c._wake_dispatcher() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'o2c_dispatch_wake';
COMMENT ON FUNCTION o2c._wake_dispatcher() IS
  'Wakes dispatcher and launcher when the transaction commits.';

CREATE FUNCTION o2c._database_identity() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_dispatch_identity';
COMMENT ON FUNCTION o2c._database_identity() IS
  'System identifier, oid and name of this database: what a restored or cloned one does not share.';

CREATE FUNCTION o2c._dispatcher_slot(OUT state text, OUT pid integer, OUT started_at timestamptz,
  OUT in_flight integer, OUT claimed integer, OUT sent bigint, OUT failed bigint)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'o2c_dispatch_slot';
COMMENT ON FUNCTION o2c._dispatcher_slot() IS
  'What shared memory knows of this database''s dispatcher; state is "not preloaded" or "not served" when there is none.';

-- Queueing

CREATE FUNCTION o2c.send_message(company_id integer, channel text, recipient text, template text,
  context jsonb DEFAULT '{}', dedupe_key text DEFAULT NULL, language text DEFAULT NULL,
  priority integer DEFAULT 5, customer_code text DEFAULT NULL, entity text DEFAULT NULL,
  entity_id bigint DEFAULT NULL, not_before timestamptz DEFAULT NULL, attachments jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  way o2c.channel;
  receiver record;
  text_of record;
  result bigint;
BEGIN
  PERFORM o2c._require_company($1);
  SELECT c.* INTO way FROM o2c.channel c WHERE c.company_id = $1 AND c.code = $2;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no channel "%s"', $2),
      HINT = 'Insert it into o2c.channel first.';
  END IF;
  IF $6 IS NOT NULL THEN
    SELECT m.id INTO result FROM o2c.message m WHERE m.company_id = $1 AND m.dedupe_key = $6;
    IF FOUND THEN
      RETURN result;
    END IF;
  END IF;
  IF $9 IS NOT NULL THEN
    SELECT k.id, k.language, k.time_zone INTO receiver
    FROM o2c.customer k WHERE k.company_id = $1 AND k.code = $9;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'O2003',
        MESSAGE = pg_catalog.format('there is no customer "%s"', $9);
    END IF;
  ELSE
    SELECT NULL::bigint AS id, NULL::text AS language, NULL::text AS time_zone INTO receiver;
  END IF;
  SELECT * INTO text_of
  FROM o2c._message_text($1, $4, way.kind, coalesce($7, receiver.language), coalesce($5, '{}'));

  INSERT INTO o2c.message (company_id, channel, recipient, kind, template, context, dedupe_key, language,
    priority, customer_id, entity, entity_id, next_attempt_at, time_zone, subject, body_text, body_html)
  VALUES ($1, $2, $3, $4, $4, $5, $6, coalesce($7, receiver.language), $8, receiver.id, $10, $11,
    coalesce($12, pg_catalog.now()), receiver.time_zone, text_of.subject, text_of.body_text, text_of.body_html)
  ON CONFLICT (company_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
  RETURNING id INTO result;
  IF result IS NULL THEN
    -- another transaction queued it first and has committed by now
    SELECT m.id INTO result FROM o2c.message m WHERE m.company_id = $1 AND m.dedupe_key = $6;
    RETURN result;
  END IF;
  INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
  SELECT $1, result, a.name, coalesce(a.content_type, 'application/octet-stream'),
         coalesce(pg_catalog.decode(a.base64, 'base64'), pg_catalog.convert_to(a.content, 'UTF8'))
  FROM pg_catalog.jsonb_to_recordset($13) a(name text, content_type text, content text, base64 text);
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.send_message(integer, text, text, text, jsonb, text, text, integer, text, text, bigint, timestamptz, jsonb) IS
  'Queue a message; returns its id, the same one for the same dedupe_key. template NULL takes subject, body_text and body_html from context; attachments is [{"name", "content_type", "content" or "base64"}]. Errors: O2002, O2003 (channel, customer), O2070 (template), O2071 (recipient, size).';

CREATE FUNCTION o2c._message_text(company_id integer, template text, channel_kind text, language text, context jsonb)
RETURNS TABLE (subject text, body_text text, body_html text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF $2 IS NOT NULL THEN
    BEGIN
      RETURN QUERY SELECT r.subject, r.body_text, r.body_html
                   FROM o2c.render_template($1, $2, $3, $4, $5) r;
      RETURN;
    EXCEPTION WHEN SQLSTATE 'O2070' THEN
      -- a webhook without a template carries its context; a template that
      -- exists but fails is an error for everyone
      IF EXISTS (SELECT FROM o2c.find_template($1, $2, $3, $4))
         OR ($3 <> 'webhook' AND NOT $5 ?| '{body_text,body_html,body}') THEN
        RAISE;
      END IF;
    END;
  END IF;
  IF $3 <> 'webhook' AND NOT $5 ?| '{body_text,body_html,body}' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2070',
      MESSAGE = 'message has neither a template nor a text',
      HINT = 'Name a template, or give body_text (and subject, body_html) in context.';
  END IF;
  RETURN QUERY SELECT pg_catalog.regexp_replace($5->>'subject', '[[:cntrl:]]+', ' ', 'g'),
                      coalesce($5->>'body_text', $5->>'body'), $5->>'body_html';
END $$;
COMMENT ON FUNCTION o2c._message_text(integer, text, text, text, jsonb) IS
  'Subject and bodies from the template or, without one, from context. Errors: O2070.';

CREATE FUNCTION o2c.cancel_message(company_id integer, message_id bigint, reason text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  now_in text;
BEGIN
  SELECT m.state::text INTO now_in FROM o2c.message m
  WHERE m.company_id = $1 AND m.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no message %s', $2);
  END IF;
  IF now_in IN ('queued', 'retry') THEN
    UPDATE o2c.message m SET state = 'cancelled', last_error = $3
    WHERE m.company_id = $1 AND m.id = $2;
    INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
    VALUES ($1, 'message', $2, 'cancel', now_in, 'cancelled', $3);
    now_in := 'cancelled';
  END IF;
  RETURN now_in;
END $$;
COMMENT ON FUNCTION o2c.cancel_message(integer, bigint, text) IS
  'Cancel a message that waits; returns its state after, which is another one when it was taken up before. Errors: O2003.';

CREATE FUNCTION o2c.resolve_message(company_id integer, message_id bigint, outcome text, note text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  now_in text;
  target o2c.message_state;
BEGIN
  IF $3 NOT IN ('sent', 'resend', 'dead') OR $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('unknown outcome "%s"', $3), HINT = 'Use sent, resend or dead.';
  END IF;
  SELECT m.state::text INTO now_in FROM o2c.message m
  WHERE m.company_id = $1 AND m.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no message %s', $2);
  END IF;
  IF now_in = 'sending' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010', MESSAGE = pg_catalog.format('message %s is being sent', $2),
      HINT = 'What becomes of it is known when the dispatcher has written it down; decide then.';
  END IF;
  target := CASE $3 WHEN 'sent' THEN 'sent' WHEN 'dead' THEN 'dead'
            ELSE CASE now_in WHEN 'dead' THEN 'queued' ELSE 'retry' END END;
  IF target::text = now_in THEN
    RETURN now_in;
  END IF;
  UPDATE o2c.message m SET state = target, next_attempt_at = pg_catalog.now(), attempts = 0,
    first_attempt_at = NULL,
    sent_at = CASE WHEN target = 'sent' THEN coalesce(m.sent_at, pg_catalog.now()) ELSE m.sent_at END
  WHERE m.company_id = $1 AND m.id = $2;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
  VALUES ($1, 'message', $2, 'resolve', now_in, target::text, $4);
  PERFORM o2c._wake_dispatcher();
  RETURN target::text;
END $$;
COMMENT ON FUNCTION o2c.resolve_message(integer, bigint, text, text) IS
  'Decide on an uncertain message after asking the provider: sent, resend or dead; a dead one can be sent again with resend. Returns the state. Errors: O2003, O2004, O2010.';

-- What comes back

CREATE FUNCTION o2c.record_delivery(company_id integer, message_ref text, outcome text,
  detail text DEFAULT NULL, report_key text DEFAULT NULL, occurred_at timestamptz DEFAULT pg_catalog.now())
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  target record;
BEGIN
  IF $3 NOT IN ('delivered', 'bounced', 'failed', 'deferred') OR $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('unknown outcome "%s"', $3),
      HINT = 'Use delivered, bounced, failed or deferred.';
  END IF;
  SELECT m.id, m.state::text AS state INTO target FROM o2c.message m
  WHERE m.company_id = $1 AND m.provider_id = $2
  ORDER BY m.id DESC LIMIT 1 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    SELECT m.id, m.state::text AS state INTO target FROM o2c.message m
    WHERE m.company_id = $1 AND m.idempotency_key = $2 FOR NO KEY UPDATE;
  END IF;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no message that the provider calls "%s"', $2),
      HINT = 'Give the provider_id or the idempotency_key of o2c.message.';
  END IF;
  INSERT INTO o2c.delivery_report (company_id, message_id, outcome, report_key, detail, occurred_at, recorded_at)
  VALUES ($1, target.id, $3, $5, $4, $6, pg_catalog.clock_timestamp())
  ON CONFLICT (company_id, report_key) DO NOTHING;
  IF NOT FOUND THEN
    RETURN target.state;
  END IF;
  RETURN o2c._take_report($1, target.id, $3, $4, $6);
END $$;
COMMENT ON FUNCTION o2c.record_delivery(integer, text, text, text, text, timestamptz) IS
  'Take in a provider''s report on a message, named by provider_id or idempotency_key: delivered, bounced, failed, deferred. The same report_key again changes nothing. A bounce goes over to the failover channel. One that comes while the message is still sending counts when the dispatcher has written down what the peer answered. Returns the state. Errors: O2003, O2004.';

CREATE FUNCTION o2c._take_report(company_id integer, message_id bigint, outcome text, detail text, occurred_at timestamptz)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  now_in text;
  became o2c.message_state;
BEGIN
  SELECT m.state::text INTO now_in FROM o2c.message m WHERE m.company_id = $1 AND m.id = $2 FOR NO KEY UPDATE;
  -- a report proves that the peer had accepted it: it is not sent again
  IF now_in IN ('uncertain', 'retry') AND $3 IN ('delivered', 'bounced', 'deferred') THEN
    UPDATE o2c.message m SET state = 'sent', sent_at = $5 WHERE m.company_id = $1 AND m.id = $2;
    now_in := 'sent';
  END IF;
  became := CASE WHEN $3 = 'delivered' AND now_in = 'sent' THEN 'delivered'
                 WHEN $3 IN ('bounced', 'failed') AND now_in IN ('sent', 'delivered', 'uncertain') THEN 'dead' END;
  IF became IS NULL THEN
    RETURN now_in;
  END IF;
  UPDATE o2c.message m
  SET state = became,
      delivered_at = CASE WHEN became = 'delivered' THEN $5 ELSE m.delivered_at END,
      last_error = CASE WHEN became = 'dead' THEN coalesce($4, $3) ELSE m.last_error END
  WHERE m.company_id = $1 AND m.id = $2;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
  VALUES ($1, 'message', $2, CASE became WHEN 'dead' THEN 'bounce' ELSE 'deliver' END, now_in, became::text, $4);
  IF became = 'dead' THEN
    PERFORM o2c._failover(ARRAY[$1], ARRAY[$2]);
  END IF;
  RETURN became::text;
END $$;
COMMENT ON FUNCTION o2c._take_report(integer, bigint, text, text, timestamptz) IS
  'What a delivery report makes of a message; returns its state.';

CREATE FUNCTION o2c._recipient_of(company_id integer, customer_id bigint, channel_kind text, roles text[] DEFAULT '{}')
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT CASE $3
    WHEN 'email' THEN k.email
    WHEN 'sms' THEN k.phone
    WHEN 'post' THEN CASE WHEN k.city IS NOT NULL THEN
      pg_catalog.concat_ws(E'\n', k.name, k.street, pg_catalog.concat_ws(' ', k.postal_code, k.city), k.country) END
    ELSE k.code END
  FROM o2c._addressees($1, $4) k WHERE k.id = $2
$$;
COMMENT ON FUNCTION o2c._recipient_of(integer, bigint, text, text[]) IS
  'How a channel of that kind reaches the customer, by its contact and address with one of these roles (default: its own row); NULL when it cannot.';

CREATE FUNCTION o2c._failover_text(company_id integer, message_id bigint, channel_kind text)
RETURNS TABLE (subject text, body_text text, body_html text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  m record;
BEGIN
  SELECT x.template, x.language, x.context, x.subject, x.body_text, x.body_html INTO m
  FROM o2c.message x WHERE x.company_id = $1 AND x.id = $2;
  IF m.template IS NOT NULL AND EXISTS (SELECT FROM o2c.find_template($1, m.template, $3, m.language)) THEN
    RETURN QUERY SELECT r.subject, r.body_text, r.body_html
      FROM o2c.render_template($1, m.template, $3, m.language, coalesce(m.context, '{}')) r;
  ELSE
    RETURN QUERY SELECT m.subject, m.body_text, m.body_html;
  END IF;
END $$;
COMMENT ON FUNCTION o2c._failover_text(integer, bigint, text) IS
  'The message''s text for a channel of another kind: from its template where that has one for the kind, else as it was.';

CREATE FUNCTION o2c._failover(company_ids integer[], message_ids bigint[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  WITH next AS (
    INSERT INTO o2c.message (company_id, channel, recipient, kind, template, context, language, priority,
      customer_id, entity, entity_id, time_zone, recheck, erase, failover_of, subject, body_text, body_html)
    SELECT m.company_id, c.code, t.recipient, m.kind, m.template,
      m.context, m.language, m.priority, m.customer_id, m.entity, m.entity_id, m.time_zone, m.recheck,
      m.erase, m.id, r.subject, r.body_text, r.body_html
    FROM unnest($1, $2) f(company_id, id)
    JOIN o2c.message m ON m.company_id = f.company_id AND m.id = f.id AND m.state = 'dead'
    JOIN o2c.channel w ON w.company_id = m.company_id AND w.code = m.channel
    JOIN o2c.channel c ON c.company_id = m.company_id AND c.code = w.failover_channel AND c.enabled
    -- a letter of account stays with those who get such letters
    CROSS JOIN LATERAL (SELECT o2c._recipient_of(m.company_id, m.customer_id, c.kind,
      CASE WHEN m.entity = 'dunning_notice' OR m.kind = 'statement' THEN '{dunning,billing}'::text[] ELSE '{}' END) AS recipient) t
    CROSS JOIN LATERAL o2c._failover_text(m.company_id, m.id, c.kind) r
    WHERE o2c._is_recipient(c.kind, t.recipient)
      -- channels that take over from each other do so once
      AND NOT EXISTS (
        WITH RECURSIVE before AS (
          SELECT m.failover_of AS id, m.channel
          UNION ALL
          SELECT p.failover_of, p.channel FROM before b JOIN o2c.message p ON p.company_id = m.company_id AND p.id = b.id)
        SELECT FROM before b WHERE b.channel = c.code)
    ON CONFLICT (company_id, failover_of) WHERE failover_of IS NOT NULL DO NOTHING
    RETURNING company_id, id, failover_of
  ), files AS (
    INSERT INTO o2c.message_attachment (company_id, message_id, name, content_type, content)
    SELECT n.company_id, n.id, a.name, a.content_type, a.content
    FROM next n
    JOIN o2c.message_attachment a ON a.company_id = n.company_id AND a.message_id = n.failover_of
  )
  SELECT pg_catalog.count(*) INTO result FROM next;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._failover(integer[], bigint[]) IS
  'Queue dead messages again on their channels'' failover channels, once each, and on none that has failed them before; returns how many.';

-- The switches

CREATE FUNCTION o2c.arm_dispatch(company_id integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF $1 IS NOT NULL THEN
    PERFORM o2c._require_company($1);
  END IF;
  INSERT INTO o2c.dispatch_state AS d (company_id, armed_identity, armed_at, armed_by)
  VALUES (coalesce($1, 0), o2c._database_identity(), pg_catalog.now(), current_user)
  ON CONFLICT (company_id) DO UPDATE
  SET armed_identity = excluded.armed_identity, armed_at = excluded.armed_at, armed_by = excluded.armed_by
  WHERE d.armed_identity IS DISTINCT FROM excluded.armed_identity;
  PERFORM o2c._wake_dispatcher();
  RETURN o2c._dispatcher_state();
END $$;
COMMENT ON FUNCTION o2c.arm_dispatch(integer) IS
  'Allow this very database to send, for one company or for all. A restored or cloned database is not armed. Returns the dispatcher''s state. Errors: O2002.';

CREATE FUNCTION o2c.disarm_dispatch(company_id integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  UPDATE o2c.dispatch_state d SET armed_identity = NULL
  WHERE d.company_id = $1 OR $1 IS NULL;
  PERFORM o2c._wake_dispatcher();
  RETURN o2c._dispatcher_state();
END $$;
COMMENT ON FUNCTION o2c.disarm_dispatch(integer) IS
  'Take back arm_dispatch, for one company or, NULL, for everything; returns the dispatcher''s state. No errors.';

CREATE FUNCTION o2c._set_paused(paused boolean) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.dispatch_state AS d (company_id, paused) VALUES (0, $1)
  ON CONFLICT (company_id) DO UPDATE SET paused = excluded.paused;
  PERFORM o2c._wake_dispatcher();
  RETURN CASE WHEN $1 THEN 'paused' ELSE o2c._dispatcher_state() END;
END $$;
COMMENT ON FUNCTION o2c._set_paused(boolean) IS 'Pause or resume the dispatcher of this database.';

CREATE FUNCTION o2c.pause_dispatch() RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT o2c._set_paused(true) $$;
COMMENT ON FUNCTION o2c.pause_dispatch() IS
  'Stop sending once this commits: the dispatcher gives back what it has not sent and leaves the database, which may then be dropped.';

CREATE FUNCTION o2c.resume_dispatch() RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT o2c._set_paused(false) $$;
COMMENT ON FUNCTION o2c.resume_dispatch() IS 'Let the dispatcher of this database go on after pause_dispatch(); returns its state. No errors.';

CREATE FUNCTION o2c._dispatch_armed() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.armed_identity = o2c._database_identity())
$$;
COMMENT ON FUNCTION o2c._dispatch_armed() IS 'True when anything is armed for this very database.';

CREATE FUNCTION o2c._dispatcher_state() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  slot record;
BEGIN
  SELECT * INTO slot FROM o2c._dispatcher_slot();
  RETURN CASE
    WHEN slot.state = 'not preloaded' THEN 'not preloaded'
    WHEN EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id = 0 AND d.paused) THEN 'paused'
    WHEN NOT o2c._dispatch_armed() THEN 'not armed'
    WHEN slot.state = 'not served' THEN 'not served'
    WHEN slot.pid IS NOT NULL THEN 'running'
    ELSE 'starting' END;
END $$;
COMMENT ON FUNCTION o2c._dispatcher_state() IS
  'not preloaded, not served (not in order2cash.databases), paused, not armed, starting or running.';

CREATE FUNCTION o2c.dispatch_status()
RETURNS TABLE (state text, armed boolean, paused boolean, pid integer, started_at timestamptz,
  in_flight integer, sent bigint, failed bigint, waiting bigint, sending bigint, uncertain bigint,
  oldest_waiting timestamptz, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  slot record;
BEGIN
  SELECT * INTO slot FROM o2c._dispatcher_slot();
  state := o2c._dispatcher_state();
  armed := o2c._dispatch_armed();
  paused := EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id = 0 AND d.paused);
  pid := slot.pid;
  started_at := slot.started_at;
  in_flight := slot.in_flight;
  sent := slot.sent;
  failed := slot.failed;
  SELECT pg_catalog.count(*) FILTER (WHERE q.due < 'infinity'), pg_catalog.min(q.due) FILTER (WHERE q.due < 'infinity'),
         pg_catalog.count(*) FILTER (WHERE q.due = 'infinity')
  INTO waiting, oldest_waiting, uncertain FROM o2c.message_queue q;
  sending := (SELECT pg_catalog.count(*) FROM o2c.message_claim c CROSS JOIN unnest(c.message_ids) i(id)
              JOIN o2c.message m ON m.company_id = c.company_id AND m.id = i.id AND m.state = 'sending');
  hint := CASE state
    WHEN 'not preloaded' THEN 'Add order2cash to shared_preload_libraries and restart the server.'
    WHEN 'not served' THEN pg_catalog.format('Add %s to order2cash.databases and reload.', pg_catalog.current_database())
    WHEN 'not armed' THEN 'Call o2c.arm_dispatch() when this database is the one that shall send.'
    WHEN 'paused' THEN 'Call o2c.resume_dispatch().' END;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION o2c.dispatch_status() IS
  'One row: the dispatcher of this database, what waits and what to do next. sent and failed count since the dispatcher started.';

CREATE FUNCTION o2c.purge_messages(company_id integer DEFAULT NULL, older_than interval DEFAULT '400 days',
  keep_last integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  WITH gone AS (
    DELETE FROM o2c.message m
    USING (
      SELECT x.company_id, x.id, x.created_at,
             pg_catalog.row_number() OVER (PARTITION BY x.company_id ORDER BY x.created_at DESC, x.id DESC) AS place
      FROM o2c.message x
      WHERE ($1 IS NULL OR x.company_id = $1)
        AND x.state IN ('sent', 'delivered', 'dead', 'cancelled')
    ) old
    WHERE m.company_id = old.company_id AND m.id = old.id
      AND m.state IN ('sent', 'delivered', 'dead', 'cancelled')
      AND (old.created_at < pg_catalog.now() - $2 OR old.place > $3)
      -- a notice must know what became of its message before this goes
      AND NOT EXISTS (SELECT FROM o2c.dunning_notice n
                      WHERE n.company_id = m.company_id AND n.id = m.entity_id AND m.entity = 'dunning_notice'
                        AND (n.state = 'pending' OR (n.state <> 'accepted' AND m.state IN ('sent', 'delivered'))))
    RETURNING 1
  )
  SELECT pg_catalog.count(*) INTO result FROM gone;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.purge_messages(integer, interval, integer) IS
  'Delete finished messages (sent, delivered, dead, cancelled) older than that, and all but the newest keep_last of a company when given; returns how many. What waits or is uncertain always stays, and so does a reminder whose outcome its notice has not taken in yet (settle_dunning does).';

CREATE FUNCTION o2c._check_dispatch(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'sent_has_time', m.company_id, 'message', m.id, pg_catalog.format('state %s without sent_at', m.state)
  FROM o2c.message m
  WHERE ($1 IS NULL OR m.company_id = $1) AND m.state IN ('sent', 'delivered') AND m.sent_at IS NULL
  UNION ALL
  SELECT 'lease_ends', c.company_id, 'message', m.id, pg_catalog.format('its lease ended at %s', c.lease_until)
  FROM o2c.message_claim c CROSS JOIN unnest(c.message_ids) i(id)
  JOIN o2c.message m ON m.company_id = c.company_id AND m.id = i.id AND m.state = 'sending'
  WHERE ($1 IS NULL OR c.company_id = $1) AND c.lease_until < pg_catalog.now() - interval '1 day'
    AND o2c._dispatch_armed()
  UNION ALL
  -- full, because that can't be nested loops, which tables without statistics would get
  SELECT 'sending_is_claimed', m.company_id, 'message', m.id, 'no claim names it'
  FROM (SELECT x.* FROM o2c.message x WHERE x.state = 'sending' AND ($1 IS NULL OR x.company_id = $1)) m
  FULL JOIN (SELECT c.company_id, c.lease_owner, i.id FROM o2c.message_claim c CROSS JOIN unnest(c.message_ids) i(id)
             WHERE $1 IS NULL OR c.company_id = $1) c
    ON c.company_id = m.company_id AND c.lease_owner = m.lease_owner AND c.id = m.id
  WHERE CASE WHEN m.id IS NOT NULL THEN c.id IS NULL ELSE false END
  UNION ALL
  SELECT 'queue_follows_messages', coalesce(m.company_id, q.company_id), 'message', coalesce(m.id, q.message_id),
         pg_catalog.format('%s, due %s; the queue has it due %s', m.state, m.next_attempt_at, q.due)
  FROM (SELECT x.* FROM o2c.message x WHERE x.state IN ('queued', 'retry', 'uncertain') AND ($1 IS NULL OR x.company_id = $1)) m
  FULL JOIN (SELECT x.* FROM o2c.message_queue x WHERE $1 IS NULL OR x.company_id = $1) q
    ON q.company_id = m.company_id AND q.message_id = m.id AND q.channel = m.channel AND q.priority = m.priority
    AND q.due = CASE WHEN m.state = 'uncertain' THEN 'infinity' ELSE m.next_attempt_at END
  WHERE m.id IS NULL OR q.message_id IS NULL
  UNION ALL
  -- of the attempts since it was last queued
  SELECT 'reports_count', m.company_id, 'message', m.id, pg_catalog.format('state %s, reported %s', m.state, d.outcome)
  FROM o2c.delivery_report d JOIN o2c.message m ON m.company_id = d.company_id AND m.id = d.message_id
  WHERE ($1 IS NULL OR d.company_id = $1) AND d.recorded_at >= m.first_attempt_at
    AND (m.state IN ('uncertain', 'retry') AND d.outcome IN ('delivered', 'bounced', 'deferred')
         OR m.state = 'sent' AND d.outcome IN ('delivered', 'bounced', 'failed'))
  UNION ALL
  SELECT 'failover_of_dead', m.company_id, 'message', m.id, pg_catalog.format('message %s is %s', f.id, f.state)
  FROM o2c.message m JOIN o2c.message f ON f.company_id = m.company_id AND f.id = m.failover_of
  WHERE ($1 IS NULL OR m.company_id = $1) AND f.state <> 'dead'
    AND NOT EXISTS (SELECT FROM o2c.event e WHERE e.company_id = f.company_id AND e.entity = 'message'
                    AND e.entity_id = f.id AND e.event = 'resolve')
$$;
COMMENT ON FUNCTION o2c._check_dispatch(integer) IS
  'Violated invariants of the outbox: sent without a time, leases that nobody ends, a queue that differs from what waits, delivery reports without effect, failover of a living message.';
