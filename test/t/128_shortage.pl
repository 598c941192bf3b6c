# What cannot be started for want of memory is tried again: the message is as
# good as before.  What no request can be made of is dead, now as ever.
use strict;
use warnings;
use File::Spec;
use FindBin qw($Bin);
use lib "$Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());
plan skip_all => 'no compiler for a shortage'
  if system("cc -shared -fPIC -O1 -o $dir/shortage.so $Bin/../peers/shortage.c -ldl 2>/dev/null") != 0;
my ($mail, $http) = (start_peer('smtp'), start_peer('http'));
my $node;
{
	local $ENV{O2C_SHORTAGE} = "$dir/short";
	local $ENV{LD_PRELOAD} = "$dir/shortage.so";
	$node = new_server('shortage');
}
install_o2c($node);
$node->safe_psql('o2c', sprintf q{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES
	(1, 'http', 'sms', 'http://127.0.0.1:%d/ok', '{"backoff": 1}'), (1, 'mail', 'email', 'smtp://127.0.0.1:%d', '{"backoff": 1}'),
	(1, 'secret', 'sms', 'http://127.0.0.1:%1$d/ok', '{"backoff": 1, "password_secret": "nobody knows", "username": "x"}')}, port_of($http), port_of($mail));
append_to_file("$dir/short", '');
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text)
	SELECT 1, c.code, CASE c.kind WHEN 'sms' THEN '0170' ELSE 'a@example.com' END, 'x' FROM o2c.channel c WHERE c.code <> 'secret'});
eventually($node, "SELECT count(*) = 2 FROM o2c.message WHERE state = 'retry' AND last_error = 'out of memory'", 'without memory they wait');
unlink "$dir/short" or die;
eventually($node, "SELECT count(*) = 2 FROM o2c.message WHERE state = 'sent' AND attempts > 1", 'with it they are sent');
$node->safe_psql('o2c', q{INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'secret', '0170', 'x')});
eventually($node, "SELECT state = 'dead' AND attempts = 1 FROM o2c.message WHERE channel = 'secret'", 'what cannot be sent ever is dead at once');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
