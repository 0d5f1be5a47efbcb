#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the token goes during many transfers and many attempts to connect'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/hsm.sh
. "$SOURCE/t/hsm.sh"

: "${TRANSFERS:=50}" "${ATTEMPTS:=200}"
REASON="the server's token is unavailable; it asks to retry after [0-9]* s"

test_expect_success 'a server that many may visit' '
	hsm_site && hsm_main one && conf server.conf limits sessions $((TRANSFERS + ATTEMPTS + 50)) &&
	conf server.conf limits sessions-per-address $((TRANSFERS + ATTEMPTS + 50)) &&
	conf server.conf limits sign-wait 1s && conf server.conf limits sign-queue 40 && conf map alice sessions 200 &&
	conf "$CLIENT_CONF" alice retry 0 && start_server && random_file big 1500000
'

test_expect_success 'many transfers that are under way' '
	clients= && i=0 &&
	while test $i -lt "$TRANSFERS"; do
		consign -q put --rate=100K big alice:/up$i 2>put$i.err &
		clients="$clients $!" i=$((i + 1))
	done &&
	soon "status | grep -c \"^  put /up\" | grep -x $TRANSFERS"
'

test_expect_success 'the token goes: every attempt to connect is told the reason' '
	hsm_away one && kill -KILL "$(signer_of main)" && soon "is keeper.in_use \"\"" && mkdir attempts &&
	seq "$ATTEMPTS" | xargs -P 20 -I N sh -c "
		consign stat alice:/ >/dev/null 2>attempts/N; echo \$? >attempts/N.status" &&
	cat attempts/*.status >statuses && test "$(grep -cx 75 statuses)" = "$ATTEMPTS" &&
	test "$(grep -l "$REASON" attempts/* | wc -l)" = "$ATTEMPTS"
'

test_expect_success 'it comes back: service within 5 s' '
	hsm_back one && within "${BACK:-5}" sh -c "until consign stat alice:/ >/dev/null 2>&1; do :; done"
'

test_expect_success 'no transfer has failed' '
	for client in $clients; do wait $client || return 1; done &&
	i=0 && while test $i -lt "$TRANSFERS"; do same_file big files/alice/up$i || return 1; i=$((i + 1)); done &&
	! grep . put*.err
'

test_done
