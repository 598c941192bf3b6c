-- Prepares the database of this layer: the files after it find order2cash installed.
CREATE EXTENSION order2cash;
SELECT o2c.install() IS NOT NULL AS installed;
-- A second install() changes nothing.
SELECT o2c.install() IS NOT NULL AS installed;
SELECT * FROM o2c.check();
