# Many clients record, apply by function and by hand, unapply, return, refund,
# write off, reverse and credit at random on the items of four customers, at three
# isolation levels, while a period closes and opens; now and then they match bank
# lines, import statements, draw payment orders, remind and dispute.  At the end there was no
# deadlock and no answer but a rule's, nothing is over-applied, and check() is empty.
#
# O2C_STRESS_SECONDS (4) and O2C_STRESS_CLIENTS (8) make it longer and wider,
# O2C_STRESS_SEED repeats the order of the steps, O2C_STRESS_RARE makes rare ones likelier.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{O2C_STRESS_SECONDS} || 4;
my $clients = $ENV{O2C_STRESS_CLIENTS} || 8;
my $seed = $ENV{O2C_STRESS_SEED} || int(rand(1e6));

my $node = PostgreSQL::Test::Cluster->new('posting_stress');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 100\ndeadlock_timeout = 100ms\nlog_error_verbosity = verbose");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash; SELECT o2c.install(); CREATE ROLE approver SUPERUSER LOGIN');
$node->psql('postgres', slurp_file("$ENV{O2C_ROOT}/test/stress/posting.sql"), on_error_die => 1);

my %weight = ('pay' => 3, 'apply' => 12, 'apply many by hand' => 5, 'unapply' => 6, 'return' => 2, 'write off' => 3,
	'reverse' => 2, 'credit' => 3, 'refund' => 4, 'approve' => 6, 'period' => 2);
my %rare = map { $_ => $ENV{O2C_STRESS_RARE} || 1 } 'lines', 'match', 'accept', 'statement', 'collect', 'order refunds', 'settle order', 'void order',
	'dispute', 'remind', 'cancel message', 'promise';
my %all = (%weight, %rare);
my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
for my $step (sort keys %all)
{
	(my $file = "$dir/$step.sql") =~ tr/ /_/;
	append_to_file($file, "CALL ledger_stress.do('$step');\n");
	push @files, '-f', "$file\@$all{$step}";
}

# Start clients; serialization failures are tried again.
sub start_clients
{
	my ($user, $level, $n, $out) = @_;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$level";
	local $ENV{PGUSER} = $user if $user;
	return IPC::Run::start([ 'pgbench', '-n', '-c', $n, '-T', $seconds, "--random-seed=$seed", '--max-tries=1000', '--failures-detailed',
		@files, $node->connstr('postgres') ], '>', $out, '2>&1');
}

diag("$clients clients for $seconds s, seed $seed");
my @runs = (start_clients('', 'read\ committed', $clients - int($clients / 4), "$dir/rc"),
	start_clients('approver', 'repeatable\ read', int($clients / 4) || 1, "$dir/rr"),
	start_clients('', 'serializable', int($clients / 4) || 1, "$dir/ser"));
IPC::Run::finish($_) for @runs;
for my $level ('rc', 'rr', 'ser')
{
	my $text = slurp_file("$dir/$level");
	like($text, qr/number of transactions actually processed: [1-9]/, "$level: steps were done");
	unlike($text, qr/ERROR|aborted/, "$level: nothing but refusals by a rule") or diag($text);
}
my @deadlocks = slurp_file($node->logfile) =~ /^(.*40P01.*\n(?:.*\n){0,8})/mg;
is(scalar(@deadlocks), 0, 'no deadlock') or diag($deadlocks[0]);
is($node->safe_psql('postgres', q{SELECT step, code, message, count(*) FROM ledger_stress.answer WHERE code <> 'done' AND code !~ '^O2' GROUP BY 1, 2, 3}),
	'', 'no answer but a rule\'s');

# a step that chance refused each time is tried alone: it must be able to succeed
sub never_done
{
	return split /\n/, $node->safe_psql('postgres', "SELECT unnest('{\"" . join('","', sort keys %weight) . "\"}'::text[])"
		. " EXCEPT SELECT step FROM ledger_stress.answer WHERE code = 'done'");
}
for (1 .. 50)
{
	my @steps = never_done() or last;
	$node->safe_psql('postgres', "CALL ledger_stress.do('$_')", extra_params => [ '-U', 'approver' ]) for @steps;
}
is(join(', ', never_done()), '', 'every usual step succeeded some time');
is($node->safe_psql('postgres', q{SELECT count(*) FROM o2c.open_item WHERE abs(open_amount) > abs(amount) OR open_amount * amount < 0}), '0', 'nothing is over-applied');
is($node->safe_psql('postgres', q{SELECT p.id FROM o2c.payment p JOIN o2c.allocation a ON a.company_id = p.company_id AND a.credit_item_id = p.item_id
	GROUP BY p.company_id, p.id, p.amount HAVING sum(a.amount) > p.amount}), '', 'no payment pays more than was received');
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
diag($node->safe_psql('postgres', q{SELECT string_agg(format('%s %s %s', n, step, code), ', ' ORDER BY n DESC) FROM (SELECT step, code, count(*) AS n FROM ledger_stress.answer GROUP BY 1, 2) a}));
done_testing();
