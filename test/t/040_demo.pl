# The demo's cycle, as make demo runs it, with its outcome checked: company,
# CSV, orders, credit hold, shipment, invoices, bank statement, matching, aging,
# reminders sent by the worker to a real SMTP server.
use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = $ENV{O2C_ROOT};
chdir $root or die "cannot enter $root: $!";
my $spool = PostgreSQL::Test::Utils::tempdir();

# The mail server on loopback.
my $peer = fork // die "cannot fork: $!";
if ($peer == 0)
{
	exec 'perl', "$root/test/peers/smtp_peer.pl", $spool or die "cannot run the peer: $!";
}
END { if ($peer) { my $status = $?; kill 'TERM', $peer; waitpid $peer, 0; $? = $status; } }
for (1 .. 100) { last if -s "$spool/port"; select undef, undef, undef, 0.1; }
chomp(my $port = slurp_file("$spool/port"));

my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init;
$node->append_conf('postgresql.conf', qq{
fsync = off
shared_preload_libraries = 'order2cash'
order2cash.databases = 'demo'
max_worker_processes = 16
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE demo');
$node->safe_psql('demo', 'CREATE EXTENSION order2cash');
$node->safe_psql('demo', 'SELECT o2c.install()');

my @psql = ('psql', '-X', '-d', $node->connstr('demo'));
my ($out, $err) = run_command([ @psql, '-v', "smtp=smtp://127.0.0.1:$port", '-f', 'test/demo/10_cycle.sql' ]);
is($err, '', 'the cycle runs without an error or warning');
like($out, qr/INV-2025-0006/, 'six invoices are issued');

# What must be true after it.
sub value { return $node->safe_psql('demo', $_[0]); }
is(value('SELECT string_agg(number, \' \' ORDER BY number) FROM o2c.invoice'),
	'INV-2025-0001 INV-2025-0002 INV-2025-0003 INV-2025-0004 INV-2025-0005 INV-2025-0006', 'numbers have no gap');
is(value(q{SELECT string_agg(customer_code || ' ' || total, ', ' ORDER BY customer_code) FROM o2c.aging(1, '2025-11-10') WHERE customer_code IS NOT NULL}),
	'HOLZ 1124.55, KLAR 269.77, WALD 402.22', 'aging shows what is left');
is(value(q{SELECT sum(total) FROM o2c.aging(1, '2025-10-01')}), '2427.96', 'and what was open before the money came');
is(value(q{SELECT count(*) FROM o2c.import_reject}), '2', 'two rows were refused and kept');
is(value(q{SELECT string_agg(state::text, ' ') FROM o2c.invoice WHERE number IN ('INV-2025-0001', 'INV-2025-0002', 'INV-2025-0003')}),
	'paid paid paid', 'what was paid is paid');
is(value(q{SELECT sum(amount) FROM o2c.bank_line WHERE amount > 0}), value(q{
	SELECT (SELECT sum(applied_amount) FROM o2c_bi.cash_matches WHERE status = 'auto')
	     - (SELECT sum(total) FROM o2c.aging(1, '2025-11-10') WHERE customer_code IS NULL)}), 'no money is lost');

ok($node->poll_query_until('demo', q{SELECT count(*) = 2 FROM o2c.message WHERE state = 'sent'}), 'the worker sends both reminders');
my @mails = map { slurp_file($_) } sort glob("$spool/mail.*");
is(scalar(@mails), 2, 'the mail server received two');
is(join(' ', sort map { /^RCPT TO:<([^>]*)>/m } @mails), 'accounts@klar-glas.example payables@wald-trading.example', 'for those who are overdue');
like(join('', @mails), qr/INV-2025-0005.*402\.22/s, 'with the invoice and its amount');

($out, $err) = run_command([ @psql, '-f', 'test/demo/20_after.sql' ]);
is($err, '', 'the last part runs');
is(value('SELECT * FROM o2c.check()'), '', 'check() is empty');

# A restart loses nothing and repeats nothing.
$node->restart;
is(value(q{SELECT * FROM o2c.run_dunning(1, '2025-11-10')}), '0|0|0', 'reminding again on the same day changes nothing');
is(value(q{SELECT count(*) FROM o2c.message}), '2', 'and no message is repeated');
is(scalar(my @after = glob("$spool/mail.*")), 2, 'nor sent again');
$node->stop;
done_testing();
