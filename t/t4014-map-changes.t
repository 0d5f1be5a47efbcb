#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the map changes: never by half, never a broken one, at once for those who lose by it'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

test_expect_success 'a site' '
	site_setup && file_key alice && file_key bob && start_server && within 30 consign whoami alice: && cp map good.map
'

test_expect_success 'a broken map is refused whole, loudly, and the last good one stays' '
	for b in "s/^rights/rigths/" "s/^anchor/ anchor/" "/^root/d" "s/^subject = CN=bob/subject = CN=alice/" "s/^\[bob\]/[alice]/" "\$s/\$/ # x/"; do
		sed "$b" good.map >map.new && mv map.new map && reload_fails "map:[0-9]*: " && grep "reload failed: everything stays as it was" server.log &&
		within 30 consign whoami alice: && within 30 consign whoami bob: && : >server.log || return 1
	done && consignd --config server.conf --status --json >out.json && grep "map:" out.json && cp good.map map.new && mv map.new map && reload
'

test_expect_success 'it does not even start with one' '
	printf "%s" "$(cat good.map)" >bad.map && conf server.conf server map bad.map && ! within 20 consignd --config server.conf 2>err </dev/null &&
	grep "bad.map:[0-9]*: the last line does not end" err && conf server.conf server map map
'

# Only the beginning of it would take rights from alice, and all from bob.
test_expect_success 'a map that is written in place, with pauses: refused while it is open, though all of its lines are whole' '
	exec 7>map && sed -n "1,/^\[bob\]/{/^\[bob\]/!p}" good.map >&7 && reload_fails "has it open for writing" && within 30 consign whoami bob: &&
	sed -n "/^\[bob\]/,\$p" good.map >&7 && exec 7>&- && reload && within 30 consign whoami bob:
'

test_expect_success 'without being told: a file that is being written is not taken, a whole one is' '
	reloads=$(grep -c "\"event\":\"reload\",\"status\":\"OK\"" server.audit) && : >server.log && exec 7>map && sed -n "1,/^\[bob\]/{/^\[bob\]/!p}" good.map >&7 &&
	soon "grep \"has it open for writing\" server.log" && within 30 consign whoami bob: &&
	test $(grep -c "\"event\":\"reload\",\"status\":\"OK\"" server.audit) -eq $reloads && sed -n "/^\[bob\]/,\$p" good.map >&7 && exec 7>&- &&
	soon "test \$(grep -c \"\\\"event\\\":\\\"reload\\\",\\\"status\\\":\\\"OK\\\"\" server.audit) -gt $reloads" && within 30 consign whoami bob:
'

test_expect_success 'a line of half its length is refused, and one that does not end' '
	for n in 1 2 5; do
		head -c -$n good.map >map.new && mv map.new map && reload_fails "does not end" || return 1
	done && within 30 consign whoami bob: && cp good.map map.new && mv map.new map && reload
'

# change_on: the good map and one with less rights in turn, until stop.not is gone.
change_on() {
	i_=0
	while test -e stop.not && test $i_ -lt 300; do
		if test $((i_ % 2)) -eq 0; then cp less.map map.new; else cp good.map map.new; fi
		mv map.new map && kill -HUP "$SERVER_PID"
		i_=$((i_ + 1))
		sleep 0.1
	done
}

# Each login is by one map or the other, or told to come again as the map has just changed.
login() {
	within 30 consign whoami alice: >out 2>err
	case $? in
	0) grep -e "/: list\$" -e "/: list read create" out ;;
	*) grep -i -e again -e "less\|fewer" err ;;
	esac || { cat out err; return 1; }
}

test_expect_success 'replaced by renaming again and again during logins' '
	sed "s/^rights.*/rights = list/" good.map >less.map && : >stop.not && { change_on & } && changer=$! &&
	for i in 1 2 3 4 5 6 7 8 9 10; do login || break; done && rm stop.not && wait $changer && test $i -eq 10 && login &&
	cp good.map map.new && mv map.new map && reload && ! grep "\"status\":\"CONFIG\".*map.new" server.audit
'

test_expect_success 'a rule that is gone ends the session that has it, in the middle of an upload and at rest' '
	random_file big 20000000 && start_relay "buffer 65536" && relay_hold up 5000000 &&
	{ within 60 consign put big relayed:/big >out 2>put.err & } && client=$! && relay_held && conf map alice subject "CN=nobody" && reload &&
	{ wait $client; test $? -eq 77; } && grep "no rule of the map is for this certificate any more" put.err &&
	grep "\"event\":\"cut\".*\"user\":\"alice\"" server.audit && ! grep "cut.*\"user\":\"bob\"" server.audit && is_nobody_now() {
		test_expect_code 77 within 30 consign whoami alice: 2>err && grep "no rule of the map is for this certificate (session" err
	} && is_nobody_now && within 30 consign whoami bob: && cp good.map map.new && mv map.new map && reload && within 30 consign whoami alice:
'

test_done
