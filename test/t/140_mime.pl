# Mails in every language and with hostile names, judged by a parser that is
# not ours: valid MIME, no injected header, nothing lost.
use strict;
use warnings;
use utf8;
use FindBin;
use JSON::PP;
use lib "$FindBin::Bin/../perl";
use Peers;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'python3 is not there' if system('python3 -c "import email" >/dev/null 2>&1') != 0;

my $smtp = start_peer('smtp');
my $node = new_server('mime');
install_o2c($node);
my $url = 'smtp://127.0.0.1:' . port_of($smtp);
my $sql = sub { my $text = shift; utf8::encode($text); my $out = $node->safe_psql('o2c', $text); utf8::decode($out); $out };
$sql->(qq{INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (1, 'mail', 'email', '$url',
	'{"from": "Müller \\"&\\" Söhne <billing\@example.com>", "list_unsubscribe": "https://example.com/u/{{key}}"}')});

my %case = (
	plain => ['Ann <ann@example.com>', 'Hello', "Plain text.\nSecond line.\n.\n.dot\nFrom here"],
	german => ['Jörg Weiß <j@example.com>', 'Zahlungserinnerung über 1.190,00 € für Rechnung Nr. 4711 vom 1. März', "Grüße aus Köln\n" . ('ü' x 300)],
	greek => ['Γιάννης Παπαδόπουλος <g@example.com>', 'Υπενθύμιση πληρωμής ' x 8, 'Καλημέρα κόσμε'],
	japanese => ['山田太郎 <y@example.com>', '請求書のお支払いについて' x 6, '拝啓、お支払いをお願いいたします。'],
	arabic => ["\x{202e}evil\x{202c} محمد <m\@example.com>", 'تذكير بالدفع', 'السلام عليكم'],
	emoji => ['😀 Party <p@example.com>', '😀' x 60, '👍🏽 ok'],
	quotes => ['"Last, First \\"Q\\"" <q@example.com>', 'a "quoted" <subject> =?UTF-8?Q?fake?=', 'x'],
	long => ['l@example.com', 'w' x 900, 'x' x 5000],
	spaces => ['s@example.com', '  two  blanks ', "trailing  \n\ttab\t\n=20 =3D\n--boundary\n=_o2c_1_1_a\n"]);
for my $name (sort keys %case)
{
	my ($to, $subject, $text) = map { my $v = $_; $v =~ s/'/''/g; $v } @{ $case{$name} };
	$sql->("INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text, body_html, dedupe_key)
		VALUES (1, 'mail', '$to', '$subject', '$text', '<p>$text</p>', '$name')");
}
my $id = $sql->(q{SELECT o2c.send_message(1, 'mail', 'file@example.com', NULL, '{"subject": "files", "body_text": "see files"}', 'files',
	attachments => '[{"name": "Rechnung Nº 4711 – März «2026» mit einem sehr langen Namen für den Anhang.pdf", "content_type": "application/pdf", "base64": "JVBERi0xLjQK"},
	{"name": "a \"b\".xml", "content_type": "application/xml", "content": "<a>ü</a>"}]')});

# refused when written
for my $bad ("E'a\@b.c\\r\\nBcc: x\@y.z'", "E'X\\nBcc: x\@y.z <a\@b.c>'", "'a b\@c.d'", "'a\@b.c, d\@e.f'", "'\@b.c'", "'a\@'", "'<a\@b.c'", "'a\@-b.c'", "''", 'NULL')
{
	my ($rc, $out, $err) = $node->psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'mail', $bad, 'x')");
	isnt($rc, 0, "recipient $bad is refused");
}
isnt($node->psql('o2c', "INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text) VALUES (1, 'mail', 'a\@b.c', E'x\\r\\nBcc: y', 'x')"), 0, 'a subject of two lines is refused');

is(states($node), 'sent ' . (1 + keys %case), 'all are sent');
my @files = grep { !/\.tmp$/ } glob "$smtp/mail.*";
my $json = `python3 $FindBin::Bin/../peers/read_mail.py @files`;
my %read = map { my $m = decode_json($_); ($m->{to}[0][1] => $m) } split /\n/, $json;
for my $name (sort keys %case)
{
	my ($to, $subject, $text) = @{ $case{$name} };
	my ($address) = $to =~ /([^ <]+@[^ >]+)/;
	my $m = $read{$address} or do { fail("$name arrived"); next };
	my $want = $subject;
	is($m->{subject}, $want, "$name: subject");
	(my $got = $m->{text}) =~ s/\r\n/\n/g;
	$got =~ s/\n+\z//;
	(my $expected = $text) =~ s/\n+\z//;
	is($got, $expected, "$name: text");
	like($m->{html}, qr/^<p>/, "$name: HTML");
	is("@{ $m->{defects} }", '', "$name: no defects");
	cmp_ok($m->{longest}, '<=', 998, "$name: line length");
	ok($m->{ascii} && !$m->{bare}, "$name: ASCII, CRLF only");
	is("@{ $m->{headers} }", 'auto-submitted content-type date from list-unsubscribe list-unsubscribe-post message-id mime-version subject to', "$name: just these headers");
	is($m->{from}[0][0], 'Müller "&" Söhne', "$name: sender's name");
}
is($read{'j@example.com'}{to}[0][0], 'Jörg Weiß', 'a name');
is($read{'q@example.com'}{to}[0][0], 'Last, First "Q"', 'a quoted name');
is($read{'m@example.com'}{to}[0][0], 'evil محمد', 'a name without directional overrides');
my $f = $read{'file@example.com'}{files};
is($f->[0][0], 'Rechnung Nº 4711 – März «2026» mit einem sehr langen Namen für den Anhang.pdf', 'a long file name');
is($f->[0][2], 9, 'its content');
is($f->[1][0], 'a "b".xml', 'a quoted file name');
$node->stop('fast');
done_testing();
