# A peer of many ports: half of them speak HTTP, half SMTP.  Every connection is
# kept until the other side ends it, and everything is accepted.
#
#   many_peer.pl DIR N
#
# Writes the ports it listens on to DIR/port, one a line, the N of HTTP first;
# each message that was read whole becomes a line of DIR/requests.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($dir, $n) = @ARGV;
my (%kind, %in_data, %text, @ports);
my $sockets = IO::Select->new;
for my $i (1 .. 2 * $n)
{
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16, ReuseAddr => 1) or die "cannot listen: $!\n";
	$kind{ fileno $listen } = $i <= $n ? 'listen http' : 'listen smtp';
	$sockets->add($listen);
	push @ports, $listen->sockport;
}
open my $requests, '>>', "$dir/requests" or die $!;
$requests->autoflush(1);
open my $f, '>', "$dir/port.tmp" or die $!;
print $f map { "$_\n" } @ports;
close $f;
rename "$dir/port.tmp", "$dir/port" or die $!;

while (my @ready = $sockets->can_read)
{
	for my $socket (@ready)
	{
		my $id = fileno $socket;
		if ($kind{$id} =~ /^listen (.*)/)
		{
			my $speaks = $1;
			my $new = $socket->accept or next;
			$kind{ fileno $new } = $speaks;
			$text{ fileno $new } = '';
			$in_data{ fileno $new } = 0;
			$sockets->add($new);
			syswrite $new, "220 peer ESMTP\r\n" if $speaks eq 'smtp';
			next;
		}
		if (!sysread $socket, $text{$id}, 65536, length $text{$id})
		{
			$sockets->remove($socket);
			close $socket;
			next;
		}
		if ($kind{$id} eq 'http')
		{
			while ($text{$id} =~ /\A(.*?\r\n\r\n)/s)
			{
				my $head = $1;
				my ($length) = $head =~ /^Content-Length: (\d+)/im;
				last if length($text{$id}) < length($head) + ($length // 0);
				substr $text{$id}, 0, length($head) + ($length // 0), '';
				print $requests "http\n";
				syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
			}
			next;
		}
		while ($text{$id} =~ s/\A(.*?)\r\n//)
		{
			my $line = $1;
			if ($in_data{$id})
			{
				next if $line ne '.';
				$in_data{$id} = 0;
				print $requests "smtp\n";
				syswrite $socket, "250 queued\r\n";
			}
			elsif ($line =~ /^DATA/i)
			{
				$in_data{$id} = 1;
				syswrite $socket, "354 go on\r\n";
			}
			else { syswrite $socket, "250 peer\r\n" }
		}
	}
}
