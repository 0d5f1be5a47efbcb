#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='what receives from a server is confined, and has no key'

# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MASK=$BUILD/t/landlock-mask
if ! test -x "$MASK"; then
	lacking "make $MASK makes what this needs"
fi
test "$(id -u)" -ne 0 || test_set_prereq ROOT
case $BUILD in */sanitize) ;; *) test_set_prereq PLAIN ;; esac

# What stands in /proc of the receiver and of its agent, while a transfer stands still.
held() { # COMMAND...
	relay_hold down 300000 && { timeout 90 "$@" >held.out 2>held.err & } && HELD_PID=$! &&
		PROCESSES="$PROCESSES $HELD_PID" && relay_held &&
		RECEIVER=$(pgrep -P "$HELD_PID" -x consign) && AGENT=$(pgrep -P "$RECEIVER")
}
let_go() {
	relay_do go && wait "$HELD_PID"
}
has() { # PID KEY VALUE
	grep -q "^$2:.$3\$" "/proc/$1/status" && return
	grep "^$2:" "/proc/$1/status" && return 1
}

test_expect_success 'a site, a relay and a file' '
	site_setup && start_server && start_relay && random_file big 4000000 && consign put big alice:/big &&
	mkdir here
'

test_expect_success 'a download runs in a process that has a list of calls and no new privileges' '
	held consign get relayed:/big here/ && has $RECEIVER Seccomp 2 && has $RECEIVER NoNewPrivs 1 &&
	grep "^Max core file size  *0  *0 " /proc/$RECEIVER/limits
'

test_expect_success ROOT 'it is not dumpable, and its module and its key are in another process' '
	test "$(stat -c %U /proc/$RECEIVER/maps)" = root && ! grep softhsm /proc/$RECEIVER/maps &&
	grep -q softhsm /proc/$AGENT/maps &&
	for fd in /proc/$RECEIVER/fd/*; do readlink $fd; done >open && cat open &&
	! grep -E "pem|softhsm|consign.conf" open
'

test_expect_success 'it ends well, and the agent with it' '
	let_go && same_file big here/big && ! kill -0 $AGENT 2>/dev/null
'

test_expect_success 'a key in a file is in the agent alone' '
	file_key alice && conf "$CLIENT_CONF" relayed certificate "$TRASH/alice-file.pem" &&
	conf "$CLIENT_CONF" relayed key "$(key_of_ alice.issued)" && rm here/big && held consign get relayed:/big here/ &&
	if test_have_prereq ROOT && test_have_prereq PLAIN; then
		key=$(key_of_ alice.issued) && openssl pkey -in "$key" -outform DER -out key.der &&
		cat >search.py <<-\END &&
			import re, sys
			der = open("key.der", "rb").read()
			secret = der[der.index(b"\x04\x20") + 2:][:32]
			found = False
			for line in open(f"/proc/{sys.argv[1]}/maps"):
			    at, rights = line.split()[:2]
			    if not rights.startswith("rw"):
			        continue
			    lo, hi = (int(x, 16) for x in at.split("-"))
			    with open(f"/proc/{sys.argv[1]}/mem", "rb", 0) as mem:
			        mem.seek(lo)
			        data = mem.read(hi - lo)
			    found |= secret in data or secret[::-1] in data
			sys.exit(0 if found else 1)
		END
		test_expect_code 1 python3 search.py $RECEIVER && python3 search.py $AGENT
	fi && let_go && same_file big here/big
'

test_expect_success 'a tree, over several connections, is received so as well' '
	mkdir files/alice/tree && for i in 1 2 3 4 5 6; do random_file $i 900000 && at_server $i alice/tree/$i || return 1; done &&
	if test -n "$ACCOUNT"; then chown "$ACCOUNT:" files/alice/tree; fi &&
	held consign get -r -j 3 relayed:/tree here/ && has $RECEIVER Seccomp 2 &&
	for task in /proc/$RECEIVER/task/*; do
		grep -q "^Seccomp:.2" $task/status || return 1
	done &&
	test "$(ls /proc/$RECEIVER/task | wc -l)" -ge 3 && let_go && same_file 6 here/tree/6
'

test_expect_success 'so is a sync, which replaces, removes and keeps links' '
	conf map alice links keep && kill -HUP $SERVER_PID && rm -rf sync && mkdir sync && echo old >sync/old && echo x >sync/1 &&
	consign sync --delete relayed:/tree sync && test ! -e sync/old && same_file 1 sync/1 && same_file 6 sync/6
'

test_expect_success 'killed, it takes its agent along' '
	rm -rf here/big && held consign get relayed:/big here/ && kill -KILL $RECEIVER && soon "! kill -0 $AGENT" &&
	relay_do go && { wait "$HELD_PID" || :; } && consign get alice:/big here/ && same_file big here/big
'

test_expect_success 'no Landlock: it goes on, or not, as the profile says' '
	rm -f here/big && "$MASK" 0 "$BUILD/consign" -v get alice:/big here/ >out 2>err && same_file big here/big &&
	grep "confinement: no Landlock" err && conf "$CLIENT_CONF" alice confine require &&
	rm -f here/big && test_expect_code 78 "$MASK" 0 "$BUILD/consign" get alice:/big here/ 2>err && grep Landlock err &&
	test ! -e here/big && consign get alice:/big here/ && same_file big here/big
'

test_expect_success ROOT 'ABI 2 will do' '
	rm -f here/big && "$MASK" 2 "$BUILD/consign" -v get alice:/big here/ >out 2>err && same_file big here/big &&
	grep "confinement: Landlock ABI 2: files, renaming; seccomp" err
'

test_done
