#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='walks through trees at the server, page by page, and many names of one folder'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

HOME_=files/alice

# raw STEP...: says it after the server's verdict and HELLO; what comes back, without the verdict. All that
# was asked is answered before it hangs up.
raw() {
	due_=$#
	for step_; do
		case $step_ in WAIT* | ONLINE*) due_=$((due_ - 1)) ;; esac
		case $step_ in WAIT*) due_=$((due_ - 1)) ;; esac
	done
	while test $((due_ -= 1)) -ge 0; do set -- "$@" "WAIT DONE"; done
	within 60 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" WAIT "HELLO agent=raw" "$@" |
		sed 1d
}

# walked FLAGS PATH: the items of a whole walk, sorted.
walked() {
	raw "WALK flags=$1 path=$2" "WAIT DONE" >walked.out && grep -q "^ last" walked.out &&
		grep -q "^DONE OK" walked.out && grep "^ [a-z:A-Z]* " walked.out | sort
}

# A name and its length as STATS has them, in hex.
name() {
	printf '%04x' ${#1} && printf %s "$1" | od -An -tx1 | tr -d ' \n'
}

records() {
	grep -c "\"event\":\"$1\",\"status\":\"$2\"" server.audit
}

test_expect_success 'a site with a user whose key is a file' '
	site_setup && start_server &&
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out alice-file.pem \
		>alice.issued && FILE_KEY=$(key_of_ alice.issued) && test -s "$FILE_KEY"
'

test_expect_success 'a tree with all that can stand in one' '
	mkdir -p $HOME_/t/a/b $HOME_/t/.consign $HOME_/t/closed && echo text >$HOME_/t/a/b/f &&
	chmod 640 $HOME_/t/a/b/f && { test -z "$ACCOUNT" || chown "$ACCOUNT:" $HOME_/t/a/b/f; } &&
	ln -s a $HOME_/t/link && mkfifo $HOME_/t/fifo && : >"$HOME_/t/$(printf "\377 \303\251")" &&
	: >"$HOME_/t/$(printf "bad\033")" && : >$HOME_/t/closed/x && chmod 000 $HOME_/t/closed &&
	walked 0 /t >tree && cat >expect <<-\EOT &&
	 fault:DENIED closed
	 fault:NAME bad\x1b
	 file \xff \xc3\xa9 0 644
	 file a/b/f 5 640
	 folder a
	 folder a/b
	 leave a
	 leave a/b
	 link link
	 other fifo
	EOT
	sed "s/bad.*/bad\\\\x1b/" tree | LC_ALL=C sort >out && test_cmp expect out &&
	chmod 755 $HOME_/t/closed
'

test_expect_success 'folders alone, and a folder as deep as it is asked for' '
	walked 1 /t >out && printf " %s\n" "folder a" "folder a/b" "folder closed" "leave a" "leave a/b" \
		"leave closed" | test_cmp - out &&
	walked 0 /t/a >out && printf " %s\n" "file b/f 5 640" "folder b" "leave b" | test_cmp - out &&
	raw "WALK path=/none" "WALK path=/t/link" "WALK path=/t/a/b/f" "WALK path=/../x" |
		grep -o "DONE [A-Z]*" >out &&
	printf "DONE %s\n" NOENT NAME TYPE NAME | test_cmp - out
'

test_expect_success 'roots that are stored come when they are asked for' '
	echo small >small && random_file big 3000000 && consign -q mkdir alice:/up && consign -q put small alice:/up/small &&
	consign -q put big alice:/up/big && echo not stored >$HOME_/up/other && walked 2 /up >out &&
	grep "^ file small 6 [0-7]* $(root_of small)$" out && grep "^ file big 3000000 [0-7]* $(root_of big)$" out &&
	grep -x " file other 11 644" out && walked 0 /up >out && ! grep "$(root_of small)" out
'

test_expect_success 'five thousand entries come on several pages, each of them once' '
	mkdir $HOME_/many && (cd $HOME_/many && seq -f "name of entry %05g" 5000 | xargs -d "\n" touch) &&
	raw "WALK path=/many" "NEXT id=2" "NEXT id=3" "NEXT id=4" "NEXT id=5" "NEXT id=6" "NEXT id=7" "NEXT id=8" \
		"NEXT id=9" "NEXT id=10" "NEXT id=11" "NEXT id=12" >out &&
	grep "^ file" out | sort >entries && test "$(wc -l <entries)" -eq 5000 &&
	seq -f " file name of entry %05g 0 644" 5000 | test_cmp - entries &&
	test "$(grep -cx " more" out)" -ge 5 && test "$(grep -cx " last" out)" -eq 1 &&
	grep "^DONE NOENT" out && test "$(records walk OK)" -ge 1
'

test_expect_success 'a page waits for what comes between; a new walk ends the one before' '
	raw "WALK path=/many" "PING id=2" "STAT path=/t/a/b/f" "NEXT id=3" "WALK path=/t/a id=4" "NEXT id=5" >out &&
	grep -v "^ file name" out >order && cat >expect <<-\EOT &&
	ITEMS
	 more
	DONE OK
	DONE OK
	INFO
	DONE OK
	ITEMS
	 more
	DONE OK
	ITEMS
	 last
	 folder b
	 file b/f 5 640
	 leave b
	DONE OK
	DONE NOENT no walk is open
	EOF
	EOT
	test_cmp expect order
'

test_expect_success 'a folder that vanishes during its walk ends it in order' '
	mkdir -p $HOME_/gone/d && cp -R $HOME_/many $HOME_/gone/d/many &&
	raw "WALK path=/gone" "WAIT DONE" "ONLINE rm -rf $HOME_/gone" "NEXT id=2" "NEXT id=3" "NEXT id=4" \
		"NEXT id=5" "NEXT id=6" "NEXT id=7" "NEXT id=8" "NEXT id=9" "NEXT id=10" >out &&
	sed "1,/^DONE/d" out >rest && ! grep "^ file" rest && ! grep "^ERROR" rest &&
	test "$(grep -cx " last" rest)" -eq 1 && grep -A9 "^ leave d/many" rest | sed -n "/^DONE/q;p" >out &&
	printf " %s\n" "leave d/many" "leave d" | test_cmp - out
'

case $BUILD in
*sanitize*) ;;
*) test_set_prereq MEMORY ;;
esac

# The store is the youngest child of the server.
test_expect_success MEMORY 'the memory of the store does not grow with the tree' '
	mkdir $HOME_/large && for i in 1 2 3 4; do cp -Rl $HOME_/many $HOME_/large/$i || return 1; done &&
	echo "echo \$(grep VmHWM /proc/\$(pgrep -n -P $SERVER_PID)/status | tr -dc 0-9) >>peaks" >look &&
	set -- && for i in $(seq 40); do set -- "$@" "NEXT id=$i" "WAIT DONE"; done &&
	raw "WALK path=/large" "WAIT DONE" "ONLINE sh look" "$@" "ONLINE sh look" >out &&
	test "$(grep -c "^ file" out)" -eq 20000 && grep -qx " last" out && test "$(wc -l <peaks)" -eq 2 &&
	first=$(head -n 1 peaks) last=$(tail -n 1 peaks) && test "$first" -gt 1000 &&
	test $((last - first)) -lt 1024
'

test_expect_success 'names are told in their order, wherever they lie' '
	raw "STATS path=/t names=$(name link)$(name none)$(name a)$(name fifo)$(name closed)" \
		"STATS flags=2 path=/up names=$(name small)" "STATS path=/t" "STATS path=/none names=$(name x)$(name y/z)" \
		"STATS path=/ names=$(name up/small)$(name t/a)$(name up/none/x)$(name up/small/x)" \
		"STATS path=/t names=$(name ..)" "STATS path=/t names=$(name a/.consign)" "STATS path=/t names=0005aa" >out &&
	cat >expect <<-EOT && sed "s/ [67][0-7][0-7] / /; s/^\(DONE [A-Z]*\).*/\1/" out | test_cmp expect -
	ITEMS
	 last
	 link link
	 missing none
	 folder a
	 other fifo
	 folder closed
	DONE OK
	ITEMS
	 last
	 file small 6 $(root_of small)
	DONE OK
	ITEMS
	 last
	DONE OK
	ITEMS
	 last
	 missing x
	 missing y/z
	DONE OK
	ITEMS
	 last
	 file up/small 6 644
	 folder t/a
	 missing up/none/x
	 fault:TYPE up/small/x
	DONE OK
	DONE NAME
	DONE NAME
	DONE PROTO
	EOF
	EOT
'

test_expect_success 'many names take several pages' '
	names=$(for i in $(seq 2500); do name "name of entry $(printf %05d $i)"; done) &&
	raw "STATS path=/many names=$names" >out && test "$(grep -c "^ file" out)" -eq 2500 &&
	seq -f " file name of entry %05g 0 644" 2500 >expect && grep "^ file" out | test_cmp expect - &&
	test "$(grep -cx " more" out)" -ge 2 && test "$(grep -cx " last" out)" -eq 1
'

test_expect_success 'a walk is recorded once, names of a folder at its first, what fails always' '
	walks=$(records walk OK) stats=$(records stats OK) &&
	raw "WALK path=/many" "NEXT id=2" "NEXT id=3" "STATS path=/t names=$(name a)" "STATS path=/t names=$(name b)" \
		"STATS path=/up names=$(name a)" "STATS path=/t/.." "STATS path=/t/.." "WALK path=/none" >out &&
	test "$(records walk OK)" -eq $((walks + 1)) && test "$(records stats OK)" -eq $((stats + 2)) &&
	test "$(grep "\"event\":\"stats\"" server.audit | tail -n 2 | grep -c "\"NAME\"")" -eq 2 &&
	tail -n 5 server.audit | grep "\"event\":\"walk\",\"status\":\"NOENT\""
'

test_expect_success 'flags that are not known, and an item as a frame, end the connection' '
	raw "WALK flags=8 path=/t" >out && grep "^ERROR PROTO" out && raw "STATS flags=1 path=/t" >out &&
	grep "^ERROR PROTO" out && raw "ITEMS items=00" >out && grep "^ERROR PROTO" out &&
	raw "RAW 0000000126" >out && grep "^ERROR PROTO" out
'

test_expect_success 'it takes the right to list; roots below show, and are walked as far as they may be' '
	mkdir files/in files/drop && : >files/in/f && : >files/drop/hidden &&
	conf map alice "root /t/a/inbox" "$TRASH/files/in" && conf map alice "rights /t/a/inbox" list &&
	conf map alice "root /t/b" "$TRASH/files/drop" && conf map alice "rights /t/b" create && restart_server &&
	walked 0 /t >out && grep -x " folder a/inbox" out && grep -x " file a/inbox/f 0 644" out &&
	grep -x " leave a/inbox" out && grep -x " fault:DENIED b" out && ! grep hidden out &&
	raw "WALK path=/t/b" "STATS path=/t/b names=$(name hidden)" >out && grep "^DONE DENIED" out && grep -x " fault:DENIED hidden" out &&
	grep "\"event\":\"walk\",\"status\":\"DENIED\"" server.audit
'

test_done
