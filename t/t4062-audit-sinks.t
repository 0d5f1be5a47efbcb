#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='audit-sink: journald and syslog get the lines, too, and may be away'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/audit.sh
. "$SOURCE/t/audit.sh"

# Takes what is sent to the socket NAME.socket, a datagram a record of NAME.taken: NUL at its end.
listen() {
	# shellcheck disable=SC2016
	python3 -c '
import os, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(name + ".new")
out = open(name + ".taken", "ab", 0)
os.rename(name + ".new", name + ".socket")
while True:
    out.write(s.recv(1 << 17) + b"\0")
' "$1" 4>&- 5>&- 6>&- &
	LISTENER=$!
	PROCESSES="$PROCESSES $LISTENER"
	soon "test -S $1.socket"
}

# The lines in NAME.taken, one a line.
lines_of() {
	tr "\\n\\0" "\\1\\n" <"$1.taken" | sed "s/\\x01\$//;s/^.*\\x01MESSAGE=//;s/^<86>.*consignd-audit\\[[0-9]*\\]: //"
}

test_expect_success 'a site with a journal and a syslog' '
	site_setup && audit_key server && listen j && listen s && JOURNAL=$LISTENER &&
	conf server.conf server audit-sink "file journald:$TRASH/j.socket syslog:$TRASH/s.socket" &&
	conf server.conf server audit-head-records 10 && start_server && echo text >f
'

test_expect_success 'they get every line that is in the file' '
	quoted=$(printf "a\"b\\\\n\\nMESSAGE=x,\"status\":\"OK\"") && consign -q put f "alice:/a\"b" && puts a 30 && puts many 600 && puts b 30 &&
	test_must_fail consign get "alice:/$quoted" g && stop_server && soon "lines_of j | cmp - server.audit" &&
	soon "lines_of s | cmp - server.audit" && test "$(wc -l <server.audit)" -gt 600
'

test_expect_success 'in the form that each of them takes' '
	tr "\\0" "\\n" <j.taken | head -n 6 >first && grep -x "SYSLOG_IDENTIFIER=consignd-audit" first && grep -x "PRIORITY=6" first &&
	grep -x "CONSIGN_EVENT=begin" first && grep -x "CONSIGN_SEQ=1" first && grep "^MESSAGE={\"time\"" first &&
	tr "\\0" "\\n" <s.taken | head -n 1 | grep -E "^<86>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} consignd-audit\\[[0-9]+\\]: \\{"
'

test_expect_success 'the heads that are there give a cut log away' '
	lines_of j >journal && { printf "Nov 25 host x: " && cat journal; } >heads && verify --cert sign.pem --head heads server.audit &&
	head -n -10 server.audit >log && verify --cert sign.pem log && bad --head heads && grep "the tail is cut off" out &&
	forge server.audit 100 drop-heads >log && bad --head heads && grep "^bad .*heads has another hash" out
'

test_expect_success 'one that goes is not waited for, and found again' '
	start_server && kill $LISTENER && consign -q put f alice:/one && soon "grep \"s.socket does not take lines\" server.log" &&
	consignd --config server.conf --status --json >out.json && test "$(field audit.sinks_lost)" -gt 0 &&
	test "$(field audit.sinks)" = "file journald syslog" && rm s.socket && listen s && consign -q put f alice:/two &&
	soon "lines_of s | grep /two" && soon "grep \"s.socket takes lines again\" server.log" && soon "lines_of j | grep /one"
'

test_expect_success 'one that does not read is not, either' '
	kill -STOP $LISTENER && puts more 1200 && kill -CONT $LISTENER && soon "lines_of s | grep more/1200" &&
	stop_server && soon "lines_of j | cmp - server.audit" && verify --cert sign.pem server.audit
'

test_expect_success 'what is configured is checked' '
	for bad in nowhere syslog:relative "journald:/$(printf %0200d 0)" syslogd; do
		conf server.conf server audit-sink "$bad" && test_must_fail consignd --config server.conf --check || return 1
	done
'

test_done
