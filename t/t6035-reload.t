#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='files that change are noticed: map, lists, certificate and key; half a change changes nothing'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576

status() {
	within 20 consignd --config server.conf --status --json >out.json
}

# loads STATUS: how many reloads of that status there were.
loads() {
	grep -c "\"event\":\"reload\",\"status\":\"$1\"" server.audit
}

# noticed STATUS COMMAND...: after it there is one more, without a signal.
noticed() {
	wanted_=$1 count_=$(loads "$1")
	shift
	"$@" && soon "sleep 0.1; test \$(loads $wanted_) -gt $count_"
}

# into FILE FROM: replaces it at once, as one should.
into() {
	cp "$2" "$1.new" && chmod 600 "$1.new" && mv "$1.new" "$1"
}

pair() { # NAME
	consign-pki issue server localhost 127.0.0.1 --file-key --label "$1" --pin "$SOFTHSM_PIN_FILE" --out "$1.pem" >"$1.issued" &&
		cp "$(key_of_ "$1.issued")" "$1.pair" && chmod 600 "$1.pair"
}

serial() {
	openssl x509 -noout -serial -in "$1"
}

# What the server shows to whoever connects.
shown() {
	openssl s_client -connect "127.0.0.1:$PORT" -tls1_3 -alpn consign/1 </dev/null 2>/dev/null | openssl x509 -noout -serial
}

keeper() {
	for child_ in $(pgrep -P "$SERVER_PID"); do
		if grep -qa -e --keeper "/proc/$child_/cmdline"; then echo "$child_"; fi
	done
}

test_expect_success 'a site whose server has its key in a file' '
	site_setup && file_key alice && file_key bob && pair old && pair new && into live.pem old.pem && into live.key old.pair &&
	conf server.conf server certificate live.pem && conf server.conf server key live.key &&
	start_server && start_relay && random_file big $((24 * MIB)) && random_file long $((96 * MIB)) && echo text >f && consign -q put f alice:/f &&
	test "$(shown)" = "$(serial old.pem)"
'

test_expect_success 'a map that was replaced' '
	noticed OK conf map alice rights "list read" && test_expect_code 77 consign -q put f alice:/g &&
	noticed OK conf map alice rights "list read create overwrite delete rename mkdir" && consign -q put f alice:/g
'

test_expect_success 'a broken map changes nothing, and is said in log, audit log and status until it is mended' '
	cp map good && echo nonsense >map.new && noticed CONFIG mv map.new map && grep "reload failed: everything stays" server.log &&
	consign -q put f alice:/h && status && test "$(field reload.failed)" != 0 && field reload.reason | grep "map:1" &&
	consignd --config server.conf --status >out && grep "failed since.*map:1" out &&
	noticed OK mv good map && status && test "$(field reload.failed)" = 0
'

test_expect_success 'a revocation list that was replaced: no transfer notices, nor does the keeper' '
	before=$(keeper) && test -n "$before" && relay_hold up $(place $((9 * MIB))) &&
	{ consign --json put big relayed:/during >out & } && client=$! && relay_held && status && served=$(field served) &&
	judged=$(field reload.judged) &&
	noticed OK sh -c "consign-pki crl --pin $SOFTHSM_PIN_FILE" && soon "sleep 0.1; status && test \$(field reload.judged) -gt $judged" &&
	relay_do go && wait $client && same_file big files/alice/during && test "$(result moved out)" = $((24 * MIB)) &&
	status && test "$(field served)" = "$served" && test "$(keeper)" = "$before" && test "$(field reload.cut)" = 0
'

test_expect_success 'the certificate without its key: the old pair goes on, and it is said' '
	noticed CONFIG into live.pem new.pem && test "$(shown)" = "$(serial old.pem)" && consign -q put f alice:/i && status &&
	field reload.reason | grep "certificate and key:.*does not belong" && grep "last good pair goes on" server.log
'

test_expect_success 'then its key: the new pair, in a transfer that runs all the time' '
	relay_hold up $(place $((9 * MIB))) && { consign --json put big relayed:/pair >out & } && client=$! && relay_held &&
	noticed OK into live.key new.pair && soon "test \"\$(shown)\" = \"\$(serial new.pem)\"" && consign -q put f alice:/j &&
	relay_do go && wait $client && same_file big files/alice/pair && test "$(result moved out)" = $((24 * MIB)) &&
	status && test "$(field reload.failed)" = 0
'

test_expect_success 'the key first, then the certificate' '
	noticed OK into live.key old.pair && test "$(shown)" = "$(serial new.pem)" && consign -q put f alice:/k &&
	noticed OK into live.pem old.pem && soon "test \"\$(shown)\" = \"\$(serial old.pem)\"" && consign -q put f alice:/l
'

test_expect_success 'half a certificate, and none' '
	head -c 300 new.pem >half.pem && noticed CONFIG into live.pem half.pem && test "$(shown)" = "$(serial old.pem)" &&
	noticed CONFIG rm live.pem && test "$(shown)" = "$(serial old.pem)" && consign -q put f alice:/m &&
	noticed OK into live.pem old.pem && test "$(shown)" = "$(serial old.pem)"
'

test_expect_success 'a pair that does not fit is no reason to end, not even when the keeper dies meanwhile' '
	noticed CONFIG into live.pem new.pem && kill -KILL "$(keeper | tail -n 1)" && soon "grep \"keeper .* is gone\" server.log" &&
	noticed OK into live.key new.pair && soon "test \"\$(shown)\" = \"\$(serial new.pem)\"" && consign -q put f alice:/n
'

# ---- the client ----

test_expect_success 'a new connection of a transfer that runs shows the certificate as it is by then' '
	consign-pki issue client "CN=alice,O=Site" --file-key --label renewed --pin "$SOFTHSM_PIN_FILE" --out renewed.pem >renewed.issued &&
	was=$(serial alice-file.pem | sed "s/serial=//") && is=$(serial renewed.pem | sed "s/serial=//") &&
	relay_do stats && first=$(($(wc -l <relay.stats) + 1)) && relay_do "stall $((first + 1)) up $((3 * MIB)) ever" &&
	relay_do "rate $((20 * MIB))" && { consign --json put -j 2 long relayed:/two >out 2>err & } && client=$! &&
	soon "sleep 0.1; test \$(relay_count $((first + 1)) up) -ge $((3 * MIB))" &&
	into "$(key_of_ alice.issued)" "$(key_of_ renewed.issued)" && into alice-file.pem renewed.pem &&
	relay_do "cut $((first + 1)) now rst" && wait $client && same_file long files/alice/two &&
	test "$(tail -n 20 server.audit | grep -ic "\"event\":\"login\".*\"serial\":\"0*$was\"")" -ge 2 &&
	tail -n 20 server.audit | grep -i "\"event\":\"login\".*\"serial\":\"0*$is\"" && relay_do "rate 0"
'

test_expect_success 'one whose key is not there yet: the last good goes on, with a warning' '
	consign-pki issue client "CN=alice,O=Site" --file-key --label third --pin "$SOFTHSM_PIN_FILE" --out third.pem >third.issued &&
	relay_do stats && first=$(($(wc -l <relay.stats) + 1)) && relay_do "stall $((first + 1)) up $((3 * MIB)) ever" &&
	relay_do "rate $((20 * MIB))" && { consign --json put -j 2 long relayed:/three >out 2>err & } && client=$! &&
	soon "sleep 0.1; test \$(relay_count $((first + 1)) up) -ge $((3 * MIB))" && into alice-file.pem third.pem &&
	relay_do "cut $((first + 1)) now rst" && wait $client && same_file long files/alice/three &&
	grep "certificate or key changed, but.*last good" err && relay_do "rate 0" && stop_relay
'

test_done
