-- Statements of account as a page: what a customer is sent or handed, in the
-- customer's language.  The rows are those of o2c.statement_of_account and
-- o2c.statement_of_open_items; here they get words, a layout for A4 and for a
-- phone, and a closing balance per currency.

CREATE FUNCTION o2c._statement_words(language text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.jsonb_object_agg(w.key, o2c._in_language($1, w.en, w.de, w.it, w.fr, w.es))
  FROM (VALUES
    ('title', 'Statement of account', 'Kontoauszug', 'Estratto conto', 'Relevé de compte', 'Estado de cuenta'),
    ('title_open', 'Statement of open items', 'Offene Posten', 'Partite aperte', 'Relevé des postes ouverts', 'Partidas abiertas'),
    ('customer', 'Customer', 'Kundennummer', 'Cliente', 'Client', 'Cliente'),
    ('period', 'Period', 'Zeitraum', 'Periodo', 'Période', 'Período'),
    ('as_of', 'As of', 'Stand', 'Al', 'Au', 'A fecha de'),
    ('vat_id', 'VAT ID', 'USt-IdNr.', 'Partita IVA', 'N° TVA', 'NIF-IVA'),
    ('registration', 'Registration', 'Register', 'Registro', 'Immatriculation', 'Registro'),
    ('date', 'Date', 'Datum', 'Data', 'Date', 'Fecha'),
    ('document', 'Document', 'Beleg', 'Documento', 'Document', 'Documento'),
    ('number', 'Number', 'Nummer', 'Numero', 'Numéro', 'Número'),
    ('due', 'Due', 'Fällig', 'Scadenza', 'Échéance', 'Vencimiento'),
    ('days', 'Days overdue', 'Tage überfällig', 'Giorni di ritardo', 'Jours de retard', 'Días de retraso'),
    ('debit', 'Debit', 'Soll', 'Dare', 'Débit', 'Debe'),
    ('credit', 'Credit', 'Haben', 'Avere', 'Crédit', 'Haber'),
    ('amount', 'Amount', 'Betrag', 'Importo', 'Montant', 'Importe'),
    ('open', 'Open', 'Offen', 'Aperto', 'Ouvert', 'Pendiente'),
    ('balance', 'Balance', 'Saldo', 'Saldo', 'Solde', 'Saldo'),
    ('closing', 'Closing balance', 'Endsaldo', 'Saldo finale', 'Solde final', 'Saldo final'),
    ('overdue', 'Of which overdue', 'Davon überfällig', 'Di cui scaduto', 'Dont échu', 'Del cual vencido'),
    ('nothing', 'Nothing is open and nothing moved.', 'Keine offenen Posten und keine Bewegungen.', 'Nessuna partita aperta e nessun movimento.',
     'Aucun poste ouvert ni mouvement.', 'Sin partidas abiertas ni movimientos.'),
    -- kinds of entries and of items
    ('opening balance', 'Opening balance', 'Anfangssaldo', 'Saldo iniziale', 'Solde initial', 'Saldo inicial'),
    ('opening', 'Item carried over', 'Übernommener Posten', 'Partita riportata', 'Poste repris', 'Partida traspasada'),
    ('invoice', 'Invoice', 'Rechnung', 'Fattura', 'Facture', 'Factura'),
    ('debit_note', 'Debit note', 'Belastungsanzeige', 'Nota di debito', 'Note de débit', 'Nota de cargo'),
    ('credit_note', 'Credit note', 'Gutschrift', 'Nota di credito', 'Avoir', 'Factura rectificativa'),
    ('entry_credit', 'Credit', 'Gutschrift', 'Accredito', 'Crédit', 'Abono'),
    ('on_account', 'Payment on account', 'Akontozahlung', 'Pagamento in acconto', 'Paiement en acompte', 'Pago a cuenta'),
    ('unidentified', 'Payment', 'Zahlung', 'Pagamento', 'Paiement', 'Pago'),
    ('receipt', 'Payment', 'Zahlung', 'Pagamento', 'Paiement', 'Pago'),
    ('application', 'Applied', 'Verrechnung', 'Compensazione', 'Compensation', 'Compensación'),
    ('discount', 'Discount', 'Skonto', 'Sconto', 'Escompte', 'Descuento'),
    ('write_off', 'Adjustment', 'Ausbuchung', 'Rettifica', 'Régularisation', 'Ajuste'),
    ('charge', 'Charges', 'Spesen', 'Spese', 'Frais', 'Gastos'),
    ('deduction', 'Deduction', 'Abzug', 'Detrazione', 'Déduction', 'Deducción'),
    ('refund', 'Refund', 'Erstattung', 'Rimborso', 'Remboursement', 'Reembolso'),
    ('return', 'Returned payment', 'Rückläufer', 'Pagamento stornato', 'Paiement rejeté', 'Pago devuelto'),
    ('fee', 'Fee', 'Gebühr', 'Commissione', 'Frais', 'Comisión'),
    ('interest', 'Interest', 'Zinsen', 'Interessi', 'Intérêts', 'Intereses'),
    ('exchange', 'Exchange difference', 'Kursdifferenz', 'Differenza di cambio', 'Différence de change', 'Diferencia de cambio'),
    ('transfer', 'Transfer', 'Umbuchung', 'Giroconto', 'Virement interne', 'Traspaso')) w(key, en, de, it, fr, es)
$$;
COMMENT ON FUNCTION o2c._statement_words(text) IS
  'The words of a statement of account in en, de, it, fr or es (by the first two letters; English for others).';

CREATE FUNCTION o2c._statement_page() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $page$ SELECT o2c._letter_head('{{title}} {{code}}', '{{address}}', $style$
h1 { font-size: 16pt; margin: 0 0 4mm }
section { margin-bottom: 8mm; overflow-x: auto }
.lines { width: 100%; border-collapse: collapse }
.lines th { border-bottom: 1px solid #1a1a1a; font-size: 8.5pt; color: #444; text-align: left; padding: 1.5mm 2mm 1.5mm 0; vertical-align: bottom }
.lines td { border-bottom: 1px solid #ddd; padding: 1.5mm 2mm 1.5mm 0; vertical-align: top; overflow-wrap: anywhere }
.lines th.n, .lines td.n { text-align: right }
.lines td.n, .lines td.d { white-space: nowrap }
.sums { display: flex; justify-content: flex-end; break-inside: avoid; margin-top: 3mm }
@media print { body { padding: 0; max-width: none } section { overflow: visible } }
@media screen and (max-width: 640px) { body { padding: 5mm } header, .head { flex-direction: column; gap: 4mm } header .from { text-align: left } }
$style$) || $html$<h1>{{title}}</h1>
{{#accounts}}<section><table class="lines">
<thead><tr>{{#columns}}<th class="{{class}}">{{label}}</th>{{/columns}}</tr></thead>
<tbody>
{{#rows}}<tr>{{#cells}}<td class="{{class}}">{{text}}{{#detail}}<div class="small">{{detail}}</div>{{/detail}}</td>{{/cells}}</tr>
{{/rows}}</tbody></table>
<div class="sums"><table>
{{#sums}}<tr class="{{class}}"><th>{{label}}</th><td>{{value}}</td></tr>
{{/sums}}</table></div></section>
{{/accounts}}{{^accounts}}<p>{{nothing}}</p>
{{/accounts}}<footer>{{footer}}</footer>
</body>
</html>
$html$ $page$;
COMMENT ON FUNCTION o2c._statement_page() IS 'The template of the printable statement of account.';

CREATE FUNCTION o2c._statement_cell(class text, value text, detail text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.jsonb_build_object('class', $1, 'text', coalesce($2, ''), 'detail', coalesce($3, ''))
$$;
COMMENT ON FUNCTION o2c._statement_cell(text, text, text) IS 'A cell of a statement''s table: class n is a number, d a date.';

CREATE FUNCTION o2c._statement_accounts(company integer, customer_code text, from_date date, to_date date, form text, lang text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  w jsonb := o2c._statement_words($6);
BEGIN
  RETURN (
    WITH movement AS (
      SELECT s.line_no AS place, s.currency, s.balance, NULL::numeric AS overdue,
             pg_catalog.jsonb_build_array(
               o2c._statement_cell('d', o2c.format_date(s.entry_date, $6)),
               o2c._statement_cell('', w ->> CASE s.kind WHEN 'credit' THEN 'entry_credit' ELSE s.kind END, s.description),
               o2c._statement_cell('', s.number),
               o2c._statement_cell('d', o2c.format_date(s.due_date, $6)),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.debit, s.currency::o2c.currency), $6)),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.credit, s.currency::o2c.currency), $6)),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.balance, s.currency::o2c.currency), $6))) AS cells
      FROM o2c.statement_of_account($1, $2, $3, $4) s WHERE $5 = 'activity'),
    item AS (
      SELECT s.place, s.currency, s.balance, CASE WHEN s.days_overdue > 0 AND s.open_amount > 0 THEN s.open_amount ELSE 0 END AS overdue,
             pg_catalog.jsonb_build_array(
               o2c._statement_cell('d', o2c.format_date(s.document_date, $6)),
               o2c._statement_cell('', w ->> s.kind),
               o2c._statement_cell('', s.number),
               o2c._statement_cell('d', o2c.format_date(s.due_date, $6)),
               o2c._statement_cell('n', CASE WHEN s.days_overdue > 0 AND s.open_amount > 0 THEN s.days_overdue::text END),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.amount, s.currency::o2c.currency), $6)),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.open_amount, s.currency::o2c.currency), $6)),
               o2c._statement_cell('n', o2c.format_amount(o2c.round_amount(s.balance, s.currency::o2c.currency), $6))) AS cells
      FROM o2c.statement_of_open_items($1, $2, $4) WITH ORDINALITY
        s (number, kind, instalment, document_date, due_date, days_overdue, currency, amount, open_amount, balance, place)
      WHERE $5 = 'open_item'),
    account AS (
      SELECT l.currency, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('cells', l.cells) ORDER BY l.place) AS rows,
             (pg_catalog.array_agg(l.balance ORDER BY l.place DESC))[1] AS closing, pg_catalog.sum(l.overdue) AS overdue
      FROM (SELECT * FROM movement UNION ALL SELECT * FROM item) l GROUP BY l.currency)
    SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'rows', a.rows,
      'columns', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('class', c.class,
            'label', (w ->> c.key) || CASE WHEN c.class = 'n' AND c.key <> 'days' THEN ' ' || a.currency ELSE '' END) ORDER BY c.n)
          FROM (VALUES (1, 'date', '', NULL), (2, 'document', '', NULL), (3, 'number', '', NULL), (4, 'due', '', NULL),
                  (5, 'debit', 'n', 'activity'), (6, 'credit', 'n', 'activity'),
                  (5, 'days', 'n', 'open_item'), (6, 'amount', 'n', 'open_item'), (7, 'open', 'n', 'open_item'),
                  (8, 'balance', 'n', NULL)) c (n, key, class, form)
          WHERE c.form IS NULL OR c.form = $5),
      'sums', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('class', s.class, 'label', w ->> s.key,
            'value', o2c.format_amount(o2c.round_amount(s.value, a.currency::o2c.currency), $6) || ' ' || a.currency) ORDER BY s.n)
          FROM (VALUES (1, 'closing', 'due', a.closing), (2, 'overdue', '', a.overdue)) s (n, key, class, value)
          WHERE s.value IS NOT NULL AND (s.key = 'closing' OR s.value <> 0))) ORDER BY a.currency)
    FROM account a);
END $$;
COMMENT ON FUNCTION o2c._statement_accounts(integer, text, date, date, text, text) IS
  'The tables of a statement, one per currency, as the template of o2c._statement_page() reads them.';

CREATE FUNCTION o2c.statement_html(company_id integer, customer_code text, from_date date, to_date date, form text DEFAULT 'activity') RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  one bigint := o2c._customer_id($1, $2);
  up_to date := $4;
  lang text;
  w jsonb;
  accounts jsonb;
  seller jsonb := o2c._seller($1);
BEGIN
  IF $5 IS NULL OR $5 NOT IN ('activity', 'open_item') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('form of statement "%s" is not known', $5),
      HINT = 'Use activity or open_item.';
  END IF;
  IF $5 = 'open_item' THEN
    up_to := coalesce(up_to, o2c.today($1));
  END IF;
  lang := (SELECT coalesce(c.language, k.language) FROM o2c._addressees($1, '{dunning,billing}') c JOIN o2c.company k ON k.company_id = $1
           WHERE c.id = one);
  -- words, dates and numbers of one language, whatever the customer's is
  IF lang IS NULL OR pg_catalog.left(lang, 2) NOT IN ('en', 'de', 'it', 'fr', 'es') THEN
    lang := 'en';
  END IF;
  w := o2c._statement_words(lang);
  accounts := o2c._statement_accounts($1, $2, $3, up_to, $5, lang);
  RETURN o2c.render(o2c._statement_page(), (
    SELECT pg_catalog.jsonb_build_object('lang', lang, 'code', c.code, 'seller', seller,
      'title', w ->> CASE $5 WHEN 'activity' THEN 'title' ELSE 'title_open' END,
      'seller_lines', (SELECT pg_catalog.jsonb_agg(x.line ORDER BY x.n) FROM (VALUES
          (1, seller ->> 'street'), (2, nullif(pg_catalog.concat_ws(' ', seller ->> 'postal_code', seller ->> 'city', seller ->> 'country'), '')),
          (3, seller ->> 'email'), (4, seller ->> 'phone'), (5, seller ->> 'website')) x (n, line) WHERE x.line IS NOT NULL),
      'address', pg_catalog.concat_ws(E'\n', c.name, c.street, nullif(pg_catalog.concat_ws(' ', c.postal_code, c.city), ''),
          CASE WHEN c.country <> seller ->> 'country' THEN c.country END),
      'facts', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('label', w ->> f.key, 'value', f.value) ORDER BY f.n)
        FROM (VALUES (1, 'customer', c.code),
                (2, 'period', CASE WHEN $5 = 'activity' THEN o2c.format_date($3, lang) || ' – ' || o2c.format_date(up_to, lang) END),
                (3, 'as_of', CASE WHEN $5 <> 'activity' THEN o2c.format_date(up_to, lang) END)) f (n, key, value) WHERE f.value IS NOT NULL),
      'accounts', accounts, 'nothing', w ->> 'nothing',
      'footer', pg_catalog.concat_ws(' · ', seller ->> 'name', (w ->> 'vat_id') || ' ' || (seller ->> 'vat_id'),
          (w ->> 'registration') || ' ' || (seller ->> 'registration_id')))
    FROM o2c._addressees($1, '{dunning,billing}') c WHERE c.id = one), 'html');
END $$;
COMMENT ON FUNCTION o2c.statement_html(integer, text, date, date, text) IS
  'A customer''s statement as a printable, self-contained HTML page in the language, and to the address, of its account letters (en, de, it, fr, es; others in English). form activity: o2c.statement_of_account from from_date to to_date; open_item: o2c.statement_of_open_items as of to_date (from_date is not used, to_date NULL is today). A table and a closing balance per currency. Errors: O2002, O2003, O2004, O2044.';
