#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='sources that change, odd names, sizes, times and modes, full disks, few descriptors, jumping clocks'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576
RUNS=0
test "$(id -u)" -eq 0 && test_set_prereq ROOT

# A client without root's right to read everything.
if test -n "$ACCOUNT"; then
	ordinary() { setpriv --bounding-set -dac_override,-dac_read_search "$@"; }
else
	ordinary() { "$@"; }
fi

test_expect_success 'a site, a relay that holds little' '
	site_setup && file_key alice && start_server && start_relay "buffer 65536" && random_file first $((16 * MIB)) &&
	random_file second $((16 * MIB))
'

# ---- a source that does not stand still ----

# The line stands still after 2 of the 16 MB, and buffers hold only so much: what happens to the end of the source now
# happens before it is read.
shrink() { truncate -s $((14 * MIB)) "$1"; }
shrink_to_nothing() { : >"$1"; }
grow() { echo more >>"$1"; }
vanish() { rm "$1"; }
change_content() {
	touch -r "$1" stamp && dd if=second of="$1" bs=$MIB skip=14 seek=14 count=1 conv=notrunc status=none &&
		touch -r stamp "$1"
}
rename() { mv "$1" "$1.away"; }
replace() { cp second other && mv other "$1"; }
replace_by_folder() { rm "$1" && mkdir "$1"; }

# while_moving put|get HOW: what is transferred changes meanwhile. Its exit status is $CODE.
while_moving() {
	if test "$1" = put; then
		way_=up held_=source
		cp first source
	else
		way_=down held_=files/alice/f
	fi
	RUNS=$((RUNS + 1))
	relay_do "stall next $way_ 2000000 ever" || return 1
	if test "$1" = put; then
		within 60 consign --json put source relayed:/f >out 2>err &
	else
		within 60 consign --json get relayed:/f back/f >out 2>err &
	fi
	client_=$!
	soon "test \$(relay_count $RUNS $way_) -ge 2000000" && $2 $held_ && relay_do go || return 1
	wait $client_
	CODE=$?
	echo "$1, $2: status $CODE: $(cat err)"
}

# A source that lost its name only may well be sent as it was, and is where its hashes are stored.
ended_well() {
	case $CODE,$1,$2 in
	0,*,vanish | 0,*,rename | 0,*,replace | 0,*,replace_by_folder) same_file first "$3" ;;
	65,get,vanish | 65,get,rename | 65,get,replace | 65,get,replace_by_folder) false ;;
	65,*) grep "changed while it was read\|does not match its hash" err && same_file old "$3" ;;
	*) false ;;
	esac
}

for how in shrink shrink_to_nothing grow vanish rename change_content replace replace_by_folder; do
	test_expect_success "upload of a source that changes ($how): told, the old file stays, the next one is right" '
		rm -rf source files/alice/f && echo old >old && consign -q put old alice:/f && while_moving put $how &&
		ended_well put $how files/alice/f && rm -rf source && cp second source && consign -q put source alice:/f &&
		same_file second files/alice/f && test -z "$(parts files/alice)"
	'
	test_expect_success "download of a file that changes ($how): likewise" '
		rm -rf back files/alice/f && mkdir back && cp old back/f && consign -q put first alice:/f &&
		while_moving get $how && ended_well get $how back/f && rm -rf files/alice/f && at_server second alice/f &&
		consign -q get alice:/f back/f && same_file second back/f && test ! -e back/.consign
	'
done

# ---- a configuration that does not stand still ----

# held COMMAND...: while it waits for the server, profile [relayed] moves to another port. Its exit status is $CODE.
held() {
	cp "$CLIENT_CONF" conf.then && RUNS=$((RUNS + 1)) && relay_do "stall next up 0 ever" || return 1
	within 60 consign "$@" >out 2>err &
	client_=$!
	soon "relay_do stats && grep \"^$RUNS open\" relay.stats" && conf "$CLIENT_CONF" relayed port 1 && relay_do go || return 1
	wait $client_
	CODE=$?
	mv conf.then "$CLIENT_CONF"
	echo "$1: status $CODE: $(cat err)"
}

test_expect_success 'a command reads the configuration once: what replaces it meanwhile is for the next' '
	for name in a b c; do consign -q put old alice:/$name || return 1; done &&
	held get relayed:/a relayed:/b ./ && test $CODE = 0 && same_file old a && same_file old b &&
	held mv relayed:/a relayed:/d && test $CODE = 0 && same_file old files/alice/d &&
	held rm relayed:/b relayed:/c relayed:/d && test $CODE = 0 && test ! -e files/alice/b && test ! -e files/alice/d
'

test_expect_success 'names at another server, or of the same in another way, are refused' '
	for name in a b c; do consign -q put old alice:/$name || return 1; done &&
	test_expect_code 64 consign rm alice:/a bob:/b "consign://127.0.0.1:$PORT/b" 2>err && test "$(grep -c "one server" err)" = 2 &&
	test ! -e files/alice/a && test_expect_code 64 consign mv alice:/b bob:/d &&
	test_expect_code 64 consign get alice:/b bob:/c . && sed "s/^.alice.$/[default]/" "$CLIENT_CONF" >mine &&
	at=consign://127.0.0.1 && consign --config mine mv $at:$PORT/b $at:$PORT/d &&
	test_expect_code 64 consign --config mine mv $at:$PORT/d $at:1/e &&
	test_expect_code 64 consign --config mine mv $at:$PORT/d $at/e &&
	test_expect_code 64 consign --config mine mv $at:$PORT/d default:/e &&
	consign --config mine mv default:/d $at:$PORT/e && consign --config mine rm default:/c default:/e &&
	test ! -e files/alice/e
'

# ---- names, sizes, times, modes ----

test_expect_success 'names that differ only in case or normalisation, both ways' '
	mkdir -p names/D names/d && for name in file File FILE "$(printf "\303\251")" "$(printf "e\314\201")" ss \
		"$(printf "\303\237")" K "$(printf "\342\204\252")" D/x d/x D/X "trailing." "trailing" "trailing " " " \
		CON aux "a:b" "a*?" "$(printf "%0255d" 1)"; do
		echo "content of $name" >"names/$name" || return 1
	done &&
	consign -q put -r names alice:/names && diff -r names files/alice/names && test "$(find names | wc -l)" = 24 &&
	consign -q get -r alice:/names names-back && diff -r names names-back
'

test_expect_success 'contents around a chunk, with times long ago and far ahead, both ways in a tree' '
	mkdir sizes && for n in 0 1 16383 16384 16385 $((MIB - 1)) $MIB $((MIB + 1)) $((2 * MIB)); do
		random_file sizes/f$n $n || return 1
	done &&
	touch -d "1969-12-31 23:59:59.250000001 UTC" sizes/f0 && touch -d "1901-12-14 00:00:00 UTC" sizes/f1 &&
	touch -d "1970-01-01 00:00:00 UTC" sizes/f16383 && touch -d "2038-01-19 03:14:08 UTC" sizes/f16384 &&
	touch -d "2400-02-29 12:00:00.999999999 UTC" sizes/f16385 &&
	consign -q put -r sizes alice:/sizes && consign -q get -r alice:/sizes sizes-back &&
	diff -r sizes files/alice/sizes && diff -r sizes sizes-back &&
	for folder in sizes files/alice/sizes sizes-back; do
		(TZ=UTC && export TZ && cd $folder && find . -type f -exec stat -c "%n %s %y" {} + | sort) >$(echo $folder | tr / -).list || return 1
	done && grep "f0 0 1969-12-31 23:59:59.250000001" sizes.list && test_cmp sizes.list files-alice-sizes.list &&
	test_cmp sizes.list sizes-back.list
'

test_expect_success 'a time before 1970 is shown as it is' '
	consign --json ls alice:/sizes >out && grep "\"name\":\"f0\".*\"mtime\":-0.749999999[,}]" out &&
	grep "\"name\":\"f1\".*\"mtime\":-2147472000.000000000[,}]" out && TZ=UTC consign ls -l alice:/sizes >out &&
	grep "1969-12-31 23:59:59 f0" out && grep "1901-12-14 00:00:00 f1" out
'

test_expect_success ROOT 'a file that nobody may touch: its owner at the other side may' '
	echo secret >closed && chmod 0 closed && consign -q put closed alice:/closed &&
	test "$(stat -c %a files/alice/closed)" = 600 && consign -q get alice:/closed closed-back &&
	test "$(stat -c %a closed-back)" = 600 && same_file closed closed-back
'

test_expect_success 'unreadable folders and files in a tree: named, counted, the rest goes' '
	mkdir -p tree/shut tree/open/deep && echo a >tree/a && echo b >tree/open/deep/b && echo c >tree/shut/c &&
	echo d >tree/closed && ln -s nowhere tree/dangling && chmod 0 tree/shut tree/closed &&
	{ ordinary consign --json put -r tree alice:/tree >out 2>err; code=$?; chmod 755 tree/shut; } &&
	{ test $code = 77 || test $code = 65; } && json_lines out && grep "\"good\":2,\"failed\":3" out && grep tree/shut err && grep tree/closed err &&
	grep tree/dangling err && same_file tree/a files/alice/tree/a && same_file tree/open/deep/b files/alice/tree/open/deep/b &&
	test ! -e files/alice/tree/closed && test ! -e files/alice/tree/shut/c
'

test_expect_success ROOT 'the same at the server' '
	mkdir -p files/alice/down/shut files/alice/down/open && echo a >files/alice/down/a &&
	echo b >files/alice/down/open/b && echo c >files/alice/down/shut/c && echo d >files/alice/down/closed &&
	ln -s nowhere files/alice/down/dangling && chmod 0 files/alice/down/shut files/alice/down/closed &&
	{ consign --json get -r alice:/down down >out 2>err; code=$?; } && { test $code = 77 || test $code = 65; } && json_lines out &&
	grep "\"good\":2,\"failed\":3" out && grep down/shut err && grep down/closed err && grep down/dangling err &&
	same_file files/alice/down/a down/a && same_file files/alice/down/open/b down/open/b &&
	test "$(find down -type f | wc -l)" = 2
'

# ---- full disks ----

small() {
	mkdir -p "$2" && mount -t tmpfs -o size="$1" tmpfs "$2" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "$2"; }
}

# full_then_room FOLDER OUT COMMAND...: the command fills FOLDER half way through the tree "many"; what came is whole,
# and with room it ends what it began.
full_then_room() {
	folder_=$1 && shift
	test_expect_code 73 within 60 consign --json "$@" >out 2>err || { cat err && return 1; }
	grep -i "no space" err && json_lines out && came_=$(find "$folder_" -name "f*" -type f | wc -l) &&
		test "$came_" -gt 0 && test "$came_" -lt 12 && grep "\"good\":$came_,\"failed\":$((12 - came_))" out &&
		for file_ in "$folder_"/many/f*; do
			same_file "many/${file_##*/}" "$file_" || return 1
		done && mount -o remount,size=32m "$folder_" && within 60 consign -q "$@"
}

test_expect_success ROOT 'a disk that fills up half way through a tree, at the server' '
	mkdir many && for n in 1 2 3 4 5 6 7 8 9 10 11 12; do random_file many/f$n $MIB || return 1; done &&
	small 6m files/bob && full_then_room files/bob put -r many bob:/many && diff -r many files/bob/many &&
	test -z "$(parts files/bob)" && soon "umount files/bob"
'

test_expect_success ROOT 'a disk that fills up half way through a tree, here' '
	consign -q put -r many bob:/many && small 6m little && full_then_room little get -r bob:/many little/ &&
	diff -r many little/many && test ! -e little/.consign && test ! -e little/many/.consign && soon "umount little"
'

# ---- few descriptors ----

test_expect_success 'more files than descriptors, in a client' '
	mkdir -p wide deep/1/2/3/4/5/6/7/8 && for n in $(seq 100); do echo $n >wide/$n || return 1; done &&
	echo end >deep/1/2/3/4/5/6/7/8/end &&
	few() { (ulimit -n 32 && "$@"); } &&
	few consign -q put -r wide alice:/wide && few consign -q put -r deep alice:/deep &&
	few consign -q get -r alice:/wide wide-back && few consign -q get -r alice:/deep deep-back &&
	diff -r wide wide-back && diff -r deep deep-back
'

test_expect_success 'more connections than descriptors, in the server: some are told to try later, then all is well' '
	stop_relay && stop_server && limit=$(ulimit -S -n) && ulimit -S -n 48 && start_server && ulimit -S -n "$limit" &&
	pids= && for n in $(seq 24); do
		{ within 60 consign -q put first alice:/many$n 2>err$n & } && pids="$pids $!" || return 1
	done && good=0 && for pid in $pids; do
		wait $pid
		case $? in 0) good=$((good + 1)) ;; 75) ;; *) echo "status $?" && cat err* && return 1 ;; esac
	done && echo "$good of 24" && test $good -gt 0 && consign -q put second alice:/after && same_file second files/alice/after &&
	for n in $(seq 24); do test ! -e files/alice/many$n || same_file first files/alice/many$n || return 1; done
'

test_expect_success 'a server that has no descriptor left leaves connections waiting, and does not run in circles' '
	stop_server && : >server.log && start_server && prlimit --pid "$SERVER_PID" --nofile=3: &&
	{ within 60 consign -q ping alice: & } && client=$! &&
	soon "test \$(grep -c \"accepting a connection: Too many open files\" server.log) -ge 2" &&
	prlimit --pid "$SERVER_PID" --nofile="$limit:" && wait $client &&
	test $(grep -c "accepting a connection" server.log) -lt 100 && start_relay "buffer 65536" && RUNS=0
'

# ---- clocks ----

fake=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
# AddressSanitizer has to be loaded before anything else.
test -z "$fake" || ldd "$BUILD/consign" | grep -q asan || test_set_prereq FAKETIME

# A client whose clock is what the file "clock" says; elapsed time is no clock, and stays.
jumping() {
	LD_PRELOAD="$fake" FAKETIME_TIMESTAMP_FILE="$TRASH/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 "$@"
}

for way in up down; do
	test_expect_success FAKETIME "a clock that jumps to and fro during a transfer $way" '
		rm -rf back files/alice/f && mkdir back && at_server first alice/g && echo "+0" >clock && RUNS=$((RUNS + 1)) &&
		for at in 3 5 7 9 11; do relay_do "stall next $way ${at}000000 ever" || return 1; done &&
		if test $way = up; then
			jumping within 60 consign --json put first relayed:/f >out 2>err &
		else
			jumping within 60 consign --json get relayed:/g back/f >out 2>err &
		fi && client=$! && at=3 && for clock in "+3y" "-9000d" "+1" "-3600" "+40y"; do
			soon "test \$(relay_count $RUNS $way) -ge ${at}000000" && echo "$clock" >clock && relay_do go &&
			at=$((at + 2)) || return 1
		done && { wait $client; code=$?; cat err; test $code = 0; } && json_lines out && test ! -s err &&
		if test $way = up; then same_file first files/alice/f; else same_file first back/f; fi &&
		test -z "$(parts files/alice)" && test ! -e back/.consign
	'
done

test_expect_success FAKETIME 'a clock that is wrong from the start: the certificate is not valid then, and that is what is said' '
	echo "-3000d" >clock && test_expect_code 77 jumping consign whoami alice: 2>err && grep -i "valid" err &&
	echo "+9000d" >clock && test_expect_code 77 jumping consign whoami alice: 2>err && cat err && grep -i "valid\|expired" err
'

test_expect_success 'the end' 'stop_relay && consign ping alice:'

for folder in files/bob little; do umount $folder 2>/dev/null; done
test_done
