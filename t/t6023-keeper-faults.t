#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a token that misbehaves: what the keeper makes of it'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/hsm.sh
. "$SOURCE/t/hsm.sh"
# shellcheck source=t/fault.sh
. "$SOURCE/t/fault.sh"

REASON="the server's token is unavailable; it asks to retry after [0-9]* s"

# up N: the server's first token signs, over N sessions.
up() {
	soon "is keeper.in_use main && is keeper.tokens.0.sessions $1"
}

# hurt MOOD: from now on; then a handshake that has to succeed, and what it went through.
hurt() {
	before_=$(field keeper.tokens.0.starts) && fault_mood "$1" && visit && fault_mood &&
		soon "test \$(field keeper.tokens.0.starts) -gt $before_" && up 4
}

test_expect_success 'a server whose token is as it should be' '
	hsm_site && hsm_main one && fault_around "$SOFTHSM_MODULE" "$HSM_ENV" && conf server.conf server module "$FAULT_MODULE" &&
	conf server.conf server module-env "CONSIGN_FAULT=$CONSIGN_FAULT" && conf server.conf server max-sessions 4 &&
	conf server.conf limits sign-timeout 1s && conf "$CLIENT_CONF" alice retry 0 && start_server && up 4 && visit &&
	soon "is keeper.tokens.0.signatures 1"
'

test_expect_success 'once it signs it is logged in, and it never logs out' '
	fault_forget && visit && visit && test "$(fault_calls C_Sign CKR_OK)" -ge 2 && test "$(fault_calls C_Login)" = 0 && test "$(fault_calls C_OpenSession)" = 0 &&
	test "$(fault_calls C_Logout)" = 0
'

test_expect_success 'it loses its sessions, and the login with them: nobody notices' '
	fault_mood "lose in=C_SignInit times=1" && visit && test "$(fault_met 1)" -ge 1 && fault_mood && visit
'

test_expect_success 'an error of the device: likewise' '
	hurt "error in=C_Sign as=CKR_DEVICE_ERROR times=1"
'

test_expect_success 'a signature of a wrong length, and one that is wrong: not given away' '
	hurt "length n=7 in=C_Sign after=1 times=1" && hurt "garble in=C_Sign after=1 times=1" && grep "made a wrong signature" server.log
'

test_expect_success 'it hangs: killed, and nobody notices' '
	hurt "hang in=C_Sign times=1" && is keeper.tokens.0.hangs 1
'

test_expect_success 'its process ends in the module' '
	hurt "error in=C_Sign as=abort times=1" && is keeper.tokens.0.deaths 1 && is keeper.shed_late 0
'

test_expect_success 'general errors for a while: who is patient gets in afterwards' '
	conf "$CLIENT_CONF" alice retry 60s && fault_mood "error in=C_SignInit" && { visit & } && client=$! &&
	soon "is keeper.in_use \"\"" && soon "test \$(field keeper.tokens.0.failures) -gt 0" && fault_mood && wait $client &&
	up 4 && conf "$CLIENT_CONF" alice retry 0
'

test_expect_success 'it is removed and put back' '
	fault_mood gone && test_expect_code 75 visit 2>err && grep "$REASON" err && is keeper.in_use "" && fault_mood &&
	up 4 && visit
'

test_expect_success 'it hangs while a signer starts: given up then, too; a running server stays' '
	fault_mood "hang in=C_Login" && kill -KILL "$(signer_of main)" && soon "is keeper.tokens.0.state starting" &&
	test_expect_code 75 visit 2>err && grep "$REASON" err && fault_mood && up 4 && visit
'

test_expect_success 'slow, but not too slow: it is waited for' '
	starts=$(field keeper.tokens.0.starts) && fault_mood "slow ms=300 in=C_Sign" && visit && fault_mood &&
	is keeper.tokens.0.starts "$starts" && test "$(field keeper.p99_us)" -gt 250000
'

test_expect_success 'signatures are made side by side' '
	: >fault/calls && fault_mood "slow ms=400 in=C_Sign" && clients= &&
	for i in 1 2 3 4 5 6; do visit & clients="$clients $!"; done &&
	for client in $clients; do wait $client || return 1; done && fault_mood &&
	awk "\$2 == \"C_Sign\" && \$4 > most { most = \$4 } END { exit !(most >= 2 && most <= 4) }" fault/calls
'

test_expect_success 'a token with fewer sessions than are wanted: with those that it has' '
	stop_server && fault_mood "cap n=2" && start_server && up 2 && visit && grep "allows 2 sessions, 4 are wanted" server.log &&
	stop_server && fault_mood "cap n=1" && start_server && up 1 && visit && visit && stop_server && fault_mood
'

test_expect_success 'one that takes no two calls at once: max-sessions = 1' '
	conf server.conf server max-sessions 1 && fault_mood single && start_server && up 1 && clients= &&
	for i in 1 2 3 4; do visit & clients="$clients $!"; done &&
	for client in $clients; do wait $client || return 1; done && is keeper.tokens.0.deaths 0 && stop_server && fault_mood &&
	conf server.conf server max-sessions 4
'

test_expect_success 'one that breaks across a fork: it never sees one' '
	fault_mood "nofork as=abort" && start_server && up 4 && visit && kill -HUP "$SERVER_PID" &&
	soon "test \$(grep -c \"is up\" server.log) -ge 2" && visit && is keeper.tokens.0.deaths 0 && stop_server && fault_mood
'

test_expect_success 'one that drops a session that was not used for a second: kept alive' '
	conf server.conf server keep-alive 1s && fault_mood "idle ms=3000" && start_server && up 4 && sleep 5 && visit &&
	is keeper.tokens.0.starts 1 && stop_server && fault_mood && conf server.conf server keep-alive ""
'

test_expect_success 'the right PIN is refused: given once, and the server is not lost for it' '
	hsm two && conf server.conf "token two" key "$HSM_KEY" && conf server.conf "token two" module "$SOFTHSM_MODULE" &&
	conf server.conf "token two" module-env "$HSM_ENV" && start_server && up 4 && soon "is keeper.tokens.1.state up" &&
	fault_mood "error in=C_Login as=CKR_PIN_INCORRECT" && fault_forget && kill -KILL "$(signer_of main)" &&
	soon "is keeper.tokens.0.state refused" && is keeper.in_use two && visit && test "$(fault_calls C_Login)" = 1 &&
	test "$(token_events main | tail -n 1)" = refused && fault_mood && keeper=$(field keeper.pid) &&
	kill -HUP "$SERVER_PID" && soon "is keeper.in_use main && test \$(field keeper.pid) != $keeper" && visit
'

test_done
