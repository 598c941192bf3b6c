# What the tests of the dispatcher share: a server with the extension in a
# database, loopback peers that misbehave on demand, and waiting with patience.
package Peers;
use strict;
use warnings;
use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(new_server install_o2c start_peer start_many_peer start_tls_peer stop_peer set_mode mails requests port_of
  wait_for eventually states unused_port);

my $root = $ENV{O2C_ROOT} || "$FindBin::Bin/../..";
my %pid;

# A server that preloads order2cash and serves database "o2c".
sub new_server
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', join "\n",
		"shared_preload_libraries = 'order2cash'", "order2cash.databases = 'o2c'",
		'fsync = off', 'max_connections = 30', 'autovacuum_naptime = 10s', @settings, '');
	$node->start;
	return $node;
}

# A database with the extension, one company and, unless told, armed.
sub install_o2c
{
	my ($node, %option) = @_;
	my $db = $option{database} // 'o2c';
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, "CREATE EXTENSION order2cash");
	$node->safe_psql($db, "SELECT o2c.install()");
	$node->safe_psql($db, "SELECT o2c.create_company('Test AG', 'DE', 'EUR')");
	$node->safe_psql($db, "SELECT o2c.arm_dispatch()") unless $option{unarmed};
	return;
}

# Start test/peers/NAME_peer.pl; returns its folder.
sub start_peer
{
	my ($kind, $port) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	return run_peer($kind, $dir, $^X, "$root/test/peers/${kind}_peer.pl", $dir, $port // 0);
}

# Start test/peers/many_peer.pl, which has that many ports for HTTP and for SMTP.
sub start_many_peer
{
	my ($n) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	return run_peer('many', $dir, $^X, "$root/test/peers/many_peer.pl", $dir, $n);
}

# Start test/peers/tls_peer.py with certificate, key and mechanisms of AUTH.
sub start_tls_peer
{
	my ($mode, $certificate, $mechanisms, @auth) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	if (@auth)
	{
		open my $f, '>', "$dir/auth" or die $!;
		print $f map { "$_\n" } @auth;
		close $f;
	}
	return run_peer($mode, $dir, '/usr/bin/python3', "$root/test/peers/tls_peer.py", $dir, $mode,
		"$certificate.crt", "$certificate.key", $mechanisms // 'PLAIN LOGIN');
}

sub run_peer
{
	my ($kind, $dir, @command) = @_;
	my $pid = fork();
	die "cannot fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		open STDOUT, '>>', "$dir/log";
		open STDERR, '>>', "$dir/log";
		exec @command or die "cannot exec: $!";
	}
	$pid{$dir} = $pid;
	wait_for(sub { -s "$dir/port" }, "the $kind peer listens") or BAIL_OUT('no peer');
	return $dir;
}

sub stop_peer
{
	my ($dir) = @_;
	my $pid = delete $pid{$dir} or return;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

END { my $status = $?; kill 'KILL', values %pid if %pid; $? = $status; }

sub port_of
{
	my ($dir) = @_;
	open my $f, '<', "$dir/port" or die "$dir/port: $!";
	my $port = <$f>;
	chomp $port;
	return $port;
}

# How the SMTP peer behaves from its next command on.
sub set_mode
{
	my ($dir, $mode) = @_;
	open my $f, '>', "$dir/mode.tmp" or die $!;
	print $f "$mode\n";
	close $f;
	rename "$dir/mode.tmp", "$dir/mode" or die $!;
	return;
}

# The accepted mails, whole.
sub mails
{
	my ($dir) = @_;
	return map { slurp_file($_) } grep { !/\.tmp$/ } sort glob "$dir/mail.*";
}

# The requests that the HTTP peer has read whole: [key, path, body].
sub requests
{
	my ($dir) = @_;
	open my $f, '<', "$dir/requests" or return ();
	my @all;
	while (my $line = <$f>)
	{
		chomp $line;
		push @all, [ split /\t/, $line, -1 ];
	}
	return @all;
}

# True once the code is, within some minutes; slow machines are slow.
sub wait_for
{
	my ($code, $what, $limit) = @_;
	my $end = time() + ($limit // 180);
	until ($code->())
	{
		if (time() > $end) { diag "timed out: $what"; return 0; }
		sleep 0.05;
	}
	return 1;
}

# Wait until the query says true.  What does not come about in a minute never
# will: then the test ends here with what the database holds, and hangs nobody.
sub eventually
{
	my ($node, $query, $what, %option) = @_;
	my $db = $option{database} // 'o2c';
	return pass($what) if wait_for(sub { $node->safe_psql($db, $query) eq 't' }, $what, $option{limit} // 60);
	diag $node->safe_psql($db, q{SELECT id, idempotency_key, channel, state, attempts, next_attempt_at, last_error
		FROM o2c.message WHERE state IN ('queued', 'sending', 'retry', 'uncertain') ORDER BY id LIMIT 10});
	fail($what);
	die "gave up waiting: $what\n";
}

# Wait until every message has left the queue; the states with their counts.
sub states
{
	my ($node, %option) = @_;
	my $db = $option{database} // 'o2c';
	my $waiting = "FROM o2c.message WHERE state IN ('queued', 'sending', 'retry')";
	wait_for(sub { $node->safe_psql($db, "SELECT NOT EXISTS (SELECT $waiting)") eq 't' }, 'nothing is left in the queue', 120)
	  or die "messages stay in the queue:\n" . $node->safe_psql($db, "SELECT id, channel, state, attempts, next_attempt_at, last_error $waiting LIMIT 5") . "\n";
	return $node->safe_psql($db, "SELECT string_agg(state || ' ' || n, ', ' ORDER BY state::text) FROM (SELECT state, count(*) AS n FROM o2c.message GROUP BY 1) s");
}

# A port that nobody listens on.
sub unused_port
{
	my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
	my $port = $s->sockport;
	close $s;
	return $port;
}

1;
