#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the chain of the audit log, its signed heads, and what of tampering is found'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/audit.sh
. "$SOURCE/t/audit.sh"

test_expect_success 'a site whose audit log has signed heads' '
	site_setup && audit_key server && conf server.conf server audit-head-records 20 && start_server && echo text >f
'

test_expect_success 'three files of a log: a rotation, a restart, heads in between' '
	puts a 12 && rotate_log server.audit.2 && puts b 25 && rotate_log server.audit.1 && puts c 12 &&
	restart_server && puts d 12 && stop_server
'

test_expect_success 'every line carries the hash of the one before, as sha256sum sees it' '
	cat server.audit.2 server.audit.1 server.audit >whole && n=0 && before=$(printf %064d 0) &&
	while read -r line; do
		n=$((n + 1)) && case $line in *"\"seq\":$n,\"prev\":\"$before\""*) ;; *) echo "$n: $line"; return 1 ;; esac &&
			before=$(printf "%s\\n" "$line" | sha256sum | cut -d " " -f 1) || return 1
	done <whole && test $n -gt 60
'

test_expect_success 'it is good, whatever the order that the files are named in' '
	verify --cert sign.pem server.audit server.audit.1 server.audit.2 >out && grep "^good .* lines 1 to $(wc -l <whole)$" out &&
	grep "closed" out && heads=$(sed -n "s/^ *\\([0-9]*\\) signed heads, .*/\\1/p" out) && test "$heads" -ge 5 &&
	grep " 0 unsigned" out && grep "\"event\":\"rotate\"" server.audit.1 && head -n 1 server.audit | grep "\"event\":\"continue\""
'

test_expect_success 'what is there is what --json says' '
	verify --json --cert sign.pem server.audit server.audit.? server.audit.head >out.json && test "$(field verdict)" = good &&
	test "$(field signatures_checked)" = 1 && test "$(field last)" = "$(wc -l <whole)" && test "$(field findings)" != -
'

test_expect_success 'another key, or none, has signed nothing' '
	cp whole log && bad --cert alice.pem && grep "^bad .*signed by another key" out
'

# What is changed below is "whole", and copied: each of these stands on its own.
test_expect_success 'a changed line is named' '
	sed "30s/alice/malory/" whole >log && bad && grep "^bad    log:30: changed" out &&
	sed "30s/\"prev\":\"./\"prev\":\"x/" whole >log && bad && grep "^bad    log:30: not a line" out &&
	sed "30s/\\(\"prev\":\"..\\)./\\10/;30s/\\(\"prev\":\"..\\)0./\\101/" whole >log && bad && grep "^bad    log:30: changed" out
'

test_expect_success 'a missing line is named, and so are many' '
	sed 30d whole >log && bad && grep "^bad    log:30: lines 30 to 30 are missing" out &&
	sed 10,40d whole >log && bad && grep "^bad    log:10: lines 10 to 40 are missing" out
'

test_expect_success 'lines that changed places are' '
	awk "NR == 30 { held = \$0; next } { print } NR == 31 { print held }" whole >log && bad &&
	grep "^bad    log:30: out of order: line 31, and line 30 is at log:31" out &&
	awk "NR == 30 { held = \$0; next } { print } NR == 50 { print held }" whole >log && bad &&
	grep "^bad    log:30: out of order: line 31, and line 30 is at log:50" out
'

test_expect_success 'a line that was put in is' '
	awk "{ print } NR == 30 { print }" whole >log && bad && grep "^bad    log:3[01]: " out &&
	awk "{ print } NR == 30 { gsub(/alice/, \"malory\"); print }" whole >log && bad && grep "^bad    log:31: put in" out &&
	forge whole 31 insert >log && bad && grep "^bad    log:31: put in" out &&
	{ sed 30q whole && echo junk && sed 1,30d whole; } >log && bad && grep "^bad    log:31: not a line" out
'

test_expect_success 'a changed line with all that follow chained anew is given away by the next head' '
	forge whole 30 >log && bad && grep "^bad    log:[0-9]*: the signature of the head is wrong" out &&
	at=$(sed -n "s/^bad    log:\\([0-9]*\\):.*/\\1/p" out) && test "$at" -gt 30 && sed -n "${at}p" log | grep "\"event\":\"head\"" &&
	forge whole 30 keep-heads >log && bad && grep "^bad    log:$at: the head has another hash than line" out
'

test_expect_success 'without its heads it is not signed, and what was signed elsewhere is missed' '
	forge whole 1 drop-heads >log && bad && grep "^bad .*no head is signed" out &&
	bad --head server.audit.head && grep "^bad .*server.audit.head" out
'

test_expect_success 'a tail that was cut off is, by the file of the head' '
	sed "\$d" server.audit >log && cp server.audit.head log.head && bad --with server.audit.2 --with server.audit.1 &&
	grep "^bad    log:.*the tail is cut off: the log ends with line $(($(wc -l <whole) - 1)), and log.head knows line $(wc -l <whole)" out &&
	head -c -20 server.audit >log && bad --with server.audit.2 --with server.audit.1 && grep "^bad .*torn: the log ends inside a line" out &&
	rm log.head && sed -n 1,70p whole >log && verify --cert sign.pem log >out && bad --head whole && grep "^bad .*the tail is cut off" out
'

test_expect_success 'a log of its own in place of ours is' '
	mkdir other && cp server.audit.head other/audit.head && forge whole 1 other >other/audit && bad_file other/audit &&
	grep "^bad    other/audit:.*other/audit.head is of another log" out
'

test_expect_success 'the example of the manual agrees, by tools that know nothing of ours' '
	manual_example >example.py && grep -q hashlib example.py && openssl x509 -in sign.pem -noout -pubkey >sign.pub &&
	python3 example.py sign.pub whole >out && cat out && grep "^whole: $(wc -l <whole) lines, [1-9][0-9]* heads" out &&
	sed "30s/alice/malory/" whole >log && test_must_fail python3 example.py sign.pub log &&
	forge whole 30 >log && test_must_fail python3 example.py sign.pub log
'

test_done
