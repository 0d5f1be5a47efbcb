#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='limits: silence, idleness, too many, nonsense; what is left lying'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

file_user() {
	consign-pki issue client "CN=$1,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out "$1-file.pem" \
		>"$1-file.issued" && FILE_KEY=$(key_of_ "$1-file.issued") && test -s "$FILE_KEY"
}

raw() {
	within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" "$@"
}

# tcp HEX: sends these bytes, prints what comes until the server closes; fails when it doesn't.
tcp() {
	within 60 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(bytes.fromhex(sys.argv[2]))
while True:
    try:
        data = s.recv(4096)
    except ConnectionResetError:
        break
    if not data:
        break
    sys.stdout.write(data.hex())
' "$PORT" "$1"
}

# hold N FILE: N connections that say nothing, kept open until FILE exists; held.ready when they stand.
hold() {
	python3 -c '
import os, socket, sys, time
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
open("held.ready", "w").close()
for _ in range(1200):
    if os.path.exists(sys.argv[3]):
        break
    time.sleep(0.05)
' "$PORT" "$1" "$2" &
	HOLDER=$!
	soon "test -e held.ready"
}

# script NAME TEXT: a program of one line.
script() {
	printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1"
}

later() {
	"$@" &
	LATER=$!
}

let_go() {
	: >"$1" && wait "$HOLDER" && rm -f "$1" held.ready
}

serves() {
	within 30 consign ping alice: >/dev/null
}

test_expect_success 'a site with short deadlines' '
	site_setup && file_user alice &&
	conf server.conf limits handshake 1s &&
	conf server.conf limits first-request 1s &&
	conf server.conf limits idle 2s &&
	start_server && serves
'

test_expect_success 'a connection that says nothing is ended, and one that begins a handshake only' '
	tcp "" >out && test ! -s out &&
	tcp 1603010200010001fc0303 &&
	grep "not finished in time" server.log &&
	serves
'

test_expect_success 'bytes that are no TLS: ended, and the server serves on' '
	tcp "$(printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n" | od -An -tx1 | tr -d " \n")" >out &&
	tcp "$(random_file junk 4096 && od -An -v -tx1 junk | tr -d " \n")" >out &&
	tcp 0000000000 >out && tcp 16030100010100 >out &&
	grep "does not speak TLS 1.3" server.log &&
	serves
'

test_expect_success 'silence after the verdict: ended with a word' '
	raw WAIT WAIT >out && grep "^WELCOME" out && grep "^ERROR TIMEOUT no HELLO within 1 s" out
'

test_expect_success 'half a greeting, and silence: likewise' '
	raw WAIT "RAW 0000002003" WAIT >out && grep "^ERROR TIMEOUT no HELLO within 1 s" out && serves
'

test_expect_success 'silence after a request: ended later, with a word' '
	raw WAIT "HELLO agent=x" "PING id=1" WAIT WAIT >out && grep "^DONE OK" out &&
	grep "^ERROR TIMEOUT idle for 2 s" out && serves
'

test_expect_success 'a transfer that stands still is ended, and its part is kept' '
	conf server.conf limits stall 2s && restart_server &&
	script silent "until grep -q \"fell silent\" server.log; do sleep 0.1; done" &&
	raw WAIT "HELLO agent=x" "PUT path=/slow" "OFFER length=50" WAIT "ONLINE timeout 30 ./silent" >out &&
	grep "^READY" out && serves && consign ls --pending alice: >out && grep slow out
'

test_expect_success 'so many of an address, and no more: the next is closed, others go on' '
	conf server.conf limits handshake 30s &&
	conf server.conf limits sessions-per-address 3 && restart_server && serves &&
	hold 3 go &&
	test_expect_code 75 within 30 consign ping alice: 2>err && test -s err &&
	let_go go &&
	soon serves
'

test_expect_success 'so many in all: the next waits until there is room' '
	conf server.conf limits sessions-per-address "" &&
	conf server.conf limits sessions 2 && restart_server &&
	hold 2 go &&
	script waiter "timeout 60 consign ping alice: >ping.out 2>&1; echo \$? >ping.status" &&
	later ./waiter && sleep 1 && test ! -e ping.status &&
	let_go go && wait "$LATER" && test "$(cat ping.status)" = 0
'

test_expect_success 'so many of a user: the next is told, with status 75' '
	conf server.conf limits sessions "" &&
	conf map alice sessions 1 && restart_server &&
	script second "timeout 30 consign ping alice: 2>err; echo \$? >status" &&
	raw WAIT "HELLO agent=x" "PING id=1" WAIT "ONLINE ./second" >out &&
	test "$(cat status)" = 75 && grep -i "session" err &&
	conf map alice sessions "" && restart_server && serves
'

test_expect_success 'what may be ignored does not keep a transfer alive' '
	script ended "until grep -q \"/idle.*fell silent\" server.log; do sleep 0.1; done" &&
	set -- && i=0 && while test $i -lt 60; do
		set -- "$@" "RAW 00000001c8" "ONLINE sleep 0.1" && i=$((i + 1)); done &&
	raw WAIT "HELLO agent=x" "PUT path=/idle" "OFFER length=50" WAIT "$@" >out &&
	grep "^READY" out && within 5 ./ended && serves
'

test_expect_success 'a server that stands still: the client gives up after its own limit' '
	conf server.conf limits stall 60s && restart_server &&
	random_file big 67108864 && consign put big alice:/ && conf "$CLIENT_CONF" alice stall 5s &&
	conf "$CLIENT_CONF" alice retry 0 &&
	mkdir -p here &&
	start_relay && relay_hold down $(place 9437184) && { consign get relayed:/big here/ >get.out 2>get.err & } && client=$! &&
	relay_held && stopped=$(pgrep -P "$SERVER_PID") && test_when_finished "kill -CONT $(echo $stopped)" &&
	kill -STOP $stopped && relay_do go && { wait $client; test $? = 75; } && stop_relay &&
	grep -E "stalled|silent" get.err && test ! -e here/big
'

test_expect_success 'and goes on later' '
	conf "$CLIENT_CONF" alice stall "" && conf "$CLIENT_CONF" alice retry "" && consign get alice:/big here/ && same_file big here/big
'

test_expect_success 'a server that stops says so' '
	conf server.conf limits drain 1s && restart_server &&
	script stop "kill -TERM $SERVER_PID" &&
	raw WAIT "HELLO agent=x" "PING id=1" WAIT ONLINE\ ./stop WAIT >out && grep "^ERROR LIMIT" out &&
	reap_ server "$SERVER_PID" && start_server && serves
'

test_expect_success 'an upload longer than the quota is refused before anything is reserved' '
	conf map alice quota 1M && restart_server &&
	random_file over 1048577 &&
	test_expect_code 75 consign put over alice:/ 2>err && grep "more than the quota of 1048576" err &&
	grep "\"path\":\"/over\"" server.audit | grep "\"status\":\"LIMIT\"" &&
	! consign ls --pending alice: | grep over &&
	conf map alice quota "" && restart_server && consign put over alice:/
'

test_expect_success 'what nobody goes on with expires; what is younger stays' '
	conf server.conf limits part-expiry 1d && restart_server &&
	consign ls --pending alice: >out && grep slow out &&
	parts files/alice >before && test -s before &&
	conf server.conf limits part-expiry 1s && restart_server &&
	soon "grep \"removed .* expired parts\" server.log" &&
	parts files/alice >after && test ! -s after &&
	consign ls --pending alice: >out && test ! -s out
'

test_done
