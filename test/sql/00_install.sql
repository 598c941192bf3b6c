-- Prepares the database of this layer: the files after it find order2cash installed.
CREATE EXTENSION order2cash;
-- Before install() functions say what is missing.
\set VERBOSITY sqlstate
SELECT o2c.create_company('Acme GmbH', 'DE', 'EUR');
SELECT o2c.place_order(1, 'A', '[]');
SELECT o2c.today(1);
\set VERBOSITY default
SELECT o2c.install() IS NOT NULL AS installed;
-- A second install() changes nothing.
SELECT o2c.install() IS NOT NULL AS installed;
SELECT * FROM o2c.check();
