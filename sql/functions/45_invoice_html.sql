-- What a person reads: the invoice as a printable page in the customer's
-- language, with a QR code for the payment.

CREATE FUNCTION o2c.qr_svg(content text, level text DEFAULT 'M') RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_qr_svg';
COMMENT ON FUNCTION o2c.qr_svg(text, text) IS
  'A QR code of UTF-8 content as an SVG element without size; level L, M, Q or H. Errors: O2004 when the content is too long.';

CREATE FUNCTION o2c.epc_qr_text(name text, iban o2c.iban, amount numeric,
  reference text DEFAULT NULL, remittance text DEFAULT NULL, bic text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  payload text;
BEGIN
  IF coalesce(pg_catalog.btrim(name), '') = '' OR iban IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a payment code needs the name and the IBAN of who is paid';
  ELSIF amount IS NULL OR amount < 0.01 OR amount > 999999999.99 OR NOT o2c.is_amount(amount, 'EUR') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not an amount that a payment code can carry', coalesce(amount::text, 'NULL')),
      HINT = 'It must be from 0.01 to 999999999.99 EUR.';
  ELSIF reference IS NOT NULL AND remittance IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a payment code carries a reference or a text, not both';
  ELSIF pg_catalog.length(reference) > 35 OR pg_catalog.length(remittance) > 140 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a reference has up to 35 characters, a text up to 140';
  ELSIF bic !~ '^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a BIC', bic),
      HINT = 'A BIC has 8 or 11 capital letters and digits, for example COBADEFFXXX.';
  END IF;
  -- checked and without blanks: a bank refuses what does not fit its check digits
  reference := o2c.creditor_reference(reference);
  -- one element a line; a line break in a value would begin another
  payload := pg_catalog.concat_ws(E'\n', 'BCD', '002', '1', 'SCT', coalesce(bic, ''),
    pg_catalog.left(pg_catalog.btrim(pg_catalog.regexp_replace(name, '[[:cntrl:]]+', ' ', 'g')), 70),
    iban::text, 'EUR' || pg_catalog.trim_scale(amount), '', coalesce(reference, ''),
    coalesce(pg_catalog.regexp_replace(remittance, '[[:cntrl:]]+', ' ', 'g'), ''));
  RETURN pg_catalog.rtrim(payload, E'\n');
END $$;
COMMENT ON FUNCTION o2c.epc_qr_text(text, o2c.iban, numeric, text, text, text) IS
  'Payload of a SEPA credit transfer QR code (EPC069-12, version 002, UTF-8): an amount in EUR to name''s iban, with a reference (ISO 11649) or a free text (remittance), names cut to 70 characters. Returns lines parted by line feeds; qr_svg draws them. Errors: O2004 name, BIC or lengths, O2041 reference, O2043 amount.';

CREATE FUNCTION o2c._invoice_words(language text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.jsonb_object_agg(w.key, o2c._in_language($1, w.en, w.de, w.it, w.fr, w.es))
  FROM (VALUES
    ('invoice', 'Invoice', 'Rechnung', 'Fattura', 'Facture', 'Factura'),
    ('credit_note', 'Credit note', 'Gutschrift', 'Nota di credito', 'Avoir', 'Factura rectificativa'),
    ('debit_note', 'Debit note', 'Belastungsanzeige', 'Nota di debito', 'Note de débit', 'Nota de cargo'),
    ('prepayment', 'Prepayment invoice', 'Anzahlungsrechnung', 'Fattura di acconto', 'Facture d’acompte', 'Factura de anticipo'),
    ('number', 'Number', 'Nummer', 'Numero', 'Numéro', 'Número'),
    ('date', 'Date', 'Datum', 'Data', 'Date', 'Fecha'),
    ('due', 'Due', 'Fällig', 'Scadenza', 'Échéance', 'Vencimiento'),
    ('supply', 'Date of supply', 'Leistungsdatum', 'Data della prestazione', 'Date de livraison', 'Fecha de entrega'),
    ('delivery', 'Delivered to', 'Lieferanschrift', 'Luogo di consegna', 'Lieu de livraison', 'Lugar de entrega'),
    ('period', 'Period', 'Leistungszeitraum', 'Periodo', 'Période', 'Período'),
    ('customer', 'Customer', 'Kundennummer', 'Cliente', 'Client', 'Cliente'),
    ('order', 'Your order', 'Ihre Bestellung', 'Vostro ordine', 'Votre commande', 'Su pedido'),
    ('buyer_reference', 'Your reference', 'Ihre Referenz', 'Vostro riferimento', 'Votre référence', 'Su referencia'),
    ('vat_id', 'VAT ID', 'USt-IdNr.', 'Partita IVA', 'N° TVA', 'NIF-IVA'),
    ('registration', 'Registration', 'Register', 'Registro', 'Immatriculation', 'Registro'),
    ('original', 'Refers to', 'Zu Rechnung', 'Riferimento a', 'Se rapporte à', 'Se refiere a'),
    ('reason', 'Reason', 'Grund', 'Motivo', 'Motif', 'Motivo'),
    ('description', 'Description', 'Bezeichnung', 'Descrizione', 'Désignation', 'Descripción'),
    ('quantity', 'Quantity', 'Menge', 'Quantità', 'Quantité', 'Cantidad'),
    ('price', 'Price', 'Preis', 'Prezzo', 'Prix', 'Precio'),
    ('discount', 'Discount', 'Rabatt', 'Sconto', 'Remise', 'Descuento'),
    ('tax', 'VAT', 'USt', 'IVA', 'TVA', 'IVA'),
    ('amount', 'Amount', 'Betrag', 'Importo', 'Montant', 'Importe'),
    ('lines', 'Sum of lines', 'Summe der Positionen', 'Totale righe', 'Total des lignes', 'Suma de líneas'),
    ('net', 'Total without VAT', 'Summe netto', 'Totale imponibile', 'Total HT', 'Base imponible'),
    ('tax_on', '% VAT on', '% USt auf', '% IVA su', '% TVA sur', '% IVA sobre'),
    ('total', 'Total', 'Gesamtbetrag', 'Totale', 'Total TTC', 'Total'),
    ('prepaid', 'Paid already', 'Bereits gezahlt', 'Già pagato', 'Déjà payé', 'Ya pagado'),
    ('rounding', 'Rounding', 'Rundung', 'Arrotondamento', 'Arrondi', 'Redondeo'),
    ('payable', 'Amount due', 'Zu zahlen', 'Da pagare', 'Net à payer', 'Importe a pagar'),
    ('credited', 'Amount credited', 'Gutgeschrieben', 'Importo accreditato', 'Montant crédité', 'Importe abonado'),
    ('tax_in', 'VAT in', 'USt in', 'IVA in', 'TVA en', 'IVA en'),
    ('payment', 'Payment', 'Zahlung', 'Pagamento', 'Paiement', 'Pago'),
    ('payee', 'Payee', 'Empfänger', 'Beneficiario', 'Bénéficiaire', 'Beneficiario'),
    ('account', 'Account', 'Konto', 'Conto', 'Compte', 'Cuenta'),
    ('reference', 'Reference', 'Verwendungszweck', 'Riferimento', 'Référence', 'Referencia'),
    ('instalment', 'Instalment', 'Rate', 'Rata', 'Échéance', 'Plazo'),
    ('until', 'if paid by', 'bei Zahlung bis', 'se pagato entro il', 'si payé avant le', 'si se paga antes del'),
    ('scan', 'Scan to pay with your banking app', 'Mit der Banking-App scannen und zahlen', 'Scansiona per pagare con l’app della banca',
     'Scannez pour payer avec votre appli bancaire', 'Escanee para pagar con la app de su banco'),
    -- what the law wants said on the document, by its VATEX code
    ('VATEX-EU-IC', 'Intra-Community supply, exempt from VAT', 'Steuerfreie innergemeinschaftliche Lieferung', 'Cessione intracomunitaria non imponibile',
     'Livraison intracommunautaire exonérée de TVA', 'Entrega intracomunitaria exenta de IVA'),
    ('VATEX-EU-AE', 'Reverse charge', 'Steuerschuldnerschaft des Leistungsempfängers', 'Inversione contabile', 'Autoliquidation', 'Inversión del sujeto pasivo'),
    ('VATEX-EU-G', 'Export outside the EU, exempt from VAT', 'Steuerfreie Ausfuhrlieferung', 'Esportazione non imponibile',
     'Exportation exonérée de TVA', 'Exportación exenta de IVA'),
    ('VATEX-EU-O', 'Not subject to VAT', 'Nicht steuerbar', 'Fuori campo IVA', 'Hors champ de la TVA', 'No sujeto a IVA'),
    ('exempt', 'Exempt from VAT', 'Steuerfrei', 'Esente da IVA', 'Exonéré de TVA', 'Exento de IVA')) w(key, en, de, it, fr, es)
$$;
COMMENT ON FUNCTION o2c._invoice_words(text) IS
  'The words of an invoice in en, de, it, fr or es (by the first two letters; English for others).';

CREATE FUNCTION o2c._invoice_page() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $page$ SELECT o2c._letter_head('{{title}} {{number}}', '{{buyer_address}}', $style$
h1 { font-size: 16pt; margin: 0 0 4mm; overflow-wrap: anywhere }
.lines { width: 100%; border-collapse: collapse; margin-bottom: 4mm }
.lines th { border-bottom: 1px solid #1a1a1a; font-size: 8.5pt; color: #444; text-align: left; padding: 1.5mm 2mm 1.5mm 0 }
.lines td { border-bottom: 1px solid #ddd; padding: 1.8mm 2mm 1.8mm 0; vertical-align: top }
.lines .n { text-align: right; white-space: nowrap }
.lines .text { overflow-wrap: anywhere; width: 46% }
.sums table { margin-left: auto }
.sums .total th, .sums .total td { border-top: 1px solid #1a1a1a; font-weight: 700 }
.notes { margin: 6mm 0 0; overflow-wrap: anywhere; white-space: pre-line; orphans: 3; widows: 3 }
.pay { display: flex; gap: 8mm; margin-top: 8mm; border-top: 1px solid #ddd; padding-top: 5mm; break-inside: avoid }
.pay .facts td { text-align: left }
.pay figure { margin: 0 0 0 auto; width: 34mm; text-align: center }
.pay svg { width: 34mm; height: 34mm; display: block }
.pay figcaption { font-size: 7pt; color: #555; line-height: 1.25 }
@media print { body { padding: 0; max-width: none } a { color: inherit; text-decoration: none } }
@media screen and (max-width: 640px) { header, .head, .pay { flex-direction: column; gap: 4mm } header .from { text-align: left } .pay figure { margin: 0 } }
$style$) || $html$<h1>{{title}} {{number}}</h1>
<table class="lines">
<thead><tr><th>#</th><th class="text">{{w.description}}</th><th class="n">{{w.quantity}}</th><th class="n">{{w.price}}</th><th class="n">{{w.tax}}</th><th class="n">{{w.amount}} {{currency}}</th></tr></thead>
<tbody>
{{#lines}}<tr><td>{{no}}</td><td class="text">{{text}}{{#detail}}<div class="small">{{detail}}</div>{{/detail}}</td><td class="n">{{quantity}}</td><td class="n">{{price}}</td><td class="n">{{tax}}</td><td class="n">{{amount}}</td></tr>
{{/lines}}</tbody></table>
<div class="end"><div class="sums"><table>
{{#sums}}<tr{{#class}} class="{{class}}"{{/class}}><th>{{label}}</th><td>{{value}}</td></tr>
{{/sums}}</table></div>
{{#notes}}<p class="notes">{{.}}</p>
{{/notes}}
{{#pay}}<section class="pay"><table class="facts">{{#rows}}<tr><th>{{label}}</th><td>{{value}}</td></tr>
{{/rows}}</table>
{{#qr}}<figure>{{{svg}}}<figcaption>{{caption}}</figcaption></figure>{{/qr}}</section>
{{/pay}}
<footer>{{footer}}</footer></div>
</body>
</html>
$html$ $page$;
COMMENT ON FUNCTION o2c._invoice_page() IS 'The template of the printable invoice.';

CREATE FUNCTION o2c._invoice_context(company integer, invoice bigint, lang text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT pg_catalog.jsonb_build_object(
    'lang', $3, 'w', w.w, 'currency', i.currency, 'number', i.number, 'seller', i.seller,
    'title', w.w ->> i.kind,
    'seller_lines', (SELECT pg_catalog.jsonb_agg(x.line ORDER BY x.n) FROM (VALUES
        (1, i.seller ->> 'street'), (2, nullif(pg_catalog.concat_ws(' ', i.seller ->> 'postal_code', i.seller ->> 'city', i.seller ->> 'country'), '')),
        (3, i.seller ->> 'email'), (4, i.seller ->> 'phone'), (5, i.seller ->> 'website')) x(n, line) WHERE x.line IS NOT NULL),
    'buyer_address', pg_catalog.concat_ws(E'\n', i.buyer ->> 'name', i.buyer ->> 'addressee', i.buyer ->> 'street',
        nullif(pg_catalog.concat_ws(' ', i.buyer ->> 'postal_code', i.buyer ->> 'city'), ''),
        CASE WHEN i.buyer ->> 'country' <> i.seller ->> 'country' THEN i.buyer ->> 'country' END,
        (w.w ->> 'vat_id') || ' ' || (i.buyer ->> 'vat_id')),
    'facts', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('label', w.w ->> f.key, 'value', f.value) ORDER BY f.n)
      FROM (VALUES
        (1, 'number', i.number), (2, 'date', o2c.format_date(i.issue_date, $3)),
        (3, 'due', CASE WHEN i.kind <> 'credit_note' AND items.n = 1 THEN o2c.format_date(i.due_date, $3) END),
        (4, 'supply', CASE WHEN i.period_start IS NULL AND i.kind <> 'prepayment' THEN o2c.format_date(i.supply_date, $3) END),
        (5, 'period', o2c.format_date(i.period_start, $3) || ' – ' || o2c.format_date(i.period_end, $3)),
        (6, 'customer', i.buyer ->> 'code'), (7, 'order', i.customer_reference), (8, 'buyer_reference', i.buyer_reference),
        (9, 'delivery', CASE WHEN i.kind <> 'prepayment' AND i.delivery ->> 'city' IS NOT NULL THEN
           pg_catalog.concat_ws(', ', i.delivery ->> 'name', i.delivery ->> 'street',
             pg_catalog.concat_ws(' ', i.delivery ->> 'postal_code', i.delivery ->> 'city'), i.delivery ->> 'country') END),
        (10, 'original', (SELECT r.number || ', ' || o2c.format_date(r.issue_date, $3) FROM o2c.invoice r
                         WHERE r.company_id = i.company_id AND r.id = i.original_id)),
        (11, 'reason', nullif(i.reason, ''))) f(n, key, value) WHERE f.value IS NOT NULL),
    'lines', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('no', l.line_no, 'text', l.description,
          'detail', nullif(pg_catalog.concat_ws(' · ', p.code,
             o2c.format_date(l.period_start, $3) || ' – ' || o2c.format_date(l.period_end, $3),
             CASE WHEN l.discount_percent <> 0 THEN (w.w ->> 'discount') || ' ' || o2c.format_amount(pg_catalog.trim_scale(l.discount_percent), $3) || ' %' END,
             CASE WHEN l.allowance_amount <> 0 THEN (w.w ->> 'discount') || ' ' || o2c.format_amount(o2c.round_amount(l.allowance_amount, l.currency), $3) END,
             CASE WHEN l.charge_amount <> 0 THEN '+ ' || o2c.format_amount(o2c.round_amount(l.charge_amount, l.currency), $3) END), ''),
          'quantity', o2c.format_amount(pg_catalog.trim_scale(l.quantity), $3),
          'price', o2c.format_amount(CASE WHEN pg_catalog.min_scale(l.unit_price) <= o2c.minor_unit(l.currency)
                     THEN o2c.round_amount(l.unit_price, l.currency) ELSE pg_catalog.trim_scale(l.unit_price) END, $3),
          'tax', CASE WHEN l.tax_category = 'O' THEN '–' ELSE o2c.format_amount(pg_catalog.trim_scale(l.tax_rate), $3) || ' %' END,
          'amount', o2c.format_amount(o2c.round_amount(l.net_amount, l.currency), $3)) ORDER BY l.line_no)
      FROM o2c.invoice_line l LEFT JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
      WHERE l.company_id = i.company_id AND l.invoice_id = i.id),
    'sums', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('label', s.label, 'class', s.class,
          'value', o2c.format_amount(o2c.round_amount(s.value, s.currency::o2c.currency), $3) || ' ' || s.currency) ORDER BY s.n, s.m)
      FROM (
        SELECT 1 AS n, 0::numeric AS m, w.w ->> 'lines' AS label, '' AS class, i.line_total AS value, i.currency::text AS currency
        WHERE i.line_total <> i.net_amount
        UNION ALL
        SELECT 2, a.id, coalesce(a.reason, a.reason_code), '', CASE WHEN a.charge THEN a.amount ELSE -a.amount END, i.currency
        FROM o2c.invoice_allowance a WHERE a.company_id = i.company_id AND a.invoice_id = i.id
        UNION ALL SELECT 3, 0, w.w ->> 'net', '', i.net_amount, i.currency
        UNION ALL
        SELECT 4, -t.tax_rate, o2c.format_amount(pg_catalog.trim_scale(t.tax_rate), $3) || ' ' || (w.w ->> 'tax_on') || ' '
               || o2c.format_amount(o2c.round_amount(t.base_amount, t.currency), $3), '', t.tax_amount, i.currency
        FROM o2c.invoice_tax t WHERE t.company_id = i.company_id AND t.invoice_id = i.id AND t.tax_category <> 'O'
        UNION ALL SELECT 5, 0, w.w ->> 'total', 'total', i.total_amount, i.currency
        UNION ALL SELECT 6, 0, w.w ->> 'prepaid', '', -i.prepaid_amount, i.currency WHERE i.prepaid_amount <> 0
        UNION ALL SELECT 7, 0, w.w ->> 'rounding', '', i.rounding_amount, i.currency WHERE i.rounding_amount <> 0
        UNION ALL SELECT 8, 0, w.w ->> CASE WHEN i.kind = 'credit_note' THEN 'credited' ELSE 'payable' END, 'due', i.payable_amount, i.currency
        UNION ALL SELECT 9, 0, (w.w ->> 'tax_in') || ' ' || i.tax_currency, '', i.tax_amount_base, i.tax_currency
        WHERE i.tax_currency IS NOT NULL AND i.tax_amount <> 0) s),
    'notes', (SELECT pg_catalog.jsonb_agg(x.note) FROM (
        SELECT i.note AS note WHERE i.note <> ''
        UNION ALL
        SELECT DISTINCT CASE WHEN w.w ? t.exemption_code THEN w.w ->> t.exemption_code
                             ELSE coalesce(t.exemption_reason, (w.w ->> 'exempt') || ' (' || t.exemption_code || ')') END
        FROM o2c.invoice_tax t WHERE t.company_id = i.company_id AND t.invoice_id = i.id
          AND t.tax_category NOT IN ('S', 'Z') AND coalesce(t.exemption_reason, t.exemption_code) IS NOT NULL) x),
    'pay', CASE WHEN i.kind <> 'credit_note' AND i.payable_amount > 0 THEN pg_catalog.jsonb_build_object(
      'rows', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('label', r.label, 'value', r.value) ORDER BY r.n, r.m)
        FROM (
          SELECT 1 AS n, 0 AS m, w.w ->> 'payee' AS label, i.seller ->> 'name' AS value WHERE i.payment_means IS NOT NULL
          UNION ALL SELECT 2, 0, 'IBAN', o2c.iban_format((i.payment_means ->> 'iban')::o2c.iban) WHERE i.payment_means ? 'iban'
          UNION ALL SELECT 2, 1, w.w ->> 'account', i.payment_means ->> 'account' WHERE i.payment_means IS NOT NULL AND NOT i.payment_means ? 'iban'
          UNION ALL SELECT 3, 0, 'BIC', i.payment_means ->> 'bic' WHERE i.payment_means ? 'bic'
          UNION ALL SELECT 4, 0, w.w ->> 'reference', coalesce(pg_catalog.btrim(pg_catalog.regexp_replace(i.payment_reference, '(.{4})', E'\\1 ', 'g')), i.number)
          UNION ALL
          SELECT 5, o.instalment * 2, CASE WHEN items.n > 1 THEN (w.w ->> 'instalment') || ' ' || o.instalment ELSE w.w ->> 'due' END,
                 CASE WHEN items.n > 1 THEN o2c.format_amount(o2c.round_amount(o.amount, o.currency), $3) || ' ' || o.currency || ', ' ELSE '' END
                 || o2c.format_date(o.due_date, $3)
          FROM o2c.open_item o WHERE o.company_id = i.company_id AND o.invoice_id = i.id
          UNION ALL
          SELECT 5, o.instalment * 2 + 1, w.w ->> 'discount', '−' || o2c.format_amount(o2c.round_amount(o.discount_amount, o.currency), $3) || ' ' || o.currency
                 || ' ' || (w.w ->> 'until') || ' ' || o2c.format_date(o.discount_date, $3)
          FROM o2c.open_item o WHERE o.company_id = i.company_id AND o.invoice_id = i.id AND o.discount_amount > 0) r),
      'qr', CASE WHEN i.currency = 'EUR' AND i.payment_means ? 'iban' AND i.payable_amount <= 999999999.99 THEN pg_catalog.jsonb_build_object(
        'caption', w.w ->> 'scan',
        'svg', o2c.qr_svg(o2c.epc_qr_text(i.seller ->> 'name', (i.payment_means ->> 'iban')::o2c.iban,
                 coalesce(items.first_amount, i.payable_amount),
                 i.payment_reference, CASE WHEN i.payment_reference IS NULL THEN pg_catalog.left(i.number, 140) END,
                 i.payment_means ->> 'bic'))) END) END,
    'footer', pg_catalog.concat_ws(' · ', i.seller ->> 'name',
      (w.w ->> 'vat_id') || ' ' || (i.seller ->> 'vat_id'),
      (w.w ->> 'registration') || ' ' || (i.seller ->> 'registration_id')))
  FROM o2c.invoice i
  CROSS JOIN LATERAL (SELECT o2c._invoice_words($3) AS w) w
  CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS n, (pg_catalog.array_agg(o.amount ORDER BY o.instalment))[1] AS first_amount
    FROM o2c.open_item o WHERE o.company_id = i.company_id AND o.invoice_id = i.id) items
  WHERE i.company_id = $1 AND i.id = $2);
END $$;
COMMENT ON FUNCTION o2c._invoice_context(integer, bigint, text) IS 'What the printable page of a document says, in a language.';

CREATE FUNCTION o2c.invoice_html(company_id integer, invoice_id bigint, language text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  doc record;
BEGIN
  SELECT i.state, coalesce($3, i.buyer ->> 'language', c.language, k.language, 'en') AS lang INTO doc
  FROM o2c.invoice i
  JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
  JOIN o2c.company k ON k.company_id = i.company_id
  WHERE i.company_id = $1 AND i.id = $2;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce($2::text, 'NULL'), $1);
  ELSIF doc.state = 'draft' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('invoice %s is not issued', $2), HINT = 'Issue it with o2c.issue_invoice() first.';
  END IF;
  RETURN o2c.render(o2c._invoice_page(), o2c._invoice_context($1, $2, doc.lang), 'html');
END $$;
COMMENT ON FUNCTION o2c.invoice_html(integer, bigint, text) IS
  'An issued document as a printable HTML page in the customer''s language (en, de, it, fr, es; others in English), with a QR code for transfers in EUR. Errors: O2002, O2003, O2010.';
