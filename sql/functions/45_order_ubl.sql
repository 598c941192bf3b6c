-- Electronic orders: a UBL 2.1 Order becomes an order.

CREATE FUNCTION o2c.import_ubl_order(company_id integer, content xml) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  ns constant text[] := ARRAY[
    ARRAY['u', 'urn:oasis:names:specification:ubl:schema:xsd:Order-2'],
    ARRAY['a', 'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2'],
    ARRAY['b', 'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2']];
  head record;
  customer text;
  bad record;
  lines jsonb;
  made bigint;
  number text;
  in_currency text;
BEGIN
  PERFORM o2c._require_company($1);
  IF content IS NULL OR content IS NOT DOCUMENT OR (pg_catalog.xpath('/u:Order', content, ns))[1] IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2006', MESSAGE = 'the document is not a UBL 2.1 Order';
  END IF;
  SELECT nullif(pg_catalog.btrim(x.id), '') AS id, o2c._to_date(x.issued) AS issued, nullif(pg_catalog.btrim(x.currency), '') AS currency,
         nullif(pg_catalog.btrim(x.reference), '') AS reference,
         pg_catalog.array_remove(ARRAY[nullif(pg_catalog.btrim(x.account), ''), nullif(pg_catalog.btrim(x.party), ''), nullif(pg_catalog.btrim(x.endpoint), '')], NULL) AS codes,
         nullif(pg_catalog.upper(pg_catalog.regexp_replace(x.vat_id, E'[\\s.-]', '', 'g')), '') AS vat_id
  INTO head
  FROM XMLTABLE(
    XMLNAMESPACES('urn:oasis:names:specification:ubl:schema:xsd:Order-2' AS u,
                  'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2' AS a,
                  'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2' AS b),
    '/u:Order' PASSING content COLUMNS
      id text PATH 'b:ID', issued text PATH 'b:IssueDate', currency text PATH 'b:DocumentCurrencyCode', reference text PATH 'b:CustomerReference',
      account text PATH 'a:BuyerCustomerParty/b:SupplierAssignedAccountID',
      party text PATH 'a:BuyerCustomerParty/a:Party/a:PartyIdentification[1]/b:ID',
      endpoint text PATH 'a:BuyerCustomerParty/a:Party/b:EndpointID',
      vat_id text PATH 'a:BuyerCustomerParty/a:Party/a:PartyTaxScheme[1]/b:CompanyID') x;
  IF head.id IS NULL OR head.issued IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2006', MESSAGE = 'the order has no number or no issue date';
  END IF;

  -- customers number their orders without asking each other: one order of a
  -- number at a time, so that the second sees the first
  PERFORM o2c._once($1, 'order', head.id, 'SELECT pg_catalog.max(o.id) FROM o2c.sales_order o WHERE o.company_id = $1 AND o.code = $2');

  -- who orders: by our code, then by VAT id, and only if there is one
  SELECT pg_catalog.min(c.code) INTO customer FROM o2c.customer c
  WHERE c.company_id = $1 AND c.code = ANY (head.codes) HAVING pg_catalog.count(*) = 1;
  IF customer IS NULL THEN
    SELECT pg_catalog.min(c.code) INTO customer FROM o2c.customer c
    WHERE c.company_id = $1 AND pg_catalog.upper(pg_catalog.regexp_replace(c.vat_id, E'[\\s.-]', '', 'g')) = head.vat_id
    HAVING pg_catalog.count(*) = 1;
  END IF;
  IF customer IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('no customer is known by %s', coalesce(nullif(pg_catalog.array_to_string(head.codes || head.vat_id, ', '), ''), 'what the order says of its buyer')),
      HINT = 'The buyer''s account, identifier or endpoint must be a customer''s code, or its VAT id that of one customer.';
  END IF;

  CREATE TEMPORARY TABLE IF NOT EXISTS o2c_ubl_order (n integer, line text, product text, wanted text, quantity text, price text, priced_in text, base text) ON COMMIT DROP;
  TRUNCATE pg_temp.o2c_ubl_order;
  INSERT INTO pg_temp.o2c_ubl_order
  SELECT x.n, x.line, p.code, coalesce(x.seller_item, x.standard_item, x.name), x.quantity, x.price, pg_catalog.upper(pg_catalog.btrim(x.priced_in)), x.base
  FROM XMLTABLE(
    XMLNAMESPACES('urn:oasis:names:specification:ubl:schema:xsd:Order-2' AS u,
                  'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2' AS a,
                  'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2' AS b),
    '/u:Order/a:OrderLine/a:LineItem' PASSING content COLUMNS
      n FOR ORDINALITY, line text PATH 'b:ID', quantity text PATH 'b:Quantity',
      price text PATH 'a:Price/b:PriceAmount', priced_in text PATH 'a:Price/b:PriceAmount/@currencyID', base text PATH 'a:Price/b:BaseQuantity',
      seller_item text PATH 'a:Item/a:SellersItemIdentification/b:ID', standard_item text PATH 'a:Item/a:StandardItemIdentification/b:ID',
      name text PATH 'a:Item/b:Name') x
  LEFT JOIN o2c.product p ON p.company_id = $1 AND p.code = pg_catalog.btrim(coalesce(x.seller_item, x.standard_item));
  in_currency := coalesce(pg_catalog.upper(head.currency), (SELECT c.currency::text FROM o2c.customer c WHERE c.company_id = $1 AND c.code = customer));
  SELECT t.*, CASE WHEN t.product IS NULL THEN pg_catalog.format('there is no product "%s"', coalesce(t.wanted, ''))
                   WHEN coalesce(o2c._to_numeric(t.quantity), 0) <= 0 THEN pg_catalog.format('its quantity is "%s"', coalesce(t.quantity, ''))
                   WHEN t.price IS NOT NULL AND coalesce(o2c._to_numeric(t.price), -1) < 0 THEN pg_catalog.format('its price is "%s"', t.price)
                   WHEN t.priced_in <> in_currency THEN pg_catalog.format('its price is in %s, the order in %s', t.priced_in, in_currency)
                   WHEN t.base IS NOT NULL AND coalesce(o2c._to_numeric(t.base), 0) <= 0 THEN pg_catalog.format('its base quantity is "%s"', t.base) END AS why
  INTO bad
  FROM pg_temp.o2c_ubl_order t
  WHERE t.product IS NULL OR coalesce(o2c._to_numeric(t.quantity), 0) <= 0
     OR (t.price IS NOT NULL AND coalesce(o2c._to_numeric(t.price), -1) < 0)
     OR (t.base IS NOT NULL AND coalesce(o2c._to_numeric(t.base), 0) <= 0)
     OR t.priced_in <> in_currency
  ORDER BY t.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('line %s of order %s cannot be taken: %s', coalesce(bad.line, bad.n::text), head.id, bad.why);
  END IF;
  SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('product', t.product, 'quantity', o2c._to_numeric(t.quantity),
           'unit_price', pg_catalog.round(o2c._to_numeric(t.price) / coalesce(o2c._to_numeric(t.base), 1), 6)) ORDER BY t.n) INTO lines
  FROM pg_temp.o2c_ubl_order t;
  IF lines IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('order %s has no line', head.id);
  END IF;
  number := CASE WHEN EXISTS (SELECT FROM o2c.sales_order o JOIN o2c.customer c ON c.company_id = o.company_id AND c.id = o.customer_id
                              WHERE o.company_id = $1 AND o.code = head.id AND c.code <> customer)
                 THEN customer || '/' || head.id ELSE head.id END;
  -- cut off it could be another order's
  IF pg_catalog.length(number) > 100 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('the number "%s" of the order is longer than 100 characters', number);
  END IF;
  made := o2c.place_order($1, customer, lines, head.issued, number,
    currency => head.currency, customer_reference => coalesce(head.reference, head.id));
  RETURN made;
EXCEPTION WHEN cardinality_violation THEN
  RAISE EXCEPTION USING ERRCODE = 'O2006', MESSAGE = 'the document is not a UBL 2.1 Order',
    DETAIL = 'An element that may be there once is there more often.';
END $$;
COMMENT ON FUNCTION o2c.import_ubl_order(integer, xml) IS
  'Place the order of a UBL 2.1 Order document and return its id; the buyer is found by account, identifier, endpoint or VAT id, products by the seller''s item number. The same document again is the same order. Errors: O2002, O2003, O2004, O2005, O2006, O2042.';
