-- Bank files of each format into bank lines, against a bare insert of the same
-- rows into a table with the same indexes: what reading, checking sums and
-- finding the identity of each line cost.  The same file again costs its hash.
--
-- SCALE 1 is 20,000 lines a file; SCALE 5 the 100,000 lines that a file may well
-- have.  One camt.053 has an entry for each payment, the other a single entry
-- with all payments as its details.
\set ON_ERROR_STOP 1
SELECT (20000 * :scale)::integer AS lines \gset
SELECT o2c.create_company('Bench', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.bank_account (company_id, code, currency, iban) SELECT :c, k, 'EUR', 'DE02120300000000202051'
FROM unnest('{rows,camt,batch,mt940,csv,bai2,ofx}'::text[]) k;
INSERT INTO o2c.statement_format (company_id, code, settings) VALUES (:c, 'bank', '{"columns": {"booking_date": "Buchung", "amount": "Betrag",
  "payer_name": "Name", "payer_iban": "IBAN", "remittance_text": "Zweck", "bank_ref": "Referenz"}}');
CREATE TEMPORARY TABLE p AS
SELECT n, 1000 + n % 9973 AS cents, to_char((1000 + n % 9973) / 100.0, 'FM999990.00') AS amount, 'Payer ' || n % 5000 AS name,
  'Invoice INV-2026-' || lpad(n::text, 6, '0') || ' thank you' AS words, 'REF' || n AS ref
FROM generate_series(1, :lines) n;
SELECT sum(cents) AS cents, to_char(sum(cents) / 100.0, 'FM99999999990.00') AS total FROM p \gset

CREATE TEMPORARY TABLE file (format text PRIMARY KEY, content bytea, wanted text);
CREATE FUNCTION pg_temp.camt(total text, entries text) RETURNS bytea LANGUAGE sql AS $$
  SELECT convert_to('<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId>'
    '<CreDtTm>2026-01-05T10:00:00</CreDtTm></GrpHdr><Stmt><Id>S1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-01-05T10:00:00</CreDtTm><Acct><Id>'
    '<IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>' || string_agg('<Bal><Tp><CdOrPrtry><Cd>' || code || '</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">' || amt ||
    '</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-01-05</Dt></Dt></Bal>', '' ORDER BY code DESC) || entries || '</Stmt></BkToCstmrStmt></Document>', 'UTF8')
  FROM (VALUES ('OPBD', '0.00'), ('CLBD', total)) b(code, amt)
$$;
CREATE FUNCTION pg_temp.detail(amount text, name text, words text, ref text) RETURNS text LANGUAGE sql AS $$
  SELECT '<TxDtls><Refs><EndToEndId>' || ref || '</EndToEndId></Refs><Amt Ccy="EUR">' || amount || '</Amt><CdtDbtInd>CRDT</CdtDbtInd><RltdPties><Dbtr><Nm>' || name ||
    '</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct></RltdPties><RmtInf><Ustrd>' || words || '</Ustrd></RmtInf></TxDtls>'
$$;
CREATE FUNCTION pg_temp.entry(amount text, ref text, details text) RETURNS text LANGUAGE sql AS $$
  SELECT '<Ntry><Amt Ccy="EUR">' || amount || '</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-01-05</Dt></BookgDt><ValDt><Dt>2026-01-05</Dt></ValDt><AcctSvcrRef>' ||
    ref || '</AcctSvcrRef><NtryDtls>' || details || '</NtryDtls></Ntry>'
$$;
INSERT INTO file SELECT 'camt', pg_temp.camt(:'total', string_agg(pg_temp.entry(amount, ref, pg_temp.detail(amount, name, words, ref)), '' ORDER BY n)), 'auto' FROM p;
INSERT INTO file SELECT 'batch', pg_temp.camt(:'total', pg_temp.entry(:'total', 'B1', string_agg(pg_temp.detail(amount, name, words, ref), '' ORDER BY n))), 'auto' FROM p;
INSERT INTO file SELECT 'mt940', convert_to(E':20:S1\n:25:DE02120300000000202051\n:28C:1/1\n:60F:C260104EUR0,\n' ||
  string_agg(':61:2601050105C' || replace(amount, '.', ',') || 'NTRFNONREF//' || ref || E'\n:86:166?00GUTSCHRIFT?20' || left(words, 27) || '?21' || substr(words, 28) ||
    '?31DE89370400440532013000?32' || name || E'\n', '' ORDER BY n) || ':62F:C260105EUR' || replace(:'total', '.', ',') || E'\n-\n', 'UTF8'), 'auto' FROM p;
INSERT INTO file SELECT 'csv', convert_to(E'Buchung;Betrag;Name;IBAN;Zweck;Referenz\n' ||
  string_agg(concat_ws(';', '2026-01-05', amount, name, 'DE89370400440532013000', words, ref), E'\n' ORDER BY n) || E'\n', 'UTF8'), 'auto' FROM p;
INSERT INTO file SELECT 'bai2', convert_to(E'01,BANK,CUST,260105,0600,1,,,2/\n02,CUST,BANK,1,260105,,EUR,2/\n03,DE02120300000000202051,EUR,010,0,,,015,' || :'cents' || E',,/\n' ||
  string_agg(format(E'16,195,%s,Z,%s,,%s\n', cents, ref, name || ' ' || words), '' ORDER BY n) ||
  format(E'49,%s,%s/\n98,%1$s,1,%s/\n99,%1$s,1,%s/\n', 2 * :'cents'::bigint, count(*) + 2, count(*) + 4, count(*) + 6), 'UTF8'), 'auto' FROM p;
INSERT INTO file SELECT 'ofx', convert_to(E'OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR\n<BANKACCTFROM><BANKID>12030000\n<ACCTID>DE02120300000000202051\n</BANKACCTFROM>\n<BANKTRANLIST><DTSTART>20260105\n<DTEND>20260105\n' ||
  string_agg(format(E'<STMTTRN><TRNTYPE>CREDIT\n<DTPOSTED>20260105\n<TRNAMT>%s\n<FITID>%s\n<NAME>%s\n<MEMO>%s\n</STMTTRN>\n', amount, ref, name, words), '' ORDER BY n) ||
  E'</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n', 'UTF8'), 'auto' FROM p;
CREATE TEMPORARY TABLE bank_rows AS SELECT ref AS line_id, '2026-01-05' AS booking_date, amount, 'EUR' AS currency, name AS payer_name,
  'DE89370400440532013000' AS payer_iban, words AS remittance_text, NULL::text AS structured_ref FROM p;
CREATE TABLE bare_line (LIKE o2c.bank_line INCLUDING ALL);

CREATE FUNCTION pg_temp.measure(company integer, expected bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE f record; began timestamptz; ms numeric; again numeric; bare numeric; n bigint;
BEGIN
  began := clock_timestamp();
  SELECT imported INTO n FROM o2c.import_bank_lines(company, 'rows', 'bank_rows');
  ms := 1000 * extract(epoch FROM clock_timestamp() - began);
  IF n <> expected THEN RAISE EXCEPTION 'rows: % lines', n; END IF;
  began := clock_timestamp();
  INSERT INTO bare_line SELECT * FROM o2c.bank_line b WHERE b.company_id = company;
  bare := 1000 * extract(epoch FROM clock_timestamp() - began);
  RETURN NEXT format('import_bank_lines: %s lines a second', round(expected * 1000 / ms));
  RETURN NEXT format('RATIO|import, a line of a table|%s|%s|bare insert of the same rows', round(ms / expected, 4), round(bare / expected, 4));
  FOR f IN SELECT * FROM file LOOP
    began := clock_timestamp();
    SELECT lines INTO n FROM o2c.import_statement(company, f.format, f.content, f.wanted);
    ms := 1000 * extract(epoch FROM clock_timestamp() - began);
    IF n <> expected THEN RAISE EXCEPTION '%: % lines', f.format, n; END IF;
    began := clock_timestamp();
    PERFORM o2c.import_statement(company, f.format, f.content, f.wanted);
    again := 1000 * extract(epoch FROM clock_timestamp() - began);
    RETURN NEXT format('%s: %s lines a second (%s MB); again: %s ms', f.format, round(expected * 1000 / ms), round(length(f.content) / 1e6, 1), round(again, 1));
    RETURN NEXT format('RATIO|import, a line as %s|%s|%s|bare insert of the same rows', CASE f.format WHEN 'camt' THEN 'camt.053' WHEN 'batch' THEN 'detail in camt.053' ELSE f.format END,
      round(ms / expected, 4), round(bare / expected, 4));
  END LOOP;
END $$;
SELECT * FROM pg_temp.measure(:c, :lines);
SELECT 'largest memory of the session: ' || (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmHWM:\s+(\d+)'))[1]::bigint / 1024 || ' MB, shared buffers included'
WHERE EXISTS (SELECT FROM pg_ls_dir('/proc/self', true, false));
SELECT 'check: ' || count(*) FROM o2c.check(:c);
