#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='links, pipes, sockets, devices and names of other files in a user'"'"'s folder, and a race: no request gets out'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

test_expect_success 'a site that keeps attributes' '
	attack_site && conf map alice attributes "xattrs acls" && start_server
'

test_expect_success 'planted as a file, on the way to one, as a part and as the service folder' '
	attack planted.py "$TRASH/files/alice" "$TRASH/canary" "$ACCOUNT"
'

test_expect_success 'the server serves on, and nothing of it died' '
	serves && nothing_died && cat canary/secret && test "$(cat canary/secret)" = "a stranger'"'"'s"
'

test_expect_success 'a folder and a link that change places all the time' '
	rm -rf files/alice/* && attack race.py "$TRASH/files/alice" "$TRASH/canary" "${SECONDS_OF_RACE:-6}" "$ACCOUNT"
'

test_expect_success 'the server still serves on, and nothing of it died' '
	serves && nothing_died
'

test_done
