#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign-pki: a crash at any moment leaves a ledger that converges'
. "$(dirname "$0")/lib.sh"

# The key makes certificates longer than 1024 bytes and the ledger shorter, so that a limit on the size of
# files kills the process where the certificate is written: signed, recorded as intent, and nowhere yet.
test_expect_success 'a CA and a request' '
	consign-pki init --dir ca --file-key --type rsa4096 >/dev/null &&
	consign-pki csr CN=alice --file-key --out alice.csr >/dev/null &&
	cp -r ca clean
'

test_expect_success 'killed between signing and writing' '
	{
		(ulimit -c 0 && ulimit -f 2 && exec consign-pki sign alice.csr --client --dir ca --out a.pem)
		test $? -gt 128
	} &&
	tail -n 1 ca/ledger | grep "^issuing " &&
	test -z "$(ls ca/certs)" && test ! -e a.pem && test -n "$(ls -A ca/certs)" &&
	consign-pki list --dir ca >list && grep "^unfinished" list
'

test_expect_success 'the next command revokes what may have left' '
	serial=$(sed -n "s/^issuing \([0-9a-f]*\) .*/\1/p" ca/ledger) &&
	consign-pki crl --dir ca 2>err >/dev/null &&
	grep "$serial was being signed" err &&
	consign-pki list --dir ca >list && grep "^revoked  *$serial" list &&
	openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout -text | grep -i "$serial"
'

test_expect_success 'and removes what the killed one left half written' '
	test -z "$(ls -A ca/certs)" &&
	: >ca/.consign-pki.abcdef && consign-pki list --dir ca && test -e ca/.consign-pki.abcdef &&
	consign-pki crl --dir ca >/dev/null && test ! -e ca/.consign-pki.abcdef
'

test_expect_success 'and the same request can be signed then' '
	consign-pki sign alice.csr --client --dir ca --out a.pem >/dev/null 2>err && test ! -s err &&
	openssl verify -CAfile ca/ca.pem -CRLfile ca/crl.pem -crl_check a.pem
'

# shellcheck disable=SC3045
killed() {
	(ulimit -c 0 && ulimit -f 2 && exec "$@")
	test $? -gt 128
}

test_expect_success 'a renewal killed between signing and writing: the old certificate stays the newest' '
	cp -r clean ca8 && consign-pki sign alice.csr --client --dir ca8 --out old.pem >/dev/null &&
	old=$(openssl x509 -in old.pem -noout -serial | sed "s/serial=//" | tr A-F a-f) &&
	killed consign-pki renew old.pem --dir ca8 --out new.pem &&
	tail -n 1 ca8/ledger | grep "^issuing .* $old$" && test ! -e new.pem &&
	consign-pki list --dir ca8 >list && grep "^valid  *$old" list && grep "^unfinished" list &&
	new=$(sed -n "s/^issuing \([0-9a-f]*\) .* $old$/\1/p" ca8/ledger) &&
	consign-pki renew CN=alice --dir ca8 --out new.pem >out 2>err && grep "$new was being signed" err &&
	grep "^renews  *$old" out &&
	consign-pki list --dir ca8 >list && grep "^renewed  *$old" list && grep "^revoked  *$new" list &&
	openssl verify -CAfile ca8/ca.pem -CRLfile ca8/crl.pem -crl_check old.pem new.pem
'

test_expect_success 'a renewal stopped after the file, before the last line, counts' '
	cp -r clean ca9 && consign-pki sign alice.csr --client --dir ca9 --out old9.pem >/dev/null &&
	consign-pki renew old9.pem --dir ca9 --out new9.pem >/dev/null && sed -i "\$d" ca9/ledger &&
	consign-pki list --dir ca9 >list && grep "^unfinished" list && grep "^valid" list &&
	consign-pki crl --dir ca9 >/dev/null 2>err && test ! -s err &&
	consign-pki list --dir ca9 >list && grep "^renewed" list && grep "^valid" list && test "$(wc -l <list)" = 2
'

test_expect_success 'a CA below, killed between signing and writing: nothing of it is left' '
	consign-pki init --dir top --file-key --type rsa4096 --path-length 1 >/dev/null &&
	killed consign-pki init --dir sub --parent top --file-key &&
	tail -n 1 top/ledger | grep "^issuing .* ca CN=sub%20CA$" && test ! -e sub/ca.pem &&
	test_expect_code 78 consign-pki list --dir sub &&
	test_expect_code 73 consign-pki init --dir sub --parent top --file-key 2>err && grep "ca.key" err &&
	rm -r sub && consign-pki init --dir sub --parent top --file-key >/dev/null 2>err &&
	grep "was being signed" err &&
	consign-pki list --dir top >list && grep "^revoked" list && grep "^valid .* ca CN=sub CA" list &&
	openssl verify -CAfile top/ca.pem -CRLfile top/crl.pem -crl_check sub/ca.pem
'

test_expect_success 'a CA below, stopped after its certificate: the CA above knows it' '
	consign-pki init --dir half --parent top --file-key >/dev/null &&
	rm half/ca.pem half/consign-pki.conf half/ledger half/crl.pem &&
	consign-pki list --dir top >list && grep "^valid .* ca CN=half CA" list &&
	consign-pki revoke "CN=half CA" --dir top >/dev/null && consign-pki list --dir top >list &&
	grep "^revoked .* ca CN=half CA" list
'

test_expect_success 'stopped after the file, before the last line: it counts as issued' '
	cp -r clean ca2 && consign-pki sign alice.csr --client --dir ca2 --out b.pem >/dev/null &&
	sed -i "\$d" ca2/ledger && tail -n 1 ca2/ledger | grep "^issuing " &&
	consign-pki crl --dir ca2 >/dev/null &&
	consign-pki list --dir ca2 >list && grep "^valid" list && test "$(wc -l <list)" = 1
'

test_expect_success 'another certificate in its place does not count' '
	cp -r clean ca3 && consign-pki sign alice.csr --client --dir ca3 --out c.pem >/dev/null &&
	sed -i "\$d" ca3/ledger &&
	cp a.pem ca3/certs/$(ls ca3/certs) &&
	consign-pki crl --dir ca3 >/dev/null 2>&1 &&
	consign-pki list --dir ca3 >list && grep "^revoked" list
'

test_expect_success 'stopped after revoking, before the CRL: the next command writes it' '
	cp -r clean ca4 && consign-pki sign alice.csr --client --dir ca4 --out d.pem >/dev/null &&
	serial=$(sed -n "s/^issued \([0-9a-f]*\) .*/\1/p" ca4/ledger) &&
	echo "revoked $serial 1700000000 unspecified" >>ca4/ledger &&
	consign-pki sign alice.csr --client --dir ca4 --out e.pem >/dev/null &&
	test_must_fail openssl verify -CAfile ca4/ca.pem -CRLfile ca4/crl.pem -crl_check d.pem
'

test_expect_success 'stopped after taking a CRL number: the number is not used again' '
	cp -r clean ca5 && echo "crl 7 1700000000 1800000000" >>ca5/ledger &&
	consign-pki crl --dir ca5 >/dev/null &&
	openssl crl -in ca5/crl.pem -noout -text | grep -A1 "CRL Number" | grep -E "^ *9$"
'

test_expect_success 'a torn last line is cut off, and read over by list' '
	cp -r clean ca6 && cp ca6/ledger whole && printf "issuing 0123456789" >>ca6/ledger &&
	consign-pki list --dir ca6 >list && test ! -s list &&
	consign-pki crl --dir ca6 2>err >/dev/null && grep "never finished" err &&
	head -n 2 ca6/ledger >got && test_cmp whole got
'

test_expect_success 'a ledger that is damaged inside is not worked with' '
	for bad in "rubbish" "issued 00ff 1" "crl 1 1 1" "revoked 00ff 1 x" "issuing zz 1 1 client x"; do
		rm -rf ca7 && cp -r clean ca7 && echo "$bad" >>ca7/ledger && cp ca7/ledger before &&
		test_expect_code 65 consign-pki crl --dir ca7 2>err && grep "ledger:3" err &&
		test_cmp before ca7/ledger || return 1
	done
'

test_done
