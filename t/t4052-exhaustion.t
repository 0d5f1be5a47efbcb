#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='descriptors, processes and disks that run out or fail: answers, no deaths, and all is well afterwards'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/disk.sh
. "$SOURCE/t/disk.sh"

case $BUILD in */sanitize) lacking "a sanitizer has to be loaded first" ;; esac

serves() {
	within 30 consign whoami alice: >/dev/null
}

status() {
	within 20 consignd --config server.conf --status --json >out.json
}

# The server with its descriptors limited.
start_narrow() {
	sh -c 'echo $$ >narrow.pid && exec prlimit --nofile=64 consignd --config server.conf --ready-fd 3' \
		3>narrow.ready </dev/null >>narrow.log 2>&1 &
	PROCESSES="$PROCESSES $!" NARROW=$! && soon "grep -q ^ready narrow.ready" && PORT=$(sed "s/.*://" narrow.ready) && export PORT &&
		conf "$CLIENT_CONF" alice port "$PORT"
}

test_expect_success 'a site' '
	site_setup && file_key alice && conf server.conf limits handshake 4s && conf "$CLIENT_CONF" alice retry 0 &&
	random_file big 3000000 && random_file small 5000
'

test_expect_success 'few descriptors: fewer sessions, which is said; the others wait, and the listener lives' '
	start_narrow && grep "64 descriptors (RLIMIT_NOFILE) allow 16 sessions" narrow.log && serves && status &&
	test "$(field gate.places)" = 16 &&
	{ within 60 python3 "$SOURCE/t/siege.py" slow $PORT 60 10 go >slow.out & } && besieger=$! &&
	soon "status && test \$(field gate.handshakes) = 16" && soon "serves" && ! grep "accepting a connection" narrow.log &&
	: >go && wait $besieger && soon "serves" && kill -TERM "$(cat narrow.pid)" && { wait $NARROW; test $? = 0; }
'

test_expect_success 'a server whose calls can fail' '
	disk_setup && start_server && unset LD_PRELOAD && serves
'

for call in "fork EAGAIN" "socketpair EMFILE"; do
	test_expect_success "no session for want of processes or descriptors: $call" '
		disk_fail $call 0 4 && test_expect_code 75 within 30 consign whoami alice: && soon "serves" && test "$(disk_met)" -ge 4 &&
		disk_well && soon "grep -q \"\\\"dropped\\\".*no session could be started\\|\\\"refused\\\"\" server.audit" && : >server.audit
	'
done

# survives CALL ERRNO FILE LEAST: an upload whose n-th CALL fails, for n = 1 and on until there is none that could: it is an answer with a
# status of its own, LEAST times at least, or does not matter; nothing half is visible; and the next upload is whole.
survives() {
	n_=0 failed_=0
	while test $n_ -lt 4; do
		rm -f "files/alice/$3" && disk_fail "$1" "$2" $n_ || return 1
		within 60 consign -q put "$3" alice:/ 2>err
		code_=$?
		met_=$(disk_met) && disk_well && test "$met_" -gt $n_ || break
		echo "$1 $2, the ${n_}th: status $code_: $(cat err)"
		case $code_ in
		0) same_file "$3" "files/alice/$3" || return 1 ;;
		73 | 74 | 75 | 77)
			# What has its name, and may lose that by a power cut, is whole all the same.
			test -s err && { test ! -e "files/alice/$3" || same_file "$3" "files/alice/$3"; } || return 1
			failed_=$((failed_ + 1))
			;;
		*) return 1 ;;
		esac
		within 60 consign -q put "$3" alice:/ && same_file "$3" "files/alice/$3" || return 1
		n_=$((n_ + 1))
	done
	disk_well && test $failed_ -ge "$4"
}

for file in big small; do
	for fault in "pwrite64 ENOSPC" "pwrite64 EIO" "fdatasync EIO" "fsync EIO" "fsync EDQUOT" "renameat ENOSPC" "linkat EDQUOT" "mkdirat ENOSPC" "ftruncate64 EIO" "fallocate64 ENOSPC"; do
		test_expect_success "an upload ($file): $fault" '
			survives $fault $file 0
		'
	done
done

test_expect_success 'data that was not written, or not synced, is never acknowledged' '
	survives pwrite64 EIO big 2 && survives fdatasync EIO big 1
'

test_expect_success 'nothing died, nothing is left' '
	! grep "\"killed\"" server.audit && ! grep -i "was killed" server.log && test -z "$(parts files/alice)" && serves
'

test_done
