#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='rights, paths and planted things: what a user may not do is refused and recorded'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"

# denied STATUS COMMAND...: refused with that exit status, and exactly one more record that says so.
denied() {
	wanted_=$1 && shift
	before_=$(grep -c "\"status\":\"$NAME\"" server.audit)
	"$@" >out 2>err
	code_=$?
	after_=$(grep -c "\"status\":\"$NAME\"" server.audit)
	test $code_ -eq "$wanted_" && test "$after_" -eq $((before_ + 1)) && return
	echo "$*: status $code_, records $before_ -> $after_" && cat err
	return 1
}

rights() {
	conf map "$1" rights "$2" && kill -HUP "$SERVER_PID" && RELOADS=$((RELOADS + 1)) &&
		within 15 sh -c "until test \$(grep -c '\"event\":\"reload\",\"status\":\"OK\"' server.audit) -ge $RELOADS; do :; done"
}

test_expect_success 'a site with a file in place' '
	site_setup && start_server && RELOADS=0 && echo text >f && echo more >g &&
	consign -q put f alice:/f && consign mkdir alice:/d
'

test_expect_success 'each verb without its right is denied, and recorded once' '
	NAME=DENIED && rights alice "mkdir" &&
	denied 77 consign ls alice:/ && denied 77 consign stat alice:/f && denied 77 consign get alice:/f x &&
	denied 77 consign put f alice:/new && denied 77 consign put g alice:/f && denied 77 consign rm alice:/f &&
	denied 77 consign mv alice:/f alice:/h && denied 77 consign rm --part alice:/f &&
	rights alice "list read create overwrite delete rename" && denied 77 consign mkdir alice:/e &&
	test ! -e x && same_file f files/alice/f && test ! -e files/alice/new && test ! -e files/alice/e
'

test_expect_success 'create alone: adds, and can neither replace, remove, rename, list nor read' '
	rights alice "create" && consign -q put f alice:/added && same_file f files/alice/added &&
	denied 77 consign put g alice:/added && denied 77 consign rm alice:/added && denied 77 consign mv alice:/added alice:/x &&
	denied 77 consign ls alice:/ && denied 77 consign get alice:/added x && same_file f files/alice/added
'

test_expect_success 'rename does not replace without the right to overwrite' '
	rights alice "list read create rename" && denied 77 consign mv alice:/f alice:/added &&
	same_file f files/alice/added && consign mv alice:/f alice:/moved && test -e files/alice/moved &&
	consign mv alice:/moved alice:/f
'

test_expect_success 'two roots with rights of their own, seen together' '
	mkdir files/in && { test -z "$ACCOUNT" || chown "$ACCOUNT:" files/in; } &&
	conf map alice "root /inbox" "$TRASH/files/in" && conf map alice "rights /inbox" create &&
	rights alice "list read" && consign -q put f alice:/inbox/f && same_file f files/in/f &&
	denied 77 consign ls alice:/inbox && denied 77 consign get alice:/inbox/f x && denied 77 consign put f alice:/new &&
	consign ls alice:/ >list && grep -x "inbox/" list && conf map alice "root /inbox" "" &&
	conf map alice "rights /inbox" "" && rights alice all
'

plant() {
	rm -rf files/alice/planted && "$@" && { test -z "$ACCOUNT" || chown -h "$ACCOUNT:" files/alice/planted; }
}

# No verb may follow, open or replace what is planted; the canary stays as it is.
nothing_passes() {
	for verb_ in "get alice:/planted x" "put f alice:/planted"; do
		within 20 consign $verb_ >out 2>&1 && { echo "$verb_ went through" && return 1; }
		test $? -ne 124 || { echo "$verb_ hangs" && return 1; }
	done
	test "$(cat canary/secret)" = secret && test "$(ls canary)" = secret && test ! -e x
}

test_expect_success 'a symbolic link, a pipe, a folder in the place of a file' '
	mkdir -m 777 canary && echo secret >canary/secret && chmod 666 canary/secret &&
	plant ln -s "$TRASH/canary/secret" files/alice/planted && nothing_passes &&
	plant ln -s /etc/passwd files/alice/planted && nothing_passes &&
	plant ln -s nowhere files/alice/planted && nothing_passes &&
	plant mkfifo files/alice/planted && nothing_passes &&
	plant mkdir files/alice/planted && nothing_passes && rmdir files/alice/planted
'

test_expect_success 'a symbolic link on the way' '
	plant ln -s "$TRASH/canary" files/alice/planted &&
	for verb in "get alice:/planted/secret x" "put f alice:/planted/new" "put f alice:/planted/secret" \
		"rm alice:/planted/secret" "mkdir alice:/planted/d" "mv alice:/f alice:/planted/f" "ls alice:/planted" \
		"stat alice:/planted/secret" "mv alice:/planted/secret alice:/got"; do
		test_must_fail within 20 consign $verb || return 1
	done && test "$(cat canary/secret)" = secret && test "$(ls canary)" = secret && same_file f files/alice/f &&
	rm files/alice/planted
'

test_expect_success 'a service folder that leads elsewhere, or is not ours' '
	mv files/alice/.consign saved && ln -s "$TRASH/canary" files/alice/.consign &&
	test_must_fail consign put f alice:/through && test "$(ls canary)" = secret && rm files/alice/.consign &&
	mkdir -m 777 files/alice/.consign && chmod 777 files/alice/.consign &&
	{ test -z "$ACCOUNT" || chown "$ACCOUNT:" files/alice/.consign; } &&
	test_must_fail consign put f alice:/through && rm -r files/alice/.consign && mv saved files/alice/.consign &&
	consign -q put f alice:/through
'

test_expect_success 'one user never sees the other'"'"'s files' '
	consign ls bob:/ >list && test ! -s list && test_must_fail consign get bob:/f x && test ! -e x &&
	plant ln -s "$TRASH/files/alice/f" files/alice/planted && mv files/alice/planted files/bob/planted &&
	test_must_fail consign get bob:/planted x && test ! -e x && rm files/bob/planted
'

test_done
