#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the role "certificate management": what the manual says'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
. "$SOURCE/t/manual.sh"
softhsm_setup

test_expect_success 'the commands of the manual work' '
	manual_run consign-hsm.7 "CERTIFICATE MANAGEMENT" >out
'

test_expect_success 'they did what the manual says' '
	grep "^good  *alice.pem: client" out && grep "^alice.pem: OK" out && grep "^permitted  *dns:partner.example" out &&
	grep "^overlap  *[0-9]* days" out && test "$(grep -c "^revoked  *[0-9a-f]*$" out)" = 2 &&
	grep "^refused" out && grep "revoked on" out && grep "^good  *.*users/crl.pem" out &&
	grep "^imported  *partners/acme" out && grep "^good  *acme  *serial 1" out && grep "^removed  *partners/acme" out
'

test_expect_success 'the keys are in their tokens, and nowhere in the folders' '
	for ca in root users; do
		grep "^key  *= pkcs11:token=$ca;" $ca/consign-pki.conf && softhsm_objects $ca | grep "type=private" || return 1
	done && ! grep -r "PRIVATE KEY" root users && ! ls ./*.key 2>/dev/null
'

test_expect_success 'a copy of the folder without the token issues nothing' '
	cp -r users stolen && mkdir empty &&
	printf "directories.tokendir = %s\nobjectstore.backend = file\n" "$PWD/empty" >other.conf &&
	SOFTHSM2_CONF=$PWD/other.conf test_expect_code 69 consign-pki issue client CN=mallory --dir stolen --file-key \
		--out mallory.pem 2>err && test ! -e mallory.pem &&
	SOFTHSM2_CONF=$PWD/other.conf test_expect_code 69 consign-pki crl --dir stolen
'

test_done
