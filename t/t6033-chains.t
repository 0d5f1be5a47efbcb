#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='CAs below a CA, to a server and a client that run'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

# Only the root is an anchor, here and there.
site() {
	consign-pki init --dir root --name site --subject "CN=Root,O=Site" --path-length 1 --token root --pin pin \
		--so-pin so-pin >/dev/null &&
		for ca in users hosts; do
			consign-pki init --dir $ca --parent root --token $ca --pin pin --so-pin so-pin >/dev/null || return 1
		done &&
		consign-pki issue server localhost 127.0.0.1 --dir hosts --file-key --label server --out server.pem >/dev/null &&
		consign-pki issue client "CN=alice,O=Site" --dir users --file-key --out alice.pem >/dev/null &&
		mkdir -p "$(dirname "$CLIENT_CONF")" files/alice && { test -z "$ACCOUNT" || chown "$ACCOUNT:" files/alice; } &&
		collect &&
		conf server.conf server listen 127.0.0.1:0 &&
		conf server.conf server certificate server.pem && conf server.conf server key server.key &&
		conf server.conf server map map && conf server.conf server audit server.audit &&
		conf server.conf "anchor site" ca root/ca.pem && conf server.conf "anchor site" crl site.crl &&
		conf map alice anchor site && conf map alice subject "CN=alice,O=Site" &&
		conf map alice root "$TRASH/files/alice" && conf map alice rights "list read create" &&
		conf map alice account "$ACCOUNT" &&
		conf "$CLIENT_CONF" alice host 127.0.0.1 &&
		conf "$CLIENT_CONF" alice ca "$TRASH/root/ca.pem" && conf "$CLIENT_CONF" alice crl "$TRASH/site.crl" &&
		conf "$CLIENT_CONF" alice certificate "$TRASH/alice.pem" && conf "$CLIENT_CONF" alice key "$TRASH/alice.key"
}

collect() {
	cat root/crl.pem users/crl.pem hosts/crl.pem >site.crl
}

test_expect_success 'a root, a CA for users and one for hosts, each with its own key in its own token' '
	site &&
	for ca in root users hosts; do sed -n "s/^key *= //p" $ca/consign-pki.conf; done >keys &&
	test "$(sort -u keys | wc -l)" = 3 && test "$(grep -c "^pkcs11:token=" keys)" = 3 &&
	grep "^parent = $TRASH/root" users/consign-pki.conf &&
	consign-pki list --dir root >list && grep "^valid .* ca CN=users CA" list &&
	consign-pki show users/ca.pem >out && grep "^CAs below *0" out
'

test_expect_success 'server and client accept each other by their chains' '
	start_server && conf "$CLIENT_CONF" alice port "$PORT" && echo hello >f &&
	within 20 consign put f alice:/f && same_file f files/alice/f
'

test_expect_success 'a leaf without its chain is refused' '
	openssl x509 -in alice.pem -out leaf.pem && conf "$CLIENT_CONF" alice certificate "$TRASH/leaf.pem" &&
	test_expect_code 77 within 20 consign ls alice:/ 2>err && grep "issued by no trusted CA" err &&
	conf "$CLIENT_CONF" alice certificate "$TRASH/alice.pem" && within 20 consign ls alice:/
'

test_expect_success 'the CRL of the CA below is missing: refused; crls.pem of a CA holds those above it' '
	cp root/crl.pem site.crl && restart_server && conf "$CLIENT_CONF" alice port "$PORT" &&
	conf "$CLIENT_CONF" alice crl "" && conf "$CLIENT_CONF" alice crl-policy if-present &&
	test_expect_code 77 within 20 consign ls alice:/ 2>err && grep "no revocation list of its CA" err &&
	cp users/crls.pem site.crl && restart_server && conf "$CLIENT_CONF" alice port "$PORT" &&
	within 20 consign ls alice:/
'

test_expect_success 'a revoked user' '
	consign-pki issue client "CN=alice,O=Site" --dir users --file-key --label second --out second.pem >/dev/null &&
	consign-pki revoke alice.pem --dir users >/dev/null && cp users/crls.pem site.crl && restart_server &&
	conf "$CLIENT_CONF" alice port "$PORT" &&
	test_expect_code 77 within 20 consign ls alice:/ 2>err && grep "revoked on" err &&
	conf "$CLIENT_CONF" alice certificate "$TRASH/second.pem" && conf "$CLIENT_CONF" alice key "$TRASH/second.key" &&
	within 20 consign ls alice:/
'

test_expect_success 'a revoked CA: all its users' '
	consign-pki revoke "CN=users CA" --dir root --reason ca-compromise >/dev/null &&
	consign-pki crl --dir users >/dev/null && cp users/crls.pem site.crl && restart_server &&
	conf "$CLIENT_CONF" alice port "$PORT" &&
	test_expect_code 77 within 20 consign ls alice:/ 2>err && grep "CN=users CA.*revoked on" err &&
	test_expect_code 77 consign-pki verify --dir users second.pem >out && grep "CN=users CA: revoked" out
'

test_expect_success 'a CA below a CA below a CA with another PIN, and its renewal' '
	echo 8642 >other-pin && chmod 600 other-pin &&
	consign-pki init --dir top --path-length 2 --token top --pin pin --so-pin so-pin >/dev/null &&
	consign-pki init --dir mid --parent top --path-length 1 --token mid --pin other-pin --so-pin so-pin >/dev/null &&
	consign-pki init --dir low --parent mid --parent-pin other-pin --token low --pin pin --so-pin so-pin >/dev/null &&
	consign-pki issue client CN=deep --dir low --file-key >/dev/null && consign-pki verify --dir low deep.pem &&
	consign-pki renew low/ca.pem --dir mid --out low.pem >out && grep "^overlap" out &&
	cp low.pem low/ca.pem && consign-pki issue client CN=deep2 --dir low --file-key >/dev/null &&
	consign-pki verify --dir low deep.pem deep2.pem && test_must_fail consign-pki init --dir x --parent low --file-key
'

test_done
