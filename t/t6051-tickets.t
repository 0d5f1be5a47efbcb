#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='resumed sessions are let in as strictly as others, and their tickets are nowhere but in memory'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/tickets.sh
. "$SOURCE/t/tickets.sh"

# logins KIND: how many of the server's were so; others [FILE]: of another server.
logins() {
	grep '"event":"login"' "${2:-server.audit}" | grep -c "\"handshake\":\"$1\"" || :
}

test_expect_success 'a site whose users have keys in files' '
	site_setup && file_key alice && file_key bob && random_file source 70000000 && start_server
'

test_expect_success 'without being told to, a server gives no tickets' '
	peer alice -sess_out t0 && was full && told "consignd/" && ! told "New Session Ticket arrived" && test ! -e t0 &&
	within 60 consign -q put -j 4 source alice:/f && test "$(logins resumed)" = 0 &&
	consignd --config server.conf --status --json >status && grep "\"tickets\":\"off\"" status
'

test_expect_success 'a key for them that is no token key, or not there, is refused at the start' '
	conf server.conf server tickets yes && conf server.conf server ticket-key "pkcs11:token=server;object=missing;type=secret-key" &&
	stop_server && ! start_server && grep "no such token or object" server.log &&
	conf server.conf server ticket-key /some/file && test_must_fail consignd --config server.conf --check 2>err && grep "ticket-key" err &&
	conf server.conf server ticket-key "$(key_of_ server.issued)" && ! start_server && grep "no secret key" server.log
'

test_expect_success 'with fips = require there are none' '
	conf server.conf server fips require && test_must_fail consignd --config server.conf --check 2>err &&
	grep "tickets = yes, and fips = require: GnuTLS derives the keys of tickets by SHA3-512" err && ! start_server && conf server.conf server fips ""
'

test_expect_success 'one that can be read out is refused, too' '
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label server --login --pin 2468 --keygen --key-type GENERIC:64 --label open \
		--extractable --usage-sign >/dev/null &&
	conf server.conf server ticket-key "pkcs11:token=server;object=open;type=secret-key" && ! start_server &&
	grep "can be read out of its token" server.log
'

test_expect_success 'with a key in the token they are given, and taken' '
	hmac_key server tickets >url && conf server.conf server ticket-key "$(cat url)" && start_server &&
	peer alice -sess_out t1 && was full && told "consignd/" && told "New Session Ticket arrived" && test -s t1 &&
	peer alice -sess_in t1 && was resumed && told "consignd/.*alice" &&
	test "$(logins full)" -ge 1 && test "$(logins resumed)" = 1 &&
	consignd --config server.conf --status --json >status && grep "\"tickets\":\"token\"" status && grep "\"resumed\":1" status &&
	consignd --config server.conf --status >status && grep "1 resumed" status
'

test_expect_success 'with fips = report it is said that their keys are not approved' '
	conf server.conf server fips report && reload && peer alice -sess_in t1 && was resumed && told "consignd/.*alice" &&
	grep "\"handshake\":\"resumed\",\"fips\":\"report\",\"not_approved\":\".*derivation of the keys of tickets" server.audit &&
	conf server.conf server fips "" && reload
'

test_expect_success 'always with a new key exchange, never with early data' '
	peer alice -sess_in t1 -allow_no_dhe_kex && was resumed && told "Server Temp Key" &&
	told "Max Early Data: 0" && echo early >early && peer alice -sess_in t1 -early_data early && told "Early data was not sent"
'

test_expect_success "gnutls's client resumes, too" '
	: >gnutls.out && { within 15 sh -c "until grep -aq \"This is a resumed session\" gnutls.out; do sleep 0.1; done" | within 20 gnutls-cli --resume --waitresumption --port "$PORT" --alpn consign/1 --x509cafile ca/ca.pem \
		--x509certfile alice-file.pem --x509keyfile "$(key_of_ alice.issued)" 127.0.0.1 >gnutls.out 2>gnutls.err || :; } && cat gnutls.out gnutls.err &&
	grep -a "This is a resumed session" gnutls.out
'

# ---- our client ----

test_expect_success 'several connections of one command cost one handshake with signatures' '
	for what in "put source alice:/f" "get alice:/f back"; do
		full=$(logins full) &&
		# shellcheck disable=SC2086
		within 60 consign -q ${what%% *} -j 4 ${what#* } && test "$(logins full)" = $((full + 1)) || return 1
	done && test "$(logins resumed)" -ge 4 && same_file source back && same_file source files/alice/f
'

test_expect_success 'and those of a tree' '
	mkdir tree && for i in $(seq 40); do echo "$i" >tree/$i; done &&
	full=$(logins full) && within 60 consign -q put -r -j 4 tree alice:/ && test "$(logins full)" = $((full + 1)) && diff -r tree files/alice/tree
'

test_expect_success 'unless it is told not to' '
	conf "$CLIENT_CONF" alice tickets no && resumed=$(logins resumed) && within 60 consign -q put -j 4 source alice:/g &&
	test "$(logins resumed)" = "$resumed" && conf "$CLIENT_CONF" alice tickets ""
'

test_expect_success 'what is said of a connection: full or resumed' '
	consign --json whoami alice: >who && grep "\"handshake\":\"full\"" who &&
	consign -v put -j 3 source alice:/h 2>err && grep "full handshake" err && grep "session .* resumed" err
'

# ---- as strictly as others ----

test_expect_success 'a ticket from before a revocation is refused after it' '
	peer alice -sess_in t1 && was resumed && told "consignd/" &&
	consign-pki revoke "$(sed -n "s/^serial  *//p" alice.issued)" --dir ca --pin "$SOFTHSM_PIN_FILE" &&
	consign-pki crl --dir ca --pin "$SOFTHSM_PIN_FILE" && reload &&
	peer alice -sess_in t1 && was resumed && told "revoked on" && ! told "consignd/" && ! told "New Session Ticket arrived" &&
	grep "\"event\":\"refused\".*\"handshake\":\"resumed\".*revoked on" server.audit
'

test_expect_success 'one from before a change of the map, by the new map' '
	peer bob -sess_out t2 && told "consignd/.*bob" && cp map map.kept && conf map bob rights "list" && reload &&
	peer bob -sess_in t2 && was resumed && told "/: list" && ! told "list read" &&
	conf map bob subject "CN=somebody,O=Site" && reload &&
	peer bob -sess_in t2 && was resumed && told "no rule of the map" && ! told "consignd/" && cp map.kept map && reload
'

test_expect_success 'one whose anchor is trusted no more' '
	peer bob -sess_in t2 && was resumed && told "consignd/" && cp server.conf server.kept &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj /CN=other -out other.pem 2>/dev/null &&
	conf server.conf "anchor site" ca other.pem && conf server.conf "anchor site" crl "" && conf server.conf "anchor site" crl-policy if-present &&
	reload && peer bob -sess_in t2 && was resumed && told "issued by no trusted CA" && cp server.kept server.conf && reload
'

# ---- keys ----

test_expect_success 'two servers with one key in the token take each others tickets, and go on after a restart' '
	site_server second && cp second.conf other.conf && conf second.conf server certificate server.pem &&
	conf second.conf server key "$(key_of_ server.issued)" &&
	conf second.conf server tickets yes && conf second.conf server ticket-key "$(cat url)" &&
	peer bob -sess_out t3 && was full && first=$PORT && start_server second && peer bob -sess_in t3 && was resumed && told "consignd/.*bob" &&
	peer bob -sess_out t4 && was full && PORT=$first && peer bob -sess_in t4 && was resumed && told "consignd/.*bob" &&
	restart_server && peer bob -sess_in t4 && was resumed && told "consignd/.*bob"
'

test_expect_success 'with another key for tickets, with epochs of another length or with none they do not: a full handshake follows' '
	first=$PORT && for how in "ticket-key $(hmac_key second tickets)" "ticket-epoch 7h" "ticket-key"; do
		conf second.conf server ticket-key "$(cat url)" && conf second.conf server ticket-epoch "" &&
		conf second.conf server "${how%% *}" "$(echo "$how" | sed -n "s/^[^ ]* //p")" && restart_server second &&
		peer bob -sess_in t4 && was full && told "consignd/.*bob" || return 1
	done && PORT=$first && SERVER_PID=$(cat server.pid)
'

test_expect_success 'nor does a server whose own key is another' '
	first=$PORT && conf other.conf server tickets yes && conf other.conf server ticket-key "$(cat url)" &&
	conf other.conf server audit other.audit && start_server other && peer bob -sess_in t4 && was full &&
	told "consignd/.*bob" && stop_server other && PORT=$first && SERVER_PID=$(cat server.pid)
'

# tickets_are STATE: waits until the status says so
tickets_are() {
	within 20 sh -c "until consignd --config server.conf --status --json | grep '\"tickets\":\"$1\"'; do sleep 0.1; done"
}

test_expect_success 'a reload that changes how their keys are made ends those from before' '
	peer bob -sess_in t4 && was resumed && conf server.conf server ticket-key "" && reload && tickets_are own &&
	peer bob -sess_in t4 && was full && told "consignd/.*bob" &&
	conf server.conf server ticket-key "$(cat url)" && reload && tickets_are token && peer bob -sess_in t4 && was resumed
'

test_expect_success 'a server without a key in a token makes its own, which a reload leaves and a restart ends' '
	stop_server second && conf server.conf server ticket-key "" && restart_server && peer bob -sess_out t5 && was full &&
	peer bob -sess_in t5 && was resumed && reload && peer bob -sess_in t5 && was resumed && told "consignd/" &&
	consignd --config server.conf --status --json >status && grep "\"tickets\":\"own\"" status &&
	restart_server && peer bob -sess_in t5 && was full && told "consignd/"
'

test_expect_success 'an epoch ends, and its tickets with it' '
	conf server.conf server ticket-epoch 3s && conf server.conf server ticket-key "$(cat url)" && restart_server &&
	peer bob -sess_out t6 && was full && epoch=$(($(date +%s) / 3)) && test -s t6 &&
	until test $(($(date +%s) / 3)) -gt $epoch; do sleep 0.1; done &&
	peer bob -sess_in t6 -sess_out t7 && was full && told "consignd/" && test -s t7 &&
	conf server.conf server ticket-epoch "" && restart_server
'

# All processes of the keeper stand still: nothing can be signed.
keepers() {
	for pid_ in $(pgrep -P "$SERVER_PID"); do
		if grep -qa -e --keeper "/proc/$pid_/cmdline"; then
			echo "$pid_" && { pgrep -P "$pid_" || :; }
		fi
	done
}

test_expect_success 'what is resumed needs nobody who signs' '
	peer bob -sess_out t8 && was full && keepers >pids && test -s pids &&
	while read -r pid; do kill -STOP "$pid" || return 1; done <pids &&
	peer bob -sess_in t8 && was resumed && told "consignd/" &&
	while read -r pid; do kill -CONT "$pid" || return 1; done <pids && peer bob && was full && told "consignd/"
'

# ---- nowhere but in memory ----

test_expect_success 'neither tickets nor their keys are in any file' '
	touch mark && sleep 0.05 && within 60 consign -v put -j 4 source bob:/f 2>err && cat err && grep resumed err &&
	find . -newer mark -type f ! -path "./files/*" ! -name "server.*" ! -name err ! -name written ! -path "./softhsm/*" >written && cat written &&
	test_must_be_empty written &&
	length=28800 && epoch=$(($(date +%s) / length)) &&
	spki=$(openssl x509 -in server.pem -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -c1-64) &&
	perl -e "print pack q(a*xH*Q>L>), q(consign ticket key 2), q($spki), $epoch, $length" >text &&
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label server --login --pin 2468 --sign -m SHA512-HMAC --label tickets \
		--input-file text --output-file derived >/dev/null && test "$(wc -c <derived)" = 64 &&
	perl -0777 -e "\$key = <>; print unpack q(H*), \$key" derived >derived.hex && mkdir kept && mv derived derived.hex kept &&
	find . -type f ! -path "./kept/*" -print0 | xargs -0 perl -0777 -e "
		open F, q(kept/derived); \$key = <F>; \$hex = unpack q(H*), \$key;
		while (<>) { print qq(\$ARGV\n) if index(\$_, \$key) >= 0 || index(lc, \$hex) >= 0 }" >found &&
	test_must_be_empty found
'

# ---- clocks ----

fake=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
# AddressSanitizer has to be loaded before anything else.
test -z "$fake" || ldd "$BUILD/consignd" | grep -q asan || test_set_prereq FAKETIME

# at SECONDS COMMAND...: runs it so many seconds after now.
at() {
	LD_PRELOAD=$fake FAKETIME="+$1" FAKETIME_DONT_FAKE_MONOTONIC=1
	export LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
	shift && "$@"
	code_=$?
	unset LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
	return $code_
}

DAY=86400
# An epoch of three days, and the moment it begins; tickets are good for a day.
test_expect_success FAKETIME 'a ticket past the end of its certificate is refused; in the last third of an epoch before it none is given' '
	conf server.conf server ticket-epoch 3d && start=$((3 * DAY - $(date +%s) % (3 * DAY) + 60)) &&
	rm -f bob-file.pem bob.key && at $start consign-pki issue client CN=bob,O=Site --file-key --days 2 --pin "$SOFTHSM_PIN_FILE" --out bob-file.pem >bob.issued &&
	stop_server && at $start start_server && peer bob -sess_out t9 && was full && told "consignd/" && test -s t9 &&
	stop_server && at $((start + DAY + 7200)) start_server &&
	peer bob -sess_in t9 && told "consignd/" && ! told "New Session Ticket arrived" &&
	stop_server && at $((start + 2 * DAY + 7200)) start_server &&
	peer bob -sess_in t9 && told "expired on" && ! told "consignd/" && ! told "New Session Ticket arrived"
'

test_done
