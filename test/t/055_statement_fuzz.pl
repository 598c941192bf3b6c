# Whatever bytes come, a reader of bank files answers with rows or with an error
# of class O2: never another error, never a crash.  Mutations of the samples
# are drawn from a fixed seed; every line reader also gets text that is not its.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Fuzz;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = $ENV{O2C_ROOT} || '.';
my $shared = ($ENV{O2C_SHARED} || "$root/../shared") . '/data/bank';
my $times = $ENV{O2C_FUZZ} || 40;    # mutations of each file

my $node = fuzz_server();
my $db = 'postgres';
$node->safe_psql($db, <<'SQL');
CREATE FUNCTION public.mutate(content bytea, n integer) RETURNS bytea LANGUAGE plpgsql AS $f$
DECLARE
  pos integer; len integer; kind integer; k integer;
BEGIN
  FOR k IN 1 .. 1 + (random() * n)::integer LOOP
    len := length(content);
    EXIT WHEN len < 4;
    pos := 1 + (random() * (len - 2))::integer;
    kind := (random() * 6)::integer;
    content := CASE kind
      WHEN 0 THEN set_byte(content, pos - 1, (random() * 255)::integer)
      WHEN 1 THEN substring(content for pos - 1) || substring(content from pos + 1 + (random() * 20)::integer)
      WHEN 2 THEN substring(content for pos) || substring(content from greatest(1, pos - (random() * 200)::integer))
      WHEN 3 THEN substring(content for pos)
      WHEN 4 THEN substring(content for pos - 1) || convert_to((ARRAY['0','9','99999999999999999999999999999','-',',','.','<','>','/','&','"',E'\n',E'\r\n',':','?','//','{','}','''',';','ü','€','</Ntry>','<Ntry>',':61:',':86:',':20:',':62M:','88,','16,','/','49,','03,','<STMTTRN>',']]>','<![CDATA[','&#0;','&#x110000;','2 '])[1 + (random() * 38)::integer], 'UTF8') || substring(content from pos)
      WHEN 5 THEN set_byte(content, pos - 1, 48 + (random() * 9)::integer)
      ELSE substring(content for pos - 1) || substring(content from pos + (random() * 100)::integer) END;
  END LOOP;
  RETURN content;
END $f$;
SQL
fuzz_function($node,
	arguments => 'path text',
	declare => 'original bytea := pg_read_binary_file(path); content bytea; txt text; fmt text; n bigint;',
	input => 'content := public.mutate(original, 6);',
	body => <<'SQL');
      txt := o2c._statement_text(content);
      fmt := o2c._statement_format(txt);
      IF fmt = 'xml' THEN
        DROP TABLE IF EXISTS pg_temp.o2c_camt_part;
        CREATE TEMP TABLE o2c_camt_part AS SELECT * FROM o2c._camt_parts(txt);
        SELECT count(*) INTO n FROM o2c._camt_rows();
      ELSIF fmt IS NOT NULL THEN
        SELECT count(*) INTO n FROM o2c._statement_rows(txt, fmt, NULL);
      END IF;
      -- every reader must stand any text
      IF fmt <> 'xml' AND i % 4 = 0 THEN
        FOREACH fmt IN ARRAY '{mt940,bai2,coda,ofx}'::text[] LOOP
          BEGIN
            SELECT count(*) INTO n FROM o2c._statement_rows(txt, fmt, NULL);
          EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
            IF state !~ '^O2' THEN other := concat_ws('; ', other, fmt || ':' || state || ' ' || msg); END IF;
          END;
        END LOOP;
      END IF;
SQL

my ($inputs, $passed) = (0, 0);
for my $file (sort(glob("$root/test/data/bank/*/*")), sort(glob("$shared/*/*")))
{
	(my $name = $file) =~ s{.*/}{};
	my ($ok, $refused, $other) = split /\|/, $node->safe_psql($db, "SELECT setseed(0.5); SELECT * FROM public.fuzz('$file', $times)") =~ s/^\n//r, 3;
	is($other, '', "$name: $times mutations, none with another error or a crash");
	$inputs += $times;
	$passed += $ok;
}
note(sprintf '= %-52s %s', 'mutated bank files: inputs, still readable', "$inputs, $passed");
is($node->safe_psql($db, 'SELECT 1'), '1', 'the server is there');
$node->stop;
done_testing();
