#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='no PIN and no private key in any log, output, command line or environment'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"

PIN=97531864
WRONG=86420975

# Everything that was printed or written for people, and what every process shows of itself.
gather() {
	for pid_ in $SERVER_PID $(pgrep -P "$SERVER_PID"); do
		tr '\0' '\n' <"/proc/$pid_/cmdline" && tr '\0' '\n' <"/proc/$pid_/environ"
	done >>processes 2>&1
}

test_expect_success 'a site whose PIN is not found by chance, and a server with its key in a file' '
	site_setup && echo $PIN >new-pin && chmod 600 new-pin &&
	softhsm2-util --init-token --free --label secret --pin $PIN --so-pin 13579 >/dev/null &&
	consign-pki issue client CN=carol,O=Site --pin "$SOFTHSM_PIN_FILE" --token secret --key-pin new-pin --label carol \
		--out carol.pem >carol.out 2>&1 &&
	consign-pki issue server localhost 127.0.0.1 --pin "$SOFTHSM_PIN_FILE" --file-key --out file.pem >file.out 2>&1 &&
	key=$(ls *.key) && grep -q "PRIVATE KEY" "$key" && conf server.conf server certificate file.pem &&
	conf server.conf server key "$key" && conf map carol anchor site && conf map carol subject "CN=carol,O=Site" &&
	mkdir files/carol && { test -z "$ACCOUNT" || chown "$ACCOUNT:" files/carol; } &&
	conf map carol root "$TRASH/files/carol" && conf map carol rights all && conf map carol account "$ACCOUNT" &&
	start_server && for k in host ca crl module; do
		conf "$CLIENT_CONF" carol $k "$(sed -n "s/^$k *= *//p" "$CLIENT_CONF" | head -n 1)" || return 1
	done &&
	conf "$CLIENT_CONF" carol port "$PORT" && conf "$CLIENT_CONF" carol certificate "$TRASH/carol.pem" &&
	conf "$CLIENT_CONF" carol key "pkcs11:token=secret;object=carol;type=private" &&
	conf "$CLIENT_CONF" carol pin "$TRASH/new-pin"
'

live() {
	echo text >f && consign -v put f carol:/f && consign -v --json get carol:/f g && gather &&
		! consign -v get carol:/none g && echo $WRONG >wrong && chmod 600 wrong &&
		conf "$CLIENT_CONF" carol pin "$TRASH/wrong" && test_expect_code 78 consign -v put f carol:/f &&
		test_expect_code 78 consign-pki issue client CN=x --pin wrong --out x.pem &&
		conf "$CLIENT_CONF" carol pin "$TRASH/new-pin" && consign -v put f carol:/f &&
		kill -HUP "$SERVER_PID" &&
		within 15 sh -c "until grep -q reload server.audit; do :; done" &&
		consign-pki token list --token site --pin "$SOFTHSM_PIN_FILE" && consign-pki show carol.pem
}

test_expect_success 'a life: right PIN, wrong PIN, errors, everything said' '
	live >life 2>&1
'

test_expect_success 'the wrong PIN was tried once and said to be refused' '
	grep -i "PIN" life && test "$(grep -ci "refused\|wrong" life)" -ge 1
'

test_expect_success 'the server that is given a wrong PIN does not start: status 78, one attempt' '
	cp server.conf bad.conf && conf bad.conf server listen 127.0.0.1:0 &&
	conf bad.conf server certificate server.pem &&
	conf bad.conf server key "$(sed -n "s/.*\(pkcs11:[^ ]*type=private\).*/\1/p" server.issued | head -n 1)" &&
	conf bad.conf server pin wrong && conf bad.conf server audit bad.audit &&
	test_expect_code 78 within 20 consignd --config bad.conf >bad.out 2>&1 && cat bad.out && grep -i pin bad.out &&
	softhsm2-util --show-slots >slots && ! grep -i "locked" slots &&
	conf bad.conf server pin "$SOFTHSM_PIN_FILE" && start_server bad && stop_server bad
'

test_expect_success 'no PIN anywhere' '
	test -s processes && test -s server.log && test -s server.audit && test -s life &&
	for word in $PIN $WRONG 13579 2468; do
		! grep -n -w $word life carol.out file.out *.log *.audit processes bad.out || return 1
	done
'

test_expect_success 'no private key anywhere: neither as PEM nor as its bytes' '
	! grep -n "PRIVATE KEY" life carol.out file.out *.log *.audit processes bad.out &&
	openssl pkey -in "$(ls *.key)" -text -noout | sed -n "/^priv:/,/^pub:/p" | tr -d " :\n" |
		sed "s/priv//; s/pub//; s/^00//" >hex && test "$(wc -c <hex)" -ge 60 &&
	! grep -i -F -f hex life carol.out file.out *.log *.audit processes bad.out &&
	sed "/-----/d" "$(ls *.key)" | head -n 1 >base64 && test -s base64 &&
	! grep -F -f base64 life carol.out file.out *.log *.audit processes bad.out
'

test_done
