#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='what lies on the disk is held to the hashes of its uploaders: scrub, and downloads of what is rotten'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

MIB=1048576

scrub() {
	within 60 consignd --quiet --config server.conf --scrub --json "$@" >out.json
}

# counts "NAME=N ...": whether the scrub in out.json counted so.
counts() {
	for count_ in $1; do
		test "$(field "scrub.${count_%=*}")" = "${count_#*=}" || { cat out.json; return 1; }
	done
}

# rot FOLDER FILE OFFSET: changes a byte of a content of several chunks as a disk would: no time of the file
# changes. Here, the stored tree is told the time of change that the write has left.
rot() {
	perl -MCompress::Zlib -e '
		my ($file, $tree, $at) = @ARGV;
		open my $f, "+<", $file or die; binmode $f;
		my @before = stat $f;
		seek $f, $at, 0; read $f, my $byte, 1; seek $f, $at, 0; print $f chr(ord($byte) ^ 1); close $f;
		open $f, "+<", $tree or die; binmode $f; local $/; my $h = <$f>;
		my $n = unpack "N", substr $h, 10, 4;
		my $stamp = qx(stat -c "%Y %y %Z %z" $file) or die;
		my ($m, $mn, $c, $cn) = $stamp =~ /^(\d+) \S+ \S+?\.(\d+) \S+ (\d+) \S+ \S+?\.(\d+) / or die $stamp;
		substr $h, 14 + 8 + 1 + 8 + 1 + 16, 24, pack "Q>NQ>N", $m, $mn, $c, $cn;
		substr $h, 14 + $n, 4, pack "N", crc32(substr $h, 0, 14 + $n);
		seek $f, 0, 0; print $f $h; close $f;
	' "$1/$2" "$(tree_file "$1" "$2")" "$3"
}

test_expect_success 'a site with files in it' '
	site_setup && start_server && random_file big $((5 * MIB + 100)) && random_file other $((3 * MIB)) && echo text >small &&
	: >empty && consign mkdir -p alice:/a/b && consign -q put big alice:/a/b/big && consign -q put other alice:/other &&
	consign -q put small empty alice:/ && consign -q put other bob:/other
'

test_expect_success 'all is well, says the server' '
	scrub && counts "run=1 status=OK files=5 proven=5 rotten=0 chunks=0 damaged=0 plain=0 changed=0 orphans=0 errors=0" &&
	counts "bytes=$((5 * MIB + 100 + 3 * MIB + 3 * MIB + 5))" && test "$(field scrub.findings.0)" = - &&
	grep "\"event\":\"scrub\",\"status\":\"OK\",\"files\":\"5\"" server.audit &&
	consignd --config server.conf --status >out && grep "^scrub 1 .*: ok" out && grep "5 proven, 0 rotten" out
'

test_expect_success 'one user alone; one whom the map does not have' '
	scrub --user bob && counts "only=bob files=1 proven=1" && test_expect_code 66 scrub --user nobody
'

test_expect_success 'hashes stay with files that are renamed, and so do those below a folder that is' '
	consign mv alice:/a alice:/c && consign mv alice:/c/b/big alice:/c/b/large && consign mv alice:/small alice:/tiny &&
	scrub && counts "status=OK files=5 proven=5 changed=0 orphans=0"
'

test_expect_success 'what was changed or laid there by others is counted, not judged' '
	printf x | dd of=files/alice/other bs=1 seek=77 conv=notrunc status=none && at_server small alice/laid &&
	printf X >>files/alice/tiny && scrub && counts "status=OK files=6 proven=3 changed=2 plain=1"
'

test_expect_success 'and is served as it is now' '
	consign get alice:/other back && same_file back files/alice/other &&
	consign put other alice:/other && consign put small alice:/tiny && rm files/alice/laid &&
	scrub && counts "status=OK files=5 proven=5"
'

test_expect_success 'a stored tree without a file is counted; one that is damaged is a finding' '
	at_server big alice/.consign/trees/7777777 && scrub && counts "status=OK orphans=1" &&
	rm files/alice/.consign/trees/7777777 && tree=$(tree_file files/alice other) && cp -p $tree saved &&
	printf x | dd of=$tree bs=1 seek=20 conv=notrunc status=none && test_expect_code 65 scrub &&
	counts "status=CORRUPT damaged=1 proven=4 rotten=0 findings.0.path=/other findings.0.chunk=-" &&
	cat saved >$tree && printf x | dd of=$tree bs=1 seek=$((8192 + 40)) conv=notrunc status=none &&
	test_expect_code 65 scrub && counts "damaged=1 proven=4 rotten=0" && cat saved >$tree && scrub && counts "proven=5"
'

test_expect_success 'rot is found: which file, which chunk, where; in answer, audit log, status and log' '
	rot files/alice c/b/large $((2 * MIB + 5)) && rot files/alice c/b/large $((5 * MIB + 5)) && test_expect_code 65 scrub &&
	counts "status=CORRUPT files=5 proven=4 rotten=1 chunks=2 changed=0 damaged=0" &&
	counts "findings.0.user=alice findings.0.path=/c/b/large findings.0.chunk=2 findings.0.offset=$((2 * MIB))" &&
	counts "findings.0.size=$MIB findings.1.chunk=5 findings.1.offset=$((5 * MIB)) findings.1.size=100 findings.2=-" &&
	grep "\"event\":\"rot\",\"status\":\"CORRUPT\",\"user\":\"alice\",\"path\":\"/c/b/large\",\"chunk\":\"2\",\"offset\":\"$((2 * MIB))\"" \
		server.audit && grep "\"event\":\"rot\".*\"chunk\":\"5\"" server.audit &&
	grep "\"event\":\"scrub\",\"status\":\"CORRUPT\"" server.audit && json_lines server.audit &&
	grep "warning scrub user=alice: /c/b/large: chunk 2 (bytes $((2 * MIB)) and on) does not match" server.log &&
	consignd --config server.conf --status >out && grep "^scrub .* content does not match" out &&
	grep "^rot alice /c/b/large: chunk 2 ($MIB bytes from $((2 * MIB))) does not match" out
'

test_expect_success 'a download of it fails by that chunk, with nothing to be seen; the server knows, too' '
	test_expect_code 65 consign get alice:/c/b/large back2 2>err && grep "chunk 2 (bytes $((2 * MIB)) and on)" err &&
	test ! -e back2 && soon "grep get.*CORRUPT.*/c/b/large.*chunk.2. server.audit" &&
	consign get alice:/other back3 && same_file other back3
'

test_expect_success 'an upload cures it, though what stands there would be copied from' '
	consign -q put big alice:/c/b/large && scrub && counts "status=OK proven=5" &&
	consign get alice:/c/b/large back4 && same_file big back4
'

test_expect_success 'without a server: the same, with its records' '
	rot files/bob other 1 && stop_server && test_expect_code 65 scrub &&
	counts "status=CORRUPT files=5 proven=4 chunks=1 findings.0.user=bob findings.0.path=/other findings.0.chunk=0" &&
	tail -n 4 server.audit >last && grep "\"event\":\"rot\".*\"user\":\"bob\",\"path\":\"/other\"" last &&
	grep "\"event\":\"scrub\",\"status\":\"CORRUPT\"" last && scrub --user alice && counts "proven=4" &&
	test_expect_code 65 consignd --config server.conf --scrub >out && grep "^rot bob /other: chunk 0" out &&
	test_expect_code 66 scrub --user nobody && cp other files/bob/other
'

test_expect_success 'without an audit log: no records, and no others in the answer' '
	cp server.conf bare.conf && conf bare.conf server audit "" && cp server.audit before &&
	consignd --quiet --config bare.conf --scrub --json >out.json && json_lines out.json && test "$(wc -l <out.json)" = 1 &&
	counts "status=OK proven=4 changed=1" && test_cmp before server.audit
'

test_expect_success 'what two users have in common is read once, or for the one who is asked for' '
	cp map saved.map && sed -n "/^\[alice\]/,/^\[bob\]/p" map | sed "1d;\$d;/^subject/d" >rule &&
	{ echo "[carol]" && cat rule && echo "subject = CN=carol"; } >>map && scrub && counts "files=5 proven=4" &&
	scrub --user carol && counts "files=4 proven=4" && cp saved.map map
'

test_expect_success 'folders that can not be read are no success' '
	if test -n "$ACCOUNT"; then mkdir files/alice/shut && chmod 700 files/alice/shut; else mkdir -m 0 files/alice/shut; fi &&
	test_expect_code 74 scrub && counts "status=IO errors=1 proven=4" && rmdir files/alice/shut
'

test_expect_success 'one that runs: a second is refused, a rate is kept to, an end of the server ends it' '
	conf server.conf limits scrub-rate 1K && start_server &&
	{ { consignd --config server.conf --scrub >slow.out 2>slow.err; echo $? >slow.status; } & } &&
	soon "consignd --config server.conf --status >out && grep \"^scrub 1 since .*: at user alice\" out" &&
	test_expect_code 75 scrub 2>err && grep "runs already" err && conf server.conf limits scrub-rate "" &&
	kill -HUP "$(cat server.pid)" && stop_server && soon "test -s slow.status" && cat slow.err &&
	test "$(cat slow.status)" = 75 && grep "ended before the scrub did" slow.err && ! grep "Terminated" server.audit &&
	tail -n 4 server.audit | grep "\"event\":\"scrub\",\"status\":\"LIMIT\""
'

test_expect_success 'by itself, once an interval' '
	conf server.conf limits scrub-interval 1s && start_server &&
	soon "consignd --config server.conf --status --json >out.json && test \$(field scrub.run) -ge 2" &&
	test "$(field scrub.next)" -gt 0 && conf server.conf limits scrub-interval "" && stop_server
'

# On a file system of its own, whose bytes are changed below it: nothing of consign or of the kernel is asked.
if test "$(id -u)" -eq 0 && mkdir disk && truncate -s 32M image && mkfs.ext4 -q image && mount -o loop image disk 2>/dev/null; then
	cleanup "umount --lazy disk 2>/dev/null || :"
	test_expect_success 'rot below the file system' '
		mkdir disk/alice && { test -z "$ACCOUNT" || chown "$ACCOUNT:" disk/alice; } &&
		conf map alice root "$TRASH/disk/alice" && start_server &&
		{ printf "%01048576d" 0 && printf "a sentence of its own" && printf "%01048576d" 0; } >content &&
		printf "another one" >short && consign put content short alice:/ && stop_server && umount disk &&
		perl -0777 -pi -e "s/a sentence of its own/a Sentence of its own/ and s/another one/another onE/ or die" image &&
		mount -o loop image disk && start_server && test_expect_code 65 scrub --user alice &&
		counts "rotten=2 chunks=2 changed=0 proven=0" && grep "\"path\":\"/content\",\"chunk\":1,\"offset\":$MIB" out.json &&
		grep "\"path\":\"/short\",\"chunk\":0" out.json &&
		test_expect_code 65 consign get alice:/content got 2>err && grep "chunk 1 (bytes $MIB and on)" err && test ! -e got &&
		test_expect_code 65 consign get alice:/short got 2>err && grep "chunk 0 " err && test ! -e got &&
		soon "grep get.*CORRUPT.*/short.*chunk.0. server.audit" && stop_server && umount disk
	'
	umount --lazy disk 2>/dev/null
else
	echo "# rot below the file system needs root and a loop device" >&5
fi

test_done
