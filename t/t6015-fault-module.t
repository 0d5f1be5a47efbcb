#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a token that misbehaves: it does what it is told'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/fault.sh
. "$SOURCE/t/fault.sh"
fault_setup

drive() {
	within 30 python3 "$SOURCE/t/fault/drive.py" "$FAULT_MODULE" "$@"
}

crl() {
	consign-pki crl --dir ca >/dev/null
}

test_expect_success 'it passes on what it is asked' '
	consign-pki init --dir ca --module "$FAULT_MODULE" --token one --pin pin --so-pin so-pin >/dev/null &&
	fault_forget && crl &&
	test "$(fault_calls C_Login)" -ge 1 && test "$(fault_calls C_Login CKR_OK)" = "$(fault_calls C_Login)" &&
	test "$(fault_calls C_Sign CKR_OK)" -ge 1 &&
	test "$(fault_calls C_Initialize)" -ge 1 &&
	openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout 2>&1 | grep "verify OK"
'

test_expect_success 'a line that is none ends the process that reads it' '
	fault_mood "sulk in=C_Sign" &&
	test_expect_code 134 consign-pki crl --dir ca 2>err && grep "control: can.t be understood" err &&
	fault_mood "error in=C_Sing" && test_expect_code 134 consign-pki crl --dir ca 2>err &&
	fault_mood && crl
'

test_expect_success 'error: for some calls, after some, with a return value' '
	fault_mood "error in=C_GetSessionInfo as=CKR_DEVICE_MEMORY after=1 times=2" &&
	drive init open look look look look >out &&
	printf "%s\n" "init 0x0" "open 0x0" "look 0x0" "look 0x31" "look 0x31" "look 0x0" >want &&
	test_cmp want out && test "$(fault_met 1)" = 4 &&
	drive init open look >out && grep "look 0x0" out &&
	fault_mood "error as=0x1234" && drive init >out && grep "init 0x1234" out
'

test_expect_success 'gone: no slots, no sessions; what was open before is lost' '
	fault_mood "gone in=C_GetSessionInfo times=1" && drive init open look look open look >out &&
	printf "%s\n" "init 0x0" "open 0x0" "look 0x32" "look 0xb3" "open 0x0" "look 0x0" >want &&
	test_cmp want out &&
	fault_mood gone && drive init slots >out && grep "slots 0x0" out
'

test_expect_success 'lose: every session, and the login' '
	fault_mood "lose after=1 times=1" && drive init open look look look close open look >out &&
	printf "%s\n" "init 0x0" "open 0x0" "look 0x0" "look 0xb3" "look 0xb3" "close 0xb3" "open 0x0" \
		"look 0x0" >want &&
	test_cmp want out
'

test_expect_success 'idle: a session that nobody used; here for no time at all' '
	fault_mood "idle ms=0 times=1" && drive init open look open look >out &&
	printf "%s\n" "init 0x0" "open 0x0" "look 0xb3" "open 0x0" "look 0x0" >want && test_cmp want out
'

test_expect_success 'cap: so many sessions and no more' '
	fault_mood "cap n=2" && drive init open open open close open >out &&
	printf "%s\n" "init 0x0" "open 0x0" "open 0x0" "open 0xb1" "close 0x0" "open 0x0" >want &&
	test_cmp want out
'

test_expect_success 'nofork: calls of a forked process fail, or end it' '
	fault_mood nofork && drive init open fork look slots init slots >out &&
	printf "%s\n" "init 0x0" "open 0x0" "look 0x190" "slots 0x190" "init 0x0" "slots 0x2" >want &&
	test_cmp want out &&
	fault_mood "nofork as=abort" && test_expect_code 250 drive init fork init >out 2>err &&
	grep "after a fork" err
'

test_expect_success 'single: two calls at once fail, or end the process' '
	fault_forget && fault_mood "hang in=C_GetSessionInfo times=1" "single as=CKR_FUNCTION_FAILED" &&
	drive init open both quit >out && grep "both 0x6" out &&
	fault_forget && fault_mood "hang in=C_GetSessionInfo times=1" single &&
	test_expect_code 134 drive init open both quit 2>err && grep "2 under way" err
'

test_expect_success 'hang: until there is another mood' '
	fault_forget && fault_mood "hang in=C_Sign times=1" &&
	{ crl & } && pid=$! &&
	until grep -q "C_Sign hangs" fault/calls; do kill -0 $pid || return 1; done &&
	fault_mood && wait $pid
'

test_done
