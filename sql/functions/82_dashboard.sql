-- The receivables dashboard: one self-contained HTML page with inline SVG.
--
-- No script and nothing from elsewhere; colours follow the reader's light or
-- dark setting; one column on a phone.  Each part is a function that returns
-- its HTML, so that a page of one's own can take single parts.

CREATE FUNCTION o2c._html(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(coalesce(value, ''),
           '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
$$;
COMMENT ON FUNCTION o2c._html(text) IS 'A text with the characters escaped that HTML gives a meaning.';

CREATE FUNCTION o2c._money(amount numeric, currency text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.translate(pg_catalog.btrim(pg_catalog.to_char(pg_catalog.round(amount), 'FM999,999,999,999,999,990')), ',', E'\u2009')
         || coalesce(' ' || currency, '')
$$;
COMMENT ON FUNCTION o2c._money(numeric, text) IS 'Whole units with thin spaces between thousands, for reading.';

CREATE FUNCTION o2c._money_short(amount numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT CASE WHEN pg_catalog.abs(amount) >= 1e13 THEN o2c._money(amount / 1e12) || ' tn'
    WHEN pg_catalog.abs(amount) >= 1e10 THEN o2c._money(amount / 1e9) || ' bn'
    WHEN pg_catalog.abs(amount) >= 1e7 THEN pg_catalog.round(amount / 1e6, 1) || ' m'
    WHEN pg_catalog.abs(amount) < 10 AND amount <> pg_catalog.round(amount) THEN pg_catalog.round(amount, 2)::text
    ELSE o2c._money(amount) END
$$;
COMMENT ON FUNCTION o2c._money_short(numeric) IS 'An amount in few characters: millions (m), billions (bn), trillions (tn) when it is large.';

CREATE FUNCTION o2c._svg_bars(labels text[], amounts numeric[], second numeric[] DEFAULT NULL, classes text[] DEFAULT NULL, title text DEFAULT '')
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  n integer := coalesce(pg_catalog.array_length(labels, 1), 0);
  top numeric := (SELECT pg_catalog.max(a) FROM pg_catalog.unnest(amounts || coalesce(second, '{}')) a WHERE a > 0);
  wide numeric := 640.0 / GREATEST(n, 1);
BEGIN
  IF top IS NULL THEN
    RETURN '<p class="soft">Nothing is open.</p>';
  END IF;
  RETURN pg_catalog.format('<svg viewBox="-24 0 688 230" role="img" aria-label="%s"><title>%s</title><line class="axis" x1="0" y1="190" x2="640" y2="190"/>',
      o2c._html(title), o2c._html(title))
    || coalesce((SELECT pg_catalog.string_agg(
         pg_catalog.format('<rect class="bar %s" x="%s" y="%s" width="%s" height="%s" rx="3"><title>%s: %s</title></rect>',
           coalesce(classes[i], ''), pg_catalog.round(wide * (i - 1) + wide * 0.12, 1),
           pg_catalog.round(190 - 160 * GREATEST(amounts[i], 0) / top, 1), pg_catalog.round(wide * 0.76, 1),
           pg_catalog.round(160 * GREATEST(amounts[i], 0) / top, 1), o2c._html(labels[i]), o2c._money(amounts[i]))
         || CASE WHEN coalesce(second[i], 0) <= 0 THEN '' ELSE
              pg_catalog.format('<line class="mark" x1="%s" y1="%s" x2="%s" y2="%s"/>',
                pg_catalog.round(wide * (i - 1) + wide * 0.06, 1), pg_catalog.round(190 - 160 * GREATEST(second[i], 0) / top, 1),
                pg_catalog.round(wide * (i - 1) + wide * 0.94, 1), pg_catalog.round(190 - 160 * GREATEST(second[i], 0) / top, 1)) END
         || CASE WHEN n <= 7 OR amounts[i] = top THEN pg_catalog.format('<text class="value" x="%s" y="%s">%s</text>', pg_catalog.round(wide * (i - 0.5), 1),
              pg_catalog.round(183 - 160 * GREATEST(amounts[i], 0) / top, 1), o2c._money_short(amounts[i])) ELSE '' END
         || CASE WHEN n <= 7 OR i % 3 = 1 THEN
              pg_catalog.format('<text x="%s" y="212">%s</text>', pg_catalog.round(wide * (i - 0.5), 1), o2c._html(labels[i])) ELSE '' END, '' ORDER BY i)
       FROM pg_catalog.generate_series(1, n) i), '')
    || '</svg>';
END $$;
COMMENT ON FUNCTION o2c._svg_bars(text[], numeric[], numeric[], text[], text) IS
  'A bar chart as SVG, or a sentence when no amount is above zero; second amounts are marks across the bars.';

CREATE FUNCTION o2c._svg_line(labels text[], amounts numeric[], title text DEFAULT '') RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  n integer := coalesce(pg_catalog.array_length(labels, 1), 0);
  top numeric := GREATEST(1, (SELECT pg_catalog.max(a) FROM pg_catalog.unnest(amounts) a)) * 1.15;
  wide numeric := 640.0 / GREATEST(n, 1);
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.unnest(amounts) a WHERE a IS NOT NULL) THEN
    RETURN '<p class="soft">No sales in the months before.</p>';
  END IF;
  RETURN pg_catalog.format('<svg viewBox="-24 0 688 230" role="img" aria-label="%s"><title>%s</title><line class="axis" x1="0" y1="190" x2="640" y2="190"/>',
      o2c._html(title), o2c._html(title))
    || coalesce((SELECT '<polyline class="trend" points="' || pg_catalog.string_agg(
           pg_catalog.format('%s,%s', pg_catalog.round(wide * (i - 0.5), 1), pg_catalog.round(190 - 160 * GREATEST(amounts[i], 0) / top, 1)), ' ' ORDER BY i) || '"/>'
         || pg_catalog.string_agg(pg_catalog.format('<circle class="dot" cx="%s" cy="%s" r="4"><title>%s: %s</title></circle>',
              pg_catalog.round(wide * (i - 0.5), 1), pg_catalog.round(190 - 160 * GREATEST(amounts[i], 0) / top, 1), o2c._html(labels[i]), pg_catalog.round(amounts[i], 1)), '')
       FROM pg_catalog.generate_series(1, n) i WHERE amounts[i] IS NOT NULL), '')
    || coalesce((SELECT pg_catalog.string_agg(
           CASE WHEN amounts[i] IS NULL THEN '' ELSE pg_catalog.format('<text class="value" x="%s" y="%s">%s</text>', pg_catalog.round(wide * (i - 0.5), 1),
             pg_catalog.round(178 - 160 * GREATEST(amounts[i], 0) / top, 1), pg_catalog.round(amounts[i])) END
           || CASE WHEN i % 3 = n % 3 THEN pg_catalog.format('<text x="%s" y="212">%s</text>', pg_catalog.round(wide * (i - 0.5), 1), o2c._html(labels[i])) ELSE '' END, '' ORDER BY i)
       FROM pg_catalog.generate_series(1, n) i), '')
    || '</svg>';
END $$;
COMMENT ON FUNCTION o2c._svg_line(text[], numeric[], text) IS 'A line chart as SVG, or a sentence when there is no amount; missing amounts leave a gap in its points.';

CREATE FUNCTION o2c._customer_cell(name text, code text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT '<td class="w"><span class="name" title="' || o2c._html(name) || '">' || o2c._html(coalesce(name, 'not identified')) || '</span><small>'
         || CASE WHEN code IS DISTINCT FROM name THEN o2c._html(code) ELSE '' END || '</small></td>'
$$;
COMMENT ON FUNCTION o2c._customer_cell(text, text) IS 'A table cell with a customer''s name, two lines of it at most, and code.';

CREATE FUNCTION o2c.receivables_dashboard(company_id integer, as_of date DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'
AS $$
#variable_conflict use_column
DECLARE
  company record;
  on_date date := $2;
  aged record;
  overdue numeric;
  page text;
  part text;
BEGIN
  PERFORM o2c._require_company($1);
  SELECT c.name, c.currency::text AS currency INTO company FROM o2c.company c WHERE c.company_id = $1;
  on_date := coalesce(on_date, o2c.today($1));
  PERFORM o2c._require_range(on_date, on_date);
  SELECT coalesce(pg_catalog.max(a.buckets), '{0,0,0,0,0}') AS b, coalesce(pg_catalog.max(a.unapplied), 0) AS unapplied,
         coalesce(pg_catalog.max(a.total), 0) AS total, coalesce(pg_catalog.max(a.disputed), 0) AS disputed
  INTO aged FROM o2c.aging($1, on_date, grouped_by => 'company', in_currency => company.currency) a;
  overdue := aged.b[2] + aged.b[3] + aged.b[4] + aged.b[5];

  page := '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    || pg_catalog.format('<title>Receivables of %s, %s</title>', o2c._html(company.name), on_date)
    || '<style>:root{--bg:#f6f7f9;--card:#fff;--ink:#1c2430;--soft:#667085;--line:#dfe3ea;--a:#2563a8;--b:#e0a030;--c:#d9772b;--d:#c8482f;--e:#8f1f2a}'
    || '@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e8ecf2;--soft:#98a3b3;--line:#2e3744;--a:#6aa5e8;--b:#e5b04e;--c:#e88d4a;--d:#e2664f;--e:#d2505c}}'
    || '*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,sans-serif}main{max-width:1180px;margin:0 auto;padding:20px 16px}'
    || 'h1{font-size:1.35rem;margin:0}h2{font-size:1rem;margin:0 0 8px}header p,.soft{color:var(--soft);margin:2px 0 16px}.tiles,.grid{display:grid;gap:14px}'
    || '.tiles{grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin-bottom:14px}.grid{grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))}'
    || '.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;overflow-x:auto}.card p{margin:6px 0 0}.tile b{display:block;font-size:1.35rem;white-space:nowrap}.tile span{color:var(--soft);font-size:.85rem}'
    || 'svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:13px;text-anchor:middle}svg .value{fill:var(--ink)}.axis{stroke:var(--line)}.bar{fill:var(--a)}'
    || '.b1{fill:var(--a)}.b2{fill:var(--b)}.b3{fill:var(--c)}.b4{fill:var(--d)}.b5{fill:var(--e)}.trend{fill:none;stroke:var(--a);stroke-width:3}.dot{fill:var(--a)}.mark{stroke:var(--ink);stroke-width:2}'
    || 'table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:6px 8px;border-top:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:500;border-top:0}'
    || 'td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.w,td.t{white-space:normal;overflow-wrap:anywhere}td.w{min-width:7em}td.t{min-width:6em}header{overflow-wrap:anywhere}'
    || '.name{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}small{color:var(--soft);display:block}.wide{grid-column:1/-1}@media(max-width:560px){.x{display:none}th,td{padding:5px 4px;font-size:.85rem}svg text{font-size:19px}}</style></head><body><main>'
    || pg_catalog.format('<header><h1>Receivables of %s</h1><p>as of %s, in %s</p></header>', o2c._html(company.name), on_date, company.currency);

  page := page || '<section class="tiles">' || (
    SELECT pg_catalog.string_agg(pg_catalog.format('<div class="card tile"><span>%s</span><b%s>%s</b></div>', t.label,
      CASE WHEN t.amount IS NULL THEN '' ELSE pg_catalog.format(' title="%s"', o2c._money(t.amount)) END,
      coalesce(o2c._money_short(t.amount), t.value, '–')), '' ORDER BY t.place)
    FROM (VALUES (1, 'Balance', aged.total, NULL), (2, 'Overdue', overdue, NULL),
      (3, 'Overdue share', NULL, pg_catalog.round(100 * overdue / nullif(overdue + aged.b[1], 0)) || ' %'),
      (4, 'Not applied yet', aged.unapplied, NULL), (5, 'In dispute', aged.disputed, NULL),
      (6, 'DSO, 90 days', NULL, o2c.dso($1, on_date - 89, on_date)::text),
      (7, 'CEI, 90 days', NULL, o2c.cei($1, on_date - 89, on_date) || ' %')) t (place, label, amount, value)) || '</section><section class="grid">';

  page := page || '<div class="card"><h2>By age</h2>'
    || o2c._svg_bars('{Not due,1–30 days,31–60,61–90,over 90}', aged.b, NULL, '{b1,b2,b3,b4,b5}', 'Receivables by age') || '</div>';

  SELECT o2c._svg_line(pg_catalog.array_agg(pg_catalog.to_char(m.last_on, 'Mon YY') ORDER BY m.last_on),
           pg_catalog.array_agg(o2c.dso($1, m.last_on - 89, m.last_on) ORDER BY m.last_on), 'Days sales outstanding by month')
  INTO part
  FROM (SELECT (pg_catalog.date_trunc('month', on_date::timestamp) - pg_catalog.make_interval(months => g) + '1 month - 1 day'::interval)::date AS last_on
        FROM pg_catalog.generate_series(1, 12) g) m;
  page := page || '<div class="card"><h2>Days sales outstanding, month ends</h2>' || coalesce(part, '') || '</div>';

  SELECT o2c._svg_bars(pg_catalog.array_agg(pg_catalog.to_char(f.week_from, 'DD Mon') ORDER BY f.week_from),
           pg_catalog.array_agg(f.expected ORDER BY f.week_from), pg_catalog.array_agg(f.due ORDER BY f.week_from), NULL, 'Receipts expected by week')
  INTO part
  FROM (SELECT w.week_from,
          pg_catalog.sum(w.expected * r.rate) AS expected, pg_catalog.sum(w.due * r.rate) AS due
        FROM o2c.cash_forecast($1, on_date, 13) w
        CROSS JOIN LATERAL (SELECT CASE WHEN w.currency = company.currency THEN 1 ELSE o2c.exchange_rate_on($1, w.currency, company.currency, on_date) END AS rate) r
        GROUP BY w.week_from) f;
  page := page || '<div class="card"><h2>Receipts expected, 13 weeks</h2>' || coalesce(part, '<p class="soft">Nothing is open.</p>')
    || '<p class="soft">Bars: due dates and how late each customer pays. Marks: due dates alone.</p></div>';

  SELECT pg_catalog.string_agg(pg_catalog.format('<tr>%s<td class="n">%s</td><td class="n x">%s</td><td class="n">%s</td></tr>',
           o2c._customer_cell(t.name, t.customer_code), o2c._money_short(t.overdue), o2c._money_short(t.oldest), o2c._money_short(t.total)), '' ORDER BY t.overdue DESC, t.customer_code)
  INTO part
  FROM (SELECT a.customer_code, c.name, a.buckets[2] + a.buckets[3] + a.buckets[4] + a.buckets[5] AS overdue, a.buckets[5] AS oldest, a.total
        FROM o2c.aging($1, on_date, in_currency => company.currency) a
        LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.code = a.customer_code
        WHERE a.buckets[2] + a.buckets[3] + a.buckets[4] + a.buckets[5] > 0
        ORDER BY 3 DESC, 1 LIMIT 10) t;
  page := page || '<div class="card"><h2>Most overdue</h2>' || coalesce(
    '<table><tr><th>Customer</th><th class="n">Overdue</th><th class="n x">over 90 days</th><th class="n">Balance</th></tr>' || part || '</table>',
    '<p class="soft">Nothing is overdue.</p>') || '</div>';

  SELECT pg_catalog.string_agg(pg_catalog.format('<tr>%s<td class="n">%s</td><td class="n">%s</td><td class="t">%s</td></tr>',
           o2c._customer_cell(w.customer_name, w.customer_code), o2c._money_short(w.overdue_amount) || ' ' || w.currency, w.oldest_days, o2c._html(w.next_action)),
           '' ORDER BY w.score DESC, w.customer_code)
  INTO part
  FROM (SELECT * FROM o2c_bi.worklist l WHERE l.company_id = $1 ORDER BY l.score DESC, l.customer_code LIMIT 10) w;
  page := page || '<div class="card wide"><h2>Whom to call today</h2>' || coalesce(
    '<table><tr><th>Customer</th><th class="n">Overdue</th><th class="n">Days</th><th>Next</th></tr>' || part || '</table>',
    '<p class="soft">Nobody.</p>') || '</div>';
  RETURN page || '</section></main></body></html>' || E'\n';
END $$;
COMMENT ON FUNCTION o2c.receivables_dashboard(integer, date) IS
  'One self-contained HTML page: balance and ratios, aging, DSO by month, expected receipts, the most overdue customers and the worklist, in the company''s currency; light and dark, for a phone too. Errors: O2002, O2003 without an exchange rate, O2044.';
