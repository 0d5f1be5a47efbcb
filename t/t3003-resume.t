#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='what was cut goes on: little is sent twice, nothing unproven is kept'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# In chunks of 1 MiB. A receiver that is told of a cut makes all whole chunks durable, one that is killed
# has what was durable at its last checkpoint: 128 MiB, or 5 s, before.
MIB=1048576
CHUNKS=64
LENGTH=$((CHUNKS * MIB - 1000))

# The part of an upload, once its session let go of it.
settled() {
	soon "consign ls --pending alice:/ >pending; ! grep now pending" && test "$(parts files/alice | wc -l)" = 2 &&
		DATA=$(parts files/alice | sed -n 1p) JOURNAL=$(parts files/alice | sed -n 2p)
}

# What alice:/f has durable, by its journal.
have() {
	consign --json ls --pending alice:/ >pending &&
		perl -MJSON::PP -ne 'print decode_json($_)->{have}, "\n"' pending
}

# An upload whose line is cut when so many bytes of content, whole chunks, are through.
cut_up() {
	relay_do "cut next up $(place "$1") fin" || return 1
	within 60 consign --json put source relayed:/f >leg1 2>cut.err
	code_=$?
	test $code_ = 75 && settled || { echo "status $code_: $(cat cut.err)" && return 1; }
}

# A download that is killed when so many bytes have been written, and the line brings no more.
kill_down() {
	relay_hold down "$(place "$1")" && cut_at "$1" . leg1 consign --json get relayed:/f f
	code_=$?
	# The client may be gone before the line stands still.
	relay_do go && return $code_
}

# Ends the upload, which must move MIN to MAX bytes.
finish_up() {
	consign --json put $3 source alice:/f >leg2 && result moved leg2 >moved &&
		test "$(cat moved)" -ge "$1" && test "$(cat moved)" -le "$2" &&
		test $(($(cat moved) + $(result kept leg2))) = "$(stat -c %s source)" &&
		test "$(result root leg2)" = "$(root_of source)" && same_file source files/alice/f &&
		test -z "$(parts files/alice)"
}

again() {
	rm -f files/alice/f f && rm -rf .consign && parts files/alice >left && test_must_be_empty left
}

test_expect_success 'a site with a server' '
	site_setup && file_key alice && start_server && start_relay && random_file source $LENGTH && random_file second $LENGTH &&
	random_file old 100000
'

for at in 1 7 20 33 45; do
	test_expect_success "an upload cut at $at MiB goes on where it was" '
		again && cut_up $((at * MIB)) && test_expect_code 66 consign stat alice:/f &&
		test $(have) = $((at * MIB)) && finish_up $((LENGTH - at * MIB)) $((LENGTH - at * MIB)) && ! grep hashing leg2
	'
done

test_expect_success 'the old file stays whole until the new one is' '
	again && consign put old alice:/f && cut_up $((30 * MIB)) && same_file old files/alice/f &&
	consign --json stat alice:/f >out && grep "\"root\":\"$(root_of old)\"" out &&
	finish_up 0 $LENGTH
'

for at in 1 20 45 60; do
	test_expect_success "a download that is killed at $at MiB goes on: what reached the disk is hashed again, not moved again" '
		again && at_server source alice/f && cp old f &&
		kill_down $((at * MIB)) && same_file old f &&
		test $(parts . | grep -c "data$") = 1 &&
		consign --json get alice:/f f >leg2 && same_file source f &&
		test $(result moved leg2) -le $((LENGTH - at * MIB)) &&
		test $(($(result moved leg2) + $(result kept leg2))) = $LENGTH &&
		test "$(result root leg2)" = "$(root_of source)" && test ! -e .consign
	'
done

test_expect_success 'a changed byte of the part: only its chunk travels again' '
	again && cut_up $((40 * MIB)) && durable=$(have) &&
	printf "!" | dd of="$DATA" bs=1 seek=$((3 * MIB + 77)) conv=notrunc status=none &&
	finish_up $((LENGTH - durable + MIB)) $((LENGTH - durable + MIB))
'

test_expect_success 'the same with size and times put back: the time of change tells' '
	again && cut_up $((40 * MIB)) && durable=$(have) && cp -p "$DATA" copy &&
	printf "!" | dd of="$DATA" bs=1 seek=$((3 * MIB + 77)) conv=notrunc status=none &&
	touch -r copy "$DATA" && finish_up $((LENGTH - durable + MIB)) $((LENGTH - durable + MIB))
'

test_expect_success 'a shortened part' '
	again && cut_up $((40 * MIB)) && truncate -s $((10 * MIB + 5)) "$DATA" &&
	finish_up $((LENGTH - 10 * MIB)) $((LENGTH - 10 * MIB))
'

test_expect_success 'a part longer than the content' '
	again && cut_up $((40 * MIB)) && durable=$(have) && truncate -s $((70 * MIB)) "$DATA" &&
	finish_up 0 $((LENGTH - durable))
'

test_expect_success 'another inode with the same content and times' '
	again && cut_up $((40 * MIB)) && durable=$(have) && cp -p "$DATA" "$DATA.x" && mv "$DATA.x" "$DATA" &&
	finish_up 0 $((LENGTH - durable))
'

test_expect_success 'a symbolic link in its place is refused, and followed by nobody' '
	again && cut_up $((40 * MIB)) && cp second victim && chmod 666 victim &&
	mv "$DATA" aside && ln -s "$PWD/victim" "$DATA" &&
	test_expect_code 65 consign put source alice:/f && same_file second victim &&
	rm "$DATA" && mv aside "$DATA" && finish_up 0 $LENGTH
'

test_expect_success 'nothing is written through a second name of it' '
	again && cut_up $((40 * MIB)) && ln "$DATA" files/alice/name2 && cp "$DATA" before &&
	{ consign put source alice:/f || test $? = 65; } && same_file before files/alice/name2 &&
	rm files/alice/name2 && { test ! -e files/alice/f || same_file source files/alice/f; } &&
	consign put source alice:/f && same_file source files/alice/f && parts files/alice >left &&
	test_must_be_empty left
'

for size in 0 1 8 13 60 200 8191 8192 8193 8223 8224 9000; do
	test_expect_success "a journal cut to $size bytes" '
		again && cut_up $((40 * MIB)) && truncate -s $size "$JOURNAL" && finish_up 0 $LENGTH
	'
done

for at in 0 7 9 12 20 30 60 100; do
	test_expect_success "a journal with byte $at turned" '
		again && cut_up $((40 * MIB)) && durable=$(have) && perl -e "
			open F, \"+<\", \$ARGV[0] or die; seek F, $at, 0; read F, \$c, 1; seek F, $at, 0; print F ~\$c & \"\\xff\"
		" "$JOURNAL" && finish_up 0 $((LENGTH - durable))
	'
done

# Slots have no check sum: that is what the receiver own root is for.
test_expect_success 'a turned bit in a slot costs a chunk, never a wrong file' '
	again && cut_up $((40 * MIB)) && durable=$(have) &&
	perl -e "open F, \"+<\", \$ARGV[0] or die; seek F, 8192+40, 0; read F, \$c, 1; seek F, 8192+40, 0; print F \$c ^ \"\\1\"" "$JOURNAL" &&
	finish_up $((LENGTH - durable)) $((LENGTH - durable + MIB))
'

test_expect_success '--recheck hashes all and keeps what is right' '
	again && cut_up $((40 * MIB)) && durable=$(have) && finish_up 0 $((LENGTH - durable)) --recheck
'

test_expect_success 'another source of the same size and time: exactly the new one arrives' '
	again && cp -p source first && cut_up $((40 * MIB)) && touch -r source stamp &&
	dd if=second of=source bs=64k oflag=seek_bytes seek=$((5 * MIB + 3)) count=20 conv=notrunc status=none &&
	touch -r stamp source && test "$(stat -c "%s %Y" source)" = "$(stat -c "%s %Y" first)" &&
	test_must_fail cmp -s source first && finish_up $((2 * MIB)) $LENGTH && cp -p first source
'

test_expect_success 'a shorter and a longer source between two attempts' '
	again && cp -p source first && cut_up $((40 * MIB)) && truncate -s $((20 * MIB + 9)) source &&
	finish_up 0 $((20 * MIB + 9)) && again && cp -p first source && cut_up $((40 * MIB)) && cat old >>source &&
	finish_up 0 $LENGTH && cp -p first source
'

test_expect_success 'a source that changes while it is read: CHANGED, nothing is replaced' '
	again && cp source moving && consign put old alice:/f && relay_hold up $(place $((9 * MIB))) &&
	{ within 60 consign --json put moving relayed:/f >out 2>err & } && client=$! &&
	relay_held && echo more >>moving && relay_do go &&
	{ wait $client; code=$?; } && test $code = 65 && test "$(result status out)" = CHANGED && grep "changed while it was read" err &&
	same_file old files/alice/f && consign rm --part alice:/f
'

test_expect_success 'two at once to one name: the second waits or is told; never a mix' '
	again && for round in 1 2 3 4 5 6 7 8; do
		{ consign --json put source alice:/f >out1 2>err1 & } && one=$! &&
		soon "test -n \"\$(parts files/alice)\" || test -s out1" &&
		{ consign --json put second alice:/f >out2 2>err2; code2=$?; wait $one; code1=$?; } &&
		case $code1,$code2 in 0,0|0,75|75,0) ;; *) echo "$code1 $code2"; cat err1 err2; return 1 ;; esac &&
		{ same_file source files/alice/f || same_file second files/alice/f; } || return 1
	done
'

test_expect_success 'a part in use is listed so, and kept from a second for longer than it waits' '
	again && relay_hold up $(place $((2 * MIB))) &&
	{ within 60 consign put source relayed:/f >leg1 & } && client=$! &&
	relay_held && consign --json ls --pending alice:/ >out && grep "\"active\":true" out &&
	test_expect_code 75 consign --json put second alice:/f >out && test "$(result status out)" = BUSY &&
	test_expect_code 75 consign rm --part alice:/f && relay_do go && wait $client && same_file source files/alice/f
'

test_expect_success 'another user of the same root can not take over the part' '
	again && cut_up $((20 * MIB)) && conf map bob root "$TRASH/files/alice" && kill -HUP "$SERVER_PID" &&
	soon "consign ls bob:/ | grep -q . || consign --json ls --pending bob:/ | grep f" &&
	cat pending && test_expect_code 75 consign --json put second bob:/f >out && test "$(result status out)" = BUSY && finish_up 0 $LENGTH
'

test_expect_success 'a young part survives the sweep at the start and is gone on with' '
	again && cut_up $((20 * MIB)) && durable=$(have) && restart_server && stop_relay && start_relay && test $(parts files/alice | wc -l) = 2 &&
	finish_up $((LENGTH - durable)) $((LENGTH - durable))
'

test_expect_success 'a small content in place of what was cut leaves no part of it, at either side' '
	again && cut_up $((5 * MIB)) && consign -q put old alice:/f && same_file old files/alice/f &&
	test -z "$(parts files/alice)" &&
	cp source files/alice/f && kill_down $((5 * MIB)) && test -n "$(parts .)" &&
	rm files/alice/f && consign -q put old alice:/f && consign -q get alice:/f f && same_file old f &&
	test ! -e .consign
'

test_done
