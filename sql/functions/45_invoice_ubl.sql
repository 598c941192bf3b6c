-- The electronic invoice: UBL 2.1 Invoice and CreditNote by EN 16931, from the
-- rows and the copies of the parties that were kept when it was issued.

CREATE FUNCTION o2c._xml_leaf(tag text, content text, attribute text DEFAULT NULL, value text DEFAULT NULL) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_xml_leaf';
COMMENT ON FUNCTION o2c._xml_leaf(text, text, text, text) IS
  'An element with escaped content and one attribute; empty when there is no content.';

CREATE FUNCTION o2c._xml_node(tag text, inner_xml text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_xml_node';
COMMENT ON FUNCTION o2c._xml_node(text, text) IS
  'An element around others; empty when there are none.';

CREATE FUNCTION o2c._ubl_amount(tag text, amount numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT o2c._xml_leaf(tag, o2c.round_amount(amount, currency::o2c.currency)::text, 'currencyID', currency) $$;
COMMENT ON FUNCTION o2c._ubl_amount(text, numeric, text) IS 'An amount element of UBL.';

CREATE FUNCTION o2c._ubl_category(tag text, category text, rate numeric,
  exemption_code text DEFAULT NULL, exemption_reason text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT o2c._xml_node(tag, o2c._xml_leaf('cbc:ID', category)
    -- what is not subject to tax has no rate (BR-O-05)
    || o2c._xml_leaf('cbc:Percent', CASE WHEN category <> 'O' THEN pg_catalog.trim_scale(rate)::text END)
    || CASE WHEN category IN ('S', 'Z') THEN '' ELSE
         o2c._xml_leaf('cbc:TaxExemptionReasonCode', exemption_code)
         || o2c._xml_leaf('cbc:TaxExemptionReason', exemption_reason) END
    || '<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>')
$$;
COMMENT ON FUNCTION o2c._ubl_category(text, text, numeric, text, text) IS 'A tax category element of UBL.';

CREATE FUNCTION o2c._ubl_unit(unit text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT coalesce(
    (SELECT c.code FROM o2c.code_list c WHERE c.list = 'unit' AND c.code = $1),
    (SELECT m.code FROM (VALUES ('pcs', 'C62'), ('pc', 'C62'), ('piece', 'C62'), ('pieces', 'C62'), ('unit', 'C62'), ('each', 'C62'),
       ('st', 'C62'), ('stk', 'C62'), ('kg', 'KGM'), ('g', 'GRM'), ('t', 'TNE'), ('l', 'LTR'), ('m', 'MTR'), ('m2', 'MTK'),
       ('m3', 'MTQ'), ('km', 'KMT'), ('h', 'HUR'), ('hour', 'HUR'), ('hours', 'HUR'), ('day', 'DAY'), ('days', 'DAY'),
       ('month', 'MON'), ('set', 'SET'), ('box', 'XBX'), ('kwh', 'KWH')) m(word, code)
     WHERE m.word = pg_catalog.lower($1)),
    'ZZ'));
END $$;
COMMENT ON FUNCTION o2c._ubl_unit(text) IS
  'Code of UNECE Recommendation 20 for a unit: itself, the code of a usual word, else ZZ (mutually defined).';

CREATE FUNCTION o2c._ubl_party(party jsonb, subject boolean, seller boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT o2c._xml_node('cac:Party',
    o2c._xml_leaf('cbc:EndpointID', party ->> 'email', 'schemeID', 'EM')
    || o2c._xml_node('cac:PartyIdentification', o2c._xml_leaf('cbc:ID', CASE WHEN seller THEN party ->> 'id' ELSE party ->> 'code' END))
    || o2c._xml_node('cac:PartyName', o2c._xml_leaf('cbc:Name', party ->> 'name'))
    || o2c._xml_node('cac:PostalAddress',
         o2c._xml_leaf('cbc:StreetName', party ->> 'street') || o2c._xml_leaf('cbc:AdditionalStreetName', party ->> 'addressee')
         || o2c._xml_leaf('cbc:CityName', party ->> 'city')
         || o2c._xml_leaf('cbc:PostalZone', party ->> 'postal_code')
         || o2c._xml_node('cac:Country', o2c._xml_leaf('cbc:IdentificationCode', party ->> 'country')))
    -- VAT ids have no place where nothing is subject to VAT (BR-O-02, BR-O-03)
    || CASE WHEN subject AND party ->> 'vat_id' IS NOT NULL THEN o2c._xml_node('cac:PartyTaxScheme',
         o2c._xml_leaf('cbc:CompanyID', party ->> 'vat_id') || '<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>') ELSE '' END
    || CASE WHEN seller AND party ->> 'tax_id' IS NOT NULL THEN o2c._xml_node('cac:PartyTaxScheme',
         o2c._xml_leaf('cbc:CompanyID', party ->> 'tax_id') || '<cac:TaxScheme><cbc:ID>TAX</cbc:ID></cac:TaxScheme>') ELSE '' END
    || o2c._xml_node('cac:PartyLegalEntity', o2c._xml_leaf('cbc:RegistrationName', party ->> 'name')
         || o2c._xml_leaf('cbc:CompanyID', party ->> 'registration_id'))
    || o2c._xml_node('cac:Contact', o2c._xml_leaf('cbc:Telephone', party ->> 'phone')
         || o2c._xml_leaf('cbc:ElectronicMail', party ->> 'email')))
$$;
COMMENT ON FUNCTION o2c._ubl_party(jsonb, boolean, boolean) IS
  'A party of UBL from the copy kept on the document; subject: whether anything on it is subject to VAT.';

CREATE FUNCTION o2c._payment_terms_text(company integer, invoice bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT pg_catalog.string_agg(
    CASE WHEN x.n > 1 THEN pg_catalog.format('%s/%s: %s %s, %s', x.instalment, x.n, x.amount, x.currency, x.due_date)
         ELSE pg_catalog.format('%s', coalesce(nullif(x.name, '') || ', ', '') || x.due_date) END
    || CASE WHEN x.discount_amount > 0 THEN pg_catalog.format('; -%s %s until %s', x.discount_amount, x.currency, x.discount_date) ELSE '' END,
    pg_catalog.chr(10) ORDER BY x.instalment)
  FROM (SELECT i.instalment, i.amount, i.currency, i.due_date, i.discount_amount, i.discount_date,
               pg_catalog.count(*) OVER () AS n, t.name
        FROM o2c.open_item i
        JOIN o2c.invoice v ON v.company_id = i.company_id AND v.id = i.invoice_id
        LEFT JOIN o2c.payment_term t ON t.company_id = v.company_id AND t.code = v.payment_term
        WHERE i.company_id = $1 AND i.invoice_id = $2) x);
END $$;
COMMENT ON FUNCTION o2c._payment_terms_text(integer, bigint) IS
  'Instalments, due dates and cash discounts of an issued document, one a line.';

CREATE FUNCTION o2c._ubl_lines(company integer, invoice bigint, credit boolean) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT pg_catalog.string_agg(o2c._xml_node(CASE WHEN $3 THEN 'cac:CreditNoteLine' ELSE 'cac:InvoiceLine' END,
    o2c._xml_leaf('cbc:ID', l.line_no::text)
    || o2c._xml_leaf(CASE WHEN $3 THEN 'cbc:CreditedQuantity' ELSE 'cbc:InvoicedQuantity' END,
                     pg_catalog.trim_scale(l.quantity)::text, 'unitCode', o2c._ubl_unit(l.unit))
    || o2c._ubl_amount('cbc:LineExtensionAmount', l.net_amount, l.currency)
    || o2c._xml_node('cac:InvoicePeriod', o2c._xml_leaf('cbc:StartDate', l.period_start::text) || o2c._xml_leaf('cbc:EndDate', l.period_end::text))
    || o2c._xml_node('cac:OrderLineReference', o2c._xml_leaf('cbc:LineID', o.line_no::text))
    -- the discount as an allowance: what makes quantity x price the net amount
    || CASE WHEN l.discount_percent <> 0 AND l.quantity * l.unit_price <> 0 THEN o2c._xml_node('cac:AllowanceCharge',
         '<cbc:ChargeIndicator>false</cbc:ChargeIndicator><cbc:AllowanceChargeReasonCode>95</cbc:AllowanceChargeReasonCode><cbc:AllowanceChargeReason>Discount</cbc:AllowanceChargeReason>'
         || o2c._xml_leaf('cbc:MultiplierFactorNumeric', pg_catalog.trim_scale(l.discount_percent)::text)
         || o2c._ubl_amount('cbc:Amount', o2c.round_amount(l.quantity * l.unit_price, l.currency)
                            - l.net_amount - l.allowance_amount + l.charge_amount, l.currency)
         || o2c._ubl_amount('cbc:BaseAmount', l.quantity * l.unit_price, l.currency)) ELSE '' END
    || CASE WHEN l.allowance_amount <> 0 THEN o2c._xml_node('cac:AllowanceCharge',
         '<cbc:ChargeIndicator>false</cbc:ChargeIndicator><cbc:AllowanceChargeReasonCode>95</cbc:AllowanceChargeReasonCode><cbc:AllowanceChargeReason>Discount</cbc:AllowanceChargeReason>'
         || o2c._ubl_amount('cbc:Amount', l.allowance_amount, l.currency)) ELSE '' END
    || CASE WHEN l.charge_amount <> 0 THEN o2c._xml_node('cac:AllowanceCharge',
         '<cbc:ChargeIndicator>true</cbc:ChargeIndicator><cbc:AllowanceChargeReasonCode>ZZZ</cbc:AllowanceChargeReasonCode><cbc:AllowanceChargeReason>Charge</cbc:AllowanceChargeReason>'
         || o2c._ubl_amount('cbc:Amount', l.charge_amount, l.currency)) ELSE '' END
    || o2c._xml_node('cac:Item', o2c._xml_leaf('cbc:Name', l.description)
         || o2c._xml_node('cac:SellersItemIdentification', o2c._xml_leaf('cbc:ID', p.code))
         || o2c._ubl_category('cac:ClassifiedTaxCategory', l.tax_category, l.tax_rate))
    || o2c._xml_node('cac:Price', o2c._xml_leaf('cbc:PriceAmount', pg_catalog.trim_scale(l.unit_price)::text, 'currencyID', l.currency))),
    '' ORDER BY l.line_no)
  FROM o2c.invoice_line l
  LEFT JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
  LEFT JOIN o2c.sales_order_line o ON o.company_id = l.company_id AND o.id = l.order_line_id
  WHERE l.company_id = $1 AND l.invoice_id = $2);
END $$;
COMMENT ON FUNCTION o2c._ubl_lines(integer, bigint, boolean) IS 'The lines of a document in UBL.';

CREATE FUNCTION o2c._invoice_ubl(company integer, ids bigint[])
RETURNS TABLE (invoice_id bigint, ubl xml)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'  -- dates of XML, whatever the session prints
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT i.id, (CASE WHEN k.credit
      THEN '<CreditNote xmlns="urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2"'
      ELSE '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"' END
    || ' xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"'
    || ' xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">'
    || o2c._xml_leaf('cbc:CustomizationID', coalesce(c.settings #>> '{invoice,customization}', 'urn:cen.eu:en16931:2017'))
    || o2c._xml_leaf('cbc:ProfileID', c.settings #>> '{invoice,profile}')
    || o2c._xml_leaf('cbc:ID', i.number)
    || o2c._xml_leaf('cbc:IssueDate', i.issue_date::text)
    || CASE WHEN k.credit THEN '<cbc:CreditNoteTypeCode>381</cbc:CreditNoteTypeCode>'
            -- BT-9: of several instalments the first; all of them stand in BT-20
            ELSE o2c._xml_leaf('cbc:DueDate', coalesce((SELECT pg_catalog.min(d.due_date) FROM o2c.open_item d
                   WHERE d.company_id = i.company_id AND d.invoice_id = i.id), i.due_date)::text)
                 || o2c._xml_leaf('cbc:InvoiceTypeCode', CASE i.kind WHEN 'debit_note' THEN '383' WHEN 'prepayment' THEN '386' ELSE '380' END) END
    || o2c._xml_leaf('cbc:Note', pg_catalog.concat_ws(pg_catalog.chr(10), nullif(i.note, ''), nullif(i.reason, '')))
    || o2c._xml_leaf('cbc:DocumentCurrencyCode', i.currency)
    || o2c._xml_leaf('cbc:TaxCurrencyCode', i.tax_currency)
    || o2c._xml_leaf('cbc:BuyerReference', i.buyer_reference)
    || o2c._xml_node('cac:InvoicePeriod', o2c._xml_leaf('cbc:StartDate', i.period_start::text) || o2c._xml_leaf('cbc:EndDate', i.period_end::text))
    || CASE WHEN coalesce(i.customer_reference, o.code) IS NOT NULL THEN o2c._xml_node('cac:OrderReference',
         o2c._xml_leaf('cbc:ID', coalesce(nullif(i.customer_reference, ''), o.code)) || o2c._xml_leaf('cbc:SalesOrderID', o.code)) ELSE '' END
    || coalesce((SELECT pg_catalog.string_agg(o2c._xml_node('cac:BillingReference', o2c._xml_node('cac:InvoiceDocumentReference',
           o2c._xml_leaf('cbc:ID', r.number) || o2c._xml_leaf('cbc:IssueDate', r.issue_date::text))), '' ORDER BY r.id)
         FROM o2c.invoice r WHERE r.company_id = i.company_id AND r.id IN (
           SELECT i.original_id
           UNION SELECT ol.invoice_id FROM o2c.invoice_line x JOIN o2c.invoice_line ol
             ON ol.company_id = x.company_id AND ol.id = x.original_line_id
           WHERE x.company_id = i.company_id AND x.invoice_id = i.id)), '')
    || o2c._xml_node('cac:AccountingSupplierParty', o2c._ubl_party(i.seller, k.subject, true))
    || o2c._xml_node('cac:AccountingCustomerParty', o2c._ubl_party(i.buyer, k.subject, false))
    || CASE WHEN i.kind = 'prepayment' THEN '' ELSE o2c._xml_node('cac:Delivery', o2c._xml_leaf('cbc:ActualDeliveryDate', i.supply_date::text)
         || CASE WHEN i.delivery ->> 'country' IS NOT NULL THEN o2c._xml_node('cac:DeliveryLocation', o2c._xml_node('cac:Address',
              o2c._xml_leaf('cbc:StreetName', i.delivery ->> 'street') || o2c._xml_leaf('cbc:CityName', i.delivery ->> 'city')
              || o2c._xml_leaf('cbc:PostalZone', i.delivery ->> 'postal_code')
              || o2c._xml_node('cac:Country', o2c._xml_leaf('cbc:IdentificationCode', i.delivery ->> 'country')))) ELSE '' END
         || o2c._xml_node('cac:DeliveryParty', o2c._xml_node('cac:PartyName', o2c._xml_leaf('cbc:Name', i.delivery ->> 'name')))) END
    || CASE WHEN k.credit AND i.payment_means IS NULL THEN '' ELSE o2c._xml_node('cac:PaymentMeans',
         -- SEPA transfer, transfer, or not said; the reference goes with each
         o2c._xml_leaf('cbc:PaymentMeansCode', CASE WHEN k.credit THEN '1' WHEN i.payment_means ->> 'iban' IS NOT NULL AND i.currency = 'EUR' THEN '58'
                                                    WHEN i.payment_means IS NOT NULL THEN '30' ELSE '1' END)
         || o2c._xml_leaf('cbc:PaymentID', coalesce(i.payment_reference, i.number))
         || CASE WHEN k.credit OR i.payment_means IS NULL THEN '' ELSE o2c._xml_node('cac:PayeeFinancialAccount',
              o2c._xml_leaf('cbc:ID', coalesce(i.payment_means ->> 'iban', i.payment_means ->> 'account'))
              || o2c._xml_leaf('cbc:Name', i.seller ->> 'name')
              || o2c._xml_node('cac:FinancialInstitutionBranch', o2c._xml_leaf('cbc:ID', i.payment_means ->> 'bic'))) END) END
    || o2c._xml_node('cac:PaymentTerms', o2c._xml_leaf('cbc:Note',
         CASE WHEN k.credit THEN coalesce('Credit to ' || (SELECT r.number FROM o2c.invoice r WHERE r.company_id = i.company_id AND r.id = i.original_id), 'Credit')
              ELSE o2c._payment_terms_text(i.company_id, i.id) END))
    || coalesce((SELECT pg_catalog.string_agg(o2c._xml_node('cac:AllowanceCharge',
           o2c._xml_leaf('cbc:ChargeIndicator', CASE WHEN a.charge THEN 'true' ELSE 'false' END)
           || o2c._xml_leaf('cbc:AllowanceChargeReasonCode', a.reason_code) || o2c._xml_leaf('cbc:AllowanceChargeReason', a.reason)
           || o2c._xml_leaf('cbc:MultiplierFactorNumeric', pg_catalog.trim_scale(a.percent)::text)
           || o2c._ubl_amount('cbc:Amount', a.amount, a.currency) || o2c._ubl_amount('cbc:BaseAmount', a.base_amount, a.currency)
           || o2c._ubl_category('cac:TaxCategory', a.tax_category, a.tax_rate)), '' ORDER BY a.id)
         FROM o2c.invoice_allowance a WHERE a.company_id = i.company_id AND a.invoice_id = i.id), '')
    || o2c._xml_node('cac:TaxTotal', o2c._ubl_amount('cbc:TaxAmount', i.tax_amount, i.currency)
         || coalesce((SELECT pg_catalog.string_agg(o2c._xml_node('cac:TaxSubtotal',
               o2c._ubl_amount('cbc:TaxableAmount', t.base_amount, t.currency) || o2c._ubl_amount('cbc:TaxAmount', t.tax_amount, t.currency)
               || o2c._ubl_category('cac:TaxCategory', t.tax_category, t.tax_rate, t.exemption_code, t.exemption_reason)), '' ORDER BY t.id)
             FROM o2c.invoice_tax t WHERE t.company_id = i.company_id AND t.invoice_id = i.id), ''))
    || CASE WHEN i.tax_currency IS NOT NULL THEN o2c._xml_node('cac:TaxTotal', o2c._ubl_amount('cbc:TaxAmount', i.tax_amount_base, i.tax_currency)) ELSE '' END
    || o2c._xml_node('cac:LegalMonetaryTotal',
         o2c._ubl_amount('cbc:LineExtensionAmount', i.line_total, i.currency)
         || o2c._ubl_amount('cbc:TaxExclusiveAmount', i.net_amount, i.currency)
         || o2c._ubl_amount('cbc:TaxInclusiveAmount', i.total_amount, i.currency)
         || CASE WHEN i.allowance_total <> 0 THEN o2c._ubl_amount('cbc:AllowanceTotalAmount', i.allowance_total, i.currency) ELSE '' END
         || CASE WHEN i.charge_total <> 0 THEN o2c._ubl_amount('cbc:ChargeTotalAmount', i.charge_total, i.currency) ELSE '' END
         || CASE WHEN i.prepaid_amount <> 0 THEN o2c._ubl_amount('cbc:PrepaidAmount', i.prepaid_amount, i.currency) ELSE '' END
         || CASE WHEN i.rounding_amount <> 0 THEN o2c._ubl_amount('cbc:PayableRoundingAmount', i.rounding_amount, i.currency) ELSE '' END
         || o2c._ubl_amount('cbc:PayableAmount', i.payable_amount, i.currency))
    || o2c._ubl_lines(i.company_id, i.id, k.credit)
    || CASE WHEN k.credit THEN '</CreditNote>' ELSE '</Invoice>' END)::xml
  FROM o2c.invoice i
  JOIN o2c.company c ON c.company_id = i.company_id
  LEFT JOIN o2c.sales_order o ON o.company_id = i.company_id AND o.id = i.order_id
  CROSS JOIN LATERAL (
    SELECT i.kind = 'credit_note' AS credit,
           EXISTS (SELECT FROM o2c.invoice_tax t WHERE t.company_id = i.company_id AND t.invoice_id = i.id
                   AND t.tax_category <> 'O') AS subject) k
  WHERE i.company_id = $1 AND i.id = ANY ($2) AND i.state NOT IN ('draft', 'void');
END $$;
COMMENT ON FUNCTION o2c._invoice_ubl(integer, bigint[]) IS 'UBL of issued documents.';

CREATE FUNCTION o2c._ubl_faults(company integer, invoice bigint) RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  -- what an issued document cannot mend: facts of the seller, and decimals
  SELECT f.fault
  FROM o2c.invoice i
  CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(t.tax_category) AS categories FROM o2c.invoice_tax t
    WHERE t.company_id = i.company_id AND t.invoice_id = i.id) t
  CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.array_remove(ARRAY[
    CASE WHEN i.seller ->> 'vat_id' IS NULL AND i.seller ->> 'tax_id' IS NULL AND t.categories && '{S,Z,E,AE}'
      THEN pg_catalog.format('BR-%s-02: the company has no VAT id', t.categories[1]) END,
    CASE WHEN i.seller ->> 'vat_id' IS NULL AND t.categories && '{K}' THEN 'BR-IC-02: the company has no VAT id' END,
    CASE WHEN i.seller ->> 'vat_id' IS NULL AND t.categories && '{G}' THEN 'BR-G-02: the company has no VAT id' END,
    CASE WHEN i.seller ->> 'vat_id' !~ '^[A-Z1][A-Z]' THEN 'BR-CO-09: the company''s VAT id does not begin with a country code' END,
    CASE WHEN o2c.minor_unit(i.currency) > 2 THEN 'BR-DEC-12: EN 16931 knows amounts of two decimals only' END
    ], NULL)) f(fault)
  WHERE i.company_id = $1 AND i.id = $2;
END $$;
COMMENT ON FUNCTION o2c._ubl_faults(integer, bigint) IS
  'Rules of EN 16931 that the electronic form of an issued document cannot keep.';

CREATE FUNCTION o2c.invoice_ubl(company_id integer, invoice_id bigint) RETURNS xml
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
-- one document: planning would cost more than it saves
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
  made xml := (SELECT u.ubl FROM o2c._invoice_ubl($1, ARRAY[$2]) u);
  faults text;
BEGIN
  IF made IS NULL THEN
    PERFORM o2c._require_company($1);
    IF EXISTS (SELECT FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = $2) THEN
      RAISE EXCEPTION USING ERRCODE = 'O2010',
        MESSAGE = pg_catalog.format('invoice %s is not issued', $2), HINT = 'Issue it with o2c.issue_invoice() first.';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce($2::text, 'NULL'), $1);
  END IF;
  faults := (SELECT pg_catalog.string_agg(f, '; ') FROM o2c._ubl_faults($1, $2) f);
  IF faults IS NOT NULL THEN
    RAISE WARNING USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('receivers may refuse invoice %s: %s', $2, faults),
      HINT = 'The copies of an issued document do not change: complete o2c.company before issuing.';
  END IF;
  RETURN made;
END $$;
COMMENT ON FUNCTION o2c.invoice_ubl(integer, bigint) IS
  'An issued document as UBL 2.1 Invoice or CreditNote by EN 16931; warns when the company''s own data keep it from being valid. Errors: O2002, O2003, O2010.';
