-- Dispatch: the outbox for reporting, and rights.
CREATE OR REPLACE VIEW o2c_bi.messages WITH (security_invoker = true) AS
SELECT m.company_id, m.id, m.channel, c.kind AS channel_kind, m.state::text AS state, m.kind, k.code AS customer_code,
  m.recipient, m.subject, m.priority::bigint AS priority, m.attempts::bigint AS attempts, m.created_at, m.next_attempt_at,
  m.sent_at, m.delivered_at, m.provider_id, m.idempotency_key, m.last_error,
  CASE m.state
    WHEN 'queued' THEN CASE WHEN m.next_attempt_at > pg_catalog.now() THEN 'waits for its time' ELSE 'waits for the dispatcher' END
    WHEN 'sending' THEN 'is being sent'
    WHEN 'retry' THEN 'failed, will be tried again'
    WHEN 'uncertain' THEN 'the reply was lost: ask the provider, then o2c.resolve_message()'
    WHEN 'dead' THEN 'failed for good'
    ELSE m.state::text END AS explanation
FROM o2c.message m
JOIN o2c.channel c ON c.company_id = m.company_id AND c.code = m.channel
LEFT JOIN o2c.customer k ON k.company_id = m.company_id AND k.id = m.customer_id;
COMMENT ON VIEW o2c_bi.messages IS 'The outbox: every message, where it stands and why.';
COMMENT ON COLUMN o2c_bi.messages.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.messages.id IS 'Id of the message.';
COMMENT ON COLUMN o2c_bi.messages.channel IS 'Code of the channel.';
COMMENT ON COLUMN o2c_bi.messages.channel_kind IS 'email, sms, post or webhook.';
COMMENT ON COLUMN o2c_bi.messages.state IS 'queued, sending, sent, delivered, retry, uncertain, dead or cancelled.';
COMMENT ON COLUMN o2c_bi.messages.kind IS 'What it is about.';
COMMENT ON COLUMN o2c_bi.messages.customer_code IS 'Customer it goes to, if any.';
COMMENT ON COLUMN o2c_bi.messages.recipient IS 'Address as the channel uses it.';
COMMENT ON COLUMN o2c_bi.messages.subject IS 'Subject, if the channel has one.';
COMMENT ON COLUMN o2c_bi.messages.priority IS '0 first, 9 last.';
COMMENT ON COLUMN o2c_bi.messages.attempts IS 'How often it was taken up.';
COMMENT ON COLUMN o2c_bi.messages.created_at IS 'When it was queued.';
COMMENT ON COLUMN o2c_bi.messages.next_attempt_at IS 'When it is or was due.';
COMMENT ON COLUMN o2c_bi.messages.sent_at IS 'When the peer accepted it.';
COMMENT ON COLUMN o2c_bi.messages.delivered_at IS 'When a delivery was reported.';
COMMENT ON COLUMN o2c_bi.messages.provider_id IS 'What the peer calls it.';
COMMENT ON COLUMN o2c_bi.messages.idempotency_key IS 'Stable over all attempts.';
COMMENT ON COLUMN o2c_bi.messages.last_error IS 'What the peer or the connection said last.';
COMMENT ON COLUMN o2c_bi.messages.explanation IS 'The state in words, with the next step.';

GRANT INSERT ON o2c.message, o2c.message_attachment TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT UPDATE ON o2c.message TO o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT DELETE ON o2c.message TO o2c_admin, o2c_dispatcher;
GRANT INSERT ON o2c.delivery_report TO o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT INSERT, UPDATE, DELETE ON o2c.channel, o2c.event_subscription TO o2c_admin;
GRANT INSERT, UPDATE ON o2c.dispatch_state TO o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.send_message, o2c._message_text
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.cancel_message, o2c.resolve_message, o2c.record_delivery, o2c._take_report, o2c._failover, o2c._failover_text,
  o2c._recipient_of, o2c._wake_dispatcher
  TO o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.arm_dispatch, o2c.disarm_dispatch, o2c.pause_dispatch, o2c.resume_dispatch,
  o2c._set_paused, o2c.purge_messages
  TO o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.dispatch_status, o2c._dispatcher_state, o2c._dispatcher_slot, o2c._dispatch_armed,
  o2c._database_identity, o2c._check_dispatch, o2c._quiet_until, o2c._event_record, o2c._event_context
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c._queue_event_messages, o2c._queue_event_set, o2c._attach_documents, o2c._stale_messages, o2c._report_failures, o2c._late_reports TO o2c_dispatcher;

-- Company 0 stands for the whole database: everyone may see it, admins and the
-- dispatcher's role may switch it.
DROP POLICY IF EXISTS o2c_database ON o2c.dispatch_state;
CREATE POLICY o2c_database ON o2c.dispatch_state USING (company_id = 0);
