-- The states of every lifecycle, in the order in which they are usually
-- reached.  src/lifecycle/machines.c holds the moves between them.

CREATE TYPE o2c.order_state AS ENUM
  ('draft', 'submitted', 'confirmed', 'fulfilling', 'fulfilled', 'closed', 'cancelled');
CREATE TYPE o2c.invoice_state AS ENUM
  ('draft', 'issued', 'paid', 'written_off', 'credited', 'void');
CREATE TYPE o2c.quote_state AS ENUM
  ('draft', 'sent', 'accepted', 'rejected', 'expired', 'ordered');
CREATE TYPE o2c.contract_state AS ENUM
  ('draft', 'sent', 'signed', 'active', 'ended');
CREATE TYPE o2c.shipment_state AS ENUM
  ('planned', 'picked', 'packed', 'shipped', 'delivered', 'cancelled');
CREATE TYPE o2c.payment_state AS ENUM
  ('received', 'applied', 'returned');
CREATE TYPE o2c.dispute_state AS ENUM
  ('open', 'investigating', 'resolved');
CREATE TYPE o2c.promise_state AS ENUM
  ('open', 'kept', 'broken');
CREATE TYPE o2c.message_state AS ENUM
  ('queued', 'sending', 'sent', 'delivered', 'retry', 'uncertain', 'dead', 'cancelled');
CREATE TYPE o2c.bank_line_state AS ENUM
  ('open', 'matched', 'ignored');

-- What kind of document an open item stands for; credits have negative amounts.
CREATE TYPE o2c.item_kind AS ENUM
  ('invoice', 'debit_note', 'fee', 'interest', 'deduction',
   'credit_note', 'on_account', 'unidentified', 'opening');

-- Why a ledger entry was made.
CREATE TYPE o2c.entry_kind AS ENUM
  ('opening', 'invoice', 'credit', 'receipt', 'application', 'discount', 'write_off',
   'charge', 'refund', 'return', 'fee', 'interest', 'exchange', 'transfer');

-- What became of an answer of the matching engine.
CREATE TYPE o2c.match_state AS ENUM
  ('auto', 'suggested', 'accepted', 'rejected', 'superseded', 'reversed');

-- as psql shows them with \dT
COMMENT ON TYPE o2c.order_state IS 'draft, submitted, confirmed, fulfilling, fulfilled, closed; cancelled before the first shipment. Moves: o2c.lifecycle.';
COMMENT ON TYPE o2c.invoice_state IS 'draft; issued: something is open; paid, written_off, credited: by what the rest was settled; void: a number without a document.';
COMMENT ON TYPE o2c.quote_state IS 'draft, sent, then accepted, rejected or expired; ordered.';
COMMENT ON TYPE o2c.contract_state IS 'draft, sent, signed, active, ended.';
COMMENT ON TYPE o2c.shipment_state IS 'planned, picked, packed, shipped, delivered; cancelled before it leaves.';
COMMENT ON TYPE o2c.payment_state IS 'received: something of it is left; applied: nothing is; returned: the bank took it back.';
COMMENT ON TYPE o2c.dispute_state IS 'open, investigating, resolved.';
COMMENT ON TYPE o2c.promise_state IS 'open, kept, broken: as the ledger says.';
COMMENT ON TYPE o2c.message_state IS 'queued, sending, sent, delivered; retry: will be tried again; uncertain: the answer was lost; dead: refused for good; cancelled.';
COMMENT ON TYPE o2c.item_kind IS 'What document an open item stands for; credits have negative amounts.';
COMMENT ON TYPE o2c.entry_kind IS 'Why a ledger entry was made.';
COMMENT ON TYPE o2c.match_state IS 'What became of an answer of the engine: auto and accepted are posted, superseded gave way to another, reversed was undone.';
