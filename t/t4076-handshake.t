#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='certificates and handshakes of attackers: none is let in, and all of them are ended'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"

# shown CERTIFICATES KEY: what the server says to who shows these.
shown() {
	within 60 python3 "$SOURCE/t/attack/handshake.py" "$PORT" "$1" "$2" verdict >verdict 2>&1 || :
	cat verdict
}

refused() {
	shown "$1" "$2" && ! grep WELCOME verdict && ! grep Traceback verdict
}

SEED=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}

test_expect_success 'a site with a second CA, one of whose users is in the map' '
	attack_site && new_ca other "Other CA" && new_ca foreign "Other CA" && conf server.conf "anchor other" ca other.pem &&
	conf server.conf "anchor other" crl other.crl && rule carol other "CN=carol" && start_server &&
	leaf carol /CN=carol "$GOOD" && leaf eve /CN=eve "$GOOD" && shown carol.pem carol.key && grep -x "WELCOME carol" verdict
'

# ---- T4: the server itself is asked, since many a client would not even show such a certificate ----

judged() { # NAME REASON
	test_expect_code 77 consignd --config server.conf --explain "$1.pem" read / >explained 2>&1
	code_=$?
	cat explained && test $code_ = 0 && grep -i "$2" explained
}

test_expect_success 'the judge takes a good one' '
	consignd --config server.conf --explain carol.pem read / >explained && grep "^user: carol" explained
'

test_expect_success 'T4: weak keys' '
	KIND="rsa:1024" leaf rsa1024 /CN=carol "$GOOD" && judged rsa1024 "weak\|RSA\|short\|bits" &&
	KIND="ec -pkeyopt ec_paramgen_curve:prime192v1" leaf p192 /CN=carol "$GOOD" && judged p192 "." &&
	KIND="ec -pkeyopt ec_paramgen_curve:secp224r1" leaf p224 /CN=carol "$GOOD" && judged p224 "."
'

test_expect_success 'T4: weak signatures, a CA, version 1, the wrong usage' '
	leaf sha1 /CN=carol "$GOOD" -sha1 && judged sha1 "broken algorithm" &&
	leaf ca-leaf /CN=carol "basicConstraints=critical,CA:TRUE;keyUsage=digitalSignature,keyCertSign;extendedKeyUsage=clientAuth" &&
	judged ca-leaf "CA" && refused ca-leaf.pem ca-leaf.key &&
	leaf v1 /CN=carol "" && judged v1 "v3" && refused v1.pem v1.key &&
	leaf no-ku /CN=carol "keyUsage=keyAgreement;extendedKeyUsage=clientAuth" && judged no-ku "." && refused no-ku.pem no-ku.key &&
	leaf odd /CN=carol "$GOOD;1.2.3.4=critical,ASN1:NULL" && judged odd "." && refused odd.pem odd.key
'

test_expect_success 'T3: the purpose has to be named' '
	leaf serverly /CN=carol "keyUsage=digitalSignature;extendedKeyUsage=serverAuth" && refused serverly.pem serverly.key &&
	grep "not for clients" verdict &&
	leaf any /CN=carol "keyUsage=digitalSignature;extendedKeyUsage=anyExtendedKeyUsage" && refused any.pem any.key && grep "not for clients" verdict &&
	leaf none /CN=carol "keyUsage=digitalSignature" && refused none.pem none.key && grep "not for clients" verdict &&
	leaf code /CN=carol "keyUsage=digitalSignature;extendedKeyUsage=codeSigning,emailProtection" && refused code.pem code.key
'

# ---- T9 ----

test_expect_success 'T9: what else is in the chain is nobody' '
	cat eve.pem carol.pem >both.pem && refused both.pem eve.key && grep "no rule" verdict &&
	cat eve.pem other.pem carol.pem alice-file.pem >more.pem && refused more.pem eve.key && grep "no rule" verdict &&
	test "$(grep "\"event\":\"refused\".*CN=eve" server.audit | wc -l)" -eq 2 &&
	CA=foreign leaf twin /CN=carol "$GOOD" && cat twin.pem other.pem carol.pem >chain.pem && refused chain.pem twin.key &&
	cat twin.pem foreign.pem other.pem >chain.pem && refused chain.pem twin.key &&
	cat carol.pem eve.pem >both.pem && shown both.pem carol.key && grep -x "WELCOME carol" verdict
'

test_expect_success 'T9: long chains, circles, the same one again and again: ended one way or the other' '
	for n in 17 40 100; do
		{ cat carol.pem && for i in $(seq $n); do cat other.pem; done; } >long.pem && shown long.pem carol.key && ! grep Traceback verdict &&
		{ cat eve.pem && for i in $(seq $n); do cat carol.pem foreign.pem; done; } >long.pem && refused long.pem eve.key || return 1
	done
'

test_expect_success 'T9: a chain that takes several records is heard to its end' '
	grep "at most 8 are looked at" server.log && ! grep "not finished in time" server.log &&
	leaf wordy /CN=carol "$GOOD;nsComment=$(printf "%020000d" 0)" && shown wordy.pem wordy.key && grep -x "WELCOME carol" verdict
'

test_expect_success 'T9: a long path of CAs that is not ours' '
	cp foreign.pem link0.pem && cp foreign.key link0.key && for i in $(seq 20); do
		CA=link$((i - 1)) leaf link$i "/CN=link $i" "basicConstraints=critical,CA:TRUE;keyUsage=keyCertSign,cRLSign" || return 1
	done &&
	CA=link20 leaf deep /CN=carol "$GOOD" && cp deep.pem deep-chain.pem &&
	for i in $(seq 20 -1 0); do cat link$i.pem >>deep-chain.pem; done && refused deep-chain.pem deep.key
'

test_expect_success 'T2: a chain of hundreds of kilobytes' '
	{ cat carol.pem && for i in $(seq 700); do cat other.pem; done; } >huge.pem && shown huge.pem carol.key && ! grep Traceback verdict
'

# ---- T1, T2: TLS itself ----

test_expect_success 'T1: a certificate that somebody made for himself, with the names of ours' '
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -subj /CN=carol -addext keyUsage=digitalSignature \
		-addext extendedKeyUsage=clientAuth -out self.pem 2>/dev/null && refused self.pem self.key && grep "no trusted CA" verdict &&
	CA=foreign leaf forged /CN=carol "$GOOD" && refused forged.pem forged.key && ! grep "no rule" verdict
'

# nobody OPTION...: openssl as a client; hello: with a good certificate. What it printed is in hello.out.
nobody() {
	within 30 openssl s_client -connect "127.0.0.1:$PORT" -alpn consign/1 "$@" >hello.out 2>&1 || :
}
hello() {
	nobody -cert carol.pem -key carol.key "$@"
}

test_expect_success 'T2: older versions, other ciphers, a key that was agreed on before' '
	for options in -tls1_2 -tls1_1 "-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256"; do
		hello $options -quiet </dev/null && ! grep -a consignd hello.out || return 1
	done &&
	for options in "-psk 00112233445566778899aabbccddeeff -psk_identity carol" -enable_pha; do
		nobody -tls1_3 $options -quiet </dev/null && ! grep -a consignd hello.out || return 1
	done
'

test_expect_success 'T2: gnutls as a client: without a certificate, without ALPN, with an older version' '
	for options in "--alpn consign/1" "--x509certfile carol.pem --x509keyfile carol.key" "--x509certfile carol.pem --x509keyfile carol.key --alpn http/1.1" \
		"--x509certfile carol.pem --x509keyfile carol.key --alpn consign/1 --priority NORMAL:-VERS-TLS1.3"; do
		within 30 gnutls-cli --insecure -p "$PORT" $options 127.0.0.1 </dev/null >hello.out 2>&1
		! grep -a "consignd/" hello.out || return 1
	done
'

test_expect_success 'T2: a good handshake, byte by byte' '
	within 60 python3 "$SOURCE/t/attack/handshake.py" "$PORT" carol.pem carol.key pieces
'

test_expect_success 'T2: records and hellos that are none' '
	within 60 python3 "$SOURCE/t/attack/handshake.py" "$PORT" carol.pem carol.key nonsense "$SEED"
'

test_expect_success 'T2: records without end' '
	within 120 python3 "$SOURCE/t/attack/handshake.py" "$PORT" carol.pem carol.key floods
'

test_expect_success 'T2: the keys are changed a thousand times' '
	{ for i in $(seq 500); do echo K && echo k; done; } >updates && hello -tls1_3 <updates && grep -a -c KEYUPDATE hello.out >count &&
	test "$(cat count)" -ge 1 && shown carol.pem carol.key && grep -x "WELCOME carol" verdict
'

# ---- T8: what a client makes of a server ----

# server_is NAME SERVER-NAME CA-OF-THE-CLIENT: what whoami says of a server with the certificate NAME.
server_is() {
	cp server.conf second.conf && conf second.conf server listen 127.0.0.1:0 && conf second.conf server certificate "$1.pem" &&
		conf second.conf server key "$1.key" && conf second.conf server allow-extractable yes && conf second.conf server audit second.audit &&
		start_server second && profile carol && conf "$CLIENT_CONF" carol ca "$TRASH/$3.pem" && conf "$CLIENT_CONF" carol crl "$TRASH/$3.crl" &&
		conf "$CLIENT_CONF" carol server-name "$2" || return 1
	echo secret >secret-name
	within 30 consign put secret-name carol:/secret-name >second.out 2>second.err
	code_=$?
	stop_server second && cat second.err && ! grep secret-name second.audit && return $code_
}

SERVERLY='keyUsage=digitalSignature;extendedKeyUsage=serverAuth;basicConstraints=CA:FALSE'

test_expect_success 'T8: of a CA that the client does not trust; with a dot behind; with a NUL in its name' '
	leaf host /CN=localhost "$SERVERLY;subjectAltName=DNS:localhost" &&
	{ server_is host localhost foreign; test $? = 77; } && { server_is host localhost ca/ca; test $? != 0; } &&
	{ server_is host elsewhere other; test $? = 77; } && grep "not for the name" second.err &&
	leaf dot /CN=localhost "$SERVERLY;subjectAltName=DNS:localhost.evil.test" && { server_is dot localhost other; test $? = 77; } &&
	grep "not for the name" second.err
'

test_expect_success 'T3: a server whose certificate is for anything, or for clients' '
	leaf anyhost /CN=localhost "keyUsage=digitalSignature;extendedKeyUsage=anyExtendedKeyUsage;subjectAltName=DNS:localhost" &&
	{ server_is anyhost localhost other; test $? = 77; } && grep "not for servers" second.err &&
	leaf clienthost /CN=localhost "$GOOD;subjectAltName=DNS:localhost" && { server_is clienthost localhost other; test $? = 77; } &&
	grep "not for servers" second.err
'

# ---- T6, by issuer and signature; the rest of it is in t2001, t6036 and t6037 ----

reload() {
	count_=$(grep -c "\"event\":\"reload\"" server.audit || :) && kill -HUP "$SERVER_PID" &&
		within 20 sh -c "until test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_; do sleep 0.05; done"
}

# not_taken: neither by the server that runs, which keeps what it has and says so, nor by one that starts.
not_taken() {
	reload && tail -n 1 server.audit | grep "\"event\":\"reload\",\"status\":\"CONFIG\".*other.crl" &&
		test_expect_code 78 consignd --config server.conf --check
}

test_expect_success 'T6: a revocation list of another CA, or with another signature, is not taken for ours' '
	restart_server && cp other.crl good.crl && cp foreign.crl other.crl && not_taken && cp ca/crl.pem other.crl && { not_taken || refused carol.pem carol.key; } &&
	openssl crl -in good.crl -outform DER -out crl.der && size=$(stat -c %s crl.der) &&
	printf "\\001" | dd of=crl.der bs=1 seek=$((size - 9)) conv=notrunc status=none && openssl crl -inform DER -in crl.der -out other.crl &&
	not_taken && head -c 100 good.crl >other.crl && not_taken && cp good.crl other.crl && reload && consignd --config server.conf --check &&
	shown carol.pem carol.key && grep -x "WELCOME carol" verdict
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && test -z "$(ls files/alice)"
'

test_done
