#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='lengths that can not be, and a good session that is cut, turned and mixed: refused, and nothing wrong is kept

TRIES and SEED can be given in the environment.'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

TRIES=${TRIES:-120}
SEED=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}

test_expect_success 'a site with a file in it' '
	attack_site && conf map alice sessions 100 && start_server && random_file large 3000000 && consign -q put large alice:/large
'

test_expect_success 'lengths and numbers that can not be' '
	attack lengths.py "$SERVER_PID" "$TRASH/files/alice"
'

test_expect_success 'the server serves on' '
	serves && nothing_died
'

test_expect_success 'a session that is damaged, in its frames and in its TLS records' '
	{ attack mutate.py "$TRIES" "$SEED" >out; code=$?; cat out; test $code = 0; }
'

test_expect_success 'what is there now was sent whole; nothing of others was touched' '
	sed -n "s/^content //p" out | sort >known && openssl dgst -sha256 -r large | cut -d " " -f 1 >>known &&
	find files/alice -name .consign -prune -o -type f -exec openssl dgst -sha256 -r {} + >there &&
	while read -r sum file; do
		grep -qx "$sum" known || { echo "$file was never sent"; return 1; }
	done <there && test -z "$(find files/bob -mindepth 1)" && canary_untouched
'

test_expect_success 'the server still serves on, and nothing of it died' '
	serves && nothing_died
'

test_done
