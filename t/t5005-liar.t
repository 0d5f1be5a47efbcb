#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a server that lies: refused, nothing written where it should not be, and it ends'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# "hello", its length, its hash.
HELLO=68656c6c6f
HASH=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824

start_liar() {
	: >raw.log
	python3 "$SOURCE/t/rawserver.py" raw.port raw.pem "$RAW_KEY" raw.rules </dev/null >>raw.log 2>&1 4>&- 5>&- 6>&- &
	LIAR=$!
	soon "test -s raw.port" && conf "$CLIENT_CONF" alice port "$(cat raw.port)"
}

# All that there is but what changes anyway.
inventory() {
	find "$TRASH" \( -name .consign -o -path "$TRASH/here" -o -name softhsm -o -name "raw.*" -o -name out -o -name err -o -name before \
		-o -name after -o -path "*/tmp" -o -path "$CLIENT_CONF*" \) -prune -o -type d -print -o -printf "%p %i %s %m %T@\n" | sort
}

# lie STATUS COMMAND... -- RULE...: the command ends by itself with that status and says why; nothing changes outside
# of the folder here, and the server is told when its protocol is at fault.
lie() {
	status_=$1 command_= && shift
	while test "$1" != --; do
		command_="$command_ $1" && shift
	done
	shift
	rm -rf here && mkdir here && { test $# = 0 || printf "%s\n" "$@"; } >raw.rules && : >raw.log &&
		inventory >before || return 1
	within 30 consign $command_ >out 2>err
	code_=$?
	inventory >after
	test $code_ = "$status_" && test_cmp before after && { test $code_ = 0 || test -s err; } &&
		{ test $code_ != 76 || soon "grep EOF raw.log"; } && return
	printf "status %s: %s\nwith: %s\n" "$code_" "$(cat err)" "$*" && cat raw.log
	return 1
}

# listed STATUS ITEMS: get -r of a folder with these.
listed() {
	lie "$1" get -r alice:/d here/ -- "WALK path=/d flags=0: $2; PAGE; DONE" "GET: OFFER length=0 mode=0644; WAIT READY; COMMIT; WAIT DONE"
}
# offered STATUS STEPS: get of a file, for which it says that.
offered() {
	lie "$1" get alice:/f here/f -- "GET: $2" && test ! -e here/f && return
	ls -l here
	return 1
}
# taken STATUS STEPS: put of a file, to which it says that.
taken() {
	lie "$1" put long alice:/f -- "PUT: WAIT OFFER; $2"
}
FIVE="OFFER length=5; WAIT READY"
DATA="DATA bytes=$HELLO"
CHUNK="CHUNK hash=$HASH"
COMMIT="COMMIT length=5 root=$HASH"

test_expect_success 'a site, and a server that only looks like one' '
	site_setup && printf hello >hello && random_file long 200000 && start_server && stop_server &&
	consign-pki issue server localhost 127.0.0.1 --file-key --pin "$SOFTHSM_PIN_FILE" --out raw.pem >raw.issued &&
	RAW_KEY=$(key_of_ raw.issued) && test -s "$RAW_KEY" && start_liar && test "$(openssl dgst -sha256 -r hello | cut -c1-64)" = $HASH
'

test_expect_success 'while it tells the truth all is well' '
	lie 0 get alice:/f here/f -- "GET: $FIVE; $DATA; $CHUNK; $COMMIT; WAIT DONE" && same_file hello here/f &&
	lie 0 put long alice:/f -- "PUT: WAIT OFFER; READY; WAIT COMMIT; DONE" &&
	lie 0 get -r alice:/d here/ -- "WALK path=/d flags=0: ITEM type=1 name=a; ITEM type=2 name=b; ITEM type=5 name=b; PAGE; DONE" \
		"WALK path=/d: ITEM type=2 name=b; ITEM type=5 name=b; PAGE; DONE" \
		"GET: $FIVE; $DATA; $CHUNK; $COMMIT; WAIT DONE" && same_file hello here/d/a && test -d here/d/b &&
	lie 0 stat alice:/f -- && lie 0 ls alice:/ --
'

for name in / a/b /a .. . ../a ../../a "" a/../b .consign a\\x00b a\\nb a\\x1bb "$(printf "%0256d" 0 | tr 0 x)"; do
	test_expect_success "a listing with the name \"$name\"" '
		listed 76 "ITEM type=1 name=$name" && test -z "$(find here -mindepth 1 ! -name d)" &&
		listed 76 "ITEM type=2 name=good; ITEM type=2 name=good/$name" && test -z "$(find here -mindepth 1 ! -name d)" &&
		lie 76 ls alice:/d -- "LIST: ENTRY type=1 name=$name; DONE"
	'
done

test_expect_success 'a listing with a name twice, with answers to another request, with what is no entry' '
	for wrong in "ENTRY type=1 name=a; ENTRY type=1 name=a" "ENTRY type=1 name=a; ENTRY type=2 name=a" \
		"ENTRY type=1 name=a id=4711" "INFO type=1" "PART path=/x" OFFER "ENTRY type=0 name=a" "ENTRY type=5 name=a" \
		"RAW 0000000522000000" "DONE id=4711"; do
		lie 76 ls alice:/d -- "LIST: $wrong; DONE" || return 1
	done
'

test_expect_success 'a walk that goes elsewhere, leaves what it did not enter, or is none' '
	for wrong in "ITEM type=1 name=b/a" "ITEM type=5 name=b" "ITEM type=2 name=b; ITEM type=1 name=c/a" \
		"ITEM type=2 name=b; ITEM type=2 name=b/c; ITEM type=5 name=b" "ITEM type=0 name=a" "ITEM type=7 name=a" \
		"ITEM type=1 name=a; PAGE" "PAGE id=4711" "INFO type=1" "RAW 0000000825000000010000ff"; do
		listed 76 "$wrong" || return 1
	done
'

test_expect_success 'links and devices: left out, and the rest fetched' '
	listed 65 "ITEM type=3 name=a; ITEM type=4 name=b; ITEM type=1 name=c" && test -f here/d/c &&
	test "$(ls here/d)" = c
'

# kept STATUS FIRST SECOND: get -r, links kept, of a folder with FIRST the first time, and SECOND when links are asked for.
kept() {
	lie "$1" get -r --links keep alice:/d here/ -- "WALK path=/d flags=0: ${2:+$2; }PAGE; DONE" "WALK path=/d flags=4: ${3:+$3; }PAGE; DONE" \
		"GET: OFFER length=0 mode=0644; WAIT READY; COMMIT; WAIT DONE"
}
test_expect_success 'links that are kept: what comes below one goes nowhere' '
	mkdir -p beyond && L="ITEM type=3 name=a target=$TRASH/beyond" && F="ITEM type=2 name=a; ITEM type=1 name=a/f; ITEM type=5 name=a" &&
	kept 0 "$L" "$L" && test "$(readlink here/d/a)" = "$TRASH/beyond" &&
	kept 65 "$F" "$L" && test -d here/d/a && test ! -h here/d/a && test -f here/d/a/f &&
	kept 73 "$L" "$L; ITEM type=2 name=a mode=0700; ITEM type=5 name=a mode=0700" && test -h here/d/a &&
	kept 65 "$L; $F" "$L" && kept 76 "$L; ITEM type=1 name=a/f" "$L" && kept 76 "$L" "$L; ITEM type=3 name=a/b target=x" &&
	kept 65 "$L; $F" "$F; $L" && kept 77 "ITEM type=3 name=a" "ITEM type=3 name=a" && test -z "$(ls here/d)" &&
	kept 76 "ITEM type=1 name=a target=x" "" && kept 76 "" "ITEM type=2 name=a target=x" && kept 76 "" "ITEM type=3 name=a target=x\\x00y" &&
	kept 0 "" "ITEM type=3 name=a target=x; ITEM type=3 name=a target=y" && test "$(readlink here/d/a)" = y && test -z "$(ls beyond)"
'
test_expect_success 'links that stand here are not gone through either' '
	mkdir -p beyond && for links in keep skip; do
		mkdir -p here && ln -sfn "$TRASH/beyond" here/a &&
			printf "%s\n" "WALK path=/d flags=1: ITEM type=2 name=a; ITEM type=5 name=a; PAGE; DONE" \
				"WALK path=/d: ITEM type=2 name=a; ITEM type=1 name=a/f; ITEM type=5 name=a; PAGE; DONE" \
				"GET: OFFER length=0 mode=0644; WAIT DONE; ABORT" >raw.rules &&
			{ consign sync --links $links alice:/d here 2>err; test $? = 65; } && test -z "$(ls beyond)" && test -h here/a || return 1
	done
'

test_expect_success 'a listing without an end' '
	lie 75 ls alice:/d -- "LIST: EVER ENTRY type=1 name=a"
'

test_expect_success 'small files: of another root, twice, of another request, of a kind or time that can not be' '
	small="SMALL path= mode=0644 bytes=$HELLO root=$HASH" &&
	lie 0 get alice:/f here/f -- "FETCH: $small; DONE" && same_file hello here/f &&
	lie 65 get alice:/f here/f -- "FETCH: SMALL path= bytes=$HELLO root=00; DONE" && test ! -e here/f &&
	for wrong in "$small; $small" "$small id=4711" "$small kind=9" "$small mtime_ns=1000000000" "$small path=/elsewhere" "$small flags=1" \
		"INFO type=1" OFFER; do
		lie 76 get alice:/f here/f -- "FETCH: $wrong; DONE" &&
		{ test ! -e here/f || same_file hello here/f; } || return 1
	done
'

# More than a group takes.
test_expect_success 'an error after the content of each of many small files' '
	small="SMALL path= mode=0644 bytes=$HELLO root=$HASH" &&
	lie 0 get -r alice:/d here/ -- "WALK path=/d flags=0: $(seq -s " " -f "ITEM type=1 size=5 name=a%g;" 600) PAGE more=1; DONE" \
		"NEXT: $(seq -s " " -f "ITEM type=1 size=5 name=b%g;" 600) PAGE; DONE" "FETCH: $small; DONE status=5 reason=no" &&
	test "$(ls here/d | wc -l)" = 1200 && test ! -e here/.consign
'

test_expect_success 'what it says of a file: twice, not at all, of another request, of no type' '
	lie 76 stat alice:/f -- "STAT: INFO type=1; INFO type=1; DONE" && lie 76 stat alice:/f -- "STAT: DONE" &&
	lie 76 stat alice:/f -- "STAT: INFO type=1 id=9; DONE" && lie 76 stat alice:/f -- "STAT: INFO type=9; DONE" &&
	lie 76 stat alice:/f -- "STAT: INFO type=1; INFO type=2; DONE"
'

test_expect_success 'offers that can not be' '
	for wrong in length=18446744073709551615 length=9223372036854775808 "length=5 allocated=6" log2=0 log2=13 log2=29 log2=64 log2=255 \
		"length=1099511627776 log2=14" mtime_ns=1000000000 id=77; do
		offered 76 "OFFER $wrong; WAIT DONE; ABORT" && test ! -e here/.consign || return 1
	done &&
	huge="OFFER length=281474976710656 allocated=281474976710656 log2=28; WAIT DONE; ABORT" && { offered 73 "$huge" || offered 75 "$huge"; }
'

test_expect_success 'something else where an offer was due' '
	for wrong in "$DATA" DONE "DONE status=9 id=5" READY WELCOME; do
		offered 76 "$wrong; WAIT DONE; ABORT" || return 1
	done
'

test_expect_success 'one that is told that it is wrong, and says no more' '
	conf "$CLIENT_CONF" alice stall 1s && offered 76 READY && offered 75 "$FIVE" && conf "$CLIENT_CONF" alice stall ""
'

test_expect_success 'more than was offered, and in the wrong place' '
	for wrong in "DATA bytes=$HELLO$HELLO" "DATA index=1 bytes=$HELLO" "DATA offset=1 bytes=$HELLO" "DATA" \
		"DATA index=18446744073709551615 bytes=$HELLO" "$DATA; $DATA" "$DATA; $CHUNK; $DATA" "DATA id=5 bytes=$HELLO" \
		"DATA kind=9 bytes=$HELLO" "$CHUNK" "$DATA; CHUNK index=1 hash=$HASH" "KEEP count=1" \
		"KEEP count=18446744073709551615" "KEEP first=1 count=1" \
		HOLE "HOLE count=2" "HOLE first=1 count=1" "HOLE count=18446744073709551615" "HOLE count=1; HOLE count=1" \
		"HOLE count=1 id=5" "$DATA; HOLE count=1" "$DATA; $CHUNK; HOLE count=1" "HOLE count=1; $DATA" "$COMMIT" "$DATA; $COMMIT" "READY" "OFFER length=5" \
		"$DATA; $CHUNK; COMMIT length=6 root=$HASH" "$DATA; $CHUNK; COMMIT id=5 length=5 root=$HASH" "DONE"; do
		offered 76 "$FIVE; $wrong; WAIT DONE; ABORT" || return 1
	done
'

test_expect_success 'another content than its hashes say' '
	offered 65 "$FIVE; DATA bytes=4861616c6f; $CHUNK; WAIT DONE; ABORT" &&
	offered 65 "$FIVE; $DATA; CHUNK hash=00; WAIT DONE; ABORT" &&
	offered 65 "$FIVE; $DATA; $CHUNK; COMMIT length=5 root=00; WAIT DONE"
'

test_expect_success 'data without an end' '
	offered 76 "$FIVE; EVER DATA bytes=$(printf "%080000d" 0)"
'

test_expect_success 'an upload: answers that do not fit' '
	for wrong in "READY have=2" "READY have=18446744073709551615" "READY; READY" "READY id=9" "HAVE hashes=$HASH" \
		"READY have=1; HAVE first=1 hashes=$HASH" "READY have=1; HAVE hashes=${HASH}00" "READY have=1; HAVE" \
		"READY have=1; HAVE hashes=$HASH$HASH" "READY; HAVE hashes=$HASH" "READY have=1; HAVE hashes=$HASH id=9" \
		"READY; INFO type=1" "READY; OFFER" "DONE" "READY; DONE id=9" "READY; EVER READY"; do
		taken 76 "$wrong" || return 1
	done
'

test_expect_success 'statuses that it may say, known and unknown, end an upload as they should' '
	taken 73 "READY; DONE status=20 reason=full; WAIT ABORT" && taken 70 "READY; DONE status=999; WAIT ABORT" &&
	taken 75 "CUT" && taken 75 "READY; CUT"
'

test_expect_success 'a greeting that is none' '
	for wrong in "WELCOME min=2 max=3" "RAW 7fffffff01" "RAW 00000000" "RAW 00100001ff" "DONE" "RAW 0000000201ff" \
		"ENTRY name=x type=1"; do
		lie 76 whoami alice: -- "WELCOME: $wrong" || return 1
	done &&
	lie 77 whoami alice: -- "WELCOME: REFUSED status=0" && lie 75 whoami alice: -- "WELCOME: CUT"
'

test_expect_success 'words for a terminal: shown escaped' '
	lie 77 whoami alice: -- "WELCOME: REFUSED status=7 reason=\\x1b[2Jgone" && ! grep "$(printf "\\033")" err && grep gone err &&
	lie 66 get alice:/f here/f -- "GET: DONE status=9 reason=\\x1b[2Jgone" && ! grep "$(printf "\\033")" err && grep gone err &&
	lie 0 ls --pending alice:/ -- "PENDING: PART path=/\\x1b[2Jgone; DONE" && ! grep "$(printf "\\033")" out && grep gone out &&
	lie 0 whoami alice: -- "WELCOME: WELCOME min=1 max=1 user=\\x1b[2Jgone rights=\\x1b[2J agent=\\x1b[2J" &&
	! grep "$(printf "\\033")" out && grep gone out
'

test_expect_success 'modes and times of all kinds' '
	lie 0 get alice:/f here/f -- "GET: OFFER length=5 mode=4294967295 mtime_s=18446744073709551615; WAIT READY; $DATA; $CHUNK; $COMMIT; WAIT DONE" &&
	same_file hello here/f && test "$(stat -c %a here/f)" = 755 &&
	lie 0 get alice:/f here/f -- "GET: OFFER length=5 mode=0 mtime_s=9223372036854775807; WAIT READY; $DATA; $CHUNK; $COMMIT; WAIT DONE" &&
	same_file hello here/f && test "$(stat -c %a here/f)" = 600
'

test_expect_success 'the liar lived to the end' '
	kill "$LIAR" && { wait "$LIAR"; test $? = 143; } && ! grep Traceback raw.log
'

test_done
