#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='fifth role of a token: sessions are resumed by keys that it derives'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/softhsm.sh
. "$SOURCE/t/softhsm.sh"
# shellcheck source=t/manual.sh
. "$SOURCE/t/manual.sh"
softhsm_setup

# The server that the manual starts is left running when a command fails.
ends() {
	test ! -s manual/server.pid || kill "$(cat manual/server.pid)"
}

test_expect_success 'the commands of the manual' '
	mkdir manual && cp pin so-pin manual && test_when_finished ends && (cd manual && manual_run consign-hsm.7 "SECURE SESSION RESUMPTION") >out &&
	cat out && cmp manual/file manual/files/file
'

test_expect_success 'show what it says: one handshake with signatures, the others resumed' '
	grep "authorised 4 (3 resumed)" out && test "$(tail -n 2 out | tr "\n" " ")" = "1 3 "
'

test_done
