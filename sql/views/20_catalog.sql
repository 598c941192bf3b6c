-- Catalog: rights.
GRANT INSERT, UPDATE ON o2c.product, o2c.warehouse, o2c.stock TO o2c_admin;
GRANT INSERT, UPDATE, DELETE ON o2c.price_list, o2c.price, o2c.carrier, o2c.shipping_rule TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._product_id, o2c._find_prices, o2c._rate_on, o2c.price_of, o2c._shipping
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.import_products TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._seed_company_catalog TO o2c_admin;
