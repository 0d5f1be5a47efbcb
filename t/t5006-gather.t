#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='small files in a stream: answered in order, one by one, whatever is wrong with some of them'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# "hello" and its hash.
HELLO="bytes=68656c6c6f root=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

# What the server says to these steps, but for WELCOME, to out; each is answered before it hangs up, as far as they get.
raw() {
	due_=0
	for step_; do case $step_ in CUT | WAIT*) ;; *) due_=$((due_ + 1)) ;; esac; done
	for step_; do case $step_ in CUT) due_=0 ;; esac; done
	while test $((due_ -= 1)) -ge 0; do set -- "$@" "WAIT DONE"; done
	within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" WAIT "HELLO agent=raw" "$@" >all || return 1
	sed 1d all >out
}

# said LINE...: that is what it said, and then the end.
said() {
	printf '%s\n' "$@" EOF >want && cut -d ' ' -f 1,2 out | test_cmp want -
}

test_expect_success 'a site, and a certificate whose key is in a file' '
	site_setup && conf server.conf limits idle 10s &&
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out alice-file.pem >file.issued &&
	FILE_KEY=$(key_of_ file.issued) && start_server
'

test_expect_success 'a request that follows small files is answered after them, and sees them' '
	raw "SMALL path=/f $HELLO" "SMALL path=/g $HELLO" "FETCH path=/g" "SMALL path=/h $HELLO" "STAT path=/h" \
		"SMALL path=/i $HELLO" "PING" &&
	said "DONE OK" "DONE OK" SMALL "DONE OK" "DONE OK" INFO "DONE OK" "DONE OK" "DONE OK" &&
	printf hello >hello && for f in f g h i; do same_file hello files/alice/$f || return 1; done
'

test_expect_success 'what is wrong with one is said of that one, wherever it stands' '
	mkdir files/alice/folder && ln -s f files/alice/link &&
	for bad in "path=/new $HELLO root=00:CORRUPT" "path=/../x $HELLO:NAME" "path=/.consign/x $HELLO:NAME" "path=rel $HELLO:NAME" \
		"path=/ $HELLO:DENIED" "path=/folder flags=1 $HELLO:TYPE" "path=/link flags=1 $HELLO:TYPE" "path=/link/x $HELLO:NAME" \
		"path=/f $HELLO:EXISTS" "path=/none/x $HELLO:NOENT" "path=/new mtime_ns=1000000000 $HELLO:PROTO"; do
		small="SMALL ${bad%:*}" status="DONE ${bad##*:}" ok="DONE OK" good="SMALL path=/good flags=1 $HELLO" &&
		raw "$small" "$good" "$good" && said "$status" "$ok" "$ok" &&
		raw "$good" "$small" "$good" && said "$ok" "$status" "$ok" &&
		raw "$good" "$good" "$small" "$small" && said "$ok" "$ok" "$status" "$status" &&
		test ! -e files/alice/new || { echo "$bad" && return 1; }
	done && test ! -e files/x && test -z "$(parts files/alice)"
'

test_expect_success 'what breaks the protocol ends it, and what was not answered for is not there, or whole' '
	for bad in "kind=1" "flags=2" "flags=16"; do
		raw "SMALL path=/before $HELLO flags=1" "SMALL path=/x $HELLO $bad" && tail -n 2 out | head -n 1 | grep "^ERROR PROTO" &&
		test ! -e files/alice/x && { test ! -e files/alice/before || same_file hello files/alice/before; } || return 1
	done && soon "test -z \"\$(parts files/alice)\""
'

test_expect_success 'a line that is cut leaves nothing half done' '
	for n in 1 2 3 4 5; do
		raw "SMALL path=/cut$n $HELLO" CUT && { test ! -e files/alice/cut$n || same_file hello files/alice/cut$n; } || return 1
	done && soon "test -z \"\$(parts files/alice)\"" && consign -q put hello alice:/after
'

test_expect_success 'more files than a group takes, each in a folder of its own, each recorded before it is answered for' '
	mkdir many && perl -e '\''for (1 .. 1500) { mkdir "many/$_"; open F, ">", "many/$_/f" or die; print F $_; close F }'\'' &&
	consign -q put -r many alice:/many && diff -r many files/alice/many &&
	test "$(grep -c "\"event\":\"put\".*\"path\":\"/many/" server.audit)" = 1500 && test -z "$(parts files/alice)"
'

test_done
