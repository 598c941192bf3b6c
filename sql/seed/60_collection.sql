-- Rates of the European Central Bank's main refinancing operations in force
-- at the start of each half-year: the reference rate of Directive 2011/7/EU.
-- Later half-years are added as rows; until then the last one holds.
INSERT INTO o2c.reference_rate (code, valid_from, rate) VALUES
  ('ECB', '2013-01-01', 0.75), ('ECB', '2013-07-01', 0.50), ('ECB', '2014-01-01', 0.25), ('ECB', '2014-07-01', 0.15),
  ('ECB', '2015-01-01', 0.05), ('ECB', '2016-07-01', 0.00), ('ECB', '2023-01-01', 2.50), ('ECB', '2023-07-01', 4.00),
  ('ECB', '2024-01-01', 4.50), ('ECB', '2024-07-01', 4.25), ('ECB', '2025-01-01', 3.15), ('ECB', '2025-07-01', 2.15)
ON CONFLICT (code, valid_from) DO NOTHING;
