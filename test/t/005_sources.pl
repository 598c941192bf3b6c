# What the sources promise of themselves: every SQLSTATE defined once and
# documented, version tests in one place, each file opened by a comment.
use strict;
use warnings;
use File::Find;
use Test::More;

my $root = $ENV{O2C_ROOT} || '.';
my %text;
find({ no_chdir => 1, wanted => sub {
	return unless -f && m{/(src|sql)/.*\.(c|h|sql)$} && !m{/order2cash--};
	open my $fh, '<:encoding(UTF-8)', $_ or die "cannot read $_: $!";
	local $/;
	(my $name = $_) =~ s{^\Q$root\E/}{};
	$text{$name} = <$fh>;
} }, "$root/src", "$root/sql");

sub slurp
{
	my ($name) = @_;
	open my $fh, '<:encoding(UTF-8)', "$root/$name" or die "cannot read $name: $!";
	local $/;
	return scalar <$fh>;
}

my %defined;
while ($text{'src/errors.h'} =~ /define\s+(ERRCODE_O2C_\w+)\s+MAKE_SQLSTATE\('(.)',\s*'(.)',\s*'(.)',\s*'(.)',\s*'(.)'\)/g)
{
	my ($name, $code) = ($1, "$2$3$4$5$6");
	ok(!$defined{$code}, "$code is defined once") or diag $name;
	$defined{$code} = $name;
}
my $documented = slurp('docs/reference/errors.md');
my @undocumented = grep { $documented !~ /^\| $_ \|/m } sort keys %defined;
is("@undocumented", '', 'docs/reference/errors.md has every SQLSTATE');
my @invented = grep { !$defined{$_} } $documented =~ /^\| (O2...) \|/mg;
is("@invented", '', 'and no other');

my %unknown;
for my $file (sort keys %text)
{
	next if $file eq 'src/errors.h';
	while ($text{$file} =~ /'(O2\d{3})'/g) { $unknown{$1} = $file unless $defined{$1}; }
}
is(join(' ', map { "$_ in $unknown{$_}" } sort keys %unknown), '', 'SQL raises only SQLSTATEs of errors.h');

my @version = grep { $text{$_} =~ /PG_VERSION_NUM/ && $_ ne 'src/compat.h' && $text{$_} =~ /^\s*#\s*(?:if|elif).*PG_VERSION_NUM/m } sort keys %text;
is("@version", '', 'only src/compat.h tests PG_VERSION_NUM');

my @uncommented = grep { length $text{$_} && $text{$_} !~ m{\A\s*(?:/\*|--)} } sort keys %text;
is("@uncommented", '', 'each file opens with a comment that says what it is for');

my @long = grep { my $lines = () = $text{$_} =~ /\n/g; $lines > 800 } sort keys %text;
is("@long", '', 'no file is far longer than one idea');

my @definer = grep { my $code = $text{$_}; $code =~ s/--.*//g; $code =~ /SECURITY\s+DEFINER/i } grep { /\.sql$/ } sort keys %text;
is("@definer", '', 'nothing is SECURITY DEFINER');

my @unsafe = grep { m{\.c$} && $text{$_} =~ /\b((?:strcpy|strcat)\s*\([^",]*,\s*[^"\s]|(?:sprintf|gets|system|popen)\s*\()/ } sort keys %text;
is("@unsafe", '', 'no unbounded string function and no shell in C');

my @foreign = grep { m{^src/} && $text{$_} =~ /\b(float8_numeric|atof|strtod)\b/ && $text{$_} =~ /amount/i } sort keys %text;
is("@foreign", '', 'no floating point where amounts are');

done_testing();
