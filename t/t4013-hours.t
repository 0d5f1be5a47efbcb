#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='hours and networks: who may come when and from where; a session that runs ends with its hours'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

# not_now NAME TOLD WHY: refused, with a status and words of its own.
not_now() {
	test_expect_code 77 within 30 consign whoami "$1:" 2>err && grep "refused us: $2 (session " err &&
		grep "\"event\":\"refused\",\"status\":\"DENIED\".*\"reason\":\".*$3" server.audit
}

test_expect_success 'a site, and whose hours are over' '
	site_setup && file_key alice && file_key bob && conf map alice hours "00:00-24:00 UTC" && start_server &&
	within 30 consign whoami alice: && yesterday=$(LC_ALL=C date -u -d "12 hours ago 12 hours ago" +%a) &&
	conf map alice hours "$yesterday 00:00-24:00 UTC" && reload &&
	not_now alice "this user may not connect at this hour" "user alice: not at this hour"
'

test_expect_success 'the next rule is not tried: it would be another user' '
	cat >>map <<-END && reload &&
		[anyone]
		anchor = site
		subject = CN=*,O=Site
		root = $TRASH/files/bob
		rights = list
		${ACCOUNT:+account = $ACCOUNT}
	END
	not_now alice "this user may not connect at this hour" "user alice: not at this hour"
'

test_expect_success '--explain tells of any time, and until when' '
	conf map alice hours "Mon-Fri 06:00-22:00, Sat 08:00-12:00 UTC" &&
	at() { when_=$1 && shift && explained "$1" alice-file.pem list / --at "$when_"; } &&
	day=$(date -u -d "next monday" +%Y-%m-%d) && at ${day}T05:59:59Z 77 && grep "^told: this user may not connect at this hour" explained &&
	grep "rule alice (map line 1): matches, but not at this hour" explained && grep "^user: alice: refused" explained &&
	at ${day}T06:00:00Z 0 && grep "^hours: until ${day}T21:59:59Z" explained && at ${day}T22:00:00Z 77 &&
	explained 64 alice-file.pem list / --at monday && explained 64 alice-file.pem list / --at 2026-11-25 &&
	at 2020-01-01T00:00:00Z 77 && grep "not valid before" explained
'

test_expect_success 'hours that are none are refused with the whole map' '
	cp map good.map && for h in always "06:00-22:00" "Mon-Fri 6:00-22:00 UTC" "06:00-06:00 UTC" "Mon-Fry 06:00-22:00 UTC"; do
		conf map alice hours "$h" && reload_fails "\[alice\] hours: " || return 1
	done && cp good.map map && reload
'

# ---- networks ----

test_expect_success 'networks: the address of the peer, IPv4 in IPv6 as well' '
	conf map alice hours "" && conf map alice networks "127.0.0.0/8 2001:db8::/32" && reload && within 30 consign whoami alice: &&
	conf map alice networks "192.0.2.0/24 ::/0" && reload &&
	not_now alice "this user may not connect from this address" "user alice: not from this address" &&
	for a in "192.0.2.7|0" "::ffff:192.0.2.7|0" "192.0.3.7|77" "2001:db8::1|0" "::1|0" "nobody|64" "10.0.0.0/8|64"; do
		explained "${a#*|}" alice-file.pem list / --from "${a%|*}" || return 1
	done && explained 77 alice-file.pem list / && grep "no address is known" explained
'

test_expect_success 'a listener of both families sees the same address' '
	conf server.conf server listen "*:0" && stop_server && conf map alice networks 127.0.0.1 && start_server &&
	within 30 consign whoami alice: && conf map alice networks ::1 && reload &&
	not_now alice "this user may not connect from this address" "user alice: not from this address"
'

test_expect_success 'networks that are none are refused with the whole map' '
	cp map good.map && for n in 127.0.0.1/33 127.0.0.1/8 localhost none "127.0.0.1;::1" 2001:db8::/129; do
		conf map alice networks "$n" && reload_fails "\[alice\] networks: " || return 1
	done && cp good.map map && conf map alice networks "" && reload && within 30 consign whoami alice:
'

test_expect_success 'a session that runs is ended when the map is loaded with networks that are not its own' '
	random_file big 20000000 && start_relay "buffer 65536" && relay_hold up 5000000 &&
	{ within 60 consign put big relayed:/big >out 2>put.err & } && client=$! && relay_held &&
	conf map alice networks 192.0.2.0/24 && reload && soon "grep \"\\\"event\\\":\\\"cut\\\".*not connect from this address any more\" server.audit" &&
	{ wait $client; test $? -eq 77; } && test ! -e files/alice/big && conf map alice networks "" && reload && stop_relay
'

# ---- the end of the hours ----

fake=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
# AddressSanitizer has to be loaded before anything else.
test -z "$fake" || ldd "$BUILD/consignd" | grep -q asan || test_set_prereq FAKETIME

# The server is ahead by so much that it is eight seconds to the end of a minute, which is that of the hours. The session is
# judged again before, and so has the second verdict's end.
test_expect_success FAKETIME 'a session that runs is ended with its hours, what came is kept, and none begins after' '
	stop_server && now=$(date +%s) && ahead=$(((112 - now % 60) % 60)) && end=$((now + ahead + 8)) &&
	conf map alice hours "$(date -u -d "@$((end - 3600))" +%H:%M)-$(date -u -d "@$end" +%H:%M) UTC" &&
	LD_PRELOAD=$fake FAKETIME="+$ahead" FAKETIME_DONT_FAKE_MONOTONIC=1 && export LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC &&
	start_server && unset LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC && start_relay "buffer 65536" && relay_hold up "$(place 9437184)" &&
	{ within 60 consign put big relayed:/big >out 2>put.err & } && client=$! && relay_held && reload &&
	soon "grep \"\\\"event\\\":\\\"cut\\\".*not connect at this hour any more\" server.audit" && { wait $client; test $? -eq 77; } &&
	grep "this hour" put.err && test -n "$(parts files/alice)" && test ! -e files/alice/big &&
	not_now alice "this user may not connect at this hour" "user alice: not at this hour" && within 30 consign whoami bob: &&
	conf map alice hours "" && reload && within 60 consign --json put big alice:/big >out && test "$(result kept out)" -gt 0 && stop_relay
'

test_done
