#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='limits on bytes a second, progress on request, niceness'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# Everything here is "not faster than": slower is never wrong. BURST in ms is the code's.
BURST=$(sed -n 's/.*PACE_BURST_MS *= *\([0-9]*\).*/\1/p' "$SOURCE/common/pace.h")

now_ms() {
	date +%s%3N
}

# at_least BYTES RATE COMMAND...: that it ends well, and takes as long as that many bytes must take.
at_least() {
	bytes_=$1 rate_=$2 && shift 2 && start_=$(now_ms) && "$@" &&
		took_=$(($(now_ms) - start_)) && least_=$((bytes_ * 1000 / rate_ - BURST)) &&
		if test "$took_" -lt "$least_"; then
			echo "$bytes_ bytes in $took_ ms: at $rate_ a second that takes $least_" >&2 && return 1
		fi
}

# at_once COMMAND COMMAND...: runs them side by side; fails when one does.
at_once() {
	pids_=
	for command_ in "$@"; do
		sh -c "$command_" &
		pids_="$pids_ $!"
	done
	for pid_ in $pids_; do
		wait "$pid_" || return 1
	done
}

# asked SIGNAL OUT ERR COMMAND...: runs a transfer to files/alice, and from when its part is there asks it for
# progress until it says how much there is; its exit status is the result.
asked() {
	test -z "$(parts files/alice)" || return 1
	signal_=$1 out_=$2 err_=$3 && shift 3 && rm -f "$err_"
	"$@" >"$out_" 2>"$err_" &
	pid_=$!
	soon 'test -n "$(parts files/alice)"' && soon "kill -$signal_ $pid_ && grep -e \" of .* (\" $err_" &&
		ps -o ni= -p "$pid_" >priority.cpu && ionice -p "$pid_" >priority.io
	wait "$pid_"
}

MIB=1048576

test_expect_success 'a site with a server' '
	test "$BURST" -gt 0 && site_setup && start_server &&
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out file.pem >file.issued &&
	conf "$CLIENT_CONF" alice certificate "$TRASH/file.pem" &&
	conf "$CLIENT_CONF" alice key "$(key_of_ file.issued)" &&
	random_file f $MIB && random_file big $((4 * MIB))
'

test_expect_success 'a rate that is none, or too low: usage error' '
	for rate in 0 1 8191 -1 fast 1KB 1.5M "" 99999999999T; do
		test_expect_code 64 consign put --rate "$rate" f alice:/f 2>err && grep -e --rate err &&
		test_expect_code 64 consign get --rate "$rate" alice:/f g 2>err && grep -e --rate err || return 1
	done &&
	test_expect_code 64 consign put f alice:/f --rate && test ! -e files/alice/f
'

test_expect_success 'put --rate is not faster' '
	at_least $MIB 524288 consign put --rate 512K f alice:/f && same_file f files/alice/f
'

test_expect_success 'get --rate is not faster' '
	at_least $MIB 524288 consign get --rate 512K alice:/f g && same_file f g
'

test_expect_success 'all files of a command share its rate' '
	mkdir -p several && for i in 1 2 3 4 5 6 7 8; do random_file several/$i 131072 || return 1; done &&
	at_least $MIB 524288 consign put -r --rate 512K several alice:/several &&
	at_least $MIB 524288 consign get -r --rate 512K alice:/several there &&
	for i in 1 2 3 4 5 6 7 8; do same_file several/$i there/$i || return 1; done
'

test_expect_success 'the profile has one, and the option goes before it' '
	conf "$CLIENT_CONF" alice rate 512K && at_least $MIB 524288 consign put f alice:/p &&
	at_least $MIB 1048576 consign put --rate 1M f alice:/p2 &&
	conf "$CLIENT_CONF" alice rate 1K && test_expect_code 78 consign put f alice:/p3 2>err &&
	grep "\[alice\] rate: at least 8192" err &&
	conf "$CLIENT_CONF" alice rate "" && same_file f files/alice/p && same_file f files/alice/p2
'

# More than what both kernels buffer, and a stall of less than the socket is silent for.
test_expect_success 'a client that takes its time is not dead to the server, nor the server to it' '
	conf server.conf limits stall 2s && conf server.conf limits min-rate 32K && restart_server &&
	conf "$CLIENT_CONF" alice stall 2s &&
	at_least $((4 * MIB)) 524288 consign put --rate 512K big alice:/big && same_file big files/alice/big &&
	random_file bigger $((6 * MIB)) && at_server bigger alice/bigger &&
	at_least $((6 * MIB)) 163840 consign get --rate 160K alice:/bigger back && same_file bigger back &&
	! grep stalled server.log
'

test_expect_success 'one that is slower than min-rate is told why it is cut' '
	conf server.conf limits min-rate 64K && restart_server &&
	test_must_fail consign put --rate 8K f alice:/slow 2>err && grep "stalled: .* are the least" err &&
	consign rm --part alice:/slow
'

test_expect_success 'a rate of the map below min-rate is refused' '
	conf map alice rate 32K && test_expect_code 78 consignd --config server.conf --check 2>err &&
	grep "\[alice\] rate: below min-rate" err &&
	conf map alice rate 1 && test_expect_code 78 consignd --config server.conf --check 2>err &&
	grep "\[alice\] rate: at least" err
'

test_expect_success 'a rate of the map is for all sessions of the user together, both ways, from a reload on' '
	conf server.conf limits min-rate "" && conf map alice rate "" && restart_server &&
	conf map alice rate 1M && kill -HUP "$SERVER_PID" && soon "grep \"revocation lists loaded\" server.log" &&
	at_least $((4 * MIB)) $MIB at_once "consign put f alice:/a1" "consign put f alice:/a2" \
		"consign get alice:/f g1" "consign get alice:/f g2" &&
	same_file f files/alice/a1 && same_file f files/alice/a2 && same_file f g1 && same_file f g2
'

many() {
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		consign put small alice:/small$i || return 1
	done
}

test_expect_success 'a new session brings no new burst' '
	random_file small 65536 && conf map alice rate 256K && restart_server &&
	at_least $MIB 262144 many && conf map alice rate "" && restart_server
'

test_expect_success 'SIGUSR1 shows progress, and the transfer goes on; --nice' '
	asked USR1 out err consign --nice put --rate 512K big alice:/usr1 &&
	grep "^put big -> alice:/usr1: moving, .* of 4\.0 MiB (.* %), .*/s" err &&
	grep "^put big -> alice:/usr1: 4\.0 MiB" out && same_file big files/alice/usr1 &&
	test "$(tr -d " " <priority.cpu)" -ge 10 && grep "best-effort: prio 7" priority.io
'

test_expect_success 'the same with --quiet, and with --json also as an event' '
	asked USR1 out err consign --quiet put --rate 512K big alice:/usr1q && test ! -s out &&
	grep "^put big -> alice:/usr1q: moving, " err &&
	asked USR1 out err consign --json put --rate 512K big alice:/usr1j &&
	grep "^put big -> alice:/usr1j: moving, " err && grep "\"event\":\"progress\"" out &&
	json_lines out && test "$(result status out)" = OK
'

test_expect_success '--json: events that a program can read, one a second at most' '
	random_file long $((64 * MIB)) && start=$(now_ms) && consign --json put long alice:/long >out &&
	took=$(($(now_ms) - start)) && python3 - out $took <<-\EOF
	import json, sys
	events = [json.loads(line) for line in open(sys.argv[1])]
	progress = [e for e in events if e["event"] == "progress"]
	assert 1 <= len(progress) <= int(sys.argv[2]) / 1000 + 2, len(progress)
	for e in progress:
	    assert e["op"] == "put" and e["from"] == "long" and e["to"] == "alice:/long", e
	    assert e["phase"] in ("moving", "hashing", "server hashing", "committing"), e
	    assert 0 <= e["done"] <= e["total"] == 64 << 20 and e["rate"] >= 0, e
	    assert e.get("left", 0) >= 0, e
	assert events[-1]["event"] == "result" and events[-1]["status"] == "OK", events[-1]
	EOF
'

test_done
