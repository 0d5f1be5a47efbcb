#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='uploads that keep to no rule: chunks out of place, commits of what is not there, streams that explode'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site' 'attack_site && start_server'

test_expect_success 'each is refused, and nothing of it is to be seen' '
	attack transfers.py "$SERVER_PID" "$TRASH/files/alice"
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && canary_untouched && test -z "$(find files/bob -mindepth 1)"
'

test_done
