#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='one long file over several connections: whole or not at all, whichever of them is lost'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576
LENGTH=$((100 * MIB - 1000))

again() {
	rm -f files/alice/f f out err && rm -rf .consign && soon 'test -z "$(sessions)"' && rm -rf files/alice/.consign
}

# The processes at the server of connections: sessions and their stores, one pid a line.
sessions() {
	for child_ in $(pgrep -P "$SERVER_PID"); do
		for fd_ in "/proc/$child_/fd"/*; do
			case $(readlink "$fd_") in */server.audit) continue 2 ;; esac
		done
		grep -qa -e --keeper "/proc/$child_/cmdline" || grep -q consign-usher "/proc/$child_/comm" || echo "$child_"
	done
}

put() {
	within 120 consign --json put "$@" >out 2>err
}
get() {
	within 120 consign --json get "$@" >out 2>err
}

# What stands at alice:/f is source, by its bytes, by what the transfer said and by its stored tree.
arrived_up() {
	same_file "${1:-source}" files/alice/f && test "$(result root out)" = "$(root_of "${1:-source}")" &&
		consign --json stat --root alice:/f >stat &&
		grep "\"root\":\"$(root_of "${1:-source}")\"" stat && test -z "$(parts files/alice)" &&
		consign verify "${1:-source}" alice:/f
}
arrived_down() {
	same_file source f && test "$(result root out)" = "$(root_of source)" && test ! -e .consign
}
# Nothing of it is seen before it is whole.
nothing_there() {
	test ! -e "${1:-files/alice}/f"
}
# Bytes of content that crossed the wire: at least what there is, at most so many more.
moved_at_most() {
	moved_=$(result moved out) && test "$moved_" -ge $LENGTH && test "$moved_" -le $((LENGTH + $1 * MIB)) ||
		{ echo "moved $moved_ of $LENGTH" >&2 && return 1; }
}

test_expect_success 'a site with a server' '
	site_setup && conf server.conf limits stall 5s && start_server &&
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out file.pem >file.issued &&
	conf "$CLIENT_CONF" alice certificate "$TRASH/file.pem" &&
	conf "$CLIENT_CONF" alice key "$(key_of_ file.issued)" &&
	random_file source $LENGTH && random_file other $LENGTH
'

for n in 2 3 8; do
	test_expect_success "put over $n connections" '
		again && put -j $n source alice:/f && arrived_up && moved_at_most 0 && test_must_be_empty err &&
		rm -rf files/alice/.consign/trees
	'
	test_expect_success "get over $n connections" '
		again && consign put source alice:/f && get -j $n alice:/f f && arrived_down && moved_at_most 0 && test_must_be_empty err
	'
done
test_expect_success 'connections that joined are on record' '
	again && put -j 3 source alice:/f && grep "\"event\":\"join\".*\"moved\"" server.audit >lines && test $(grep -c "\"status\":\"OK\"" lines) -ge 2
'

test_expect_success 'a limit on the rate holds for all of them together' '
	again && start_=$(date +%s%3N) && put -j 3 --rate 40M source alice:/f && arrived_up &&
	test $(($(date +%s%3N) - start_)) -ge 2000
'

# ---- what is lost ----

test_expect_success 'a relay' 'start_relay'

CONNECTIONS=0
# As put and get, over the relay; connection 1 is then the next one, and so on: at CONNECTION COMMAND tells it so.
at() {
	n_=$((CONNECTIONS + $1)) && verb_=$2 && shift 2 && relay_do "$verb_ $n_ $*"
}
ended() {
	relay_do stats && CONNECTIONS=$(wc -l <relay.stats)
}
# over STATUS COMMAND...: the command, which is to end so.
over() {
	wanted_=$1 && shift
	"$@"
	code_=$?
	relay_do "rate 0" && ended && sed "s/^/# /" err >&2
	test $code_ = "$wanted_" || { echo "status $code_" >&2 && return 1; }
}

for k in 2 3; do
	for position in 1 2000 5000 100000 $((MIB + 7)) $((9 * MIB)) $((16 * MIB + 20000)); do
		test_expect_success "put: connection $k is cut at byte $position" '
			again && at $k cut up $position rst && over 0 put -j 3 source relayed:/f && arrived_up && moved_at_most 33
		'
		test_expect_success "get: connection $k is cut at byte $position" '
			again && consign put source alice:/f && at $k cut down $position fin && over 0 get -j 3 relayed:/f f && arrived_down && moved_at_most 33
		'
	done
done

for position in 1 5000 $((MIB + 7)) $((9 * MIB)); do
	test_expect_success "put: the first connection is cut at byte $position: said so, and the repeat goes on" '
		again && at 1 cut up $position rst && over 75 put -j 3 source relayed:/f && nothing_there && soon "! consign ls --pending alice:/ | grep now" && put -j 3 source alice:/f && arrived_up
	'
	test_expect_success "get: the first connection is cut at byte $position: said so, and the repeat goes on" '
		again && consign put source alice:/f && at 1 cut down $position rst && over 75 get -j 3 relayed:/f f && nothing_there . && get -j 3 alice:/f f && arrived_down
	'
done

test_expect_success 'put: one connection that stalls for ever' '
	again && conf "$CLIENT_CONF" relayed stall 2s && at 3 stall up 1000000 ever && over 0 put -j 3 source relayed:/f && arrived_up && moved_at_most 33
'
test_expect_success 'get: one connection that stalls for ever' '
	again && consign put source alice:/f && at 2 stall down 1000000 ever && over 0 get -j 3 relayed:/f f && arrived_down && moved_at_most 33
'
test_expect_success 'one slow connection among fast ones' '
	again && at 2 stall up 1000000 1 && at 2 stall up 3000000 1 && put -j 3 source relayed:/f && arrived_up && moved_at_most 0 &&
	ended && again && consign put source alice:/f && at 2 stall down 1000000 1 && at 2 stall down 3000000 1 &&
	get -j 3 relayed:/f f && arrived_down && moved_at_most 0 && ended
'

# The k-th process at the server while a transfer is in the middle: 1 and 2 are those of the first connection.
victim() {
	soon "test \$(sessions | wc -l) -ge 6" && soon "test \$(du -m $2 | cut -f 1) -gt 20" && sessions | sort -n | sed -n "$1p"
}

for k in 3 5; do
	test_expect_success "put: process $k of the server is killed" '
		again && relay_do rate 40000000 && { put -j 3 source relayed:/f & } && pid=$! &&
		kill -KILL $(victim $k files/alice/.consign/parts/*.data) && over 0 wait $pid && arrived_up && moved_at_most 33
	'
	test_expect_success "get: process $k of the server is killed" '
		again && consign put source alice:/f && relay_do rate 40000000 && { get -j 3 relayed:/f f & } && pid=$! &&
		kill -KILL $(victim $k .consign/parts/*.data) && over 0 wait $pid && arrived_down && moved_at_most 33
	'
done

for j in "" "-j 3"; do
	test_expect_success "put: the client is killed, and the repeat (put $j) goes on" '
		again && pid=$(cut_at $((40 * MIB)) files/alice leg1 consign put -j 3 --rate 60M source alice:/f) && nothing_there &&
		soon "! consign ls --pending alice:/ | grep now" && put $j source alice:/f && arrived_up &&
		test $(result moved out) -lt $LENGTH
	'
	test_expect_success "get: the client is killed, and the repeat (get $j) goes on" '
		again && consign put source alice:/f && cut_at $((40 * MIB)) . leg1 consign get -j 3 --rate 60M alice:/f f && nothing_there . &&
		get $j alice:/f f && arrived_down && test $(result moved out) -lt $LENGTH
	'
	test_expect_success "put: the whole server is killed, and the repeat (put $j) goes on" '
		again && { put -j 3 --rate 60M source alice:/f & } && pid=$! && victim 1 files/alice/.consign/parts/*.data >victim &&
		all=$(sessions) && kill_server && kill -KILL $all && test_expect_code 75 wait $pid && nothing_there && start_server &&
		put $j source alice:/f && arrived_up && test $(result moved out) -lt $LENGTH
	'
done

test_expect_success 'where only two sessions are allowed, or one' '
	again && conf map alice sessions 2 && restart_server && put -j 6 source alice:/f && arrived_up && again &&
	consign put source alice:/f && get -j 6 alice:/f f && arrived_down && again &&
	conf map alice sessions 1 && restart_server && put -j 6 source alice:/f && arrived_up && get -j 6 alice:/f f && arrived_down &&
	conf map alice sessions "" && restart_server
'

test_expect_success 'the source changes meanwhile: said so, nothing visible' '
	again && cp -p source moving && { put -j 3 --rate 60M moving alice:/f & } && pid=$! &&
	victim 1 files/alice/.consign/parts/*.data >victim && printf x | dd of=moving bs=1 conv=notrunc status=none &&
	test_expect_code 65 wait $pid && grep "changed while" err && nothing_there
'

test_expect_success 'the file is replaced at the server meanwhile: the one or the other, or nothing' '
	again && consign put other alice:/g && consign put source alice:/f && { get -j 3 --rate 60M alice:/f f & } && pid=$! &&
	victim 1 .consign/parts/*.data >victim && consign mv alice:/g alice:/f &&
	if wait $pid; then same_file source f || same_file other f; else nothing_there .; fi
'

test_expect_success 'a file without a stored tree comes over one connection' '
	again && at_server source alice/f && get -j 3 alice:/f f && arrived_down && moved_at_most 0
'

test_expect_success 'over a similar file: little is moved' '
	again && consign put source alice:/f && cp source similar && printf changed | dd of=similar bs=1 seek=50000000 conv=notrunc status=none &&
	put -j 3 similar alice:/f && arrived_up similar && test $(result moved out) -le $((2 * MIB)) &&
	cp similar f && consign put source alice:/f && get -j 3 alice:/f f && arrived_down && test $(result moved out) -le $((2 * MIB))
'

test_done
