#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consignd --status: what the running server does, for its own account only'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

status() {
	within 20 consignd --config server.conf --status "$@"
}

test_expect_success 'a site without a server: said so, with a status of its own' '
	site_setup && test_expect_code 75 status 2>err && grep "no server runs" err &&
	cp server.conf bare.conf && conf bare.conf server audit "" &&
	test_expect_code 75 consignd --config bare.conf --status 2>err && grep "neither status nor audit" err
'

test_expect_success 'wrong usage' '
	test_expect_code 64 status --check && test_expect_code 64 consignd --config server.conf --user alice &&
	test_expect_code 64 consignd --config server.conf --check --json && test_expect_code 64 status extra
'

test_expect_success 'a server at rest' '
	start_server && status >out && grep "^consignd .* at 127.0.0.1:$PORT, pid $SERVER_PID, since .*configuration 1" out &&
	grep "^sessions 0 of 256; served 0" out && grep "^scrub never" out && ! grep "^session " out &&
	status --json >out.json && json_lines out.json && test "$(field pid)" = "$SERVER_PID" &&
	test "$(field generation)" = 1 && test "$(field sessions.0)" = - && test "$(field scrub.run)" = 0
'

test_expect_success 'the socket and its folder are the servers account own' '
	test "$(stat -c "%a %U" server.audit.run)" = "700 $(id -un)" && test "$(stat -c %a server.audit.run/status)" = 600 &&
	test -S server.audit.run/status
'

test_expect_success 'a reload counts, and so do sessions, good and refused' '
	kill -HUP "$SERVER_PID" && soon "status --json >out.json && test \$(field generation) = 2" &&
	echo text >f && consign -q put f alice:/f && conf "$CLIENT_CONF" wrong host 127.0.0.1 &&
	sed -n "/^\[alice\]/,/^\[bob\]/p" "$CLIENT_CONF" | sed "1d;\$d" >profile &&
	{ echo "[eve]"; cat profile; } >>"$CLIENT_CONF" && consign-pki issue client CN=eve --pin "$SOFTHSM_PIN_FILE" --label eve \
		--out eve.pem >eve.issued && conf "$CLIENT_CONF" eve certificate "$TRASH/eve.pem" &&
	conf "$CLIENT_CONF" eve key "$(key_of_ eve.issued)" && test_expect_code 77 consign put f eve:/f &&
	soon "status --json >out.json && test \$(field served) = 2 && test \$(field refused) = 1" &&
	test "$(field authorised)" = 1 && test "$(field dropped)" = 0
'

# shown USER OP PATH: whether a status shows that user at that, with figures that make sense.
shown() {
	status --json >out.json && test "$(field sessions.0.user)" = "$1" && test "$(field sessions.0.transfer.op)" = "$2" &&
		test "$(field sessions.0.transfer.path)" = "$3"
}

test_expect_success 'an upload that runs: whose, what, how far; and gone when it is over' '
	random_file big 67108864 && start_relay && relay_hold up $(place 9437184) &&
	{ consign -q put big relayed:/up & } && client=$! && relay_held &&
	soon "shown alice put /up" && test "$(field sessions.0.transfer.total)" = 67108864 &&
	test "$(field sessions.0.transfer.done)" -gt 0 && test "$(field sessions.0.transfer.done)" -lt 67108864 &&
	test "$(field sessions.0.transfer.moved)" -gt 0 && test "$(field sessions.0.transfer.phase)" = moving &&
	test "$(field sessions.1)" = - && status >out &&
	grep "^session .* pid .* from 127.0.0.1:[0-9]*, user alice, since" out &&
	grep "^  put /up: moving, .* of 64.0 MiB, .*/s$" out && relay_do go && wait $client &&
	soon "status --json >out.json && test \$(field sessions.0) = -" && same_file big files/alice/up
'

test_expect_success 'a download that runs, by a name that must not reach a terminal' '
	name=$(printf "x\\342\\200\\256y") && consign mv alice:/up "alice:/$name" && mkdir down &&
	relay_hold down $(place 9437184) && { consign -q get "relayed:/$name" down/ & } && client=$! && relay_held &&
	soon "shown alice get \"/$name\"" &&
	status >out && grep "^  get /x.xe2.x80.xaey: moving" out && ! grep "$name" out out.json && relay_do go && wait $client && stop_relay &&
	soon "status --json >out.json && test \$(field sessions.0) = -" && same_file big "down/$name"
'

test_expect_success 'who connects and says nothing, or rubbish, takes nothing from anybody' '
	cat >mute.py <<-\EOT &&
	import socket, sys
	def to(data):
	    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	    s.connect(sys.argv[1])
	    if data: s.send(data)
	    return s
	for junk in b"\x00", b"\xff" * 9000, b"\x69\xff\xff", b"\x68x", b"\x69\x00\x02a\x00":
	    assert to(junk).recv(100) == b""
	held = [to(None) for i in range(16)]
	assert to(None).recv(100) == b"", "one too many is held"
	print("full", flush=True)
	sys.stdin.read()
	EOT
	mkfifo hold && { python3 mute.py server.audit.run/status <hold >mute.out 2>&1 & } && exec 9>hold &&
	soon "grep full mute.out" && consign -q put f alice:/g && test_expect_code 75 status 2>err &&
	soon "status >out" && exec 9>&- && status >out
'

if test "$(id -u)" -eq 0; then
	test_expect_success 'another account is turned away: by the folder, and by the server itself' '
		nobody="setpriv --reuid=nobody --clear-groups" && chmod 755 . &&
		test_expect_code 77 $nobody consignd --config server.conf --status 2>err && cat err &&
		chmod 755 server.audit.run && chmod 666 server.audit.run/status &&
		test_expect_code 75 $nobody consignd --config server.conf --status 2>err && grep "does not answer" err &&
		status >out && chmod 700 server.audit.run && chmod 600 server.audit.run/status
	'
fi

test_expect_success 'a second server with the same socket does not start; a killed one leaves nothing in the way' '
	test_expect_code 78 within 20 consignd --config server.conf 2>err </dev/null && grep "another server has it" err &&
	status >out && kill_server && test_expect_code 75 status && test -S server.audit.run/status &&
	start_server && status >out && stop_server && test ! -e server.audit.run/status
'

test_expect_success 'a folder that others may enter: fatal where it was named, else there is no status' '
	mkdir open && chmod 755 open && conf server.conf server status open/status &&
	test_expect_code 78 within 20 consignd --config server.conf 2>err </dev/null && grep "closed to all others" err &&
	chmod 700 open && start_server && status >out && test -S open/status && stop_server &&
	conf server.conf server status "" && chmod 755 server.audit.run && start_server &&
	grep "no status of this server" server.log && consign -q put f alice:/h && test_expect_code 75 status
'

test_done
