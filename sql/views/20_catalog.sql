-- Catalog: rights.
GRANT INSERT, UPDATE ON o2c.product, o2c.warehouse, o2c.stock TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.import_products TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._seed_company_catalog TO o2c_admin;
