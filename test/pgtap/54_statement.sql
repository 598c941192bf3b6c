-- Bank statements: what a line means, when it is the same line, which account
-- and which sums a file may have, and what happens to bad input.  Whole files
-- are read in test/t/054_statement_files.pl.
SELECT plan(97);

SELECT o2c.create_company('Banks', 'DE', 'EUR', 'Europe/Berlin');
INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (1, 'main', 'EUR', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code, currency, account_number) VALUES (1, 'usd', 'USD', '12345678');
INSERT INTO o2c.bank_account (company_id, code) SELECT 1, 'free' || n FROM generate_series(1, 21) n;

CREATE FUNCTION pg_temp.import(account text, content text, format text DEFAULT 'auto') RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(concat_ws('/', r.format, r.lines, r.duplicates), ' ') FROM o2c.import_statement(1, account, convert_to(content, 'UTF8'), format) r $$;
-- an MT940 with these movements between these balances
CREATE FUNCTION pg_temp.mt(opening text, closing text, movements text, account text DEFAULT 'DE89370400440532013000', seq text DEFAULT '1/1') RETURNS text LANGUAGE sql AS $$
  SELECT replace(format(E':20:REF\n:25:%s\n:28C:%s\n:60F:C260301EUR%s\n%s\n:62F:C260302EUR%s\n-\n', account, seq, opening, movements, closing), E'\n', E'\r\n') $$;
CREATE FUNCTION pg_temp.camt(entries text, balances text DEFAULT '', message text DEFAULT 'camt.053.001.08') RETURNS text LANGUAGE sql AS $$
  SELECT format('<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:%s"><%s><GrpHdr><MsgId>M</MsgId></GrpHdr><%s><Id>S</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>%s%s</%s></%s></Document>',
    message, e, s, balances, entries, s, e)
  FROM (SELECT CASE left(message, 8) WHEN 'camt.053' THEN 'BkToCstmrStmt' WHEN 'camt.054' THEN 'BkToCstmrDbtCdtNtfctn' ELSE 'BkToCstmrAcctRpt' END AS e,
               CASE left(message, 8) WHEN 'camt.053' THEN 'Stmt' WHEN 'camt.054' THEN 'Ntfctn' ELSE 'Rpt' END AS s) n $$;
CREATE FUNCTION pg_temp.bal(code text, amount text) RETURNS text LANGUAGE sql AS $$
  SELECT format('<Bal><Tp><CdOrPrtry><Cd>%s</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">%s</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-02</Dt></Dt></Bal>', code, amount) $$;
CREATE FUNCTION pg_temp.entry(amount text, more text DEFAULT '', sign text DEFAULT 'CRDT') RETURNS text LANGUAGE sql AS $$
  SELECT format('<Ntry><Amt Ccy="EUR">%s</Amt><CdtDbtInd>%s</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>%s</Ntry>', amount, sign, more) $$;

---------------------------------------------------------------- what a line says
SELECT is(pg_temp.import('main', pg_temp.mt('1000,', '1100,50',
  E':61:2603020301CR100,50NTRFNONREF//BREF1\n:86:166?00GUTSCHRIFT?20EREF+RE 77?21MREF+M1?22SVWZ+Rechnung 4711 vom 1. Fe?23bruar?30COBADEFF?31NL91ABNA0417164300?32Muster\n, Max')),
  'mt940/1/0', 'an MT940 is imported');
SELECT results_eq($$SELECT booking_date, value_date, amount, currency::text, payer_name, payer_iban, payer_bic, remittance_text, end_to_end_id, mandate_id, bank_ref, transaction_code, state::text FROM o2c.bank_line$$,
  $$VALUES (date '2026-03-01', date '2026-03-02', 100.50, 'EUR', 'Muster, Max', 'NL91ABNA0417164300', 'COBADEFF', 'Rechnung 4711 vom 1. Februar', 'RE 77', 'M1', 'BREF1', 'NTRF', 'open')$$,
  'with all that its sub-fields say');
SELECT results_eq($$SELECT format, statement_ref, sequence_no, interim, from_date, to_date, opening_balance, closing_balance, line_count, line_sum FROM o2c.bank_statement$$,
  $$VALUES ('mt940', 'REF', '1/1', false, date '2026-03-01', date '2026-03-02', 1000::numeric, 1100.50, 1::bigint, 100.50)$$, 'and its statement');
SELECT results_eq($$SELECT last_statement_date, last_balance FROM o2c.bank_account WHERE code = 'main'$$, $$VALUES (date '2026-03-02', 1100.50)$$, 'the account knows its last balance');
SELECT is((SELECT count(*) FROM o2c.event WHERE entity = 'bank_statement' AND event = 'import'), 1::bigint, 'the import is an event');

SELECT is(pg_temp.import('free1', pg_temp.camt(
  pg_temp.entry('97.50', '<AcctSvcrRef>A1</AcctSvcrRef><NtryDtls><TxDtls><Amt Ccy="EUR">100.00</Amt><AmtDtls><InstdAmt><Amt Ccy="USD">120.00</Amt></InstdAmt></AmtDtls><Chrgs><Rcrd><Amt Ccy="EUR">1.50</Amt></Rcrd><Rcrd><Amt Ccy="EUR">1.00</Amt></Rcrd></Chrgs><RltdPties><Dbtr><Pty><Nm>Carol &amp; Co</Nm></Pty></Dbtr><DbtrAcct><Id><Othr><Id>998877</Id></Othr></Id></DbtrAcct><UltmtDbtr><Pty><Nm>Real Payer</Nm></Pty></UltmtDbtr></RltdPties><RmtInf><Ustrd>part one</Ustrd><Ustrd>part two</Ustrd><Strd><RfrdDocInf><Nb>INV-7</Nb></RfrdDocInf><CdtrRefInf><Ref>RF18 5390 0754 7034</Ref></CdtrRefInf></Strd></RmtInf></TxDtls></NtryDtls>')
  || pg_temp.entry('20.00', '<RvslInd>true</RvslInd><AcctSvcrRef>A2</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>DD-1</EndToEndId><MndtId>MM</MndtId></Refs><RltdPties><Dbtr><Pty><Nm>Dora</Nm></Pty></Dbtr><Cdtr><Pty><Nm>Us</Nm></Pty></Cdtr></RltdPties><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls></NtryDtls>', 'DBIT'),
  pg_temp.bal('OPBD', '0.00') || pg_temp.bal('CLBD', '77.50'))), 'camt.053/2/0', 'a camt.053 is imported');
SELECT results_eq($$SELECT amount, payer_name, payer_account, remittance_text, structured_ref, charges, original_amount, original_currency::text, details ->> 'ultimate_debtor', return_reason, mandate_id, end_to_end_id
  FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free1' ORDER BY l.id$$,
  $$VALUES (97.50, 'Carol & Co', '998877', 'part one part two INV-7 RF18 5390 0754 7034', 'RF18539007547034', 2.50, 120.00, 'USD', 'Real Payer', NULL, NULL, NULL),
           (-20.00, 'Dora', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'AC04', 'MM', 'DD-1')$$,
  'charges, instructed amount, references; a returned debit names the customer');

SELECT is(pg_temp.import('free21', pg_temp.mt('300,', '84,47',
  E':61:2603020302D72,51NRTINONREF//R1\n:86:109?00RUECKLASTSCHRIFT?20EREF+DD-11?21OAMT+69,51?22COAM+     3,00?23SVWZ+RETURN?34914\n' ||
  E':61:2603020302D71,51NRTINONREF//R2\n:86:109?00RUECKLASTSCHRIFT?20EREF+DD-12?21COAM+EUR 2,00?22OAMT+USD 80.10?34914\n' ||
  E':61:2603020302D71,51NRTINONREF//R3\n:86:109?00RUECKLASTSCHRIFT?20EREF+DD-13?21COAM+siehe Anlage?22OAMT+1.069,51?34914')), 'mt940/3/0', 'returned debits of an MT940');
SELECT results_eq($$SELECT return_reason, end_to_end_id, charges, original_amount, original_currency::text, details ->> 'COAM', details ->> 'OAMT'
  FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free21' ORDER BY l.id$$,
  $$VALUES ('914', 'DD-11', 3.00, 69.51, NULL, NULL, NULL), ('914', 'DD-12', 2.00, 80.10, 'USD', NULL, NULL), ('914', 'DD-13', NULL, NULL, NULL, 'siehe Anlage', '1.069,51')$$,
  'with what was debited and what the bank charges; what is no amount is kept as it is said');

---------------------------------------------------------------- batches
CREATE TEMPORARY TABLE parts AS SELECT
  pg_temp.entry('30.00', '<AcctSvcrRef>B1</AcctSvcrRef>') AS whole,
  pg_temp.entry('30.00', '<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls><TxDtls><Amt Ccy="EUR">10.00</Amt></TxDtls><TxDtls><Amt Ccy="EUR">20.00</Amt></TxDtls></NtryDtls>') AS split,
  pg_temp.entry('30.00', '<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls><TxDtls><Amt Ccy="EUR">10.00</Amt><RmtInf><Ustrd>a</Ustrd></RmtInf></TxDtls><TxDtls><Amt Ccy="EUR">19.00</Amt><RmtInf><Ustrd>b</Ustrd></RmtInf></TxDtls></NtryDtls>') AS unfit;
SELECT is(pg_temp.import('free2', pg_temp.camt((SELECT split FROM parts), message => 'camt.054.001.08')), 'camt.054/2/0', 'a batch is its details when they add up');
SELECT is(pg_temp.import('free2', pg_temp.camt((SELECT whole FROM parts), pg_temp.bal('OPBD', '0.00') || pg_temp.bal('CLBD', '30.00'))), 'camt.053/0/1',
  'the same entry as a whole in the statement is known');
SELECT is(pg_temp.import('free3', pg_temp.camt((SELECT whole FROM parts), pg_temp.bal('OPBD', '0.00') || pg_temp.bal('CLBD', '30.00'))), 'camt.053/1/0', 'a batch as a whole');
SELECT is(pg_temp.import('free3', pg_temp.camt((SELECT split FROM parts), message => 'camt.054.001.08')), 'camt.054/2/0', 'its details take its place');
SELECT results_eq($$SELECT amount, l.state::text FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free3' ORDER BY l.id$$,
  $$VALUES (30.00, 'ignored'), (10.00, 'open'), (20.00, 'open')$$, 'while nothing was posted from it');
SELECT is(pg_temp.import('free4', pg_temp.camt((SELECT unfit FROM parts), message => 'camt.054.001.08')), 'camt.054/1/0', 'details that do not add up stay one line');
SELECT is((SELECT remittance_text FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free4'), 'a b', 'with the text of all');
SELECT is(pg_temp.import('free4', pg_temp.camt(replace((SELECT whole FROM parts), 'BOOK', 'PDNG') || replace((SELECT whole FROM parts), 'BOOK', 'INFO'), message => 'camt.052.001.08')), 'camt.052/0/0',
  'what is pending or for information is no money');

---------------------------------------------------------------- the same line
CREATE TEMPORARY TABLE two AS SELECT pg_temp.mt('0,', '20,', E':61:2603020302C10,NTRFNONREF\n:86:rent\n:61:2603020302C10,NTRFNONREF\n:86:rent') AS f;
SELECT is(pg_temp.import('free5', (SELECT f FROM two)), 'mt940/2/0', 'two truly equal payments on one day are both kept');
SELECT is(pg_temp.import('free5', (SELECT f FROM two)), 'mt940/0/2', 'the same file again adds nothing');
SELECT is((SELECT statement_id FROM o2c.import_statement(1, 'free5', convert_to((SELECT f FROM two), 'UTF8'))),
  (SELECT s.id FROM o2c.bank_statement s JOIN o2c.bank_account a ON a.id = s.bank_account_id WHERE a.code = 'free5'), 'and returns the statement that there is');
SELECT is(pg_temp.import('free5', (SELECT f FROM two) || E'\r\n'), 'mt940/0/2', 'nor does the same content in other bytes');
SELECT is(pg_temp.import('free5', pg_temp.mt('0,', '30,', E':61:2603020302C10,NTRFNONREF\n:86:rent\n:61:2603020302C10,NTRFNONREF\n:86:rent\n:61:2603020302C10,NTRFNONREF\n:86:rent')), 'mt940/1/2', 'a third is new');
SELECT is(pg_temp.import('free5', pg_temp.mt('30,', '40,', E':61:2603020302C10,NTRFNONREF\n:86:rent', seq => '2/1')), 'mt940/0/1', 'without a proof that it follows, an equal line is known');
SELECT is(pg_temp.import('free6', replace(pg_temp.mt('0,', '10,', E':61:2603010301C10,NTRFNONREF\n:86:rent'), ':62F:C260302', ':62F:C260301')), 'mt940/1/0', 'a statement of a day');
SELECT is(pg_temp.import('free6', replace(pg_temp.mt('10,', '20,', E':61:2603010301C10,NTRFNONREF\n:86:rent', seq => '2/1'), ':62F:C260302', ':62F:C260301')), 'mt940/1/0',
  'and its second, which opens as the first closed: an equal line is another payment');
SELECT is(pg_temp.import('free7', pg_temp.mt('0,', '20,', E':61:2603020302C10,NTRFNONREF//R1\n:86:one\n:61:2603020302C10,NTRFNONREF//R2\n:86:one')), 'mt940/2/0', 'the bank''s references tell lines apart');
SELECT is(pg_temp.import('free7', pg_temp.mt('0,', '10,', E':61:2603020302C10,NTRFNONREF//R1\n:86:worded otherwise')), 'mt940/0/1', 'and know them again whatever the text');
SELECT is(pg_temp.import('free7', pg_temp.mt('0,', '11,', E':61:2603020302C11,NTRFNONREF//R1\n:86:reused')), 'mt940/1/0', 'but a reference that the bank uses again for another amount hides no money');
SELECT is(pg_temp.import('free8', (SELECT f || f FROM two)), 'mt940/2/0 mt940/0/2', 'a statement twice in one file counts once');
SELECT is(pg_temp.import('free9', E':20:R\n:25:X\n:28C:1/1\n:34F:EUR0,\n:61:2603020302C10,NTRFNONREF\n:86:rent\n:90C:1EUR10,\n-\n'), 'mt942/1/0', 'an interim report');
SELECT is(pg_temp.import('free9', pg_temp.mt('0,', '10,', E':61:2603020302C10,NTRFNONREF\n:86:rent')), 'mt940/0/1', 'its lines are known in the statement of the day');
SELECT is(pg_temp.import('free10', pg_temp.mt('0,', '0,', E':61:2603020302C0,00NMSCNONREF\n:86:note')), 'mt940/1/0', 'a line of zero is kept');
SELECT is((SELECT l.state::text FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free10'), 'ignored', 'but not matched');

---------------------------------------------------------------- accounts and currencies
SELECT throws_ok($$SELECT pg_temp.import('usd', pg_temp.mt('0,', '0,', ''))$$, 'O2053', NULL, 'a statement of another account is refused');
SELECT throws_ok($$SELECT pg_temp.import('usd', pg_temp.mt('0,', '0,', '', '12345678'))$$, 'O2053', NULL, 'and one in another currency');
SELECT throws_ok($$SELECT pg_temp.import('none', pg_temp.mt('0,', '0,', ''))$$, 'O2003', NULL, 'an unknown account is named');
SELECT throws_ok($$SELECT * FROM o2c.import_statement(99, 'main', 'x')$$, 'O2002', NULL, 'an unknown company too');
SELECT is(pg_temp.import(NULL, pg_temp.mt('1100,50', '1100,50', '', '37040044/0532013000', '2/1')), 'mt940/0/0', 'NULL: to the account that the statement names');
SELECT throws_ok($$SELECT pg_temp.import(NULL, pg_temp.mt('0,', '0,', '', '999'))$$, 'O2053', NULL, 'which must be one of ours');
SELECT is(x.same, x.wanted, format('account %s', x.stated)) FROM (SELECT v.stated, v.wanted, o2c._same_account(v.stated, 'DE89370400440532013000', NULL) AS same
  FROM (VALUES ('DE89370400440532013000', true), ('DE89 3704 0044 0532 0130 00', true), ('37040044/0532013000', true), ('37040044/532013000EUR', true), ('COBADEFFXXX/DE89370400440532013000', true),
               ('0532013000', true), ('DE02370400440532013000', false), ('37040044/0532013001', false), ('3000', false), ('', false)) v(stated, wanted)) x;
SELECT throws_ok($$SELECT pg_temp.import('free11', pg_temp.mt('0,', '1,234', ':61:2603020302C1,234NTRFNONREF'))$$, 'O2043', NULL, 'a tenth of a cent is no amount in euro');
SELECT throws_ok($$SELECT pg_temp.import('free11', replace(pg_temp.mt('0,', '0,', ''), 'EUR', 'DEM'))$$, 'O2042', NULL, 'nor is the mark a currency');

---------------------------------------------------------------- sums
SELECT throws_ok($$SELECT pg_temp.import('free11', pg_temp.mt('5,', '16,', ':61:2603020302C10,NTRFNONREF'))$$, 'O2052',
  'statement "REF" does not add up: opening balance and lines give 15 EUR, the closing balance is 16 EUR', 'both figures are in the message');
SELECT throws_ok($$SELECT pg_temp.import('free11', pg_temp.camt(pg_temp.entry('1.00'), pg_temp.bal('OPBD', '1.00')))$$, 'O2052', NULL, 'a statement with lines and one balance proves nothing');
SELECT is(pg_temp.import('free11', pg_temp.camt('', pg_temp.bal('OPBD', '1.00'))), 'camt.053/0/0', 'one without lines may leave a balance out');
SELECT is(pg_temp.import('free12', pg_temp.camt(pg_temp.entry('1.23000'), pg_temp.bal('PRCD', '1.00000') || pg_temp.bal('CLBD', '2.23000'))), 'camt.053/1/0', 'five decimals, three of them zero; the previous closing balance opens');
SELECT throws_ok($$SELECT pg_temp.import('free13', replace(pg_temp.mt('0,', '10,', ':61:2603020302C10,NTRFNONREF'), ':62F:', ':62M:') || replace(pg_temp.mt('11,', '11,', ''), ':60F:', ':60M:'))$$, 'O2052', NULL,
  'pages must join');
SELECT is(pg_temp.import('free13', replace(pg_temp.mt('0,', '10,', ':61:2603020302C10,NTRFNONREF'), ':62F:', ':62M:') || replace(pg_temp.mt('10,', '9,', ':61:2603020302D1,NTRFNONREF'), ':60F:', ':60M:')), 'mt940/2/0',
  'then they are one statement');
SELECT throws_ok($$SELECT pg_temp.import('free14', E'01,B,C,260302,0600,1,,,2/\n02,C,B,1,260302,,USD,2/\n03,1,USD,010,0,,,015,100,,/\n16,195,100,Z,,,X/\n49,201,3/\n98,201,1,5/\n99,201,1,7/')$$, 'O2052', NULL, 'a control total must fit');
SELECT throws_ok($$SELECT pg_temp.import('free14', E':20:R\n:25:X\n:28C:1/1\n:34F:EUR0,\n:61:2603020302C10,NTRFNONREF\n:90C:1EUR11,\n-\n')$$, 'O2052', NULL, 'and those of a report');

---------------------------------------------------------------- CSV
INSERT INTO o2c.statement_format (company_id, code, settings) VALUES
  (1, 'sparbank', '{"delimiter": ";", "decimal": ",", "thousands": ".", "date_format": "DD.MM.YYYY", "columns": {"booking_date": "Buchungstag", "amount": "Betrag", "payer_name": "Name", "remittance_text": ["Zweck 1", "Zweck 2"], "balance": "Saldo"}}'),
  (1, 'plain', '{"header": false, "date_format": "MM/DD/YY", "debit_marks": ["D"], "columns": {"booking_date": 1, "amount": 2, "mark": 3, "remittance_text": 4, "bank_ref": 5}}'),
  (1, 'broken', '{"columns": {"amount": "Betrag", "booking_date": "Tag", "nonsense": "x"}}');
CREATE TEMPORARY TABLE csv AS SELECT E'Buchungstag;Name;Zweck 1;Zweck 2;Betrag;Saldo\r\n02.03.2026;"Muster; Max";INV-1;"mit ""Skonto"""; 1.234,50;2.234,50\r\n01.03.2026;Erika;INV-2;;-34,50;1.000,00\r\n' AS f;
SELECT is(pg_temp.import('free15', (SELECT f FROM csv)), 'sparbank/2/0', 'a CSV is known by its headings');
SELECT results_eq($$SELECT booking_date, amount, payer_name, remittance_text FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free15' ORDER BY l.id$$,
  $$VALUES (date '2026-03-02', 1234.50, 'Muster; Max', 'INV-1 mit "Skonto"'), (date '2026-03-01', -34.50, 'Erika', 'INV-2')$$, 'and read by its mapping');
SELECT is((SELECT (opening_balance, closing_balance, interim)::text FROM o2c.bank_statement s WHERE s.format = 'sparbank'), '(1034.50,2234.50,f)', 'running balances, newest first, prove the sums');
SELECT throws_ok($$SELECT pg_temp.import('free16', replace((SELECT f FROM csv), '2.234,50', '2.234,51'))$$, 'O2052', NULL, 'and show a missing line');
SELECT is(pg_temp.import('free16', E'03/02/26,10.00,C,credit,X1\n03/02/26,4.00,D,debit,X2\n', 'plain'), 'plain/2/0', 'columns by position, a mark for debits');
SELECT is((SELECT sum(amount) FROM o2c.bank_line l JOIN o2c.bank_account a ON a.id = l.bank_account_id WHERE a.code = 'free16'), 6.00, 'with the right signs');
SELECT throws_ok($$SELECT pg_temp.import('free16', 'x', 'nothing')$$, 'O2004', NULL, 'an unknown format is named');
SELECT throws_ok($$SELECT pg_temp.import('free16', E'Tag,Betrag\n', 'broken')$$, 'O2004', NULL, 'so is an unknown field of a mapping');
SELECT throws_ok($$SELECT pg_temp.import('free16', E'a;b\n1;2\n', 'sparbank')$$, 'O2050', NULL, 'and a column that the file lacks');

---------------------------------------------------------------- bad input
SELECT throws_ok($$SELECT * FROM o2c.import_statement(1, 'free17', '')$$, 'O2050', NULL, 'an empty file');
SELECT throws_ok($$SELECT * FROM o2c.import_statement(1, 'free17', NULL)$$, 'O2050', NULL, 'no file');
SELECT throws_ok($$SELECT * FROM o2c.import_statement(1, 'free17', '\x3a32303a000a')$$, 'O2050', NULL, 'a zero byte');
SELECT throws_ok($$SELECT * FROM o2c.import_statement(1, 'free17', convert_to('<?xml version="1.0" encoding="UTF-8"?><Document><BkToCstmrStmt><Stmt><Id>', 'UTF8') || '\xff')$$, 'O2050', NULL, 'XML that is not the UTF-8 it says it is');
SELECT throws_ok($$SELECT pg_temp.import('free17', left(pg_temp.camt(pg_temp.entry('1.00')), 300))$$, 'O2050', NULL, 'XML that is cut off');
SELECT throws_ok($$SELECT pg_temp.import('free17', '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Document>&b;</Document>')$$, 'O2050', NULL, 'an XML bomb');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.camt(pg_temp.entry('1.00', '<AddtlNtryInf>&secret;</AddtlNtryInf>'), message => 'camt.054.001.08'))$$, 'O2050', NULL, 'an entity of its own');
SELECT throws_ok($$SELECT pg_temp.import('free17', '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn/></Document>')$$, 'O2051', NULL, 'another message');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.camt('', message => 'camt.054.001.08'), 'camt.053')$$, 'O2051', NULL, 'another message than was said');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.mt('0,', '0,', ''), 'ofx')$$, 'O2051', NULL, 'another format than was said');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.mt('0,', '0,', ':61:2603020302C123456789012345678901234567890,NTRFX'))$$, 'O2050', NULL, 'an amount of 30 digits');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.camt(pg_temp.entry('123456789012345678901234567890.00'), message => 'camt.054.001.08'))$$, 'O2050', NULL, 'in XML too');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.camt(pg_temp.entry('1.00', '<AddtlNtryInf>' || repeat('x', 1000000) || '</AddtlNtryInf>'), message => 'camt.054.001.08'))$$, 'O2050', NULL, 'a text of a megabyte');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.mt('0,', '1,', E':61:2603020302C1,NTRFX\n:86:' || repeat('x', 1000000)))$$, 'O2050', NULL, 'in an MT940 too');
SELECT throws_ok($$SELECT pg_temp.import('free17', pg_temp.mt('0,', '1,', ':61:2613020302C1,NTRFX'))$$, 'O2050', NULL, 'a month 13');
SELECT is((SELECT count(*) FROM o2c.bank_statement s JOIN o2c.bank_account a ON a.id = s.bank_account_id WHERE a.code = 'free17'), 0::bigint, 'and nothing of all that was kept');
SELECT is(pg_temp.import('free18', replace(pg_temp.mt('0,', '1,', ':61:2603020302C1,NTRFX'), 'C1,NTRFX', E'C1,NTRFX\n:86:' || E'\x01\x07' || 'text')), 'mt940/1/0', 'control characters are blanks');
SELECT is((SELECT statement_id IS NOT NULL FROM o2c.import_statement(1, 'free19', convert_to(pg_temp.mt('0,', '1,', E':61:2603020302C1,NTRFX\n:86:M~ller'), 'UTF8') || '')), true, 'plain text');
SELECT throws_ok($$SELECT o2c._statement_text(convert_to('<?xml version="1.0" encoding="utf8"?><a>', 'UTF8') || '\xff')$$, 'O2050', NULL, 'another name of UTF-8 is UTF-8');
SELECT is(o2c._statement_text('\x4dfc6c6c657220809d'), E'Müller € ', 'bytes that are not UTF-8 are Windows-1252');

---------------------------------------------------------------- lines from a table
CREATE TEMPORARY TABLE lines (line_id text, booking_date text, amount text, currency text, payer_name text, payer_iban text, remittance_text text, structured_ref text, more text);
INSERT INTO lines (line_id, booking_date, amount, currency, payer_name, payer_iban) VALUES
  ('L1', '2026-03-02', '10.00', 'EUR', 'A', 'NL91 ABNA 0417 1643 00'), ('L2', '2026-03-02', '-3.5', NULL, 'B', NULL),
  ('L1', '2026-03-02', '10.00', 'EUR', 'A', NULL), ('L1', '2026-03-02', '11.00', 'EUR', 'A', NULL),
  (NULL, '2026-03-02', '1', 'EUR', NULL, NULL), ('L3', '2026-02-30', '1', 'EUR', NULL, NULL), ('L4', '2026-03-02', 'NaN', 'EUR', NULL, NULL),
  ('L5', '2026-03-02', '1.005', 'EUR', NULL, NULL), ('L6', '2026-03-02', '1', 'XYZ', NULL, NULL), ('L7', '2026-03-02', '1', 'USD', NULL, NULL), ('L8', NULL, NULL, NULL, NULL, NULL);
SELECT is((SELECT r::text FROM o2c.import_bank_lines(1, 'main', 'lines') r), '(3,1,7)', 'good rows come in, bad ones do not stop them');
SELECT results_eq($$SELECT line_id, amount, currency::text, payer_iban FROM o2c.bank_line WHERE line_id IN ('L1', 'L2', 'L7') ORDER BY line_id$$,
  $$VALUES ('L1', 10.00, 'EUR', 'NL91ABNA0417164300'), ('L2', -3.5, 'EUR', NULL), ('L7', 1, 'USD', NULL)$$, 'in the currency that each names, or the account''s');
SELECT is((SELECT count(*) FROM o2c.import_reject WHERE import = 'import_bank_lines' AND reason <> '' AND source_row ? 'more'), 7::bigint, 'each bad row is kept whole with its reason');
SELECT is((SELECT r::text FROM o2c.import_bank_lines(1, 'main', 'lines') r), '(0,4,7)', 'again: nothing new');
UPDATE lines SET amount = '99.00' WHERE line_id = 'L2';
SELECT is((SELECT rejected FROM o2c.import_bank_lines(1, 'main', 'lines')), 8::bigint, 'a known line with another amount is refused');
SELECT throws_ok($$SELECT o2c.import_bank_lines(1, 'main', 'two')$$, 'O2006', NULL, 'a missing column is named');

SELECT throws_ok($$UPDATE o2c.bank_line SET amount = amount + 1 WHERE line_id = 'L1'$$, 'O2030', NULL, 'what the bank said does not change');
SELECT throws_ok($$UPDATE o2c.bank_statement SET closing_balance = 0, line_sum = - opening_balance$$, 'O2030', NULL, 'nor does a statement');

SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
