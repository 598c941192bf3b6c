-- Bank statements: reading files of banks into o2c.bank_statement and
-- o2c.bank_line.

COMMENT ON TYPE o2c.bank_line_state IS 'open: to be matched; matched: a payment was posted from it; ignored: no receivable is concerned.';

