#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='a file with holes: they are not read, not sent, not stored'

# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# In chunks of 1 MiB.
MIB=1048576

# layout FILE BYTES [AT:LENGTH...]: a hole of so many bytes, with random bytes at these places.
layout() {
	layout_=$1 && rm -f "$1" && truncate -s "$2" "$1" && shift 2 || return 1
	for piece_; do
		random_file piece "${piece_#*:}" &&
			dd if=piece of="$layout_" oflag=seek_bytes seek="${piece_%:*}" bs=$MIB conv=notrunc status=none || return 1
	done
}

on_disk() {
	echo $(($(stat -c %b "$1") * $(stat -c %B "$1")))
}

# arrived FILE COPY OUT: equal, and where FILE has holes of whole chunks COPY has them: it takes no more than what was moved.
arrived() {
	same_file "$1" "$2" && test "$(result root "$3")" = "$(root_of "$1")" &&
		test "$(on_disk "$2")" -le $(($(result moved "$3") + $(result kept "$3") + 65536)) &&
		test $(($(result moved "$3") + $(result kept "$3") + $(result copied "$3") + $(result zeros "$3"))) = "$(stat -c %s "$1")" &&
		test -z "$(parts files/alice)" && test -z "$(parts .)" && return
	echo "$(on_disk "$1") at the source, $(on_disk "$2") here" && cat "$3"
	return 1
}

# there_and_back MOVED
there_and_back() {
	rm -rf files/alice/f files/alice/.consign f .consign &&
		consign --json put source alice:/f >out && arrived source files/alice/f out &&
		test "$(result moved out)" = "$1" && test "$(result wire out)" -le $(($1 + $1 / 10 + 8000)) || return 1
	# what it says comes from the stored tree first, then from the file itself
	for option in "" --recheck; do
		rm -f f && consign --json get $option alice:/f f >out && arrived source f out &&
			test "$(result moved out)" = "$1" && test "$(result wire out)" -le $(($1 + $1 / 10 + 8000)) || return 1
	done
}

# What is behind the last checkpoint may be moved twice.
resumed() {
	test "$(result kept "$1")" -gt 0 && test "$(result moved "$1")" -lt "$2"
}

truncate -s 1G probe
test "$(on_disk probe)" -lt $MIB || lacking "needs a file system that has holes"

test_expect_success 'a site with a server' '
	site_setup && start_server
'

test_expect_success 'holes in front' '
	layout source $((20 * MIB)) $((17 * MIB)):$((3 * MIB)) && there_and_back $((3 * MIB))
'
test_expect_success 'holes in the middle' '
	layout source $((20 * MIB)) 0:$((2 * MIB)) $((9 * MIB)):$MIB $((19 * MIB)):$MIB && there_and_back $((4 * MIB))
'
test_expect_success 'holes at the end, which is short' '
	layout source $((20 * MIB + 4711)) 0:$MIB && there_and_back $MIB &&
	layout source $((20 * MIB + 4711)) $((20 * MIB)):4711 && there_and_back 4711
'
test_expect_success 'holes that begin and end within chunks' '
	layout source $((20 * MIB)) $((3 * MIB - 1)):2 $((11 * MIB + 500)):1 $((20 * MIB - 1)):1 && there_and_back $((4 * MIB))
'
test_expect_success 'nothing but a hole' '
	for length in 700000 $MIB $((MIB + 1)) $((30 * MIB)) $((30 * MIB - 1)) $((530 * MIB + 77)); do
		layout source "$length" && there_and_back 0 && test "$(on_disk f)" -le 262144 || return 1
	done
'
test_expect_success 'zeros that were written are not sent either' '
	layout source $((8 * MIB)) $((3 * MIB)):$MIB && cp --sparse=never source full && mv full source &&
	test "$(on_disk source)" -ge $((8 * MIB)) && consign --json put source alice:/z >out &&
	test "$(result moved out)" = $MIB && test "$(result zeros out)" = $((7 * MIB)) && same_file source files/alice/z
'

test_expect_success 'a file that is replaced by one with holes, and the other way round' '
	layout source $((20 * MIB)) 0:$((20 * MIB)) && there_and_back $((20 * MIB)) &&
	layout source $((20 * MIB)) 0:$((4 * MIB)) $((10 * MIB)):100 && consign --json put source alice:/f >out &&
	same_file source files/alice/f && test "$(result zeros out)" = $((15 * MIB)) && test "$(on_disk files/alice/f)" -lt $((6 * MIB)) &&
	consign --json get alice:/f f >out && same_file source f && test "$(on_disk f)" -lt $((6 * MIB)) &&
	layout source $((20 * MIB)) 0:$((20 * MIB)) && consign put source alice:/f && same_file source files/alice/f
'

# Holes of 40 MiB with 60 MiB between them: cut in the middle.
test_expect_success 'an upload that is cut goes on, and stays sparse' '
	rm -f files/alice/f && layout source $((260 * MIB + 5)) $((40 * MIB)):$((60 * MIB)) $((140 * MIB)):$((60 * MIB)) &&
	CUT_BY=KILL cut_at $((150 * MIB)) files/alice leg1 consign --json put source alice:/f &&
	soon "consign ls --pending alice:/ >pending; ! grep now pending" && test -n "$(parts files/alice)" &&
	consign --json put source alice:/f >leg2 && resumed leg2 $((120 * MIB)) && arrived source files/alice/f leg2
'
test_expect_success 'and so does a download' '
	rm -rf f .consign && cut_at $((150 * MIB)) . leg1 consign --json get alice:/f f && test -n "$(parts .)" &&
	consign --json get alice:/f f >leg2 && resumed leg2 $((120 * MIB)) && arrived source f leg2
'
test_expect_success 'what a cut transfer of another content left is not seen through the holes' '
	rm -f files/alice/f && mv source sparse && random_file source $((260 * MIB + 5)) &&
	cut_at $((150 * MIB)) files/alice leg1 consign --json put source alice:/f && mv sparse source &&
	consign --json put source alice:/f >leg2 && same_file source files/alice/f &&
	test "$(result root leg2)" = "$(root_of source)" && test "$(result zeros leg2)" = $((140 * MIB + 5))
'

test_expect_success 'over several connections' '
	layout source $((300 * MIB + 5)) $((40 * MIB)):$((30 * MIB)) $((140 * MIB)):$((3 * MIB)) $((290 * MIB + 77)):10 &&
	rm -rf files/alice/f f .consign && consign --json put -j 4 source alice:/f >out && arrived source files/alice/f out &&
	test "$(result moved out)" = $((34 * MIB)) && consign --json get -j 4 alice:/f f >out && arrived source f out &&
	test "$(result moved out)" = $((34 * MIB))
'

# said STATUS STEP...: what the server answers to an upload of 600 chunks of 16 KiB and 5 bytes that says so.
said() {
	status_=$1 && shift
	within 60 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" WAIT "HELLO agent=raw" "PUT path=/raw flags=1" \
		"OFFER length=9830405 log2=14" "WAIT READY" "$@" "WAIT DONE" ABORT >out && grep "^DONE $status_" out && return
	echo "$*" && cat out
	return 1
}
test_expect_success 'a sender that says what can not be' '
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out alice-file.pem >issued &&
	FILE_KEY=$(key_of_ issued) && truncate -s 9830405 zeros && root=$(root_of zeros) &&
	for bad in HOLE "HOLE first=1 count=1" "HOLE count=513" "HOLE first=512 count=1" "HOLE count=18446744073709551615" \
		"HOLE first=18446744073709551615 count=2" "HOLE id=5 count=1"; do
		said PROTO "$bad" || return 1
	done &&
	said PROTO "HOLE count=512" "HOLE count=512" && said PROTO "HOLE count=512" "HOLE first=511 count=2" &&
	said PROTO "HOLE count=512" "HOLE first=512 count=90" && said PROTO "HOLE count=512" "COMMIT length=9830405 root=$root" &&
	said PROTO "DATA bytes=$(printf "%032768d" 0)" "HOLE count=1" &&
	test_expect_code 66 consign stat alice:/raw &&
	said CORRUPT "HOLE count=512" "HOLE first=512 count=89" "COMMIT length=9830405 root=77" &&
	said OK "HOLE count=512" "HOLE first=512 count=89" "COMMIT length=9830405 root=$root" && cmp zeros files/alice/raw
'

test_expect_success '64 GiB and 1 TiB, there and back, hashed and verified' '
	for length in $((65536 * MIB + 1)) $((1048576 * MIB)); do
		layout source $length $((1000 * MIB)):100 $((length - 7)):7 && rm -f files/alice/f f &&
		consign --json put source alice:/f >out && consign --json get alice:/f f >out2 &&
		test "$(result root out)" = "$(result root out2)" && test "$(stat -c %s f)" = $length &&
		test "$(on_disk files/alice/f)" -le $((4 * MIB)) && test "$(on_disk f)" -le $((4 * MIB)) &&
		test "$(root_of f)" = "$(result root out)" && test "$(root_of source)" = "$(result root out)" &&
		consign verify f alice:/f && consign --json put --recheck source alice:/f >out || return 1
	done
'

test_done
