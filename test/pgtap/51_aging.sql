-- Aging: vectors, then random histories against a naive recomputation.
BEGIN;
SELECT plan(50);

-- buckets
SELECT is(o2c.aging_bucket(d, '{0,30,60,90}'), b, 'bucket of ' || d)
FROM (VALUES (-2147483648, 1), (0, 1), (1, 2), (30, 2), (31, 3), (60, 3), (90, 4), (91, 5), (2147483647, 5)) v(d, b);
SELECT is(o2c.aging_bucket(5, '{}'), 1, 'no bounds, one bucket');
SELECT throws_ok($$SELECT o2c.aging_bucket(1, '{30,0}')$$, 'O2004', NULL, 'bounds ascend');
SELECT throws_ok($$SELECT o2c.aging_bucket(1, '{0,NULL}')$$, 'O2004', NULL, 'bounds are not null');
SELECT throws_ok($$SELECT o2c.aging_bucket(1, '{{0,1},{2,3}}')$$, 'O2004', NULL, 'bounds are a list');
SELECT is('2024-02-01'::date - '2024-01-01'::date, 31, 'days are plain subtraction');

-- the aggregate, exactly and in parallel
SELECT is(o2c.aging_sum(a, d, '{0,30,60,90}'), '{1.10,2,0,0,-4.005}', 'sums by bucket')
FROM (VALUES (1.1, 0), (2, 30), (-4.005, 91), (NULL, 5)) v(a, d);
SELECT is(o2c.aging_sum(a, d, '{0}')::text, '{0.00,0.00}', 'cancels out, keeps the scale')
FROM (VALUES (1.10, 0), (-1.1, 0)) v(a, d);
SELECT is(o2c.aging_sum(1, 1, '{0}') FILTER (WHERE false), NULL, 'nothing is null');
SELECT throws_ok($$SELECT o2c.aging_sum('NaN', 1, '{0}')$$, 'O2043', NULL, 'no NaN');
SELECT throws_ok($$SELECT o2c.aging_sum('Infinity', 1, '{0}')$$, 'O2043', NULL, 'no infinity');
SELECT throws_ok($$SELECT o2c.aging_sum(1e30, 1, '{0}')$$, 'O2043', NULL, 'no amount beyond its range');
SELECT throws_ok($$SELECT o2c.aging_sum(1, NULL, '{0}')$$, 'O2004', NULL, 'no amount without days');
SELECT throws_ok($$SELECT o2c.aging_sum(1, 1, b) FROM (VALUES ('{0}'::integer[]), ('{1}')) v(b)$$, 'O2004', NULL, 'one set of bounds');
CREATE TEMPORARY TABLE n AS
  SELECT (random() * 10 ^ (random() * 20 - 4) * (CASE WHEN random() < 0.3 THEN -1 ELSE 1 END))::numeric(40, 14) AS a,
         (random() * 300)::integer - 100 AS d
  FROM generate_series(1, 20000);
INSERT INTO n VALUES (0, 1), (0.00000000000001, 0), (99999999999999999999, 200), (-0.0001, 1), (10000, 1), (0.0010, 1), (123456789012345678.12345678901234, 45);
SELECT is(o2c.aging_sum(a, d, '{0,30,60,90}'),
  ARRAY[coalesce(sum(a) FILTER (WHERE d <= 0), 0), coalesce(sum(a) FILTER (WHERE d BETWEEN 1 AND 30), 0), coalesce(sum(a) FILTER (WHERE d BETWEEN 31 AND 60), 0),
        coalesce(sum(a) FILTER (WHERE d BETWEEN 61 AND 90), 0), coalesce(sum(a) FILTER (WHERE d > 90), 0)], 'exact on random numbers') FROM n;
SELECT is(o2c._aging_sum_final(o2c._aging_sum_combine(
    o2c._aging_sum_step(o2c._aging_sum_step(NULL, 1.5, 1, '{0}'), 2.25, 0, '{0}'), o2c._aging_sum_step(NULL, -0.5, 1, '{0}'))),
  '{2.25,1.00}', 'states combine');

-- a history: items, partial payments, reversals, returns, credit notes, back-dated entries
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('History', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name, parent_code)
SELECT c, 'C' || g, 'C' || g, CASE WHEN g % 3 = 0 THEN 'C' || g - 1 END FROM ctx, generate_series(1, 12) g;
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate)
SELECT c, 'USD', 'EUR', '2020-01-01', 0.9 FROM ctx;

CREATE FUNCTION pg_temp.history(company integer, steps integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  d record; what text; day date; clock timestamptz := '2024-01-01';
BEGIN
  FOR i IN 1 .. steps LOOP
    clock := clock + (random() * 12)::integer * interval '1 hour';
    day := clock::date - CASE WHEN random() < 0.2 THEN (random() * 40)::integer ELSE 0 END;
    what := (ARRAY['invoice','invoice','invoice','on_account','on_account','credit_note','unidentified'])[1 + floor(random() * 7)::integer];
    INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
    SELECT company, nextval('o2c.open_item_id_seq'), CASE WHEN what <> 'unidentified' THEN
             (SELECT id FROM o2c.customer WHERE company_id = company ORDER BY random() LIMIT 1) END,
           what::o2c.item_kind, company || '-' || i, day, day + CASE WHEN what = 'invoice' THEN (random() * 60)::integer ELSE 0 END,
           (ARRAY['EUR','EUR','USD'])[1 + floor(random() * 3)::integer]::o2c.currency, s.x, 0
    FROM (SELECT (1 + random() * 1000)::numeric(12, 2) * CASE WHEN what = 'invoice' THEN 1 ELSE -1 END AS x) s;
    INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, recorded_at)
    SELECT company, id, customer_id, currency, due_date, CASE what WHEN 'invoice' THEN 'invoice' WHEN 'credit_note' THEN 'credit' ELSE 'receipt' END::o2c.entry_kind,
           amount, document_date, clock FROM o2c.open_item WHERE company_id = company AND number = company || '-' || i;
    FOR d IN SELECT b.*, k.id AS credit_id, least(b.open_amount, - k.open_amount) AS room
             FROM o2c.open_item b JOIN o2c.open_item k ON k.company_id = b.company_id AND k.currency = b.currency AND k.open_amount < 0
             WHERE b.company_id = company AND b.open_amount > 0 AND random() < 0.3 ORDER BY random() LIMIT 1 LOOP
      INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on, recorded_at)
      VALUES (company, d.id, d.credit_id, d.currency, CASE WHEN random() < 0.5 THEN d.room ELSE greatest(0.01, round(d.room / 2, 2)) END,
              clock::date - CASE WHEN random() < 0.3 THEN (random() * 60)::integer ELSE 0 END, clock);
    END LOOP;
    IF random() < 0.15 THEN
      INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on, recorded_at, reverses_id)
      SELECT company, debit_item_id, credit_item_id, currency, - amount, al.kind, greatest(al.effective_on, clock::date - (random() * 20)::integer), clock, id
      FROM o2c.allocation al WHERE company_id = company AND reverses_id IS NULL
        AND NOT EXISTS (SELECT FROM o2c.allocation r WHERE r.company_id = company AND r.reverses_id = al.id) ORDER BY random() LIMIT 1;
    END IF;
    IF random() < 0.3 THEN
      INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on, recorded_at)
      SELECT company, id, customer_id, currency, greatest(0.01, round(room * (0.2 + random()::numeric * 0.8), 2)), 'reason', greatest(document_date, clock::date - (random() * 20)::integer), clock
      FROM (SELECT *, open_amount - disputed_amount AS room FROM o2c.open_item) x
      WHERE company_id = company AND room > 0 AND customer_id IS NOT NULL ORDER BY random() LIMIT 1;
    END IF;
    IF random() < 0.2 THEN
      UPDATE o2c.dispute SET state = 'resolved', outcome = 'rejected', resolved_at = clock
      WHERE company_id = company AND id = (SELECT id FROM o2c.dispute WHERE company_id = company AND state <> 'resolved' ORDER BY random() LIMIT 1);
    END IF;
    IF random() < 0.1 THEN
      INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, recorded_at)
      SELECT company, id, customer_id, currency, due_date, CASE WHEN amount > 0 THEN 'write_off' ELSE 'return' END::o2c.entry_kind,
             - open_amount, greatest(document_date, clock::date - (random() * 10)::integer), clock
      FROM o2c.open_item WHERE company_id = company AND open_amount <> 0 ORDER BY random() LIMIT 1;
    END IF;
  END LOOP;
END $$;
SELECT setseed(0.42);
SELECT pg_temp.history(c, 300) FROM ctx;

CREATE FUNCTION pg_temp.dispute(company integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE item bigint; one bigint;
BEGIN
  INSERT INTO o2c.customer (company_id, code, name) VALUES (company, 'D', 'D') RETURNING id INTO one;
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (company, one, 'invoice', 'D', '2031-01-01', '2031-01-01', 'EUR', 100, 100), (company, one, 'on_account', 'P', '2031-01-01', '2031-01-01', 'EUR', -60, -60);
  SELECT id INTO item FROM o2c.open_item i WHERE company_id = company AND number = 'D';
  INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on) VALUES (company, item, one, 'EUR', 60, 'broken', '2031-01-10');
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT company, item, id, 'EUR', 60, '2031-01-15' FROM o2c.open_item i WHERE company_id = company AND number = 'P';
  -- noon of the 20th in London is the 21st in Auckland
  UPDATE o2c.dispute SET state = 'resolved', outcome = 'rejected', resolved_at = '2031-01-20 12:00+00' WHERE company_id = company;
END $$;
CREATE FUNCTION pg_temp.huge() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE company integer := o2c.create_company('Huge', 'CL', 'CLF'); one bigint;
BEGIN
  INSERT INTO o2c.customer (company_id, code, name) VALUES (company, 'H', 'H') RETURNING id INTO one;
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company, one, 'invoice'::o2c.item_kind, 'H' || g, d, d, 'CLF'::o2c.currency, 90000000000000, 90000000000000 FROM generate_series(1, 30) g, LATERAL (SELECT '2024-01-01'::date + (g > 20)::integer AS d) x
  UNION ALL SELECT company, one, 'on_account', 'A', '2024-01-02', '2024-01-02', 'CLF', -0.0001, -0.0001;
  RETURN company;
END $$;

-- the same question, item by item, as a report would ask it
CREATE FUNCTION pg_temp.naive(company integer, d date, t timestamptz, bounds integer[], basis text)
RETURNS TABLE (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric) LANGUAGE sql AS $$
  WITH o AS MATERIALIZED (
    SELECT i.customer_id, i.currency::text AS currency, i.amount, CASE basis WHEN 'due' THEN i.due_date ELSE i.document_date END AS anchor,
      coalesce((SELECT sum(e.amount) FROM o2c.ledger_entry e WHERE e.company_id = i.company_id AND e.item_id = i.id
        AND e.effective_on <= d AND (t IS NULL OR e.recorded_at <= t)), 0) AS open,
      coalesce((SELECT sum(x.amount) FROM o2c.dispute x WHERE x.company_id = i.company_id AND x.item_id = i.id
        AND x.opened_on <= d AND (t IS NULL OR x.recorded_at <= t)
        AND NOT (coalesce(x.resolved_at, 'infinity') AT TIME ZONE 'UTC' < d + 1 AND (t IS NULL OR x.resolved_at <= t))), 0) AS disputed
    FROM o2c.open_item i WHERE i.company_id = company)
  SELECT c.code, o.currency,
    ARRAY(SELECT coalesce((SELECT sum(p.open) FROM o p WHERE p.amount > 0 AND p.customer_id IS NOT DISTINCT FROM o.customer_id AND p.currency = o.currency
            AND (b = 0 OR d - p.anchor > bounds[b]) AND (b = array_length(bounds, 1) OR d - p.anchor <= bounds[b + 1])), 0)
          FROM generate_series(0, array_length(bounds, 1)) b ORDER BY b),
    coalesce(sum(o.open) FILTER (WHERE o.amount < 0), 0), sum(o.open), sum(least(o.disputed, greatest(o.open, 0)))
  FROM o LEFT JOIN o2c.customer c ON c.company_id = company AND c.id = o.customer_id
  GROUP BY o.customer_id, c.code, o.currency
  HAVING bool_or(o.open <> 0)
$$;
CREATE TEMPORARY TABLE want (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric);
CREATE TEMPORARY TABLE have (LIKE want);
CREATE FUNCTION pg_temp.differences(company integer, points integer) RETURNS TABLE (compared bigint, different bigint) LANGUAGE plpgsql AS $$
DECLARE
  d date; t timestamptz; b integer[]; s text; p text;
BEGIN
  compared := 0; different := 0;
  FOR i IN 1 .. points LOOP
    d := '2023-12-01'::date + (random() * 320)::integer;
    t := CASE WHEN random() < 0.5 THEN '2024-01-01'::timestamptz + random() * interval '150 days' END;
    b := (ARRAY['{0,30,60,90}', '{-7,0,7,14,28}', '{0}', '{15,45}'])[1 + floor(random() * 4)::integer];
    s := CASE WHEN random() < 0.7 THEN 'due' ELSE 'document' END;
    DELETE FROM want;
    INSERT INTO want SELECT * FROM pg_temp.naive(company, d, t, b, s);
    FOREACH p IN ARRAY ARRAY['rollback', 'full', 'chosen'] LOOP
      DELETE FROM have;
      INSERT INTO have SELECT * FROM pg_temp.asked(company, d, t, b, s, p);
      compared := compared + (SELECT count(*) FROM want);
      different := different + (SELECT count(*) FROM (
        (TABLE want EXCEPT ALL TABLE have) UNION ALL (TABLE have EXCEPT ALL TABLE want)) x);
    END LOOP;
  END LOOP;
  RETURN NEXT;
END $$;
CREATE FUNCTION pg_temp.asked(company integer, d date, t timestamptz, b integer[], s text, path text)
RETURNS TABLE (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric) LANGUAGE sql AS $$
  SELECT a.customer_code, a.currency, a.buckets, a.unapplied, a.total, a.disputed FROM o2c.aging(company, d, b, s, t) a WHERE path = 'chosen'
  UNION ALL
  SELECT c.code, a.currency::text, a.buckets, a.unapplied, a.unapplied + (SELECT sum(x) FROM unnest(a.buckets) x), a.disputed
  FROM o2c._aging(company, d, b, s, t, NULL, path) a LEFT JOIN o2c.customer c ON c.company_id = company AND c.id = a.customer_id
  WHERE path <> 'chosen' AND (a.unapplied <> 0 OR EXISTS (SELECT FROM unnest(a.buckets) x WHERE x <> 0))
$$;
CREATE TEMPORARY TABLE found AS SELECT f.* FROM ctx, pg_temp.differences(c, 30) f;
SELECT ok(compared > 1000, format('%s rows compared', compared)) FROM found;
SELECT is(different, 0::bigint, 'none differs from the naive recomputation') FROM found;
SELECT is((SELECT count(*) FROM o2c.aging(c, '2030-01-01') a FULL JOIN o2c._aging(c, '2030-01-01', '{0,30,60,90}', 'due', NULL, NULL, 'full') f
  ON a.customer_code IS NOT DISTINCT FROM (SELECT code FROM o2c.customer k WHERE k.company_id = c AND k.id = f.customer_id) AND a.currency = f.currency
  WHERE a.total IS DISTINCT FROM f.unapplied + (SELECT sum(x) FROM unnest(f.buckets) x) AND coalesce(a.total, 0) <> f.unapplied + (SELECT sum(x) FROM unnest(f.buckets) x)), 0::bigint, 'stored amounts agree') FROM ctx;

SELECT cmp_ok((SELECT count(*) FROM generate_series('2024-01-01'::date, '2024-06-01', '1 week') d, o2c.aging(c, d::date) WHERE disputed > 0), '>', 30::bigint, 'disputes were among them') FROM ctx;
SELECT is_empty(format($$
  SELECT p.path, d, basis, k.id, a.*, o.* FROM unnest('{rollback,full,NULL}'::text[]) p (path), unnest('{2024-02-10,2024-05-20}'::date[]) d,
    unnest('{due,document}'::text[]) basis, unnest('{NULL,2024-04-15 10:00}'::timestamptz[]) t, o2c.customer k,
    LATERAL (SELECT array_agg(x ORDER BY x::text) AS rows FROM o2c._aging(%1$s, d, '{0,30}', basis, t, NULL, p.path) x WHERE x.customer_id = k.id) a,
    LATERAL (SELECT array_agg(x ORDER BY x::text) AS rows FROM o2c._aging(%1$s, d, '{0,30}', basis, t, k.id, p.path) x) o
  WHERE k.company_id = %1$s AND k.code IN ('C1', 'C2', 'C3', 'C7') AND a.rows::text IS DISTINCT FROM o.rows::text$$, c), 'one customer is the same by every way') FROM ctx;
SELECT is(o2c._aging_path(c, '2035-01-01', NULL), 'stored', 'nothing lies after: stored amounts') FROM ctx;

-- disputes: what was in dispute on the day, as far as it was open then
CREATE TEMPORARY TABLE w AS SELECT o2c.create_company('Dispute', 'DE', 'EUR', 'Pacific/Auckland') AS c;
SELECT pg_temp.dispute(c) FROM w;
SELECT is((SELECT array_agg(coalesce(a.disputed, 0) ORDER BY d.d) FROM unnest('{2031-01-09,2031-01-10,2031-01-14,2031-01-15,2031-01-20,2031-01-21}'::date[]) d (d)
  LEFT JOIN LATERAL o2c.aging(w.c, d.d) a ON true), '{0,60,60,40,40,0}', 'a dispute from the day it was opened to the day it was resolved')
FROM w;

-- sums beyond 64 bits, and amounts of all scales
CREATE TEMPORARY TABLE h AS SELECT pg_temp.huge() AS c;
SELECT is((SELECT buckets::text || total::text || unapplied::text FROM h, o2c.aging(c, '2024-02-01', '{0}')),
  '{0.0000,2700000000000000.0000}2699999999999999.9999-0.0001', 'sums beyond 64 bits are exact');
SELECT is((SELECT string_agg(b::text, ' ') FROM h, o2c.aging(c, d, '{0}') a, unnest(a.buckets || a.unapplied) b WHERE b <> 0), want, 'by rolling back, too')
FROM (VALUES ('2024-01-01'::date, '1800000000000000.0000'), ('2024-01-02', '900000000000000.0000 1800000000000000.0000 -0.0001')) v (d, want);

-- the currency's digits, however amounts are written
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, (SELECT id FROM o2c.customer k WHERE k.company_id = c), 'invoice', v.number, '2032-01-01', '2032-01-01', v.currency::o2c.currency, v.amount, v.amount
FROM w, (VALUES ('S1', 'EUR', 1), ('S2', 'EUR', 2.0000000), ('S3', 'JPY', 5.00), ('S4', 'KWD', 7)) v (number, currency, amount);
SELECT is((SELECT string_agg(a.currency || ' ' || a.buckets::text || ' ' || a.total, ', ' ORDER BY a.currency) FROM o2c.aging(c, '2032-01-01', '{}') a),
  'EUR {43.00} 43.00, JPY {5} 5, KWD {7.000} 7.000', 'digits are those of the currency') FROM w;

-- treatments of credits, groups, one currency
SELECT is((SELECT sum(total) FROM o2c.aging(c, '2024-06-01', credits => 'netted')), (SELECT sum(total) FROM o2c.aging(c, '2024-06-01')), 'netting keeps the balance') FROM ctx;
SELECT is((SELECT sum(unapplied) FROM o2c.aging(c, '2024-06-01', credits => 'aged')), 0::numeric, 'aged credits stand in buckets') FROM ctx;
SELECT is((SELECT sum(total) FROM o2c.aging(c, '2024-06-01', credits => 'aged', grouped_by => 'group')), (SELECT sum(total) FROM o2c.aging(c, '2024-06-01')), 'groups keep the balance') FROM ctx;
SELECT is((SELECT count(*) FROM o2c.aging(c, '2024-06-01', grouped_by => 'group') WHERE customer_code IN ('C3', 'C6', 'C9', 'C12')), 0::bigint, 'a child stands with its parent') FROM ctx;
SELECT is((SELECT array_agg(DISTINCT currency) FROM o2c.aging(c, '2024-06-01', in_currency => 'EUR')), '{EUR}', 'one currency') FROM ctx;
SELECT is(o2c._aging_net('{10,20,30}', -35), ROW('{10,15,0}'::numeric[], 0::numeric), 'credits take the oldest bucket first');
SELECT is((SELECT string_agg(a::text, ' ' ORDER BY a) FROM o2c.aging(c, '2024-04-01', customer => 'C1') a),
          (SELECT string_agg(a::text, ' ' ORDER BY a) FROM o2c.aging(c, '2024-04-01') a WHERE customer_code = 'C1'), 'one customer is the same row') FROM ctx;
SELECT throws_ok(format($$SELECT * FROM o2c.aging(%s, 'infinity')$$, c), 'O2044', NULL, 'no date of infinity') FROM ctx;
SELECT is((SELECT count(*) FROM o2c.aging(c, '2024-04-01', known_at => '-infinity')), 0::bigint, 'nothing was known before everything') FROM ctx;
SELECT is((SELECT sum(total) FROM o2c.aging(c, '2024-04-01', known_at => 'infinity')), (SELECT sum(total) FROM o2c.aging(c, '2024-04-01')), 'everything will be') FROM ctx;
SELECT throws_ok(format($$SELECT * FROM o2c.aging(%s, bounds => ARRAY(SELECT generate_series(1, 65)))$$, c), 'O2004', NULL, 'not a thousand buckets') FROM ctx;
SELECT is((SELECT sum(total) FROM o2c.aging(c, '5874897-12-31', bounds => '{-2147483648,2147483647}')), (SELECT sum(total) FROM o2c.aging(c)), 'the last of all days') FROM ctx;
SELECT is((SELECT count(*) FROM o2c.aging(c, '4713-01-01 BC')), 0::bigint, 'the first of all days') FROM ctx;
SELECT throws_ok($$SELECT * FROM o2c.aging(-1)$$, 'O2002', NULL, 'no company') ;
SELECT is((SELECT string_agg(k::text, ' ') FROM o2c.check(c) k), NULL, 'nothing is violated') FROM ctx;
SELECT * FROM finish();
ROLLBACK;
