#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='key exchange: groups by policy, authenticated by the token'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"
. "$SOURCE/t/manual.sh"

test_expect_success 'a site with its keys in tokens' '
	site_setup &&
	consign-pki issue client CN=peer,O=Site --file-key --pin pin --out peer.pem >peer.issued &&
	openssl x509 -in peer.pem -noout && test -s peer.key
'

# gnutls_peer GROUP: the group that GnuTLS agreed on with our server, offering that one alone
gnutls_peer() {
	within 15 gnutls-cli --x509cafile ca/ca.pem --x509certfile peer.pem --x509keyfile peer.key \
		--alpn consign/1 --priority "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-$1" \
		-p "$PORT" 127.0.0.1 </dev/null >gnutls.out 2>&1
	sed -n "s/^- Description: (TLS1.3.*)-(ECDHE-\([A-Z0-9]*\))-.*/\1/p; s/^- Description: .*(ECDHE-\([A-Z0-9]*\)).*/\1/p" gnutls.out | head -n 1
}

# openssl_peer GROUPS [OPTION...]: the same by OpenSSL, whose names are its own
openssl_peer() {
	groups_=$1 && shift &&
		within 15 openssl s_client -connect "127.0.0.1:$PORT" -CAfile ca/ca.pem -cert peer.pem -key peer.key \
			-alpn consign/1 -tls1_3 -groups "$groups_" "$@" </dev/null >openssl.out 2>&1
	sed -n "s/^Server Temp Key: \([^,]*\), \([^,]*\).*/\1 \2/p" openssl.out | head -n 1
}

logins() {
	grep "\"event\":\"login\"" server.audit | tail -n 1
}

test_expect_success 'the default is X25519, and each end says so' '
	start_server &&
	consign whoami alice: >who &&
	grep "group X25519, signatures ECDSA-SECP256R1-SHA256 (server) and ECDSA-SECP256R1-SHA256 (client)" who &&
	consign --json whoami alice: >who.json &&
	grep "\"group\":\"X25519\"" who.json && grep "\"signature\":\"ECDSA-SECP256R1-SHA256\"" who.json &&
	logins | grep "\"cipher\":\"TLS1.3-AES-128-GCM\",\"group\":\"X25519\",\"signature\":\"ECDSA-SECP256R1-SHA256\"" &&
	soon "grep \"user alice: TLS1.3-AES-128-GCM, group X25519, signatures\" server.log"
'

test_expect_success 'other implementations agree on each group of the default, and on no other' '
	gnutls_peer X25519 && grep -i "x25519" gnutls.out &&
	gnutls_peer SECP384R1 && grep -i "SECP384R1" gnutls.out &&
	gnutls_peer SECP521R1 && ! grep "Handshake was completed" gnutls.out &&
	openssl_peer X25519 >got && grep X25519 got &&
	openssl_peer P-256 >got && grep -E "P-256|prime256v1" got &&
	openssl_peer P-521 >got && test ! -s got &&
	openssl_peer ffdhe3072 >got && test ! -s got
'

test_expect_success 'the order is the server'"'"'s' '
	openssl_peer P-384:P-256:X25519 >got && grep X25519 got
'

test_expect_success 'groups are as configured, in their order' '
	conf server.conf server groups "P-384 P-521" && restart_server &&
	openssl_peer X25519:P-256:P-521:P-384 >got && grep -E "P-384|secp384r1" got &&
	openssl_peer P-521 >got && grep -E "P-521|secp521r1" got &&
	openssl_peer X25519:P-256 >got && test ! -s got &&
	consign whoami alice: >who && grep "group P-384," who
'

test_expect_success 'a profile has its own, and none in common is said to be so' '
	conf "$CLIENT_CONF" bob groups P-521 &&
	consign whoami bob: >who && grep "group P-521," who &&
	conf "$CLIENT_CONF" bob groups X25519 &&
	test_expect_code 76 consign whoami bob: 2>err && grep "TLS handshake" err &&
	conf "$CLIENT_CONF" bob groups ""
'

test_expect_success 'what there is not is named, with what there is' '
	conf server.conf server groups "X25519 P-192" &&
	test_expect_code 78 consignd --config server.conf --check 2>err &&
	grep "server.conf:[0-9]*: \[server\] groups: P-192 is no group that GnuTLS .* there are: .*X25519" err &&
	conf "$CLIENT_CONF" alice groups "X25519 x25519" &&
	test_expect_code 78 consign whoami alice: 2>err && grep "X25519 is there twice" err &&
	conf "$CLIENT_CONF" alice groups ""
'

# Where GnuTLS has a hybrid group, it is used; where it has none, it is refused as any other.
test_expect_success 'the hybrid post-quantum group is there when GnuTLS has it' '
	conf server.conf server groups "X25519MLKEM768 X25519" &&
	if gnutls-cli --list 2>/dev/null | grep -qi "GROUP-X25519-MLKEM768"; then
		restart_server && conf "$CLIENT_CONF" alice groups X25519MLKEM768 &&
		consign whoami alice: >who && grep "group X25519-MLKEM768" who
	else
		test_expect_code 78 consignd --config server.conf --check 2>err &&
		grep "X25519MLKEM768 is no group" err
	fi
'

test_expect_success 'the status shows it while a session runs' '
	conf server.conf server groups P-256 && restart_server && random_file big 20000000 &&
	conf "$CLIENT_CONF" alice groups "" && conf "$CLIENT_CONF" alice rate 256K &&
	{ consign put big alice:/big >put.out 2>&1 & } && put_=$! &&
	soon "consignd --config server.conf --status | grep \"TLS1.3-AES-128-GCM, group P-256, signatures\"" &&
	consignd --config server.conf --status --json >status && grep "\"tls\":\"TLS1.3-AES-128-GCM, group P-256" status &&
	kill $put_ && { wait $put_ || :; }
'

test_expect_success 'the manual'"'"'s commands do what it says' '
	stop_server && conf server.conf server groups "" &&
	mkdir manual && test_when_finished "kill \$(cat manual/pid) 2>/dev/null || :" &&
	(cd manual && softhsm_setup && manual_run consign-hsm.7 "KEY EXCHANGE")
'

test_done
