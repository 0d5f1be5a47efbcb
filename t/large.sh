#!/bin/sh
# SPDX-License-Identifier: ISC
# `make check-large`: many files and one very long one, both ways, and the memory that takes. Not for continuous
# integration. In the environment:
#   FILES   files of the tree (200000): half of them in one folder, the others in folders of 500
#   SPARSE  bytes of the long file (64 GiB), a few of them not zero
#   MEMORY  KiB that no process may go beyond (262144)
# Needs disk for three trees, and for two long files where zeros are not left out.
test_description='a tree of many files and a file of many gigabytes, there and back, in bounded memory'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

FILES=${FILES:-200000}
SPARSE=${SPARSE:-68719476736}
MEMORY=${MEMORY:-262144}

# How a tree and a file are sent and fetched: send LOCAL PATH, fetch PATH LOCAL.
send_tree() { exec consign -q sync "$1" "alice:/$2"; }
fetch_tree() { exec consign -q sync "alice:/$1" "$2"; }
send() { exec consign -q put "$1" "alice:/$2"; }
fetch() { exec consign -q get "alice:/$1" "$2"; }

say() { echo "# $*" >&5; }

# Adds "WHAT KIB" for the client and the server's processes, as far as they got until now.
sample() {
	{
		sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/client \1/p' "/proc/$1/status"
		sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/master \1/p' "/proc/$SERVER_PID/status"
		for pid_ in $(pgrep -P "$SERVER_PID"); do
			role_=$(role "$pid_")
			sed -n "s/^VmHWM:[^0-9]*\([0-9]*\) kB/$role_ \1/p" "/proc/$pid_/status"
		done
	} >>samples 2>/dev/null
}
role() {
	if test "$1" = "$SCRIBE"; then
		echo scribe
	elif grep -qa -- --keeper "/proc/$1/cmdline"; then
		echo keeper
	else
		echo session-store
	fi
}
find_scribe() {
	SCRIBE=$(pgrep -P "$SERVER_PID" | while read -r child_; do
		for fd_ in "/proc/$child_/fd"/*; do
			case $(readlink "$fd_") in */server.audit) echo "$child_" ;; esac
		done
	done | head -n 1)
}

# measured WHAT COMMAND...: runs it, says how long it took and what memory, fails when it failed or took too much.
measured() {
	what_=$1 && shift && : >samples && start_=$(date +%s.%N) || return 1
	("$@") &
	client_=$!
	while kill -0 $client_ 2>/dev/null; do
		sample $client_
		sleep 0.2
	done
	wait $client_ || return 1
	awk -v what="$what_" -v start="$start_" -v end="$(date +%s.%N)" -v limit="$MEMORY" '
		$2 > most[$1] { most[$1] = $2 }
		END {
			printf "# %s: %.1f s; KiB:", what, end - start
			for (r in most) { printf " %s %d", r, most[r]; if (most[r] > limit) bad = 1 }
			print ""
			exit bad
		}' samples >&5
}

# make_tree FOLDER FILES: each of 0 to 4 KiB, no two alike.
make_tree() {
	perl -e '
		my ($top, $n) = @ARGV; my $f; my $folder;
		mkdir $top or die; mkdir "$top/flat" or die;
		for my $i (0 .. $n - 1) {
			if ($i < $n / 2) { $folder = "$top/flat" }
			elsif ($i % 500 == 0 || !-d $folder || $folder =~ /flat/) { $folder = "$top/" . int($i / 500); mkdir $folder }
			open $f, ">", "$folder/$i" or die; print $f "$i\n" x ($i % 600) or die; close $f or die;
		}' "$1" "$2"
}

test_expect_success 'a site' '
	site_setup && conf server.conf limits idle 1h && start_server && find_scribe && test -n "$SCRIBE"
'

test_expect_success "a tree of $FILES files" '
	make_tree tree "$FILES" && test "$(find tree -type f | wc -l)" -eq "$FILES"
'
test_expect_success 'sent' 'measured "tree sent" send_tree tree tree'
test_expect_success 'is there' 'diff -r tree files/alice/tree >diff && test ! -s diff'
test_expect_success 'fetched' 'measured "tree fetched" fetch_tree tree back && diff -r tree back >diff && test ! -s diff'

test_expect_success 'once more: nothing has to be moved' 'measured "tree compared" send_tree tree tree'

test_expect_success "a file of $SPARSE bytes" '
	truncate -s "$SPARSE" long && for at in 0 3 7; do
		echo "here is $at" | dd of=long bs=1 seek=$((SPARSE / 8 * at + at)) conv=notrunc status=none || return 1
	done
'
test_expect_success 'sent' 'measured "long file sent" send long long'
test_expect_success 'is there' '
	say "$(du -k files/alice/long | cut -f 1) KiB on the disk, $(du -k long | cut -f 1) at the source" &&
	test "$(root_of long)" = "$(root_of files/alice/long)"
'
test_expect_success 'fetched' '
	measured "long file fetched" fetch long long.back && say "$(du -k long.back | cut -f 1) KiB on the disk" &&
	test "$(root_of long)" = "$(root_of long.back)"
'
test_expect_success 'no part is left' 'test -z "$(parts files/alice)" && test -z "$(parts .)"'

test_done
