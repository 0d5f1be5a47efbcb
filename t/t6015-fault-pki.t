#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign-pki and a token that misbehaves: said, documented exit status, nothing given out'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/fault.sh
. "$SOURCE/t/fault.sh"
fault_setup

crl() {
	consign-pki crl --dir ca >/dev/null
}

# What others get of the CA; its ledger may say that a CRL is due.
sums() {
	cksum ca/*.pem ca/certs/*
}

test_expect_success 'a CA' '
	consign-pki init --dir ca --path-length 1 --module "$FAULT_MODULE" --token one --pin pin \
		--so-pin so-pin >/dev/null &&
	consign-pki issue client CN=alice --dir ca --out alice.pem >/dev/null
'

test_expect_success 'a login that fails is never repeated' '
	sums >before &&
	for rv in CKR_PIN_INCORRECT CKR_PIN_LOCKED CKR_PIN_EXPIRED CKR_PIN_INVALID CKR_PIN_LEN_RANGE; do
		fault_forget && fault_mood "error in=C_Login as=$rv" &&
		test_expect_code 78 consign-pki crl --dir ca 2>$rv.err &&
		test "$(fault_calls C_Login)" = 1 || return 1
	done &&
	grep "tried once and will not be tried again" CKR_PIN_INCORRECT.err &&
	grep "is locked" CKR_PIN_LOCKED.err && grep "has expired" CKR_PIN_EXPIRED.err &&
	fault_mood && sums >after && test_cmp before after
'

test_expect_success 'errors of every kind in every call: a message, exit 69, nothing changed' '
	sums >before && fault_forget && fault_mood && consign-pki show "$(sed -n "s/^key *= *//p" ca/consign-pki.conf)" \
		--pin pin --module "$FAULT_MODULE" >/dev/null && fault_forget &&
	crl && sums >before && awk "{ print \$2 }" fault/calls | sort -u >functions &&
	test "$(wc -l <functions)" -ge 10 &&
	while read -r function; do
		for rv in CKR_GENERAL_ERROR CKR_DEVICE_REMOVED CKR_HOST_MEMORY CKR_FUNCTION_NOT_SUPPORTED; do
			fault_mood "error in=$function as=$rv" &&
			{ within 20 consign-pki crl --dir ca >/dev/null 2>err; rc=$?; } &&
			echo "$function $rv: $rc $(head -n 1 err)" && case $rc in
			0) ! test -s err || grep warning err ;;
			69 | 70 | 78) test -s err && sums >after && test_cmp before after ;;
			*) false ;;
			esac || return 1
			test $rc != 0 || sums >before
		done
	done <functions
'

test_expect_success 'the device is removed, and back' '
	sums >before && fault_mood gone &&
	test_expect_code 69 consign-pki crl --dir ca 2>err && grep "no such token" err &&
	fault_mood "gone in=C_Sign" && test_expect_code 69 consign-pki crl --dir ca 2>err && test -s err &&
	sums >after && test_cmp before after && fault_mood && crl
'

test_expect_success 'a signature that is wrong or of a wrong length is not published' '
	sums >before &&
	for mood in "length n=0" "length n=1" "length n=63" "length n=65" "length n=200" garble "garble after=2"; do
		fault_mood "$mood" && { within 20 consign-pki crl --dir ca >/dev/null 2>err; rc=$?; } &&
		echo "$mood: $rc $(cat err)" && case $rc in 69 | 78) test -s err ;; *) false ;; esac &&
		sums >after && test_cmp before after || return 1
	done && fault_mood
'

test_expect_success 'nor is a CA made of it, below another or not, nor a certificate' '
	fault_mood garble && test_expect_code 69 within 20 consign-pki init --dir new --module "$FAULT_MODULE" \
		--token one --pin pin --label new 2>err && grep "made a wrong signature" err &&
	fault_mood "garble after=2" && test_expect_code 69 within 20 consign-pki init --dir new --parent ca \
		--file-key 2>err && grep "made a wrong signature" err &&
	test ! -e new/ca.pem && test ! -e new/consign-pki.conf &&
	fault_mood "garble after=2" && test_expect_code 69 within 20 consign-pki issue client CN=bob --dir ca \
		--file-key --out bob.pem 2>err && grep "made a wrong signature" err && test ! -e bob.pem &&
	fault_mood && crl
'

test_expect_success 'sessions that are lost, and few of them' '
	fault_mood "lose in=C_SignInit times=1" && crl && fault_mood "cap n=1" && crl && sums >before &&
	fault_mood "cap n=0" && test_expect_code 69 consign-pki crl --dir ca 2>err && test -s err &&
	sums >after && test_cmp before after && fault_mood
'

test_expect_success 'it hangs: said so, and ended by a signal' '
	sums >before && fault_forget && fault_mood "hang in=C_Sign times=1" &&
	{ consign-pki crl --dir ca >/dev/null 2>err & } && pid=$! &&
	until grep -q "C_Sign hangs" fault/calls; do kill -0 $pid || return 1; done &&
	kill -TERM $pid && { wait $pid; test $? = 143; } &&
	sums >after && test_cmp before after && fault_mood && crl
'

test_done
