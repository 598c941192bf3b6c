# More hosts than the process may have files: idle connections make room.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;
my $hosts = 250;
my $dir = start_many_peer($hosts);
my @ports = split /\n/, slurp_file("$dir/port");

# the server and what it starts inherit this
is(system('prlimit', '--pid', $$, '--nofile=256:256'), 0, 'a process may have 256 files');
my $node = new_server('hosts', 'max_files_per_process = 64');
install_o2c($node);
$node->safe_psql('o2c', 'INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts) VALUES '
	. join(', ', map { my $mail = $_ > $hosts;
		sprintf q{(1, 'c%d', '%s', '%s://127.0.0.1:%d%s', '{}', 1)}, $_, $mail ? 'email' : 'webhook', $mail ? 'smtp' : 'http', $ports[ $_ - 1 ], $mail ? '' : '/' } 1 .. 2 * $hosts));
my $send = sub {
	$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text)
		SELECT 1, c.code, CASE c.kind WHEN 'email' THEN 'a@example.com' ELSE 'x' END, 'x' FROM o2c.channel c});
	eventually($node, "SELECT count(*) = 0 FROM o2c.message WHERE state NOT IN ('sent', 'dead', 'uncertain')", $_[0]);
};
$send->('a message for each of 500 hosts');
$send->('and another');
is($node->safe_psql('o2c', 'SELECT state, coalesce(last_error, $$$$), count(*) FROM o2c.message GROUP BY 1, 2'), 'sent||' . 4 * $hosts, 'all are sent');
my @requests = split /\n/, slurp_file("$dir/requests");
is(scalar(@requests), 4 * $hosts, 'once each');
my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher'");
my @files = glob "/proc/$pid/fd/*";
SKIP: {
	skip 'no /proc', 1 if !-d "/proc/$pid/fd";
	cmp_ok(scalar(@files), '<', 192, sprintf 'the dispatcher has %d files open', scalar @files);
}
unlike(slurp_file($node->logfile), qr/Too many open files/, 'which never were too many');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
