#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign-pki: renewal with overlap, revocation by subject, what ends soon, the CRL alarm'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

serial() {
	openssl x509 -in "$1" -noout -serial | sed 's/^serial=//' | tr A-F a-f
}

key_of() {
	openssl x509 -in "$1" -noout -pubkey
}

test_expect_success 'a CA, a server and a client with keys in a token' '
	consign-pki init --dir ca --name site --pin pin --so-pin so-pin >/dev/null &&
	consign-pki issue server a.example 192.0.2.7 --dir ca --days 20 --label srv --out srv.pem >/dev/null &&
	consign-pki issue client "CN=alice,O=Acme\, Inc." --san email:a@acme.example --dir ca --days 10 \
		--label alice --out alice.pem >/dev/null
'

test_expect_success 'renew by file: same key, names and purpose, another serial, overlap shown' '
	consign-pki renew srv.pem --dir ca --out srv2.pem >out &&
	grep "^renews  *$(serial srv.pem)" out && grep "^overlap  *20 days" out &&
	key_of srv.pem >a && key_of srv2.pem >b && test_cmp a b &&
	test "$(serial srv.pem)" != "$(serial srv2.pem)" &&
	for f in srv.pem srv2.pem; do
		openssl x509 -in $f -noout -ext subjectAltName,extendedKeyUsage -subject >$f.text || return 1
	done && test_cmp srv.pem.text srv2.pem.text &&
	consign-pki verify --dir ca srv.pem srv2.pem >out && test "$(grep -c "^good" out)" = 2
'

test_expect_success 'as long as the old one, or as told' '
	test "$(consign-pki show srv2.pem | grep -c "valid until")" = 1 &&
	a=$(date -d "$(openssl x509 -in srv.pem -noout -enddate | cut -d= -f2)" +%s) &&
	b=$(date -d "$(openssl x509 -in srv2.pem -noout -enddate | cut -d= -f2)" +%s) &&
	test $((b - a)) -lt 7200 && test $b -ge $a &&
	consign-pki renew "$(serial srv2.pem)" --dir ca --not-before 2030-01-01 --days 5 --out srv3.pem >out &&
	grep "^overlap  *none: a gap of" out && grep "^valid from  *2030-01-01T00:00:00Z" out &&
	openssl x509 -in srv3.pem -noout -enddate | grep "Jan  6 00:00:00 2030"
'

test_expect_success 'renew by subject with a new key in the token' '
	consign-pki renew "CN=alice,O=Acme\, Inc." --dir ca --new-key --days 30 --out alice2.pem >out &&
	grep "^key  *pkcs11:.*object=Acme__Inc.-2;type=private\|^key  *pkcs11:.*object=alice-2;type=private" out &&
	key_of alice.pem >a && key_of alice2.pem >b && ! test_cmp a b >/dev/null &&
	consign-pki verify --dir ca alice.pem alice2.pem
'

test_expect_success 'the ledger links old and new' '
	consign-pki list --dir ca >list && grep "^renewed  *$(serial alice.pem)" list &&
	grep "^valid  *$(serial alice2.pem)" list &&
	consign-pki list --dir ca --json >json &&
	grep "\"serial\":\"$(serial alice2.pem)\".*\"renews\":\"$(serial alice.pem)\"" json &&
	grep "\"serial\":\"$(serial alice.pem)\".*\"renewed_by\":\"$(serial alice2.pem)\"" json &&
	consign-pki show "$(serial alice.pem)" --dir ca >out && grep "^renewed by  *$(serial alice2.pem)" out
'

test_expect_success 'by subject the newest is renewed; two that no other renewed must be told apart' '
	consign-pki renew "CN=alice,O=Acme\, Inc." --dir ca --out alice3.pem >out &&
	grep "^renews  *$(serial alice2.pem)" out &&
	consign-pki issue client "CN=alice,O=Acme\, Inc." --dir ca --label other --out other.pem >/dev/null &&
	test_expect_code 64 consign-pki renew "CN=alice,O=Acme\, Inc." --dir ca --out no.pem >out 2>err &&
	grep "by its serial" err && test "$(grep -c "CN=alice" out)" = 4 && test ! -e no.pem
'

test_expect_success 'what can not be renewed: revoked, unknown, another CA'"'"'s' '
	consign-pki revoke other.pem --dir ca >/dev/null &&
	test_expect_code 77 consign-pki renew other.pem --dir ca 2>err && grep "revoked" err &&
	test_expect_code 66 consign-pki renew CN=nobody --dir ca &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -subj /CN=alice -out x.pem 2>/dev/null &&
	test_expect_code 66 consign-pki renew x.pem --dir ca &&
	test_expect_code 64 consign-pki renew srv.pem --dir ca --label x
'

test_expect_success 'expiry: live ones that end soon, exit status 1; renewed ones are no alarm' '
	consign-pki expiry --dir ca --within 15 >list && test "$(wc -l <list)" = 1 &&
	grep "^renewed  *$(serial alice.pem)" list &&
	test_expect_code 1 consign-pki expiry --dir ca --within 35 >list 2>err && test ! -s err &&
	grep "^valid  *$(serial alice3.pem)" list && grep "^renewed  *$(serial srv.pem)" list &&
	! grep "$(serial other.pem)" list && ! grep " ca " list &&
	test_expect_code 1 consign-pki expiry --dir ca --within 36500 --json >json &&
	grep "\"role\":\"ca\"" json && grep "$(serial srv.pem)" json &&
	consign-pki expiry --dir ca --within 5 >list && test ! -s list
'

test_expect_success 'revoke by subject: every live one is shown, --all or a choice is asked for' '
	cp ca/ledger before &&
	test_expect_code 64 consign-pki revoke "CN=alice,O=Acme\, Inc." --dir ca >list 2>err &&
	test "$(wc -l <list)" = 3 && grep "3 live certificates" err && test_cmp before ca/ledger &&
	consign-pki revoke "$(serial alice2.pem)" --dir ca --reason superseded &&
	consign-pki revoke "CN=alice,O=Acme\, Inc." --dir ca --all --reason cessation >out &&
	test "$(grep -c "^revoked" out)" = 2 &&
	consign-pki list --dir ca >list && test "$(grep "CN=alice" list | grep -vc "^revoked")" = 0 &&
	test_expect_code 77 consign-pki verify --dir ca alice.pem alice2.pem alice3.pem >out &&
	test "$(grep -c "revoked on" out)" = 3 &&
	test_expect_code 66 consign-pki revoke "CN=alice,O=Acme\, Inc." --dir ca --all
'

test_expect_success 'a subject is compared as a name, not as text' '
	consign-pki issue client "CN=bob,O=Acme" --dir ca --file-key >/dev/null &&
	test_expect_code 66 consign-pki revoke "O=Acme,CN=bob" --dir ca &&
	test_expect_code 66 consign-pki revoke "CN=bob" --dir ca &&
	consign-pki revoke "cn=bob,o=Acme" --dir ca >out && grep "^revoked  *$(serial bob.pem)" out
'

test_expect_success 'crl --check: good, soon, and nothing is written' '
	cp ca/crl.pem before && cp ca/ledger ledger &&
	consign-pki crl --dir ca --check >out && grep "^good " out &&
	test_expect_code 1 consign-pki crl --dir ca --check --within 31 >out && grep "^soon " out &&
	test_expect_code 1 consign-pki crl --dir ca --check --within 31 --json >out &&
	grep "\"state\":\"soon\"" out && grep -E "\"days_left\":(29|30)}" out &&
	test_cmp before ca/crl.pem && test_cmp ledger ca/ledger &&
	test_expect_code 64 consign-pki crl --dir ca --check --days 3
'

test_expect_success 'crl --check: the CRL is missing, an older one, or damaged' '
	cp ca/crl.pem last && consign-pki crl --dir ca >/dev/null && cp ca/crl.pem now &&
	cp last ca/crl.pem && test_expect_code 1 consign-pki crl --dir ca --check >out && grep "^damaged" out &&
	echo junk >ca/crl.pem && test_expect_code 1 consign-pki crl --dir ca --check >out && grep "^damaged" out &&
	rm ca/crl.pem && test_expect_code 1 consign-pki crl --dir ca --check >out && grep "^damaged" out &&
	cp now ca/crl.pem && consign-pki crl --dir ca --check
'

test_expect_success 'verify: every reason, as text and as JSON' '
	test_expect_code 77 consign-pki verify --dir ca --server --host b.example --at 2035-01-01 alice.pem >out &&
	grep "not for servers" out && grep "expired on" out && grep "revoked on" out && grep "not for the name b.example" out &&
	test_expect_code 77 consign-pki verify --dir ca --json alice.pem >json &&
	grep "^{\"file\":\"alice.pem\",\"verdict\":\"refused\",\"role\":\"client\",\"reasons\":\[\".*revoked on" json &&
	consign-pki verify --dir ca --json --host 192.0.2.7 srv2.pem >json &&
	grep "\"verdict\":\"good\",\"role\":\"server\",\"anchor\":\"site\",\"subject\":\"CN=a.example\",\"reasons\":\[\]" json &&
	test_expect_code 65 consign-pki verify --dir ca pin &&
	test_expect_code 64 consign-pki verify --dir ca --at yesterday srv.pem &&
	test_expect_code 64 consign-pki verify --crl ca/crl.pem srv.pem
'

test_done
