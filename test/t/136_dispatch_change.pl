# A channel that is changed while it is busy sends by its new row what has not
# begun; large attachments are in memory a few at a time.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my ($http, $mail) = (start_peer('http'), start_peer('smtp'));
my $base = 'http://127.0.0.1:' . port_of($http);
my $node = new_server('change', 'order2cash.message_max_size = 12MB');
install_o2c($node);
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, max_concurrency) VALUES (1, 'busy', 'sms', '$base/trickle/old', 1);
	INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'mail', 'email', 'smtp://127.0.0.1:@{[port_of($mail)]}'), (1, 'post', 'post', '$base/ok')});

# its url
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) SELECT 1, 'busy', '0170', 'x' FROM generate_series(1, 40)});
my $to = sub { scalar grep { $_->[1] eq $_[0] } requests($http) };
wait_for(sub { $to->('/trickle/old') >= 2 }, 'it is busy', 60);
$node->safe_psql('o2c', "UPDATE o2c.channel SET url = '$base/ok/new' WHERE code = 'busy'");
my $before = $to->('/trickle/old');
states($node);
cmp_ok($to->('/trickle/old') - $before, '<=', 15, 'soon nothing goes to where it went before: ' . ($to->('/trickle/old') - $before));
is($to->('/trickle/old') + $to->('/ok/new'), 40, 'each message goes to one of both');
is($node->safe_psql('o2c', "SELECT DISTINCT state || ' ' || attempts FROM o2c.message"), 'sent 1', 'at once');

# who the company is
my $send = sub { $node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text) VALUES (1, 'mail', 'a@example.com', 's', 'x')}); states($node) };
$send->();
$node->safe_psql('o2c', "UPDATE o2c.company SET name = 'Renamed AG', email = 'new\@example.com'");
$send->();
is(scalar(grep { /^From: "Renamed AG"\r\n <new\@example\.com>/m } mails($mail)), 1, 'a company that is renamed writes under its new name');

# attachments
my $status = sub { my ($n) = slurp_file('/proc/' . $node->safe_psql('o2c', 'SELECT pid FROM o2c.dispatch_status()') . '/status') =~ /^$_[0]:\s+(\d+)/m; return $n };
SKIP:
{
	skip 'no /proc', 2 unless -e '/proc/self/status';
	for my $channel ('mail', 'post')
	{
		$node->safe_psql('o2c', qq{WITH m AS (
			INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text) SELECT 1, '$channel', 'a\@example.com', 's', 'x' FROM generate_series(1, 20) RETURNING id)
			INSERT INTO o2c.message_attachment (company_id, message_id, name, content) SELECT 1, id, 'a.bin', convert_to(repeat('0123456789', 1000000), 'UTF8') FROM m});
		states($node);
		my $peak = int($status->('VmHWM') / 1024);
		cmp_ok($peak, '<', $channel eq 'mail' ? 300 : 400, "twenty attachments of ten megabytes by $channel take $peak MB at most");
	}
}
is($node->safe_psql('o2c', "SELECT count(*) FROM o2c.message WHERE state <> 'sent'"), '0', 'all is sent');
is($node->safe_psql('o2c', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop('fast');
done_testing();
