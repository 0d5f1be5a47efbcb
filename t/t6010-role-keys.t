#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='first role of a token: keys are made in it, named by their public half, and stay'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
. "$SOURCE/t/manual.sh"
softhsm_setup

# What the token says of itself, by a program that is not ours.
foreign() {
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label "$1" --login --pin 2468 --list-objects 2>/dev/null
}

# make TYPE: a key of that type and label; its URL on standard output
make() {
	consign-pki key generate --type "$1" --token T --label "$1" --pin pin >out &&
		sed -n 's/^key  *//p' out
}

# method_1 FILE: the key identifier of the certificate's public key by RFC 5280, 4.2.1.2 (1), as a CKA_ID in a URL
method_1() {
	openssl x509 -in "$1" -noout -pubkey >pub.pem && openssl pkey -pubin -in pub.pem -outform DER >pub.der &&
		openssl asn1parse -inform DER -in pub.der -strparse \
			"$(openssl asn1parse -inform DER -in pub.der | sed -n 's/^ *\([0-9]*\):.*BIT STRING.*/\1/p')" \
			-noout -out bits 2>/dev/null
	sha1sum bits | cut -d' ' -f1
}

# id_of URL: its id as hexadecimal digits
id_of() {
	echo "$1" | sed 's/.*;id=//; s/;.*//; s/%//g' | tr A-F a-f
}

test_expect_success 'the commands of the manual' '
	mkdir manual && cp pin so-pin manual && (cd manual && manual_run consign-hsm.7 "KEY GENERATION AND STORAGE")
'

test_expect_success 'keys of every type are made' '
	consign-pki token init T --pin pin --so-pin so-pin &&
	for type in p256 p384 p521 ed25519 rsa2048 rsa3072; do
		url=$(make $type) && echo "$type $url" && test -n "$url" || return 1
	done >urls
'

test_expect_success 'they are sensitive, were never extractable, and sign and nothing else' '
	foreign T >objects &&
	test "$(grep -c "^Private Key" objects)" = 6 &&
	test "$(grep -c "sensitive, always sensitive, never extractable, local" objects)" = 6 &&
	test "$(grep -c "Usage: *sign$" objects)" = 6 &&
	test "$(grep -c "Usage: *verify$" objects)" = 6
'

test_expect_success 'the id is the key identifier of the certificate, and what list and other programs show' '
	consign-pki init --dir ca --token T --pin pin >out && ca=$(sed -n "s/^key  *//p" out) &&
	consign-pki token list --token T --pin pin >list && foreign T >objects &&
	echo "p256 $ca" >>urls &&
	while read -r type url; do
		consign-pki issue client CN=$type --dir ca --key "$url" --out $type.pem >/dev/null &&
		method_1 $type.pem >want && id_of "$url" >got && test_cmp want got &&
		openssl x509 -in $type.pem -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d " :" | tr A-F a-f >got &&
		test_cmp want got &&
		grep -qxF "private key  $url" list && grep -qi "ID: *$(cat want)" objects && rm $type.pem || return 1
	done <urls
'

test_expect_success 'a label is used once' '
	test_expect_code 73 consign-pki key generate --type p256 --token T --label p256 --pin pin 2>err &&
	grep "holds a key labelled" err
'

test_expect_success 'a key for tickets: a secret of 64 bytes that signs and does not leave' '
	url=$(make hmac) && case $url in *";object=hmac;type=secret-key") ;; *) false ;; esac &&
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label T --login --pin 2468 --list-objects --type secrkey \
		>objects 2>/dev/null &&
	grep "Generic secret length 64" objects && ! grep -E "Usage:.*(verify|crypt|wrap|derive)" objects &&
	grep "sensitive, always sensitive, never extractable, local" objects &&
	test_expect_code 64 consign-pki issue client CN=x --dir ca --type hmac --label x --out x.pem
'

# SoftHSM loses memory at each signature with Ed25519.
test_expect_success 'the token signs with each of them' '
	for type in p256 p384 p521 ed25519 rsa2048 rsa3072 hmac; do
		(test $type != ed25519 || leaks_are_theirs && consign-pki token bench T --label $type --pin pin --sessions 1 --seconds 1) >out &&
		grep -E "^ +1 +[1-9]" out || return 1
	done &&
	consign-pki token bench T --label p256 --pin pin --sessions 3 --seconds 1 >out &&
	test "$(grep -cE "^ +[123] +[1-9]" out)" = 3
'

test_expect_success 'a temporary key leaves nothing behind' '
	foreign T >before &&
	consign-pki token bench T --type p256 --pin pin --sessions 1 --seconds 1 >out && grep "temporary" out &&
	foreign T >after && test_cmp before after &&
	test_expect_code 64 consign-pki token bench T --pin pin
'

test_expect_success 'list: every token, blank ones too, and without a PIN nothing private' '
	consign-pki token list >list && grep "^label  *T$" list && grep "^state  *blank" list &&
	grep "^state  *initialised, login required" list && grep "^makes  *.*ed25519" list &&
	! grep "^private key" list &&
	consign-pki token list --json >json &&
	python3 -c "import json; [json.loads(line) for line in open(\"json\")]" &&
	test "$(wc -l <json)" = "$(grep -c "^token" list)"
'

test_expect_success 'show: one token, and what its keys may do' '
	consign-pki token show T --pin pin >show && grep "p256; sensitive, not extractable; uses: sign$" show &&
	grep "hmac; sensitive, not extractable; uses: sign$" show &&
	consign-pki token show T --pin pin --json >json &&
	python3 -c "
import json
t = json.load(open(\"json\"))
keys = [o for o in t[\"objects\"] if \"extractable\" in o]
assert len(keys) == 8 and not any(o[\"extractable\"] for o in keys), keys"
'

test_expect_success 'the URL of a token whose label is not unique has its serial' '
	softhsm_token twin && softhsm_token twin &&
	consign-pki token list >list && grep "^token  *pkcs11:token=twin;serial=" list >twins &&
	test "$(sort -u twins | wc -l)" = 2 &&
	url=$(sed -n "s/^token  *//p;q" twins) &&
	consign-pki key generate --token "$url" --label k --pin pin >out && grep "token=twin;serial=" out
'

test_expect_success 'a module by its name in p11-kit' '
	{ consign-pki token list --module softhsm2 >list || test_expect_code 69 consign-pki token list --module softhsm2; } &&
	test_expect_code 69 consign-pki token list --module nosuch 2>err && grep "nosuch" err
'

test_expect_success 'what is missing is said' '
	test_expect_code 64 consign-pki key generate --token T --pin pin 2>err && grep -e --label err &&
	test_expect_code 64 consign-pki key generate --type dsa --token T --label x --pin pin 2>err && grep "p256" err &&
	test_expect_code 69 consign-pki key generate --token none --label x --pin pin 2>err && grep "none" err &&
	test_expect_code 78 consign-pki key generate --token T --label x --pin wrong-pin 2>err &&
	grep "refused" err && ! grep -E "9999|2468" err
'

test_done
