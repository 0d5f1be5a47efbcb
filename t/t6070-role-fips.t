#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='fips: approved algorithms alone, and the truth about the module'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"
. "$SOURCE/t/manual.sh"

# ed_key NAME SUBJECT: NAME.key and NAME.csr of a kind that is secure and not approved
ed_key() {
	(umask 077 && openssl genpkey -algorithm ed25519 -out "$1.key") &&
		openssl req -new -key "$1.key" -subj "$2" -addext subjectAltName=IP:127.0.0.1 -out "$1.csr"
}

# checked NAME.conf: what --check says of it, its status in $code
checked() {
	consignd --config "$1" --check >out 2>err
	code=$?
	cat out err
	return 0
}

last() {
	grep "\"event\":\"$1\"" server.audit | tail -n 1
}

test_expect_success 'a site, and certificates that are not approved' '
	site_setup && cp server.conf good.conf && cp map good.map && cp "$CLIENT_CONF" good.client &&
	ed_key ed-server /CN=localhost && consign-pki sign ed-server.csr --server --pin pin --out ed-server.pem >/dev/null &&
	ed_key ed-client /O=Site/CN=alice && consign-pki sign ed-client.csr --client --pin pin --out ed-client.pem >/dev/null &&
	(umask 077 && openssl genpkey -algorithm ed25519 -out ed-ca.key) &&
	openssl req -x509 -new -key ed-ca.key -subj /CN=Ed -days 30 -out ed-ca.pem
'

test_expect_success 'a server that requires starts, and says what GnuTLS is' '
	conf server.conf server fips require && start_server &&
	grep "fips = require: approved algorithms only; GnuTLS .* is not in FIPS mode" server.log &&
	last start | grep "\"fips\":\"require\",\"fips_indicator\":\"module-not-in-fips-mode\"" &&
	consignd --config server.conf --status | grep "fips = require, module-not-in-fips-mode"
'

test_expect_success 'its sessions have approved algorithms alone, and the record says so' '
	random_file f 300000 && consign put f alice:/f && consign get alice:/f back && same_file f back &&
	last login >login && cat login &&
	grep "\"cipher\":\"TLS1.3-AES-128-GCM\",\"group\":\"P-256\"" login &&
	grep "\"fips\":\"require\",\"fips_indicator\":\"module-not-in-fips-mode\"" login &&
	! grep not_approved login &&
	! strings -a server.log | grep -i compliant
'

peer() {
	within 15 gnutls-cli --x509cafile ca/ca.pem --x509certfile "$1.pem" --x509keyfile "$1.key" --alpn consign/1 \
		--priority "$2" -p "$PORT" 127.0.0.1 </dev/null >peer.out 2>&1
	grep "Handshake was completed" peer.out
}

test_expect_success 'it agrees on nothing else with others' '
	consign-pki issue client CN=peer,O=Site --file-key --pin pin --out peer.pem >/dev/null &&
	peer peer "NORMAL:-VERS-ALL:+VERS-TLS1.3" &&
	peer peer "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM" &&
	! peer peer "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305" &&
	! peer peer "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519" &&
	! peer peer "NORMAL:-VERS-ALL:+VERS-TLS1.3:-SIGN-ALL:+SIGN-EDDSA-ED25519"
'

test_expect_success 'a client whose key is not approved can not connect' '
	conf "$CLIENT_CONF" alice certificate "$PWD/ed-client.pem" && conf "$CLIENT_CONF" alice key "$PWD/ed-client.key" &&
	test_must_fail consign whoami alice: 2>err &&
	grep -i "certificate" err && last handshake | grep "\"status\":\"AUTH\",.*showed no certificate" &&
	cp good.client "$CLIENT_CONF"
'

test_expect_success 'nor one whose certificate has another digest, by a CA that is approved: the refusal names it' '
	consign-pki init --dir weak --name weak --file-key >/dev/null &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout weak.key -subj /O=Site/CN=weak -out weak.csr &&
	chmod 600 weak.key && printf "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:a\n" >sub.ext &&
	openssl x509 -req -in weak.csr -CA weak/ca.pem -CAkey weak/ca.key -days 20 -sha224 -extfile sub.ext -out weak.pem &&
	conf server.conf "anchor weak" ca weak/ca.pem && conf server.conf "anchor weak" crl weak/crl.pem && restart_server &&
	conf "$CLIENT_CONF" alice certificate "$PWD/weak.pem" && conf "$CLIENT_CONF" alice key "$PWD/weak.key" &&
	test_expect_code 77 consign whoami alice: 2>err && cat err &&
	grep "certificate of CN=weak,O=Site: signed with ECDSA-SHA224, which is not approved: have" err &&
	last refused | grep "ECDSA-SHA224" && cp good.client "$CLIENT_CONF"
'

# The signature of the handshake is approved here, the one in the certificate is not.
test_expect_success 'an anchor that is not approved stops the server that requires; report tells of it' '
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -subj /O=Site/CN=alice -out sub.csr &&
	printf "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:a\n" >sub.ext &&
	openssl x509 -req -in sub.csr -CA ed-ca.pem -CAkey ed-ca.key -days 20 -extfile sub.ext -out sub.pem &&
	conf server.conf "anchor ed" ca ed-ca.pem && conf server.conf "anchor ed" crl-policy if-present &&
	conf map ed anchor ed && conf map ed subject "CN=alice,O=Site" && conf map ed root "$TRASH/files/alice" &&
	conf map ed rights list && conf map ed account "$ACCOUNT" &&
	checked server.conf && test $code = 78 &&
	grep "ed-ca.pem: CN=Ed: its key (.*Ed25519.*) is not approved: make one of P-256.*(fips = require)" err &&
	conf server.conf server fips report && stop_server && start_server &&
	conf "$CLIENT_CONF" alice certificate "$PWD/sub.pem" && conf "$CLIENT_CONF" alice key "$PWD/sub.key" &&
	conf "$CLIENT_CONF" alice port "$PORT" && chmod 600 sub.key &&
	consign whoami alice: && last login >login && cat login &&
	grep "\"not_approved\":\"group X25519;.*certificate of CN=alice,O=Site: signed with EdDSA-Ed25519" login
'

test_expect_success 'report works, and tells each session what was not approved' '
	cp good.client "$CLIENT_CONF" && conf "$CLIENT_CONF" alice port "$PORT" &&
	conf "$CLIENT_CONF" alice fips report &&
	consign whoami alice: >who 2>err &&
	grep "not approved: group X25519" who && grep "module-not-in-fips-mode" who &&
	grep "not approved: group X25519.*(fips = report, module-not-in-fips-mode)" err &&
	last login | grep "\"fips\":\"report\",\"not_approved\":\"group X25519" &&
	soon "grep \"user alice: .*; not approved: group X25519\" server.log" &&
	grep "ed-ca.pem: CN=Ed: its key" server.log
'

test_expect_success 'a client that requires has it so with a server that does not' '
	conf "$CLIENT_CONF" alice fips require && consign whoami alice: >who 2>err &&
	grep "group P-256" who && grep "fips = require, module-not-in-fips-mode; not approved: nothing" who && test ! -s err &&
	stop_server
'

test_expect_success 'a client that requires refuses what is not, here and there' '
	conf "$CLIENT_CONF" alice certificate "$PWD/ed-client.pem" && conf "$CLIENT_CONF" alice key "$PWD/ed-client.key" &&
	test_expect_code 78 consign whoami alice: 2>err &&
	grep "ed-client.pem: CN=alice,O=Site: its key (.*) is not approved" err &&
	cp good.client "$CLIENT_CONF" && cp good.conf server.conf && cp good.map map &&
	conf server.conf server certificate ed-server.pem && conf server.conf server key ed-server.key && start_server &&
	conf "$CLIENT_CONF" alice port "$PORT" && consign whoami alice: >who && grep "signatures EdDSA-Ed25519 (server)" who &&
	conf "$CLIENT_CONF" alice port "$PORT" && conf "$CLIENT_CONF" alice fips require && test_expect_code 76 consign whoami alice: 2>err && stop_server &&
	conf server.conf server fips require && checked server.conf && test $code = 78 &&
	grep "ed-server.pem: CN=localhost: its key" err
'

test_expect_success 'groups that contradict require are refused' '
	cp good.conf server.conf && conf server.conf server fips require && conf server.conf server groups "P-256 X25519" &&
	checked server.conf && test $code = 78 && grep "groups: X25519 is not approved, and fips = require" err &&
	cp good.client "$CLIENT_CONF" && conf "$CLIENT_CONF" alice fips require && conf "$CLIENT_CONF" alice groups X25519 &&
	test_expect_code 78 consign whoami alice: 2>err && grep "X25519 is not approved" err &&
	cp good.client "$CLIENT_CONF"
'

test_expect_success 'a CA that requires issues nothing else' '
	consign-pki init --dir strict --name strict --token site --label strict --pin pin --fips >/dev/null &&
	grep "^fips   = require" strict/consign-pki.conf &&
	consign-pki issue client CN=a --dir strict --label a --out a.pem >/dev/null &&
	test_expect_code 77 consign-pki sign ed-client.csr --client --dir strict --out b.pem 2>err &&
	grep "the key: of kind .*, 256 bits, is not approved; make one of P-256" err && test ! -e b.pem &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.key -subj /CN=c -sha224 -out c.csr &&
	test_expect_code 77 consign-pki sign c.csr --client --dir strict --out c.pem 2>err &&
	grep "the request: signed with ECDSA-SHA224, which is not approved" err &&
	consign-pki sign ed-client.csr --client --pin pin --out d.pem >/dev/null &&
	test_expect_code 77 consign-pki sign ed-client.csr --fips --client --pin pin --out e.pem 2>err
'

test_expect_success 'check --fips audits what a server is made of' '
	cp good.conf server.conf && conf server.conf server fips require &&
	consign-pki check --fips server.conf >out && cat out &&
	grep "^ok    policy       server.conf: \[server\] fips = require" out &&
	grep "^ok    certificate  .*server.pem: CN=localhost: EC/ECDSA, 256 bits, signed with ECDSA-SHA256" out &&
	grep "^ok    crl          .*crl.pem: signed with ECDSA-SHA256" out &&
	grep "^warn  token        \"server\": SoftHSM is not validated" out &&
	grep "^ok    mechanisms   approved: CKM_ECDSA" out &&
	grep "^warn  fips .*not in FIPS mode" out && ! grep -i compliant out
'

test_expect_success 'and names each thing that is not approved, with a status of its own' '
	cp good.conf bad.conf && conf bad.conf server certificate ed-server.pem && conf bad.conf server key ed-server.key &&
	conf bad.conf server groups "X25519 P-256" &&
	test_expect_code 78 consign-pki check --fips bad.conf >out && cat out &&
	grep "^fail  policy       bad.conf: \[server\] fips = off" out &&
	grep "^fail  groups       bad.conf: \[server\] groups: X25519" out &&
	grep "^fail  certificate  .*ed-server.pem" out && grep "^fail  key .*ed-server.key" out &&
	test_expect_code 78 consign-pki check --fips ed-ca.pem ed-client.csr >out &&
	grep "^fail  certificate  ed-ca.pem" out && grep "^fail  request      ed-client.csr" out
'

test_expect_success 'profiles, CA folders and tokens as well, as JSON too' '
	conf "$CLIENT_CONF" alice fips require && conf "$CLIENT_CONF" bob fips require &&
	consign-pki check --fips strict "$CLIENT_CONF" "pkcs11:token=site" --module "$SOFTHSM_MODULE" --json >out &&
	json_lines out && grep "\"check\":\"token\",\"verdict\":\"warn\"" out &&
	grep "\[alice\] fips = require" out && grep "\[bob\] fips = require" out && grep "\[ca\] fips = require" out &&
	{ consign-pki check --fips >out || :; } && grep "consign.conf: \[alice\] fips = require" out && grep "ca/consign-pki.conf: \[ca\] fips = off" out &&
	test_expect_code 64 consign-pki check strict
'

test_expect_success 'the manual'"'"'s commands do what it says' '
	mkdir manual && (cd manual && softhsm_setup && manual_run consign-hsm.7 "FIPS COMPLIANCE")
'

test_expect_success 'nothing calls itself what no software can be sure of' '
	! grep -rli compliant "$SOURCE"/common "$SOURCE"/client "$SOURCE"/server "$SOURCE"/pki "$SOURCE"/contrib "$SOURCE"/README.md
'

test_done
