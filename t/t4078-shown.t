#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='what a hostile server says is shown so that no terminal obeys it, and is valid JSON; nothing is written through links'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

# As rawserver.py takes them. A text: the clipboard (OSC 52), another line, a C1 control character as a byte and in UTF-8, the direction
# of writing, a line separator, the end of a JSON string. A name: as much of that as a name may have, and a "#".
TEXT='\x1b]52;c;eA==\x07\x1b[2J\x0d\x0aconsign:\x20fake\x9b31m\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8","status":"OK'
NAME='\x231,"status":"OK\x9b31m\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8x'

HELLO=68656c6c6f
HASH=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
SMALL="SMALL path= mode=0644 bytes=$HELLO root=$HASH; DONE"

start_liar() {
	: >raw.log
	python3 "$SOURCE/t/rawserver.py" raw.port raw.pem "$RAW_KEY" raw.rules </dev/null >>raw.log 2>&1 4>&- 5>&- 6>&- &
	LIAR=$!
	PROCESSES="$PROCESSES $LIAR"
	soon "test -s raw.port" && conf "$CLIENT_CONF" alice port "$(cat raw.port)"
}

# told STATUS COMMAND... -- RULE...: the command ends with one of these statuses; what it shows, with and without --json, is harmless,
# and some of it is the server's.
told() {
	statuses_=$1 command_= && shift
	while test "$1" != --; do
		command_="$command_ $1" && shift
	done
	shift
	for json_ in "" --json; do
		rm -rf here && mkdir here && printf "%s\n" "$@" >raw.rules && : >raw.log || return 1
		within 30 consign $json_ $command_ >out 2>err
		code_=$?
		case " $statuses_ " in
		*" $code_ "*) ;;
		*) echo "$json_ $command_: status $code_" && cat err && return 1 ;;
		esac
		perl "$SOURCE/t/attack/shown.pl" out err && { test -z "$json_" || test ! -s out || json_lines out; } || return 1
		test "${EXPECT-31m}" = "" || grep -q -a "${EXPECT-31m}" out err || { cat out err; return 1; }
	done
}

test_expect_success 'a site, and a server that only looks like one' '
	attack_site && printf hello >hello && start_server && stop_server &&
	consign-pki issue server localhost 127.0.0.1 --file-key --pin "$SOFTHSM_PIN_FILE" --out raw.pem >raw.issued &&
	RAW_KEY=$(key_of_ raw.issued) && start_liar
'

test_expect_success 'listings' '
	told 0 ls alice:/d -- "LIST: ENTRY type=1 name=$NAME; ENTRY type=2 name=$NAME#; DONE" &&
	told 0 ls -l alice:/d -- "LIST: ENTRY type=3 name=$NAME; DONE" &&
	told 0 ls --pending alice:/ -- "PENDING: PART path=/$TEXT; DONE"
'

test_expect_success 'a name that looks like a number, or an object, is a string' '
	told 0 ls alice:/d -- "LIST: ENTRY type=1 name=\\x2312,\"size\":31m; DONE" &&
	cp out out.json && test "$(field name)" = "#12,\"size\":31m" && test "$(field size)" = 0
'

test_expect_success 'who it says we are' '
	told 0 whoami alice: -- "WELCOME: WELCOME min=1 max=1 user=$TEXT session=$NAME rights=$TEXT agent=\\x239 idle=300"
'

test_expect_success 'refusals, and ends in words' '
	told 77 whoami alice: -- "WELCOME: REFUSED status=7 reason=$TEXT session=$NAME" &&
	told "70 75 76 77" whoami alice: -- "WELCOME: ERROR status=7 reason=$TEXT" &&
	told "70 75 76 77" ls alice:/ -- "LIST: ERROR status=7 reason=$TEXT"
'

for c in "LIST 66 ls alice:/d" "STAT 66 stat alice:/d" "PENDING 66 ls --pending alice:/" "MKDIR 66 mkdir alice:/d" "REMOVE 66 rm alice:/d" \
	"RENAME 66 mv alice:/a alice:/b" "FETCH 66 get alice:/f here/f" "SMALL 66 put hello alice:/f" "PING 66 ping alice:"; do
	test_expect_success "an error in answer to $c" '
		set -- $c && request=$1 status=$2 && shift 2 && told $status "$@" -- "$request: DONE status=9 reason=$TEXT"
	'
done

test_expect_success 'an error in a transfer, up and down' '
	random_file long 200000 && told 73 put long alice:/f -- "PUT: WAIT OFFER; READY; DONE status=20 reason=$TEXT; WAIT ABORT" &&
	told "65 74 75" get alice:/f here/f -- "FETCH: DONE" "GET: OFFER length=5; WAIT READY; ABORT status=3 reason=$TEXT; WAIT DONE"
'

test_expect_success 'trees: names, and faults whose names may be anything' '
	told "65 74 77" get -r alice:/d here/ -- "WALK path=/d flags=0: ITEM type=1 size=5 name=$NAME; ITEM type=2 name=f$NAME; ITEM type=5 name=f$NAME; ITEM type=6 mode=7 name=$TEXT; PAGE; DONE" \
		"WALK path=/d: ITEM type=2 name=f$NAME; ITEM type=5 name=f$NAME; PAGE; DONE" "FETCH: $SMALL" && test "$(ls here/d | wc -l)" = 2 &&
	told "0 65 74 77" sync --dry-run -v alice:/d here -- \
		"WALK path=/d flags=0: ITEM type=1 size=5 name=$NAME; ITEM type=2 name=f$NAME; ITEM type=5 name=f$NAME; PAGE; DONE"
'

test_expect_success 'a whole folder is held against theirs' '
	mkdir -p mine && echo x >mine/a && told "1 65 66 77" verify -r mine alice:/d -- \
		"WALK path=/d: ITEM type=1 size=5 name=$NAME; ITEM type=6 mode=7 name=$TEXT; PAGE; DONE"
'

# What consign itself has a terminal do: the beginning of the line, and nothing to its end.
test_expect_success 'the bar of progress' '
	rm -rf here && mkdir here && printf "%s\n" "WALK path=/d flags=0: ITEM type=1 size=5 name=$NAME; PAGE; DONE" \
		"GET: OFFER length=5; WAIT READY; TIMES 200000 PROGRESS phase=1 done=1 total=9; DATA bytes=$HELLO; CHUNK hash=$HASH; COMMIT length=5 root=$HASH; WAIT DONE" >raw.rules &&
	within 60 script -q -e -c "consign get -r alice:/d here/" /dev/null >tty </dev/null && grep -a "#1,.*31m.*%" tty >/dev/null &&
	perl -pe "s/\r|\e\[K//g" tty >seen && perl "$SOURCE/t/attack/shown.pl" seen && test "$(ls here/d | wc -l)" = 1
'

test_expect_success 'the doctor' '
	EXPECT= told "0 1 65 69 70 75 76 77 78" doctor alice: -- "WELCOME: WELCOME min=1 max=1 user=$TEXT session=$NAME rights=$TEXT agent=$TEXT idle=300" &&
	told "1 65 69 70 75 76 77 78" doctor alice: -- "WELCOME: REFUSED status=7 reason=$TEXT"
'

# ---- what stands here already ----

# over THING COMMAND...: what is planted at here/f; the command may replace or refuse it, and the canary is as it was.
over() {
	rm -rf here && mkdir here && $1 && shift && echo "FETCH: $SMALL" >raw.rules &&
		{ within 30 consign "$@" >out 2>err; code_=$?; cat err; test $code_ != 124; } && canary_untouched &&
		{ test $code_ != 0 || { test ! -h here/f && same_file hello here/f; }; }
}
a_link() { ln -s "$TRASH/canary/secret" here/f; }
a_dangling_link() { ln -s "$TRASH/canary/new" here/f; }
a_pipe() { mkfifo here/f; }
another_name() { ln canary/secret here/f 2>/dev/null || ln -s "$TRASH/canary/secret" here/f; }
parts_elsewhere() { ln -s "$TRASH/canary" here/.consign; }

test_expect_success 'a download over a link, a pipe, another name of a file, a service folder that leads elsewhere' '
	for thing in a_link a_dangling_link a_pipe parts_elsewhere; do
		over $thing get alice:/f here/f || return 1
	done &&
	test_might_fail over another_name get alice:/f here/f && test "$(cat canary/secret)" = "a stranger'"'"'s"
'

test_expect_success 'the liar lived to the end' '
	kill "$LIAR" && { wait "$LIAR"; test $? = 143; } && ! grep Traceback raw.log && PROCESSES=
'

test_done
