#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='memory: what a session and its store hold is bounded, whatever is sent and never read'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# Well below the bounds of the manual, KiB: before a connection is authorised, and of session and store afterwards.
BEFORE=1024 AFTER=8192

case $BUILD in */sanitize) lacking "a sanitizer takes memory of its own" ;; esac

test_expect_success 'a site' '
	site_setup && file_key alice && conf server.conf limits stall 1s && conf server.conf limits handshake 3s &&
	conf map alice sessions 100 && start_server &&
	mkdir many && (cd many && seq 1 3000 | xargs touch) && mv many files/alice/ && random_file big 131072 && at_server big alice/big &&
	truncate -s 256M files/alice/huge && chmod 644 files/alice/huge && echo x >f && at_server f alice/f &&
	{ test -z "$ACCOUNT" || chown -R "$ACCOUNT:" files/alice; } && consign whoami alice:
'

glutton() {
	within 60 python3 "$SOURCE/t/glutton.py" "$SERVER_PID" "$PORT" alice-file.pem "$(key_of_ alice.issued)" "$@" >>grown &&
		tail -n $# grown
}

# at_most KIB: what the last one grew by.
at_most() {
	tail -n 1 grown | awk -v most="$1" '{ for (i = 2; i <= NF; i++) if ($i > most) bad = 1 } END { exit bad || NF < 2 }'
}

for work in hello-16M records; do
	test_expect_success "before the handshake: $work" 'glutton $work && at_most $BEFORE'
done

for work in frame-4G frame-1M pings lists walks stats smalls fetches gets data bombs bomb-4G bomb-longer keeps metas ignored; do
	test_expect_success "who is authorised: $work" 'glutton $work && at_most $AFTER'
done

test_expect_success 'and when it is gone, so is the session' '
	soon "consignd --config server.conf --status --json >out.json && test \$(field sessions.0) = -"
'

test_expect_success 'who never reads is ended for that' '
	GLUTTON_SECONDS=5 glutton pings && soon "grep \"\\\"end\\\".*TIMEOUT.*stalled\" server.audit" && ! grep "\"killed\"" server.audit && consign whoami alice:
'

test_done
