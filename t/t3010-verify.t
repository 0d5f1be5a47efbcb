#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='verify: a tree here and one at the server compared by their roots, without moving content'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# sums GOOD DIFFER MISSING FAILED FILE
sums() {
	test "$(sum good "$5") $(sum differ "$5") $(sum missing "$5") $(sum failed "$5")" = "$1 $2 $3 $4" || {
		cat "$5"
		return 1
	}
}

as_server() {
	test -z "$ACCOUNT" || chown -R "$ACCOUNT:" "$@"
}

test_expect_success 'a site with a server, and a tree at both sides' '
	site_setup && start_server && mkdir -p src/a/b src/empty && random_file src/a/one 1 && : >src/a/none &&
	random_file src/a/b/small 70000 && random_file src/a/b/long 3000000 && random_file src/x 5000 &&
	consign sync src alice:/up
'

test_expect_success 'equal: 0, the sum and nothing else, and no content is moved' '
	consign verify -r src alice:/up >out && test "$(wc -l <out)" = 1 && grep "^verify: 5 files are equal" out &&
	consign --json verify -r src/ alice:/up/ >out && json_lines out && sums 5 0 0 0 out &&
	test "$(sum bytes out)" = 3075001 && consign -q verify -r src alice:/up >out 2>&1 && test_must_be_empty out &&
	test_must_fail grep -E "\"event\":\"(put|get)\".*\"op\":\"verify" server.audit && test ! -e src/.consign
'

test_expect_success 'a time alone is no difference' '
	touch -d 2001-01-01 src/x && consign verify -r src alice:/up
'

test_expect_success 'content, length and type that differ, and what is on one side only' '
	cp -a src other && printf z | dd of=other/a/b/long bs=1 seek=1500000 conv=notrunc status=none &&
	printf more >>other/a/one && rm other/a/none && mkdir other/a/none && mkdir -p other/new/er && echo n >other/new/er/n &&
	rm other/x && rmdir other/empty && printf z | dd of=other/a/b/small bs=1 conv=notrunc status=none &&
	test_expect_code 1 consign verify -r other alice:/up >out 2>err && test_must_be_empty err && sort out >actual &&
	cat >expect <<-\EOF &&
	alice:/up/empty: missing here
	alice:/up/x: missing here
	other/a/b/long: another content
	other/a/b/small: another content
	other/a/none: another type
	other/a/one: another length
	other/new/er/n: missing there
	other/new/er: missing there
	other/new: missing there
	verify: 0 files are equal, 0 B; 4 differ; 5 on one side only; 0 failed
	EOF
	test_cmp expect actual && test_expect_code 1 consign --json verify -r other alice:/up >out && json_lines out &&
	sums 0 4 5 0 out && grep "\"why\":\"another content\",\"root\":\"$(root_of other/a/b/small)\",\"remote_root\":\"$(root_of src/a/b/small)\"" out &&
	test "$(grep -c "\"event\":\"verify\"" out)" = 9 && test_expect_code 1 consign -q verify -r other alice:/up >out && test_must_be_empty out
'

test_expect_success 'roots that the server has not stored are asked for' '
	rm -rf files/alice/plain && cp -r src files/alice/plain && as_server files/alice/plain &&
	consign --json verify -r src alice:/plain >out && sums 5 0 0 0 out &&
	printf z | dd of=files/alice/plain/a/b/long bs=1 seek=2999999 conv=notrunc status=none &&
	test_expect_code 1 consign --json verify -r src alice:/plain >out && sums 4 1 0 0 out &&
	grep "another content.*$(root_of files/alice/plain/a/b/long)" out
'

test_expect_success 'a file that was changed at the server behind its stored root: found, and cured by sync --checksum' '
	printf z | dd of=files/alice/up/a/b/small bs=1 conv=notrunc status=none &&
	test_expect_code 1 consign --json verify -r src alice:/up >out && sums 4 1 0 0 out &&
	consign sync --checksum src alice:/up && consign verify -r src alice:/up
'

test_expect_success 'rules: what is excluded is not compared on either side' '
	echo o >src/here.o && echo o >files/alice/up/there.o && mkdir -p files/alice/up/skip && touch files/alice/up/skip/q &&
	as_server files/alice/up && test_expect_code 1 consign --json verify -r src alice:/up >out && sums 5 0 4 0 out &&
	consign --json verify -r --exclude "*.o" --exclude /skip/ src alice:/up >out && sums 5 0 0 0 out &&
	printf "*.o\n" >rules && consign --json verify -r --include x --exclude-from rules --exclude /skip src alice:/up >out &&
	sums 5 0 0 0 out && test_expect_code 64 consign verify -r --exclude "[" src alice:/up && rm src/here.o &&
	rm -r files/alice/up/there.o files/alice/up/skip
'

test_expect_success 'links and what is no file: failures unless skipped or followed; never through one at the server' '
	ln -s x src/link && ln -s absent src/dangling && mkfifo src/fifo && ln -s x files/alice/up/remote-link &&
	test_expect_code 1 consign --json verify -r src alice:/up >out 2>err && sums 5 0 1 3 out && grep "src/fifo" err &&
	rm files/alice/up/remote-link src/fifo && test_expect_code 65 consign --json verify -r src alice:/up >out && sums 5 0 0 2 out &&
	consign --json verify -r --links skip src alice:/up >out && sums 5 0 0 0 out && rm src/dangling &&
	test_expect_code 1 consign --json verify -r --links follow src alice:/up >out && sums 5 0 1 0 out &&
	ln -s x files/alice/up/link && test_expect_code 1 consign --json verify -r --links follow src alice:/up >out && sums 5 1 0 0 out &&
	test_expect_code 64 consign verify -r --links maybe src alice:/up && rm src/link files/alice/up/link
'

test_expect_success 'a file that can not be read here fails; a difference goes before it' '
	mkdir -p shut && echo 1 >shut/a && echo 2 >shut/b && consign sync shut alice:/shut && ln -s nowhere shut/c &&
	test_expect_code 65 consign --json verify -r shut alice:/shut >out 2>err && sums 2 0 0 1 out && echo 3 >shut/b &&
	test_expect_code 1 consign --json verify -r shut alice:/shut >out 2>err && sums 1 1 0 1 out
'

test_expect_success 'folders against files, and what is not there' '
	test_expect_code 65 consign verify src alice:/up 2>err && grep "verify -r" err &&
	test_expect_code 65 consign verify -r src alice:/up/x && test_expect_code 65 consign verify src/x alice:/up &&
	test_expect_code 66 consign verify -r src alice:/absent && test_expect_code 66 consign verify -r absent alice:/up &&
	consign verify -r src/x alice:/up/x && test_expect_code 1 consign verify -r src/a/one alice:/up/x &&
	: >none && consign verify none alice:/up/a/none
'

test_expect_success 'a tree of several batches and pages, roots stored and not' '
	mkdir many && perl -e "for (1..1500) { my \$d = sprintf q(many/%02d), \$_ / 100; mkdir \$d; open my \$f, q(>), qq(\$d/f\$_); print \$f qq(content of \$_\n) x (\$_ % 50) }" &&
	consign put -r many alice:/many && cp -r many files/alice/unhashed && as_server files/alice/unhashed &&
	consign --json verify -r many alice:/many >out && sums 1500 0 0 0 out &&
	consign --json verify -r many alice:/unhashed >out && sums 1500 0 0 0 out &&
	echo x >>files/alice/unhashed/07/f777 && rm many/03/f333 && test_expect_code 1 consign verify -r many alice:/unhashed >out &&
	grep "^many/07/f777: another length$" out && grep "^alice:/unhashed/03/f333: missing here$" out && test "$(wc -l <out)" = 3
'

test_expect_success 'who may not read is told no root that would have to be read: a failure each' '
	stop_server && conf map alice rights list && start_server && as_server files/alice &&
	test_expect_code 77 consign --json verify -r src alice:/plain >out 2>err && test "$(sum failed out)" -ge 1 &&
	grep "alice:/plain/a/b/long" err && test_expect_code 77 consign verify src/x alice:/plain/x
'

test_done
