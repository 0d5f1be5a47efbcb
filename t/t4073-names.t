#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='names that are none, in every request; and odd ones, which are kept byte for byte'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site' 'attack_site && start_server'

test_expect_success 'one refusal for each, in every request; odd ones are names like others' '
	attack names.py "$TRASH/files/alice"
'

test_expect_success 'a client shows them without a byte that a terminal would obey' '
	for options in "" -l --json; do
		consign ls $options alice:/odd >out 2>err && test "$(wc -l <out)" -ge 50 &&
		perl "$SOURCE/t/attack/shown.pl" out err || return 1
	done && json_lines out
'

test_expect_success 'and fetches them under the same names' '
	test_expect_code 65 consign -q get -r alice:/odd back 2>err && perl "$SOURCE/t/attack/shown.pl" err && test "$(wc -l <err)" = 3 &&
	rm files/alice/odd/new* files/alice/odd/*2J "files/alice/odd/$(printf "\177")" && diff -r files/alice/odd back &&
	test "$(ls -A back | wc -l)" -ge 50
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && canary_untouched
'

test_done
