#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='extended attributes, ACLs and owners: only where asked for and allowed, bounded, and never of other names'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

as_server() {
	test -z "$ACCOUNT" || chown -hR "$ACCOUNT:" "$@"
}

# The attributes of all below FOLDER, of user.* and ACLs; not of FOLDER itself.
state() {
	(cd "$1" && find . -mindepth 1 -name .consign -prune -o -mindepth 1 -print | sort | while read -r name; do
		echo "$name" && getfattr -h -d -e hex -m '^(user|system)\.' "$name" | sed 1d | sort || exit 1
	done)
}
alike() {
	state "$1" >one && state "$2" >two && test_cmp one two
}
bare() {
	state "$1" >one && ! grep "=" one
}
raw() {
	within 20 python3 "$SOURCE/t/rawclient.py" "$PORT" raw.pem "$(key_of_ raw.issued)" WAIT "HELLO agent=raw" "$@" "WAIT DONE" >out
}
hex() {
	printf %s "$1" | od -An -v -tx1 | tr -d ' \n'
}
# one NAME VALUE: that attribute as META has it.
one() {
	printf '%02x%s%04x%s' ${#1} "$(hex "$1")" ${#2} "$(hex "$2")"
}

test_expect_success 'a site, and a tree with attributes' '
	site_setup && conf map alice attributes "xattrs acls owners" && start_server &&
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out raw.pem >raw.issued && mkdir -p src/a/b src/plain && echo x >src/a/x && echo y >src/y &&
	: >src/empty && random_file src/long 300000 && random_file src/one 100000 && for i in $(seq 50); do echo $i >src/a/b/$i || return 1; done &&
	setfattr -n user.note -v hello src/a/x && setfattr -n user.none src/a/x && setfattr -n user.long -v long src/long &&
	setfattr -n user.folder -v f src/a && setfattr -n user.bytes -v 0x000102ff src/empty && setfattr -n user.b -v b src/a/b/* &&
	setfacl -m u:12345:r,g:23456:rw src/y && setfacl -m u:12345:r src/long && setfacl -d -m u:12345:rx src/a/b && setfacl -m u:777:rwx src/a &&
	setfattr -n user.note -v top src && touch -d "2001-02-03 UTC" src/a src/a/b src/y src/long
'

test_expect_success 'off by default, both ways' '
	consign put -r src alice:/off && bare files/alice/off && consign --json put -r --xattrs --acls src alice:/put >out && json_lines out &&
	test "$(sum failed out) $(sum unkept out)" = "0 0" && consign get -r alice:/put off && bare off
'

test_expect_success 'put -r and get -r: the same at both ends' '
	alike src files/alice/put && test "$(getfattr -n user.note --only-values files/alice/put)" = top &&
	consign --json get -r --xattrs --acls alice:/put got >out && test "$(sum failed out) $(sum unkept out)" = "0 0" && alike src got &&
	test "$(getfattr -n user.note --only-values got)" = top && diff -r -x .consign src got && test "$(stat -c %Y got/a got/a/b)" = "$(stat -c %Y src/a src/a/b)" &&
	test "$(stat -c %Y files/alice/put/y)" = "$(stat -c %Y src/y)" && grep -q "\"event\":\"meta\",\"status\":\"OK\".*\"path\":\"/put/y\"" server.audit
'

test_expect_success 'each kind alone' '
	consign put -r --xattrs src alice:/x && state files/alice/x >s && grep user.note= s && ! grep posix s &&
	consign put -r --acls src alice:/c && state files/alice/c >s && ! grep user s && grep posix_acl_access= s && grep posix_acl_default= s
'

test_expect_success 'single files, small, long and empty' '
	for f in a/x long empty one; do
		consign put --xattrs --acls src/$f alice:/single && consign get --xattrs --acls alice:/single single &&
		getfattr -d -e hex -m - src/$f | sed 1d >s1 && getfattr -d -e hex -m - single | sed 1d >s2 && test_cmp s1 s2 && same_file src/$f single || return 1
	done
'

test_expect_success 'the hashes that the server has stored stay valid' '
	test "$(consign --json verify src/long alice:/put/long | grep -c error)" = 0 && raw "STATS path=/put flags=2 names=$(printf "0004%s" "$(hex long)")$(printf "0001%s" "$(hex y)")" &&
	grep " long .* [0-9a-f]\{64\}$" out && grep " y .* [0-9a-f]\{64\}$" out
'

for j in 1 3; do
	test_expect_success "sync both ways with $j connections" '
		consign --json sync -j '$j' --xattrs --acls src alice:/s'$j' >out && test "$(sum failed out) $(sum unkept out)" = "0 0" && alike src files/alice/s'$j' &&
		consign --json sync -j '$j' --xattrs --acls alice:/s'$j' down'$j' >out && test "$(sum failed out) $(sum unkept out)" = "0 0" && alike src down'$j' &&
		consign --json sync -j '$j' --xattrs --acls src alice:/s'$j' >out && test "$(sum good out)" = 0 && alike src files/alice/s'$j'
	'
done

test_expect_success 'owners: told; set by root alone, refused by the server' '
	consign --json put --owners src/y alice:/owned >out && test "$(sum unkept out) $(sum failed out)" = "1 0" && echo z >files/alice/his &&
	if test -n "$ACCOUNT"; then
		chown 4321:4322 files/alice/his && consign --json get --owners alice:/his his >out && test "$(stat -c %u:%g his)" = 4321:4322
	else
		consign get --owners alice:/his his
	fi && test -f his
'

test_expect_success 'what is not allowed is counted, and is no failure; the rest is kept' '
	stop_server && conf map alice attributes xattrs && start_server && consign put -r --xattrs --acls src alice:/half >out 2>err && test "$(grep -c "are not kept" err)" = 1 &&
	grep "attributes of [0-9]* not kept" out && state files/alice/half >s && grep user.note= s && ! grep posix s &&
	stop_server && sed -i "/^attributes/d" map && start_server && consign --json put -r --xattrs src alice:/none >out && test "$(sum failed out)" = 0 &&
	test "$(sum unkept out)" = 55 && bare files/alice/none && consign --json get -r --xattrs alice:/half none >out && test "$(sum failed out)" = 0 &&
	test "$(sum unkept out)" -ge 55 && bare none && consign get --xattrs alice:/half/y none2 >out 2>err && grep "not kept" err
'

test_expect_success 'tmpfs' '
	stop_server && conf map alice attributes "xattrs, acls" && start_server && if test "$(stat -f -c %T /dev/shm)" = tmpfs; then
		far=$(mktemp -d /dev/shm/consign.XXXXXX) && setfattr -n user.x -v x "$far" 2>/dev/null && consign --json get -r --xattrs --acls alice:/put "$far/got" >out &&
		test "$(sum unkept out)" = 0 && alike src "$far/got" && consign --json put -r --xattrs --acls "$far/got" alice:/far >out && alike src files/alice/far
		code=$? && rm -r "$far" && test $code = 0
	fi
'

test_expect_success 'more than the bounds: a warning, and what fits' '
	echo m >many && for i in $(seq 65); do setfattr -n user.n$i -v $i many || return 1; done && consign put --xattrs many alice:/many 2>err && grep "over the bound" err &&
	test "$(getfattr -d -m - files/alice/many | grep -c =)" = 64
'

test_expect_success 'names that a client may not set' '
	echo r >files/alice/r && as_server files/alice/r &&
	for name in security.selinux trusted.x system.other user. user system.posix_acl_accessx security.capability USER.x; do
		raw "META path=/r flags=3 set=$(one $name v)" && grep "DONE NAME" out || return 1
	done &&
	raw "META path=/r flags=3 set=07$(hex user.x)00000176" && grep "DONE NAME" out && raw "META path=/r flags=1 set=$(one system.posix_acl_access v)" && grep "DONE NAME" out &&
	raw "META path=/r flags=2 set=$(one user.x v)" && grep "DONE NAME" out && raw "META path=/r flags=3 set=$(one system.posix_acl_access v)" && ! grep "DONE OK" out &&
	raw "META path=/r flags=8" && grep PROTO out && raw "META_GET path=/r flags=8" && grep PROTO out && test -z "$(getfattr -d -m - files/alice/r)" &&
	raw "META path=/r flags=1 set=$(one user.ok v)" && grep "DONE OK" out && test "$(getfattr -n user.ok --only-values files/alice/r)" = v &&
	raw "META path=/r flags=4 uid=0 gid=0" && grep "DONE DENIED" out
'

test_expect_success 'sets that are malformed, too many, too long' '
	raw "META path=/r flags=1 set=06" && grep "DONE PROTO" out && raw "META path=/r flags=1 set=00" && grep "DONE PROTO" out &&
	raw "META path=/r flags=1 set=06$(hex user.y)ffff00" && grep "DONE PROTO" out &&
	raw "META path=/r flags=1 set=$(for i in $(seq 65); do one user.m$i v; done)" && grep "DONE LIMIT" out && test "$(getfattr -d -m - files/alice/r | grep -c =)" = 1
'

test_expect_success 'no link is gone through, no file with a second name is written, nor without the right' '
	echo precious >precious && ln -s "$TRASH/precious" files/alice/link && ln -s "$TRASH" files/alice/way && ln files/alice/r files/alice/second &&
	raw "META path=/link flags=1 set=$(one user.evil v)" && grep "DONE TYPE" out && raw "META_GET path=/link flags=1" && grep "DONE TYPE" out &&
	raw "META path=/way/precious flags=1 set=$(one user.evil v)" && grep "DONE NAME" out && raw "META path=/second flags=1 set=$(one user.evil v)" && grep "DONE TYPE" out &&
	raw "META path=/../precious flags=1" && grep "DONE NAME" out && raw "META path=/.consign flags=1" && grep "DONE NAME" out &&
	raw "META path=/nothing flags=1 set=$(one user.evil v)" && grep "DONE NOENT" out && raw "META path=/ flags=1 set=$(one user.evil v)" && ! getfattr -n user.evil files/alice &&
	test -z "$(getfattr -d -m - precious)" && rm files/alice/second && stop_server && conf map alice rights "list create" && start_server &&
	raw "META path=/r flags=1 set=$(one user.evil v)" && grep "DONE DENIED" out && raw "META_GET path=/r flags=1" && grep "DONE DENIED" out
'

test_expect_success 'a server may not set what was not asked for, nor other names' '
	consign-pki issue server localhost 127.0.0.1 --file-key --pin "$SOFTHSM_PIN_FILE" --out liar.pem >liar.issued &&
	for answer in "META path= flags=1 set=$(one user.true v)" "META path= flags=3 set=$(one security.capability v)" "META path= flags=1 set=$(one trusted.x v)" "META path= flags=3 set=$(one system.posix_acl_access v)" "META path= flags=4 uid=1 gid=1" \
		"META path= flags=1 set=06" "META flags=1 path=/x" "META path= flags=1 set=$(one user.a a); META path= flags=1 set=$(one user.b b)" "META path= flags=1 set=$(for i in $(seq 65); do one user.m$i v; done)"; do
		echo "FETCH: SMALL path= bytes=; DONE" >liar.rules && want=76 && case $answer in "META path= flags=1 set=$(one user.true v)") want=0 ;; esac && echo "META_GET: $answer; DONE" >>liar.rules && rm -f liar.port lied || return 1
		python3 "$SOURCE/t/rawserver.py" liar.port liar.pem "$(key_of_ liar.issued)" liar.rules </dev/null >liar.log 2>&1 4>&- 5>&- 6>&- &
		liar=$! && soon "test -s liar.port" && conf "$CLIENT_CONF" alice port "$(cat liar.port)" &&
		{ within 20 consign get --xattrs alice:/f lied >out 2>err; code=$?; kill $liar; wait $liar; test $code = $want; } || { cat err; return 1; }
		if test $want = 0; then
			test "$(getfattr -n user.true --only-values lied)" = v
		else
			test ! -e lied || ! getfattr -d -m - lied | grep -v user.a= | grep "="
		fi || return 1
	done
'

test_done
