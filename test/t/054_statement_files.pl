# Files of real banks, and small ones of our own, against a second reader that
# shares nothing with the first: how many lines, which sum, and whether the
# file adds up at all.  What adds up must be imported with these figures; what
# does not must be refused with the SQLSTATE of its reason, and leave nothing.
#
# The real files lie beside the checkout (../shared/data/bank) and are never
# required; those in test/data/bank always run.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = $ENV{O2C_ROOT} || '.';
my $shared = ($ENV{O2C_SHARED} || "$root/../shared") . '/data/bank';

# Amounts are whole numbers of 1/100000 here: no floating point.
sub units
{
	my ($text) = @_;
	$text =~ s/,/./;
	my ($sign, $int, $dec) = $text =~ /^([+-]?)(\d+)(?:\.(\d*))?$/ or return undef;
	my $value = $int . substr(($dec // '') . '00000', 0, 5);
	return $sign eq '-' ? -$value : 0 + $value;
}

# Each reader returns (verdict, lines, sum): verdict 'ok' or a SQLSTATE.
sub read_mt940
{
	my ($text) = @_;
	$text =~ s/\r\n?/\n/g;
	my ($lines, $sum, $account, $open, $run, $closed, $report, $statements) = (0, 0, undef, undef, 0, 0, 0, 0);
	my %total;
	my $bad;
	my ($in_movements, $page, $pages) = (0, undef, undef);
	my $end = sub {
		return if !defined $account && !defined $open && !$report;
		$bad = 'O2050' if !defined $account || (!defined $open && !$report) || (defined $open && !$closed);
		for my $mark (grep { defined $total{$_}[1] } keys %total)
		{
			$bad //= 'O2052' if $total{$mark}[0] != $total{$mark}[1];
		}
		$statements++ unless $closed eq 'M';
		($account, $open, $run, $closed, $report) = (undef, undef, 0, 0, 0);
		%total = ();
	};
	for my $line (split /\n/, $text)
	{
		$line =~ s/^\{.*?\{4:(?=:)//;
		if ($line =~ /^(-|-\}.*|-XXX|\{.*)\W*$/ && $line !~ /^:/) { $end->(); next; }
		next unless $line =~ /^:(20|25P?|60[FM]|61|62[FM]|34F|13D|90[DC]|9\d0):(.*)/;
		my ($tag, $value) = ($1, $2);
		if ($tag eq '20' || $tag =~ /^9\d0/) { $end->(); $account = '' if $tag eq '20'; next; }
		if ($tag =~ /^25/) { $bad = 'O2050' if defined $open || length($account // ''); $account = $value; next; }
		if ($tag =~ /^60(.)/)
		{
			my ($mark, $amount) = $value =~ /^([CD])\d{6}[A-Z]{3}([\d.,]+)/;
			if (!defined $account || $account eq '' || defined $open || !defined $amount) { $bad = 'O2050'; next; }
			$open = units($amount) * ($mark eq 'D' ? -1 : 1);
			$run = $open;
		}
		elsif ($tag =~ /^62(.)/)
		{
			my $kind = $1;
			my ($mark, $amount) = $value =~ /^([CD])\d{6}(?:[A-Z]{3})?([\d.,]+)/;
			if (!defined $open || !defined $amount) { $bad = 'O2050'; next; }
			$bad //= 'O2052' if units($amount) * ($mark eq 'D' ? -1 : 1) != $run;
			$closed = $kind;
		}
		elsif ($tag eq '34F' || $tag eq '13D') { $report = 1; }
		elsif ($tag =~ /^90(.)/)
		{
			my $mark = $1;
			my ($stated) = $value =~ /^\d+[A-Z]{3}([\d.,]+)/;
			$total{$mark}[1] = units($stated);
			$total{$mark}[0] //= 0;
		}
		elsif ($tag eq '61')
		{
			my ($mark, $amount) = $value =~ /^\d{6}(?:\d{4}|\s{4})?\s*(R?[CD])[A-Z]?([\d.,]+)/;
			if (!defined $amount || !(defined $open || $report) || $closed) { $bad = 'O2050'; next; }
			my $signed = units($amount) * ($mark eq 'D' || $mark eq 'RC' ? -1 : 1);
			$run += $signed;
			$sum += $signed;
			$lines++;
			$total{ $signed < 0 ? 'D' : 'C' }[0] += abs $signed if $report;
		}
	}
	$end->();
	return ($bad // ($statements ? 'ok' : 'O2050'), $lines, $sum);
}

sub read_camt
{
	my ($text) = @_;
	$text =~ s{<(/?)\w+:}{<$1}g;    # prefixes
	return ('O2051', 0, 0) unless $text =~ /<BkToCstmr(Stmt|AcctRpt|DbtCdtNtfctn)(V\d+)?[\s>]/;
	my $proves = $1 eq 'Stmt';
	my ($lines, $sum, $bad) = (0, 0);
	while ($text =~ m{<(Stmt|Rpt|Ntfctn)>(.*?)</\1>}gs)
	{
		my $body = $2;
		my (%balance, %currency);
		while ($body =~ m{<Bal>(.*?)</Bal>}gs)
		{
			my $bal = $1;
			my ($code) = $bal =~ m{<Cd>(\w+)</Cd>};
			my ($ccy, $amount) = $bal =~ m{<Amt Ccy="(\w+)">([^<]+)<};
			$balance{$code} = units($amount) * ($bal =~ m{<CdtDbtInd>DBIT} ? -1 : 1);
			$currency{$code} = $ccy;
		}
		my $run = 0;
		my $n = 0;
		while ($body =~ m{<Ntry>(.*?)</Ntry>}gs)
		{
			my $entry = $1;
			my ($status) = $entry =~ m{<Sts>\s*(?:<Cd>)?\s*(\w+)};
			next if ($status // 'BOOK') ne 'BOOK';
			my ($amount) = $entry =~ m{^\s*(?:<NtryRef>[^<]*</NtryRef>\s*)?<Amt[^>]*>\s*([^<\s]+)}s;
			my ($sign) = $entry =~ m{<CdtDbtInd>(\w+)};
			my $signed = units($amount) * ($sign eq 'DBIT' ? -1 : 1);
			my @details = $entry =~ m{<TxDtls>(.*?)</TxDtls>}gs;
			my $split = 0;
			my $all = 1;
			for my $detail (@details)
			{
				my ($part) = $detail =~ m{^.*?(?:</Refs>)?\s*<Amt [^>]*>([^<]+)</Amt>\s*<CdtDbtInd>}s;
				($part) = $detail =~ m{<TxAmt>\s*<Amt[^>]*>([^<]+)<}s unless defined $part;
				my ($own) = $detail =~ m{</Amt>\s*<CdtDbtInd>(\w+)};
				$all = 0, last unless defined $part;
				$split += units($part) * (($own // $sign) eq 'DBIT' ? -1 : 1);
			}
			$n += @details > 1 && $all && $split == $signed ? @details : 1;
			$run += $signed;
		}
		if ($proves && grep { exists $balance{$_} } qw(OPBD PRCD CLBD ITBD))
		{
			my $open = $balance{OPBD} // $balance{PRCD};
			my $close = $balance{CLBD} // $balance{ITBD};
			$open //= $close unless $n;
			$close //= $open unless $n;
			my ($from, $to) = ($currency{OPBD} // $currency{PRCD} // '', $currency{CLBD} // $currency{ITBD} // '');
			$bad //= 'O2053' if $from ne $to && $from ne '' && $to ne '';
			$bad //= 'O2052' if !defined $open || !defined $close || $open + $run != $close;
		}
		$lines += $n;
		$sum += $run;
	}
	return ($bad // 'ok', $lines, $sum);
}

sub read_bai2
{
	my ($text) = @_;
	$text =~ s/\r//g;
	my ($lines, $sum, $bad) = (0, 0);
	while ($text =~ m{(?:^|\s)03,([^,]*),(.*?)(?:^|/\s+)49,}gms)
	{
		my $account = $2;
		my ($open) = $account =~ /^\w*,.*?\b010,([+-]?\d+)/s;
		my ($close) = $account =~ /\b015,([+-]?\d+)/;
		my $run = 0;
		while ($account =~ m{(?:^|/\s+)16,(\d{3}),(\d*),}gm)
		{
			$lines++;
			$run += ($2 || 0) * ($1 < 400 ? 1 : -1);
			pos($account) -= 1;
		}
		$sum += $run * ($account =~ /^JPY,/ ? 100000 : 1000);
		$bad //= 'O2052' if defined $open && defined $close && $open + $run != $close;
	}
	return ($bad // 'ok', $lines, $sum);
}

sub read_coda
{
	my ($text) = @_;
	my ($lines, $sum, $open, $close, $bad) = (0, 0);
	my %detail;
	for (split /\r?\n/, $text)
	{
		my $amount = sub { units(substr($_, $_[0] + 1, 12) . '.' . substr($_, $_[0] + 13, 3)) * (substr($_, $_[0], 1) ? -1 : 1) };
		if (/^1/) { $open = $amount->(42); }
		elsif (/^21....0000/) { $lines++; $sum += $amount->(31); }
		elsif (/^8/) { $close = $amount->(41); }
	}
	return ($open + $sum == $close ? 'ok' : 'O2052', $lines, $sum);
}

sub read_ofx
{
	my ($text) = @_;
	my ($lines, $sum) = (0, 0);
	return ('O2051', 0, 0) unless $text =~ m{<(?:CC)?STMTRS>};
	while ($text =~ m{<((?:CC)?STMTRS)>(.*?)</\1>}gs)
	{
		my $body = $2;
		while ($body =~ m{<STMTTRN>(.*?)</STMTTRN>}gs)
		{
			my ($amount) = $1 =~ m{<TRNAMT>\s*([^<\s]+)};
			return ('O2050', 0, 0) unless defined units($amount);
			$lines++;
			$sum += units($amount);
		}
	}
	return ('ok', $lines, $sum);
}

my %reader = (camt => \&read_camt, mt940 => \&read_mt940, bai2 => \&read_bai2, coda => \&read_coda, ofx => \&read_ofx);

# Currencies that there are no more: the figures may be right, there is no
# account to book them on.
my %gone = ('wolph__cmxl__mt940.sta' => 1, 'wolph__self-provided__raphaelm.sta' => 1);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
my $db = 'postgres';
$node->safe_psql($db, 'CREATE EXTENSION order2cash');
$node->safe_psql($db, q{SELECT o2c.install(); SELECT o2c.create_company('Banks', 'NL', 'EUR')});

# One import, with its SQLSTATE; then the same file, and the same movements in
# other bytes; then what is there.
$node->safe_psql($db, q{
	CREATE FUNCTION public.try_import(account text, content bytea) RETURNS text LANGUAGE plpgsql AS $f$
	DECLARE
	  state text := 'ok'; message text := ''; first text; again text; other text;
	BEGIN
	  INSERT INTO o2c.bank_account (company_id, code) VALUES (1, account);
	  BEGIN
	    SELECT format('%s/%s', sum(lines), sum(duplicates)) INTO first FROM o2c.import_statement(1, account, content);
	    SELECT format('%s/%s', sum(lines), sum(duplicates)) INTO again FROM o2c.import_statement(1, account, content);
	    SELECT format('%s/%s', sum(lines), sum(duplicates)) INTO other FROM o2c.import_statement(1, account, content || '\x0a');
	  EXCEPTION WHEN OTHERS THEN
	    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	  END;
	  RETURN concat_ws('|', state, first, again, other, (SELECT format('%s/%s', count(*), coalesce(sum(l.amount) * 100000, 0)::numeric(30,0))
	    FROM o2c.bank_line l JOIN o2c.bank_account a ON (a.company_id, a.id) = (l.company_id, l.bank_account_id)
	    WHERE a.code = account), message);
	END $f$});

my %count = (imported => 0, refused => 0, lines => 0);
for my $kind (sort keys %reader)
{
	my @files = (sort(glob("$root/test/data/bank/$kind/*")), sort(glob("$shared/$kind/*")));
	my @answers = split /\n/, $node->safe_psql($db, join "\n",
		map { (my $name = $_) =~ s{.*/}{}; "SELECT public.try_import('$kind-$name', pg_read_binary_file('$_'));" } @files);
	for my $file (@files)
	{
		(my $name = $file) =~ s{.*/}{};
		my ($verdict, $lines, $sum) = $reader{$kind}->(slurp_file($file));
		$verdict = 'O2042' if $gone{$name};
		my $answer = shift @answers;
		if ($verdict eq 'ok')
		{
			is($answer, "ok|$lines/0|0/$lines|0/$lines|$lines/$sum|",
				"$kind/$name: $lines lines with the right sum; again, or as another file, it adds nothing");
			$count{imported}++;
			$count{lines} += $lines;
		}
		else
		{
			my ($state, $kept, $message) = split /\|/, $answer, 3;
			is("$state, $kept", "$verdict, 0/0", "$kind/$name: is refused ($verdict) and nothing of it kept") or diag($answer);
			note(sprintf '= %-52s %s', "$kind/$name", "$state $message");
			$count{refused}++;
		}
	}
}
note(sprintf '= %-52s %s', 'bank files: imported, lines, refused', "$count{imported}, $count{lines}, $count{refused}");
note("the real files are not there ($shared): only our own samples were read") unless -d $shared;
is($node->safe_psql($db, 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
