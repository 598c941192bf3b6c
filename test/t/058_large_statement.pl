# A statement of 100,000 lines is read in bounded memory and linear time: the
# file lies in memory twice (as bytes and as text), and beside it there is only
# what work_mem bounds, whatever the number of lines.
#
# O2C_LINES (100000) sets the size; a tenth of it is what it is compared with.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no /proc/self/status to measure memory with' unless -r '/proc/self/status';

my $large = $ENV{O2C_LINES} || 100_000;
my $small = int($large / 10);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 16MB\nwork_mem = 4MB\nmax_wal_size = 4GB\njit = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION order2cash');
$node->safe_psql('postgres', q{SELECT o2c.install(); SELECT o2c.create_company('Large', 'DE', 'EUR')});

# Half of the payments are entries of their own, half are details of one entry.
sub camt
{
	my ($n, $out) = @_;
	my $batch = int($n / 2);
	my $detail = sub {
		my ($j) = @_;
		return "<TxDtls><Refs><EndToEndId>E$j</EndToEndId></Refs><Amt Ccy=\"EUR\">10.00</Amt><RltdPties><Dbtr><Pty><Nm>Customer $j</Nm></Pty></Dbtr>"
		  . '<DbtrAcct><Id><IBAN>NL91ABNA0417164300</IBAN></Id></DbtrAcct></RltdPties><RmtInf><Ustrd>Invoice '
		  . (1000000 + $j) . ' of January</Ustrd></RmtInf></TxDtls>';
	};
	my $balance = sub {
		my ($code, $amount) = @_;
		return "<Bal><Tp><CdOrPrtry><Cd>$code</Cd></CdOrPrtry></Tp><Amt Ccy=\"EUR\">$amount</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-02</Dt></Dt></Bal>";
	};
	my $entry = sub {
		my ($amount, $ref) = @_;
		return "<Ntry><Amt Ccy=\"EUR\">$amount</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt><AcctSvcrRef>$ref</AcctSvcrRef><NtryDtls>";
	};
	print $out '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId>'
	  . '<CreDtTm>2026-03-02T00:00:00</CreDtTm></GrpHdr><Stmt><Id>S</Id><Acct><Id><Othr><Id>1</Id></Othr></Id><Ccy>EUR</Ccy></Acct>'
	  . $balance->('OPBD', '0.00') . $balance->('CLBD', $n * 10 . '.00');
	print $out $entry->('10.00', "R$_"), $detail->($_), '</NtryDtls></Ntry>' for 1 .. $n - $batch;
	print $out $entry->($batch * 10 . '.00', 'BATCH');
	print $out $detail->($_) for $n - $batch + 1 .. $n;
	print $out '</NtryDtls></Ntry></Stmt></BkToCstmrStmt></Document>';
}

sub mt940
{
	my ($n, $out) = @_;
	print $out ":20:REF\r\n:25:1\r\n:28C:1/1\r\n:60F:C260301EUR0,\r\n";
	print $out ":61:2603020302C10,00NTRFNONREF//B$_\r\n:86:166?00GUTSCHRIFT?20EREF+E$_?21SVWZ+Rechnung " . (1000000 + $_)
	  . "?22 vom Januar?30COBADEFF?31NL91ABNA0417164300?32Kunde $_\r\n" for 1 .. $n;
	print $out ':62F:C260302EUR' . $n * 10 . ",\r\n-\r\n";
}

# Import in a new session: lines, its highest private memory in MB beyond the
# file's two copies, and the processor time in seconds.
sub import_file
{
	my ($kind, $n, $write) = @_;
	my $path = PostgreSQL::Test::Utils::tempdir() . "/$kind.$n";
	open my $out, '>', $path or die "$path: $!";
	$write->($n, $out);
	close $out;
	chmod 0644, $path;
	my ($lines, $status, $stat) = split /\n---\n/, $node->safe_psql('postgres', <<"SQL");
		INSERT INTO o2c.bank_account (company_id, code) VALUES (1, '$kind$n');
		SELECT sum(lines) || E'\\n---' FROM o2c.import_statement(1, '$kind$n', pg_read_binary_file('$path'));
		SELECT pg_read_file('/proc/self/status') || E'---';
		SELECT pg_read_file('/proc/self/stat');
SQL
	my %kb = $status =~ /^(VmHWM|RssFile|RssShmem):\s+(\d+)/mg;
	my ($ticks) = map { my @f = split ' ', s/^.*\) //r; $f[11] + $f[12] } $stat;
	my $size = (-s $path) / 1e6;
	unlink $path;
	my $beyond = ($kb{VmHWM} - $kb{RssFile} - $kb{RssShmem}) / 1000 - 2 * $size;
	note(sprintf '= %-52s %s', "$kind, $n lines, file of " . sprintf('%.1f MB', $size),
		sprintf('%.1f MB beside two copies of the file, %.1f s', $beyond, $ticks / 100));
	is($lines, $n, "$kind: $n lines are imported");
	return ($beyond, $ticks / 100);
}

for my $kind ([ 'camt', \&camt ], [ 'mt940', \&mt940 ])
{
	my ($name, $write) = @$kind;
	my ($memory_small, $time_small) = import_file($name, $small, $write);
	my ($memory, $time) = import_file($name, $large, $write);
	cmp_ok($memory, '<', 70, "$name: memory does not grow with the lines, but for the file itself");
	cmp_ok($time, '<', 15 * $time_small + 1, "$name: ten times the lines take ten times the time, not more");
}
is($node->safe_psql('postgres', 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
