#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='what the documents say is what the code does'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"

MAN=$SOURCE/contrib/man

# The long options of a help text, one a line.
options_of_help() {
	grep -oE -- '--[a-z][a-z0-9-]*' | sort -u
}

# The long options that a manual page documents: ".It ... Fl -NAME".
options_of_page() {
	grep -E '^\.It ' "$1" | grep -oE 'Fl -[a-z][a-z0-9-]*' | sed 's/^Fl -/--/' | sort -u
}

test_expect_success 'consign(1) has the options of --help, and no others' '
	commands=$(consign --help | sed -n "s/^  \([a-z]*\)  *[FN].*/\1/p") &&
	test "$(echo $commands | wc -w)" -ge 11 &&
	{ consign --help && for c in $commands; do consign $c --help || exit 1; done; } >help &&
	options_of_help <help >expect &&
	options_of_page "$MAN/consign.1" >page &&
	test_cmp expect page
'

test_expect_success 'consign(1) has every command' '
	for c in $(consign --help | sed -n "s/^  \([a-z]*\)  *[FN].*/\1/p"); do
		grep -q "^\.It Cm $c" "$MAN/consign.1" || { echo "$c is missing" && return 1; }
	done
'

test_expect_success 'consignd(8) has the options of --help, and no others' '
	consignd --help | options_of_help >expect &&
	options_of_page "$MAN/consignd.8" >page &&
	test_cmp expect page
'

test_expect_success 'consignd.conf(5) has every key of the configuration' '
	sed -n "s/^ *{\"\(server\|limits\)\", \"\([a-z-]*\)\".*/\2/p" "$SOURCE/server/config.c" >keys &&
	test "$(wc -l <keys)" -ge 20 &&
	while read -r key; do
		grep -qE "^\.It .*Li $key( |$)|^\.It Li .* $key( |$)" "$MAN/consignd.conf.5" ||
			{ echo "$key is missing" && return 1; }
	done <keys
'

test_expect_success 'consignd.conf(5) has every key of the map' '
	grep -oE "\{\"[a-z-]+\", take_" "$SOURCE/server/map_keys.c" | cut -d "\"" -f 2 >keys && test "$(wc -l <keys)" -ge 16 &&
	sed -n "/^\.Sh THE MAP/,\$p" "$MAN/consignd.conf.5" >map-page && while read -r key; do
		grep -qE "^\.It .*Li $key( |$)|^\.It Li .* $key( |$)" map-page || { echo "$key is missing" && return 1; }
	done <keys
'

test_expect_success 'consign(1) has every profile key' '
	sed -n "/static enum err set(/,/^}/p" "$SOURCE/client/profile.c" |
		grep -oE "\"[a-z-]+\"" | tr -d "\"" | grep -vxE "require|if-present|best" | sort -u >keys &&
	test "$(wc -l <keys)" -ge 11 &&
	while read -r key; do
		grep -qE "^\.It Li $key$" "$MAN/consign.1" || { echo "$key is missing" && return 1; }
	done <keys
'

test_expect_success 'consign(1) has every exit status, with the errors it stands for' '
	sed -n "s/^ERR(\([A-Z]*\), [0-9]*, \([0-9]*\),.*/\1 \2/p" "$SOURCE/common/err.def" >statuses &&
	sed -n "/^\.Sh EXIT STATUS/,/^\.Sh FILES/p" "$MAN/consign.1" >section &&
	while read -r name status; do
		sed -n "/^\.It $status\$/,/^\.It/p" section >entry &&
		test -s entry || { echo "$status is missing" && return 1; }
		test $name = OK || grep -qw $name entry || { echo "$name is missing" && return 1; }
	done <statuses
'

test_expect_success 'PROTOCOL.md has every message with its number and its fields' '
	awk "/^MSG/ {gsub(/[(),]/, \" \"); name = \$3; number = \$4; fields = \"\"; next}
		/^END/ {print \"| \" number \" | \" name \" | \" fields \" |\"; next}
		/^ +(U8|U16|U32|U64|HASH)\(/ {gsub(/[(),]/, \" \"); add = tolower(\$1) \" \" \$2}
		/^ +(STR|TAIL)\(/ {gsub(/[(),]/, \" \"); add = tolower(\$1) \"<\" \$3 \"> \" \$2}
		/^ +[A-Z]/ {fields = fields (fields ? \", \" : \"\") add}" "$SOURCE/common/msg.def" >rows &&
	test "$(wc -l <rows)" -ge 25 &&
	while read -r row; do
		grep -qxF "$row" "$SOURCE/common/PROTOCOL.md" || { echo "missing: $row" && return 1; }
	done <rows &&
	test "$(grep -cE "^\| [0-9]+ \| [A-Z]+ \| ([a-z0-9<]|\|)" "$SOURCE/common/PROTOCOL.md")" -ge \
		"$(wc -l <rows)"
'

test_expect_success 'PROTOCOL.md has every status' '
	sed -n "s/^ERR(\([A-Z]*\), \([0-9]*\), [0-9]*, \([a-z]*\), \"\(.*\)\")/\2|\1|\4|\3/p" \
		"$SOURCE/common/err.def" | sed "s/true$/yes/; s/false$/no/" >statuses &&
	while IFS="|" read -r number name text retry; do
		grep -qxF "| $number | $name | $text | $retry |" "$SOURCE/common/PROTOCOL.md" ||
			{ echo "$name is missing" && return 1; }
	done <statuses
'

test_expect_success 'consignd(8) says of each process what common/confine.def gives it' '
	"$SOURCE/t/confine.pl" "$SOURCE/common/confine.def" "$MAN/consignd.8" >expect &&
	test "$(grep -c "^runs as: " expect)" -ge 8 && test_cmp expect "$MAN/consignd.8"
'

test_expect_success 'the files that the documents name exist' '
	for page in README.md t/README.md common/PROTOCOL.md; do
		perl -ne "while (m{(?<![\\w/.])((?:common|client|server|pki|contrib|t)/[\\w./-]*\\w)}g) {print qq(\$1\\n)}" \
			"$SOURCE/$page" | grep -vE "NAME|_X\.|/x\.h" | sort -u >named && test -s named &&
		while read -r file; do
			test -e "$SOURCE/$file" || ls "$SOURCE/$file"* >/dev/null 2>&1 ||
				{ echo "$page names $file" && return 1; }
		done <named || return 1
	done
'

test_expect_success 'the README is short and names both commands' '
	test "$(wc -l <"$SOURCE/README.md")" -lt 110 &&
	grep -q "make demo" "$SOURCE/README.md" && grep -q "make check" "$SOURCE/README.md"
'

test_done
