-- The lifecycle trigger on a bulk update of 1 M rows (times scale), against no
-- trigger, against an empty trigger in C and against the same rule in PL/pgSQL
-- with a lookup table.  Best of three, interleaved.  Single rows: 31_lifecycle_single.sh.
\set rows 1000000 * :scale
CREATE TABLE bench_plain (company_id integer, id bigint, code text, state o2c.order_state, amount numeric) WITH (fillfactor = 50);
CREATE TABLE bench_c (LIKE bench_plain) WITH (fillfactor = 50);
CREATE TABLE bench_empty (LIKE bench_plain) WITH (fillfactor = 50);
CREATE TABLE bench_lookup (LIKE bench_plain) WITH (fillfactor = 50);
INSERT INTO bench_plain SELECT 1, g, 'O' || g, 'draft', g FROM generate_series(1, (:rows)::bigint) g;
INSERT INTO bench_c SELECT * FROM bench_plain;
INSERT INTO bench_empty SELECT * FROM bench_plain;
INSERT INTO bench_lookup SELECT * FROM bench_plain;
CREATE TABLE bench_move (from_state o2c.order_state, to_state o2c.order_state, PRIMARY KEY (from_state, to_state));
INSERT INTO bench_move SELECT from_state::o2c.order_state, to_state::o2c.order_state FROM o2c.lifecycle
WHERE machine = 'order' AND from_state IS NOT NULL ON CONFLICT DO NOTHING;
CREATE FUNCTION bench_lookup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state <> OLD.state AND NOT EXISTS (SELECT FROM bench_move m WHERE m.from_state = OLD.state AND m.to_state = NEW.state) THEN
    RAISE EXCEPTION 'not allowed';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE UPDATE ON bench_c FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('order');
-- does nothing but return the row
CREATE TRIGGER t BEFORE UPDATE ON bench_empty FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived();
CREATE TRIGGER t BEFORE UPDATE ON bench_lookup FOR EACH ROW EXECUTE FUNCTION bench_lookup();
VACUUM ANALYZE;
CHECKPOINT;
CREATE TABLE bench_time (what text, ms numeric);
DO $$
DECLARE
  t timestamptz;
  r text;
BEGIN
  FOR round IN 1..3 LOOP
    FOREACH r IN ARRAY ARRAY['plain', 'c', 'empty', 'lookup'] LOOP
      t := clock_timestamp();
      EXECUTE format('UPDATE bench_%s SET state = %L', r, CASE round WHEN 1 THEN 'submitted' WHEN 2 THEN 'confirmed' ELSE 'fulfilling' END);
      INSERT INTO bench_time VALUES (r, extract(epoch FROM clock_timestamp() - t) * 1000);
      COMMIT;
    END LOOP;
  END LOOP;
END $$;
CREATE VIEW bench_best AS SELECT what, round(min(ms)) AS ms FROM bench_time GROUP BY 1;
SELECT format('RATIO|lifecycle trigger, %s rows|%s|%s|no trigger', (:rows)::bigint, c.ms, p.ms) FROM bench_best c, bench_best p WHERE c.what = 'c' AND p.what = 'plain';
SELECT format('RATIO|lifecycle trigger, %s rows|%s|%s|a trigger in C that does nothing', (:rows)::bigint, c.ms, p.ms) FROM bench_best c, bench_best p WHERE c.what = 'c' AND p.what = 'empty';
SELECT format('RATIO|lifecycle trigger, %s rows|%s|%s|the same rule in PL/pgSQL with a lookup table', (:rows)::bigint, c.ms, p.ms) FROM bench_best c, bench_best p WHERE c.what = 'c' AND p.what = 'lookup';
