#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='quotas: what is stored never goes over them, whoever sends how much at once, and crashes are made up for'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576

# used FOLDER: bytes and files below it, unfinished uploads included; what was set aside for a group of small files that
# never came to be is none.
used() {
	perl -MFile::Find -e '
		my ($bytes, $files) = (0, 0);
		find({no_chdir => 1, wanted => sub {
			return if m{/\.consign(/trees.*|/ledger|/parts)?$} || m{\.journal$} || $_ eq $ARGV[0];
			return if m{(.*/\.consign/parts/.*)\.data$} && !-e "$1.journal";
			lstat; $files++; $bytes += -s _ if -f _;
		}}, $ARGV[0]);
		print "$bytes $files\n";
	' "$1"
}

# fresh KEY VALUE...: alice has nothing but these limits.
fresh() {
	for key_ in quota quota-files parts; do conf map alice $key_ "" || return 1; done &&
		while test $# -gt 0; do conf map alice "$1" "$2" && shift 2 || return 1; done &&
		stop_server && rm -rf files/alice/* files/alice/.consign && start_server
}

# over COMMAND...: refused for a limit.
over() {
	test_expect_code 75 "$@" 2>err || { cat err && return 1; }
	grep -iE "quota|limit of" err >/dev/null || { cat err && return 1; }
}

test_expect_success 'a site' '
	site_setup && file_key alice && file_key bob && conf map alice sessions 100 && start_server &&
	random_file m1 $MIB && random_file m3 $((3 * MIB)) && random_file m9 $((9 * MIB)) && : >empty
'

test_expect_success 'bytes: up to the last one, and no further' '
	fresh quota 10M && consign -q put m9 alice:/a && over consign put m3 alice:/b && consign -q put m1 alice:/b &&
	echo x >x && over consign put x alice:/x && consign -q put empty alice:/empty && grep "\"path\":\"/x\"" server.audit | grep LIMIT &&
	test "$(used files/alice)" = "$((10 * MIB)) 3" && consign rm alice:/a && consign -q put m3 alice:/b2 && consign -q put x alice:/x
'

test_expect_success 'a new version takes the place of the old one, even where nothing else would fit' '
	fresh quota 10M && consign -q put m9 alice:/a && consign -q put m1 alice:/b && random_file other $((9 * MIB)) &&
	consign -q put other alice:/a && same_file other files/alice/a && over consign put m3 alice:/b && echo y >y &&
	consign -q put y alice:/b && consign -q put m1 alice:/b && over consign put y alice:/c
'

test_expect_success 'by length: holes and what compresses count in full' '
	fresh quota 10M && truncate -s 11M holes && over consign put holes alice:/h && truncate -s 9M holes &&
	consign -q put holes alice:/h && head -c $((2 * MIB)) /dev/zero >zeros && over consign put --compress on zeros alice:/z &&
	test "$(used files/alice)" = "$((9 * MIB)) 1"
'

test_expect_success 'many at once: just one of those that leave no room for another' '
	fresh quota 10M && for i in $(seq 24); do
		{ consign -q put m9 alice:/many$i 2>/dev/null; echo $? >status.$i; } &
		pids="$pids $!"
	done && wait $pids && test "$(cat status.* | grep -c "^0$")" = 1 && test "$(cat status.* | grep -c "^75$")" = 23 &&
	test "$(used files/alice)" = "$((9 * MIB)) 1"
'

test_expect_success 'files: empty ones, folders, small ones in one go' '
	fresh quota-files 20 && mkdir many && (cd many && touch $(seq 50)) && test_must_fail consign -q put -r many alice:/many 2>err &&
	grep "quota of 20 files" err >/dev/null && test "$(used files/alice | cut -d " " -f 2)" = 20 &&
	over consign mkdir alice:/d && over consign put m3 alice:/f && first=$(find files/alice/many -type f -printf "%f\n" | head -n 1) &&
	consign rm "alice:/many/$first" && consign mkdir alice:/d && over consign mkdir alice:/e
'

# cut_short NAME: an upload of m9 through the relay, the client of which is killed when half of it is through.
cut_short() {
	relay_hold up "$(place $((5 * MIB)))" && { consign -q put -j 1 m9 "relayed:/$1" & } && client=$! && relay_held && kill -KILL $client &&
		{ wait $client || :; }
}

test_expect_success 'unfinished uploads: so many, whatever becomes of their connections' '
	fresh parts 2 && start_relay && cut_short p1 && cut_short p2 && stop_relay && test "$(parts files/alice | wc -l)" = 4 && over consign put m9 alice:/p3 && echo x >x && consign -q put x alice:/small && consign -q put m9 alice:/p1 &&
	consign -q put m9 alice:/p3 && consign rm --part alice:/p2 && consign ls --pending alice: >out && test ! -s out
'

# The process of alice that holds her folder open.
store_of() {
	for store_ in $(ps -o pid= --ppid "$SERVER_PID"); do
		if find "/proc/$store_/fd" -lname "$TRASH/files/alice" 2>/dev/null | grep . >/dev/null; then
			echo "$store_"
			return
		fi
	done
	return 1
}

# kill_midway N: its store is killed while files of folder N are given names.
kill_midway() {
	rm -f enough && { while test ! -e enough; do consign -q put -r small alice:/s$1; done >/dev/null 2>&1 & } && client=$! &&
		soon "test \$(find files/alice/s$1 -type f 2>/dev/null | wc -l) -gt 10" && { soon 'kill -KILL $(store_of)'; : >enough; }
}

test_expect_success 'an upload that is cut keeps its room, until it is given up' '
	fresh quota 10M && start_relay && cut_short p && stop_relay &&
	over consign put m3 alice:/a && consign -q put m1 alice:/a && consign -q put m9 alice:/p && consign rm alice:/p &&
	start_relay && cut_short p && stop_relay &&
	soon "consign -q rm --part alice:/p" && consign -q put m9 alice:/b && test "$(used files/alice)" = "$((10 * MIB)) 2"
'

test_expect_success 'a store that is killed, again and again: nothing goes over, and counting makes up for it' '
	fresh quota 20M && mkdir small && for i in $(seq 200); do head -c 20000 m1 >small/$i || return 1; done &&
	for i in 1 2 3 4; do
		kill_midway $i && { wait $client || :; } && set -- $(used files/alice) && test "$1" -le $((20 * MIB)) || { : >enough && return 1; }
	done && rm -rf files/alice/s* && restart_server && soon "consign -q put m9 alice:/b" && soon "consign -q put m9 alice:/c" &&
	soon "consign -q put m1 alice:/d" && consign -q put m1 alice:/e && over consign put small/1 alice:/f &&
	test "$(used files/alice)" = "$((20 * MIB)) 4"
'

test_expect_success 'what changes beside the server is counted at its start' '
	fresh quota 10M && consign -q put m9 alice:/a && at_server m1 alice/beside && over consign put m3 alice:/b &&
	restart_server && soon "grep \"without an owner: counted again: $MIB bytes\" server.log" && echo x >x && over consign put x alice:/x &&
	rm files/alice/a && restart_server && soon "grep \"user alice: counted again: 0 bytes\" server.log" && consign -q put m9 alice:/b
'

test_expect_success 'a folder of two: each has what he sent' '
	fresh quota 10M && conf map bob root "$TRASH/files/alice" && conf map bob quota 4M && restart_server &&
	consign -q put m9 alice:/a && consign -q put m3 bob:/b && over consign put m3 bob:/c && consign -q put m1 bob:/c &&
	consign -q put m1 alice:/d && over consign put m1 alice:/e && consign rm alice:/b && consign -q put m3 bob:/b &&
	conf map bob quota "" && restart_server && consign -q put m9 bob:/e && consign rm bob:/d && consign -q put m1 alice:/d &&
	over consign put m1 alice:/f
'

test_expect_success 'what the session shows, and what of it the others do not see' '
	consign --json stat alice:/a >json && json_lines json && consign ls alice:/ >out && ! grep consign out &&
	test_must_fail consign get alice:/.consign/ledger x && test ! -e x.part
'

test_done
