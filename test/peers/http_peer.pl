#!/usr/bin/perl
# An HTTP server on loopback that misbehaves on demand, for the tests.
#
# usage: http_peer.pl DIR [PORT]
# Writes the port it listens on to DIR/port.  Each request that was read whole
# becomes a line of DIR/requests: Idempotency-Key, path, what it answered,
# headers and body (line ends as \n).  The path says how to behave:
#   /ok              200 {"id": "p-KEY"}
#   /status/NNN      that status
#   /flaky/N/...     503 for the first N attempts of a key, then 200
#   /retry_after     429 with Retry-After: 1, then 200
#   /wait/VALUE      429 with Retry-After: VALUE (_ for a blank)
#   /bytes           200 with bytes that are no text, and what it was sent
#   /redirect        302 to /stolen
#   /garbage  /endless  /endless_header  /trickle  /not_json
#   /stall_request   reads nothing       /stall_reply   reads, says nothing
#   /stall_body      begins a reply of success and stalls
#   /reset_request   resets in the middle of the request
#   /reset_reply     reads, accepts, resets without a word
use strict;
use warnings;
use Fcntl ':flock';
use IO::Socket::INET;
use POSIX ':sys_wait_h';
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

my ($dir, $port) = @ARGV;
die "usage: $0 DIR [PORT]\n" unless defined $dir;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port || 0,
	Listen => 512, ReuseAddr => 1) or die "cannot listen: $!\n";
$port = $server->sockport;
open my $p, '>', "$dir/port.tmp" or die $!;
print $p "$port\n";
close $p;
rename "$dir/port.tmp", "$dir/port" or die $!;

$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { exit 0 };
my $parent = $$;

while (1)
{
	my $client = $server->accept or next;
	my $pid = fork();
	if (!defined $pid) { close $client; next; }
	if ($pid == 0)
	{
		close $server;
		$SIG{CHLD} = 'DEFAULT';
		serve($client);
		POSIX::_exit(0);
	}
	close $client;
}

sub stall
{
	for (1 .. 120) { sleep 1; POSIX::_exit(0) if getppid() != $parent; }
	POSIX::_exit(0);
}

sub reset_now
{
	my ($c) = @_;
	setsockopt($c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
	close $c;
	POSIX::_exit(0);
}

# One more attempt of this key; returns which one it is.
sub attempt
{
	my ($key) = @_;
	$key =~ s/\W/_/g;
	open my $f, '>>', "$dir/attempts.$key" or die $!;
	syswrite $f, 'x';
	return -s $f;
}

sub note
{
	my (@fields) = @_;
	s/[\r\n]+/\\n/g, s/\t/ /g for @fields;
	open my $f, '>>', "$dir/requests" or die $!;
	flock $f, LOCK_EX;
	syswrite $f, join("\t", @fields) . "\n";
	close $f;
	return;
}

sub serve
{
	my ($c) = @_;
	setsockopt($c, IPPROTO_TCP, TCP_NODELAY, 1);
	binmode $c;
	my $buffer = '';
	while (1)
	{
		until ($buffer =~ /\r\n\r\n/)
		{
			sysread $c, $buffer, 65536, length $buffer or return;
		}
		my ($head) = $buffer =~ /^(.*?\r\n)\r\n/s;
		my ($path) = $head =~ m{^\S+ (\S+)};
		my ($key) = $head =~ /^Idempotency-Key: *(\S+)/mi;
		$key //= '-';
		stall() if $path =~ m{^/stall_request};
		reset_now($c) if $path =~ m{^/reset_request};
		my ($len) = $head =~ /^Content-Length: *(\d+)/mi;
		my $want = length($head) + 2 + ($len // 0);
		while (length $buffer < $want)
		{
			sysread $c, $buffer, 65536, length $buffer or return;
		}
		my $body = substr $buffer, length($head) + 2, $len // 0;
		$buffer = substr $buffer, $want;
		my $reply = sub {
			my ($status, $text, @headers) = @_;
			note($key, $path, $status, $head, $body);
			my $answer = "HTTP/1.1 $status X\r\n" . join('', map { "$_\r\n" } @headers)
			  . 'Content-Length: ' . length($text) . "\r\n\r\n$text";
			syswrite $c, $answer;
		};

		if ($path =~ m{^/status/(\d+)}) { $reply->($1, '{"error": "told to"}'); }
		elsif ($path =~ m{^/flaky/(\d+)})
		{
			attempt($key) <= $1 ? $reply->(503, 'busy') : $reply->(200, qq({"id": "p-$key"}));
		}
		elsif ($path =~ m{^/retry_after})
		{
			attempt($key) == 1 ? $reply->(429, 'slow down', 'Retry-After: 1') : $reply->(200, '{}');
		}
		elsif ($path =~ m{^/wait/(.*)}) { my $v = $1; $v =~ tr/_/ /; $reply->(429, 'slow down', "Retry-After: $v"); }
		elsif ($path =~ m{^/bytes})
		{
			my ($token) = $head =~ /^X-Token: *(\S+)/mi;
			$reply->(200, qq({"status": "no", "why": "\xff\xfe\xc3 not $token"}));
		}
		elsif ($path =~ m{^/redirect}) { $reply->(302, '', "Location: http://127.0.0.1:$port/stolen"); }
		elsif ($path =~ m{^/garbage}) { note($key, $path, 'garbage', $head, $body); syswrite $c, "\x00\xff\xfe garbage\r\n" x 50; return; }
		elsif ($path =~ m{^/not_json}) { $reply->(200, '<html>{"id": '); }
		elsif ($path =~ m{^/refused_json}) { $reply->(200, '{"status": 7, "error": {"text": "no credit"}}'); }
		elsif ($path =~ m{^/header_id}) { $reply->(201, '', "X-Message-Id: h-$key"); }
		elsif ($path =~ m{^/nested}) { $reply->(200, qq({"status": "ok", "a": {"b": [1, "x\\"y"]}, "messages": [{"id": "n-$key", "n": 5}]})); }
		elsif ($path =~ m{^/endless_header})
		{
			syswrite $c, "HTTP/1.1 200 OK\r\n";
			while (syswrite $c, 'X-Pad: ' . ('x' x 4000) . "\r\n") { }
			return;
		}
		elsif ($path =~ m{^/endless})
		{
			note($key, $path, 200, $head, $body);
			syswrite $c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
			while (syswrite $c, sprintf("%x\r\n%s\r\n", 8192, 'x' x 8192)) { }
			return;
		}
		elsif ($path =~ m{^/trickle})
		{
			note($key, $path, 200, $head, $body);
			for my $byte (split //, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			{
				syswrite $c, $byte or return;
				select undef, undef, undef, 0.02;
			}
		}
		elsif ($path =~ m{^/stall_reply}) { note($key, $path, 'stalled', $head, $body); stall(); }
		elsif ($path =~ m{^/stall_body})
		{
			note($key, $path, 200, $head, $body);
			syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
			stall();
		}
		elsif ($path =~ m{^/reset_reply}) { note($key, $path, 'accepted', $head, $body); reset_now($c); }
		else { $reply->(200, qq({"id": "p-$key"})); }
	}
}
