#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='sessions that run are judged again: revoked, run out, map changed; what is cut goes on when it may again'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576

status() {
	within 20 consignd --config server.conf --status --json >out.json
}

# certificate NAME USER [OPTION...]: NAME.pem and its key in a file.
certificate() {
	to_=$1 user_=$2
	shift 2
	consign-pki issue client "CN=$user_,O=Site" --file-key --label "$to_" --pin "$SOFTHSM_PIN_FILE" \
		--out "$to_.pem" "$@" >"$to_.issued"
}

# shows PROFILE NAME: from now on the profile shows that certificate.
shows() {
	conf "$CLIENT_CONF" "$1" certificate "$TRASH/$2.pem" && conf "$CLIENT_CONF" "$1" key "$(key_of_ "$2.issued")"
}

revoke() {
	consign-pki revoke "$1.pem" --pin "$SOFTHSM_PIN_FILE" >/dev/null
}

reload() {
	count_=$(grep -c '"event":"reload"' server.audit || :) && kill -HUP "$SERVER_PID" &&
		soon "test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_"
}

# held OUT COMMAND...: starts it over the relay and waits until its content stands still there. $client is its pid.
held() {
	out_=$1
	shift
	relay_hold up "$(place $((9 * MIB)))" && { "$@" >"$out_" 2>"$out_.err" & } && client=$! && relay_held
}

# cut OUT STATUS REASON: it ended so, by itself, and the records say so.
cut() {
	wait $client
	code_=$?
	test $code_ -eq "$2" && grep "$3" "$1.err" && soon "tail -n 6 server.audit | grep '\"event\":\"end\".*$3'" &&
		grep "\"event\":\"cut\".*$3" server.audit && return
	echo "status $code_:" && cat "$1.err"
	return 1
}

# Another CA, with its key in a file, for what consign-pki does not issue.
other_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj /CN=Other -days 30 \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out other.pem &&
		conf server.conf "anchor other" ca other.pem && conf server.conf "anchor other" crl-policy if-present &&
		conf map short anchor other && conf map short subject CN=short && conf map short root "$TRASH/files/alice" &&
		conf map short account "$ACCOUNT" && conf map short rights all
}

test_expect_success 'a site, and certificates' '
	site_setup && certificate first alice && certificate second alice && certificate third alice &&
	certificate bobs bob && shows alice first && shows bob bobs &&
	other_ca && start_server && start_relay && random_file big $((24 * MIB)) && random_file huge $((64 * MIB)) && truncate -s 4G huge
'

test_expect_success 'a certificate that is revoked: a live upload of 4 GiB is cut, in words' '
	relay_do "rate $((6 * MIB))" && { consign --json put -j 1 huge relayed:/huge >out 2>out.err & } && client=$! &&
	soon "sleep 0.1; status && test \$(field sessions.0.transfer.total) = 4294967296 &&
		test \$(field sessions.0.transfer.moved) -gt $((4 * MIB))" &&
	revoke first && began=$(date +%s%N) && reload && cut out 77 "revoked on" &&
	echo "after $((($(date +%s%N) - began) / 1000000)) ms" && relay_do "rate 0" && test ! -e files/alice/huge &&
	test -n "$(parts files/alice)" && status && test "$(field reload.cut)" = 1 && test "$(field reload.killed)" = 0
'

test_expect_success 'under it nobody comes in any more; under a renewed one the upload goes on where it was' '
	test_expect_code 77 consign put huge alice:/huge 2>err && grep "revoked on" err && shows alice second &&
	shows relayed second && within 120 consign --json put huge alice:/huge >out &&
	moved=$(result moved out) && echo "moved $moved" && test "$moved" -le $((61 * MIB)) && test "$(result kept out)" -ge $MIB &&
	test "$(stat -c %s files/alice/huge)" = 4294967296 && cmp -n $((65 * MIB)) huge files/alice/huge
'

test_expect_success 'nothing changed for a transfer: it goes on, over the same connection' '
	held out consign --json put big relayed:/same && status && before=$(field reload.judged) && reload &&
	soon "sleep 0.1; status && test \$(field reload.judged) -gt $before" && relay_do go && wait $client &&
	test "$(result moved out)" = $((24 * MIB)) && same_file big files/alice/same
'

test_expect_success 'so it does when limits have changed, and when there are rights more' '
	conf map alice rights "list read create overwrite delete rename" && reload && held out consign --json put big relayed:/more &&
	conf map alice rights "list read create overwrite delete rename mkdir" && conf map alice rate 200M &&
	conf map alice sessions 3 && status && before=$(field reload.judged) && reload &&
	soon "sleep 0.1; status && test \$(field reload.judged) -gt $before" && relay_do go && wait $client && same_file big files/alice/more
'

test_expect_success 'a right that is taken away: cut, to connect again; and refused then, with the right reason' '
	held out consign --json put big relayed:/less && conf map alice rights "list read delete rename mkdir" && reload &&
	cut out 75 "fewer rights now: connect again" && relay_do go &&
	test_expect_code 77 consign put big alice:/less 2>err && grep "create" err && test ! -e files/alice/less &&
	conf map alice rights "list read create overwrite delete rename mkdir" && reload &&
	consign --json put big alice:/less >out && test "$(result kept out)" -ge $MIB && same_file big files/alice/less
'

test_expect_success 'another folder: cut' '
	mkdir files/other && { test -z "$ACCOUNT" || chown "$ACCOUNT:" files/other; } &&
	held out consign --json put big relayed:/moved && conf map alice root "$TRASH/files/other" && reload &&
	cut out 75 "folders are others now" && relay_do go && conf map alice root "$TRASH/files/alice" && reload
'

test_expect_success 'the rule is gone: cut; nobody else is hit' '
	cp map all && cat >>"$CLIENT_CONF" <<-END && shows bobs bobs &&
		[bobs]
		host = 127.0.0.1
		port = $RELAY_PORT
		ca = $TRASH/ca/ca.pem
		crl = $TRASH/ca/crl.pem
	END
	held kept consign put big bobs:/kept && bob=$client && held out consign --json put big relayed:/gone &&
	awk "/^\[/ { out = (\$0 == \"[alice]\") } !out" all >map.new && mv map.new map && reload &&
	cut out 77 "no rule of the map" && relay_do go && wait $bob && same_file big files/bob/kept &&
	test_expect_code 77 consign whoami alice: && cp all map.new && mv map.new map && reload
'

test_expect_success 'a map that is broken changes nothing: the upload goes on' '
	held out consign --json put big relayed:/broken && cp map good && echo nonsense >>map && reload &&
	tail -n 5 server.audit | grep "\"event\":\"reload\",\"status\":\"CONFIG\"" && relay_do go && wait $client &&
	same_file big files/alice/broken && mv good map && reload
'

test_expect_success 'a download is cut likewise, and resumed under the renewed certificate' '
	mkdir -p down && relay_do "rate $((6 * MIB))" && relay_do "buffer 262144" &&
	{ consign --json get relayed:/same down/ >out 2>out.err & } && client=$! &&
	soon "sleep 0.1; status && test \$(field sessions.0.transfer.done) -ge $((8 * MIB))" && revoke second && reload &&
	cut out 77 "revoked on" && relay_do "rate 0" && relay_do "buffer 4194304" && test ! -e down/same && shows alice third && shows relayed third &&
	consign --json get alice:/same down/ >out && test "$(result moved out)" -lt $((24 * MIB)) && same_file big down/same
'

test_expect_success 'a connection at rest, and one whose request is answered, hear why' '
	certificate fourth alice && key=$(key_of_ fourth.issued) &&
	{ python3 "$SOURCE/t/rawclient.py" "$PORT" fourth.pem "$key" WAIT HELLO "PING id=7" WAIT "WAIT ERROR" \
		>raw 2>&1 & } && client=$! && soon "grep DONE raw" && revoke fourth && reload && wait $client &&
	grep "^ERROR AUTH.*revoked on" raw && grep "^EOF" raw
'

test_expect_success 'the certificate runs out during the transfer: cut' '
	ends=$(($(date +%s) + 6)) && printf "%s\n" keyUsage=digitalSignature extendedKeyUsage=clientAuth >short.ext &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout short.key -subj /CN=short -out short.csr &&
	chmod 600 short.key && faketime -f "-86394s" openssl x509 -req -in short.csr -CA other.pem -CAkey other.key \
		-set_serial 2 -days 1 -extfile short.ext -out short.pem && openssl x509 -in short.pem -noout -enddate &&
	echo "key $PWD/short.key" >short.issued && shows relayed short && held out consign --json put big relayed:/late && cut out 77 "expired on" &&
	test "$(date +%s)" -ge $ends && relay_do go && openssl x509 -req -in short.csr -CA other.pem -CAkey other.key \
		-set_serial 3 -days 20 -extfile short.ext -out short.pem &&
	consign --json put big relayed:/late >out && shows relayed third && test "$(result kept out)" -ge $MIB && same_file big files/alice/late
'

test_expect_success 'a session that does not obey is killed, and its store with it' '
	held out consign --json put big relayed:/stubborn && status && session=$(field sessions.0.pid) && kill -STOP "$session" &&
	cp map all && awk "/^\[/ { out = (\$0 == \"[alice]\") } !out" all >map.new && mv map.new map && reload &&
	soon "! kill -0 $session" && grep "killed: it did not end" server.log && status && test "$(field reload.killed)" = 1 &&
	test "$(field sessions.0)" = - && ! wait $client && mv all map && reload && relay_do go
'

test_expect_success 'no judge had to be helped' '
	! grep "could not begin\|could not be judged\|for want of a process" server.log && stop_relay
'

test_done
