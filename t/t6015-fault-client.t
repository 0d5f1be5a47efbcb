#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign and a token that misbehaves: said, documented exit status, never a crash'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/fault.sh
. "$SOURCE/t/fault.sh"

test_expect_success 'a site, with a client whose token misbehaves' '
	site_setup && start_server && fault_around "$SOFTHSM_MODULE" "SOFTHSM2_CONF=$SOFTHSM2_CONF" &&
	conf "$CLIENT_CONF" alice module "$FAULT_MODULE" &&
	conf "$CLIENT_CONF" alice module-env "CONSIGN_FAULT=$CONSIGN_FAULT" &&
	random_file data 3000000 && consign put data alice:/ && same_file data files/alice/data &&
	test "$(fault_calls C_Sign)" -ge 2
'

# A folder of its own, as nothing else is to hang; what it says is looked at last.
test_expect_success 'it hangs: in the background, for now' '
	cp -r fault hung && sed "s|^module-env.*fault$|module-env = CONSIGN_FAULT=$PWD/hung|" "$CLIENT_CONF" >hung.conf &&
	printf "%s\n" "0000000000 hang in=C_Sign" >hung/control && : >hung/calls &&
	{ CONSIGN_FAULT=$PWD/hung consign --config hung.conf ls alice:/ >hung.out 2>hung.err & } && HUNG=$!
'

test_expect_success 'a login that fails is never repeated' '
	for rv in CKR_PIN_INCORRECT CKR_PIN_LOCKED CKR_PIN_EXPIRED CKR_PIN_INVALID CKR_PIN_LEN_RANGE; do
		fault_forget && fault_mood "error in=C_Login as=$rv" &&
		test_expect_code 78 consign ls alice:/ 2>err && test -s err && test "$(fault_calls C_Login)" = 1 || return 1
	done && fault_mood
'

test_expect_success 'removed, and errors of every kind in every call: a message, and a status that says so' '
	fault_mood gone && test_expect_code 69 consign ls alice:/ 2>err && grep "no such token" err &&
	fault_mood && fault_forget && consign ls alice:/ && awk "{ print \$2 }" fault/calls | sort -u >functions &&
	test "$(wc -l <functions)" -ge 10 &&
	while read -r function; do
		for rv in CKR_GENERAL_ERROR CKR_DEVICE_REMOVED CKR_SESSION_HANDLE_INVALID; do
			fault_mood "error in=$function as=$rv" &&
			{ within 20 consign ls alice:/ >/dev/null 2>err; rc=$?; } &&
			echo "$function $rv: $rc $(head -n 1 err)" && case $rc in
			0) ;;
			69 | 76 | 78) test -s err ;;
			*) false ;;
			esac || return 1
		done
	done <functions && fault_mood
'

test_expect_success 'sessions that are lost: opened again, logged in again, not noticed' '
	for after in 0 1 2 3; do
		fault_forget && fault_mood "lose in=C_SignInit after=$after times=1" && consign ls alice:/ || return 1
	done && fault_mood
'

test_expect_success 'signatures that are wrong or of a wrong length: refused' '
	for mood in "length n=0" "length n=1" "length n=63" "length n=65" "length n=200" garble "garble after=2"; do
		fault_mood "$mood" && { within 20 consign ls alice:/ >/dev/null 2>err; rc=$?; } &&
		echo "$mood: $rc $(cat err)" && case $rc in
		69 | 75 | 78) test -s err ;;
		*) false ;;
		esac || return 1
	done && fault_mood && consign ls alice:/
'

test_expect_success 'several connections of one client: one call at a time' '
	fault_forget && fault_mood "single as=CKR_FUNCTION_FAILED" && consign get -j 4 alice:/data back &&
	same_file data back && fault_mood
'

test_expect_success 'what hung has said so, and ends by a signal' '
	within 20 sh -c "until grep -q \"does not answer; waiting\" hung.err; do sleep 0.1; done" &&
	kill -TERM $HUNG && { wait $HUNG; test $? = 143; } && test ! -s hung.out
'

test_done
