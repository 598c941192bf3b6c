# The outbox does not grow by being used: generation after generation of
# messages is queued, sent and purged, and its tables and indexes stay as large
# as they were after the first few, with autovacuum as it comes.
#
# O2C_TURNOVER_GENERATIONS (24) of O2C_TURNOVER_MESSAGES (1000) messages: hours
# of a busy outbox in compressed time, since what leaves dead rows behind is
# messages and not minutes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use Test::More;

my $generations = $ENV{O2C_TURNOVER_GENERATIONS} || 24;
my $messages = $ENV{O2C_TURNOVER_MESSAGES} || 1000;
my $http = start_peer('http');
my $node = new_server('turnover', 'autovacuum_naptime = 1s');
install_o2c($node);
$node->safe_psql('o2c', "INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'sms', 'sms', 'http://127.0.0.1:" . port_of($http) . "/ok')");
# as small a table as its turnover: vacuumed once a generation and not once in five
$node->safe_psql('o2c', "ALTER TABLE o2c.$_ SET (autovacuum_vacuum_threshold = 500)") for qw(message message_queue message_claim);

my $sizes = sub {
	return map { split /\|/ } split /\n/, $node->safe_psql('o2c', q{
		SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
		WHERE coalesce(i.indrelid, c.oid) IN ('o2c.message'::regclass, 'o2c.message_queue'::regclass, 'o2c.message_claim'::regclass)});
};
my (%early, %late);
for my $generation (1 .. $generations)
{
	$node->safe_psql('o2c', qq{
		INSERT INTO o2c.message (company_id, channel, recipient, body_text)
		SELECT 1, 'sms', '0170' || n, repeat('Please pay invoice 4711. ', 20) FROM generate_series(1, $messages) n});
	$node->poll_query_until('o2c', "SELECT NOT EXISTS (SELECT FROM o2c.message WHERE state <> 'sent')") or last;
	$node->safe_psql('o2c', "SELECT o2c.purge_messages(1, keep_last => 2 * $messages)");
	# what autovacuum would come to in an hour it must be given time for here
	$node->poll_query_until('o2c', q{SELECT coalesce(bool_and(n_dead_tup < 2000), true) FROM pg_stat_all_tables
		WHERE relid IN ('o2c.message'::regclass, 'o2c.message_queue'::regclass)});
	# how large each becomes in the first half, between one vacuum and the next
	%late = $sizes->();
	for my $name (keys %late)
	{
		$early{$name} = $late{$name} if $generation <= $generations / 2 && $late{$name} > ($early{$name} // 0);
	}
}
is(scalar(requests($http)), $generations * $messages, 'all are sent');
for my $name (sort keys %late)
{
	# a quarter, or a few pages where there is next to nothing
	cmp_ok($late{$name}, '<=', 1.25 * $early{$name} + 12 * 8192, "$name: at most $early{$name} bytes in the first half, $late{$name} at the end");
}
my ($updated, $hot) = split /\|/, $node->safe_psql('o2c', "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_all_tables WHERE relid = 'o2c.message'::regclass");
cmp_ok($hot, '>', 0.9 * $updated, "of $updated updates $hot touched no index");
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
