#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='full disks, cut lines, stopping servers: a clear end, nothing half visible, nothing lost'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

ROOT=$(test "$(id -u)" -eq 0 && echo yes)
test "$ROOT" && test_set_prereq ROOT

# small OPTIONS: bob's root is a tmpfs of its own.
small() {
	mount -t tmpfs -o "$1" tmpfs files/bob && chown "$ACCOUNT:" files/bob
}

test_expect_success 'a site' '
	site_setup && file_key alice && conf server.conf limits drain 120s && start_server && start_relay &&
	random_file big 50331648 && echo text >f
'

test_expect_success ROOT 'a disk that is too small: said at once, nothing visible, space given back' '
	small size=16m && test_expect_code 73 consign put big bob:/big 2>err && grep -i "space" err &&
	test ! -e files/bob/big && consign -q put f bob:/f && test -z "$(parts files/bob)" &&
	test "$(df -k --output=used files/bob | tail -n 1)" -lt 1024 && soon "umount files/bob"
'

test_expect_success ROOT 'a disk without inodes: likewise' '
	small size=64m,nr_inodes=8 && n=0 &&
	while consign -q put f bob:/f$n 2>err; do n=$((n + 1)) && test $n -lt 20 || break; done && test $n -lt 20 &&
	cat err && grep -i "space" err && test ! -e files/bob/f$n && rm files/bob/f0 && soon "umount files/bob"
'

test_expect_success 'a root that can only be read, a source that can'"'"'t' '
	mkdir ro && test_must_fail consign put ro/none alice:/x && test_expect_code 66 consign put none alice:/x &&
	test_expect_code 65 consign put ro alice:/x 2>err && grep "put -r" err
'

# cut up|down BYTES COMMAND...: the line is cut after so many.
cut() {
	relay_do "cut next $1 $2 fin" && shift 2 || return 1
	within 60 "$@" >out 2>err
	code_=$?
	echo "cut: status $code_: $(cat err)"
	test $code_ -eq 75
}

test_expect_success 'a line cut in the handshake, in the verdict, in a request' '
	for n in 1 100 700 900; do cut up $n consign stat relayed:/ || return 1; done &&
	for n in 1 100 700 1000; do cut down $n consign stat relayed:/ || return 1; done
'

test_expect_success 'uploads cut at many bytes resume, and are whole' '
	for n in 2000 1100000 5000000 20000001 20000000; do
		cut up $n consign put big relayed:/big && test ! -e files/alice/big || return 1
	done &&
	consign --json put big alice:/big >last && same_file big files/alice/big &&
	test "$(result kept last)" -ge 41943040
'

test_expect_success 'downloads cut at many bytes resume, and are whole' '
	for n in 2000 1100000 5000000 20000001 20000000; do
		cut down $n consign get relayed:/big back && test ! -e back || return 1
	done &&
	consign --json get alice:/big back >last && same_file big back && test "$(result kept last)" -ge 41943040
'

test_expect_success 'a client that stops in the middle is ended by the server, its part kept' '
	conf server.conf limits stall 2s && restart_server && stop_relay && start_relay && rm files/alice/big &&
	relay_hold up $(place 9437184) && pid=$(CUT_BY=STOP cut_at 8388608 files/alice out consign put big relayed:/big) &&
	soon "grep \"fell silent\\|stalled\" server.audit" && soon "! consign ls --pending alice:/ | grep now" &&
	kill -KILL "$pid" && relay_do go && consign -q put big alice:/big && same_file big files/alice/big
'

test_expect_success 'more sessions than the user may have: refused with a reason, try again later' '
	conf map alice sessions 1 && conf server.conf limits stall "" && restart_server && stop_relay && start_relay &&
	relay_hold up $(place 9437184) && { consign put big relayed:/more >out & } && client=$! && relay_held &&
	test_expect_code 75 consign whoami alice: 2>err && grep "sessions already" err &&
	kill -KILL $client && relay_do go && soon "consign whoami alice:" && conf map alice sessions "" && restart_server
'

# The session of the last connection, and its store: the youngest children of the master. Numbers of processes begin anew at some point: they are no order.
held_pids() { ps -o pid= --ppid "$SERVER_PID" --sort=start_time | tail -n 2; }

# A small file of which the server has the beginning.
held_small() {
	random_file small 131072 && rm -f files/alice/small && stop_relay && conf "$CLIENT_CONF" alice stall 2s && start_relay &&
		conf "$CLIENT_CONF" alice stall "" && relay_hold up 60000 && { within 60 consign -q put small relayed:/small 2>err & } &&
		client=$! && relay_held
}

test_expect_success 'a store that takes longer than the client would wait for silence: it hears that it is busy' '
	held_small && store=$(held_pids | tail -n 1) && kill -STOP $store && relay_do go &&
	sleep 5 && kill -0 $client && kill -CONT $store && wait $client && same_file small files/alice/small
'

test_expect_success 'a session that stands still: the client gives up after its limit, not after ten minutes' '
	held_small && stopped=$(held_pids) && kill -STOP $stopped && relay_do go &&
	{ wait $client; test $? = 75; } && grep "stalled\|does not answer" err && kill -CONT $stopped
'

test_expect_success 'a broken map is refused whole; the one that runs is kept' '
	cp map good && echo nonsense >>map && kill -HUP "$SERVER_PID" && soon "grep CONFIG server.audit" &&
	consign stat alice:/ && cp good map
'

test_expect_success 'SIGTERM: what runs is finished, nothing new is taken, status 0' '
	stop_relay && start_relay && rm files/alice/big && relay_hold up $(place 9437184) &&
	{ consign put big relayed:/big >out & } && relay_held &&
	kill -TERM "$SERVER_PID" && soon "grep -q stopping: server.log" && test_must_fail consign whoami alice: &&
	relay_do go && soon "test -e files/alice/big" && same_file big files/alice/big &&
	soon "test -s server.status" && test "$(cat server.status)" -eq 0 && SERVERS=
'

test "$ROOT" && umount files/bob 2>/dev/null
test_done
