# STARTTLS, SMTPS, HTTPS and AUTH against a peer with a certificate of our own
# authority; certificates that cannot be trusted end the transfer before a
# word of the message; passwords appear nowhere.
use strict;
use warnings;
use File::Spec;
use FindBin;
use MIME::Base64;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'openssl makes the certificates, and is not here' if system('openssl version >/dev/null 2>&1') != 0;
plan skip_all => '/usr/bin/python3 runs the peer, and is not here' unless -x '/usr/bin/python3';

# two authorities, and certificates of the first for this host, another host,
# and of the second for this host
my $pki = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir());
my $openssl = sub { system("cd $pki && openssl $_[0] >>openssl.log 2>&1") == 0 or BAIL_OUT("openssl $_[0]: " . slurp_file("$pki/openssl.log")) };
my $authority = sub {
	$openssl->("req -x509 -newkey rsa:2048 -nodes -keyout $_[0].key -out $_[0].crt -days 2 -subj '/CN=$_[0]'");
};
my $certificate = sub {
	my ($name, $ca, $names, $days) = @_;
	open my $f, '>', "$pki/$name.ext" or die $!;
	print $f "subjectAltName=$names\n";
	close $f;
	$openssl->("req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name");
	$openssl->("x509 -req -in $name.csr -CA $ca.crt -CAkey $ca.key -CAcreateserial -days $days -extfile $name.ext -out $name.crt");
	return "$pki/$name";
};
$authority->($_) for qw(ours theirs);
my $good = $certificate->('good', 'ours', 'DNS:localhost,IP:127.0.0.1', 1);
my $foreign = $certificate->('foreign', 'theirs', 'DNS:localhost,IP:127.0.0.1', 1);
my $other = $certificate->('other', 'ours', 'DNS:mail.example.com', 1);

my $password = 's3cret-WORD+of=billing';
my $wrong = 'wr0ng-WORD+of=billing';
my $secrets = "$pki/secrets";
open my $f, '>', $secrets or die $!;
print $f "relay = $password\nbad = $wrong\n";
close $f;
chmod 0600, $secrets;
my $node = new_server('tls', "order2cash.secrets_file = '$secrets'", "order2cash.dispatch_ca_file = '$pki/ours.crt'",
	"log_statement = 'all'", "log_min_messages = 'debug1'", 'log_error_verbosity = verbose');
install_o2c($node);

my @auth = ('billing', $password);
my %peer = (
	starttls_plain => start_tls_peer('starttls', $good, 'PLAIN', @auth), starttls_login => start_tls_peer('starttls', $good, 'LOGIN', @auth),
	smtps_plain => start_tls_peer('smtps', $good, 'PLAIN', @auth), smtps_login => start_tls_peer('smtps', $good, 'LOGIN', @auth),
	smtps_open => start_tls_peer('smtps', $good), https => start_tls_peer('https', $good, '', @auth),
	starttls_foreign => start_tls_peer('starttls', $foreign, 'PLAIN', @auth), smtps_foreign => start_tls_peer('smtps', $foreign, 'PLAIN', @auth),
	smtps_other => start_tls_peer('smtps', $other, 'PLAIN', @auth), https_foreign => start_tls_peer('https', $foreign),
	starttls_try => start_tls_peer('starttls', $foreign));
my $send = sub {
	my ($code, $peer, $secret) = @_;
	my ($mode) = $peer =~ /^([a-z]+)/;
	my $url = ($mode eq 'https' ? 'https' : $mode eq 'smtps' ? 'smtps' : 'smtp') . '://localhost:' . port_of($peer{$peer});
	my $settings = '{"backoff": 0.1, "timeout": 20, "tls": "require"'
	  . ($secret ? qq(, "username": "billing", "password_secret": "$secret") : '') . '}';
	my ($kind, $to) = $mode eq 'https' ? ('sms', '0170') : ('email', "$code\@example.com");
	$node->safe_psql('o2c', qq{
		INSERT INTO o2c.channel (company_id, code, kind, url, settings, max_attempts) VALUES (1, '$code', '$kind', '$url', '$settings', 1);
		SELECT o2c.send_message(1, '$code', '$to', NULL, '{"subject": "s", "body_text": "t"}')});
};
my %secured = map { $_ => 'relay' } qw(starttls_plain starttls_login smtps_plain smtps_login https);
my @refused = qw(starttls_foreign smtps_foreign smtps_other https_foreign);
$send->($_, $_, $secured{$_}) for sort keys %secured;
$send->('smtps_open', 'smtps_open');
$send->($_, $_, /https/ ? undef : 'relay') for @refused;
$send->('wrong_plain', 'starttls_plain', 'bad');
$send->('wrong_login', 'smtps_login', 'bad');
$send->('wrong_basic', 'https', 'bad');
note states($node);

my $state = sub { $node->safe_psql('o2c', "SELECT state FROM o2c.message WHERE channel = '$_[0]'") };
my $error = sub { $node->safe_psql('o2c', "SELECT last_error FROM o2c.message WHERE channel = '$_[0]'") };
my $accepted = sub { -e "$peer{$_[0]}/accepted" ? slurp_file("$peer{$_[0]}/accepted") : '' };
for my $code (sort keys %secured)
{
	my $mechanism = $code eq 'https' ? 'BASIC' : $code =~ /login/ ? 'LOGIN' : 'PLAIN';
	is($state->($code), 'sent', "$code is sent") or diag $error->($code);
	like($accepted->($code), qr/\ATLSv1\.[23]\t$mechanism billing\t\S+\n\z/, "once, encrypted, by AUTH $mechanism");
}
is($state->('smtps_open'), 'sent', 'SMTPS without AUTH');
like($accepted->('smtps_open'), qr/^TLSv1\.[23]\tnobody\t/, 'is encrypted');
for my $code (@refused)
{
	is($state->($code), 'dead', "$code is refused");
	like($error->($code), qr/SSL|certificate/i, $error->($code));
	is($accepted->($code), '', 'before a word of the message');
}
for my $code (qw(wrong_plain wrong_login wrong_basic))
{
	is($state->($code), 'dead', "$code: a wrong password");
	isnt($error->($code), '', 'says so: ' . $error->($code));
}

# passwords appear nowhere: as they are, or as they travel
my @forms = map { my $p = $_; ($p, map { my $pad = $_; my $e = encode_base64("$pad$p", ''); substr $e, 4 * (1 + int(length($pad) / 3)), 16 } '', "\0billing\0", 'billing:') } $password, $wrong;
my $leaks = sub { my ($text) = @_; return scalar grep { index($text, $_) >= 0 } @forms };
is($leaks->(slurp_file($node->logfile)), 0, 'no password in the server log');
is($leaks->($node->safe_psql('o2c', "SELECT string_agg(to_jsonb(m)::text, '') FROM o2c.message m")), 0, 'nor in a message');
is($leaks->($node->safe_psql('o2c', "SELECT string_agg(to_jsonb(e)::text, '') FROM o2c.event e")), 0, 'nor in an event');
is($leaks->($node->safe_psql('o2c', "SELECT string_agg(to_jsonb(c)::text, '') FROM o2c.channel c")), 0, 'nor in a channel');
is($leaks->($node->safe_psql('o2c', "SELECT string_agg(to_jsonb(a)::text, '') FROM pg_stat_activity a")), 0, 'nor in pg_stat_activity');
is($node->safe_psql('o2c', 'SELECT count(*) FROM o2c.check()'), '0', 'check() is empty');
$node->stop('fast');
done_testing();
