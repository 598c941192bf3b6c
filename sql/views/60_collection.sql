-- Collection: the collector's worklist, notices; rights.

CREATE OR REPLACE VIEW o2c_bi.dunning_notices WITH (security_invoker = true) AS
SELECT n.company_id, n.id AS notice_id, k.code AS customer_code, k.name AS customer_name, n.level::bigint AS level, n.as_of,
       n.pay_by, n.channel, n.state, n.accepted_on, i.number, ni.level::bigint AS item_level, ni.days_overdue::bigint AS days_overdue,
       ni.currency::text AS currency, ni.amount, i.open_amount
FROM o2c.dunning_notice n
JOIN o2c.customer k ON k.company_id = n.company_id AND k.id = n.customer_id
JOIN o2c.dunning_notice_item ni ON ni.company_id = n.company_id AND ni.notice_id = n.id
JOIN o2c.open_item i ON i.company_id = ni.company_id AND i.id = ni.item_id;
COMMENT ON VIEW o2c_bi.dunning_notices IS 'Reminders with their items, one row an item.';
COMMENT ON COLUMN o2c_bi.dunning_notices.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.dunning_notices.notice_id IS 'Notice.';
COMMENT ON COLUMN o2c_bi.dunning_notices.customer_code IS 'Customer''s code.';
COMMENT ON COLUMN o2c_bi.dunning_notices.customer_name IS 'Customer''s name.';
COMMENT ON COLUMN o2c_bi.dunning_notices.level IS 'Level of the notice: the highest of its items.';
COMMENT ON COLUMN o2c_bi.dunning_notices.as_of IS 'Day that it was written for.';
COMMENT ON COLUMN o2c_bi.dunning_notices.pay_by IS 'Day until which it asks to pay.';
COMMENT ON COLUMN o2c_bi.dunning_notices.channel IS 'Channel; NULL is by hand.';
COMMENT ON COLUMN o2c_bi.dunning_notices.state IS 'pending, accepted, failed or cancelled, as of the last run.';
COMMENT ON COLUMN o2c_bi.dunning_notices.accepted_on IS 'Day on which the channel accepted it.';
COMMENT ON COLUMN o2c_bi.dunning_notices.number IS 'Number of the item.';
COMMENT ON COLUMN o2c_bi.dunning_notices.item_level IS 'Level of the item.';
COMMENT ON COLUMN o2c_bi.dunning_notices.days_overdue IS 'Days overdue on as_of.';
COMMENT ON COLUMN o2c_bi.dunning_notices.currency IS 'Currency.';
COMMENT ON COLUMN o2c_bi.dunning_notices.amount IS 'Amount asked for.';
COMMENT ON COLUMN o2c_bi.dunning_notices.open_amount IS 'What is open of the item now.';

-- One row for each customer with something overdue or something to do.  The
-- score adds points that score_explanation spells out; there is no other input.
CREATE OR REPLACE VIEW o2c_bi.worklist WITH (security_invoker = true) AS
WITH company AS (
  SELECT c.company_id, (pg_catalog.now() AT TIME ZONE c.time_zone)::date AS today FROM o2c.company c
), overdue AS (
  SELECT b.company_id, b.customer_id, b.currency::text AS currency, c.today,
         pg_catalog.sum(b.open_amount) FILTER (WHERE b.due_date < c.today AND b.open_amount > 0) AS overdue_amount,
         coalesce(pg_catalog.sum(d.amount) FILTER (WHERE b.open_amount > 0), 0) AS disputed_amount,
         -pg_catalog.sum(b.open_amount) FILTER (WHERE b.open_amount < 0) AS unapplied,
         pg_catalog.sum(b.open_amount) AS balance,
         pg_catalog.count(*) FILTER (WHERE b.due_date < c.today AND b.open_amount > 0) AS overdue_items,
         pg_catalog.max(c.today - b.due_date) FILTER (WHERE b.open_amount > 0) AS oldest_days
  FROM o2c.open_balance b JOIN company c ON c.company_id = b.company_id
  -- that of the items, without reading them
  LEFT JOIN (SELECT x.company_id, x.item_id, pg_catalog.sum(x.amount) AS amount FROM o2c.dispute x
             WHERE x.state <> 'resolved' GROUP BY x.company_id, x.item_id) d ON d.company_id = b.company_id AND d.item_id = b.item_id
  WHERE b.customer_id IS NOT NULL
  GROUP BY b.company_id, b.customer_id, b.currency, c.today
), promised AS (
  SELECT p.company_id, p.customer_id, pg_catalog.count(*) FILTER (WHERE p.state = 'broken') AS broken,
         pg_catalog.min(p.promised_on) FILTER (WHERE p.state = 'open') AS next_promise,
         pg_catalog.count(*) FILTER (WHERE p.state = 'open' AND p.promised_on + p.grace_days < c.today) AS lapsed
  FROM o2c.promise p JOIN company c ON c.company_id = p.company_id
  GROUP BY p.company_id, p.customer_id
), reminded AS (
  SELECT n.company_id, n.customer_id, pg_catalog.max(n.level) FILTER (WHERE n.state = 'accepted') AS level,
         pg_catalog.max(n.accepted_on) AS last_on,
         pg_catalog.count(*) FILTER (WHERE n.state = 'pending' AND n.channel IS NULL) AS by_hand,
         pg_catalog.count(*) FILTER (WHERE n.state = 'failed') AS failed
  FROM o2c.dunning_notice n GROUP BY n.company_id, n.customer_id
), todo AS (
  SELECT DISTINCT ON (a.company_id, a.customer_id) a.company_id, a.customer_id, a.subject, a.due_on
  FROM o2c.activity a WHERE a.done_at IS NULL AND a.due_on IS NOT NULL
  ORDER BY a.company_id, a.customer_id, a.due_on, a.id
), spoken AS (
  SELECT a.company_id, a.customer_id, pg_catalog.max(a.done_at) AS last_contact
  FROM o2c.activity a WHERE a.done_at IS NOT NULL AND a.kind <> 'task' GROUP BY a.company_id, a.customer_id
), blocked AS (
  SELECT DISTINCT b.company_id, b.customer_id
  FROM o2c.dunning_block b JOIN company c ON c.company_id = b.company_id
  WHERE b.item_id IS NULL AND b.lifted_at IS NULL AND b.valid_from <= c.today AND coalesce(b.valid_to, c.today) >= c.today
), scored AS (
  SELECT o.*, p.broken, p.next_promise, p.lapsed, r.level, r.last_on, r.by_hand, r.failed, t.subject, t.due_on,
         s.last_contact, b.customer_id IS NOT NULL AS blocked,
         -- 0 to 40 by size (10 points for each power of ten from 100), 0 to 30
         -- by age, 10 for each broken promise up to 30, 5 for each level, 10
         -- for what is due today, less for what the customer objects to
         least(40, greatest(0, pg_catalog.floor(10 * (pg_catalog.log(greatest(coalesce(o.overdue_amount, 0), 1)) - 1))))::integer AS points_amount,
         least(30, greatest(0, coalesce(o.oldest_days, 0)) / 3)::integer AS points_age,
         least(30, 10 * coalesce(p.broken, 0))::integer AS points_broken,
         5 * coalesce(r.level, 0)::integer AS points_level,
         CASE WHEN t.due_on <= o.today OR r.by_hand > 0 OR p.lapsed > 0 THEN 10 ELSE 0 END AS points_due,
         CASE WHEN b.customer_id IS NOT NULL OR (p.next_promise >= o.today) THEN -20 ELSE 0 END
           - CASE WHEN o.disputed_amount >= o.overdue_amount AND o.overdue_amount > 0 THEN 20 ELSE 0 END AS points_wait
  FROM overdue o
  LEFT JOIN promised p ON p.company_id = o.company_id AND p.customer_id = o.customer_id
  LEFT JOIN reminded r ON r.company_id = o.company_id AND r.customer_id = o.customer_id
  LEFT JOIN todo t ON t.company_id = o.company_id AND t.customer_id = o.customer_id
  LEFT JOIN spoken s ON s.company_id = o.company_id AND s.customer_id = o.customer_id
  LEFT JOIN blocked b ON b.company_id = o.company_id AND b.customer_id = o.customer_id
  WHERE o.overdue_amount > 0 OR t.due_on IS NOT NULL OR p.next_promise IS NOT NULL
)
SELECT s.company_id, k.code AS customer_code, k.name AS customer_name, s.currency,
       coalesce(s.overdue_amount, 0) AS overdue_amount, s.overdue_items, greatest(s.oldest_days, 0)::bigint AS oldest_days,
       coalesce(s.disputed_amount, 0) AS disputed_amount, coalesce(s.unapplied, 0) AS unapplied, s.balance,
       coalesce(s.level, 0)::bigint AS dunning_level, s.last_on AS last_reminder_on, coalesce(s.broken, 0) AS broken_promises,
       s.next_promise AS next_promise_on, s.last_contact,
       (s.points_amount + s.points_age + s.points_broken + s.points_level + s.points_due + s.points_wait)::bigint AS score,
       pg_catalog.concat_ws(', ',
         CASE WHEN s.points_amount <> 0 THEN pg_catalog.format('%s for %s %s overdue', s.points_amount, s.overdue_amount, s.currency) END,
         CASE WHEN s.points_age <> 0 THEN pg_catalog.format('%s for %s days', s.points_age, s.oldest_days) END,
         CASE WHEN s.points_broken <> 0 THEN pg_catalog.format('%s for %s broken promises', s.points_broken, s.broken) END,
         CASE WHEN s.points_level <> 0 THEN pg_catalog.format('%s for level %s', s.points_level, s.level) END,
         CASE WHEN s.points_due <> 0 THEN pg_catalog.format('%s for what is due today', s.points_due) END,
         CASE WHEN s.points_wait <> 0 THEN pg_catalog.format('%s for %s', s.points_wait,
           pg_catalog.concat_ws(' and ', CASE WHEN s.blocked THEN 'a block' END,
             CASE WHEN s.next_promise >= s.today THEN 'a promise' END,
             CASE WHEN s.disputed_amount >= s.overdue_amount AND s.overdue_amount > 0 THEN 'a dispute' END)) END) AS score_explanation,
       CASE WHEN s.by_hand > 0 THEN 'send a notice by hand'
            WHEN s.due_on <= s.today THEN s.subject
            WHEN s.lapsed > 0 THEN 'promise not kept: call'
            WHEN s.disputed_amount >= s.overdue_amount AND s.overdue_amount > 0 THEN 'resolve the dispute'
            WHEN s.next_promise >= s.today THEN pg_catalog.format('wait for the payment promised for %s', s.next_promise)
            WHEN s.blocked THEN 'wait: reminders are blocked'
            WHEN s.unapplied >= s.overdue_amount AND s.overdue_amount > 0 THEN 'apply the customer''s credits'
            WHEN s.level >= 3 THEN 'hand over for collection'
            WHEN s.overdue_amount > 0 THEN 'next reminder goes out by itself'
            ELSE s.subject END AS next_action,
       s.due_on AS next_action_on
FROM scored s
JOIN o2c.customer k ON k.company_id = s.company_id AND k.id = s.customer_id;
COMMENT ON VIEW o2c_bi.worklist IS 'Whom collectors should turn to, the highest score first; one row for each customer and currency.';
COMMENT ON COLUMN o2c_bi.worklist.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.worklist.customer_code IS 'Customer''s code.';
COMMENT ON COLUMN o2c_bi.worklist.customer_name IS 'Customer''s name.';
COMMENT ON COLUMN o2c_bi.worklist.currency IS 'Currency of the amounts.';
COMMENT ON COLUMN o2c_bi.worklist.overdue_amount IS 'Open and past its due date today.';
COMMENT ON COLUMN o2c_bi.worklist.overdue_items IS 'How many items that is.';
COMMENT ON COLUMN o2c_bi.worklist.oldest_days IS 'Days overdue of the oldest item.';
COMMENT ON COLUMN o2c_bi.worklist.disputed_amount IS 'Share that the customer objects to.';
COMMENT ON COLUMN o2c_bi.worklist.unapplied IS 'Credits that are not applied yet.';
COMMENT ON COLUMN o2c_bi.worklist.balance IS 'Everything open, credits deducted.';
COMMENT ON COLUMN o2c_bi.worklist.dunning_level IS 'Highest level that a channel accepted; 0 is none.';
COMMENT ON COLUMN o2c_bi.worklist.last_reminder_on IS 'Day of the last accepted reminder.';
COMMENT ON COLUMN o2c_bi.worklist.broken_promises IS 'Promises that were not kept.';
COMMENT ON COLUMN o2c_bi.worklist.next_promise_on IS 'Day of the next open promise.';
COMMENT ON COLUMN o2c_bi.worklist.last_contact IS 'Last call, message or visit.';
COMMENT ON COLUMN o2c_bi.worklist.score IS 'Sum of the points in score_explanation; higher is more urgent.';
COMMENT ON COLUMN o2c_bi.worklist.score_explanation IS 'Each part of the score with its reason.';
COMMENT ON COLUMN o2c_bi.worklist.next_action IS 'What to do.';
COMMENT ON COLUMN o2c_bi.worklist.next_action_on IS 'When the next planned activity is due.';

GRANT INSERT, UPDATE ON o2c.dunning_notice, o2c.promise, o2c.activity, o2c.dunning_block, o2c.dispute TO o2c_collector, o2c_manager;
GRANT INSERT ON o2c.dunning_run, o2c.dunning_notice_item TO o2c_collector, o2c_manager;
GRANT INSERT, UPDATE ON o2c.dunning_charge TO o2c_collector, o2c_manager;
GRANT INSERT ON o2c.open_item, o2c.ledger_entry, o2c.message TO o2c_collector, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.dunning_policy, o2c.dunning_level, o2c.dunning_assignment TO o2c_admin, o2c_manager;
GRANT INSERT, UPDATE ON o2c.reference_rate TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.run_dunning, o2c.preview_dunning, o2c.settle_dunning, o2c.settle_promises, o2c.promise_to_pay,
  o2c.block_dunning, o2c.unblock_dunning, o2c.log_activity, o2c.complete_activity, o2c.confirm_notice, o2c.late_interest,
  o2c.open_dispute, o2c.investigate_dispute, o2c.resolve_dispute, o2c._dunning_plan, o2c._notice_states, o2c._require_dunning,
  o2c._queue_notices, o2c._post_charges, o2c._reverse_charges, o2c._notice_interest, o2c._interest_points, o2c._promise_outcomes,
  o2c._dunning_policy_of, o2c._debit_item, o2c._lock_dunning, o2c.send_statements
  TO o2c_collector, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.open_dispute, o2c.resolve_dispute, o2c.promise_to_pay, o2c._debit_item, o2c._dunning_policy_of TO o2c_clerk;
GRANT INSERT, UPDATE ON o2c.dispute, o2c.promise TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c.set_dunning_policy, o2c.assign_dunning_policy TO o2c_admin, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._seed_company_collection TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._message_still_due TO o2c_dispatcher, o2c_collector;
GRANT EXECUTE ON FUNCTION o2c._check_collection, o2c._check_dispute TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
