#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='confinement: what a process that was broken into still cannot do'

. "$(dirname "$0")/lib.sh"

# Each attempt needs a server of its own that makes it: build/t/consignd-probe.
probe_server() { # STAGE:ATTEMPT[:ARGUMENT]
	stop_server probe 2>/dev/null
	: >probe.log && rm -f probe.audit && CONSIGN_PROBE=$1 && export CONSIGN_PROBE &&
		PATH=$TRASH/bin:$PATH start_server probe
	probe_code_=$? && unset CONSIGN_PROBE && conf "$CLIENT_CONF" alice port "$PORT" && return $probe_code_
}

# denied STAGE:ATTEMPT[:ARGUMENT] [killed]: it was tried, and the kernel refused, by a signal if so said.
denied() {
	probe_server "$1" && { within 60 consign whoami alice: >who.out 2>who.err || :; } &&
		grep "probe $1: trying" probe.log && ! grep "ALLOWED" probe.log &&
		if test "$2" = killed; then
			within 20 sh -c 'until grep -q "\"event\":\"killed\".*Bad system call" probe.audit; do :; done' &&
				grep "a call that its confinement forbids" probe.log
		else
			grep "probe $1: denied" probe.log && grep "user alice" who.out
		fi && return
	cat probe.log who.err
	return 1
}

if ! test -x "$BUILD/t/consignd-probe"; then
	lacking "make $BUILD/t/consignd-probe makes the server that this needs"
fi

test_expect_success 'a site whose server tries things' '
	site_setup && mkdir bin && ln -s "$BUILD/t/consignd-probe" bin/consignd &&
	sed "s/server.audit/probe.audit/" server.conf >probe.conf &&
	echo canary >files/bob/canary && chmod 644 files/bob/canary && echo canary >canary
'

test_expect_success 'the same build without an attempt serves as ever' '
	probe_server "" && consign whoami alice: && ! grep probe: probe.log
'

test_expect_success 'without confinement each of the files could be read' '
	${ACCOUNT:+setpriv --reuid=nobody --clear-groups} cat /etc/passwd "$TRASH/files/bob/canary" "$TRASH/map" \
		>/dev/null && test -r "$SOFTHSM_PIN_FILE" && test -r softhsm/tokens
'

for stage in session-before session-after; do
	for attempt in open:/etc/passwd "open:$TRASH/map" "open:$TRASH/pin" "open:$TRASH/softhsm/tokens" \
		"create:$TRASH/made" "unlink:$TRASH/canary" socket connect exec fork kill trace root; do
		test_expect_success "$stage: $attempt" 'denied "$stage:$attempt" killed && test -e canary && ! test -e made'
	done
done

for attempt in open:/etc/passwd "open:$TRASH/map" "open:$TRASH/pin" "open:$TRASH/files/bob/canary" \
	"create:$TRASH/made" "create:$TRASH/files/bob/made" socket connect exec fork kill trace root; do
	test_expect_success "store: $attempt" '
		stage_=store:$attempt &&
		probe_server "$stage_" && { within 60 consign whoami alice: >who.out 2>who.err || :; } &&
		grep "probe $stage_: trying" probe.log && ! grep ALLOWED probe.log &&
		within 20 sh -c "until grep -q \"was killed: Bad system call\" probe.log ||
			grep -q \"probe $stage_: denied\" probe.log; do :; done" &&
		! test -e made && ! test -e files/bob/made
	'
done

test_expect_success 'each process is what it should be while a session lives' '
	stop_server probe && start_server &&
	consign-pki issue client CN=alice,O=Site --file-key --pin "$SOFTHSM_PIN_FILE" --out file.pem >file.issued &&
	key=$(key_of_ file.issued) && cat >look.sh <<-"END" &&
		for pid in $(pgrep -P "$1"); do
			echo "$pid $(awk "/^(Uid|NoNewPrivs|Seccomp|CapEff):/ { printf \"%s%s \", \$1, \$2 }" /proc/$pid/status)"
			for fd in /proc/$pid/fd/*; do echo "   $(readlink "$fd")"; done
		done >look
	END
	within 30 python3 "$SOURCE/t/rawclient.py" "$PORT" file.pem "$key" WAIT "HELLO agent=x" "PING id=1" WAIT \
		"ONLINE sh look.sh $SERVER_PID" && cat look &&
	grep -c "NoNewPrivs:1 Seccomp:2" look >confined && test "$(cat confined)" -ge 3 &&
	! grep "NoNewPrivs:0" look &&
	if test -n "$ACCOUNT"; then
		test "$(grep -c "Uid:65534 CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2" look)" -eq 3
	fi &&
	! grep -E "^   /(etc|.*/(map|pin|.*\\.conf))" look
'

test_done
