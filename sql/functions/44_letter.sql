-- What printable pages share: the document's head, the letterhead, and the
-- layout of tables and sums, for A4 and for a phone.

CREATE FUNCTION o2c._in_language(language text, en text, de text, it text, fr text, es text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE pg_catalog.left($1, 2) WHEN 'de' THEN $3 WHEN 'it' THEN $4 WHEN 'fr' THEN $5 WHEN 'es' THEN $6 ELSE $2 END
$$;
COMMENT ON FUNCTION o2c._in_language(text, text, text, text, text, text) IS
  'The word of a language, by its first two letters; the English one for languages without words.';

CREATE FUNCTION o2c._letter_head(title text, address text, style text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $page$ SELECT $html$<!DOCTYPE html>
<html lang="{{lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$html$ || title || $html$</title>
<style>
@page { size: A4; margin: 18mm 16mm 16mm 20mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt Arial, sans-serif; color: #555 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 12mm; max-width: 210mm; color: #1a1a1a; background: #fff;
  font: 10pt/1.45 "Helvetica Neue", Arial, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums }
header { display: flex; justify-content: space-between; gap: 12mm; border-bottom: 2px solid #1a1a1a; padding-bottom: 4mm }
header .name { font-size: 14pt; font-weight: 700; overflow-wrap: anywhere }
header .from { text-align: right; font-size: 8.5pt; color: #444; overflow-wrap: anywhere }
.head { display: flex; justify-content: space-between; gap: 12mm; margin: 10mm 0 8mm }
address { font-style: normal; white-space: pre-line; overflow-wrap: anywhere; max-width: 85mm }
.facts { border-collapse: collapse; align-self: flex-start }
.facts th { font-weight: 400; color: #555; text-align: left; padding: 0 5mm 0.5mm 0; vertical-align: top; white-space: nowrap }
.facts td { text-align: right; padding: 0 0 0.5mm; overflow-wrap: anywhere; max-width: 60mm }
.lines thead { display: table-header-group }
.lines tr { break-inside: avoid }
.sums { break-inside: avoid }
.end { break-inside: avoid }
.lines th:last-child, .lines td:last-child { padding-right: 0 }
.small { font-size: 8.5pt; color: #555 }
.sums table { border-collapse: collapse; min-width: 85mm }
.sums th { text-align: left; font-weight: 400; padding: 0.8mm 6mm 0.8mm 0 }
.sums td { text-align: right; white-space: nowrap; padding: 0.8mm 0 }
.sums .due th, .sums .due td { border-top: 2px solid #1a1a1a; font-weight: 700; font-size: 12pt; padding-top: 1.5mm }
footer { margin-top: 10mm; border-top: 1px solid #ddd; padding-top: 2mm; font-size: 8pt; color: #555; overflow-wrap: anywhere }
$html$ || style || $html$</style>
</head>
<body>
<header><div class="name">{{seller.name}}</div>
<div class="from">{{#seller_lines}}{{.}}<br>{{/seller_lines}}</div></header>
<div class="head"><address>$html$ || address || $html$</address>
<table class="facts">{{#facts}}<tr><th>{{label}}</th><td>{{value}}</td></tr>
{{/facts}}</table></div>
$html$ $page$;
COMMENT ON FUNCTION o2c._letter_head(text, text, text) IS
  'The beginning of a template of a printable page, up to what it is about: title and address are template text, style the page''s own rules.';
