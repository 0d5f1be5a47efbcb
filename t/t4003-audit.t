#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the audit log: whole, JSON, not to be forged; what it cannot take is not acknowledged'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

test_expect_success 'a site' '
	site_setup && start_server && echo text >f
'

test_expect_success 'what has names that would break a line, or look like a record' '
	quoted=$(printf "a\"b,\"status\":\"OK") && cp f "$quoted" && consign -q put "$quoted" "alice:/$quoted" &&
	bad=$(printf "\\377\\376") && cp f "$bad" && consign -q put "$bad" "alice:/$bad" &&
	bidi=$(printf "x\\342\\200\\256y") && cp f "$bidi" && consign -q put "$bidi" "alice:/$bidi" &&
	test_must_fail consign get "alice:/no
line" g && json_lines server.audit &&
	perl -MJSON::PP -ne "\$o = decode_json(\$_); print \$o->{path}, qq(\\n) if (\$o->{event} // q()) eq q(put)" server.audit \
		>paths && grep -F "a\"b,\"status\":\"OK" paths && ! grep -P "[\\x00-\\x08\\x0b-\\x1f\\x7f]" server.audit &&
	! grep "$bidi" server.audit
'

test_expect_success 'every record has a time and the next number' '
	perl -MJSON::PP -ne "
		\$o = decode_json(\$_);
		\$o->{seq} == ++\$n or die qq(\$n: \$_);
		\$o->{time} =~ /^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z\$/ or die \$_;
		END { \$n > 5 or die }" server.audit
'

test_expect_success 'SIGHUP opens the log anew: moved away, it is not written to any more' '
	mv server.audit moved && kill -HUP "$SERVER_PID" && soon "test -e server.audit" &&
	consign -q put f alice:/after && grep "/after" server.audit && ! grep "/after" moved
'

scribe() {
	pgrep -P "$SERVER_PID" | while read -r p; do
		for fd in "/proc/$p/fd"/*; do
			case $(readlink "$fd") in */server.audit) echo "$p" ;; esac
		done
	done || :
}

test_expect_success 'a killed scribe is replaced; nothing is acknowledged without it' '
	old=$(scribe) && test -n "$old" && kill -9 $old && soon "consign -q put f alice:/later" &&
	new=$(scribe) && test -n "$new" && test "$new" != "$old" && grep "/later" server.audit && json_lines server.audit
'

test_expect_success 'however often it is killed, the next one comes as soon' '
	for n in 1 2 3; do
		old=$(scribe) && test -n "$old" && kill -9 $old && soon "consign -q put f alice:/often$n" || return 1
	done &&
	grep "scribe.*starting another in" server.log >waits && test "$(wc -l <waits)" -ge 4 &&
	test "$(sed "s/.*another in//" waits | sort -u | wc -l)" -eq 1
'

test_expect_success 'a log that can take no more: the request is not acknowledged, and the client is told' '
	conf server.conf server audit small/audit && mkdir small && stop_server &&
	if test "$(id -u)" -eq 0 && mount -t tmpfs -o size=16k tmpfs small; then
		start_server && n=0 &&
		while consign -q put f alice:/full; do n=$((n + 1)) && test $n -lt 500 || break; done &&
		test $n -gt 0 && test $n -lt 500 && { consign put f alice:/refused 2>err; code=$?; cat err; } &&
		test $code -ne 0 && json_lines small/audit && ! grep "/refused" small/audit &&
		rm small/audit && kill -HUP "$SERVER_PID" && soon "consign -q put f alice:/again" &&
		grep "/again" small/audit && stop_server && umount small
	else
		echo "a full disk needs root" >&5
	fi
'
test "$(id -u)" -eq 0 && umount small 2>/dev/null

test_done
