#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='unfinished uploads: others learn nothing of them; whatever is done to their files, nothing wrong is committed'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site' 'attack_site && start_server'

test_expect_success 'guesses of another user; files that were changed, exchanged, cut; two at once' '
	attack others.py $(as_bob) "$TRASH/files/alice" "$TRASH/files/bob" server.audit
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && canary_untouched
'

test_done
