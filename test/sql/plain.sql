-- What imports take for a number or a date; everything else is NULL, never an error.
SELECT v, o2c._to_numeric(v) FROM unnest(ARRAY['1', '-1.50', '+0.005', ' 12 ', '.5', '5.', E'\t7\n',
  '', ' ', '.', '-', '+.', '1e3', 'NaN', 'Infinity', '1,5', '1 000', '0x10', '1_000', '--1', repeat('9', 60), repeat('9', 61), '１'])
  WITH ORDINALITY u(v, n) ORDER BY n;
SELECT v, o2c._to_date(v) FROM unnest(ARRAY['2026-01-31', ' 2026-01-31 ', '2026-01-31T10:00:00Z', '2026-01-31 10:00', '2024-02-29', '0001-01-01', '9999-12-31',
  '2026-02-29', '1900-02-29', '2026-13-01', '2026-00-10', '2026-01-00', '2026-04-31', '0000-01-01', '2026-1-1', '20260131', '31.01.2026', '2026-01-311', '2026-01-31x',
  '', 'today', 'infinity', '2026-01-3', '-026-01-01'])
  WITH ORDINALITY u(v, n) ORDER BY n;
SELECT o2c._to_numeric(NULL) IS NULL AS numeric_null, o2c._to_date(NULL) IS NULL AS date_null;
