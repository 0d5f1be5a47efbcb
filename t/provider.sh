# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# One suite for every PKCS#11 provider: a CA, a server and a client with their keys in one token, handshakes,
# transfers, a revocation. A script sources lib.sh and this, prepares a provider, and calls provider_suite.
#
# A provider is
#
#   PROVIDER_MODULE    path of the module
#   PROVIDER_TOKEN     label of an initialised token
#   PROVIDER_PIN       its user PIN
#   PROVIDER_KEY_TYPE  kind of keys it can make (default: p256)
#   PROVIDER_ENV       NAME=VALUE that the module wants in its environment (default: nothing)
#   PROVIDER_LOOSE     set when a key can be taken out of it that was not made otherwise
#
# so that one more is tried by
#
#   PROVIDER_MODULE=/usr/lib/vendor.so PROVIDER_TOKEN=test PROVIDER_PIN=1234 make check T=t6019
#
# The suite makes three keys or four, labelled consign-t-NUMBER-..., and removes them at the end.

# In SoftHSM; provider_softhsm LABEL
provider_softhsm() {
	# shellcheck source=t/softhsm.sh
	. "$SOURCE/t/softhsm.sh" && softhsm_setup && softhsm_token "$1" &&
		PROVIDER_MODULE=$SOFTHSM_MODULE PROVIDER_TOKEN=$1 PROVIDER_PIN=2468 PROVIDER_ENV=SOFTHSM2_CONF=$SOFTHSM2_CONF
}

# The environment is exported for consign-pki, and configured for consign and consignd.
provider_begin() {
	: "${PROVIDER_KEY_TYPE:=p256}" && PREFIX=consign-t-$$ &&
		case $PROVIDER_ENV in *=*) export "${PROVIDER_ENV?}" ;; esac &&
		(umask 077 && echo "$PROVIDER_PIN" >pin)
}

# provider_pki COMMAND...: with the provider's module and token
provider_pki() {
	consign-pki "$@" --module "$PROVIDER_MODULE" --token "$PROVIDER_TOKEN" --pin pin \
		--type "$PROVIDER_KEY_TYPE"
}

# A key as a tool makes it that does not ask for more.
provider_loose() {
	GNUTLS_PIN=$PROVIDER_PIN p11tool --provider "$PROVIDER_MODULE" --login --generate-privkey=rsa --bits=2048 \
		--label "$PREFIX-loose" "pkcs11:token=$PROVIDER_TOKEN" >/dev/null 2>&1
}

# provider_issue KEY OPTION...: a server's certificate for a key that is there
provider_issue() {
	consign-pki issue server localhost 127.0.0.1 --dir ca --module "$PROVIDER_MODULE" --pin pin --out loose.pem \
		--key "$@"
}

# provider_keys: the URLs of the private keys of this run
provider_keys() {
	GNUTLS_PIN=$PROVIDER_PIN p11tool --provider "$PROVIDER_MODULE" --login --list-privkeys --only-urls \
		"pkcs11:token=$PROVIDER_TOKEN" 2>/dev/null | grep "object=$PREFIX-"
}

# provider_conf FILE SECTION NAME: certificate and key of NAME
provider_conf() {
	conf "$1" "$2" certificate "$PWD/$3.pem" &&
		conf "$1" "$2" key "$(key_of_ "$3.issued")" &&
		conf "$1" "$2" module "$PROVIDER_MODULE" &&
		conf "$1" "$2" module-env "$PROVIDER_ENV" &&
		conf "$1" "$2" pin "$PWD/pin"
}

provider_server() {
	provider_conf server.conf server "$1" &&
		conf server.conf server listen 127.0.0.1:0 &&
		conf server.conf server map map &&
		conf server.conf server audit server.audit &&
		conf server.conf limits drain 10s &&
		conf server.conf "anchor site" ca ca/ca.pem &&
		conf server.conf "anchor site" crl ca/crl.pem
}

provider_user() {
	mkdir -p files/alice "$(dirname "$CLIENT_CONF")" &&
		{ test -z "$ACCOUNT" || chown "$ACCOUNT:" files/alice; } &&
		conf map alice anchor site &&
		conf map alice subject "CN=alice,O=Site" &&
		conf map alice root "$TRASH/files/alice" &&
		conf map alice rights "list read create overwrite delete" &&
		conf map alice account "$ACCOUNT" &&
		provider_conf "$CLIENT_CONF" alice alice &&
		conf "$CLIENT_CONF" alice host 127.0.0.1 &&
		conf "$CLIENT_CONF" alice ca "$TRASH/ca/ca.pem"
}

provider_remove() {
	provider_keys >left
	for kind in private public; do
		sed "s/type=private/type=$kind/" left | while read -r url; do
			GNUTLS_PIN=$PROVIDER_PIN p11tool --provider "$PROVIDER_MODULE" --login --batch --delete \
				"$url" >/dev/null 2>&1
		done
	done
	test -z "$(provider_keys)"
}

provider_suite() {
	test_expect_success 'the token is listed' '
		provider_begin &&
		consign-pki token list --module "$PROVIDER_MODULE" >tokens && grep "token=$PROVIDER_TOKEN" tokens
	'
	test_expect_success 'a CA' '
		provider_pki init --dir ca --name site --label "$PREFIX-ca" >out &&
		grep "^key  *pkcs11:.*token=$PROVIDER_TOKEN" out && openssl verify -CAfile ca/ca.pem ca/ca.pem &&
		openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout 2>&1 | grep "verify OK"
	'
	test_expect_success 'certificates for a server and a client' '
		provider_pki issue server localhost 127.0.0.1 --dir ca --label "$PREFIX-server" --out server.pem >server.issued &&
		provider_pki issue client "CN=alice,O=Site" --dir ca --label "$PREFIX-alice" --out alice.pem >alice.issued &&
		openssl verify -CAfile ca/ca.pem server.pem && openssl verify -CAfile ca/ca.pem alice.pem &&
		test "$(provider_keys | wc -l)" = 3
	'
	test -z "$PROVIDER_LOOSE" || test_expect_success 'a key that can be taken out is refused, by each program, unless allowed' '
		provider_loose && key=$(provider_keys | grep "object=$PREFIX-loose") &&
		test_expect_code 78 provider_issue "$key" 2>err && grep "can be read out" err && test ! -e loose.pem &&
		provider_issue "$key" --allow-extractable >loose.issued && provider_server loose && provider_user &&
		test_expect_code 78 within 20 consignd --config server.conf 2>err && grep "can be read out" err &&
		conf server.conf server allow-extractable yes && start_server && stop_server &&
		conf server.conf server allow-extractable no
	'
	test_expect_success 'handshakes, one after the other' '
		provider_server server && provider_user && start_server &&
		for i in 1 2 3 4 5 6 7 8; do consign ls alice:/ || return 1; done
	'
	test_expect_success 'eight clients that log in to it at once, again and again' '
		for round in 1 2 3 4 5; do
			clients= && for i in 1 2 3 4 5 6 7 8; do
				consign ls alice:/ >/dev/null 2>"at-once.$i" &
				clients="$clients $!"
			done
			for client in $clients; do
				wait "$client" || { cat at-once.*; return 1; }
			done
		done
	'
	test_expect_success 'transfers: put, get, over several connections' '
		random_file small 1000 && random_file large 9000001 &&
		consign put small large alice:/ && same_file large files/alice/large &&
		consign get -j 3 alice:/large back && same_file large back
	'
	test_expect_success 'a wrong PIN: refused, said, and the right one works again' '
		(umask 077 && echo 99990 >wrong) && conf "$CLIENT_CONF" alice pin "$PWD/wrong" &&
		test_expect_code 78 consign ls alice:/ 2>err && grep "refused the PIN" err && ! grep 99990 err &&
		conf "$CLIENT_CONF" alice pin "$PWD/pin" && consign ls alice:/
	'
	test_expect_success 'revoked: refused, and what is there stays' '
		consign-pki revoke alice.pem --dir ca && restart_server &&
		test_expect_code 77 consign ls alice:/ 2>err && grep "revoked" err &&
		openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout 2>&1 | grep "verify OK" &&
		same_file small files/alice/small
	'
	test_expect_success 'the server ends, and its keys are removed' '
		stop_server && provider_remove
	'
}
