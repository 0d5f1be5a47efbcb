#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a token in trouble: nothing waits for ever, nothing stays broken, everybody is told'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/hsm.sh
. "$SOURCE/t/hsm.sh"

REASON="the server's token is unavailable; it asks to retry after [0-9]* s"

test_expect_success 'a server with one token, which alone has the module loaded' '
	hsm_site && hsm_main one && conf server.conf server max-sessions 3 &&
	conf server.conf limits sign-timeout 1s && conf "$CLIENT_CONF" alice retry 0 && start_server && visit &&
	soon "is keeper.tokens.0.sessions 3" && is keeper.in_use main && is keeper.tokens.0.state "in use" &&
	soon "is keeper.signatures 1" && test "$(field keeper.p99_us)" -gt 0 && test "$(field keeper.p50_us)" -gt 0 &&
	signer=$(signer_of main) && grep -q libsofthsm2 "/proc/$signer/maps" &&
	! grep -q libsofthsm2 "/proc/$(field keeper.pid)/maps" && ! grep -q libsofthsm2 "/proc/$SERVER_PID/maps" &&
	status >out && grep "^keeper pid .*, token main; 1 signatures, half within .*, 99 % within" out &&
	grep "^token main in use, signer $signer, 3 of 3 sessions, 1 signatures; started 1 times, errors 0" out
'

test_expect_success 'the PIN is in no process but keeper and signer, and on no command line' '
	! tr "\0" "\n" <"/proc/$signer/cmdline" | grep 2468 && ! tr "\0" "\n" <"/proc/$signer/environ" | grep 2468
'

test_expect_success 'a signer that was killed is replaced' '
	kill -KILL "$signer" && soon "token_events main | grep up" && visit && test "$(signer_of main)" != "$signer" &&
	soon "is keeper.tokens.0.deaths 1" && is keeper.tokens.0.starts 2 && test "$(token_events main)" = "lost
up"
'

test_expect_success 'one that hangs is killed, and the handshake that it had goes on' '
	signer=$(signer_of main) && kill -STOP "$signer" && visit && soon "is keeper.tokens.0.hangs 1" &&
	test "$(signer_of main)" != "$signer" && test_must_fail kill -0 "$signer" && is keeper.shed_late 0
'

test_expect_success 'a transfer goes on while the token is away' '
	conf server.conf limits sign-wait 2s && restart_server && random_file big 33554432 && start_relay && relay_hold up $(place 9437184) &&
	{ consign -q put big relayed:/up & } && client=$! && relay_held && hsm_away one &&
	kill -KILL "$(signer_of main)" && soon "is keeper.in_use \"\"" && relay_do go && wait $client && stop_relay &&
	same_file big files/alice/up
'

test_expect_success 'who comes meanwhile is told so in-band, with status 75' '
	test_expect_code 75 visit 2>err && grep "$REASON" err && test "$(field keeper.shed_late)" -ge 1 &&
	grep "\"event\":\"handshake\",\"status\":\"AWAY\"" server.audit && kill -0 "$SERVER_PID"
'

test_expect_success 'who has patience gets in when it is back, by itself' '
	conf "$CLIENT_CONF" alice retry 60s && { visit 2>patient & } && client=$! && soon "grep \"$REASON\" patient" &&
	hsm_back one && wait $client && soon "is keeper.in_use main" && test "$(token_events main | tail -n 1)" = up &&
	conf "$CLIENT_CONF" alice retry 0
'

test_expect_success 'who finds no room in the queue is told at once' '
	conf server.conf limits sign-queue 1 && conf server.conf limits sign-wait 6s && restart_server && hsm_away one &&
	conf "$CLIENT_CONF" alice retry 60s && conf "$CLIENT_CONF" bob retry 0 && kill -KILL "$(signer_of main)" &&
	soon "is keeper.in_use \"\"" && { visit 2>first & } && client=$! && soon "is keeper.waiting 1" &&
	test_expect_code 75 visit bob 2>second && grep "$REASON" second && soon "is keeper.shed_full 1" &&
	hsm_back one && wait $client && is keeper.waiting_most 1 && conf server.conf limits sign-queue "" &&
	conf server.conf limits sign-wait 2s && conf "$CLIENT_CONF" alice retry 0
'

test_expect_success 'the server does not start without any token' '
	stop_server && hsm_away one && test_expect_code 69 within 20 consignd --config server.conf 2>err </dev/null &&
	hsm_back one
'

test_expect_success 'a spare serves while the first is away, and no longer' '
	hsm_spare two && start_server && soon "is keeper.in_use main" && visit && soon "is keeper.tokens.1.state up" && hsm_away one &&
	kill -KILL "$(signer_of main)" && soon "is keeper.in_use two" && visit && soon "is keeper.tokens.1.signatures 1" &&
	hsm_back one && soon "is keeper.in_use main" && visit && soon "is keeper.tokens.0.signatures 2" &&
	is keeper.tokens.1.signatures 1 && test "$(token_events two)" = "in use"
'

test_expect_success 'it starts with the spare alone' '
	stop_server && hsm_away one && start_server && visit && is keeper.in_use two && hsm_back one &&
	soon "is keeper.in_use main" && stop_server
'

test_expect_success 'a PIN that was refused is not given again; the others serve' '
	conf server.conf "token two" pin wrong-pin && start_server && visit && soon "is keeper.tokens.1.state refused" &&
	field keeper.tokens.1.reason | grep "refused the PIN; it was tried once" && is keeper.tokens.1.starts 1 &&
	hsm_away one && kill -KILL "$(signer_of main)" && soon "is keeper.in_use \"\"" &&
	test_expect_code 75 visit && is keeper.tokens.1.starts 1 && hsm_back one && soon "is keeper.in_use main" && visit &&
	stop_server && ! grep 9999 server.log && conf server.conf "token two" pin ""
'

test_expect_success 'no token works for its PIN: the server does not start, with status 78' '
	cp server.conf other.conf && conf other.conf server pin wrong-pin && conf other.conf server audit other.audit &&
	test_expect_code 78 within 20 consignd --config other.conf 2>err </dev/null && grep "refused the PIN" err
'

test_expect_success 'a PIN that can be read only once lasts as long as the keeper' '
	conf server.conf server pin fd:7 && mkfifo pin.fifo && { cat pin >pin.fifo & } && exec 7<pin.fifo && start_server &&
	exec 7<&- && visit && signer=$(signer_of main) && kill -KILL "$signer" && soon "signer_of main | grep -vx $signer" && visit &&
	stop_server && conf server.conf server pin pin
'

test_expect_success 'a reload brings a keeper with signers of its own, in trouble too' '
	conf server.conf limits handshake 4s && start_server && soon "is keeper.in_use main" &&
	keeper=$(field keeper.pid) && signer=$(signer_of main) && kill -HUP "$SERVER_PID" &&
	soon "is keeper.in_use main && test \$(field keeper.pid) != $keeper" && visit && test "$(signer_of main)" != "$signer" &&
	hsm_away one && hsm_away two && keeper=$(field keeper.pid) && kill -HUP "$SERVER_PID" &&
	soon "grep \"keeper that runs is kept\" server.log" && is keeper.pid "$keeper" && hsm_back one && hsm_back two &&
	soon visit && soon "test ! -e /proc/$signer"
'

test_done
