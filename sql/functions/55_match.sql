-- Cash application, first half of the engine: the open lines, their payers,
-- and the books of these.
--
-- Each stage is a statement over all open lines, through temporary work tables
-- o2c_m_* that live until the end of the transaction:
--   o2c_m_line    the lines, as the weigher reads them, with the keys of their texts and a number for who pays
--   o2c_m_party   these parties: the account and name of each, as the bank writes it
--   o2c_m_payer   customers that may be this party, and their groups
--   o2c_m_who     for each party how sure its best customer is, and the customer when there is one only
--   o2c_m_page    payer and currency of undecided lines: a page of the book
--   o2c_m_book    what the first round left open of these payers' items, read once for all their lines
--   o2c_m_open    lines that several customers may pay, with the page of each; o2c_m_due: the items of these by due date
-- The second half is 55_match_decide.sql.

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
    (company, 'order', true, NULL, NULL, 'number of the order or delivery in the text, equal amount'),
    (company, 'partial', true, NULL, NULL, 'cited item, less than its open amount, from its customer'),
    (company, 'overpayment', true, NULL, NULL, 'cited items, more than their amount, nothing else explains the rest'),
    (company, 'short_stated', true, NULL, NULL, 'cited items, the text says which one is short by how much'),
    (company, 'list_completed', true, NULL, NULL, 'cited items and unnamed ones that make the rest in one way only'),
    (company, 'amount', true, NULL, NULL, 'no number: the payer''s only item of this amount'),
    (company, 'amount_discount', true, NULL, NULL, 'no number: the payer''s only item of this amount less discount'),
    (company, 'amount_name', true, NULL, NULL, 'no number, unknown account: name alike and the only item of this amount'),
    (company, 'amount_group', true, NULL, NULL, 'no number: the only item of this amount in the payer''s group'),
    (company, 'bundle', true, 0.005, 5, 'no number: the payer''s items that make the amount in one way only'),
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
  DROP TABLE IF EXISTS pg_temp.o2c_m_line, pg_temp.o2c_m_payer, pg_temp.o2c_m_who, pg_temp.o2c_m_pair, pg_temp.o2c_m_cand,
    pg_temp.o2c_m_page, pg_temp.o2c_m_book, pg_temp.o2c_m_open, pg_temp.o2c_m_due, pg_temp.o2c_m_todo, pg_temp.o2c_m_answer, pg_temp.o2c_m_claim, pg_temp.o2c_m_rejected,
    pg_temp.o2c_m_pay, pg_temp.o2c_m_taken, pg_temp.o2c_m_party;
  -- lines never seen, and payments on which nothing is applied yet
  CREATE TEMPORARY TABLE o2c_m_line ON COMMIT DROP AS
  SELECT k.id, o2c._same_party(k.id, k.account, k.name_key || coalesce(k.codes::text, '')) AS party, k.currency, k.amount, k.minor_amount, k.minor,
    k.booking_date, k.value_date, k.remittance_text, k.payer_name, k.name_key, k.account, k.end_to_end_id, k.reference_key,
    k.keys, k.codes, k.charges, k.payment_id, k.item_id
  FROM (SELECT b.id, b.currency, b.amount, o2c._minor_amount(b.amount, b.currency) AS minor_amount, o2c.minor_unit(b.currency) AS minor,
    b.booking_date, b.value_date, b.remittance_text, nullif(b.payer_name, '') AS payer_name,
    coalesce(o2c._name_key(b.payer_name), '') AS name_key,
    coalesce(o2c._account_key(coalesce(nullif(b.payer_iban, ''), b.payer_account)), '') AS account, b.end_to_end_id,
    coalesce(o2c._reference_key(b.structured_ref), 0) AS reference_key, o2c._cash_keys(b.remittance_text) AS keys,
    o2c._named_codes(b.remittance_text, b.payer_name) AS codes,
    coalesce(o2c._minor_amount(b.charges, b.currency), 0) AS charges, b.payment_id, b.item_id
  FROM (
    SELECT b.id, b.currency, b.amount, b.booking_date, b.value_date, b.remittance_text, b.payer_name, b.payer_iban,
      b.payer_account, b.end_to_end_id, b.structured_ref, b.charges, NULL::bigint AS payment_id, NULL::bigint AS item_id
    FROM (SELECT pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.int8range(o.first_id, o.last_id, '[]'))) AS ids
          FROM o2c.bank_line_open o WHERE o.company_id = company) s
    CROSS JOIN LATERAL (SELECT * FROM o2c.bank_line b
      WHERE b.company_id = company AND b.id >= pg_catalog.lower(s.ids) AND b.id < pg_catalog.upper(s.ids)
        AND b.state = 'open' AND b.amount > 0 AND b.amount < 1e14 AND b.return_reason IS NULL
        AND (up_to IS NULL OR b.booking_date <= up_to) OFFSET 0) b
    UNION ALL
    SELECT b.id, b.currency, b.amount, b.booking_date, b.value_date, b.remittance_text, b.payer_name, b.payer_iban,
      b.payer_account, b.end_to_end_id, b.structured_ref, 0, p.id, p.item_id
    FROM o2c.payment p
    JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
    JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id AND i.open_amount = -p.amount
    WHERE p.company_id = company AND p.state = 'received' AND b.state = 'matched' AND b.amount < 1e14
      AND (up_to IS NULL OR b.booking_date <= up_to)
      AND NOT EXISTS (SELECT FROM o2c.match_proposal r WHERE r.company_id = p.company_id AND r.payment_id = p.id
                      AND r.state = 'reversed')) b
  WHERE o2c.minor_unit(b.currency) IS NOT NULL OFFSET 0) k;	-- keys are made once, then compared
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN
    RETURN 0;
  END IF;
  ANALYZE pg_temp.o2c_m_line (id, party, currency, booking_date);

  -- what a person rejected is not found again
  CREATE TEMPORARY TABLE o2c_m_rejected ON COMMIT DROP AS
  SELECT l.id AS line_id, r.item_ids
  FROM pg_temp.o2c_m_line l
  JOIN o2c.match_proposal r ON r.company_id = company AND r.payment_id = l.payment_id AND r.state = 'rejected'
  WHERE l.payment_id IS NOT NULL;
  ANALYZE pg_temp.o2c_m_rejected;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_lines(integer, date) IS
  'First stage of match_cash: the lines to be matched; returns how many.';

CREATE FUNCTION o2c._match_payers(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  -- the same party pays many lines
  CREATE TEMPORARY TABLE o2c_m_party ON COMMIT DROP AS
  SELECT l.id, l.account, l.name_key, l.codes FROM pg_temp.o2c_m_line l WHERE l.party = l.id;
  ANALYZE pg_temp.o2c_m_party;
  -- rel 3: own account or trusted alias; 2: one confirmation, the same name, the customer number, or the group
  CREATE TEMPORARY TABLE o2c_m_payer ON COMMIT DROP AS
  WITH alias AS (
    SELECT a.kind, a.value, a.customer_id,
      a.confirmations >= 2 AND a.contradictions = 0
        AND pg_catalog.count(*) OVER (PARTITION BY a.kind, a.value) = 1 AS trusted,
      pg_catalog.count(*) OVER (PARTITION BY a.kind, a.value) AS users
    FROM o2c.payer_alias a WHERE a.company_id = company AND a.confirmations > a.contradictions),
  found AS (
    SELECT n.id AS party, c.id AS customer_id, 3 AS rel, false AS learned, false AS named
    FROM pg_temp.o2c_m_party n JOIN o2c.customer c ON c.company_id = company AND c.iban::text = n.account
    WHERE n.account <> ''
    UNION ALL
    SELECT n.id, c.id, 3, false, false
    FROM pg_temp.o2c_m_party n JOIN o2c.customer c ON c.company_id = company AND c.account_number = n.account
    WHERE n.account <> ''
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END, true, false
    FROM pg_temp.o2c_m_party n JOIN alias a ON a.kind = 'account' AND a.value = n.account AND a.users <= 5
    UNION ALL
    SELECT n.id, a.customer_id, CASE WHEN a.trusted THEN 3 ELSE 2 END, false, false
    FROM pg_temp.o2c_m_party n JOIN alias a ON a.kind = 'name' AND a.value = n.name_key AND a.users <= 5
    UNION ALL
    SELECT n.id, c.id, 2, false, false
    FROM pg_temp.o2c_m_party n JOIN o2c.customer c ON c.company_id = company AND o2c._name_key(c.name) = n.name_key
    WHERE n.name_key <> ''
    UNION ALL
    SELECT n.id, c.id, 2, false, true
    FROM (SELECT p.id, pg_catalog.unnest(p.codes) AS code FROM pg_temp.o2c_m_party p WHERE p.codes IS NOT NULL) n
    JOIN o2c.customer c ON c.company_id = company AND o2c._document_key(c.code) = n.code),
  each AS (
    SELECT f.party, f.customer_id, pg_catalog.max(f.rel) AS rel, pg_catalog.bool_or(f.learned) AS learned,
      pg_catalog.bool_or(f.named) AS named, pg_catalog.bool_or(pg_catalog.bool_or(f.named)) OVER (PARTITION BY f.party) AS any_named,
      pg_catalog.max(pg_catalog.max(f.rel)) OVER (PARTITION BY f.party) AS best
    FROM found f GROUP BY 1, 2)
  -- an account that is registered decides: a like name elsewhere is somebody
  -- else, though whom it has paid for before is its group
  SELECT e.party, e.customer_id, e.rel, e.best = 3 AND e.rel < 3 AS grp
  FROM each e WHERE CASE WHEN e.best = 3 THEN e.rel = 3 OR e.learned ELSE e.named OR NOT e.any_named END;
  ANALYZE pg_temp.o2c_m_payer;
  -- the parent may pay for its children, a child for its parent and siblings
  INSERT INTO pg_temp.o2c_m_payer
  WITH payer AS (
    SELECT c.id, c.code, c.parent_code FROM o2c.customer c
    WHERE c.company_id = company AND c.id IN (SELECT p.customer_id FROM pg_temp.o2c_m_payer p)),
  relative AS (
    SELECT c.id, k.id AS relative_id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.parent_code = c.code
    UNION
    SELECT c.id, k.id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.code = c.parent_code
    UNION
    SELECT c.id, k.id FROM payer c JOIN o2c.customer k ON k.company_id = company AND k.parent_code = c.parent_code AND k.id <> c.id)
  SELECT DISTINCT p.party, r.relative_id, 2, true
  FROM pg_temp.o2c_m_payer p JOIN relative r ON r.id = p.customer_id
  WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_payer q WHERE q.party = p.party AND q.customer_id = r.relative_id);
  ANALYZE pg_temp.o2c_m_payer;
  CREATE TEMPORARY TABLE o2c_m_who ON COMMIT DROP AS
  SELECT n.id AS party, coalesce(pg_catalog.max(p.rel), 0) AS payer,
    CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(p.customer_id) END AS payer_customer
  FROM pg_temp.o2c_m_party n LEFT JOIN pg_temp.o2c_m_payer p ON p.party = n.id AND NOT p.grp GROUP BY 1;
  DROP TABLE pg_temp.o2c_m_party;
  ANALYZE pg_temp.o2c_m_who;
END $$;
COMMENT ON FUNCTION o2c._match_payers(integer) IS
  'Stage of match_cash: who the payers of the lines are, by account, alias and name, and their groups.';

CREATE FUNCTION o2c._match_books(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  few CONSTANT boolean := (SELECT pg_catalog.count(*) < 1000 FROM (SELECT FROM pg_temp.o2c_m_todo LIMIT 1000) x);
BEGIN
  CREATE TEMPORARY TABLE o2c_m_page ON COMMIT DROP AS
  SELECT pg_catalog.row_number() OVER () AS page, x.customer_id, x.currency
  FROM (SELECT DISTINCT p.customer_id, t.currency
        FROM pg_temp.o2c_m_todo t JOIN pg_temp.o2c_m_payer p ON p.party = t.party AND NOT p.grp) x;
  ANALYZE pg_temp.o2c_m_page;
  UPDATE pg_temp.o2c_m_todo t SET page = p.page
  FROM pg_temp.o2c_m_page p WHERE p.customer_id = t.payer_customer AND p.currency = t.currency;
  CREATE TEMPORARY TABLE o2c_m_book ON COMMIT DROP AS
  SELECT g.* FROM o2c._gather_book(company, few,
    pages => 'SELECT p.page, p.customer_id, p.currency FROM pg_temp.o2c_m_page p',
    taken => 'SELECT k.item_id, k.taken FROM pg_temp.o2c_m_taken k',
    tolerances => 'SELECT t.customer_id, t.difference, t.percent, t.charges FROM o2c.tolerance t WHERE t.company_id = $1',
    items => 'SELECT i.id, i.customer_id, i.currency, i.open_amount, i.amount, i.discount_amount, i.discount_date, '
      'i.document_date, i.due_date, i.number, i.alt_number, i.structured_ref FROM o2c.open_item i '
      'WHERE i.company_id = $1 AND i.open_amount <> 0 AND i.kind NOT IN (''on_account'', ''unidentified'')'
      || CASE WHEN few THEN ' AND i.id IN (SELECT b.item_id FROM o2c.open_balance b WHERE b.company_id = $1 AND b.customer_id = ANY ($2))' ELSE '' END) g;
  -- several customers may be the payer: the books of each are opened for the line alone
  CREATE TEMPORARY TABLE o2c_m_open ON COMMIT DROP AS
  SELECT t.line_id, t.day, g.page, p.rel
  FROM pg_temp.o2c_m_todo t
  JOIN pg_temp.o2c_m_payer p ON p.party = t.party AND NOT p.grp
  JOIN pg_temp.o2c_m_page g ON g.customer_id = p.customer_id AND g.currency = t.currency
  WHERE t.page = 0;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  CREATE TEMPORARY TABLE o2c_m_due ON COMMIT DROP AS
  SELECT b.* FROM pg_temp.o2c_m_book b WHERE b.page IN (SELECT o.page FROM pg_temp.o2c_m_open o);
  CREATE INDEX ON pg_temp.o2c_m_due (page, due, item_id);
  ANALYZE pg_temp.o2c_m_open, pg_temp.o2c_m_due (page, due, item_id);
  -- candidates are as all was before the run took anything
  INSERT INTO pg_temp.o2c_m_cand (line_id, item_id, customer_id, number, alt_number, open, amount, discount, discount_date,
    issued, due, reference_key, tolerance, charges, rel, grp)
  SELECT o.line_id, i.item_id, i.customer_id, i.number, i.alt_number, i.open + i.taken, i.amount, i.discount, i.discount_date,
    i.issued, i.due, i.reference_key, i.tolerance, i.charges, o.rel, 0
  FROM pg_temp.o2c_m_open o
  CROSS JOIN LATERAL (
    (SELECT b.* FROM pg_temp.o2c_m_due b
     WHERE b.page = o.page AND b.due >= o.day
     ORDER BY b.page, b.due, b.item_id LIMIT 40)
    UNION ALL
    (SELECT b.* FROM pg_temp.o2c_m_due b
     WHERE b.page = o.page AND b.due < o.day
     ORDER BY b.page DESC, b.due DESC, b.item_id DESC LIMIT 60)) i
  LEFT JOIN (SELECT c.line_id, c.item_id FROM pg_temp.o2c_m_cand c WHERE c.line_id IN (SELECT x.line_id FROM pg_temp.o2c_m_open x)) k
    ON k.line_id = o.line_id AND k.item_id = i.item_id
  WHERE k.item_id IS NULL;
END $$;
COMMENT ON FUNCTION o2c._match_books(integer) IS
  'Stage of match_cash: the open items of the payers of undecided lines; of them the weigher takes those due near the booking date.';
