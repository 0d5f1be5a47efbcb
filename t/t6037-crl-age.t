#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the age of revocation lists: shown, said in time, and what it means that one ran out'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576

status() {
	within 20 consignd --config server.conf --status --json >out.json
}

# A CA of openssl's, with its key in a file: its lists can be of any time.
new_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=Site -days 30 \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out ca.pem &&
		mkdir db && : >db/index && echo 01 >db/number && cat >ca.cnf <<-END
			[ca]
			default_ca = it
			[it]
			database = $PWD/db/index
			crlnumber = $PWD/db/number
			certificate = $PWD/ca.pem
			private_key = $PWD/ca.key
			default_md = sha256
		END
}

# leaf NAME PURPOSE [EXTENSION]
leaf() {
	printf '%s\n' keyUsage=digitalSignature "extendedKeyUsage=$2" "${3:-basicConstraints=CA:FALSE}" >"$1.ext" &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$1" -out "$1.csr" &&
		chmod 600 "$1.key" && openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -set_serial "$(date +%s%N)" -days 20 \
			-extfile "$1.ext" -out "$1.pem"
}

# list SECONDS: a list whose next one is due so many seconds from now.
list() {
	faketime -f "$(($1 - 86400))s" openssl ca -config ca.cnf -gencrl -crldays 1 -out crl.new 2>/dev/null && mv crl.new crl.pem
}

# profile NAME: with that certificate, and a list of its own.
profile() {
	conf "$CLIENT_CONF" "$1" host 127.0.0.1 && conf "$CLIENT_CONF" "$1" port "$PORT" &&
		conf "$CLIENT_CONF" "$1" ca "$TRASH/ca.pem" && conf "$CLIENT_CONF" "$1" crl "$TRASH/client.crl" &&
		conf "$CLIENT_CONF" "$1" certificate "$TRASH/$1.pem" && conf "$CLIENT_CONF" "$1" key "$TRASH/$1.key"
}

# user NAME: a rule of the map, and a folder.
user() {
	mkdir -p "files/$1" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "files/$1"; } && conf map "$1" anchor site &&
		conf map "$1" subject "CN=$1" && conf map "$1" root "$TRASH/files/$1" && conf map "$1" rights all &&
		conf map "$1" account "$ACCOUNT"
}

# stale HOW: what the server makes of a stale list; an empty HOW: the default.
stale() {
	conf server.conf "anchor site" crl-stale "$1" && reload
}

reload() {
	count_=$(grep -c '"event":"reload"' server.audit || :) && kill -HUP "$SERVER_PID" &&
		soon "test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_" &&
		tail -n 5 server.audit | grep '"event":"reload","status":"OK"'
}

test_expect_success 'a site' '
	new_ca && openssl ca -config ca.cnf -gencrl -crldays 30 -out crl.pem 2>/dev/null && cp crl.pem client.crl && leaf server serverAuth subjectAltName=IP:127.0.0.1 &&
	leaf alice clientAuth && leaf bob clientAuth && user alice && user bob && mkdir -p "$(dirname "$CLIENT_CONF")" &&
	conf server.conf server listen 127.0.0.1:0 && conf server.conf server certificate server.pem &&
	conf server.conf server key server.key && conf server.conf server map map && conf server.conf server audit server.audit &&
	conf server.conf "anchor site" ca ca.pem && conf server.conf "anchor site" crl crl.pem && start_server && profile alice &&
	profile bob && echo text >f && consign -q put f alice:/f
'

test_expect_success 'number, dates and days left are in the status' '
	status && test "$(field crls.0.anchor)" = site && field crls.0.issuer | grep "^CN=Site" &&
	test "$((0x$(field crls.0.number)))" = "$((0x$(openssl crl -in crl.pem -noout -crlnumber | sed "s/.*=0x//; s/.*=//")))" &&
	test "$(field crls.0.next_update)" = "$(date -d "$(openssl crl -in crl.pem -noout -nextupdate | sed "s/.*=//")" +%s)" &&
	test "$(field crls.0.this_update)" = "$(date -d "$(openssl crl -in crl.pem -noout -lastupdate | sed "s/.*=//")" +%s)" &&
	left=$((($(field crls.0.next_update) - $(date +%s)) / 86400)) && days=$(field crls.0.days_left) &&
	test "$days" -ge $left && test "$days" -le $((left + 1)) && test "$(field crls.0.state)" = current &&
	test "$(field crls.1)" = - && consignd --config server.conf --status >out && grep "^crl site CN=Site.*days left, current" out
'

test_expect_success 'one that has days enough is not spoken of' '
	! grep "\"event\":\"crl\"" server.audit && ! grep "the revocation list of" server.log
'

test_expect_success 'one that runs out within crl-warn: said in log and audit log, once, however often it is loaded' '
	list 7200 && reload && soon "grep \"\\\"event\\\":\\\"crl\\\"\" server.audit" &&
	grep "\"event\":\"crl\",\"anchor\":\"site\",\"issuer\":\"CN=Site.*\"reason\":\"runs out on" server.audit &&
	grep "revocation list of CN=Site.* runs out on .*put a new one in its place" server.log &&
	reload && reload && status && test "$(grep -c "\"event\":\"crl\"" server.audit)" = 1 && consign -q put f alice:/f
'

test_expect_success 'another list, another word; crl-warn = 0 says nothing beforehand' '
	list 7300 && reload && soon "test \$(grep -c \"\\\"event\\\":\\\"crl\\\"\" server.audit) = 2" &&
	conf server.conf server crl-warn 0 && list 7400 && reload && conf server.conf server crl-warn 1h && list 7500 && reload &&
	status && test "$(grep -c "\"event\":\"crl\"" server.audit)" = 2 && conf server.conf server crl-warn ""
'

test_expect_success 'crl-stale: what it may be' '
	for bad in never "grace" "grace 0" "grace 2y" "graceful 1d" "warn 1d"; do
		cp server.conf bad.conf && conf bad.conf "anchor site" crl-stale "$bad" &&
		test_expect_code 78 consignd --config bad.conf --check 2>err && grep "crl-stale" err || return 1
	done
'

test_expect_success 'fail, which is the default: a stale list lets nobody in' '
	list -100 && reload && test_expect_code 77 consign put f alice:/f 2>err && grep "ran out on" err &&
	soon "grep \"\\\"event\\\":\\\"crl\\\".*nobody is let in\" server.audit" && status && test "$(field crls.0.state)" = stale &&
	test "$(field crls.0.days_left)" = -1 && stale fail && test_expect_code 77 consign put f alice:/f
'

test_expect_success 'grace: it lets in as long as that, and then no more' '
	stale "grace 1h" && consign -q put f alice:/f && grep "a revocation list has run out; it is obeyed all the same" server.log &&
	status && test "$(field crls.0.state)" = "stale, obeyed" && test "$(field crls.0.counts_until)" = \
		"$(($(field crls.0.next_update) + 3600))" && stale "grace 90s" && test_expect_code 77 consign put f alice:/f 2>err &&
	grep "ran out on" err
'

test_expect_success 'warn: it lets in, whatever its age; but not whom it names' '
	stale warn && consign -q put f alice:/f && status && test "$(field crls.0.counts_until)" = 0 && consign -q put f bob:/f &&
	openssl ca -config ca.cnf -revoke bob.pem 2>/dev/null && list -100 && reload && test_expect_code 77 consign put f bob:/f 2>err && grep "revoked on" err
'

# held SECONDS OUT: an upload that stands still while the list runs out.
held() {
	list "$1" && reload && relay_hold up "$(place $((9 * MIB)))" && { consign --json put big relayed:/live >"$2" 2>"$2.err" & } &&
		client=$! && relay_held && status && test "$(field sessions.0.user)" = alice
}

test_expect_success 'a list that runs out under a live transfer: fail cuts it' '
	stale fail && random_file big $((24 * MIB)) && start_relay && held 6 out &&
	! wait $client && grep "ran out on" out.err && soon "tail -n 5 server.audit | grep \"\\\"event\\\":\\\"end\\\".*ran out on\"" &&
	test "$(date +%s)" -ge "$(field crls.0.next_update)" && relay_do go
'

test_expect_success 'grace and warn let it go on' '
	stale warn && held 4 out && soon "sleep 0.1; status && test \"\$(field crls.0.state)\" = \"stale, obeyed\"" && relay_do go &&
	wait $client && same_file big files/alice/live && test "$(result kept out)" -ge $MIB &&
	rm files/alice/live && stale "grace 1h" && held 4 out && soon "sleep 0.1; status && test \"\$(field crls.0.state)\" = \"stale, obeyed\"" &&
	relay_do go && wait $client && same_file big files/alice/live && stop_relay
'

# ---- the client ----

test_expect_success 'the same in a profile, of the server and its list' '
	stale warn && list -100 && cp crl.pem client.crl && test_expect_code 77 consign whoami alice: 2>err &&
	grep "ran out on" err && conf "$CLIENT_CONF" alice crl-stale "grace 1h" && consign whoami alice: 2>err &&
	grep "a revocation list has run out; it is obeyed all the same" err && conf "$CLIENT_CONF" alice crl-stale "grace 90s" &&
	test_expect_code 77 consign whoami alice: && conf "$CLIENT_CONF" alice crl-stale warn && consign whoami alice: &&
	conf "$CLIENT_CONF" alice crl-stale fail && test_expect_code 77 consign whoami alice: &&
	conf "$CLIENT_CONF" alice crl-stale sometimes && test_expect_code 78 consign whoami alice: 2>err && grep crl-stale err
'

test_done
