#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='whatever process is killed whenever: old or new content, never a mixture, and it goes on

ROUNDS, SIZE (bytes) and SEED can be given in the environment; a failing round prints its seed.'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-50}
SIZE=${SIZE:-100663296}
SEED=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
MIB=1048576

# $DRAWN: a number below $1; the same sequence for the same seed.
DRAWS=0
draw() {
	DRAWS=$((DRAWS + 1))
	DRAWN=$(perl -e 'srand($ARGV[0] * 1000 + $ARGV[1]); rand for 1 .. 7; print int(rand($ARGV[2]))' "$SEED" $DRAWS "$1")
}
pause() {
	perl -e 'select undef, undef, undef, $ARGV[0] / 1000' "$1"
}
# The number behind a key in the last line of JSON.
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2" | tail -n 1; }

# The pid of one of the server's processes now; nothing when there is none.
process() {
	case $1 in
	client) echo "$CLIENT" ;;
	master) cat server.pid ;;
	keeper) pgrep -n -f -P "$SERVER_PID" -- --keeper ;;
	scribe) echo "$SCRIBE" ;;
	session) young | sed -n 1p ;;
	store) young | sed -n 2p ;;
	esac
}
# The master's children that a connection brought: the session, then its store.
young() {
	for child_ in $(pgrep -P "$SERVER_PID"); do
		test "$child_" = "$SCRIBE" || grep -qa -- --keeper "/proc/$child_/cmdline" || echo "$child_"
	done | sort -n
}
find_scribe() {
	SCRIBE=$(pgrep -P "$SERVER_PID" | while read -r child_; do
		for fd_ in "/proc/$child_/fd"/*; do
			case $(readlink "$fd_") in */server.audit) echo "$child_" ;; esac
		done
	done | head -n 1)
}

# Statuses that say "try again" or that the other side broke off; anything else is a bug.
is_clean() {
	case $1 in 0 | 69 | 74 | 75 | 137) ;; *)
		echo "exit status $1"
		return 1
		;;
	esac
}

# $1 put or get; what the client prints goes to round.json.
transfer() {
	if test "$1" = put; then
		consign --json put "$SOURCE_NOW" alice:/f
	else
		consign --json get alice:/f back
	fi >round.json 2>>round.err
}

# A file that may be there must be one of two contents.
is_whole() {
	test ! -e "$1" || same_file "$1" "$2" || same_file "$1" "$3" ||
		{ echo "$1 is neither the old nor the new content" && return 1; }
}

# How many whole chunks a part's data file holds, in bytes: what must not be sent again.
part_bytes() {
	total_=0
	for part_ in "$1"/.consign/parts/*.data; do
		test ! -e "$part_" || total_=$(($(stat -c %s "$part_") / MIB * MIB))
	done
	echo $total_
}

again() {
	tries_=0
	while :; do
		missing_=$((SIZE - $(part_bytes "$2")))
		transfer "$1"
		status_=$?
		is_clean $status_ || return 1
		test $status_ -ne 0 || break
		tries_=$((tries_ + 1))
		test $tries_ -lt 100 || { echo "gave up after $tries_ tries" && return 1; }
		pause 100
	done
	moved_=$(number moved round.json)
	test "$moved_" -le $((missing_ + MIB)) ||
		{ echo "moved $moved_ bytes where $missing_ were missing" && return 1; }
	test $((moved_ + $(number kept round.json) + $(number copied round.json))) -eq "$SIZE"
}

round() {
	how_='put'
	test $(($1 % 2)) -eq 1 || how_='get'
	draw 6
	victim_=$(echo client session store keeper scribe master | cut -d ' ' -f $((DRAWN + 1)))
	draw 300
	after_=$DRAWN
	echo "round $1: $how_, $victim_ killed after $after_ ms (SEED=$SEED)"
	: >round.err
	case $how_ in
	put)
		SOURCE_NOW="new"
		test $(($1 % 4)) -eq 1 || SOURCE_NOW="old"
		;;
	get)
		# What is there before the download is the other content.
		cp "$(test "$SOURCE_NOW" = new && echo old || echo new)" back
		;;
	esac
	find_scribe
	transfer $how_ &
	CLIENT_SHELL=$!
	pause "$after_"
	CLIENT=$(pgrep -P $CLIENT_SHELL | head -n 1)
	target_=$(process "$victim_")
	case $victim_ in
	master) kill_server || return 1 ;;
	*) test -z "$target_" || kill -9 "$target_" 2>/dev/null || : ;;
	esac
	wait $CLIENT_SHELL
	status_=$?
	echo "ended with status $status_; $(part_bytes files/alice) bytes of a part at the server, $(part_bytes .) here"
	is_clean $status_ || { cat round.err && return 1; }
	is_whole files/alice/f old new || return 1
	is_whole back old new || return 1
	test "$victim_" != master || start_server || return 1
	if test $how_ = put; then
		again put files/alice && same_file files/alice/f "$SOURCE_NOW"
	else
		again get . && same_file back "$SOURCE_NOW"
	fi || { cat round.err && return 1; }
	test -z "$(ls files/alice/.consign/parts)" && test ! -e .consign
}

test_expect_success 'a site, two contents, the first of them uploaded' '
	site_setup && conf server.conf limits drain 2s && start_server &&
	random_file old "$SIZE" && random_file new "$((SIZE + 1))" && tail -c "$SIZE" new >n && mv n new &&
	! cmp -s old new && SOURCE_NOW=old && consign -q put old alice:/f && find_scribe && test -n "$SCRIBE"
'

n=1
while test $n -le "$ROUNDS"; do
	test_expect_success "round $n" 'round $n'
	n=$((n + 1))
done

test_expect_success 'the server goes on: every process is there, nothing was left locked' '
	consign -q put new alice:/last && consign verify new alice:/last &&
	consign ls --pending alice:/ >pending && test ! -s pending &&
	find_scribe && test -n "$SCRIBE" && test -n "$(process keeper)"
'

test_done
