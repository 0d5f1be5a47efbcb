#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='many clients at one name: one content in the end, and the old or the new for who reads meanwhile'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site' '
	attack_site && conf map alice sessions 200 && conf server.conf limits sessions-per-address 200 && start_server
'

test_expect_success 'writers and readers' '
	attack together.py "$TRASH/files/alice" "${CLIENTS:-100}"
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && canary_untouched
'

test_done
