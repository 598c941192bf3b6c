# What the tests of plans share: a server whose tables nobody analyzes, and the
# busiest step of the plans of a statement.
package Plans;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(plans_server busiest_step);

# A server without autovacuum, whose database o2c has the extension and its
# tables; undef where auto_explain is not.
sub plans_server
{
	my $node = PostgreSQL::Test::Cluster->new('plans');
	$node->init;
	$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE DATABASE o2c');
	$node->safe_psql('o2c', 'SET client_min_messages = warning; CREATE EXTENSION order2cash; SELECT o2c.install()');
	return $node if ($node->psql('o2c', "LOAD 'auto_explain'"))[0] == 0;
	$node->stop('fast');
	return undef;
}

# The most rows that a step of any plan of a statement gave or dropped, and its plan
sub busiest_step
{
	my ($node, $statement) = @_;
	my ($most, $where) = (0, '');
	my ($rc, $out, $err) = $node->psql('o2c', qq{
		LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on;
		SET auto_explain.log_timing = off; SET auto_explain.log_level = notice; SET client_min_messages = notice;
		$statement});
	is($rc, 0, $statement) or diag($err);
	for my $plan (split /NOTICE:  /, $err)
	{
		my $loops = 1;
		for my $line (split /\n/, $plan)
		{
			my $rows = 0;
			($rows, $loops) = ($1, $2) if $line =~ /actual rows=([\d.]+) loops=(\d+)/;
			$rows = $1 if $line =~ /Rows Removed by (?:Join )?Filter: ([\d.]+)/;
			($most, $where) = ($rows * $loops, "$line\n$plan") if $rows * $loops > $most;
		}
	}
	return ($most, $where);
}

1;
