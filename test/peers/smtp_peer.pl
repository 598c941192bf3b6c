#!/usr/bin/perl
# An SMTP server on loopback that misbehaves on demand, for the tests.
#
# usage: smtp_peer.pl DIR [PORT]
# Writes the port it listens on to DIR/port.  Each accepted mail becomes a file
# DIR/mail.NNN: "MAIL FROM" and "RCPT TO" lines, an empty line, the raw mail.
# DIR/mode, read for each connection, says how to behave:
#   ok  refuse  rcpt_550  rcpt_451  dot_554  dot_451
#   stall_greeting  stall_ehlo  stall_mail  stall_data  stall_dot
#   reset_data  reset_dot (accepts, then cuts the reply)  trickle  garbage
#   early_250 (accepts before it has the mail)  421_mail  421_dot
#   endless_greeting  endless_ehlo  endless_mail (a reply that never ends)
#   rcpt_long (refuses with a megabyte of reasons)
# DIR/auth, when there, holds "user:password" that AUTH must give.
use strict;
use warnings;
use IO::Socket::INET;
use MIME::Base64;
use POSIX ':sys_wait_h';
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

my ($dir, $port) = @ARGV;
die "usage: $0 DIR [PORT]\n" unless defined $dir;

my $server = IO::Socket::INET->new(
	LocalAddr => '127.0.0.1', LocalPort => $port || 0,
	Listen => 256, ReuseAddr => 1) or die "cannot listen: $!\n";
write_file("$dir/port.tmp", $server->sockport . "\n");
rename "$dir/port.tmp", "$dir/port" or die $!;

$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { exit 0 };
my $count = 0;
my $parent = $$;

while (1)
{
	my $client = $server->accept or next;
	$count++;
	my $pid = fork();
	if (!defined $pid) { close $client; next; }
	if ($pid == 0)
	{
		close $server;
		$SIG{CHLD} = 'DEFAULT';
		serve($client, $count);
		POSIX::_exit(0);
	}
	close $client;
}

sub write_file
{
	my ($name, $text) = @_;
	open my $f, '>', $name or die "$name: $!";
	binmode $f;
	print $f $text;
	close $f;
	return;
}

sub mode
{
	open my $f, '<', "$dir/mode" or return 'ok';
	my $m = <$f> // 'ok';
	chomp $m;
	return $m;
}

# Sleep for as long as the test server lives.
sub stall
{
	for (1 .. 120) { sleep 1; exit 0 if getppid() != $parent; }
	POSIX::_exit(0);
}

# Close so that the peer sees a reset.
sub reset_now
{
	my ($c) = @_;
	setsockopt($c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
	close $c;
	POSIX::_exit(0);
}

sub serve
{
	my ($c, $n) = @_;
	my $mode = mode();
	my $mails = 0;
	my ($from, @to) = ('');
	my $say = sub {
		if ($mode eq 'trickle')
		{
			for my $byte (split //, "$_[0]\r\n") { syswrite $c, $byte; select undef, undef, undef, 0.01; }
			return;
		}
		syswrite $c, "$_[0]\r\n";
	};

	setsockopt($c, IPPROTO_TCP, TCP_NODELAY, 1);
	$c->autoflush(1);
	binmode $c;
	return if $mode eq 'refuse';
	stall() if $mode eq 'stall_greeting';
	if ($mode eq 'garbage') { syswrite $c, "\x00\xff!!\r\n" x 10; return; }
	my $endless = sub { while (syswrite $c, "$_[0]-" . ('x' x 70) . "\r\n") { } POSIX::_exit(0); };
	$endless->(220) if $mode eq 'endless_greeting';
	$say->('220 peer ESMTP');
	while (defined(my $line = <$c>))
	{
		$mode = mode();
		$line =~ s/\r?\n$//;
		if ($line =~ /^(EHLO|HELO)/i)
		{
			stall() if $mode eq 'stall_ehlo';
			$endless->(250) if $mode eq 'endless_ehlo';
			$say->(-e "$dir/auth" ? "250-peer\r\n250-AUTH PLAIN\r\n250 SMTPUTF8" : "250-peer\r\n250 SMTPUTF8");
		}
		elsif ($line =~ /^AUTH PLAIN ?(.*)/i)
		{
			my $given = $1;
			if ($given eq '') { $say->('334 '); $given = <$c> // ''; }
			my (undef, $user, $password) = split /\0/, decode_base64($given);
			open my $f, '<', "$dir/auth" or die;
			my $want = <$f>;
			chomp $want;
			$say->("$user:$password" eq $want ? '235 ok' : '535 no');
		}
		elsif ($line =~ /^MAIL FROM:(.*)/i)
		{
			stall() if $mode eq 'stall_mail';
			$endless->(250) if $mode eq 'endless_mail';
			if ($mode eq '421_mail') { $say->('421 4.3.2 going down'); return; }
			($from, @to) = ($1);
			$say->('250 ok');
		}
		elsif ($line =~ /^RCPT TO:(.*)/i)
		{
			my $rcpt = $1;
			if ($mode eq 'rcpt_550' || $rcpt =~ /^<nobody/) { $say->('550 5.1.1 no such mailbox'); next; }
			if ($mode eq 'rcpt_long') { $say->("550-" . ('because ' x 10000)) for 1 .. 13; $say->('550 no'); next; }
			if ($mode eq 'rcpt_451') { $say->('451 4.3.0 try again later'); next; }
			push @to, $rcpt;
			$say->('250 ok');
		}
		elsif ($line =~ /^DATA/i)
		{
			my $mail = '';
			if ($mode eq 'early_250') { syswrite $c, "354 go on\r\n250 2.0.0 accepted\r\n"; stall(); }
			$say->('354 go on');
			stall() if $mode eq 'stall_data';
			reset_now($c) if $mode eq 'reset_data';
			while (defined(my $l = <$c>))
			{
				last if $l eq ".\r\n";
				$l =~ s/^\.//;
				$mail .= $l;
			}
			stall() if $mode eq 'stall_dot';
			if ($mode eq '421_dot') { $say->('421 4.3.2 going down'); return; }
			if ($mode eq 'dot_554') { $say->('554 5.7.1 refused as spam'); next; }
			if ($mode eq 'dot_451') { $say->('451 4.3.0 disk full'); next; }
			if ($mode ne 'count')
			{
				my $name = sprintf '%s/mail.%d.%d', $dir, $n, ++$mails;
				write_file("$name.tmp", join("\n", "MAIL FROM:$from", map { "RCPT TO:$_" } @to) . "\n\n$mail");
				rename "$name.tmp", $name;
			}
			reset_now($c) if $mode eq 'reset_dot';
			$say->('250 2.0.0 accepted');
		}
		elsif ($line =~ /^RSET|^NOOP/i) { $say->('250 ok'); }
		elsif ($line =~ /^QUIT/i) { $say->('221 bye'); last; }
		else { $say->('502 what?'); }
	}
	return;
}
