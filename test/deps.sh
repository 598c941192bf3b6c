#!/bin/sh
# make deps: on Debian, install the packages that building and testing need and
# that are missing; elsewhere, say what is missing.  Looks for the things
# themselves, not for packages, so that any PostgreSQL behind PG_CONFIG will do.
. "$(dirname "$0")/lib.sh"

want= missing=

# need PACKAGE WHAT COMMAND...: note PACKAGE when COMMAND fails.
need()
{
	package=$1 what=$2
	shift 2
	if ! "$@" >/dev/null 2>&1
	then
		want="$want $package"
		missing="$missing
  $what"
	fi
}

have_server() { [ -x "$("$PG_CONFIG" --bindir)/postgres" ]; }
# Debian's client package has pgxs.mk, but not the headers it compiles with
have_pgxs() { [ -f "$("$PG_CONFIG" --pgxs)" ] && [ -f "$("$PG_CONFIG" --includedir-server)/postgres.h" ]; }
have_extension() { [ -f "$("$PG_CONFIG" --sharedir)/extension/$1.control" ]; }

look()
{
	want= missing=
	major=15
	if have_server 2>/dev/null
	then major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	fi
	need "postgresql-$major" "PostgreSQL server" have_server
	need "postgresql-server-dev-$major" "PostgreSQL's server headers (PGXS)" have_pgxs
	need "postgresql-$major-cron" "pg_cron" have_extension pg_cron
	need "postgresql-$major-pgtap" "pgTAP" have_extension pgtap
	need gcc "a C compiler" command -v cc
	need make "make" command -v make
	need pkg-config "pkg-config" command -v pkg-config
	need libcurl4-openssl-dev "libcurl's headers" pkg-config --exists libcurl
	need libqrencode-dev "libqrencode's headers" pkg-config --exists libqrencode
	need libtap-parser-sourcehandler-pgtap-perl "pg_prove" command -v pg_prove
	need libipc-run-perl "Perl's IPC::Run" perl -MIPC::Run -e 1
	need perl "Perl's Test::More" perl -MTest::More -MIO::Socket::INET -e 1
	need python3 "python3 (loopback peers)" test -x /usr/bin/python3
}

look
[ -n "$want" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1
then
	die "missing:$missing"
fi
say "# installing:$want"
if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $want
then
	as_root apt-get update -q
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $want
fi

look
[ -z "$want" ] || die "still missing after installing packages:$missing
Hint: set PG_CONFIG to the installation to use."
