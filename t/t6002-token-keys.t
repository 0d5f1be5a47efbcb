#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='tokens: keys stay inside, a wrong PIN is tried once, nothing is wiped'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

# A module that writes down each call, where it is installed.
for spy in /usr/lib/*/pkcs11-spy.so /usr/lib/*/pkcs11/pkcs11-spy.so; do
	test -r "$spy" && SPY=$spy && test_set_prereq SPY
done

logins() {
	grep -c "C_Login" spy.log
}

test_expect_success 'a CA and a client key in a token' '
	consign-pki init --dir ca --token one --pin pin --so-pin so-pin >/dev/null &&
	consign-pki issue client CN=alice --dir ca --type rsa2048 --out alice.pem >out &&
	KEY=$(sed -n "s/^key  *\(pkcs11:.*\)/\1/p" out) && test -n "$KEY"
'

test_expect_success 'the keys are sensitive, never extractable, for signatures alone' '
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label one --login --pin 2468 \
		--list-objects --type privkey >objects 2>/dev/null &&
	test "$(grep -c "^Private Key" objects)" = 2 &&
	test "$(grep -c "sensitive, always sensitive, never extractable, local" objects)" = 2 &&
	test "$(grep -c "Usage: *sign$" objects)" = 2 &&
	test "$(grep -c "ID: *[0-9a-f]" objects)" = 2 &&
	grep "label: *consign-ca" objects
'

test_expect_success 'export is refused by the token' '
	url=${KEY%;type=private} &&
	test_must_fail env GNUTLS_PIN=2468 p11tool --provider "$SOFTHSM_MODULE" --login --export \
		"$url;type=private" >exported 2>&1 &&
	! grep "PRIVATE KEY" exported
'

test_expect_success 'show: a key that stays in its token' '
	consign-pki show "$KEY" --pin pin >out && grep "not extractable" out &&
	openssl x509 -in alice.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum |
		cut -d" " -f1 >want &&
	sed -n "s/^public key *SHA256://p" out >got && test_cmp want got
'

test_expect_success 'a key that can be read out is not taken' '
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label one --login --pin 2468 --keypairgen \
		--key-type EC:prime256v1 --label loose --extractable >/dev/null 2>&1 &&
	test_expect_code 78 consign-pki csr CN=loose --key "pkcs11:token=one;object=loose;type=private" \
		--pin pin --out loose.csr 2>err &&
	grep "can be read out" err && test ! -e loose.csr
'

test_expect_success 'a wrong PIN: exit 78, a clear message, and the right one works afterwards' '
	test_expect_code 78 consign-pki crl --dir ca --pin wrong-pin 2>err &&
	grep "refused the PIN; it was tried once" err && ! grep -E "9999|2468" err &&
	consign-pki crl --dir ca >/dev/null 2>err &&
	grep "wrong PIN was given" err &&
	consign-pki crl --dir ca >/dev/null 2>err && test ! -s err
'

test_expect_success SPY 'a wrong PIN is given exactly once' '
	PKCS11SPY=$SOFTHSM_MODULE && PKCS11SPY_OUTPUT=$PWD/spy.log &&
	echo "leak:pkcs11-spy" >lsan && LSAN_OPTIONS=suppressions=$PWD/lsan:print_suppressions=0 &&
	export PKCS11SPY PKCS11SPY_OUTPUT LSAN_OPTIONS &&
	cp -r ca spied && sed -i "s|^module.*|module = $SPY|" spied/consign-pki.conf &&
	test_expect_code 78 consign-pki crl --dir spied --pin wrong-pin &&
	test "$(logins)" = 1 &&
	rm spy.log &&
	test_expect_code 78 consign-pki issue client CN=x --dir spied --pin wrong-pin --out x.pem &&
	test "$(logins)" = 1 && test ! -e x.pem &&
	rm spy.log &&
	test_expect_code 78 consign-pki token list --module "$SPY" --token one --pin wrong-pin &&
	test "$(logins)" = 1 &&
	consign-pki crl --dir ca >/dev/null
'

test_expect_success 'PIN sources that are none: refused before the token is asked' '
	: >empty && chmod 600 empty &&
	test_expect_code 78 consign-pki crl --dir ca --pin empty 2>err && grep "it is empty" err &&
	cp pin open && chmod 644 open &&
	test_expect_code 78 consign-pki crl --dir ca --pin open 2>err && grep "open" err &&
	test_expect_code 78 consign-pki crl --dir ca --pin fd:x &&
	test_must_fail consign-pki crl --dir ca --pin nosuch &&
	test_expect_code 78 setsid consign-pki crl --dir ca --pin prompt </dev/null 2>err &&
	grep "no terminal" err
'

test_expect_success 'PIN from a descriptor and from a credential' '
	consign-pki crl --dir ca --pin fd:5 5<pin >/dev/null &&
	mkdir creds && cp pin creds/token-pin && chmod 440 creds/token-pin &&
	CREDENTIALS_DIRECTORY=$PWD/creds consign-pki crl --dir ca --pin credential:token-pin >/dev/null &&
	consign-pki issue client CN=by-fd --dir ca --pin fd:5 --out by-fd.pem 5<pin >/dev/null
'

test_expect_success 'no PIN is ever printed' '
	for c in "crl --dir ca" "list --dir ca" "token list --token one --pin pin" "show $KEY --pin pin"; do
		consign-pki $c >out 2>&1 && ! grep -E "(^|[^0-9a-fA-F%])2468([^0-9a-fA-F]|$)" out || return 1
	done &&
	! grep 2468 ca/consign-pki.conf
'

test_expect_success 'a module that is missing or none: exit 69, named' '
	cp -r ca nomod && sed -i "s|^module.*|module = $PWD/nosuch.so|" nomod/consign-pki.conf &&
	test_expect_code 69 consign-pki crl --dir nomod 2>err && grep "nosuch.so" err &&
	echo text >text.so && sed -i "s|nosuch.so|text.so|" nomod/consign-pki.conf &&
	test_expect_code 69 consign-pki crl --dir nomod 2>err && grep "text.so" err &&
	test_expect_code 69 consign-pki token init x --module "$PWD/nosuch.so" --pin pin --so-pin so-pin
'

test_expect_success 'a token or key that is missing: exit 69, named' '
	cp -r ca notok && sed -i "s/token=one/token=gone/" notok/consign-pki.conf &&
	test_expect_code 69 consign-pki crl --dir notok 2>err && grep "token=gone" err &&
	cp -r ca nokey && sed -i "s/object=consign-ca/object=gone/; s/id=[^;]*;//" nokey/consign-pki.conf &&
	test_expect_code 69 consign-pki crl --dir nokey 2>err && grep "object=gone" err
'

test_expect_success 'a key that is not the CA certificate'"'"'s is not signed with' '
	cp -r ca other && sed -i "s|^key.*|key = $KEY|" other/consign-pki.conf &&
	test_expect_code 78 consign-pki crl --dir other 2>err && grep "does not belong" err
'

test_expect_success 'token init makes one, and never touches one that is there' '
	consign-pki token init two --pin pin --so-pin so-pin >out && grep "pkcs11:token=two" out &&
	softhsm_objects one >before && test -s before &&
	test_expect_code 73 consign-pki token init one --pin wrong-pin --so-pin so-pin &&
	softhsm_objects one >after && test_cmp before after &&
	consign-pki token list >list && test "$(grep -c "^label" list)" = 3
'

test_expect_success 'init takes a token that is there as it is' '
	softhsm_token three &&
	consign-pki csr CN=old --token three --label old --pin pin --out old.csr >/dev/null &&
	softhsm_objects three >before &&
	consign-pki init --dir ca3 --token three --pin pin --so-pin so-pin >/dev/null &&
	softhsm_objects three >after && comm -23 before after >lost && test ! -s lost &&
	test "$(wc -l <after)" -gt "$(wc -l <before)"
'

test_expect_success 'init refuses a token with a CA key of that label' '
	softhsm_objects three >before &&
	test_expect_code 73 consign-pki init --dir ca4 --token three --pin pin --so-pin so-pin 2>err &&
	grep "holds a key labelled" err && test ! -e ca4/ca.pem &&
	softhsm_objects three >after && test_cmp before after &&
	consign-pki init --dir ca4 --token three --label second-ca --pin pin >/dev/null
'

test_expect_success 'init without token and officer PIN says what is missing' '
	test_expect_code 64 consign-pki init --dir ca5 --token five --pin pin 2>err && grep -e "--so-pin" err
'

test_expect_success 'two tokens of one label are not guessed between' '
	softhsm_token twin && softhsm_token twin &&
	test_expect_code 69 consign-pki init --dir ca6 --token twin --pin pin 2>err &&
	grep "2 tokens are labelled" err
'

test_expect_success 'a new key in another token with another PIN' '
	(umask 077 && echo 7777 >pin7) &&
	consign-pki token init seven --pin pin7 --so-pin so-pin >/dev/null &&
	consign-pki issue client CN=seven --dir ca --token seven --key-pin pin7 --out seven.pem >out &&
	grep "^key  *pkcs11:token=seven;" out &&
	openssl verify -CAfile ca/ca.pem seven.pem &&
	test_expect_code 78 consign-pki issue client CN=eight --dir ca --token seven --out eight.pem
'

test_expect_success 'labels with blanks and percent signs make URLs that work' '
	softhsm_token "a b%;=" &&
	consign-pki csr CN=odd --token "a b%;=" --label "key of;x" --pin pin --out odd.csr >out &&
	url=$(sed -n "s/^key  *\(pkcs11:.*\)/\1/p" out) &&
	consign-pki show "$url" --pin pin >/dev/null
'

test_done
