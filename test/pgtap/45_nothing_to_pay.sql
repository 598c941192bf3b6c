-- Documents with nothing to pay: number, state, events, messages, items and
-- match keys, in every way of drawing numbers, alone and among others.
SELECT plan(17);

SELECT o2c.create_company('Seller', 'DE', 'EUR', vat_id => 'DE123456789', street => 'Weg 1', postal_code => '10115', city => 'Berlin') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, email) VALUES (:c, 'A', 'Customer', 'DE', 'a@example.org');
INSERT INTO o2c.number_series (company_id, code, prefix, assign, early_release, gapless) VALUES
  (:c, 'now', 'N', 'issue', false, true), (:c, 'late', 'L', 'commit', true, true), (:c, 'loose', 'X', 'issue', false, false);
INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (:c, 'mail', 'email', 'smtp://127.0.0.1:2525', '{"from": "ar@acme.example"}');
INSERT INTO o2c.event_subscription (company_id, entity, event, channel, recipient) VALUES (:c, 'invoice', 'issue', 'mail', 'customer');

-- a draft of one line
CREATE FUNCTION pg_temp.draft(c integer, series text, price numeric) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE i bigint;
BEGIN
  INSERT INTO o2c.invoice (company_id, customer_id, currency, series) SELECT c, k.id, 'EUR', draft.series FROM o2c.customer k WHERE k.company_id = c RETURNING id INTO i;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  VALUES (c, i, 1, 'Sample', 1, price, 'EUR', 'S', 19);
  RETURN i;
END $$;
-- what is to be seen of a document: state, open, number, moves, messages, items, entries, keys
CREATE FUNCTION pg_temp.seen(c integer, i bigint) RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', v.state, v.open_amount, coalesce(v.number, '-'),
    (SELECT array_agg(e.event || ':' || e.to_state ORDER BY e.id) FROM o2c.event e WHERE e.company_id = c AND e.entity = 'invoice' AND e.entity_id = i),
    'messages', (SELECT count(*) FROM o2c.message m WHERE m.company_id = c AND m.entity = 'invoice' AND m.entity_id = i AND m.body_text LIKE '%' || v.number || '%'),
    'items', (SELECT count(*) FROM o2c.open_item o WHERE o.company_id = c AND o.invoice_id = i),
    'entries', (SELECT count(*) FROM o2c.ledger_entry l JOIN o2c.open_item o ON o.company_id = c AND o.id = l.item_id WHERE l.company_id = c AND o.invoice_id = i),
    'keys', (SELECT count(*) FROM o2c.match_key k JOIN o2c.open_item o ON o.company_id = c AND o.id = k.item_id WHERE k.company_id = c AND o.invoice_id = i))
  FROM o2c.invoice v WHERE v.company_id = c AND v.id = i $$;

SELECT pg_temp.draft(:c, 'now', 0) AS free \gset
SELECT is(o2c.issue_invoice(:c, :free, '2026-01-10'), 'N2026-000001', 'drawn at issue: an invoice of zero has a number');
SELECT is(pg_temp.seen(:c, :free), 'paid 0 N2026-000001 {issue:issued,settle:paid} messages 1 items 0 entries 0 keys 0',
  'is paid, told once, owes nothing and can be matched by nothing');
SELECT is(o2c.issue_invoice(:c, :free), 'N2026-000001', 'again: the same');

-- while committing
SELECT pg_temp.draft(:c, 'late', 0) AS late \gset
BEGIN;
SELECT is(o2c.issue_invoice(:c, :late, '2026-01-10'), NULL, 'drawn at commit: no number yet');
SELECT is(pg_temp.seen(:c, :late), 'paid 0 - {issue:issued,settle:paid} messages 0 items 0 entries 0 keys 0', 'paid already, not told before it has one');
COMMIT;
SELECT is(pg_temp.seen(:c, :late), 'paid 0 L2026-000001 {issue:issued,settle:paid} messages 1 items 0 entries 0 keys 0', 'with its number it is told once');

SELECT pg_temp.draft(:c, 'loose', 0) AS loose \gset
SELECT matches(o2c.issue_invoice(:c, :loose, '2026-01-10'), '^X2026-', 'of a series with gaps');
SELECT matches(pg_temp.seen(:c, :loose), '^paid 0 X2026-[0-9]* {issue:issued,settle:paid} messages 1 items 0 entries 0 keys 0$', 'the same');

-- rolled back to a savepoint, then issued
SELECT pg_temp.draft(:c, 'late', 0) AS back \gset
BEGIN;
SAVEPOINT s;
SELECT o2c.issue_invoice(:c, :back, '2026-01-11') \g /dev/null
ROLLBACK TO s;
SELECT is(pg_temp.seen(:c, :back), 'draft - messages 0 items 0 entries 0 keys 0', 'taken back it is a draft');
SELECT o2c.issue_invoice(:c, :back, '2026-01-11') \g /dev/null
COMMIT;
SELECT is(pg_temp.seen(:c, :back), 'paid 0 L2026-000002 {issue:issued,settle:paid} messages 1 items 0 entries 0 keys 0', 'and issued after all, once');

-- among others: few (numbers last) and many (a block first)
CREATE TEMPORARY TABLE few AS SELECT n, pg_temp.draft(:c, CASE WHEN n % 2 = 0 THEN 'now' ELSE 'late' END, CASE WHEN n % 3 = 0 THEN 0 ELSE 10 END) AS id FROM generate_series(1, 6) n;
SELECT count(*) FROM o2c.issue_invoices(:c, (SELECT array_agg(id) FROM few), '2026-01-12') \g /dev/null
SELECT is((SELECT array_agg(substring(pg_temp.seen(:c, id) FROM '^(\S+ \S+)') || ' ' || substring(pg_temp.seen(:c, id) FROM 'messages.*$') ORDER BY n) FROM few),
  ARRAY(SELECT CASE WHEN n % 3 = 0 THEN 'paid 0 messages 1 items 0 entries 0 keys 0' ELSE 'issued 11.90 messages 1 items 1 entries 1 keys 2' END FROM generate_series(1, 6) n),
  'six of two series: those of zero are paid, the others open, with keys');
CREATE TEMPORARY TABLE many AS SELECT n, pg_temp.draft(:c, 'now', CASE WHEN n % 3 = 0 THEN 0 ELSE 10 END) AS id FROM generate_series(1, 30) n;
SELECT count(*) FROM o2c.issue_invoices(:c, (SELECT array_agg(id) FROM many), '2026-01-13') \g /dev/null
SELECT is((SELECT array_agg(DISTINCT substring(pg_temp.seen(:c, id) FROM '^(\S+ \S+)') || ' ' || substring(pg_temp.seen(:c, id) FROM 'messages.*$')) FROM many WHERE n % 3 = 0),
  '{paid 0 messages 1 items 0 entries 0 keys 0}'::text[], 'ten of thirty of a block');
SELECT is((SELECT array_agg(DISTINCT substring(pg_temp.seen(:c, id) FROM 'messages.*$')) FROM many WHERE n % 3 <> 0),
  '{messages 1 items 1 entries 1 keys 2}'::text[], 'and the twenty beside them');

-- one that is owed has the keys of its number and reference, drawn either way
SELECT results_eq(format($$SELECT count(*) FROM o2c.match_key k JOIN o2c.open_item o ON o.company_id = k.company_id AND o.id = k.item_id
    JOIN few f ON f.id = o.invoice_id WHERE k.company_id = %s AND k.key IN (o2c._document_key(o.number), o2c._document_digits(o.number), o2c._reference_key(o.structured_ref))$$, :c),
  $$VALUES (8::bigint)$$, 'keys are those of number and reference');
SELECT is_empty(format($$SELECT number FROM o2c.open_item WHERE company_id = %s AND number LIKE '#%%'$$, :c), 'nothing bears a makeshift number');
SELECT is((SELECT count(*) FROM o2c.message_queue q WHERE q.company_id = :c), (SELECT count(*) FROM o2c.invoice WHERE company_id = :c AND state <> 'draft'), 'each document is queued once');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
