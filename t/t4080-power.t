#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='power cuts: images of a disk, taken while files arrive, hold every file that was acknowledged, and none by half

ROUNDS (images) can be given in the environment. What the file system has not been told to write is not in an image: it is
mounted so that it writes by itself every five minutes only.'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/attack.sh
. "$SOURCE/t/attack.sh"

ROUNDS=${ROUNDS:-6}
SIZES="5000 200000 1100000"

if test "$(id -u)" -ne 0 || ! mkdir disk after || ! truncate -s 192M image || ! mkfs.ext4 -q image || ! mount -o loop,commit=300 image disk 2>/dev/null; then
	lacking "images of a disk need root and a loop device"
fi
cleanup "umount --lazy disk after 2>/dev/null || :"

# Uploads one file after the other, in turns new ones and the same one anew, until the file "enough" is there. What was
# acknowledged is in "acked": NAME CONTENT.
upload_all() {
	n=0
	until test -e enough; do
		n=$((n + 1)) && set -- $SIZES && shift $((n % 3)) && random_file content.$n $(($1 + n)) &&
			if test $((n % 4)) = 0; then name=same; else name=f$n; fi &&
			echo $n >begun && consign -q put content.$n alice:/$name && echo "$name $n" >>acked || return 1
	done
}

# image N: as the disk would be found after a power cut now, and what was acknowledged before.
image() {
	pids_="$SERVER_PID $(pgrep -P "$SERVER_PID" | tr "\n" " ")" && cp acked acked.$1 && kill -STOP $pids_ 2>/dev/null
	cp --sparse=always image crash.$1
	code_=$?
	cp begun begun.$1 && kill -CONT $pids_ 2>/dev/null
	return $code_
}

# acked_are N: waits until so many are, or no more come.
acked_are() {
	until test "$(wc -l <acked)" -ge "$1" || test -e upload.status; do sleep 0.02; done
}

take_images() {
	i=0
	while test $i -lt "$ROUNDS"; do
		i=$((i + 1)) && image $i && acked_are $(($(wc -l <acked) + 1)) || break
	done
	: >enough
}

# whole FILE: it is one of the contents.
whole() {
	for c_ in content.*; do
		cmp -s "$1" "$c_" && return
	done
	echo "$1 is no content: $(stat -c %s "$1") bytes" && return 1
}

# found N: the image has what was acknowledged, and else nothing but whole files.
found() {
	while read -r name content; do
		test -e after/alice/$name || { echo "$name was acknowledged and is not there"; return 1; }
		test $name = same || same_file content.$content after/alice/$name || return 1
	done <acked.$1
	last_=$(sed -n "s/^same //p" acked.$1 | tail -n 1)
	if test -n "$last_"; then
		n_=$last_ && until cmp -s content.$n_ after/alice/same; do
			n_=$((n_ + 4)) && test $n_ -le "$(cat begun.$1)" || { echo "same is older than what was acknowledged"; return 1; }
		done
	fi
	for file_ in after/alice/*; do
		test ! -e "$file_" || whole "$file_" || return 1
	done
}

test_expect_success 'a site on a disk of its own' '
	attack_site && mkdir disk/alice && { test -z "$ACCOUNT" || chown "$ACCOUNT:" disk/alice; } && conf map alice root "$TRASH/disk/alice" &&
	start_server && : >acked && sync -f disk
'

test_expect_success 'images while files arrive' '
	{ { upload_all >upload.out 2>&1; echo $? >upload.status; } & } && uploads=$! && acked_are 5 && take_images && wait $uploads &&
	cat upload.out && test "$(cat upload.status)" = 0 && test "$(ls crash.* | wc -l)" = "$ROUNDS" &&
	test "$(wc -l <acked.$ROUNDS)" -gt "$(wc -l <acked.1)"
'

test_expect_success 'an image without what was not synced is one: the oracle works' '
	echo unsynced >disk/alice/unsynced && image x && test_when_finished "umount after" && mount -o loop crash.x after &&
	test ! -s after/alice/unsynced && rm disk/alice/unsynced
'

test_expect_success 'the server ends; what it leaves is whole' '
	stop_server && umount disk && json_lines server.audit
'

i=0
while test $i -lt "$ROUNDS"; do
	i=$((i + 1))
	test_expect_success "image $i: what was acknowledged is there, and what is there is whole and proven; it is gone on with" '
		test_when_finished "stop_server; umount after" && mount -o loop crash.$i after && found $i && conf map alice root "$TRASH/after/alice" &&
		consignd --quiet --config server.conf --scrub --user alice --json >out.json && test "$(field scrub.rotten)" = 0 &&
		test "$(field scrub.damaged)" = 0 && start_server && next=$(($(cat begun.$i) + 1)) && random_file next 1500001 &&
		consign -q put next alice:/f$next && same_file next after/alice/f$next && consign ls --pending alice:/
	'
done

umount --lazy after disk 2>/dev/null
test_done
