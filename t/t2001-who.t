#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='who is let in: certificates, revocation lists, names, TLS itself'

. "$(dirname "$0")/lib.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"

# refused NAME REASON: exit status, what the client says, and exactly one record with that reason.
refused() {
	profile "$1" || return 1
	before_=$(wc -l <server.audit)
	within 30 consign whoami "$1:" >"$1.out" 2>"$1.err"
	code_=$?
	tail -n "+$((before_ + 1))" server.audit | grep "\"session\":" >"$1.audit"
	test "$code_" -eq 77 && grep -i "refused us: .*$2" "$1.err" &&
		test "$(grep -c . "$1.audit")" -eq 1 &&
		grep '"event":"refused".*"status":"AUTH"' "$1.audit" | grep -i "\"reason\":\".*$2" && return
	echo "status $code_"; cat "$1.err" "$1.audit"
	return 1
}

welcome() { # NAME USER
	profile "$1" && within 30 consign whoami "$1:" >"$1.out" && grep "user $2 " "$1.out"
}

test_expect_success 'a site with a second and a third CA, and users of them' '
	site_setup && new_ca other "Other CA" && new_ca third "Third CA" && new_ca foreign "Unknown CA" &&
	conf server.conf "anchor other" ca other.pem && conf server.conf "anchor other" crl other.crl &&
	conf server.conf "anchor third" ca third.pem && conf server.conf "anchor third" crl third.crl &&
	rule carol other "CN=carol" && conf map carol rights "list read create overwrite" && rule comma other "CN=last\\, first" &&
	rule order other "CN=order,O=Site" && rule multi other "CN=multi+O=Site" && start_server
'

test_expect_success 'a good certificate of the second CA is let in' '
	leaf good "/CN=carol" "$GOOD" && welcome good carol
'

test_expect_success 'self-signed' '
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -subj /CN=carol \
		-addext "keyUsage=digitalSignature" -addext "extendedKeyUsage=clientAuth" -out self.pem 2>/dev/null &&
	chmod 600 self.key && refused self "no trusted CA"
'

test_expect_success 'of an unknown CA' '
	CA=foreign leaf foreigner /CN=carol "$GOOD" && refused foreigner "no trusted CA"
'

test_expect_success 'of a CA that has the name of a trusted one, but not its key' '
	new_ca false "Other CA" && CA=false leaf forged /CN=carol "$GOOD" &&
	refused forged "."
'

test_expect_success 'expired' '
	FAKE="-60 days" leaf expired /CN=carol "$GOOD" && refused expired "expired on"
'

test_expect_success 'not yet valid' '
	FAKE="+10 days" leaf early /CN=carol "$GOOD" && refused early "not valid before"
'

test_expect_success 'a server certificate' '
	leaf serverly /CN=carol "keyUsage=digitalSignature;extendedKeyUsage=serverAuth" &&
	refused serverly "not for clients"
'

test_expect_success 'the certificate of a CA' '
	leaf ca-leaf /CN=carol \
		"basicConstraints=critical,CA:TRUE;keyUsage=digitalSignature,keyCertSign;extendedKeyUsage=clientAuth" &&
	refused ca-leaf "a CA.s certificate"
'

test_expect_success 'X.509 v1' '
	leaf v1 /CN=carol "" && openssl x509 -in v1.pem -noout -text | grep "Version: 1" &&
	refused v1 "not an X.509 v3"
'

test_expect_success 'without extended key usage, or with "any" only' '
	leaf no-eku /CN=carol "keyUsage=digitalSignature" && refused no-eku "not for clients" &&
	leaf any-eku /CN=carol "keyUsage=digitalSignature;extendedKeyUsage=anyExtendedKeyUsage" &&
	refused any-eku "not for clients"
'

test_expect_success 'without the key usage digitalSignature' '
	leaf no-ku /CN=carol "keyUsage=keyAgreement;extendedKeyUsage=clientAuth" && profile no-ku &&
	{ consign whoami no-ku: >out 2>err; code=$?; cat err; test $code -ne 0; } && ! grep user out
'

test_expect_success 'signed with SHA-1' '
	leaf sha1 /CN=carol "$GOOD" -sha1 && profile sha1 &&
	{ consign whoami sha1: >out 2>err; test $? -ne 0; } && ! grep user out && cat err
'

test_expect_success 'an RSA key of 1024 bits' '
	KIND="rsa:1024" leaf rsa1024 /CN=carol "$GOOD" && profile rsa1024 &&
	{ consign whoami rsa1024: >out 2>err; test $? -ne 0; } && ! grep user out && cat err
'

test_expect_success 'the same subject under another trusted CA is somebody else' '
	CA=third leaf twin /CN=carol "$GOOD" && refused twin "no rule of the map"
'

test_expect_success 'the order of the names counts, and whether they are one or two' '
	leaf order /O=Site/CN=order "$GOOD" && welcome order order &&
	leaf disorder /CN=order/O=Site "$GOOD" && refused disorder "no rule" &&
	leaf multi "/O=Site+CN=multi" "$GOOD" && welcome multi multi &&
	leaf single "/O=Site/CN=multi" "$GOOD" && refused single "no rule" &&
	leaf extra "/OU=x/CN=carol" "$GOOD" && refused extra "no rule" &&
	leaf twice "/CN=carol/CN=carol" "$GOOD" && refused twice "no rule"
'

test_expect_success 'a comma in a name is no border, nor is what looks like one' '
	leaf comma "/CN=last, first" "$GOOD" && welcome comma comma &&
	leaf borders "/CN=carol,O=Site" "$GOOD" && refused borders "no rule"
'

test_expect_success 'a newline in a name is escaped wherever it is shown' '
	leaf newline "/CN=carol
{\"event\":\"login\"}" "$GOOD" && refused newline "no rule" &&
	! grep "^{\"event\"" server.audit server.log
'

test_expect_success 'revoked: effective after SIGHUP, without a restart; nobody else is hit' '
	leaf victim /CN=carol "$GOOD" && welcome victim carol &&
	openssl ca -config other.cnf -revoke victim.pem 2>/dev/null && new_crl other &&
	count=$(grep -c "\"event\":\"reload\"" server.audit || :) && kill -HUP "$SERVER_PID" &&
	within 20 sh -c "until test \$(grep -c reload server.audit) -gt $count; do :; done" &&
	refused victim "revoked on" && welcome good carol
'

reload() {
	count_=$(grep -c '"event":"reload"' server.audit || :) && kill -HUP "$SERVER_PID" &&
		within 20 sh -c "until test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_; do :; done"
}

test_expect_success 'a revocation list that ran out lets nobody in' '
	FAKE= && faketime "-60 days" openssl ca -config other.cnf -gencrl -out other.crl 2>/dev/null &&
	reload && refused good "ran out" && new_crl other && reload && welcome good carol
'

test_expect_success 'a configuration without a revocation list is refused, unless the policy says so' '
	conf server.conf "anchor other" crl "" && reload &&
	tail -n 1 server.audit | grep "\"status\":\"CONFIG\".*crl is missing" &&
	conf server.conf "anchor other" crl-policy if-present && reload && welcome good carol &&
	conf server.conf "anchor other" crl-policy "" && conf server.conf "anchor other" crl other.crl && reload &&
	welcome good carol
'

# ---- TLS ----

# hello OPTION...: openssl as a client; what it printed is in hello.out.
hello() {
	within 20 openssl s_client -connect "127.0.0.1:$PORT" -quiet "$@" </dev/null >hello.out 2>&1
	! grep -a consignd hello.out
}

handshake_recorded() { # PATTERN
	within 20 sh -c "until tail -n 1 server.audit | grep -q '\"event\":\"handshake\".*$1'; do :; done"
}

test_expect_success 'no certificate' '
	hello -tls1_3 -alpn consign/1 && handshake_recorded "no certificate"
'

test_expect_success 'TLS 1.2 and older' '
	hello -tls1_2 -alpn consign/1 -cert good.pem -key good.key &&
	handshake_recorded "\"status\":\"TLS\""
'

test_expect_success 'no ALPN, and another' '
	hello -tls1_3 -cert good.pem -key good.key && handshake_recorded "consign/1" &&
	hello -tls1_3 -alpn h2 -cert good.pem -key good.key && handshake_recorded "\"status\":\"TLS\""
'

# ---- the server's certificate ----

# server_is STATUS REASON SAN EXTENSIONS HOST: a second server with such a certificate, and what the
# client makes of it.
server_is() {
	wanted_=$1 reason_=$2 host_=$5
	leaf second "$3" "$4" && conf second.conf server listen 127.0.0.1:0 &&
		conf second.conf server certificate second.pem && conf second.conf server key second.key &&
		conf second.conf server allow-extractable yes &&
		conf second.conf server map map && conf second.conf server audit second.audit &&
		for a_ in other site third; do
			conf second.conf "anchor $a_" ca "$(test $a_ = site && echo ca/ca.pem || echo $a_.pem)" &&
				conf second.conf "anchor $a_" crl "$(test $a_ = site && echo ca/crl.pem || echo $a_.crl)" ||
				return 1
		done && start_server second && profile good && conf "$CLIENT_CONF" good port "$PORT" &&
		conf "$CLIENT_CONF" good ca "$TRASH/other.pem" && conf "$CLIENT_CONF" good crl "$TRASH/other.crl" &&
		conf "$CLIENT_CONF" good server-name "$host_"
	code_=$? && if test $code_ -eq 0; then
		echo secret >secret-name
		within 30 consign put secret-name good:/secret-name >second.out 2>second.err
		code_=$?
	fi
	stop_server second || return 1
	test "$code_" -eq "$wanted_" && grep -i "$reason_" second.err second.out &&
		if test "$wanted_" -eq 0; then grep secret-name second.audit; else ! grep secret-name second.audit; fi &&
		return
	echo "status $code_:"; cat second.err second.audit
	return 1
}

SERVERLY='keyUsage=digitalSignature;extendedKeyUsage=serverAuth'

test_expect_success 'a server with a client certificate is refused before it is told anything' '
	server_is 77 "not for servers" /CN=localhost "$GOOD;subjectAltName=DNS:localhost" localhost
'

test_expect_success 'a server with another name, or one in the common name only' '
	server_is 77 "not for the name" /CN=localhost "$SERVERLY;subjectAltName=DNS:elsewhere" localhost &&
	server_is 77 "not for the name" /CN=localhost "$SERVERLY" localhost
'

test_expect_success 'a wildcard does not stand for two labels, nor for none' '
	server_is 77 "not for the name" /CN=x "$SERVERLY;subjectAltName=DNS:*.example.test" a.b.example.test &&
	server_is 77 "not for the name" /CN=x "$SERVERLY;subjectAltName=DNS:*.example.test" example.test
'

test_expect_success 'addresses count as addresses, names as names' '
	server_is 77 "not for the name" /CN=x "$SERVERLY;subjectAltName=DNS:127.0.0.1" 127.0.0.1 &&
	server_is 77 "not for the name" /CN=x "$SERVERLY;subjectAltName=IP:127.0.0.2" 127.0.0.1 &&
	server_is 0 "secret-name" /CN=x "$SERVERLY;subjectAltName=IP:127.0.0.1" 127.0.0.1
'

test_expect_success 'a wildcard stands for one label' '
	server_is 0 "secret-name" /CN=x "$SERVERLY;subjectAltName=DNS:*.example.test" a.example.test
'

test_done
