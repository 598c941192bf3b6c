# Whatever text and values come, the renderer answers with text or with an
# error of class O2: never another error, a crash, a leak, a line break in a
# header, or a value that is markup in HTML.
#
# O2C_FUZZ_TEMPLATES (20000) inputs, drawn from a fixed seed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Fuzz;
use Test::More;

my $times = $ENV{O2C_FUZZ_TEMPLATES} || 20000;
my $node = fuzz_server();
$node->safe_psql('postgres', <<'SQL');
-- text that is nearly a template, and values that would like to be markup
CREATE FUNCTION public.some(choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
$f$ SELECT choices[1 + floor(random() * array_length(choices, 1))] $f$;
CREATE FUNCTION public.near_template() RETURNS text LANGUAGE sql VOLATILE AS $f$
  SELECT string_agg(public.some(ARRAY['{{a}}', '{{{a}}}', '{{&b}}', '{{#l}}', '{{/l}}', '{{^l}}', '{{#o}}', '{{/o}}', '{{#l}}{{.}}{{/l}}',
    '{{#o}}{{a.b.c}}{{/o}}', '{{! c }}', '{{', '}}', '{', '}', '{{{', '}}}', '{{#', '{{/', '{{}}', '{{ a }}', '{{a.b}}', '{{.}}', '{{..}}', '{{> p}}', '{{=<% %>=}}',
    E'\n', E'\r\n', ' ', E'\t', 'x', 'ü', '€', E'\u202e', 'text', E'{{#t}}\n{{/t}}\n', '{{#l}}{{#l}}{{/l}}{{/l}}', '{{^e}}', '{{/e}}', '<b>', '&', '"',
    repeat('{{#l}}', 20), repeat('{{/l}}', 20), repeat('y', 300), '{{' || repeat('n', 250) || '}}']), '')
  FROM generate_series(1, 1 + (random() * 14)::integer)
$f$;
CREATE FUNCTION public.near_value(depth integer) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
BEGIN
  RETURN CASE floor(random() * CASE WHEN depth > 3 THEN 7 ELSE 9 END)
    WHEN 0 THEN 'null' WHEN 1 THEN 'true' WHEN 2 THEN 'false'
    WHEN 3 THEN to_jsonb(public.some(ARRAY['0', '-1', '12.50', '1e300', '99999999999999999999999999.000001'])::numeric)
    WHEN 4 THEN to_jsonb(public.some(ARRAY['', 'x', '<script>alert(1)</script>', E'a\r\nBcc: x@y.z', E'\u2028', E'\u202e\u0085', '"><img src=x>', 'ümläut', '{{a}}', repeat('z', 5000), E'\x01\x7f', '\u0000x']))
    WHEN 5 THEN '[]' WHEN 6 THEN '{}'
    WHEN 7 THEN (SELECT jsonb_agg(public.near_value(depth + 1)) FROM generate_series(1, 1 + (random() * 3)::integer))
    ELSE jsonb_build_object('a', public.near_value(depth + 1), 'b', public.near_value(depth + 1), 'l', public.near_value(depth + 1), 'o', public.near_value(depth + 1)) END;
END $f$;
SQL
fuzz_function($node,
	declare => 'template text; context jsonb; result text;',
	# the same template meets several contexts: that is how letters are written
	input => <<'SQL',
    IF i % 3 = 1 THEN template := public.near_template(); END IF;
    context := jsonb_build_object('a', public.near_value(1), 'b', public.near_value(1), 'l', public.near_value(0), 'o', public.near_value(0), 't', true);
SQL
	body => <<'SQL');
      result := o2c.render(template, context, 'header');
      IF result ~ E'[\x01-\x1f\x7f\u0085\u2028\u2029\u202e]' THEN other := concat_ws('; ', other, 'header: ' || result); END IF;
      result := o2c.render(regexp_replace(template, '[<>&"]|\{\{\{|\{\{&', '', 'g'), context, 'html');
      IF result ~ '[<>"]' THEN other := concat_ws('; ', other, 'html: ' || result); END IF;
      result := o2c.render(template, context, 'url');
      result := o2c.render(template, context, 'json');
      PERFORM o2c.template_variables(template), o2c._check_template_text(template, NULL);
SQL

# in one backend, so that a leak would show
my $rounds = 4;
my $each = int($times / $rounds);
my $out = $node->safe_psql('postgres', "SELECT setseed(0.42);\n" . join "\n",
	map { "SELECT * FROM public.fuzz($each);\nSELECT sum(total_bytes) FROM pg_backend_memory_contexts;" } 1 .. $rounds);
my @lines = grep { $_ ne '' } split /\n/, $out;
my ($passed, $refused, @memory) = (0, 0);
for my $round (0 .. $rounds - 1)
{
	my ($ok, $no, $other) = split /\|/, $lines[ 2 * $round ], 3;
	is($other, '', 'round ' . ($round + 1) . ': no other error, no line break in a header, no markup out of a value');
	$passed += $ok;
	$refused += $no;
	push @memory, $lines[ 2 * $round + 1 ];
}
cmp_ok($passed, '>', $times / 20, "$passed were templates");
cmp_ok($refused, '>', $times / 20, "$refused were refused");
cmp_ok($memory[-1], '<=', 1.1 * $memory[0] + 1_000_000, "memory after the first round $memory[0], after the last $memory[-1]");
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
$node->stop;
done_testing();
