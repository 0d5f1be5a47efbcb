#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='create alone: whatever is tried, nothing that is there is replaced or lost'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# "hello" and its hash.
HELLO="bytes=68656c6c6f root=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

raw() {
	within 60 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" WAIT "HELLO agent=raw" "$@" >out
}

# kept: what was there at first is there, and the same.
kept() {
	for kept_ in small big d/f; do same_file "first-$(basename $kept_)" files/alice/$kept_ || return 1; done
}

test_expect_success 'a site with files, and then a grant to add to them' '
	site_setup && conf map alice rights "list read create overwrite mkdir" && file_key alice && FILE_KEY=$(key_of_ alice.issued) &&
	start_server && echo one >first-small && random_file first-big 3000000 && echo inner >first-f &&
	consign -q put first-small alice:/small && consign -q put first-big alice:/big && consign mkdir alice:/d &&
	consign -q put first-f alice:/d/f && conf map alice rights create && restart_server && kept
'

test_expect_success 'uploads: small ones in groups, large ones, by several connections, and one that was cut' '
	mkdir set && for i in 1 2 3 4 5; do echo "$i" >set/$i || return 1; done && consign -q put set/1 set/2 set/3 alice:/ &&
	same_file set/3 files/alice/3 && random_file large 9000000 && consign -q put -j 2 large alice:/large &&
	same_file large files/alice/large && start_relay && relay_hold up $(place 4000000) &&
	cut_at 3145728 files/alice cut.out consign -q put -j 1 large relayed:/cut && stop_relay &&
	consign --json put large alice:/cut >json && same_file large files/alice/cut && test "$(result moved json)" -lt 8000000 && kept
'

test_expect_success 'what is there stays, whatever is sent to its name' '
	echo two >second && for name in small big d/f; do
		test_expect_code 77 consign -q put second alice:/$name || return 1
		test_must_fail consign -q put large alice:/$name || return 1
		test_must_fail consign -q put -j 2 large alice:/$name || return 1
		test_must_fail consign mv alice:/$name alice:/x || return 1
		test_must_fail consign mv alice:/large alice:/$name || return 1
		test_must_fail consign rm alice:/$name || return 1
		test_must_fail consign rm --part alice:/$name || return 1
	done && kept && test_must_fail consign rm alice:/d && test_must_fail consign mv alice:/d alice:/e && kept
'

test_expect_success 'nor by requests that no client of ours would send' '
	for flags in 0 1 8 9; do
		raw "SMALL path=/small flags=$flags $HELLO" "SMALL path=/d/f flags=$flags $HELLO" "WAIT DONE" "WAIT DONE" &&
		grep -c "^DONE" out >n && test "$(grep -c "^DONE OK" out)" = 0 || return 1
	done && raw "RENAME path=/large to=/small flags=1" "REMOVE path=/small" "REMOVE path=/d flags=1" "REMOVE path=/small flags=2" \
		"META path=/small flags=1" "ATTRIBUTES path=/d mode=0" "SYMLINK path=/small target=x flags=1" "STAT path=/small" \
		"LIST path=/" "WALK path=/" "FETCH path=/small" "PING" "WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" \
		"WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" "WAIT DONE" &&
	test "$(grep -c "^DONE OK" out)" = 1 && kept && test "$(stat -c %a files/alice/d)" = 755
'

test_expect_success 'folders that are missing take mkdir' '
	test_must_fail consign -q put second alice:/new/f && test_must_fail consign -q put -r set alice:/new && test ! -e files/alice/new &&
	conf map alice rights "create mkdir" && restart_server && consign -q put -r set alice:/set && same_file set/5 files/alice/set/5 &&
	test_must_fail consign -q put -r set alice:/set && test_must_fail consign rm alice:/set/1 && kept
'

test_expect_success 'a folder that two users add to: neither takes away what the other began' '
	conf map bob root "$TRASH/files/alice" && conf map bob rights "list create delete" && restart_server &&
	start_relay && relay_hold up $(place 4000000) && cut_at 3145728 files/alice cut.out consign -q put -j 1 large relayed:/shared &&
	stop_relay && test -n "$(parts files/alice)" && test_must_fail consign rm --part bob:/shared &&
	test_must_fail consign -q put large bob:/shared && test -n "$(parts files/alice)" &&
	consign -q put large alice:/shared && same_file large files/alice/shared && kept
'

test_done
