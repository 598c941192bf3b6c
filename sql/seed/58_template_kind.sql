-- Kinds of templates, the variables that each may use, and samples.

INSERT INTO o2c.template_kind (kind, description, sample)
SELECT k.kind, k.description, k.sample || '{
  "today": "2026-03-05",
  "company": {"name": "Example Trading Ltd", "email": "billing@example.com", "phone": "+44 20 7946 0000",
              "website": "www.example.com", "street": "1 High Street", "postal_code": "AB1 2CD", "city": "London",
              "country": "GB", "vat_id": "GB123456789"},
  "customer": {"code": "C-100", "name": "Sample & Sons", "street": "2 Main Road", "postal_code": "10115",
               "city": "Berlin", "country": "DE"}}'::jsonb
FROM (VALUES
  ('dunning_friendly', 'reminder before the due date', '{}'::jsonb),
  ('dunning_1', 'first reminder', '{}'),
  ('dunning_2', 'second reminder', '{"fee": "5.00 EUR", "interest": "3.21 EUR"}'),
  ('dunning_3', 'final reminder', '{"fee": "10.00 EUR", "interest": "6.42 EUR"}'),
  ('statement', 'statement of account', '{"balance": "150.00 EUR", "from_date": "2026-02-01", "to_date": "2026-02-28"}'),
  ('invoice_issued', 'an invoice was issued', '{"document": {"number": "R2026-000123", "date": "2026-03-01",
     "due_date": "2026-03-31", "amount": "119.00 EUR", "open_amount": "119.00 EUR", "reference": "RF18539007547034"}}'),
  ('payment_received', 'a payment came in', '{"payment": {"date": "2026-03-04", "amount": "119.00 EUR", "reference": "R2026-000123"}}'),
  ('order_confirmed', 'an order was confirmed', '{"document": {"number": "A-4711", "date": "2026-03-01", "amount": "119.00 EUR"}}'),
  ('credit_alert', 'a customer reached a share of the credit limit', '{"credit": {"limit": "1,000.00 EUR",
     "exposure": "920.00 EUR", "available": "80.00 EUR", "percent": "92"}}'),
  ('dispute_opened', 'an item was disputed', '{"document": {"number": "R2026-000123", "amount": "50.00 EUR"},
     "dispute": {"id": "7", "reason": "damaged"}}'),
  ('promise_recorded', 'a promise to pay was recorded', '{"promise": {"amount": "100.00 EUR", "date": "2026-03-20"}}'),
  ('quote_sent', 'a quote was sent', '{"document": {"number": "Q-12", "date": "2026-03-01", "amount": "119.00 EUR",
     "valid_until": "2026-03-31"}}'),
  ('signature_code', 'one-time code to sign a document', '{"document": {"number": "Q-12"}, "code": "123456", "minutes": "10"}')
) k(kind, description, sample)
ON CONFLICT (kind) DO NOTHING;

UPDATE o2c.template_kind k SET sample = k.sample || '{"level": 1, "pay_by": "2026-03-15", "item_count": 2,
  "total": "150.00 EUR", "totals": [{"currency": "EUR", "amount": "150.00"}],
  "bank": {"iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX", "reference": "C-100"},
  "items": [{"number": "R2026-000101", "date": "2026-01-10", "due_date": "2026-02-09", "days": 24, "level": 1,
             "currency": "EUR", "amount": "100.00", "open_amount": "100.00"},
            {"number": "R2026-000108", "date": "2026-01-20", "due_date": "2026-02-19", "days": 14, "level": 1,
             "currency": "EUR", "amount": "80.00", "open_amount": "50.00"}]}'::jsonb
WHERE k.kind LIKE 'dunning%' AND NOT k.sample ? 'items';

UPDATE o2c.template_kind k SET sample = k.sample || '{"bank": {"iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX"},
  "overdue": "100.00 EUR",
  "lines": [{"date": "2026-02-03", "number": "R2026-000101", "text": "invoice", "amount": "100.00", "balance": "100.00", "currency": "EUR"},
            {"date": "2026-02-20", "number": "R2026-000108", "text": "invoice", "amount": "50.00", "balance": "150.00", "currency": "EUR"}]}'::jsonb
WHERE k.kind = 'statement' AND NOT k.sample ? 'lines';

-- what every kind knows
INSERT INTO o2c.template_variable (kind, name, description)
SELECT k.kind, v.name, v.description
FROM o2c.template_kind k CROSS JOIN (VALUES
  ('language', 'language of the template that is used'),
  ('today', 'date of the message'),
  ('company.name', ''), ('company.email', ''), ('company.phone', ''), ('company.website', ''), ('company.street', ''),
  ('company.postal_code', ''), ('company.city', ''), ('company.country', ''), ('company.vat_id', ''),
  ('customer.code', ''), ('customer.name', ''), ('customer.street', ''), ('customer.postal_code', ''),
  ('customer.city', ''), ('customer.country', ''),
  ('event.*', 'for messages by subscription: the event'), ('record.*', 'for messages by subscription: the document''s row')
) v(name, description)
ON CONFLICT (kind, name) DO NOTHING;

INSERT INTO o2c.template_variable (kind, name, description)
SELECT k.kind, v.name, v.description
FROM o2c.template_kind k JOIN (VALUES
  ('dunning', 'level', 'level of the notice; 0 is before the due date'),
  ('dunning', 'pay_by', 'date until which to pay'),
  ('dunning', 'item_count', 'number of items'),
  ('dunning', 'total', 'everything asked for, with its currency'),
  ('dunning', 'totals', 'list, one for each currency'),
  ('dunning', 'totals.currency', ''), ('dunning', 'totals.amount', ''),
  ('dunning', 'fee', 'charge of this notice with its currency; absent when there is none'),
  ('dunning', 'interest', 'interest charged with this notice; absent when there is none'),
  ('dunning', 'charges', 'charges of earlier notices that are still open; absent when there are none'),
  ('dunning', 'bank.iban', 'account to pay to'), ('dunning', 'bank.bic', ''), ('dunning', 'bank.reference', 'what to quote'),
  ('dunning', 'items', 'list of the items asked for'),
  ('dunning', 'items.number', ''), ('dunning', 'items.date', ''), ('dunning', 'items.due_date', ''),
  ('dunning', 'items.days', 'days overdue'), ('dunning', 'items.level', ''), ('dunning', 'items.currency', ''),
  ('dunning', 'items.amount', 'original amount'), ('dunning', 'items.open_amount', 'what is asked for, without the disputed share'),
  ('dunning', 'items.disputed', 'disputed share that is left out; absent when there is none'),
  ('dunning', 'statement.lines', 'everything open, when the policy asks for it'),
  ('dunning', 'statement.lines.number', ''), ('dunning', 'statement.lines.date', ''), ('dunning', 'statement.lines.due_date', ''),
  ('dunning', 'statement.lines.currency', ''), ('dunning', 'statement.lines.open_amount', ''),
  ('statement', 'from_date', ''), ('statement', 'to_date', ''), ('statement', 'balance', 'what the customer owes, with its currency'),
  ('statement', 'overdue', 'of it overdue; absent when there is nothing'),
  ('statement', 'lines', 'list'), ('statement', 'lines.date', ''), ('statement', 'lines.number', ''), ('statement', 'lines.text', ''),
  ('statement', 'lines.amount', ''), ('statement', 'lines.balance', ''), ('statement', 'lines.currency', ''),
  ('statement', 'lines.due_date', ''),
  ('statement', 'bank.iban', ''), ('statement', 'bank.bic', ''), ('statement', 'bank.reference', ''),
  ('invoice_issued', 'document.number', ''), ('invoice_issued', 'document.date', ''), ('invoice_issued', 'document.due_date', ''),
  ('invoice_issued', 'document.amount', 'total with its currency'), ('invoice_issued', 'document.open_amount', ''),
  ('invoice_issued', 'document.reference', 'structured reference, if any'),
  ('invoice_issued', 'bank.iban', ''), ('invoice_issued', 'bank.bic', ''), ('invoice_issued', 'bank.reference', ''),
  ('payment_received', 'payment.date', ''), ('payment_received', 'payment.amount', ''), ('payment_received', 'payment.reference', ''),
  ('order_confirmed', 'document.number', ''), ('order_confirmed', 'document.date', ''), ('order_confirmed', 'document.amount', ''),
  ('credit_alert', 'credit.limit', ''), ('credit_alert', 'credit.exposure', ''), ('credit_alert', 'credit.available', ''),
  ('credit_alert', 'credit.percent', ''), ('credit_alert', 'document.number', 'order that crossed the limit, if any'),
  ('dispute_opened', 'document.number', ''), ('dispute_opened', 'document.amount', 'disputed amount'),
  ('dispute_opened', 'document.date', ''), ('dispute_opened', 'dispute.id', ''), ('dispute_opened', 'dispute.reason', ''),
  ('promise_recorded', 'promise.amount', ''), ('promise_recorded', 'promise.date', ''),
  ('quote_sent', 'document.number', ''), ('quote_sent', 'document.date', ''), ('quote_sent', 'document.amount', ''),
  ('quote_sent', 'document.valid_until', ''), ('quote_sent', 'document.link', ''),
  ('signature_code', 'document.number', ''), ('signature_code', 'code', ''), ('signature_code', 'minutes', 'how long the code is good for')
) v(kind, name, description) ON k.kind = v.kind OR (v.kind = 'dunning' AND k.kind LIKE 'dunning\_%')
ON CONFLICT (kind, name) DO NOTHING;
