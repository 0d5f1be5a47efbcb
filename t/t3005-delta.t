#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='a changed file: what the other side has of it already does not travel'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# In chunks of 1 MiB.
MIB=1048576

# change FILE OFFSET TEXT
change() {
	printf %s "$3" | dd of="$1" oflag=seek_bytes seek="$2" conv=notrunc status=none
}

# mib FILE FIRST COUNT: that part of it.
mib() {
	dd if="$1" bs=$MIB skip="$2" count="$3" status=none
}

# put_moves BYTES FILE [OPTION]: what of an upload to alice:/f crosses the wire; the rest was there.
put_moves() {
	consign --json put $3 "$2" alice:/f >out && it_moved "$1" "$2" files/alice/f
}

get_moves() {
	consign --json get $3 alice:/f "$2" >out && it_moved "$1" "$2" files/alice/f
}

it_moved() {
	same_file "$2" "$3" && test "$(result root out)" = "$(root_of "$2")" &&
		test "$(result moved out)" = "$1" && test "$(result wire out)" -le $(($1 + $1 / 10 + 8000)) &&
		test $(($(result moved out) + $(result kept out) + $(result copied out))) = "$(stat -c %s "$2")" &&
		test -z "$(parts files/alice)" && return
	cat out
	return 1
}

# A new site of contents: a source, and the same at the server.
fresh() {
	rm -rf files/alice/f files/alice/.consign f .consign && cp source old && consign -q put old alice:/f
}

file_user() {
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out alice-file.pem \
		>alice-file.issued && FILE_KEY=$(key_of_ alice-file.issued) && test -s "$FILE_KEY"
}

HI='HELLO agent=raw'

raw() {
	within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" WAIT "$HI" "$@"
}

test_expect_success 'a site with a server' '
	site_setup && file_user && start_server && random_file source $((40 * MIB + 1234)) && random_file other $((3 * MIB))
'

test_expect_success '256 MiB of which one in a hundred chunks changed, up and down' '
	random_file big $((256 * MIB)) && cp big new && consign -q put big alice:/f && cp big f &&
	change new $((5 * MIB)) "new" && change new $((77 * MIB + 4711)) "new" && change new $((255 * MIB - 1)) "nw" &&
	put_moves $((4 * MIB)) new && ! grep hashing out && ! grep "\"moved\":0" out &&
	get_moves $((4 * MIB)) f && put_moves $((4 * MIB)) big && rm big new f
'

test_expect_success 'the same again moves nothing' '
	fresh && put_moves 0 old && cp old f && get_moves 0 f
'

test_expect_success '3 MiB in front: all else moves along' '
	fresh && cat other source >new && put_moves $((3 * MIB)) new &&
	cp source f && get_moves $((3 * MIB)) f && put_moves 0 source && cp new f && get_moves 0 f
'

test_expect_success 'chunks in another order, some of them twice, some gone' '
	fresh && { mib source 30 5; mib source 7 1; mib other 0 1; mib source 7 1; mib source 0 9; } >new &&
	put_moves $MIB new && cp source f && get_moves $MIB f
'

test_expect_success 'shrunk, cut inside a chunk, grown, grown inside the last chunk' '
	fresh && cp source new && truncate -s $((20 * MIB)) new && put_moves 0 new &&
	fresh && truncate -s $((20 * MIB - 5)) new && put_moves $((MIB - 5)) new &&
	fresh && cat source other >new && put_moves $((3 * MIB + 1234)) new &&
	fresh && cp source new && printf x >>new && put_moves 1235 new
'

test_expect_success 'files of zeros, of one chunk and of less' '
	fresh && head -c $((9 * MIB)) /dev/zero >new && consign --json put new alice:/f >out &&
	test "$(result zeros out)" = $((9 * MIB)) && same_file new files/alice/f &&
	truncate -s $((30 * MIB)) new && consign --json put new alice:/f >out && test "$(result moved out)" = 0 &&
	same_file new files/alice/f &&
	for n in 0 1 $MIB $((MIB + 1)); do
		head -c $n source >new && consign --json put new alice:/f >out && same_file new files/alice/f || return 1
	done
'

test_expect_success '--whole takes nothing from what stands there, either way' '
	fresh && cp source new && change new 99 x && put_moves $((40 * MIB + 1234)) new --whole &&
	cp source f && get_moves $((40 * MIB + 1234)) f --whole
'

test_expect_success 'without a stored tree, or with --recheck, the old version is hashed first' '
	fresh && rm -r files/alice/.consign/trees && cp source new && change new 99 x && put_moves $MIB new &&
	fresh && touch files/alice/f && put_moves $MIB new && fresh && put_moves $MIB new --recheck
'

test_expect_success 'a stored tree that lies about a chunk costs that chunk' '
	fresh && tree=$(tree_file files/alice f) &&
	perl -e "open F, \"+<\", \$ARGV[0] or die; seek F, 8192+3*32, 0; print F \"x\"" "$tree" &&
	put_moves $MIB source
'

test_expect_success 'a file changed beside consign: what it holds now counts, not what it held' '
	fresh && change files/alice/f $((9 * MIB + 5)) "rot" && put_moves $MIB source &&
	fresh && cp source f && change f $((9 * MIB + 5)) "rot" && get_moves $MIB f
'

test_expect_success 'result and audit log say what was copied' '
	fresh && consign put source alice:/f >out && grep "moved 0 B, kept 0 B, copied 40" out &&
	test "$(grep -c "\"copied\":\"$((40 * MIB + 1234))\"" server.audit)" -gt 0
'

test_expect_success 'who may not read is told nothing' '
	fresh && conf map alice rights "list create overwrite" && kill -HUP "$SERVER_PID" &&
	soon "! consign whoami alice: | grep read" && cp source new && change new 99 x &&
	consign --json put new alice:/f >out && same_file new files/alice/f &&
	test "$(result moved out)" = $((40 * MIB + 1234)) && test "$(result copied out)" = 0 &&
	raw "PUT path=/f flags=1" "OFFER length=41944274" "WAIT READY" "COPY count=1" ABORT "WAIT DONE" >answer &&
	! grep OLD answer && grep "^DONE PROTO" answer &&
	conf map alice rights "list read create overwrite delete rename mkdir" && kill -HUP "$SERVER_PID" &&
	soon "consign whoami alice: | grep read" && consign rm --part alice:/f
'

test_expect_success 'the old version stays as it is until the new one is complete' '
	fresh && cat >look <<-\EOT &&
		#!/bin/sh
		cmp -s source files/alice/f && exec 7<files/alice/f && cmp -s source - <&7 && rm -f got &&
		consign -q get alice:/f got && cmp -s source got
	EOT
	chmod +x look && exec 7<files/alice/f &&
	{ mib source 5 10; mib source 0 10; } >new && root=$(root_of new) &&
	raw "PUT path=/f flags=1" "OFFER length=$((20 * MIB))" "WAIT OLD" "ONLINE ./look" \
		"COPY index=0 from=5 count=10" "ONLINE ./look" "COPY index=10 from=0 count=10" "ONLINE ./look" \
		"COMMIT length=$((20 * MIB)) root=$root" "WAIT DONE" >answer && grep "^DONE OK" answer &&
	same_file new files/alice/f && cat <&7 >before && exec 7<&- && same_file source before &&
	consign verify new alice:/f && consign -q get alice:/f got && same_file new got
'

test_expect_success 'a root that is not that of what was copied' '
	fresh && raw "PUT path=/f flags=1" "OFFER length=$((10 * MIB))" "WAIT OLD" \
		"COPY index=0 from=1 count=10" "COMMIT length=$((10 * MIB)) root=$(root_of source)" "WAIT DONE" >answer &&
	grep "^DONE CORRUPT" answer && same_file source files/alice/f && consign rm --part alice:/f
'

cat >meddle <<-\EOT
	#!/bin/sh
	printf rot | dd of=files/alice/f oflag=seek_bytes seek=$1 conv=notrunc status=none
EOT
chmod +x meddle

test_expect_success 'the old file is changed meanwhile: CHANGED, nothing is replaced, the rest is gone on with' '
	fresh && raw "PUT path=/f flags=1" "OFFER length=$((40 * MIB + 1234))" "WAIT OLD" \
		"COPY index=0 from=0 count=10" "ONLINE ./meddle $((15 * MIB))" "COPY index=10 from=10 count=10" \
		"WAIT DONE" ABORT >answer && grep "^DONE CHANGED .*changed while it was copied from" answer &&
	cp source meddled && change meddled $((15 * MIB)) rot && same_file meddled files/alice/f &&
	consign --json ls --pending alice:/ >pending && grep "\"have\":$((10 * MIB))," pending &&
	put_moves $MIB source && test $(result kept out) = $((10 * MIB))
'

test_expect_success 'the same where nothing was copied from, and a new name: what was copied is proven' '
	fresh && raw "PUT path=/f flags=1" "OFFER length=$((10 * MIB))" "WAIT OLD" \
		"ONLINE ./meddle $((15 * MIB))" "COPY index=0 from=0 count=5" "ONLINE ln files/alice/f files/alice/name2" \
		"COPY index=5 from=5 count=5" "COMMIT length=$((10 * MIB)) root=$(head -c $((10 * MIB)) source >new && root_of new)" \
		"WAIT DONE" >answer && grep "^DONE OK" answer && same_file new files/alice/f && rm files/alice/name2
'

test_expect_success 'the old file is cut or goes meanwhile' '
	fresh && raw "PUT path=/f flags=1" "OFFER length=$((40 * MIB + 1234))" "WAIT OLD" \
		"ONLINE truncate -s 5000000 files/alice/f" "COPY index=0 from=0 count=10" "WAIT DONE" ABORT >answer &&
	grep "^DONE CHANGED" answer && test $(stat -c %s files/alice/f) = 5000000 && put_moves $((36 * MIB + 1234)) source &&
	fresh && head -c $((10 * MIB)) source >new &&
	raw "PUT path=/f flags=1" "OFFER length=$((10 * MIB))" "WAIT OLD" "ONLINE rm files/alice/f" \
		"COPY index=0 from=0 count=10" "COMMIT length=$((10 * MIB)) root=$(root_of new)" "WAIT DONE" >answer &&
	grep "^DONE OK" answer && same_file new files/alice/f
'

# wrong COPY...: refused, in an upload of 45 MiB over the 40 MiB and 1234 bytes that stand there.
wrong() {
	raw "PUT path=/f flags=1" "OFFER length=$((45 * MIB))" "WAIT OLD" "$@" ABORT "WAIT DONE" "PING id=7" WAIT \
		>answer && grep "^DONE PROTO" answer && tail -n 2 answer | grep "^DONE OK" &&
		same_file source files/alice/f && return
	echo "sent: $*" && cat answer
	return 1
}

test_expect_success 'copies that can not be are refused' '
	fresh && wrong "COPY count=0" && wrong "COPY index=1 count=1" && wrong "COPY from=41 count=1" &&
	wrong "COPY from=40 count=1" && wrong "COPY from=39 count=2" && wrong "COPY count=46" &&
	wrong "COPY count=18446744073709551615" && wrong "COPY from=18446744073709551615 count=1" &&
	wrong "COPY index=18446744073709551615 count=1" && wrong "COPY id=9 count=1" &&
	wrong "COPY count=3" "COPY count=3" && wrong "COPY count=3" "COPY index=2 from=2 count=3" &&
	wrong "DATA bytes=$(printf "%032768d" 0)" "COPY count=1" && wrong "OLD" && consign rm --part alice:/f &&
	rm new && truncate -s $((70 * MIB)) new && consign -q put new alice:/f &&
	raw "PUT path=/f flags=1" "OFFER length=$((70 * MIB))" "WAIT OLD" "COPY count=65" \
		ABORT "WAIT DONE" >answer && grep "^DONE PROTO" answer &&
	raw "PUT path=/f flags=1" "OFFER length=$((70 * MIB))" "WAIT OLD" "COPY count=64" "COPY index=64 from=0 count=6" \
		"COMMIT length=$((70 * MIB)) root=$(root_of new)" "WAIT DONE" >answer && grep "^DONE OK" answer
'

test_expect_success 'hashes in a download that no receiver tells' '
	fresh && for old in "READY old=65537 old_length=18446744073709551615" "READY old=2 old_length=$MIB" \
		"READY old=1 old_length=18446744073709551615" "READY old=65537 old_length=$((65537 * MIB))"; do
		raw "GET path=/f" "WAIT OFFER" "$old" >answer && grep "^ERROR PROTO" answer || return 1
	done &&
	for told in "OLD first=1 hashes=$(printf "%064d" 0)" "OLD hashes=$(printf "%064d" 0)" "OLD" "OLD hashes=00" \
		"OLD hashes=$(printf "%0192d" 0)" "HAVE"; do
		raw "GET path=/f" "WAIT OFFER" "READY old=2 old_length=$((2 * MIB))" "$told" >answer &&
		grep "^ERROR PROTO" answer || { echo "$told" && cat answer && return 1; }
	done
'

test_expect_success 'hashes that never come end the transfer in the time a transfer may stand still' '
	conf server.conf limits stall 1s && restart_server &&
	raw "GET path=/f" "WAIT OFFER" "READY old=2 old_length=$((2 * MIB))" "WAIT ABORT" "DONE status=4" >answer &&
	grep "^ABORT TIMEOUT" answer && conf server.conf limits stall "" && restart_server
'

# Every second chunk is another: it lasts. Where the machine was busy elsewhere it may be over before.
killed_in_the_middle() {
	for try_ in 1 2 3 4 5; do
		rm -rf files/alice/f files/alice/.consign && consign -q put old alice:/f || return 1
		consign --json put new alice:/f >leg1 2>err &
		put_=$!
		soon "grep result leg1 || test \$(stat -c %s files/alice/.consign/parts/*.data) -ge $((30 * MIB))" &&
			kill -KILL $(pgrep -P "$SERVER_PID") && kill_server || return 1
		wait $put_
		start_server || return 1
		test -z "$(parts files/alice)" || return 0
	done
	return 1
}

test_expect_success 'the server is killed in the middle: it goes on, from the part and the old version' '
	random_file old $((192 * MIB)) && cp old new &&
	for i in $(seq 1 2 191); do change new $((i * MIB)) "new $i" || return 1; done &&
	killed_in_the_middle && same_file old files/alice/f && test "$(parts files/alice | wc -l)" = 2 &&
	consign --json ls --pending alice:/ >pending && consign --json put new alice:/f >out && same_file new files/alice/f &&
	test $(result kept out) -gt 0 && test $(result copied out) -gt 0 &&
	test $(result moved out) -le $(((192 * MIB - $(result kept out)) / 2 + MIB)) &&
	test $(($(result moved out) + $(result kept out) + $(result copied out))) = $((192 * MIB)) &&
	test -z "$(parts files/alice)"
'

# own_filesystem NAME COMMAND...: makes files/alice/NAME a filesystem, mounted by COMMAND..., and a root of alice's.
own_filesystem() {
	mkdir "files/alice/$1" && name_=$1 && shift && "$@" "files/alice/$name_" && MOUNTED=files/alice/$name_ &&
		chown "$ACCOUNT:" "$MOUNTED" && conf map alice "root /$name_" "$TRASH/$MOUNTED" &&
		kill -HUP "$SERVER_PID" && soon "consign ls alice:/$name_"
}

unmounted() {
	conf map alice "root /$name_" "" && restart_server && umount "$MOUNTED" && MOUNTED=
}
cleanup 'test -z "$MOUNTED" || umount "$MOUNTED"'

# Free space of the mounted filesystem, in MiB.
free() {
	sync -f "$MOUNTED" && df -BM --output=avail "$MOUNTED" | tr -dc "0-9"
}

test "$(id -u)" -eq 0 && test_set_prereq ROOT
test_have_prereq ROOT && command -v mkfs.xfs >/dev/null && command -v filefrag >/dev/null &&
	grep -q xfs /proc/filesystems && test_set_prereq XFS

test_expect_success ROOT 'on a filesystem in memory' '
	random_file old $((40 * MIB + 1234)) && cp old new && change new $((7 * MIB)) new &&
	own_filesystem memory mount -t tmpfs -o size=200m none && consign put old alice:/memory/f &&
	consign --json put new alice:/memory/f >out && same_file new $MOUNTED/f && test $(result moved out) = $MIB &&
	unmounted
'

# The old version lives on under a second name.
test_expect_success XFS 'where the filesystem can, what is copied is shared' '
	truncate -s 600M disk && mkfs.xfs -q -m reflink=1 disk && own_filesystem shared mount -o loop disk &&
	consign put old alice:/shared/f && ln $MOUNTED/f $MOUNTED/kept && before=$(free) &&
	consign --json put new alice:/shared/f >out && same_file new $MOUNTED/f && test $(result moved out) = $MIB &&
	same_file old $MOUNTED/kept && filefrag -v $MOUNTED/f >extents && grep shared extents &&
	test $(free) -ge $((before - 10)) && unmounted
'

test_done
