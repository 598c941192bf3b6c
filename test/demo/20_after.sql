-- The demo's last part: what became of the messages, and that all is well.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset null '·'

\echo
\echo '== 12. The worker has sent them, outside of any transaction, and recorded it'
\set ECHO queries
SELECT id, recipient, subject, state, attempts, sent_at IS NOT NULL AS has_sent_at FROM o2c.message WHERE company_id = 1 ORDER BY id;
SELECT * FROM o2c.check();
\set ECHO none
\echo 'No row: every invariant holds.'
