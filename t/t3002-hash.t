#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='roots and stored trees equal those of an independent implementation of BEP 52'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

MIB=1048576

if ! /usr/bin/python3 -c 'import libtorrent' 2>/dev/null; then
	lacking 'python3-libtorrent is not installed'
fi

other() {
	/usr/bin/python3 "$SOURCE/t/hash.py" "$@"
}

: >empty
ENGINES=
for engine in gnutls ipsec-mb; do
	consign hash --engine $engine empty >/dev/null 2>&1 && ENGINES="$ENGINES $engine"
done
echo "# engines:$ENGINES"

test_expect_success 'there is the engine that is everywhere' '
	case $ENGINES in *gnutls*) ;; *) false ;; esac &&
	test_expect_code 64 consign hash --engine nonsense empty
'

# BEP 52 gives an empty file no root.
test_expect_success 'an empty content: zeros' '
	for engine in $ENGINES; do
		echo "0 $(printf "%064d" 0) empty" >expect &&
		consign hash --engine $engine empty >actual && test_cmp expect actual || return 1
	done
'

for n in 1 16383 16384 16385 32768 32769 262143 $((MIB - 1)) $MIB $((MIB + 1)) $((2 * MIB)) $((3 * MIB + 16384)) \
	$((5 * MIB + 7)) $((17 * MIB - 16385)); do
	test_expect_success "$n bytes" '
		random_file f$n $n && other f$n >expect &&
		for engine in $ENGINES; do
			consign hash --engine $engine f$n | cut -d " " -f 1,2 >actual &&
			test_cmp expect actual || return 1
		done
	'
done

# Islands at places that are no multiples of anything, one across a chunk boundary; the last byte is one.
test_expect_success '3 GiB with holes' '
	random_file island 100000 && truncate -s $((3072 * MIB - 5)) large &&
	for at in 12345 $((700 * MIB - 777)) $((1500 * MIB + 1)) $((2047 * MIB + 500000)); do
		dd if=island of=large bs=64k oflag=seek_bytes seek=$at conv=notrunc status=none || return 1
	done &&
	printf x | dd of=large oflag=seek_bytes seek=$((3072 * MIB - 6)) conv=notrunc status=none &&
	other large >expect && test "$(cut -d " " -f 1 expect)" = $((3072 * MIB - 5)) &&
	for engine in $ENGINES; do
		consign hash --engine $engine large | cut -d " " -f 1,2 >actual &&
		test_cmp expect actual || return 1
	done
'

test_expect_success '--sha256 is what sha256sum says' '
	for file in empty f1 f16385 f$((5 * MIB + 7)); do
		consign hash --sha256 $file >out && set -- $(cat out) &&
		test "$3  $file" = "$(sha256sum $file)" && test $4 = $file || return 1
	done
'

test_expect_success 'several files, one of them missing' '
	test_expect_code 66 consign hash f1 absent f16384 >out && test "$(wc -l <out)" = 2
'

test_expect_success 'a site with a server' 'site_setup && start_server'

for n in $((2 * MIB)) $((5 * MIB + 7)) $((17 * MIB - 16385)); do
	test_expect_success "the stored tree of $n bytes is the piece layer" '
		other f$n $MIB >layer && sed 1d layer >expect && consign put f$n alice:/f &&
		dd if="$(tree_file files/alice f)" bs=8192 skip=1 status=none |
			od -An -v -tx1 -w32 | tr -d " " >actual && test_cmp expect actual &&
		consign --json stat alice:/f >out && grep "\"root\":\"$(sed -n "1s/.* //p" layer)\"" out
	'
done

test_expect_success 'a file of one chunk: its root lies in the slot of its inode' '
	other f16385 >layer && sed "s/.* //" layer >expect && consign put f16385 alice:/f &&
	inode=$(stat -c %i files/alice/f) && test ! -e "$(tree_file files/alice f)" &&
	dd if="files/alice/.consign/trees/$(printf %x $((inode / 1024))).small" bs=4 count=8 status=none \
		skip=$((inode % 1024 * 24 + 11)) | od -An -v -tx1 -w32 | tr -d " " >actual && test_cmp expect actual
'

test_done
