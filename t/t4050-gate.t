#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the door: floods, slow handshakes, peers that keep failing, users that want it all'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

siege() {
	within 100 python3 "$SOURCE/t/siege.py" "$@"
}

status() {
	within 20 consignd --config server.conf --status --json >out.json
}

# is PATH VALUE, at_least PATH VALUE: of the status as it is now.
is() {
	status && test "$(field "$1")" = "$2"
}

at_least() {
	status && test "$(field "$1")" -ge "$2"
}

records() {
	grep -c "$1" server.audit || :
}

serves() {
	within 30 consign whoami alice: >/dev/null
}

let_go() {
	: >go && wait "$BESIEGER" && rm -f go
}

test_expect_success 'a site' '
	site_setup && file_key alice && file_key bob && cp server.conf plain.conf &&
	conf server.conf limits penalty-exempt 127.0.0.1 && conf server.conf limits penalty 6s &&
	start_server && serves
'

test_expect_success 'garbage: a peer that keeps at it is turned away before there is a session' '
	siege garbage $PORT 300 1 >out && soon "at_least gate.connections_shut_out 100" &&
	test "$(field served)" -lt 120 && serves
'

test_expect_success 'that is in status and audit log, once and not for each connection' '
	test "$(records "\"event\":\"penalty\".*\"address\":\"127.9.0.1\",\"state\":\"begun\".*\"seconds\":\"6\".*failed handshakes")" = 1 &&
	is gate.penalties.0.address 127.9.0.1 && test "$(field gate.penalties.0.times)" = 1 &&
	consignd --config server.conf --status >out && grep "^  127.9.0.1: [1-6] s to go, time 1 in a row" out &&
	test "$(records .)" -lt 130
'

test_expect_success 'another peer is not concerned, nor who is exempt' '
	siege garbage $PORT 1 2 >out && test "$(cat out)" = 1 &&
	for i in 1 2 3 4 5 6 7 8; do test_might_fail within 5 openssl s_client -connect 127.0.0.1:$PORT </dev/null >/dev/null 2>&1 || return 1; done &&
	serves && status && test "$(field gate.penalties.1)" = -
'

test_expect_success 'it ends, with a count; and begins anew with the next failures' '
	soon "is gate.peers_shut_out 0" && soon "grep -q \"\\\"penalty\\\".*127.9.0.1.*ended.*\\\"connections\\\":\\\"[1-9][0-9]*\\\"\" server.audit" &&
	siege garbage $PORT 80 1 >out && soon "is gate.penalties.0.address 127.9.0.1"
'

test_expect_success 'a reload that exempts a peer counts at once' '
	conf server.conf limits penalty-exempt "127.0.0.1, 127.9.0.0/16" && kill -HUP "$SERVER_PID" && soon "is generation 2" &&
	status && before=$(field gate.connections_shut_out) && siege garbage $PORT 3 1 >out &&
	is gate.connections_shut_out "$before"
'

test_expect_success 'slow handshakes hold all places: they give way to one that wants in' '
	cp plain.conf server.conf && conf server.conf limits handshakes 4 && conf server.conf limits handshake 40s &&
	conf server.conf limits penalty 0 &&
	restart_server && { siege slow $PORT 4 4 go >slow.out & } && BESIEGER=$! &&
	soon "is gate.handshakes 4" && sleep 1 && is gate.gave_way 0 && conf server.conf limits handshake 4s &&
	kill -HUP "$SERVER_PID" && soon "is generation 2" && serves && at_least gate.gave_way 1 && let_go
'

test_expect_success 'that is told as what it is: a handshake that took too long' '
	grep "\"handshake\".*\"status\":\"TIMEOUT\".*too slow while others waited" server.audit && ! grep "\"killed\"" server.audit
'

test_expect_success 'a crowd that is slow for nobody but itself is served, one after the other' '
	restart_server && mkdir crowd && seq 12 | xargs -P 12 -I N sh -c "
		timeout 60 consign whoami alice: >crowd/N; echo \$? >crowd/N.status" &&
	test "$(cat crowd/*.status | grep -cx 0)" = 12 && is dropped 0
'

test_expect_success 'who is refused and goes on sending does not keep its session' '
	consign-pki issue client CN=eve --file-key --pin "$SOFTHSM_PIN_FILE" --out eve.pem >eve.issued &&
	within 30 python3 "$SOURCE/t/siege.py" insist $PORT eve.pem "$(key_of_ eve.issued)" >out && grep -x REFUSED out &&
	soon "is gate.handshakes 0" && ! grep "not authorised in time" server.log
'

test_expect_success 'more connections than a peer may have: a bounded trace of them' '
	cp plain.conf server.conf && conf server.conf limits sessions-per-address 2 && restart_server &&
	before=$(records "\"dropped\"") && { siege slow $PORT 2 1 go >slow.out & } && BESIEGER=$! && soon "is gate.handshakes 2" &&
	siege garbage $PORT 200 1 >out && at_least dropped 150 && serves && let_go &&
	after=$(records "\"dropped\"") && test $((after - before)) -ge 1 && test $((after - before)) -le 3
'

test_expect_success 'one user wants all places: others find one, and are told what is the matter' '
	cp plain.conf server.conf && conf server.conf limits sessions 8 && conf map alice sessions 100 && conf "$CLIENT_CONF" alice retry 0 && restart_server &&
	{ siege hold $PORT 7 alice-file.pem "$(key_of_ alice.issued)" go >hold.out & } && BESIEGER=$! &&
	soon "test \$(wc -l <hold.out) = 7" && test "$(grep -c ^WELCOME hold.out)" = 6 &&
	grep "^REFUSED user alice has 6 sessions; the server keeps the rest for others" hold.out &&
	within 30 consign whoami bob: && test_expect_code 75 within 60 consign whoami alice:
'

test_expect_success 'and the processor: the more sessions a user has, the less each weighs' '
	own=$(ps -o ni= -p "$SERVER_PID") && ps -o ni= --ppid "$SERVER_PID" | sort -n | uniq -c >nice && cat nice &&
	test "$(awk "\$2 > $own { n += \$1 } END { print n + 0 }" nice)" = 4
'

let_go
test_expect_success 'what can be no network is refused, with its place' '
	conf server.conf limits penalty-exempt "10.0.0.0/8 10.0.0.1/8" && test_expect_code 78 consignd --config server.conf --check 2>err &&
	grep "penalty-exempt.*10.0.0.1/8.*no network" err && conf server.conf limits penalty-exempt none &&
	consignd --config server.conf --check
'

test_done
