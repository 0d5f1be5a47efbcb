#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='random bytes of the server'"'"'s token go into the kernel'"'"'s pool, and nothing waits for them'
. "$(dirname "$0")/lib.sh"
site_setup

# count NAME: the number called so of the first token, in the server's status
count() {
	consignd --status --config server.conf --json |
		python3 -c "import json, sys; print(json.load(sys.stdin)['keeper']['tokens'][0]['$1'])"
}

test_expect_success 'once at the start, after the health tests' '
	start_server &&
	for i in $(seq 100); do
		n=$(count seeds) && test "$n" -ge 1 && break
		sleep 0.1
	done &&
	test "$(count seeds)" = 1 && test "$(count unhealthy)" = 0
'

test_done
