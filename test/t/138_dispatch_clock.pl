# A clock that is put back an hour stops nothing that the dispatcher does: what
# is queued is sent, who does not answer is given up, pauses and rates hold.
use strict;
use warnings;
use File::Spec;
use FindBin qw($Bin);
use lib "$Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());
plan skip_all => 'no compiler for a clock that can be put back'
  if system("cc -shared -fPIC -O1 -o $dir/clock.so $Bin/../peers/clock.c -ldl 2>/dev/null") != 0;
my $set = sub { open my $f, '>', "$dir/clock" or die $!; print $f "$_[0]\n"; close $f };
$set->(0);
my $http = start_peer('http');
my $base = 'http://127.0.0.1:' . port_of($http);
my $node;
{
	local $ENV{O2C_CLOCK} = "$dir/clock";
	local $ENV{LD_PRELOAD} = "$dir/clock.so";
	$node = new_server('clock');
}
install_o2c($node);
$node->safe_psql('o2c', qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings, rate_per_second) VALUES
	(1, 'ok', 'sms', '$base/ok', '{}', 20), (1, 'slow', 'webhook', '$base/stall_reply', '{"timeout": 4}', NULL), (1, 'busy', 'sms', '$base/wait/2', '{"backoff": 0.1}', NULL)});
my $send = sub { $node->safe_psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text, idempotency_key) VALUES (1, '$_[0]', '0170', 'x', '$_[1]')") };
my $until = sub { eventually($node, "SELECT state = '$_[1]' FROM o2c.message WHERE idempotency_key = '$_[0]'", "$_[0] is $_[1]", limit => 30) };
my $hour = $node->safe_psql('o2c', "SELECT date_trunc('second', now())");
$send->('ok', 'before');
$until->('before', 'sent');
$send->('slow', 'slow');
$until->('slow', 'sending');
$set->(-3600);
is($node->safe_psql('o2c', "SELECT now() < '$hour'::timestamptz - interval '59 minutes'"), 't', 'the clock is put back');
$send->('ok', "after$_") for 1 .. 3;
$until->("after$_", 'sent') for 1 .. 3;
$until->('slow', 'uncertain');
$send->('busy', 'busy');
eventually($node, "SELECT attempts >= 2 FROM o2c.message WHERE idempotency_key = 'busy'", 'what is to be tried again is', limit => 30);
$node->safe_psql('o2c', 'SELECT o2c.pause_dispatch()');
eventually($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'order2cash dispatcher')", 'a pause is noticed', limit => 30);
$node->safe_psql('o2c', 'SELECT o2c.resume_dispatch()');
$set->(0);
$send->('ok', 'again');
$until->('again', 'sent');
is($node->safe_psql('o2c', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop('fast');
done_testing();
