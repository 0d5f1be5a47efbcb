#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='confinement from inside: each process tries what a break-in would; and from outside, what the kernel says of it'

# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

PROBE=$BUILD/t/consignd-probe
MASK=$BUILD/t/landlock-mask
if ! test -x "$PROBE" || ! test -x "$MASK"; then
	lacking "make $PROBE $MASK makes what this needs"
fi
test -z "$ACCOUNT" || test_set_prereq ROOT
case $BUILD in */sanitize) ;; *) test_set_prereq PLAIN ;; esac

# server_as ABI PROBE: the server that tries things, with a Landlock of that ABI ("" the kernel's own).
server_as() {
	stop_server probe 2>/dev/null
	: >probe.log && rm -f audit/probe &&
		printf '#!/bin/sh\nCONSIGN_PROBE=%s CONSIGN_PROBE_FILES=%s exec %s %s "$@"\n' \
			"$2" "$FILES" "${1:+$MASK $1}" "$PROBE" >bin/consignd && chmod +x bin/consignd &&
		PATH=$TRASH/bin:$PATH start_server probe && conf "$CLIENT_CONF" alice port "$PORT"
}

# A session, while which the configuration is loaded anew, so that it is judged; and a scrub.
all_live() {
	within 60 python3 "$SOURCE/t/rawclient.py" "$PORT" file.pem "$KEY" WAIT "HELLO agent=x" "PING id=1" WAIT \
		"ONLINE sh during.sh" >raw.out 2>&1 || { cat raw.out && return 1; }
}

tried() { # STAGE: what it tried and how that went, a line each: "ATTEMPT killed|denied|ALLOWED"
	sed -n "s/^.*: probe $1:\([^ ]*\): \([a-zA-Z]*\).*/\1 \2/p" probe.log | sort -u
}

test_expect_success 'a site whose server tries things' '
	site_setup && mkdir bin audit files/other && sed "s,server.audit,audit/probe," server.conf >probe.conf &&
	echo canary >files/other/canary && chmod 644 files/other/canary && test -r /etc/passwd &&
	consign-pki issue client CN=alice,O=Site --file-key --pin "$SOFTHSM_PIN_FILE" --out file.pem >file.issued &&
	KEY=$(key_of_ file.issued) && FILES=$TRASH/files/other/canary:$TRASH/map:$TRASH/pin:/etc/passwd:/proc/self/mem &&
	cat >during.sh <<-END
		kill -HUP \$(cat probe.pid) &&
		PATH=$BUILD:\$PATH timeout 30 consignd --config probe.conf --scrub -q &&
		timeout 20 sh -c "until grep -q \"probe usher:core\" probe.log && grep -q \"probe sweep:core\" probe.log; do sleep 0.05; done"
	END
'

test_expect_success 'every process tries everything, and goes on serving' '
	server_as "" all && all_live && consign whoami alice: &&
	for stage in session-before session-after store scrub sweep usher scribe master keeper signer; do
		tried $stage >tried && cat tried && test "$(cut -d " " -f 1 tried | sort -u | wc -l)" -ge 24 || return 1
	done
'

for stage in session-before session-after store scrub sweep usher scribe; do
	test_expect_success "$stage: nothing of it is allowed" '
		tried $stage >tried && test -s tried && ! grep ALLOWED tried &&
		for what in socket exec fork kill trace listen memory code mount bpf ring namespace fault module clock \
			chroot device dump core root; do
			grep -x "$what killed" tried || return 1
		done
	'
done

for stage in session-before session-after usher; do
	test_expect_success "$stage: not a file can be opened" '
		tried $stage >tried && test "$(grep -c "^open:.* killed" tried)" -eq 5
	'
done

for stage in store scrub sweep scribe; do
	test_expect_success "$stage: no file outside of its folders" '
		tried $stage >tried && test "$(grep -c "^open:.* denied" tried)" -eq 5
	'
done

for stage in master keeper signer; do
	test_expect_success PLAIN "$stage: what no module needs" '
		tried $stage >tried &&
		for what in listen trace memory mount bpf ring namespace fault module clock chroot device core bind; do
			grep -x "$what denied" tried || return 1
		done
	'
done

test_expect_success 'master and signer signal nobody who is not theirs' '
	tried master >tried && grep -x "kill denied" tried && tried signer >tried && grep -x "kill denied" tried
'

# ---- from outside ----

# look ROLE: its process to $look
look() {
	look=$(grep -l "^consign-$1\$" /proc/[0-9]*/comm 2>/dev/null | tr -dc "0-9\n" |
		while read -r pid_; do
			case " $FAMILY " in *" $pid_ "*) echo "$pid_" ;; esac
		done | head -n 1) && test -n "$look"
}
# has ROLE KEY VALUE: in its status.
has() {
	look "$1" && awk -v k="$2:" '$1 == k { $1 = ""; print substr($0, 2) }' "/proc/$look/status" >value &&
		echo "$1 $look $2: $(cat value), $3 is expected" && test "$(cat value)" = "$3"
}
# limited ROLE NAME VALUE
limited() {
	look "$1" && grep "^Max $2  *$3  *$3 " "/proc/$look/limits" || { cat "/proc/$look/limits" && return 1; }
}
descriptors() { # what it has open but the standard streams, sockets and what it waits with
	for fd_ in /proc/"$1"/fd/*; do
		case ${fd_##*/} in 0 | 1 | 2) continue ;; esac
		readlink "$fd_"
	done | grep -v -e "^socket:" -e eventpoll || :
}

test_expect_success ROOT 'while a session lives, every process is what the manual says' '
	stop_server probe && conf server.conf server audit audit/server && start_server && cat >ready.sh <<-\END &&
		touch look.now && timeout 60 sh -c "until test -e look.done; do sleep 0.05; done"
	END
	rm -f look.now look.done &&
	{ within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" file.pem "$KEY" WAIT "HELLO agent=x" "PING id=1" WAIT \
		"ONLINE sh ready.sh" >raw.out 2>&1 & } &&
	PROCESSES="$PROCESSES $!" && soon "test -e look.now" &&
	FAMILY=$(pgrep -P "$SERVER_PID" | while read -r child; do echo "$child" && { pgrep -P "$child" || :; }; done) &&
	FAMILY=$(echo $SERVER_PID $FAMILY)
'

for role in master keeper signer scribe session store; do
	test_expect_success ROOT "$role: no new privileges, a list of calls, no core, no descriptors of others" '
		has $role NoNewPrivs 1 && limited $role "core file size" 0 && has $role TracerPid 0 &&
		look $role && grep "^Seccomp:.[^0]" "/proc/$look/status" &&
		test "$(stat -c %U "/proc/$look/maps")" = root
	'
done

test_expect_success ROOT 'accounts, groups and capabilities' '
	for role in session store; do
		has $role Uid "65534 65534 65534 65534" && has $role CapEff 0000000000000000 &&
		has $role CapPrm 0000000000000000 || return 1
	done &&
	has session Groups "" && has scribe CapEff 0000000000000000 && has scribe CapBnd 0000000000000000
'
# KILL SETGID SETUID SETPCAP NICE, and CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER IPC_LOCK
test_expect_success ROOT,PLAIN 'what is left of root' '
	has master CapBnd 00000000008041ef && has master CapEff 00000000008041ef &&
	has keeper CapEff 000000000000400f && has signer CapEff 000000000000400f && has signer CapBnd 000000000000400f
'

test_expect_success ROOT 'limits' '
	for role in session store scribe; do
		limited $role processes 0 || return 1
	done &&
	limited session "open files" 64 && limited store "open files" 512
'
test_expect_success ROOT,PLAIN 'limits of memory' '
	for role in session store scribe; do
		limited $role "address space" 2147483648 || return 1
	done
'

test_expect_success ROOT 'what each has open' '
	look session && descriptors $look >open && test ! -s open &&
	look store && descriptors $look >open && echo "$TRASH/files/alice" >expect && test_cmp expect open &&
	look scribe && descriptors $look | sort >open && printf "%s\n" "$TRASH/audit" "$TRASH/audit/server" >expect && test_cmp expect open &&
	look keeper && descriptors $look >open && test ! -s open &&
	touch look.done
'

# ---- who dies is named ----

test_expect_success 'a store that does what it must not is reported with its call' '
	server_as "" store:chroot && { within 60 consign whoami alice: || :; } &&
	soon "grep \"\\\"event\\\":\\\"killed\\\"\" audit/probe" && grep "\"event\":\"killed\"" audit/probe >event &&
	grep "\"process\":\"store\"" event && grep "\"user\":\"alice\"" event && grep "\"signal\":\"Bad system call\"" event &&
	grep "\"call\":\"chroot\"" event && grep "\"of\":\"" event &&
	grep "store .* of user alice (pid [0-9]*) was killed: Bad system call (a call that its confinement forbids: chroot)" probe.log
'

test_expect_success 'so is a session before anybody is known' '
	server_as "" session-before:mount && { within 60 consign whoami alice: || :; } &&
	soon "grep \"\\\"event\\\":\\\"killed\\\"\" audit/probe" && grep "\"process\":\"session\".*\"call\":\"mount\"" audit/probe
'

test_expect_success ROOT 'a crash is reported, and leaves no core' '
	ulimit -c unlimited && server_as "" "" && echo "$SERVER_PID" >crash.pid &&
	soon "consign whoami alice:" && scribe=$(pgrep -P "$SERVER_PID" | while read -r p; do
		test "$(cat /proc/$p/comm)" != consign-scribe || echo $p; done) && kill -ILL $scribe &&
	soon "grep \"scribe (pid $scribe) was killed: Illegal instruction\" probe.log" &&
	soon "consign whoami alice:" && ! ls core* 2>/dev/null
'

test_expect_success 'a signer that dies is an event of its token' '
	consignd --config probe.conf --status --json >out.json && signer=$(field keeper.tokens.0.pid) && kill -ILL "$signer" &&
	soon "grep \"\\\"state\\\":\\\"died\\\"\" audit/probe" &&
	grep "signer $signer was killed: Illegal instruction" audit/probe && soon "consign whoami alice:"
'

# ---- older kernels ----

test_expect_success 'this kernel: what is enforced stands in log, status and doctor' '
	grep "confinement: Landlock ABI [0-9]*: files, renaming.*; seccomp" probe.log &&
	PATH=$BUILD:$PATH consignd --config probe.conf --status --json >out.json && field confinement >said &&
	grep "^Landlock ABI" said && grep -F "$(cat said)" probe.log &&
	{ PATH=$BUILD:$PATH within 60 consignd --config probe.conf --doctor >doctor.out || :; } && grep -F "$(cat said)" doctor.out
'

test_expect_success 'no Landlock, confine = require: neither starts nor passes --check' '
	stop_server probe && conf probe.conf server confine require && cp probe.conf require.conf &&
	test_expect_code 78 "$MASK" 0 "$BUILD/consignd" --config require.conf --check 2>err && grep Landlock err &&
	test_expect_code 78 within 30 "$MASK" 0 "$BUILD/consignd" --config require.conf 2>err && grep Landlock err &&
	"$BUILD/consignd" --config require.conf --check
'

test_expect_success 'the same with ABI 1' '
	test_expect_code 78 "$MASK" 1 "$BUILD/consignd" --config require.conf --check 2>err && grep Landlock err
'

# A sanitizer's build has ptrace, by which a signer stops its keeper where there is no Landlock.
test_expect_success PLAIN 'no Landlock, confine = best: it says so, and serves' '
	conf probe.conf server confine best && server_as 0 all && grep "confinement: no Landlock" probe.log &&
	consignd --config probe.conf --status --json >out.json && field confinement >said && grep "^no Landlock" said &&
	random_file big 300000 && consign put big alice:/big && consign get alice:/big back && cmp big back
'

test_expect_success PLAIN 'no Landlock: calls are refused all the same; files, only those of other accounts' '
	for stage in session-before session-after; do
		tried $stage >tried && test -s tried && ! grep ALLOWED tried || return 1
	done &&
	tried store >tried && test -s tried && grep "ALLOWED" tried >allowed && ! grep -v "^open:" allowed &&
	grep "open:.*/other/canary ALLOWED" allowed &&
	if test -n "$ACCOUNT"; then ! grep "open:.*/pin ALLOWED" allowed; fi
'

test_expect_success ROOT 'ABI 2: nothing of it is allowed inside; transfers, renames and scrubs work' '
	conf probe.conf server confine best && random_file big 300000 && server_as 2 all && grep "confinement: Landlock ABI 2: files, renaming; seccomp" probe.log &&
	all_live && consign put big alice:/two && consign mkdir alice:/d && consign mv alice:/two alice:/d/two &&
	consign get alice:/d/two two && cmp big two &&
	for stage in session-before session-after store scrub sweep usher scribe; do
		tried $stage >tried && test -s tried && ! grep ALLOWED tried || return 1
	done
'

# ---- an account for the token ----

test_expect_success ROOT 'token-user: keeper and signers are that account, and sign' '
	stop_server probe && cp server.conf token.conf && conf token.conf server audit token.audit &&
	conf token.conf server token-user "$ACCOUNT" && chown -R "$ACCOUNT:" softhsm && start_server token &&
	conf "$CLIENT_CONF" alice port "$PORT" && consign whoami alice: &&
	FAMILY=$(pgrep -P "$SERVER_PID" | while read -r child; do echo "$child" && { pgrep -P "$child" || :; }; done) &&
	FAMILY=$(echo $FAMILY) &&
	for role in keeper signer; do
		has $role Uid "65534 65534 65534 65534" && has $role CapEff 0000000000000000 || return 1
	done &&
	conf token.conf server token-user root && test_expect_code 78 consignd --config token.conf --check 2>err && grep token-user err
'

test_done
