#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='audit-policy: what happens while the audit log takes nothing more, and once it does again'
# A name space of its own, so that no mount is left however it ends.
if test "$(id -u)" -eq 0 && test -z "$OWN_MOUNTS"; then
	OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/audit.sh
. "$SOURCE/t/audit.sh"

# The log lies on a disk of its own, which "fill" leaves no room on.
if test "$(id -u)" -ne 0 || ! mkdir small || ! mount -t tmpfs -o size=1m tmpfs small; then
	lacking "a small disk needs root"
fi
cleanup 'umount -l small'

fill() {
	cat /dev/zero >small/ballast 2>/dev/null
	# The rest of the last page of the log is still free.
	n_=0
	while within 20 consign -q ls alice:/ >/dev/null 2>&1; do
		n_=$((n_ + 1)) && test $n_ -lt 200 || return 1
	done
}

status() {
	consignd --config server.conf --status --json >out.json && field "audit.$1"
}

fresh_log() {
	mv small/audit small/old && kill -HUP "$SERVER_PID" && soon "test -e small/audit" && rm -f small/old small/ballast
}

refused() {
	within 20 consign "$@" 2>err
	code_=$?
	cat err
	test $code_ -eq 75 && grep -i "audit log" err
}

test_expect_success 'a site whose audit log has little room' '
	site_setup && audit_key server && conf server.conf server audit small/audit && start_server && echo text >f &&
	random_file big 3000000 && consign -q put f alice:/first && test "$(status policy)" = require && test "$(status status)" = OK
'

test_expect_success 'a full disk: what is asked is refused, in words, and before anything of it is taken' '
	fill && refused put big alice:/big && ! test -e files/alice/big && test -z "$(parts files/alice)" &&
	refused rm alice:/first && test -e files/alice/first && test "$(status status)" != OK &&
	grep "requests are refused until it can be written" server.log
'

test_expect_success 'with room it goes on by itself, and the log says how many are missing' '
	rm small/ballast && soon "within 20 consign -q put f alice:/second" && grep "\"event\":\"gap\",\"lost\":\"[1-9]" small/audit &&
	json_lines small/audit && test "$(status status)" = OK && test "$(status lost)" -gt 0 &&
	{ verify small/audit >out; code=$?; cat out; } && test $code -eq 1 && grep "^lost .*gap: [1-9]" out
'

test_expect_success 'a transfer that runs while the disk becomes full is not acknowledged, and says why' '
	start_relay && relay_hold up 1500000 && { within 60 consign put big relayed:/running >out 2>err & CLIENT=$!; } &&
	relay_held && fill && relay_do go && { wait $CLIENT; code=$?; cat err; } && test $code -eq 75 && grep -i "audit log" err &&
	rm small/ballast && stop_relay
'

test_expect_success 'of many files those that are acknowledged are in the log' '
	mkdir many && for i in $(seq 5000); do echo $i >many/$i; done && soon "within 20 consign -q ls alice:/" &&
	{ within 60 consign --json put -r many alice:/many >out 2>err; code=$?; } && test $code -eq 75 && { grep "\"status\":\"OK\"" out >ok || :; } &&
	test "$(wc -l <ok)" -gt 100 && perl -MJSON::PP -ne "
		BEGIN { open L, q(<), q(small/audit) or die; while (<L>) { \$o = decode_json(\$_); \$in{\$o->{path}} = 1 if (\$o->{event} // q()) eq q(put) } }
		\$o = decode_json(\$_); (\$p = \$o->{to} // q()) =~ s/^alice://; \$o->{event} eq q(result) && !\$in{\$p} and die qq(\$_)" ok
'

test_expect_success 'the server starts with a full log, and refuses' '
	fill && stop_server && start_server && refused put f alice:/third && fresh_log &&
	soon "within 20 consign -q put f alice:/third" && grep /third small/audit
'

test_expect_success 'best: it goes on, and all say so' '
	fresh_log && stop_server && conf server.conf server audit-policy best && start_server && test "$(status policy)" = best &&
	{ cat /dev/zero >small/ballast 2>/dev/null || :; } && for i in $(seq 40); do consign -q put f alice:/best || return 1; done &&
	consign -q put big alice:/best-big && same_file big files/alice/best-big && test "$(status lost)" -gt 20 &&
	grep "requests go on without their records" server.log && test "$(status status)" != OK
'

test_expect_success 'best: with room the log says how many are missing' '
	rm small/ballast && soon "grep \"\\\"event\\\":\\\"gap\\\",\\\"lost\\\":\\\"[1-9][0-9]\" small/audit" && lost=$(status lost) &&
	consign -q put f alice:/after && grep "/after" small/audit && test "$(status lost)" = "$lost" &&
	grep "records are written again; $lost are missing" server.log && json_lines small/audit
'

test_expect_success 'best: a scribe that is killed does not end a session' '
	start_relay && relay_hold up 1500000 && { within 60 consign put big relayed:/without >out 2>err & CLIENT=$!; } &&
	relay_held && kill -9 $(scribe_pid small/audit) && relay_do go && wait $CLIENT && same_file big files/alice/without &&
	soon "grep \"not in the audit log\" server.log" && stop_relay && soon "within 20 consign -q put f alice:/another"
'

test_expect_success 'a log that is removed is made anew, and what is gone is found' '
	fresh_log && stop_server && conf server.conf server audit-policy require && start_server && consign -q put f alice:/x &&
	rm small/audit && consign -q put f alice:/y && soon "grep \"the log was removed\" small/audit" && stop_server &&
	{ verify --cert sign.pem small/audit >out; code=$?; cat out; } && test $code -eq 1 && grep "^lost .*the log was removed" out
'

test_done
