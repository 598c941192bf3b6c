# Many clients place, confirm, amend, ship, cancel, bill, pay, return and change
# limits and groups at random against a few customers and products.  At the end
# there was no deadlock, no internal error, no negative stock, no exposure over a
# limit that forbids it, and check() is empty; then the same with a crash.
#
# O2C_STRESS_SECONDS (5) and O2C_STRESS_CLIENTS (8) make it longer and wider,
# O2C_STRESS_SEED repeats the order of the steps, O2C_STRESS_RARE makes rare ones likelier.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $seconds = $ENV{O2C_STRESS_SECONDS} || 5;
my $clients = $ENV{O2C_STRESS_CLIENTS} || 8;
my $seed = $ENV{O2C_STRESS_SEED} || int(rand(1e6));

my $node = PostgreSQL::Test::Cluster->new('stress');
$node->init;
$node->append_conf('postgresql.conf', "fsync = on\nmax_connections = 150\ndeadlock_timeout = 100ms\nlog_lock_waits = on\nlog_error_verbosity = verbose");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash; SELECT o2c.install()');
$node->psql('postgres', slurp_file("$ENV{O2C_ROOT}/test/stress/steps.sql"), on_error_die => 1);

my %weight = (
	'place' => 6, 'place and confirm' => 8, 'confirm' => 6, 'confirm many' => 2, 'confirm by hand' => 1, 'amend' => 3, 'lines by hand' => 3,
	'unreserve by hand' => 1, 'delete lines' => 1, 'hold' => 1, 'release' => 2, 'cancel' => 2, 'cancel rest' => 1, 'close' => 1, 'pick' => 2,
	'ship' => 6, 'ship part' => 2, 'ship many' => 1, 'put back' => 1, 'deliver' => 1, 'return' => 2, 'allocate' => 1, 'receive' => 2, 'count' => 1,
	'invoice' => 6, 'bill' => 1, 'issue all' => 1, 'drop draft' => 1, 'credit' => 2, 'credit some' => 1, 'pay' => 5, 'pay on account' => 1,
	'apply' => 2, 'unapply' => 1, 'payment returns' => 1, 'write off' => 1, 'dispute' => 1, 'limit' => 1, 'raise' => 1, 'move' => 3, 'strict' => 10,
	'lower' => 1, 'new customer' => 1, 'currency' => 1, 'rename' => 1, 'prepay' => 1, 'credit prepayment' => 1, 'milestones' => 1, 'reach' => 1,
	'settle exposure' => 1, 'remind' => 1, 'cancel message' => 1);
# O2C_STRESS_RARE makes the steps that are seldom taken as many times likelier
$weight{$_} *= $ENV{O2C_STRESS_RARE} || 1 for grep { $weight{$_} == 1 } keys %weight;
my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
for my $step (sort keys %weight)
{
	(my $file = "$dir/$step.sql") =~ tr/ /_/;
	append_to_file($file, "CALL stress.do('$step');\n");
	push @files, '-f', "$file\@$weight{$step}";
}

# Start clients at an isolation level; serialization failures are tried again.
sub start_clients
{
	my ($level, $n, $time, $out) = @_;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$level";
	$level =~ s/\\//g;
	return IPC::Run::start([ 'pgbench', '-n', '-c', $n, '-j', 2, '-T', $time, "--random-seed=$seed", '--max-tries=100', '--failures-detailed',
		@files, $node->connstr('postgres') ], '>', $out, '2>&1');
}

# What must hold, whatever ran.
sub sound
{
	my ($when) = @_;
	is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', "$when: check() is empty");
	is($node->safe_psql('postgres', 'SELECT * FROM o2c.stock k WHERE k.on_hand < 0 OR k.available < 0'), '', "$when: no negative stock");
	is($node->safe_psql('postgres', 'SELECT * FROM stress.over_limit'), '', "$when: no exposure over its limit");
	return;
}

# Deadlocks of the database, with what the server said of them.
sub deadlocks
{
	my $log = slurp_file($node->logfile);
	my @found = $log =~ /^(.*ERROR:  40P01.*\n(?:.*\n){0,14})/mg;
	diag($_) for @found[0 .. ($#found > 2 ? 2 : $#found)];
	return scalar(@found);
}

# the race vector: ten of fifty orders of 100 pass a limit of 1000
for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $code = uc substr($level, 0, 3);
	$node->safe_psql('postgres', qq{
		INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (2, '$code', '$level', 1000);
		SELECT o2c.place_order(2, '$code', '[{"product": "P", "quantity": 1}]', order_code => '$code' || g) FROM generate_series(0, 49) g;
	});
	append_to_file("$dir/$code.sql", "SELECT o2c.confirm_order(2, s.id) FROM o2c.sales_order s WHERE s.company_id = 2 AND s.code = '$code' || :client_id;\n");
	(my $option = $level) =~ s/ /\\ /;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$option";
	$node->command_ok([ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 1, '--max-tries=1000', '-f', "$dir/$code.sql", $node->connstr('postgres') ],
		"fifty confirmations at $level");
	is($node->safe_psql('postgres', qq{SELECT s.state, count(*), count(h.order_id) FROM o2c.sales_order s
		LEFT JOIN o2c.hold h ON h.company_id = s.company_id AND h.order_id = s.id AND h.released_at IS NULL AND h.reason = 'credit'
		WHERE s.code ~ '^$code' GROUP BY 1 ORDER BY 1}), "submitted|40|40\nconfirmed|10|0", "at $level ten pass and forty are held");
}

diag("$clients clients for $seconds s, seed $seed");
my %out = map { $_ => "$dir/out.$_" } qw(rc rr ser);
my @runs = (start_clients('read\ committed', $clients, $seconds, $out{rc}),
	start_clients('repeatable\ read', int($clients / 2) || 1, $seconds, $out{rr}),
	start_clients('serializable', int($clients / 4) || 1, $seconds, $out{ser}));
IPC::Run::finish($_) for @runs;
for my $level (sort keys %out)
{
	my $text = slurp_file($out{$level});
	my ($done) = $text =~ /number of transactions actually processed: (\d+)/;
	ok($done, "$level: " . ($done // 0) . ' steps were done');
	unlike($text, qr/ERROR|aborted/, "$level: nothing but refusals by a rule") or diag(join "\n", grep { /ERROR|aborted/ } split /\n/, $text);
}
is(deadlocks(), 0, 'no deadlock');
sound('after the stress');
diag($node->safe_psql('postgres', q{SELECT string_agg(format('%s %s x %s', step, sqlstate, n), ', ' ORDER BY n DESC) FROM (SELECT step, sqlstate, count(*) AS n FROM stress.answer GROUP BY 1, 2) a}));
# what chance refused each time is tried alone: orders must be able to come to most states
sub states
{
	return $node->safe_psql('postgres', q{SELECT count(DISTINCT to_state) FROM o2c.event WHERE company_id = 1 AND entity = 'order'});
}
for (1 .. 50)
{
	last if states() >= 5;
	$node->safe_psql('postgres', "CALL stress.do('$_')") for 'receive', 'limit', 'place and confirm', 'release', 'ship part', 'ship', 'cancel';
}
cmp_ok(states(), '>=', 5, 'orders came to most states');

# The same, and the server is killed: what clients were told is there.
append_to_file("$dir/told.sql", "SELECT o2c.confirm_order(2, o2c.place_order(2, 'T', '[{\"product\": \"P\", \"quantity\": 1}]')) AS state,"
	. " currval('o2c.sales_order_id_seq') AS id \\gset\n\\warn told :state :id\nSELECT o2c.cancel_order(2, :id);\n" x 1000);
my $out = "$dir/told";
my @killed = (start_clients('read\ committed', $clients, $seconds + 60, "$dir/killed"),
	IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$dir/told.sql" ], '>', '/dev/null', '2>', $out));	# what is warned of is written at once
for (1 .. 1200)
{
	sleep 0.05;
	last if -e $out && (() = slurp_file($out) =~ /^told confirmed/mg) >= 10;
}
$node->stop('immediate');
eval { IPC::Run::finish($_) } for @killed;
$node->start;
sound('after a crash');
my ($last) = reverse(slurp_file($out) =~ /^told confirmed (\d+)$/mg);
ok($last, 'a client was told of confirmations') or diag(substr(slurp_file($out), 0, 2000));
like($node->safe_psql('postgres', "SELECT string_agg(to_state, ' ' ORDER BY id) FROM o2c.event WHERE company_id = 2 AND entity = 'order' AND entity_id = $last"),
	qr/confirmed/, 'and the last of them is there');
done_testing();
