#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign-pki: what a request may ask for, and export of keys in files'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

# ask NAME KEY-OPTIONS CONFIG-LINES...: NAME.csr with these extensions
ask() {
	name=$1 key=$2 && shift 2 &&
		{
			printf '[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nCN=%s\n[ext]\n' "$name"
			printf '%s\n' "$@"
		} >"$name.cnf" &&
		openssl req -new -newkey $key -nodes -keyout "$name.key" -config "$name.cnf" -out "$name.csr" 2>/dev/null
}
P256="ec -pkeyopt ec_paramgen_curve:P-256"

policy() {
	cp clean.conf ca/consign-pki.conf && printf '[request]\n' >>ca/consign-pki.conf &&
		printf '%s\n' "$@" >>ca/consign-pki.conf
}

test_expect_success 'a CA in a token' '
	consign-pki init --dir ca --pin pin --so-pin so-pin >/dev/null && cp ca/consign-pki.conf clean.conf
'

test_expect_success 'without a policy: the four kinds of names, and the key; what is not given is named' '
	ask all "$P256" "subjectAltName=DNS:a.example,IP:192.0.2.1,email:a@b.example,URI:urn:x:y" \
		"keyUsage=critical,keyCertSign" "extendedKeyUsage=codeSigning" "basicConstraints=critical,CA:TRUE" \
		"nsComment=hello" &&
	consign-pki sign all.csr --client --dir ca --out all.pem >out &&
	grep "^not given  *2.5.29.15 2.5.29.37 2.5.29.19 2.16.840.1.113730.1.13" out &&
	openssl x509 -in all.pem -noout -text >text &&
	grep "DNS:a.example, IP Address:192.0.2.1, email:a@b.example, URI:urn:x:y" text &&
	! grep -E "CA:TRUE|Code Signing|Certificate Sign|hello" text
'

test_expect_success 'kinds of names' '
	policy "names = dns ip" &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --out no.pem 2>err && grep "request\] names" err &&
	consign-pki sign all.csr --client --dir ca --san dns:b.example --out over.pem >/dev/null &&
	openssl x509 -in over.pem -noout -ext subjectAltName >text && grep "^ *DNS:b.example$" text &&
	policy "names = none" &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --out no.pem && test ! -e no.pem
'

test_expect_success 'subject' '
	policy "subject = no" &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --out no.pem 2>err && grep "give one with --subject" err &&
	consign-pki sign all.csr --client --dir ca --subject "CN=given,O=Here" --out given.pem >/dev/null &&
	openssl x509 -in given.pem -noout -subject -nameopt RFC2253 | grep "^subject=CN=given,O=Here$"
'

test_expect_success 'kinds and sizes of keys' '
	policy "keys = rsa3072 p384 ed25519" &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --out no.pem 2>err && grep "request\] keys" err &&
	ask rsa2 rsa:2048 "subjectAltName=DNS:a.example" &&
	test_expect_code 65 consign-pki sign rsa2.csr --client --dir ca --out no.pem &&
	ask rsa4 rsa:4096 "subjectAltName=DNS:a.example" && consign-pki sign rsa4.csr --client --dir ca >/dev/null &&
	ask p384 "ec -pkeyopt ec_paramgen_curve:P-384" "subjectAltName=DNS:a.example" &&
	consign-pki sign p384.csr --client --dir ca >/dev/null &&
	ask ed ed25519 "subjectAltName=DNS:a.example" && consign-pki sign ed.csr --client --dir ca >/dev/null &&
	ask k1 "ec -pkeyopt ec_paramgen_curve:secp256k1" "subjectAltName=DNS:a.example" && policy &&
	test_must_fail consign-pki sign k1.csr --client --dir ca --out no.pem && test ! -e no.pem
'

test_expect_success 'days' '
	policy "days = 30" &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --days 31 --out no.pem 2>err && grep "at most 30 days" err &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --not-after 2035-01-01 --out no.pem &&
	consign-pki sign all.csr --client --dir ca --days 30 --out d30.pem >/dev/null &&
	consign-pki sign all.csr --client --dir ca --out d.pem >/dev/null &&
	test "$(consign-pki verify --dir ca d.pem | grep -c "^good")" = 1 &&
	until=$(date -d "$(openssl x509 -in d.pem -noout -enddate | cut -d= -f2)" +%s) &&
	test $((until - $(date +%s))) -le $((30 * 86400))
'

test_expect_success 'a policy that is none is refused with its line' '
	for bad in "names = dns dirname" "keys = dsa" "days = 0" "subject = perhaps" "other = 1"; do
		policy "$bad" && test_expect_code 78 consign-pki list --dir ca 2>err && grep "consign-pki.conf:7" err ||
			{ cat err && return 1; }
	done && cp clean.conf ca/consign-pki.conf
'

test_expect_success 'dates that are none, and that a CA can not give' '
	for when in tomorrow 2026-13-01 2026-12-01T14 2026-12-01T14:00:00 "2026-12-01 "; do
		test_expect_code 64 consign-pki sign all.csr --client --dir ca --not-after "$when" --out no.pem || return 1
	done &&
	test_expect_code 64 consign-pki sign all.csr --client --dir ca --not-before 2030-01-02 --not-after 2030-01-01 --out no.pem &&
	test_expect_code 64 consign-pki sign all.csr --client --dir ca --days 3 --not-after 2030-01-01 --out no.pem &&
	test_expect_code 65 consign-pki sign all.csr --client --dir ca --not-before 2060-01-01 --days 3 --out no.pem 2>err &&
	grep "not valid at any of that time" err && test ! -e no.pem
'

test_expect_success 'constraints that consign can not check are not issued' '
	for name in uri:example.org dn:O=Partner dns:*.example dns:.example email:a@ ip:192.0.2.0 ip:1.2.3.4/33 other; do
		test_expect_code 64 consign-pki sign all.csr --ca --dir ca --permit "$name" --out no.pem 2>err || return 1
	done &&
	test_expect_code 64 consign-pki sign all.csr --client --dir ca --permit dns:a.example --out no.pem &&
	test_expect_code 77 consign-pki sign all.csr --ca --dir ca --out no.pem 2>err && grep "path length 0" err &&
	test ! -e no.pem
'

test_expect_success 'export: what openssl 3 opens, AES-256 and SHA-256' '
	consign-pki issue client CN=carol --dir ca --file-key >/dev/null && echo secret >password && chmod 600 password &&
	consign-pki export carol.pem --p12 --password password >out && grep "^file  *carol.p12" out &&
	test "$(stat -c %a carol.p12)" = 600 &&
	openssl pkcs12 -in carol.p12 -passin file:password -nodes -info >whole 2>info &&
	grep "MAC: sha256" info && test "$(grep -c "PBES2.*AES-256-CBC" info)" = 2 && ! grep -iE "rc2|3des|sha1" info &&
	openssl pkey -in whole -pubout >a && openssl x509 -in carol.pem -noout -pubkey >b && test_cmp a b &&
	test_must_fail openssl pkcs12 -in carol.p12 -passin pass:wrong -nodes 2>/dev/null >out && test ! -s out &&
	certtool --p12-info --infile carol.p12 --inder --password secret >/dev/null
'

test_expect_success 'export refuses a key in a token, another one'"'"'s, and to overwrite' '
	consign-pki issue client CN=dora --dir ca --out dora.pem >out &&
	key=$(sed -n "s/^key  *\(pkcs11.*\)/\1/p" out) &&
	test_expect_code 77 consign-pki export dora.pem --p12 --key "$key" --password password 2>err &&
	grep "stays there" err && test ! -e dora.p12 &&
	test_expect_code 78 consign-pki export dora.pem --p12 --key carol.key --password password &&
	test_expect_code 73 consign-pki export carol.pem --p12 --password password &&
	test_expect_code 64 consign-pki export carol.pem --password password &&
	test_must_fail consign-pki export carol.pem --p12 --password nosuch --out other.p12 && test ! -e other.p12
'

test_done
