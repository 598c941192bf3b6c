# test/layers.pl: runs every layer of tests against the private server that
# check.sh started, and counts.
#
# A layer finds its files by listing a folder, so that adding a test is adding
# a file:
#   regress    test/sql/NAME.sql with expected/NAME.out, in order, one database
#   pgtap      test/pgtap/NN_domain.sql, each in its own database, a copy of a
#              template where the extension, o2c.install() and pgTAP are ready
#   isolation  test/specs/NAME.spec with expected/NAME.out, in order, one database
#   tap        test/t/NNN_topic.pl, PostgreSQL::Test scripts with own servers
# Files whose name begins with 00_ prepare the database of their layer and run
# whatever the filter is.  Writes "N passed, N failed" to $OUT/total.
use strict;
use warnings;
use File::Basename qw(basename);
use File::Path qw(make_path);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time);

my $root = $ENV{O2C_ROOT};
my $out = $ENV{OUT};
my $only_layer = $ENV{LAYER} // '';
my $only_file = $ENV{FILE} // '';
my $jobs = $ENV{JOBS} || 2;
my $time_limit = $ENV{TIME_LIMIT} || 600;    # seconds for one file
my $template = 'o2c_template';
my (%passed, %failed, @broken);

$| = 1;
chdir $root or die "cannot enter $root: $!";
make_path($out);

# Ended from outside, end what runs: tests stop their servers when told so.
my %running;
$SIG{TERM} = $SIG{INT} = sub {
	kill 'TERM', map { -$_ } keys %running;
	my $until = time + 4;
	while (%running && time < $until)
	{
		my $pid = waitpid(-1, WNOHANG);
		delete $running{$pid} if $pid > 0;
		select undef, undef, undef, 0.05;
	}
	exit 1;
};
open my $pid_file, '>', "$out/runner.pid" or die "cannot write $out/runner.pid: $!";
print $pid_file "$$\n";
close $pid_file;

# The files of a folder that the filters let through, sorted by name.
sub files_of
{
	my ($layer, $glob) = @_;
	return () if $only_layer ne '' && $only_layer ne $layer;
	my @files = sort glob("$root/$glob");
	if ($only_file ne '')
	{
		my @wanted = grep { basename($_) =~ /\Q$only_file\E/ } @files;
		return () unless @wanted;
		@files = grep { basename($_) =~ /^00_|\Q$only_file\E/ } @files;
	}
	return @files;
}

# The end of a log, indented.
sub tail_of
{
	my ($log, $lines) = @_;
	open my $fh, '<', $log or return '';
	my @all = <$fh>;
	@all = @all[ -$lines .. -1 ] if @all > $lines;
	return join '', map { "    $_" } @all;
}

# Run commands, a few at once; each writes a log, and $done->(job) judges it.
sub run_jobs
{
	my ($at_once, $queue, $done) = @_;
	while (@$queue || %running)
	{
		while (@$queue && keys %running < $at_once)
		{
			my $job = shift @$queue;
			$job->{started} = time;
			my $pid = fork // die "cannot fork: $!";
			if ($pid == 0)
			{
				setpgrp(0, 0);
				open STDIN, '<', '/dev/null';
				open STDOUT, '>', $job->{log} or die "cannot write $job->{log}: $!";
				open STDERR, '>&', \*STDOUT;
				$ENV{$_} = $job->{env}{$_} for keys %{ $job->{env} || {} };
				delete @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} if $job->{own_server};
				exec @{ $job->{command} } or die "cannot run $job->{command}[0]: $!";
			}
			$running{$pid} = $job;
		}
		my $pid = waitpid(-1, WNOHANG);
		if ($pid > 0 && $running{$pid})
		{
			my $job = delete $running{$pid};
			$job->{status} = $?;
			$job->{seconds} = time - $job->{started};
			$done->($job);
			next;
		}
		for my $slow (grep { time - $running{$_}{started} > $time_limit } keys %running)
		{
			$running{$slow}{timed_out} = 1;
			kill 'KILL', -$slow;
		}
		select undef, undef, undef, 0.05;
	}
}

# Note and print the result of one file.
sub note_result
{
	my ($layer, $job, $good, $bad, $why) = @_;
	if ($job->{timed_out}) { $bad++; $why = "stopped after $time_limit s"; }
	$passed{$layer} += $good;
	$failed{$layer} += $bad;
	printf "  %-4s %-44s %4d passed%s %6.1f s%s\n", $bad ? 'FAIL' : 'ok',
	  $job->{name}, $good, ($bad ? sprintf(', %d failed', $bad) : ''),
	  $job->{seconds}, ($why ? "  ($why)" : '');
	push @broken, "$layer/$job->{name}" if $bad;
}

# Judge the TAP in a log: top-level assertions, and the plan.
sub judge_tap
{
	my ($layer, $job) = @_;
	my ($good, $bad, $plan, $why) = (0, 0);
	my (@complaints, @counts);
	open my $fh, '<', $job->{log} or die "cannot read $job->{log}: $!";
	while (my $line = <$fh>)
	{
		if ($line =~ /^not ok \d+(?!.*#\s*(TODO|SKIP))/i) { $bad++; push @complaints, $line; }
		elsif ($line =~ /^(?:not )?ok \d/) { $good++; }
		elsif ($line =~ /^1\.\.(\d+)(?:\s*#\s*SKIP\s*(.*))?/i) { $plan = $1; $why = "skipped: $2" if defined $2; }
		elsif ($line =~ /^\S+ \.+ skipped: (.*)/) { $plan = 0; $why = "skipped: $1"; }
		elsif ($line =~ /^# = (.*)/) { push @counts, $1; }
		elsif ($line =~ /^psql:|ERROR:|FATAL:/ || ($line =~ /^\s*#/ && @complaints)) { push @complaints, $line if @complaints < 80; }
	}
	if (defined $plan && $plan > $good + $bad)
	{
		$bad += $plan - $good - $bad;
		$why = 'ended before its plan';
	}
	elsif ($job->{status} != 0 && $bad == 0) { $bad = 1; $why = 'ended with an error'; }
	elsif (!defined $plan && $bad == 0) { $bad = 1; $why = 'no plan: did not finish'; }
	note_result($layer, $job, $good, $bad, $why);
	print map { "       $_\n" } @counts;
	if ($bad)
	{
		print map { "    $_" } @complaints;
		print tail_of($job->{log}, 15) if $why;
		print "    -- what it said itself\n", tail_of($job->{story}, 15) if $why && $job->{story};
	}
}

# Judge pg_regress output of 15 ("test x ... ok") or of 16 and later (TAP).
sub judge_regress
{
	my ($layer, $job) = @_;
	my ($good, $bad, $why) = (0, 0);
	open my $fh, '<', $job->{log} or die "cannot read $job->{log}: $!";
	while (my $line = <$fh>)
	{
		if ($line =~ /^(?:test )?\s*(\S+)\s+\.\.\. ok\b/ || $line =~ /^ok \d+/) { $good++; }
		elsif ($line =~ /^(?:test )?\s*(\S+)\s+\.\.\. FAILED/ || $line =~ /^not ok \d+\s+[-+]\s+(\S+)/)
		{
			$bad++;
			$why = ($why ? "$why " : '') . $1;
		}
	}
	my $missing = $job->{count} - $good - $bad;
	if ($missing > 0) { $bad += $missing; $why = "$missing not run"; }
	note_result($layer, $job, $good, $bad, $why);
	if ($bad)
	{
		print tail_of("$job->{outputdir}/regression.diffs", 150) || tail_of($job->{log}, 20);
	}
}

# Make the template database; its failure fails the layers that need it.
sub make_template
{
	my $log = "$out/template.log";
	my $ok = system("dropdb --if-exists $template >$log 2>&1 && createdb $template >>$log 2>&1 && "
	  . "psql -X -v ON_ERROR_STOP=1 -d $template -c 'CREATE SCHEMA IF NOT EXISTS tap' "
	  . "-c 'CREATE EXTENSION pgtap SCHEMA tap' -c 'CREATE EXTENSION order2cash' -c 'SELECT o2c.install()' "
	  . "-c 'ALTER DATABASE $template SET search_path = public, tap' >>$log 2>&1") == 0;
	if (!$ok)
	{
		print "  FAIL template: CREATE EXTENSION and o2c.install()\n", tail_of($log, 20);
		$failed{template}++;
		push @broken, 'template';
	}
	return $ok;
}

sub run_regress
{
	my ($layer, $program, $folder, $suffix) = @_;
	my @files = files_of($layer, "test/$folder/*.$suffix") or return;
	my $outputdir = "$out/$layer";
	make_path($outputdir);
	symlink "$root/expected", "$outputdir/expected";
	my @names = map { basename($_, ".$suffix") } @files;
	my @expected = $ENV{PGXS_MAJOR} >= 16 ? ("--expecteddir=$outputdir") : ();
	run_jobs(1, [ {
		name => "$folder (" . scalar(@names) . ' files)', count => scalar(@names),
		outputdir => $outputdir, log => "$out/$layer.log",
		command => [ "$ENV{PGXS_DIR}/$program", '--bindir=', '--inputdir=test', "--outputdir=$outputdir", @expected,
			"--host=$ENV{PGHOST}", "--port=$ENV{PGPORT}", '--user=postgres', "--dbname=o2c_$layer", @names ] } ],
		sub { judge_regress($layer, $_[0]) });
}

sub run_pgtap
{
	my @files = files_of('pgtap', 'test/pgtap/*.sql') or return;
	make_path("$out/pgtap");
	my @queue;
	for my $file (@files)
	{
		my $name = basename($file, '.sql');
		my $db = "o2c_pgtap_$name";
		push @queue, { name => $name, log => "$out/pgtap/$name.log",
			command => [ 'sh', '-c', 'createdb -T "$1" "$2" && psql -Xq -d "$2" -c "ALTER DATABASE \"$2\" SET search_path = public, tap" && '
			  . 'pg_prove --norc --nocolor --verbose --ext .sql --dbname "$2" "$3"; status=$?; dropdb --if-exists "$2"; exit $status',
			  'sh', $template, $db, $file ] };
	}
	run_jobs($jobs, \@queue, sub { judge_tap('pgtap', $_[0]) });
}

sub run_tap
{
	my @files = files_of('tap', 'test/t/*.pl') or return;
	make_path("$out/tap");
	my @queue = map {
		my $name = basename($_, '.pl');
		{ name => $name, log => "$out/tap/$name.log",
		  command => [ 'prove', '--norc', '--nocolor', '--verbose', '-I', "$ENV{PGXS_DIR}/test/perl", '-I', "$root/test/perl", $_ ],
		  env => { TESTDIR => "$out/tap/$name", TESTDATADIR => "$out/tap/$name/tmp_check", TESTLOGDIR => "$out/tap/$name/log",
			PG_REGRESS => "$ENV{PGXS_DIR}/test/regress/pg_regress" },
		  story => "$out/tap/$name/tmp_check/log/regress_log_$name", own_server => 1 }
	} @files;
	make_path($_->{env}{TESTDIR}, "$_->{env}{TESTDIR}/tmp_check", "$_->{env}{TESTDIR}/log") for @queue;
	run_jobs($jobs, \@queue, sub { judge_tap('tap', $_[0]); });
}

my $start = time;
my @layers = (
	[ build => sub {
		return if $only_layer ne '' || $only_file ne '';
		my $bad = $ENV{BUILD_WARNINGS} ? 1 : 0;
		note_result('build', { name => 'no compiler warning', seconds => 0 }, 1 - $bad, $bad);
	} ],
	[ regress => sub { run_regress('regress', 'test/regress/pg_regress', 'sql', 'sql'); } ],
	[ pgtap => sub { run_pgtap() if !files_of('pgtap', 'test/pgtap/*.sql') || make_template(); } ],
	[ isolation => sub { run_regress('isolation', 'test/isolation/pg_isolation_regress', 'specs', 'spec'); } ],
	[ tap => \&run_tap ]);

my %seconds;
for my $layer (@layers)
{
	my ($name, $run) = @$layer;
	next if $only_layer ne '' && $only_layer ne $name;
	print "== $name\n";
	my $begin = time;
	$run->();
	$seconds{$name} = time - $begin;
}

my ($good, $bad) = (0, 0);
$good += $_ for values %passed;
$bad += $_ for values %failed;
print "== time\n";
printf "  %-10s %6.1f s\n", $_->[0], $seconds{ $_->[0] } for grep { defined $seconds{ $_->[0] } } @layers;
printf "  %-10s %6.1f s\n", 'all', time - $start;
print "failing: @broken\n" if @broken;

open my $total, '>', "$out/total" or die "cannot write $out/total: $!";
print $total "$good passed, $bad failed\n";
close $total;
exit($bad ? 1 : 0);
