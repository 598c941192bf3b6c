-- Companies: creation, today, exchange rates, members, and install() itself.
SELECT plan(29);

SELECT is(o2c.create_company('Acme GmbH', 'DE', 'EUR', 'Europe/Berlin'), 1, 'create_company returns the first id');
SELECT is((SELECT currency::text FROM o2c.company WHERE company_id = 1), 'EUR', 'the company has its currency');
SELECT is((SELECT count(*) FROM o2c.company_member WHERE company_id = 1 AND role_name = current_user), 1::bigint,
  'who creates a company is a member of it');
SELECT throws_ok($$SELECT o2c.create_company('', 'DE', 'EUR')$$, 'O2004', NULL, 'a company needs a name');
SELECT throws_ok($$SELECT o2c.create_company(NULL, 'DE', 'EUR')$$, 'O2004', NULL, 'NULL is no name');
SELECT throws_ok($$SELECT o2c.create_company('X', 'Germany', 'EUR')$$, 'O2004', NULL, 'a country is two letters');
SELECT throws_ok($$SELECT o2c.create_company('X', 'DE', 'EURO')$$, 'O2042', NULL, 'a currency is of ISO 4217');
SELECT throws_ok($$SELECT o2c.create_company('X', 'DE', 'XAU')$$, 'O2042', NULL, 'of one that has a minor unit');
SELECT throws_ok($$SELECT o2c.create_company('X', 'DE', NULL)$$, 'O2042', NULL, 'a currency is needed');
SELECT throws_ok($$SELECT o2c.create_company('X', 'DE', 'EUR', 'Mars/Olympus')$$, 'O2004', NULL, 'a time zone is known');
SELECT throws_ok($$UPDATE o2c.company SET time_zone = 'Mars/Olympus'$$, '23514', NULL, 'nor can an UPDATE set an unknown one');

SELECT is(o2c.today(1), (now() AT TIME ZONE 'Europe/Berlin')::date, 'today is the company''s own');
SELECT throws_ok('SELECT o2c.today(99)', 'O2002', 'there is no company 99', 'an unknown company has no today');
SELECT throws_ok('SELECT o2c.today(NULL)', 'O2002', NULL, 'nor has NULL');

INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate)
VALUES (1, 'EUR', 'USD', '2026-01-01', 1.25), (1, 'EUR', 'USD', '2026-02-01', 1.5);
SELECT is(o2c.exchange_rate_on(1, 'EUR', 'USD', '2026-01-31'), 1.25, 'the rate of the day before the next row');
SELECT is(o2c.exchange_rate_on(1, 'EUR', 'USD', '2026-02-01'), 1.5, 'the rate of its first day');
SELECT is(round(o2c.exchange_rate_on(1, 'USD', 'EUR', '2026-01-31'), 6), 0.8, 'the inverse serves the other way');
SELECT is(o2c.exchange_rate_on(1, 'EUR', 'EUR', '2026-01-31'), 1::numeric, 'a currency against itself is 1');
SELECT throws_ok($$SELECT o2c.exchange_rate_on(1, 'EUR', 'USD', '2025-12-31')$$, 'O2003', NULL, 'before the first rate there is none');
SELECT throws_ok($$INSERT INTO o2c.exchange_rate VALUES (1, 'EUR', 'JPY', '2026-01-01', 'NaN')$$, '23514', NULL, 'NaN is no rate');
SELECT throws_ok($$INSERT INTO o2c.exchange_rate VALUES (1, 'EUR', 'JPY', 'infinity', 1)$$, '23514', NULL, 'infinity is no date');

SELECT matches(o2c.install(), 'already installed', 'a second install() does nothing');
SELECT matches(o2c.migrate(), 'tables version', 'migrate() at the same version replays');
SELECT matches(o2c.migrate(), 'tables version', 'and again');
SELECT throws_ok('SELECT o2c.uninstall()', 'O2007', NULL, 'uninstall() refuses while companies exist');
SELECT is((SELECT library FROM o2c.version()), (SELECT extension FROM o2c.version()), 'library and extension agree');
SELECT throws_ok('DELETE FROM o2c.event', 'O2030', NULL, 'the event log is append-only');
SELECT throws_ok('SELECT o2c.distribute()', 'O2090', NULL, 'distribute() without Citus says so');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
