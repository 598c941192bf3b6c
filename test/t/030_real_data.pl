# The same path on real input: two public receivables data sets as customers
# and open items, and statements of several banks.  The data lie beside the
# checkout (../shared/data) and are never required: without them, this skips.
# What the database says is compared with what the files say, counted apart.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = ($ENV{O2C_SHARED} || "$ENV{O2C_ROOT}/../shared") . '/data';
plan skip_all => "real data are not there ($data)" unless -d "$data/ar";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nshared_buffers = 256MB\nmax_wal_size = 2GB");
$node->start;
my $db = 'postgres';
$node->safe_psql($db, 'CREATE EXTENSION order2cash');
$node->safe_psql($db, 'SELECT o2c.install()');

# A count for the log; lines that begin so are shown by make check.
sub report { note(sprintf '= %-52s %s', @_); }

# Parts of the path that are not there yet.
sub lacks
{
	my ($function) = @_;
	return $node->safe_psql($db, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'o2c'::regnamespace AND proname = '$function'") eq '0';
}

# --- Data set 1: invoices of 100 customers, dates as M/D/YYYY, no currency.
my $ibm = "$data/ar/ibm_accounts_receivable.csv.gz";
$node->safe_psql($db, qq{
	SELECT o2c.create_company('AR one', 'US', 'USD', 'America/New_York');
	CREATE TABLE public.ibm (countrycode text, customerid text, paperlessdate text, invoicenumber text, invoicedate text,
		duedate text, invoiceamount text, disputed text, settleddate text, paperlessbill text, daystosettle text, dayslate text);
	\\copy public.ibm FROM PROGRAM 'zcat $ibm' (FORMAT csv, HEADER)
	CREATE VIEW public.ibm_customers AS SELECT DISTINCT customerid AS code, 'Customer ' || customerid AS name FROM public.ibm;
	CREATE VIEW public.ibm_items AS
	SELECT invoicenumber AS number, customerid AS customer_code, to_date(invoicedate, 'MM/DD/YYYY') AS document_date,
	  to_date(duedate, 'MM/DD/YYYY') AS due_date, 'USD' AS currency, invoiceamount AS amount, invoiceamount AS open_amount
	FROM public.ibm;
});
my $rows = $node->safe_psql($db, 'SELECT count(*) FROM public.ibm');
is($node->safe_psql($db, q{SELECT * FROM o2c.import_customers(1, 'public.ibm_customers')}), '100|0|0', '100 customers are imported');
is($node->safe_psql($db, q{SELECT * FROM o2c.import_open_items(1, 'public.ibm_items')}), "$rows|0|0", "$rows open items are imported");
is($node->safe_psql($db, q{SELECT * FROM o2c.import_open_items(1, 'public.ibm_items')}), "0|$rows|0", 'a second import changes nothing');
is($node->safe_psql($db, 'SELECT sum(open_amount) FROM o2c.open_item WHERE company_id = 1'),
	$node->safe_psql($db, 'SELECT sum(invoiceamount::numeric) FROM public.ibm'), 'their sum is that of the file');
my $aging = q{
	SELECT customer_code, (buckets)::text, total FROM o2c.aging(1, '2013-07-01') ORDER BY customer_code};
my $by_hand = q{
	SELECT customerid, ARRAY[
	    coalesce(sum(a) FILTER (WHERE d <= 0), 0), coalesce(sum(a) FILTER (WHERE d BETWEEN 1 AND 30), 0),
	    coalesce(sum(a) FILTER (WHERE d BETWEEN 31 AND 60), 0), coalesce(sum(a) FILTER (WHERE d BETWEEN 61 AND 90), 0),
	    coalesce(sum(a) FILTER (WHERE d > 90), 0)]::numeric(20,2)[]::text, sum(a)
	FROM (SELECT customerid, invoiceamount::numeric AS a, date '2013-07-01' - to_date(duedate, 'MM/DD/YYYY') AS d,
	        to_date(invoicedate, 'MM/DD/YYYY') AS issued FROM public.ibm) x
	WHERE issued <= '2013-07-01' GROUP BY 1 ORDER BY 1};
is($node->safe_psql($db, "SELECT * FROM ($aging) x") =~ s/(\{|,)0(?=[,}])/${1}0.00/gr, $node->safe_psql($db, $by_hand),
	'aging of 1 July 2013 is what the file says, per customer and bucket');
report('AR set 1: open items, customers', "$rows, 100");

SKIP: {
skip 'no apply_payment yet', 2 if lacks('apply_payment') || lacks('record_payment');
# Every settled invoice is paid on its day: nothing is left, and the aging of
# a day in between is what was settled later.
$node->safe_psql($db, q{
	SELECT count(o2c.apply_payment(1, o2c.record_payment(1, customerid, invoiceamount::numeric, 'USD', to_date(settleddate, 'MM/DD/YYYY'),
	  invoicenumber, 'transfer'), invoicenumber, invoiceamount::numeric, to_date(settleddate, 'MM/DD/YYYY')))
	FROM public.ibm});
is($node->safe_psql($db, 'SELECT count(*) FROM o2c.open_item WHERE company_id = 1 AND open_amount <> 0'), '0', 'all invoices are settled');
is($node->safe_psql($db, q{SELECT sum(total) FROM o2c.aging(1, '2013-07-01')}),
	$node->safe_psql($db, q{SELECT sum(invoiceamount::numeric) FROM public.ibm
		WHERE to_date(invoicedate, 'MM/DD/YYYY') <= '2013-07-01' AND to_date(settleddate, 'MM/DD/YYYY') > '2013-07-01'}),
	'the balance of 1 July 2013 is what was settled after that day');
report('AR set 1: payments applied', $rows);
}

# --- Data set 2: open items, dates as DD-MM-YYYY, amounts that were converted
# and have up to six decimals: these are refused, kept, and accepted rounded.
my $high = "$data/ar/highradius_open_items.csv.gz";
$node->safe_psql($db, qq{
	SELECT o2c.create_company('AR two', 'US', 'USD', 'America/New_York');
	CREATE TABLE public.high (n text, business_code text, cust_number text, name_customer text, clear_date text, buisness_year text,
		doc_id text, posting_date text, due_in_date text, baseline_create_date text, cust_payment_terms text, converted_usd text);
	\\copy public.high FROM PROGRAM 'zcat $high' (FORMAT csv, HEADER)
	CREATE VIEW public.high_customers AS SELECT cust_number AS code, min(name_customer) AS name FROM public.high GROUP BY 1;
	CREATE VIEW public.high_items AS
	SELECT doc_id AS number, cust_number AS customer_code, to_date(posting_date, 'DD-MM-YYYY') AS document_date,
	  to_date(due_in_date, 'DD-MM-YYYY') AS due_date, 'USD' AS currency, converted_usd AS amount, converted_usd AS open_amount
	FROM public.high;
	CREATE VIEW public.high_rounded AS SELECT number, customer_code, document_date, due_date, currency,
	  round(amount::numeric, 2) AS amount, round(open_amount::numeric, 2) AS open_amount FROM public.high_items;
});
my ($all, $fine, $bad) = split /\|/, $node->safe_psql($db, q{
	SELECT count(*), count(*) FILTER (WHERE scale(trim_scale(converted_usd::numeric)) <= 2),
	  count(*) FILTER (WHERE scale(trim_scale(converted_usd::numeric)) > 2) FROM public.high});
like($node->safe_psql($db, q{SELECT * FROM o2c.import_customers(2, 'public.high_customers')}), qr/^553\|0\|0$/, '553 customers are imported');
is($node->safe_psql($db, q{SELECT * FROM o2c.import_open_items(2, 'public.high_items')}), "$fine|0|$bad",
	"of $all items $fine are imported and $bad refused for their decimals");
is($node->safe_psql($db, q{SELECT count(*), count(*) FILTER (WHERE reason <> '' AND source_row ? 'number') FROM o2c.import_reject WHERE company_id = 2}),
	"$bad|$bad", 'each refused row is kept whole with its reason');
is($node->safe_psql($db, q{SELECT * FROM o2c.import_open_items(2, 'public.high_rounded')}), "$bad|$fine|0", 'rounded, they come in');
is($node->safe_psql($db, q{SELECT sum(total) FROM o2c.aging(2, '2020-06-30')}),
	$node->safe_psql($db, q{SELECT sum(round(converted_usd::numeric, 2)) FROM public.high WHERE to_date(posting_date, 'DD-MM-YYYY') <= '2020-06-30'}),
	'the balance of 30 June 2020 is that of the file');
is($node->safe_psql($db, q{SELECT count(*) FROM o2c.aging(2, '2020-06-30') WHERE (SELECT sum(b) FROM unnest(buckets) b) + unapplied <> total}), '0',
	'buckets and unapplied add up to the balance for every customer');
report('AR set 2: items imported, refused then rounded', "$fine, $bad");

# --- Statements: camt.053 of several banks.
my @files = lacks('import_statement') ? () : sort glob("$data/bank/camt/*camt*53*.xml");
cmp_ok(scalar(@files), '>', 5, scalar(@files) . ' camt.053 files') unless lacks('import_statement');
$node->safe_psql($db, q{SELECT o2c.create_company('Statements', 'NL', 'EUR', 'Europe/Amsterdam')});
my ($statements, $lines, $refused) = (0, 0, 0);
my $account = 0;
for my $file (@files)
{
	(my $name = $file) =~ s{.*/}{};
	my $xml = slurp_file($file);
	$account++;
	$node->safe_psql($db, qq{INSERT INTO o2c.bank_account (company_id, code) VALUES (3, 'A$account')});
	my ($code, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose
SELECT sum(lines), count(*) FROM o2c.import_statement(3, 'A$account', pg_read_binary_file('$file'))");
	if ($code != 0)
	{
		# a refusal must be one of ours and name its reason
		my ($reason) = $err =~ /ERROR:\s+(O2\d{3}: [^\n]*)/;
		ok(defined $reason, "$name is refused with a reason of class O2") or diag $err;
		is($node->safe_psql($db, "SELECT count(*) FROM o2c.bank_line l JOIN o2c.bank_account a ON (a.company_id, a.id) = (l.company_id, l.bank_account_id)
			WHERE a.company_id = 3 AND a.code = 'A$account'"), '0', "$name: nothing of it was kept");
		report($name, $reason // $err);
		$refused++;
		next;
	}
	my ($imported, $count) = split /\|/, $out;
	my $in_file = () = $xml =~ /<(?:\w+:)?Stmt>/g;
	my $entries = () = $xml =~ /<(?:\w+:)?Ntry>/g;
	is($count, $in_file, "$name: $in_file statement(s)");
	cmp_ok($imported, '>=', $entries, "$name: each of its $entries entries is a line, or one for each detail");
	is($node->safe_psql($db, qq{
		SELECT count(*) FROM o2c.bank_statement s JOIN o2c.bank_account a ON (a.company_id, a.id) = (s.company_id, s.bank_account_id)
		WHERE a.company_id = 3 AND a.code = 'A$account' AND NOT s.interim AND s.opening_balance IS NOT NULL AND s.closing_balance IS NOT NULL
		  AND s.opening_balance + (SELECT coalesce(sum(l.amount), 0) FROM o2c.bank_line l
		        WHERE l.company_id = 3 AND l.statement_id = s.id) <> s.closing_balance}),
		'0', "$name: opening balance and lines make the closing balance");
	is($node->safe_psql($db, "SELECT coalesce(sum(lines), 0) FROM o2c.import_statement(3, 'A$account', pg_read_binary_file('$file'))"),
		'0', "$name: imported again, it adds nothing");
	report($name, "$count statement(s), $imported line(s)");
	$statements += $count;
	$lines += $imported;
}
cmp_ok($node->safe_psql($db, q{SELECT count(payer_name) FROM o2c.bank_line WHERE company_id = 3}), '>', 0, 'payers are named') if $lines;
report('camt.053: statements, lines, files refused', "$statements, $lines, $refused");

is($node->safe_psql($db, 'SELECT * FROM o2c.check()'), '', 'check() is empty');
$node->stop;
done_testing();
