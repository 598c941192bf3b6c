# Dunning with a real worker and real SMTP peers: a level counts when the peer
# accepted the mail, a refusal goes to the next channel, a reminder of what was
# paid in the meantime is not sent.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

my $smtp = start_peer('smtp');
my $relay = start_peer('smtp');
my $node = new_server('dunning');
install_o2c($node);
my ($mail_port, $relay_port) = (port_of($smtp), port_of($relay));
$node->safe_psql('o2c', qq{
	INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts) VALUES
	  (1, 'mail', 'email', 'smtp://127.0.0.1:$mail_port', '{"from": "Billing <billing\@example.com>", "backoff": 0.1}', 2),
	  (1, 'relay', 'email', 'smtp://127.0.0.1:$relay_port', '{"from": "Billing <billing\@example.com>", "backoff": 0.1}', 2);
	SELECT o2c.set_dunning_policy(1, 'standard', '[{"level": 1, "days": 1, "channels": ["mail", "relay"]},
	  {"level": 2, "days": 15, "channels": ["email"]}, {"level": 3, "days": 30, "channels": ["mail", "relay"]}]');
	INSERT INTO o2c.customer (company_id, code, name, email, street, postal_code, city, language) VALUES
	  (1, 'A', 'Alpha & Söhne', 'a\@example.com', 'Weg 1', '10115', 'Berlin', 'de'),
	  (1, 'B', 'Beta', 'b\@example.com', 'Road 1', '', 'Leeds', 'en');
	INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
	SELECT 1, k.id, 'invoice', 'R-' || k.code, '2026-01-01', '2026-01-31', 'EUR', 1234.5, 1234.5 FROM o2c.customer k;
});
my $run = sub { return $node->safe_psql('o2c', "SELECT format('%s,%s,%s', r.notices, r.items, r.messages) FROM o2c.run_dunning(1, '$_[0]') r") };

is($run->('2026-02-02'), '2,2,2', 'two customers are reminded');
is(states($node), 'sent 2', 'the mails are accepted');
my ($mail) = grep { /R-A/ || /a\@example\.com/ } mails($smtp);
like($mail, qr/^RCPT TO:<a\@example\.com>/m, 'to the customer');
like($mail, qr/^Message-ID:/m, 'as a mail');
is($run->('2026-02-02'), '0,0,0', 'again: zero');
is($run->('2026-02-20'), '2,2,2', 'accepted, so the second level follows');
is(states($node), 'sent 4', 'and is sent');

# a server that refuses for good
set_mode($smtp, 'rcpt_550');
is($run->('2026-03-10'), '2,2,2', 'third level');
states($node);
is($node->safe_psql('o2c', q{SELECT count(*) FROM o2c.message WHERE state = 'dead'}), '2', 'is refused by the mail server');
is($run->('2026-03-10'), '2,2,2', 'so the next channel of the policy gets it, the same day');
states($node);
is($node->safe_psql('o2c', q{SELECT string_agg(DISTINCT channel || ' ' || state, ', ' ORDER BY channel || ' ' || state) FROM o2c.message WHERE kind = 'dunning_3'}),
	'mail dead, relay sent', 'which takes it');
$node->safe_psql('o2c', 'SELECT * FROM o2c.settle_dunning(1)');
is($node->safe_psql('o2c', q{SELECT string_agg(level || ' ' || state || ' ' || n, ', ' ORDER BY level, state) FROM (SELECT level, state, count(*) AS n FROM o2c.dunning_notice GROUP BY 1, 2) s}),
	'1 accepted 2, 2 accepted 2, 3 accepted 2, 3 failed 2', 'each level counts once');

# paid between the run and the sending
set_mode($smtp, 'ok');
$node->safe_psql('o2c', 'SELECT o2c.pause_dispatch()');
$node->safe_psql('o2c', q{
	INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
	SELECT 1, k.id, 'invoice', 'S-' || k.code, '2026-02-01', '2026-03-01', 'EUR', 10, 10 FROM o2c.customer k;});
is($run->('2026-03-12'), '2,2,2', 'further items');
$node->safe_psql('o2c', q{SELECT o2c.apply_payment(1, o2c.record_payment(1, 'A', 10, 'EUR', '2026-03-12'), 'S-A', 10, '2026-03-12')});
$node->safe_psql('o2c', 'SELECT o2c.resume_dispatch()');
states($node);
is($node->safe_psql('o2c', q{SELECT string_agg(k.code || ' ' || m.state, ', ' ORDER BY k.code) FROM o2c.message m JOIN o2c.customer k ON k.id = m.customer_id
	JOIN o2c.dunning_notice n ON n.id = m.entity_id WHERE n.as_of = '2026-03-12'}), 'A cancelled, B sent', 'what was paid is not asked for');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'nothing is violated');
$node->stop;
done_testing();
