#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='who the peer is is proven to the master, whatever the session says: PROTOCOL.md, section 7'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/tickets.sh
. "$SOURCE/t/tickets.sh"

PROBE=$BUILD/t/consignd-probe
test -x "$PROBE" || lacking "make $PROBE makes what this needs"

# client NAME TYPE: NAME-file.pem, with a key of that type, for a user of that name who has a rule.
client() {
	consign-pki issue client "CN=$1,O=Site" --file-key --type "$2" --pin "$SOFTHSM_PIN_FILE" --out "$1-file.pem" >"$1.issued" &&
		conf map "$1" anchor site && conf map "$1" subject "CN=$1,O=Site" && conf map "$1" root "$TRASH/files/alice" &&
		conf map "$1" rights list && conf map "$1" account "$ACCOUNT"
}

test_expect_success 'a site whose users have keys of all kinds' '
	site_setup && file_key alice && file_key bob && client ed ed25519 && client rsa rsa2048 && client p384 p384 && client p521 p521 &&
	consign-pki issue client CN=mallory,O=Site --file-key --pin "$SOFTHSM_PIN_FILE" --out mallory-file.pem >mallory.issued &&
	conf server.conf server tickets yes && start_server
'

# ---- who is let in ----

for who in alice ed rsa p384 p521; do
	for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
		test_expect_success "$who, by $suite" '
			peer $who -ciphersuites $suite && was full && told "consignd/.*$who"
		'
	done
done

test_expect_success 'after the server has asked for another ClientHello' '
	for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384; do
		peer alice -ciphersuites $suite -groups P-521:P-256 -msg && was full && told "consignd/.*alice" &&
		test "$(grep -a -c "ClientHello" peer.out)" -ge 2 || return 1
	done && peer ed -groups P-521:X25519 && told "consignd/.*ed" && peer rsa -groups P-521:P-384 && told "consignd/.*rsa"
'

test_expect_success "who proves it, but is nobody here, is refused, and it is known who it was" '
	peer mallory && was full && ! told "consignd/" && grep "\"event\":\"refused\".*\"subject\":\"CN=mallory,O=Site\"" server.audit &&
	! grep "\"event\":\"lie\"" server.audit
'

# ---- resumed sessions ----

test_expect_success 'a client of a resumed session is let in once it has signed, with the AES-256 suite, too' '
	peer alice -sess_out t1 && was full && peer alice -sess_in t1 && was resumed && told "consignd/.*alice" &&
	peer alice -ciphersuites TLS_AES_256_GCM_SHA384 -sess_out t2 && peer alice -sess_in t2 && was resumed && told "consignd/.*alice" &&
	within 60 consign -q put -j 3 server.conf alice:/c
'

for lie in nonce exporter server key context scheme signature; do
	test_expect_success "one whose proof has another $lie is not" '
		count=$(grep -c "\"event\":\"grant\"" server.audit) &&
		peer alice lie=$lie -sess_in t1 && was resumed && ! told "consignd/" && told "has not shown that it has the key" &&
		test "$(grep -c "\"event\":\"grant\"" server.audit)" = "$count"
	'
done

test_expect_success 'nor one that sends none, one too long, or something else' '
	count=$(grep -c "\"event\":\"grant\"" server.audit) &&
	peer alice lie=long -sess_in t1 && was resumed && ! told "consignd/" &&
	printf "\000\000\000\001\020" | within 20 openssl s_client -connect "127.0.0.1:$PORT" -alpn consign/1 -tls1_3 -ign_eof \
		-cert alice-file.pem -key "$(key_of_ alice.issued)" -sess_in t1 >peer.out 2>&1 && was resumed && ! told "consignd/" && told "where PROOF was due" &&
	conf server.conf limits first-request 1s && reload && peer alice lie=silent -sess_in t1 && was resumed && told "no PROOF within" &&
	test "$(grep -c "\"event\":\"grant\"" server.audit)" = "$count" && conf server.conf limits first-request "" && reload
'

test_expect_success 'a second proof is one too many' '
	peer alice lie=twice -sess_in t1 && was resumed && ! grep -a "PING" peer.out && tail -n 4 server.audit | grep "PROOF (type 6) where HELLO was due"
'

# ---- sessions that lie ----

# liar WHAT: a server whose sessions tell the master that.
liar() {
	stop_server liar 2>/dev/null
	mkdir -p bin && sed "s,server.audit,liar.audit," server.conf >liar.conf && : >liar.log && rm -f liar.audit &&
		printf '#!/bin/sh\nCONSIGN_PROBE=%s exec %s "$@"\n' "$1" "$PROBE" >bin/consignd && chmod +x bin/consignd &&
		PATH=$TRASH/bin:$PATH start_server liar && conf "$CLIENT_CONF" alice port "$PORT"
}

test_expect_success 'the same build without a lie serves as ever' '
	liar "" && consign whoami alice: && stop_server liar
'

for lie in bit end short long nothing kind; do
	test_expect_success "a session that shows another handshake ($lie): killed, and nothing is granted" '
		liar lie:$lie && for i in 1 2; do test_must_fail within 30 consign whoami alice: || return 1; done &&
		soon "grep \"\\\"event\\\":\\\"lie\\\".*does not hold\" liar.audit" && grep "its proof is none" liar.log &&
		soon "grep \"\\\"event\\\":\\\"killed\\\",\\\"process\\\":\\\"session\\\"\" liar.audit" &&
		! grep "\"event\":\"grant\"" liar.audit && stop_server liar
	'
done

for lie in twice flood granted verdict vouch; do
	test_expect_success "a session that says what it may not ($lie): killed" '
		liar lie:$lie && for i in 1 2; do test_must_fail within 30 consign whoami alice: || return 1; done &&
		grep "error: session .* peer=.*: sent [A-Z]* to the master" liar.log &&
		soon "grep \"\\\"event\\\":\\\"killed\\\",\\\"process\\\":\\\"session\\\"\" liar.audit" && stop_server liar
	'
done

test_expect_success 'what is only text is only text' '
	liar lie:text && consign whoami alice: >who && grep alice who && consignd --config liar.conf --status >out && ! grep -a "$(printf "\033")" out liar.log &&
	test "$(grep -c "\"event\":\"grant\"" liar.audit)" = 1 && stop_server liar
'

# ---- an usher that dies ----

test_expect_success 'an usher that dies is replaced, and nobody notices' '
	conf "$CLIENT_CONF" alice port "$(sed -n "s/.*serving at .*:\([0-9]*\)$/\1/p" server.log | tail -n 1)" && consign whoami alice: &&
	usher=$(for child in $(pgrep -P "$(cat server.pid)"); do
		if grep -q consign-usher "/proc/$child/comm"; then echo "$child"; fi
	done) && test -n "$usher" && kill -KILL "$usher" && consign whoami alice: &&
	soon "grep \"\\\"event\\\":\\\"killed\\\",\\\"process\\\":\\\"usher\\\"\" server.audit"
'

test_done
