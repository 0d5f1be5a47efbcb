#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='every message in every state of the server: what is not due there is refused, and nothing else suffers'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site with a file in it' '
	attack_site && start_server && random_file large 3000000 && consign -q put large alice:/large && consign stat --root alice:/large
'

test_expect_success 'each message in each state' '
	attack states.py
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && same_file large files/alice/large && canary_untouched
'

test_done
