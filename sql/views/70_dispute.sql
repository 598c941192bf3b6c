-- Disputes and promises for reporting.

CREATE OR REPLACE VIEW o2c_bi.disputes WITH (security_invoker = true) AS
SELECT d.company_id, d.id AS dispute_id, k.code AS customer_code, k.name AS customer_name, i.number, d.currency::text AS currency,
       d.amount, i.open_amount, d.reason, d.state::text AS state, d.opened_on, d.assigned_to, d.outcome, d.note, d.resolved_at
FROM o2c.dispute d
JOIN o2c.customer k ON k.company_id = d.company_id AND k.id = d.customer_id
JOIN o2c.open_item i ON i.company_id = d.company_id AND i.id = d.item_id;
COMMENT ON VIEW o2c_bi.disputes IS 'What customers object to, and what came of it.';
COMMENT ON COLUMN o2c_bi.disputes.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.disputes.dispute_id IS 'Dispute.';
COMMENT ON COLUMN o2c_bi.disputes.customer_code IS 'Customer''s code.';
COMMENT ON COLUMN o2c_bi.disputes.customer_name IS 'Customer''s name.';
COMMENT ON COLUMN o2c_bi.disputes.number IS 'Number of the item.';
COMMENT ON COLUMN o2c_bi.disputes.currency IS 'Currency.';
COMMENT ON COLUMN o2c_bi.disputes.amount IS 'Disputed amount.';
COMMENT ON COLUMN o2c_bi.disputes.open_amount IS 'What is open of the item.';
COMMENT ON COLUMN o2c_bi.disputes.reason IS 'What the customer says.';
COMMENT ON COLUMN o2c_bi.disputes.state IS 'open, investigating or resolved.';
COMMENT ON COLUMN o2c_bi.disputes.opened_on IS 'Day on which it was opened.';
COMMENT ON COLUMN o2c_bi.disputes.assigned_to IS 'Who looks into it.';
COMMENT ON COLUMN o2c_bi.disputes.outcome IS 'accepted, partial, rejected or withdrawn.';
COMMENT ON COLUMN o2c_bi.disputes.note IS 'Note of the resolution.';
COMMENT ON COLUMN o2c_bi.disputes.resolved_at IS 'When it was resolved.';

CREATE OR REPLACE VIEW o2c_bi.promises WITH (security_invoker = true) AS
SELECT p.company_id, p.id AS promise_id, k.code AS customer_code, k.name AS customer_name, i.number, p.currency::text AS currency,
       p.amount, p.given_on, p.promised_on, p.promised_on + p.grace_days AS broken_after, p.state::text AS state, p.settled_on, p.note
FROM o2c.promise p
JOIN o2c.customer k ON k.company_id = p.company_id AND k.id = p.customer_id
LEFT JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id;
COMMENT ON VIEW o2c_bi.promises IS 'Promises to pay, kept and broken as the ledger says.';
COMMENT ON COLUMN o2c_bi.promises.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.promises.promise_id IS 'Promise.';
COMMENT ON COLUMN o2c_bi.promises.customer_code IS 'Customer''s code.';
COMMENT ON COLUMN o2c_bi.promises.customer_name IS 'Customer''s name.';
COMMENT ON COLUMN o2c_bi.promises.number IS 'Number of the item that it is about; NULL is the whole account.';
COMMENT ON COLUMN o2c_bi.promises.currency IS 'Currency.';
COMMENT ON COLUMN o2c_bi.promises.amount IS 'Promised amount.';
COMMENT ON COLUMN o2c_bi.promises.given_on IS 'Day on which it was given.';
COMMENT ON COLUMN o2c_bi.promises.promised_on IS 'Day by which the customer pays.';
COMMENT ON COLUMN o2c_bi.promises.broken_after IS 'Last day of grace.';
COMMENT ON COLUMN o2c_bi.promises.state IS 'open, kept or broken.';
COMMENT ON COLUMN o2c_bi.promises.settled_on IS 'Day for which it was found kept or broken.';
COMMENT ON COLUMN o2c_bi.promises.note IS 'Note.';
