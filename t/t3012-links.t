#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='symbolic links kept: the same at both ends, wherever they lead, and never gone through'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

as_server() {
	test -z "$ACCOUNT" || chown -hR "$ACCOUNT:" "$@"
}

# What stands below FOLDER, links with their targets.
state() {
	(cd "$1" && find . -mindepth 1 -name .consign -prune -o -mindepth 1 -printf '%P %y %l\n' | sort)
}
alike() {
	state "$1" >one && state "$2" >two && test_cmp one two && diff -r --no-dereference -x .consign "$1" "$2"
}

# All that lies outside of what may change; links that lead there must not change it.
outside() {
	find "$TRASH/precious" -printf '%p %y %i %s %T@ %m\n' | sort
}
untouched() {
	outside >after && test_cmp before after
}

test_expect_success 'a site with a server that keeps links for alice, and a tree of all kinds of them' '
	site_setup && conf map alice links yes && start_server && mkdir precious && echo secret >precious/file && mkdir precious/folder &&
	outside >before && mkdir -p src/a/b src/empty && echo x >src/a/x && random_file src/a/long 300000 &&
	ln -s x src/a/to-x && ln -s a/b src/to-folder && ln -s nowhere src/dangling && ln -s "$TRASH/precious/file" src/absolute &&
	ln -s "$TRASH/precious/folder" src/absolute-folder && ln -s ../../../../../../etc/passwd src/a/b/up && ln -s loop src/loop &&
	ln -s two src/one && ln -s one src/two && ln -s . src/a/self && ln -s .. src/a/above && ln -s "with space
and line" "src/odd name" && ln -s "$(printf "%04095d" 0)" src/longest &&
	touch -d "2001-02-03 UTC" src/a src/empty src/a/b
'

test_expect_success 'put -r and get -r' '
	consign --json put -r --links keep src alice:/put >out && json_lines out && test "$(sum good out)" = 15 && test "$(sum failed out)" = 0 &&
	alike src files/alice/put && consign --json get -r --links keep alice:/put got >out && test "$(sum good out)" = 15 &&
	alike src got && untouched && test ! -e got/.consign && test "$(stat -c %Y got/a)" = "$(stat -c %Y src/a)" &&
	grep -q "\"event\":\"symlink\",\"status\":\"OK\".*\"path\":\"/put/loop\",\"to\":\"loop\"" server.audit
'

for j in 1 3; do
	test_expect_success "sync up and down with $j connections; again: nothing" '
		consign --json sync --links keep -j '$j' src alice:/up'$j' >out && test "$(sum good out)" = 15 && alike src files/alice/up'$j' &&
		consign --json sync --links keep -j '$j' src alice:/up'$j' >out && test "$(sum good out) $(sum same out)" = "0 15" &&
		consign --json sync --links keep -j '$j' alice:/up'$j' down'$j' >out && test "$(sum good out)" = 15 && alike src down'$j' &&
		consign --json sync --links keep -j '$j' alice:/up'$j' down'$j' >out && test "$(sum good out) $(sum same out)" = "0 15" &&
		test "$(stat -c %Y down'$j'/a)" = "$(stat -c %Y src/a)" && untouched
	'
done

test_expect_success 'only what leads elsewhere moves; a dry run says so and does nothing' '
	ln -sfn elsewhere src/dangling && ln -s new src/new && consign sync --dry-run --links keep src alice:/up1 >out &&
	grep "^would send src/dangling$" out && grep "^would send src/new$" out && test "$(grep -c would out)" = 2 &&
	test "$(readlink files/alice/up1/dangling)" = nowhere && consign --json sync --checksum --links keep src alice:/up1 >out &&
	test "$(sum good out)" = 2 && alike src files/alice/up1 &&
	consign sync --dry-run --links keep alice:/up1 down1 >out && grep "^would fetch /up1/dangling$" out && test ! -h down1/new &&
	test "$(grep -c would out)" = 2 && consign --json sync --checksum --links keep alice:/up1 down1 >out &&
	test "$(sum good out)" = 2 && alike src down1 && untouched
'

test_expect_success 'verify compares targets' '
	consign verify -r --links keep src alice:/up1 >out && grep "16 files are equal\|15 files are equal" out &&
	ln -sfn other src/one && rm src/new && ln -s n src/here && ln -sfn file src/a/to-x && rm src/two && echo file >src/two &&
	test_expect_code 1 consign verify -r --links keep src alice:/up1 >out && sort out >actual &&
	cat >expect <<-\EOF_ &&
	alice:/up1/new: missing here
	src/a/to-x: another target
	src/here: missing there
	src/one: another target
	src/two: another type
	EOF_
	grep -v "^verify:" actual | test_cmp expect -
'

test_expect_success 'a file takes the place of a link, a link that of a file; neither goes through it' '
	rm src/absolute && echo mine >src/absolute && rm src/a/x && ln -s "$TRASH/precious/file" src/a/x &&
	consign sync --links keep src alice:/up1 && test -f files/alice/up1/absolute && test ! -h files/alice/up1/absolute &&
	consign sync --links keep alice:/up1 down1 && same_file src/absolute down1/absolute &&
	test "$(readlink down1/a/x)" = "$TRASH/precious/file" && test "$(readlink files/alice/up1/a/x)" = "$TRASH/precious/file" &&
	random_file src/long2 400000 && rm -f src/to-folder && mv src/long2 src/to-folder && consign sync --links keep src alice:/up1 &&
	consign sync --links keep alice:/up1 down1 && same_file src/to-folder down1/to-folder && untouched &&
	test "$(cat precious/file)" = secret
'

test_expect_success '--delete removes links, not what they lead to' '
	consign sync --delete --links keep src alice:/up1 && alike src files/alice/up1 &&
	consign sync --delete --links keep alice:/up1 down1 && alike src down1 &&
	ln -s "$TRASH/precious/folder" files/alice/up1/gone && ln -s "$TRASH/precious/file" files/alice/up1/a/gone &&
	as_server files/alice/up1 && consign --json sync --delete --links keep src alice:/up1 >out && test "$(sum deleted out)" = 2 &&
	ln -s "$TRASH/precious/folder" down1/gone && ln -s "$TRASH/precious/file" down1/a/gone &&
	consign --json sync --delete --links keep alice:/up1 down1 >out && test "$(sum deleted out)" = 2 &&
	alike src files/alice/up1 && alike src down1 && untouched
'

test_expect_success 'a folder where a link stands, and the other way round: a failure, and nothing goes through it' '
	cp -a src cross && rm cross/dangling && mkdir cross/dangling && echo in >cross/dangling/f && rm -r cross/empty && ln -s "$TRASH/precious" cross/empty &&
	rm cross/absolute-folder && mkdir cross/absolute-folder && echo in >cross/absolute-folder/f &&
	{ consign --json sync --links keep cross alice:/up1 >out 2>err; test $? -ne 0; } && test "$(sum failed out)" -ge 3 &&
	test -h files/alice/up1/dangling && test -d files/alice/up1/empty && test ! -h files/alice/up1/empty &&
	test -z "$(ls precious/folder)" && untouched &&
	mkdir other && cp -a src other/t && consign put -r cross --links keep alice:/crossed && 
	{ consign --json sync --links keep alice:/crossed other/t >out 2>err; test $? -ne 0; } && test "$(sum failed out)" -ge 3 &&
	test -h other/t/dangling && test ! -h other/t/empty && test -z "$(ls precious/folder)" && untouched
'

test_expect_success 'nothing is replaced with --no-overwrite' '
	mkdir -p few && ln -s a few/l && ln -s b few/m && consign put -r --links keep few alice:/few && ln -sfn c few/l &&
	test_expect_code 73 consign --json put -r -n --links keep few alice:/few >out && test "$(sum good out) $(sum failed out)" = "1 1" &&
	test "$(readlink files/alice/few/l)" = a && test_expect_code 73 consign get -r -n --links keep alice:/few . &&
	test "$(readlink few/l)" = c
'

test_expect_success 'without the rule links are neither made nor told of; the rest is moved' '
	stop_server && conf map alice links no && start_server && cp -a few denied && echo f >denied/f &&
	test_expect_code 77 consign --json put -r --links keep denied alice:/denied >out 2>err && test "$(sum good out) $(sum failed out)" = "1 2" &&
	test "$(ls files/alice/denied)" = f && test_expect_code 77 consign --json get -r --links keep alice:/few denied2 >out 2>err &&
	test "$(sum failed out)" = 2 && test -z "$(ls denied2)" && test_expect_code 77 consign verify -r --links keep few alice:/few &&
	test_expect_code 65 consign put src/a/long alice:/few/m && test "$(readlink files/alice/few/m)" = b
'

test_expect_success 'a server is not led out by links that stand there, whatever its rule' '
	for links in yes no; do
		stop_server && conf map alice links $links && start_server && ln -sfn "$TRASH/precious" files/alice/trap && as_server files/alice/trap &&
		for path in trap/file trap/new trap/folder/new; do
			test_expect_code 65 consign put src/a/long alice:/$path && test_expect_code 65 consign get alice:/$path back || return 1
		done &&
		mkdir -p lead/trap && echo x >lead/trap/new && ln -sfn . lead/trap/l && test_must_fail consign put -r --links keep lead/trap alice:/ &&
		test_must_fail consign ls alice:/trap && test_must_fail consign mkdir alice:/trap/new && test_must_fail consign rm alice:/trap/file &&
		untouched && test "$(readlink files/alice/trap)" = "$TRASH/precious" || return 1
	done
'

test_expect_success 'what the request may not say' '
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out raw.pem >raw.issued &&
	stop_server && conf map alice links yes && start_server &&
	raw() { within 20 python3 "$SOURCE/t/rawclient.py" "$PORT" raw.pem "$(key_of_ raw.issued)" WAIT "HELLO agent=raw" "$@" "WAIT DONE" >out; } &&
	raw "SYMLINK path=/ok target=anything" && grep "DONE OK" out && test "$(readlink files/alice/ok)" = anything &&
	raw "SYMLINK path=/ok target=other" && grep "DONE EXISTS" out && raw "SYMLINK path=/ok target=anything" && grep "DONE OK" out &&
	raw "SYMLINK path=/ok flags=1 target=other" && grep "DONE OK" out && test "$(readlink files/alice/ok)" = other &&
	raw "SYMLINK path=/ok/below target=x" && grep "DONE NAME" out && raw "SYMLINK path=/none/x target=x" && grep "DONE NOENT" out &&
	raw "SYMLINK path=/made/x flags=8 target=x" && grep "DONE OK" out && raw "SYMLINK path=/x target=" && grep "DONE NAME" out &&
	raw "SYMLINK path=/../x target=x" && grep "DONE NAME" out && raw "SYMLINK path=/.consign/x target=x" && grep "DONE NAME" out &&
	raw "SYMLINK path=/ target=x" && grep "DONE DENIED" out && raw "SYMLINK path=/few flags=1 target=x" && grep "DONE TYPE" out &&
	raw "SYMLINK path=/x flags=2 target=x" && grep PROTO out && raw "SYMLINK path=/x flags=16 target=x" && grep PROTO out &&
	raw "WALK path=/few flags=4" && grep "link l -> a" out && raw "WALK path=/few" && ! grep -e "->" out &&
	raw "STATS path=/few flags=4 names=00016c" && grep "link l -> a" out && test -z "$(parts files/alice)" && untouched
'

test_expect_success 'who may not overwrite replaces no link, and makes none in the place of a file' '
	stop_server && conf map alice rights "list read create mkdir" && start_server && as_server files/alice &&
	raw "SYMLINK path=/ok flags=1 target=again" && grep "DONE DENIED" out && raw "SYMLINK path=/up1/absolute flags=1 target=x" && grep "DONE DENIED" out &&
	raw "SYMLINK path=/fresh flags=1 target=again" && grep "DONE OK" out && test "$(readlink files/alice/ok)" = other &&
	stop_server && conf map alice rights "list read" && start_server && raw "SYMLINK path=/fresh2 target=x" && grep "DONE DENIED" out
'

test_done
