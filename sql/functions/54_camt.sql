-- camt.052, camt.053 and camt.054 (ISO 20022, versions 1 to 13): from XML to
-- the rows that all readers of bank files produce.
--
-- A scanner in C cuts the file into small documents without namespaces (a
-- statement's head, some hundred entries, some hundred transaction details),
-- so that PostgreSQL's xmltable reads files of any size in bounded memory.

CREATE FUNCTION o2c._camt_parts(content text)
RETURNS TABLE (message text, statement_no integer, kind text, fragment xml)
  AS 'MODULE_PATHNAME', 'o2c_camt_parts' LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION o2c._camt_parts(text) IS
  'A camt message in parts: head, entries and details of each statement. Errors: O2050, O2051.';

CREATE FUNCTION o2c._xml_text(fragment xml) RETURNS text
  AS 'MODULE_PATHNAME', 'o2c_camt_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c._xml_text(xml) IS 'The text of some elements, separated by blanks; NULL when there is none.';

CREATE FUNCTION o2c._xml_sum(fragment xml) RETURNS numeric
  AS 'MODULE_PATHNAME', 'o2c_camt_sum' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c._xml_sum(xml) IS 'The sum of some elements that hold amounts; NULL when none does.';

CREATE FUNCTION o2c._camt_rows() RETURNS SETOF o2c._bank_file_row
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET enable_nestloop = off  -- rows out of XML have no statistics: join them by hash
SET jit = off  -- compiling its many expressions takes longer than running them
SET xmloption = content  -- its fragments are no documents, whatever the session says
AS $$
WITH head AS (
  SELECT p.statement_no, p.message, h.*
  FROM pg_temp.o2c_camt_part p,
    XMLTABLE('/x' PASSING p.fragment COLUMNS
      id text PATH '(Id)[1]', electronic_no text PATH '(ElctrncSeqNb)[1]', legal_no text PATH '(LglSeqNb)[1]',
      from_date text PATH '(FrToDt/FrDtTm | FrToDt/FrDt)[1]', to_date text PATH '(FrToDt/ToDtTm | FrToDt/ToDt)[1]',
      created text PATH '(CreDtTm)[1]',
      account text PATH '(Acct/Id/IBAN | Acct/Id/Othr/Id | Acct/Id/BBAN | Acct/Id/PrtryAcct/Id | Acct/Id/UPIC)[1]',
      currency text PATH '(Acct/Ccy)[1]',
      balances xml PATH 'Bal') h
  WHERE p.kind = 'head'
), balance AS (
  SELECT h.statement_no, b.*, pg_catalog.substr(b.d, 1, 10) AS day,
         CASE WHEN b.sign = 'DBIT' THEN -(b.amt::numeric) ELSE b.amt::numeric END AS signed
  FROM head h, XMLTABLE('/y/Bal' PASSING XMLELEMENT(NAME y, h.balances) COLUMNS
      n FOR ORDINALITY, code text PATH '(Tp/CdOrPrtry/Cd | Tp/Cd)[1]',
      amt text PATH '(Amt)[1]', ccy text PATH '(Amt/@Ccy)[1]', sign text PATH '(CdtDbtInd)[1]', d text PATH '(Dt/Dt | Dt/DtTm)[1]') b
  WHERE b.code IN ('OPBD', 'PRCD', 'CLBD', 'ITBD') AND b.amt <> ''
), edge AS (
  SELECT b.statement_no, f.opening, f.closing,
         (SELECT pg_catalog.min(x.ccy) FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.opening) AS opening_ccy,
         (SELECT pg_catalog.max(x.ccy) FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.closing) AS closing_ccy,
         (SELECT x.signed FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.opening ORDER BY x.day, x.n LIMIT 1) AS opening_balance,
         (SELECT x.day FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.opening ORDER BY x.day, x.n LIMIT 1) AS opening_day,
         (SELECT x.signed FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.closing
            AND (f.closing <> 'ITBD' OR f.opening <> 'ITBD' OR b.interim > 1) ORDER BY x.day DESC, x.n DESC LIMIT 1) AS closing_balance,
         (SELECT x.day FROM balance x WHERE x.statement_no = b.statement_no AND x.code = f.closing ORDER BY x.day DESC, x.n DESC LIMIT 1) AS closing_day
  FROM (SELECT y.statement_no, pg_catalog.bool_or(y.code = 'OPBD') AS has_open, pg_catalog.bool_or(y.code = 'PRCD') AS has_previous,
               pg_catalog.bool_or(y.code = 'CLBD') AS has_close, pg_catalog.count(*) FILTER (WHERE y.code = 'ITBD') AS interim
        FROM balance y GROUP BY 1) b,
    LATERAL (SELECT CASE WHEN b.has_open THEN 'OPBD' WHEN b.has_previous THEN 'PRCD' WHEN b.has_close OR b.interim > 1 THEN 'ITBD' END AS opening,
                    CASE WHEN b.has_close THEN 'CLBD' WHEN b.interim > 0 AND (b.has_open OR b.has_previous OR b.interim > 1) THEN 'ITBD' END AS closing) f
), entry AS (
  SELECT p.statement_no, e.*,
         CASE WHEN e.sign = 'DBIT' THEN -(e.amt::numeric) ELSE e.amt::numeric END AS signed,
         CASE WHEN e.status IS NULL OR e.status = '' THEN 'BOOK' ELSE e.status END AS booked
  FROM pg_temp.o2c_camt_part p,
    XMLTABLE('/x/Ntry' PASSING p.fragment COLUMNS
      n integer PATH '@n', amt text PATH '(Amt)[1]', ccy text PATH '(Amt/@Ccy)[1]', sign text PATH '(CdtDbtInd)[1]',
      reversal text PATH '(RvslInd)[1]', status text PATH 'normalize-space((Sts/Cd | Sts/Prtry | Sts[not(*)])[1])',
      booked_on text PATH '(BookgDt/Dt | BookgDt/DtTm)[1]', valued_on text PATH '(ValDt/Dt | ValDt/DtTm)[1]',
      bank_ref text PATH '(AcctSvcrRef)[1]', entry_no text PATH '(NtryRef)[1]',
      domain text PATH '(BkTxCd/Domn/Cd)[1]', family text PATH '(BkTxCd/Domn/Fmly/Cd)[1]', sub_family text PATH '(BkTxCd/Domn/Fmly/SubFmlyCd)[1]',
      proprietary text PATH '(BkTxCd/Prtry/Cd)[1]',
      instructed text PATH '(AmtDtls/InstdAmt/Amt)[1]', instructed_ccy text PATH '(AmtDtls/InstdAmt/Amt/@Ccy)[1]',
      charges xml PATH 'Chrgs/TtlChrgsAndTaxAmt', charge_parts xml PATH 'Chrgs/Amt | Chrgs/Rcrd/Amt',
      batch_message text PATH '(NtryDtls/Btch/MsgId | Btch/MsgId)[1]', batch_id text PATH '(NtryDtls/Btch/PmtInfId | Btch/PmtInfId)[1]',
      batch_count text PATH '(NtryDtls/Btch/NbOfTxs | Btch/NbOfTxs)[1]',
      additional text PATH '(AddtlNtryInf)[1]') e
  WHERE p.kind = 'entries'
), detail AS (
  SELECT p.statement_no, d.*,
         CASE WHEN coalesce(d.amount_direct, d.amount_booked) IS NOT NULL
           THEN coalesce(d.amount_direct, d.amount_booked)::numeric END AS amt,
         CASE WHEN d.amount_direct IS NOT NULL THEN d.ccy_direct ELSE d.ccy_booked END AS ccy
  FROM pg_temp.o2c_camt_part p,
    XMLTABLE('/x/TxDtls' PASSING p.fragment COLUMNS
      n integer PATH '@n', d integer PATH '@d',
      amount_direct text PATH '(Amt)[1]', ccy_direct text PATH '(Amt/@Ccy)[1]', sign text PATH '(CdtDbtInd)[1]',
      amount_booked text PATH '(AmtDtls/TxAmt/Amt)[1]', ccy_booked text PATH '(AmtDtls/TxAmt/Amt/@Ccy)[1]',
      instructed text PATH '(AmtDtls/InstdAmt/Amt)[1]', instructed_ccy text PATH '(AmtDtls/InstdAmt/Amt/@Ccy)[1]',
      rate text PATH '(AmtDtls/*/CcyXchg/XchgRate)[1]',
      charges xml PATH 'Chrgs/TtlChrgsAndTaxAmt', charge_parts xml PATH 'Chrgs/Amt | Chrgs/Rcrd/Amt',
      end_to_end text PATH '(Refs/EndToEndId)[1]', bank_ref text PATH '(Refs/AcctSvcrRef)[1]', mandate text PATH '(Refs/MndtId)[1]',
      uetr text PATH '(Refs/UETR)[1]', transaction_id text PATH '(Refs/TxId)[1]', instruction_id text PATH '(Refs/InstrId)[1]',
      message_id text PATH '(Refs/MsgId)[1]', payment_info_id text PATH '(Refs/PmtInfId)[1]', cheque_no text PATH '(Refs/ChqNb)[1]',
      clearing_ref text PATH '(Refs/ClrSysRef)[1]',
      debtor text PATH '(RltdPties/Dbtr/Nm | RltdPties/Dbtr/Pty/Nm)[1]',
      debtor_iban text PATH '(RltdPties/DbtrAcct/Id/IBAN)[1]',
      debtor_account text PATH '(RltdPties/DbtrAcct/Id/Othr/Id | RltdPties/DbtrAcct/Id/BBAN | RltdPties/DbtrAcct/Id/PrtryAcct/Id)[1]',
      debtor_bic text PATH '(RltdAgts/DbtrAgt/FinInstnId/BICFI | RltdAgts/DbtrAgt/FinInstnId/BIC | RltdAgts/DbtrAgt/FinInstnId/CmbndId/BIC)[1]',
      ultimate_debtor text PATH '(RltdPties/UltmtDbtr/Nm | RltdPties/UltmtDbtr/Pty/Nm)[1]',
      creditor text PATH '(RltdPties/Cdtr/Nm | RltdPties/Cdtr/Pty/Nm)[1]',
      creditor_iban text PATH '(RltdPties/CdtrAcct/Id/IBAN)[1]',
      creditor_account text PATH '(RltdPties/CdtrAcct/Id/Othr/Id | RltdPties/CdtrAcct/Id/BBAN | RltdPties/CdtrAcct/Id/PrtryAcct/Id)[1]',
      creditor_bic text PATH '(RltdAgts/CdtrAgt/FinInstnId/BICFI | RltdAgts/CdtrAgt/FinInstnId/BIC | RltdAgts/CdtrAgt/FinInstnId/CmbndId/BIC)[1]',
      ultimate_creditor text PATH '(RltdPties/UltmtCdtr/Nm | RltdPties/UltmtCdtr/Pty/Nm)[1]',
      related xml PATH 'RltdPties/TradgPty/Nm | RltdPties/Prtry/Pty/Nm',
      purpose text PATH '(Purp/Cd | Purp/Prtry)[1]',
      unstructured xml PATH 'RmtInf/Ustrd',
      creditor_ref text PATH '(RmtInf/Strd/CdtrRefInf/Ref | RmtInf/Strd/CdtrRefInf/CdtrRef)[1]',
      structured xml PATH 'RmtInf/Strd/CdtrRefInf/Ref | RmtInf/Strd/CdtrRefInf/CdtrRef | RmtInf/Strd/RfrdDocInf/Nb | RmtInf/Strd/RfrdDocInf/RfrdDocNb | RmtInf/Strd/AddtlRmtInf',
      return_reason text PATH '(RtrInf/Rsn/Cd | RtrInf/Rsn/Prtry | RtrInf/RtrRsn/Cd | RtrInf/RtrRsn/Prtry)[1]',
      return_text text PATH '(RtrInf/AddtlInf)[1]', return_code text PATH '(RtrInf/OrgnlBkTxCd/Prtry/Cd)[1]',
      additional text PATH '(AddtlTxInf)[1]') d
  WHERE p.kind = 'details'
), whole AS (
  -- an entry is split into its details when they are all there and fit it
  SELECT e.statement_no, e.n, f.split, x.n_details,
         CASE WHEN x.n_details > 1 AND NOT f.split THEN pg_catalog.left(x.texts, 60000) END AS texts
  FROM entry e
  JOIN (SELECT d.statement_no, d.n, pg_catalog.count(*) AS n_details,
               pg_catalog.count(*) FILTER (WHERE d.amt IS NOT NULL AND d.ccy = g.ccy) AS n_amounts,
               pg_catalog.sum(CASE WHEN coalesce(d.sign, g.sign) = 'DBIT' THEN -d.amt ELSE d.amt END) AS total,
               pg_catalog.string_agg(nullif(pg_catalog.concat_ws(' ', o2c._xml_text(d.unstructured), o2c._xml_text(d.structured)), ''), ' ' ORDER BY d.d) AS texts
        FROM detail d JOIN entry g USING (statement_no, n) GROUP BY 1, 2) x USING (statement_no, n),
    LATERAL (SELECT x.n_details > 1 AND x.n_amounts = x.n_details AND x.total = e.signed AS split) f
), line AS (
  SELECT e.statement_no, e.n, d.d, w.split, w.texts, w.n_details,
         CASE WHEN w.split THEN CASE WHEN coalesce(d.sign, e.sign) = 'DBIT' THEN -d.amt ELSE d.amt END ELSE e.signed END AS amount,
         e.ccy, e.booked_on, e.valued_on, e.bank_ref AS entry_ref, e.entry_no, e.reversal, e.instructed AS entry_instructed,
         e.instructed_ccy AS entry_instructed_ccy, e.batch_message, e.batch_id, e.batch_count,
         coalesce(nullif(pg_catalog.concat_ws('.', e.domain, e.family, e.sub_family), ''), e.proprietary) AS code,
         e.domain IS NOT NULL AS has_domain, e.proprietary, e.additional AS entry_additional,
         coalesce(o2c._xml_sum(d.charges), o2c._xml_sum(d.charge_parts),
                  CASE WHEN NOT coalesce(w.split, false) THEN coalesce(o2c._xml_sum(e.charges), o2c._xml_sum(e.charge_parts)) END) AS charges,
         d.instructed, d.instructed_ccy, d.rate, d.end_to_end, d.bank_ref AS detail_ref, d.mandate, d.uetr, d.transaction_id,
         d.instruction_id, d.message_id, d.payment_info_id, d.cheque_no, d.clearing_ref,
         d.debtor, d.debtor_iban, d.debtor_account, d.debtor_bic, d.ultimate_debtor,
         d.creditor, d.creditor_iban, d.creditor_account, d.creditor_bic, d.ultimate_creditor,
         d.purpose, d.unstructured, d.creditor_ref, d.structured, d.return_reason, d.return_text, d.return_code, d.additional, d.related,
         h.account,
         pg_catalog.count(*) OVER (PARTITION BY e.statement_no, e.n) AS of_entry
  FROM entry e
  JOIN head h USING (statement_no)
  LEFT JOIN whole w USING (statement_no, n)
  LEFT JOIN detail d ON d.statement_no = e.statement_no AND d.n = e.n AND (w.split OR w.n_details = 1)
  WHERE e.booked IN ('BOOK', 'BOOKED')
), party AS (
  -- who the other party is follows from the direction, turned round for a
  -- return or reversal, unless that party's account is the statement's own
  SELECT l.*, CASE
      WHEN own.debtor THEN false WHEN own.creditor THEN true
      WHEN dir.debtor AND l.debtor IS NULL AND l.debtor_iban IS NULL AND l.debtor_account IS NULL AND l.ultimate_debtor IS NULL THEN false
      WHEN NOT dir.debtor AND l.creditor IS NULL AND l.creditor_iban IS NULL AND l.creditor_account IS NULL AND l.ultimate_creditor IS NULL THEN true
      ELSE dir.debtor END AS from_debtor
  FROM line l,
    LATERAL (SELECT (l.amount >= 0) <> (coalesce(l.return_reason, '') <> '' OR coalesce(l.reversal IN ('true', '1'), false)) AS debtor) dir,
    LATERAL (SELECT coalesce(l.account IN (l.debtor_iban, l.debtor_account) AND l.account NOT IN (coalesce(l.creditor_iban, ''), coalesce(l.creditor_account, '')), false) AS debtor,
                    coalesce(l.account IN (l.creditor_iban, l.creditor_account) AND l.account NOT IN (coalesce(l.debtor_iban, ''), coalesce(l.debtor_account, '')), false) AS creditor) own
)
-- a statement without any booked balance proves as little as a notification
SELECT h.statement_no, 0, h.account, h.id, coalesce(h.electronic_no, h.legal_no), h.message <> 'camt.053' OR e.statement_no IS NULL,
  coalesce(nullif(pg_catalog.substr(h.from_date, 1, 10), ''), e.opening_day)::date,
  coalesce(e.closing_day, nullif(pg_catalog.substr(h.to_date, 1, 10), ''), pg_catalog.substr(h.created, 1, 10))::date,
  e.opening_balance, e.closing_balance,
  coalesce(h.currency, e.opening_ccy, e.closing_ccy),
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  CASE WHEN h.message = 'camt.053' THEN pg_catalog.jsonb_build_object('opening_currency', e.opening_ccy, 'closing_currency', e.closing_ccy) END
FROM head h LEFT JOIN edge e USING (statement_no)
UNION ALL
SELECT p.statement_no, (pg_catalog.row_number() OVER (PARTITION BY p.statement_no ORDER BY p.n, p.d))::integer,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, p.ccy,
  coalesce(nullif(pg_catalog.substr(p.booked_on, 1, 10), ''), nullif(pg_catalog.substr(p.valued_on, 1, 10), ''),
           (SELECT coalesce(nullif(pg_catalog.substr(h.to_date, 1, 10), ''), pg_catalog.substr(h.created, 1, 10)) FROM head h WHERE h.statement_no = p.statement_no))::date,
  nullif(pg_catalog.substr(p.valued_on, 1, 10), '')::date,
  pg_catalog.trim_scale(p.amount),
  nullif(CASE WHEN p.from_debtor THEN coalesce(p.debtor, p.ultimate_debtor) ELSE coalesce(p.creditor, p.ultimate_creditor) END, ''),
  nullif(pg_catalog.replace(CASE WHEN p.from_debtor THEN p.debtor_iban ELSE p.creditor_iban END, ' ', ''), ''),
  nullif(CASE WHEN p.from_debtor THEN p.debtor_account ELSE p.creditor_account END, ''),
  nullif(CASE WHEN p.from_debtor THEN p.debtor_bic ELSE p.creditor_bic END, ''),
  -- what the payer wrote; without it, what the bank writes
  coalesce(nullif(pg_catalog.concat_ws(' ', o2c._xml_text(p.unstructured), o2c._xml_text(p.structured)), ''),
           CASE WHEN NOT p.split THEN p.texts END, nullif(p.additional, ''), nullif(p.entry_additional, '')),
  nullif(pg_catalog.replace(p.creditor_ref, ' ', ''), ''),
  CASE WHEN p.end_to_end NOT IN ('', 'NOTPROVIDED') THEN p.end_to_end END,
  nullif(p.mandate, ''),
  -- an entry's reference identifies its line only if it is the entry's only one
  CASE WHEN p.of_entry = 1 THEN coalesce(nullif(p.entry_ref, ''), nullif(p.detail_ref, ''))
       WHEN p.detail_ref <> '' AND p.detail_ref IS DISTINCT FROM p.entry_ref THEN p.detail_ref END,
  nullif(p.entry_ref, ''), p.code, nullif(p.return_reason, ''), nullif(p.charges, 0),
  coalesce(nullif(p.instructed, ''), CASE WHEN NOT coalesce(p.split, false) THEN nullif(p.entry_instructed, '') END)::numeric,
  CASE WHEN nullif(p.instructed, '') IS NOT NULL THEN p.instructed_ccy
       WHEN NOT coalesce(p.split, false) AND nullif(p.entry_instructed, '') IS NOT NULL THEN p.entry_instructed_ccy END,
  nullif(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'ultimate_debtor', p.ultimate_debtor, 'ultimate_creditor', p.ultimate_creditor, 'entry_no', p.entry_no,
    'reversal', CASE WHEN p.reversal IN ('true', '1') THEN true END, 'proprietary_code', CASE WHEN p.has_domain THEN p.proprietary END,
    'uetr', p.uetr, 'transaction_id', p.transaction_id, 'instruction_id', p.instruction_id, 'message_id', coalesce(p.message_id, p.batch_message),
    'payment_info_id', coalesce(p.payment_info_id, p.batch_id), 'batch_count', coalesce(p.batch_count, CASE WHEN p.n_details > 1 THEN p.n_details::text END), 'cheque_no', p.cheque_no,
    'clearing_ref', p.clearing_ref, 'purpose', p.purpose, 'exchange_rate', p.rate, 'return_text', p.return_text, 'return_code', p.return_code,
    'related_parties', o2c._xml_text(p.related), 'additional', p.additional, 'entry_additional', p.entry_additional)), '{}')
FROM party p
$$;
COMMENT ON FUNCTION o2c._camt_rows() IS
  'The statements and lines in pg_temp.o2c_camt_part; only booked entries, batches as their details when these add up.';
