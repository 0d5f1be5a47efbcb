#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='sync both ways: what is moved, what is left, what is deleted, and what is refused'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# What stands below FOLDER, with modes and times; without its own.
state() {
	(cd "$1" && find . -mindepth 1 -name .consign -prune -o -mindepth 1 -printf '%P %y %m %T@ %s\n' | sort)
}

alike() {
	state "$1" >one && state "$2" >two && test_cmp one two && diff -r -x .consign "$1" "$2"
}

test_expect_success 'a site with a server, and a tree' '
	site_setup && start_server && umask 022 &&
	mkdir -p src/a/b/c src/empty "src/with space" && random_file src/a/one 1 && : >src/a/none &&
	random_file src/a/b/small 70000 && random_file src/a/b/edge 131072 && random_file src/a/b/over 131073 &&
	random_file src/a/b/c/long 3000000 && random_file "src/with space/x" 5000 && chmod 640 src/a/one &&
	touch -d "2001-02-03 04:05:06.123456789 UTC" src/a/b/small src/empty src/a/b && chmod 750 src/a
'

for j in 1 3; do
	test_expect_success "up with $j connections: all of it; again: nothing" '
		consign --json sync -j '$j' src alice:/up'$j' >out && json_lines out && test "$(sum good out)" = 7 &&
		alike src files/alice/up'$j' &&
		consign --json sync -j '$j' src alice:/up'$j' >out && test "$(sum good out)" = 0 &&
		test "$(sum same out)" = 7 && test "$(sum failed out)" = 0
	'

	test_expect_success "down with $j connections: all of it; again: nothing" '
		consign --json sync -j '$j' alice:/up1 down'$j' >out && test "$(sum good out)" = 7 && alike src down'$j' &&
		consign --json sync -j '$j' alice:/up1 down'$j' >out && test "$(sum good out)" = 0 &&
		test "$(sum same out)" = 7
	'
done

test_expect_success 'what was uploaded in one message has its root stored, and it is the right one' '
	consign --json stat alice:/up1/a/b/small >out && grep "$(root_of src/a/b/small)" out &&
	consign --json stat alice:/up1/a/b/edge >out && grep "$(root_of src/a/b/edge)" out
'

test_expect_success 'only what differs moves, in either direction' '
	printf y >src/a/one && random_file src/new 10 && consign --json sync src alice:/up1 >out &&
	test "$(sum good out)" = 2 && test "$(sum same out)" = 6 && alike src files/alice/up1 &&
	consign --json sync alice:/up1 down1 >out && test "$(sum good out)" = 2 && alike src down1
'

test_expect_success 'by root: a time alone moves nothing, a content of the same size and time does' '
	cp -a src/a/b/c/long kept && touch src/a/b/c/long &&
	consign --json sync --checksum src alice:/up1 >out && test "$(sum good out)" = 0 &&
	printf z | dd of=src/a/b/c/long bs=1 seek=1500000 conv=notrunc status=none && touch -r kept src/a/b/c/long &&
	consign --json sync src alice:/up1 >out && test "$(sum good out)" = 0 &&
	consign --json sync --checksum src alice:/up1 >out && test "$(sum good out)" = 1 && alike src files/alice/up1 &&
	consign --json sync --checksum alice:/up1 down1 >out && test "$(sum good out)" = 1 && alike src down1
'

test_expect_success 'by root: what the server has no root stored of it hashes, and what is equal does not move' '
	cp -r src files/alice/unhashed && { test -z "$ACCOUNT" || chown -R "$ACCOUNT:" files/alice/unhashed; } &&
	consign --json sync --checksum src alice:/unhashed >out && test "$(sum good out)" = 0 && test "$(sum same out)" = 8 &&
	consign --json sync --checksum alice:/unhashed down1 >out && test "$(sum good out)" = 0 && test "$(sum same out)" = 8 &&
	for name in a/b/c/long a/b/small; do
		printf w | dd of=files/alice/unhashed/$name bs=1 seek=60000 conv=notrunc status=none || return 1
	done &&
	consign --json sync -j 3 --checksum alice:/unhashed down1 >out && test "$(sum good out)" = 2 &&
	test "$(sum same out)" = 6 && diff -r -x .consign down1 files/alice/unhashed &&
	consign --json sync -j 3 --checksum src alice:/unhashed >out && test "$(sum good out)" = 2 &&
	diff -r src files/alice/unhashed && consign sync alice:/up1 down1
'

test_expect_success 'a dry run says so and does nothing' '
	random_file src/dry 20 && touch files/alice/up1/extra && consign sync --dry-run --delete src alice:/up1 >out &&
	grep "^would send src/dry$" out && grep "^would delete alice:/up1/extra$" out && test ! -e files/alice/up1/dry &&
	test -e files/alice/up1/extra && consign --json sync --dry-run src alice:/up1 >out && json_lines out &&
	touch down1/local && consign sync --dry-run --delete alice:/up1 down1 >out &&
	grep "^would delete down1/local$" out && grep "^would fetch /up1/extra$" out && test ! -e down1/extra &&
	test -e down1/local
'

test_expect_success 'deleting: not without being asked, not beyond the bound, else whole trees' '
	mkdir -p files/alice/up1/old/er && touch files/alice/up1/old/er/x files/alice/up1/old/y &&
	chown -R --reference=files/alice/up1/a files/alice/up1/old files/alice/up1/extra &&
	consign sync src alice:/up1 && test -e files/alice/up1/old/er/x &&
	test_expect_code 75 consign sync --delete --max-delete 4 src alice:/up1 2>err && grep "5 things" err &&
	test -e files/alice/up1/old/er/x && test -e files/alice/up1/extra &&
	consign --json sync --delete --max-delete 5 src alice:/up1 >out && test "$(sum deleted out)" = 5 &&
	alike src files/alice/up1 &&
	mkdir -p down1/old/er && touch down1/old/er/x && test_expect_code 75 consign sync --delete --max-delete 3 \
		alice:/up1 down1 && test -e down1/old/er/x && consign --json sync --delete alice:/up1 down1 >out &&
	test "$(sum deleted out)" = 4 && alike src down1
'

test_expect_success 'what could not be moved keeps everything from being deleted' '
	mkfifo src/fifo && touch files/alice/up1/extra &&
	test_expect_code 65 consign sync --delete src alice:/up1 2>err && grep "nothing is deleted" err &&
	test -e files/alice/up1/extra && rm src/fifo && consign sync --delete src alice:/up1 && alike src files/alice/up1
'

test_expect_success 'a folder that is missing at the source deletes nothing here' '
	cp -a down1 precious && test_expect_code 66 consign sync --delete alice:/absent precious && alike down1 precious
'

test_expect_success 'rules: the first that matches decides; what is excluded is not deleted either' '
	mkdir -p sieve/keep sieve/skip && touch sieve/keep/a.c sieve/keep/a.o sieve/skip/b.c sieve/c.c sieve/d.o &&
	consign sync --include "a.o" --exclude "*.o" --exclude /skip/ sieve alice:/sieve &&
	(cd files/alice/sieve && find . -type f | sort) >actual &&
	printf "%s\n" ./c.c ./keep/a.c ./keep/a.o >expect && test_cmp expect actual &&
	mkdir files/alice/sieve/skip && touch files/alice/sieve/z.o files/alice/sieve/skip/q &&
	consign sync --delete --exclude "*.o" --exclude /skip/ sieve alice:/sieve &&
	test -e files/alice/sieve/z.o && test -e files/alice/sieve/skip/q &&
	printf "# objects\n*.o\n" >rules && consign --json sync --exclude-from rules alice:/sieve fetched >out &&
	(cd fetched && find . -type f | sort) >actual && printf "%s\n" ./c.c ./keep/a.c ./skip/q >expect &&
	test_cmp expect actual && test_expect_code 64 consign sync --exclude "[" sieve alice:/sieve &&
	test_expect_code 64 consign sync --exclude "" sieve alice:/sieve
'

test_expect_success 'symbolic links by policy, never followed out of the tree by a folder' '
	mkdir links && echo secret >outside && ln -s ../outside links/out && ln -s nowhere links/dangling &&
	mkdir beyond && echo x >beyond/x && ln -s ../beyond links/folder && echo y >links/y &&
	test_expect_code 65 consign --json sync links alice:/links >out 2>err && test "$(sum failed out)" = 3 &&
	test "$(ls files/alice/links)" = y && consign --json sync --links skip links alice:/links >out &&
	test "$(sum failed out)" = 0 && test_expect_code 65 consign sync --links follow links alice:/links 2>err &&
	grep "links/dangling" err && grep "links/folder" err && same_file outside files/alice/links/out &&
	test ! -e files/alice/links/folder && test_expect_code 64 consign sync --links maybe links alice:/links
'

test_expect_success 'a link in the place of a folder here leads nothing outside' '
	mkdir trap elsewhere && ln -s ../elsewhere trap/a && { consign sync alice:/up1 trap 2>err; code=$?; } &&
	test $code -ne 0 && test -z "$(ls elsewhere)"
'

test_expect_success 'a folder where a file should go, and the other way round: a failure each, no more' '
	cp -a src cross && rm cross/new && mkdir cross/new && rm -r cross/empty && touch cross/empty &&
	{ consign --json sync cross alice:/up1 >out 2>err; code=$?; } && test $code -eq 65 &&
	test "$(sum failed out)" = 2 && test -f files/alice/up1/new && test -d files/alice/up1/empty
'

test_expect_success 'two servers, or none, are refused' '
	test_expect_code 64 consign sync src dst && test_expect_code 64 consign sync alice:/up1 bob:/up1 &&
	test_expect_code 64 consign sync src alice:/x -j 65 && test_expect_code 64 consign sync src alice:/x -j -1 &&
	test_expect_code 64 consign sync --delete --max-delete -1 src alice:/x && test_expect_code 66 consign sync absent alice:/x
'

test_expect_success 'two thousand small files, several connections, in either direction' '
	mkdir many && perl -e "for (1..2000) { my \$d = sprintf q(many/%02d), \$_ / 100; mkdir \$d; open my \$f, q(>), qq(\$d/f\$_); print \$f qq(content of \$_\n) x (\$_ % 50) }" &&
	consign --json put -r -j 3 many alice:/many >out && test "$(sum good out)" = 2000 && alike many files/alice/many &&
	consign --json get -r -j 3 alice:/many fetched >out && test "$(sum good out)" = 2000 && alike many fetched/many &&
	consign --json sync -j 2 many alice:/many >out && test "$(sum same out)" = 2000 &&
	cp -r many files/alice/unstored && { test -z "$ACCOUNT" || chown -R "$ACCOUNT:" files/alice/unstored; } &&
	printf z | dd of=files/alice/unstored/07/f777 bs=1 seek=3 conv=notrunc status=none && echo else >>fetched/many/08/f888 &&
	consign --json sync --checksum -j 2 alice:/unstored fetched/many >out && test "$(sum same out)" = 1998 &&
	test "$(sum good out)" = 2 && diff -r fetched/many files/alice/unstored &&
	test "$(grep -c "\"event\":\"put\",\"status\":\"OK\".*/many/" server.audit)" = 2000
'

test_expect_success 'nothing is left of it but what belongs there' '
	test -z "$(parts files/alice)" && test ! -e src/.consign && test ! -e down1/.consign && test ! -e fetched/.consign
'

test_done
