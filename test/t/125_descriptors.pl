# Connections that are given up before they stand leave descriptors that others
# get: what is sent over those is heard.
use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use lib "$FindBin::Bin/../perl";
use Peers;
use Test::More;

my ($mail, $http) = (start_peer('smtp'), start_peer('http'));
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die;
my @queue = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $mute->sockport, Blocking => 0) } 1 .. 8;
my $node = new_server('descriptors');
install_o2c($node);
$node->safe_psql('o2c', sprintf q{INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts) VALUES
	(1, 'mute.http', 'sms', 'http://127.0.0.1:%1$d/', '{"connect_timeout": 1}', 1), (1, 'mute.mail', 'email', 'smtp://127.0.0.1:%1$d', '{"connect_timeout": 1}', 1),
	(1, 'mail', 'email', 'smtp://127.0.0.1:%2$d', '{"timeout": 5}', 2), (1, 'http', 'sms', 'http://127.0.0.1:%3$d/', '{"timeout": 5}', 2)},
	$mute->sockport, port_of($mail), port_of($http));
my $send = sub {
	my ($n, @channels) = @_;
	$node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text)
		SELECT 1, c.code, CASE c.kind WHEN 'sms' THEN '0170' ELSE 'a\@example.com' END, 'x'
		FROM o2c.channel c, generate_series(1, $n) WHERE c.code IN (" . join(', ', map { "'$_'" } @channels) . ')');
	states($node);
};
for my $kind ('http', 'mail')
{
	my $other = $kind eq 'mail' ? 'http' : 'mail';
	$send->(40, "mute.$kind");
	$send->(20, $kind, $other);
}
is($node->safe_psql('o2c', "SELECT channel, state, attempts, count(*) FROM o2c.message WHERE channel !~ 'mute' GROUP BY 1, 2, 3 ORDER BY 1"),
	"http|sent|1|40\nmail|sent|1|40", 'what comes after connections that were given up arrives at once');
is($node->safe_psql('o2c', "SELECT DISTINCT channel, state, last_error FROM o2c.message WHERE channel ~ 'mute' ORDER BY 1"),
	join("\n", map { "mute.$_|dead|gave up after 1 attempts: timed out after 1.0 s connecting" } 'http', 'mail'), 'those that were given up are dead');
cmp_ok($node->safe_psql('o2c', "SELECT extract(epoch FROM max(e.at - m.first_attempt_at)) FROM o2c.message m
	JOIN o2c.event e ON e.company_id = 1 AND e.entity = 'message' AND e.entity_id = m.id WHERE m.channel ~ 'mute'"), '<', 5, 'which is written down when their time is up');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
