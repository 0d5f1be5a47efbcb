#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the audit log over crashes, lost tails and a token that is away; and the key of its heads'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/audit.sh
. "$SOURCE/t/audit.sh"

test_expect_success 'a site; the key of statements is in a file, which can be taken away' '
	site_setup && consign-pki issue client "CN=statements" --file-key --pin "$SOFTHSM_PIN_FILE" --out sign.pem >sign.issued &&
	key=$(key_of_ sign.issued) && conf server.conf server sign-key "$key" && conf server.conf server sign-cert sign.pem &&
	conf server.conf server audit-head-records 10 && start_server && echo text >f && consign -q put f alice:/a
'

# After a test that failed, too.
down() {
	case " $SERVERS " in *" server "*) stop_server ;; esac
}

crash() {
	kill -KILL "$(scribe_pid)" && kill_server
}

ends() {
	{ verify --cert sign.pem server.audit >out; code_=$?; cat out; } && test $code_ -eq "$1"
}

test_expect_success 'a crash inside a line: the log says so, and goes on' '
	crash && cp server.audit before && printf "{\"time\":\"2026" >>server.audit && torn=$(wc -l <server.audit) && start_server &&
	consign -q put f alice:/b && ends 1 && grep "^lost   server.audit:$((torn + 1)): torn: 13 bytes" out &&
	grep "^note .*started after crash" out && grep "\"event\":\"torn\",\"bytes\":\"13\"" server.audit
'

test_expect_success 'what is torn can not be made another thing' '
	sed "s/^{\"time\":\"2026\$/{\"time\":\"2025/" server.audit >log && test_must_fail cmp -s log server.audit && bad && grep "^bad    log:$((torn + 1)): not a line" out
'

test_expect_success 'a tail that is gone when the server starts: the log says which lines' '
	stop_server && n=$(wc -l <server.audit) && head -n $((n - 3)) server.audit >cut && cp cut server.audit && start_server &&
	consign -q put f alice:/c && ends 65 && grep "^bad .*lines [0-9]* to [0-9]* are missing; the server says: the log ended before its head" out
'

test_expect_success 'a log that is gone' '
	crash && mv server.audit old && start_server && consign -q put f alice:/d && stop_server && ends 1 &&
	grep "^lost .*gap: the log is not there" out
'

test_expect_success 'a file of the head that is gone' '
	mv server.audit older && start_server && consign -q put f alice:/e && stop_server && rm server.audit.head && start_server && consign -q put f alice:/e &&
	ends 1 && grep "^lost .*the log is called" out && grep "^note .*a head file that is missing" out
'

test_expect_success 'rotation while the server is down is no trouble' '
	mv server.audit older && rm server.audit.head && restart_server && consign -q put f alice:/f && stop_server && mv server.audit server.audit.1 && start_server &&
	consign -q put f alice:/g && verify --cert sign.pem server.audit.1 server.audit >out && cat out && grep "^good" out && ! grep "started after" out
'

status() {
	consignd --config server.conf --status --json >out.json && field "$1"
}

test_expect_success 'a key that is away: heads are late, which the status says, and nothing else is' '
	mv "$key" away && kill -KILL "$(status keeper.tokens.1.pid)" && puts many 30 && soon "test \$(status audit.late_since) -gt 0" &&
	grep "a head can.t be signed now" server.log && consign -q put f alice:/h && test "$(status audit.status)" = OK &&
	consignd --config server.conf --status >out && cat out && grep "no head since" out && grep "\"event\":\"token\",\"token\":\"sign\",\"state\":\"lost\"" server.audit
'

test_expect_success 'it is back: so are they' '
	mv away "$key" && soon "test \$(status audit.late_since) = 0" && test "$(status audit.head_signed)" = 1 &&
	verify --cert sign.pem server.audit.1 server.audit
'

test_expect_success 'a keeper that dies is no trouble for the scribe' '
	kill -KILL "$(status keeper.pid)" && soon "consign -q put f alice:/i" && puts more 30 && stop_server && verify --cert sign.pem server.audit.1 server.audit
'

test_expect_success 'the key can be changed while the server runs' '
	down && start_server && mv sign.pem first.pem && cp first.pem sign.pem && audit_key server second.pem && soon "grep \"configuration, map.*loaded\" server.log" &&
	soon "consign -q put f alice:/j && test \$(status keeper.tokens.1.key) = \"$(key_of_ sign.issued)\"" && puts last 30 && stop_server &&
	ends 65 && grep "signed by another key" out && mv second.pem sign.pem && conf server.conf server sign-cert sign.pem && verify --cert first.pem --cert sign.pem server.audit.1 server.audit
'

# AddressSanitizer has to be loaded before anything else, and so has faketime.
ldd "$BUILD/consign-pki" | grep -q asan || test_set_prereq FAKETIME

test_expect_success FAKETIME 'a running log is judged by the age of its head, too' '
	{ down || :; } && conf server.conf server audit-head-interval 1s && start_server && soon "verify --live --cert first.pem --cert sign.pem server.audit.1 server.audit" &&
	stop_server && conf server.conf server audit-head-interval "" && head -n -2 server.audit >log && verify --cert first.pem --cert sign.pem server.audit.1 log &&
	faketime -f +1h consign-pki audit verify --cert first.pem --cert sign.pem --live server.audit.1 server.audit &&
	test_must_fail faketime -f +1h consign-pki audit verify --cert first.pem --cert sign.pem --live server.audit.1 log
'

test_expect_success 'a key that is the server own, or none of its certificate, is refused' '
	{ down || :; } && conf server.conf server sign-cert server.pem && { consignd --config server.conf --check 2>err; code=$?; cat err; } && test $code -eq 78 &&
	grep "signs nothing but handshakes" err && conf server.conf server sign-key "$(key_of_ server.issued)" &&
	test_must_fail consignd --config server.conf --check 2>err && grep "signs nothing but handshakes" err &&
	conf server.conf server sign-cert "" && test_must_fail consignd --config server.conf --check 2>err && grep "go together" err &&
	conf server.conf server sign-cert alice.pem && conf server.conf server sign-key "$(key_of_ sign.issued)" &&
	test_must_fail start_server && grep -i "does not belong\|not the key\|match" server.log
'

test_expect_success 'so is a wrong PIN, once' '
	{ down || :; } && conf server.conf server sign-cert sign.pem && conf server.conf server sign-pin "$SOFTHSM_WRONG_PIN_FILE" && test_must_fail start_server &&
	test "$(cat server.status)" -eq 78 && conf server.conf server sign-pin "" && start_server
'

test_done
