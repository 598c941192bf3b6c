# What the fuzz tests share: a server without frills, and a function that
# throws one input after the other at some statements and counts what came of
# it: passed, refused with an error of class O2, or another error, which is told.
package Fuzz;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;

our @EXPORT = qw(fuzz_server fuzz_function);

# A server whose database postgres has the extension and its tables.
sub fuzz_server
{
	my $node = PostgreSQL::Test::Cluster->new('main');
	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "fsync = off\nclient_min_messages = error");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION order2cash');
	$node->safe_psql('postgres', 'SELECT o2c.install()');
	return $node;
}

# public.fuzz(arguments, times) -> (passed, refused, other), a row: before each
# of the times "input" is run, and then "body", whose errors count; both are
# PL/pgSQL and may use i, what "declare" says, and append to "other" themselves.
sub fuzz_function
{
	my ($node, %part) = @_;
	my $arguments = $part{arguments} ? "$part{arguments}, " : '';
	$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION public.fuzz(${arguments}times integer, OUT passed bigint, OUT refused bigint, OUT other text) LANGUAGE plpgsql AS \$f\$
DECLARE
  state text; msg text;
  $part{declare}
BEGIN
  passed := 0; refused := 0;
  FOR i IN 1 .. times LOOP
    $part{input}
    BEGIN
      $part{body}
      passed := passed + 1;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
      IF state ~ '^O2' THEN refused := refused + 1;
      ELSE other := concat_ws('; ', other, state || ' ' || msg); END IF;
    END;
  END LOOP;
END \$f\$;
SQL
}

1;
