#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='put, get and what changes names: contents, results and exit statuses'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

MIB=1048576

test_expect_success 'a site with a server' 'site_setup && start_server'

for n in 0 1 16383 16384 16385 $((MIB - 1)) $MIB $((MIB + 1)) $((5 * MIB + 7)) $((40 * MIB + 12345)); do
	test_expect_success "$n bytes there and back" '
		random_file f$n $n && test "$(stat -c %s f$n)" = $n &&
		consign put f$n alice:/f$n >out && grep "root $(root_of f$n)$" out &&
		same_file f$n files/alice/f$n &&
		consign get alice:/f$n back$n >out && grep "root $(root_of f$n)$" out &&
		same_file f$n back$n &&
		test -z "$(parts files/alice)" && test ! -e .consign
	'
done

test_expect_success 'content that repeats and content of zeros' '
	head -c 3000000 /dev/zero >zeros && yes abcdefg | head -c 5000000 >repeats &&
	consign put zeros repeats alice:/ &&
	same_file zeros files/alice/zeros && same_file repeats files/alice/repeats
'

test_expect_success 'several files need a folder at the end' '
	consign mkdir alice:/several &&
	consign put f0 f1 f16385 alice:/several/ >out && grep "put: 3 files.*; 0 failed" out &&
	same_file f1 files/alice/several/f1 && same_file f16385 files/alice/several/f16385 &&
	test_expect_code 64 consign put f0 f1 alice:/several/f0 &&
	mkdir here && consign get alice:/several/f0 alice:/several/f1 here &&
	same_file f0 here/f0 && same_file f1 here/f1
'

test_expect_success 'one of several is missing: the rest goes, the status is its own' '
	test_expect_code 66 consign --json put f1 absent f16384 alice:/several/ >out &&
	json_lines out && grep "\"good\":2,\"failed\":1" out &&
	same_file f16384 files/alice/several/f16384 &&
	test_expect_code 66 consign --json get alice:/several/absent alice:/several/f16384 here >out &&
	json_lines out && grep "\"good\":1,\"failed\":1" out && same_file f16384 here/f16384
'

test_expect_success 'mode and time are kept both ways, to the nanosecond' '
	cp f16385 kept && chmod 640 kept && touch -d "2001-02-03 04:05:06.123456789 UTC" kept &&
	consign put kept alice:/kept && consign get alice:/kept kept2 &&
	stat -c "%a %y" kept >expect && stat -c "%a %y" files/alice/kept >actual && test_cmp expect actual &&
	stat -c "%a %y" kept2 >actual && test_cmp expect actual &&
	chmod 4755 kept && consign put kept alice:/kept && test "$(stat -c %a files/alice/kept)" = 755
'

test_expect_success 'a folder up: what can not go is counted, the rest goes' '
	mkdir -p tree/deep/er tree/empty && cp f16385 tree/deep/er/x && cp f1 tree/y && cp f0 tree/z &&
	cp f1 tree/closed && chmod 0 tree/closed && mkfifo tree/fifo && ln -s y tree/link &&
	if test -n "$ACCOUNT"; then
		run="setpriv --bounding-set -dac_override,-dac_read_search"
	else
		run=
	fi &&
	{ $run consign --json put -r tree alice:/up >out 2>err; code=$?; } &&
	case $code in 65|74|77) ;; *) false ;; esac &&
	json_lines out && grep "\"good\":3,\"failed\":3" out &&
	grep "tree/closed" err && grep "tree/fifo" err && grep "tree/link" err &&
	same_file f16385 files/alice/up/deep/er/x && same_file f1 files/alice/up/y &&
	test -d files/alice/up/empty && test "$(ls files/alice/up | tr "\n" " ")" = "deep empty y z " &&
	test_expect_code 65 consign put tree/deep alice:/not-recursive
'

test_expect_success 'a folder down: the same' '
	mkdir -p files/alice/down/deep && cp f1 files/alice/down/y && cp f16385 files/alice/down/deep/x &&
	cp f1 files/alice/down/closed && chmod 0 files/alice/down/closed &&
	mkfifo files/alice/down/fifo && ln -s y files/alice/down/link &&
	{ consign --json get -r alice:/down got >out 2>err; code=$?; } &&
	case $code in 65|74|77) ;; *) false ;; esac &&
	json_lines out && grep "\"good\":2,\"failed\":3" out &&
	same_file f1 got/y && same_file f16385 got/deep/x && test "$(ls got | tr "\n" " ")" = "deep y " &&
	test -z "$(find got -name .consign)" && test ! -e .consign
'

test_expect_success 'a whole root comes back as it went' '
	mkdir -p whole/a/b && cp f1 whole/a && cp f16385 whole/a/b && consign put -r whole bob:/ &&
	consign get -r bob:/ all && diff -r whole all/whole && test "$(ls all)" = whole
'

test_expect_success 'put -n and get -n replace nothing' '
	consign put f1 alice:/once && test_expect_code 73 consign put -n f16385 alice:/once &&
	same_file f1 files/alice/once && consign put -n f1 alice:/new-name &&
	cp f16385 mine && test_expect_code 73 consign get -n alice:/once mine && same_file f16385 mine &&
	consign get -n alice:/once mine-new && same_file f1 mine-new && test -z "$(parts files/alice)"
'

test_expect_success 'a reader keeps the old file while a new one takes its place' '
	consign put f16385 alice:/held && exec 7<files/alice/held &&
	consign put f16384 alice:/held && cat <&7 >old && exec 7<&- &&
	same_file f16385 old && same_file f16384 files/alice/held &&
	cp f1 target && exec 7<target && consign get alice:/held target && cat <&7 >old && exec 7<&- &&
	same_file f1 old && same_file f16384 target
'

test_expect_success 'names with blanks, UTF-8, and bytes that are no UTF-8' '
	odd=$(printf "bytes \\377\\200") &&
	for name in "two words" " lead" "Größe ☃" "$odd" "-dash" "q\"uote" "semi;\$x" "back\\slash"; do
		cp f16385 "./$name" && consign put -- "./$name" "alice:/$name" &&
		same_file f16385 "files/alice/$name" && consign get "alice:/$name" "./copy of $name" &&
		same_file f16385 "./copy of $name" || return 1
	done &&
	consign --json ls alice:/ >out && json_lines out
'

test_expect_success 'a newline in a name is refused, the rest goes' '
	mkdir lines && cp f1 "lines/a
b" && cp f1 lines/c &&
	test_expect_code 65 consign put -r lines alice:/lines 2>err && test "$(ls files/alice/lines)" = c &&
	test "$(wc -l <err)" = 1 && test_expect_code 65 consign put f1 "alice:/a
b"
'

test_expect_success 'names that are not allowed' '
	for name in .. ../x x/../y .consign .consign/x a//b ./x; do
		test_expect_code 65 consign put f1 "alice:/$name" || return 1
	done
'

test_expect_success 'ls and ls -l' '
	consign mkdir alice:/list && consign put f0 f16385 alice:/list/ && consign mkdir alice:/list/sub &&
	touch -d "2020-01-02 03:04:05" files/alice/list/f16385 && chmod 600 files/alice/list/f16385 &&
	test "$(consign ls alice:/list | tr "\n" " ")" = "f0 f16385 sub/ " &&
	consign ls -l alice:/list >out &&
	grep -x "file   0600          16385 2020-01-02 03:04:05 f16385" out &&
	grep "^folder 0755 .* sub$" out && test "$(wc -l <out)" = 3 &&
	consign --json ls alice:/list >out && json_lines out && test "$(wc -l <out)" = 3 &&
	test_expect_code 66 consign ls alice:/absent && ! consign ls alice:/ | grep "\.consign"
'

test_expect_success 'stat --root: stored, hashed anew after a change beside consign, and for a folder' '
	consign put f16385 alice:/known && consign --json stat --root alice:/known >out && json_lines out &&
	grep "\"root\":\"$(root_of f16385)\"" out &&
	consign stat --root alice:/known >out && grep -x "root $(root_of f16385)" out &&
	printf x | dd of=files/alice/known conv=notrunc status=none &&
	consign stat --root alice:/known >out && grep -x "root $(root_of files/alice/known)" out &&
	consign stat alice:/list >out && grep "^folder" out && test_expect_code 66 consign stat alice:/absent
'

test_expect_success 'mkdir, mkdir -p, rm, rm -d' '
	consign mkdir alice:/m && test_expect_code 73 consign mkdir alice:/m &&
	test_expect_code 66 consign mkdir alice:/m/n/o && consign mkdir -p alice:/m/n/o &&
	consign mkdir -p alice:/m/n/o && test -d files/alice/m/n/o &&
	consign put f1 alice:/m/f && test_expect_code 65 consign rm alice:/m/n &&
	test_expect_code 73 consign rm -d alice:/m && consign rm alice:/m/f &&
	consign rm -d alice:/m/n/o alice:/m/n alice:/m && test ! -e files/alice/m &&
	test_expect_code 66 consign rm alice:/m
'

test_expect_success 'rm goes on after a name that is not there' '
	consign put f1 alice:/r1 && test_expect_code 66 consign rm alice:/r0 alice:/r1 &&
	test ! -e files/alice/r1
'

test_expect_success 'rm --part, where there is a part and where there is none' '
	random_file big 33554432 && test_expect_code 66 consign rm --part alice:/cut &&
	start_relay && relay_do "cut next up $(place 8388608) fin" && test_expect_code 75 consign put big relayed:/cut && stop_relay &&
	soon "consign ls --pending alice:/ >out; test \$(grep -c alice:/cut: out) = 1 && ! grep now out" &&
	consign rm --part alice:/cut && test -z "$(parts files/alice)" && test ! -e files/alice/cut
'

test_expect_success 'mv, mv -n' '
	consign put f1 alice:/one && consign put f16385 alice:/two && consign mv alice:/one alice:/three &&
	same_file f1 files/alice/three && test ! -e files/alice/one &&
	test_expect_code 73 consign mv -n alice:/three alice:/two && same_file f16385 files/alice/two &&
	consign mv alice:/two alice:/three && same_file f16385 files/alice/three &&
	consign --json stat alice:/three >out && grep "\"root\":\"$(root_of f16385)\"" out &&
	test_expect_code 66 consign mv alice:/absent alice:/x && test_expect_code 64 consign mv alice:/a bob:/b
'

test_expect_success 'verify: equal, differing, missing' '
	consign put f16385 alice:/v && consign verify f16385 alice:/v >out && grep "are equal" out &&
	test_expect_code 1 consign verify f16384 alice:/v && test_expect_code 66 consign verify f1 alice:/absent &&
	cp f16385 other && printf "\\0" | dd of=other bs=1 seek=9000 conv=notrunc status=none &&
	test_expect_code 1 consign --json verify other alice:/v >out && json_lines out &&
	grep "\"equal\":false" out && test_expect_code 65 consign verify f1 alice:/list
'

test_expect_success 'whoami, ping' '
	consign whoami alice: >out && grep "^user alice at CN=localhost (consignd/" out &&
	grep "^rights /: list read create overwrite delete rename mkdir$" out &&
	consign --json whoami bob: >out && json_lines out && grep "\"user\":\"bob\"" out &&
	consign ping -n 4 alice: >out && test "$(grep -c "^[0-9.]* ms$" out)" = 4 &&
	consign --json ping alice: >out && json_lines out && test "$(wc -l <out)" = 3 &&
	test_expect_code 64 consign ping -n 0 alice:
'

test_expect_success '--json of transfers and hashes' '
	consign --json put f16385 alice:/j >out && json_lines out && test "$(result status out)" = OK &&
	test "$(result length out)" = 16385 && test "$(result moved out)" = 16385 &&
	test "$(result root out)" = "$(root_of f16385)" &&
	consign --json get alice:/j j >out && json_lines out && test "$(result moved out)" = 16385 &&
	consign --json hash --sha256 f16385 >out && json_lines out &&
	test_expect_code 66 consign --json get alice:/absent j >out && json_lines out &&
	test "$(result status out)" = NOENT && same_file j f16385
'

test_expect_success '-q prints nothing when all is well, and errors when not' '
	for command in "put f1 alice:/q" "get alice:/q q" "put f0 f1 alice:/" "ls alice:/" "whoami alice:" \
		"verify f1 alice:/q" "ping alice:" "mkdir -p alice:/list" "stat alice:/q"; do
		consign -q $command >out 2>&1 && test_must_be_empty out || return 1
	done &&
	test_expect_code 66 consign -q get alice:/absent q >out 2>err && test_must_be_empty out && test -s err
'

test_expect_success 'exit statuses by class' '
	test_expect_code 64 consign && test_expect_code 64 consign put f1 &&
	test_expect_code 64 consign put --nonsense f1 alice:/x && test_expect_code 64 consign nonsense &&
	test_expect_code 78 consign put f1 nobody:/x && test_expect_code 66 consign put absent alice:/x &&
	test_expect_code 66 consign get alice:/absent x && test_expect_code 66 consign put f1 alice:/absent/x &&
	test_expect_code 65 consign get alice:/list x && test_expect_code 73 consign put -n f1 alice:/q &&
	conf map alice rights "list create" && kill -HUP "$SERVER_PID" &&
	soon "! consign whoami alice: | grep read" &&
	test_expect_code 77 consign get alice:/q x && test_expect_code 77 consign rm alice:/q &&
	test_expect_code 77 consign put f1 alice:/q && consign put f1 alice:/q2 &&
	test_expect_code 77 consign mkdir alice:/q3 && test_expect_code 77 consign mv alice:/q alice:/q4 &&
	stop_server && test_expect_code 75 consign put f1 alice:/q
'

test_done
