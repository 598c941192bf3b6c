# Confirming with the credit check against the same update without it, for 1, 8
# and 32 clients on spread, zipfian and one hot customer.
#
# A transaction moves one order to confirmed or back, which adds to or takes
# from its customer's account under the row's lock.  The baseline is the same
# statement, prepared, on the orders of another company with the trigger disabled,
# with the server's own fsync and synchronous_commit.  Rounds alternate, the
# median of each side counts.  ROUNDS (3) and SECONDS_PER_RUN (2) make it longer.
set -eu
seconds=${SECONDS_PER_RUN:-2}
rounds=${ROUNDS:-3}
q() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
q <<'SQL'
CREATE TABLE bench_order (company text, kind text, n bigint, company_id integer, order_id bigint, PRIMARY KEY (company, kind, n));
DO $do$
DECLARE
  c integer;
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['ours', 'base'] LOOP
    c := o2c.create_company(name, 'DE', 'EUR');
    INSERT INTO o2c.customer (company_id, code, name, credit_limit) SELECT c, 'C' || g, 'C', 1e9 FROM generate_series(0, 3200) g;
    INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (c, 'P', 'P', 10);
    CREATE TEMP TABLE source ON COMMIT DROP AS
      SELECT 'S' || g AS order_code, 'C' || g AS customer_code, 'P' AS product_code, 1 AS quantity FROM generate_series(1, 3200) g
      UNION ALL
      SELECT 'H' || g, 'C0', 'P', 1 FROM generate_series(1, 3200) g;
    PERFORM o2c.import_orders(c, 'source');
    PERFORM o2c._submit(c, array_agg(id)) FROM o2c.sales_order WHERE company_id = c;
    INSERT INTO bench_order SELECT name, left(s.code, 1), substr(s.code, 2)::bigint, c, s.id FROM o2c.sales_order s WHERE s.company_id = c;
    DROP TABLE source;
  END LOOP;
END $do$;
SQL
q -c 'VACUUM ANALYZE' -c 'CHECKPOINT'
median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tail="UPDATE o2c.sales_order s SET state = CASE s.state WHEN 'submitted' THEN 'confirmed'::o2c.order_state ELSE 'submitted' END
FROM bench_order b WHERE b.company = ':company' AND b.kind = ':kind' AND b.n = :n AND s.company_id = b.company_id AND s.id = b.order_id;"
# each client has orders of its own, so that clients meet on accounts only
for kind in spread zipf hot; do
	case $kind in
		spread) draw='\set k random(0, 99)'; letter=S ;;
		zipf) draw='\set k random_zipfian(1, 100, 1.2) - 1'; letter=S ;;
		hot) draw='\set k random(0, 99)'; letter=H ;;
	esac
	for company in ours base; do
		{ printf '%s\n' "$draw" '\set n :k * 32 + :client_id + 1'; printf '%s\n' "$tail" | sed "s/:company/$company/; s/:kind/$letter/" | tr '\n' ' '; echo; } >"$dir/$kind.$company"
	done
	for clients in 1 8 32; do
		: >"$dir/ours"; : >"$dir/base"
		order='base ours'
		for round in $(seq "$rounds"); do
			for company in $order; do
				if [ "$company" = base ]; then mode=DISABLE; else mode=ENABLE; fi
				q -c "ALTER TABLE o2c.sales_order $mode TRIGGER sales_order_take_credit"
				pgbench -n -M prepared -T "$seconds" -c "$clients" -j 2 -f "$dir/$kind.$company" >"$dir/out" 2>"$dir/err" || { cat "$dir/err"; exit 1; }
				sed -n 's/^tps = \([0-9]*\).*without.*/\1/p' "$dir/out" >>"$dir/$company"
			done
			if [ "$order" = 'base ours' ]; then order='ours base'; else order='base ours'; fi
		done
		q -c "ALTER TABLE o2c.sales_order ENABLE TRIGGER sales_order_take_credit"
		ours=$(median "$dir/ours"); base=$(median "$dir/base")
		# milliseconds for 1000 transactions
		echo "RATIO|credit check, $kind, $clients clients ($ours tps)|$((1000000 / ours))|$((1000000 / base))|the same update without the check ($base tps)"
	done
done
broken=$(q -c "SELECT count(*) FROM o2c.check((SELECT DISTINCT company_id FROM bench_order WHERE company = 'ours'))")
[ "$broken" = 0 ] || { echo "check() found $broken"; exit 1; }
