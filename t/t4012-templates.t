#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='one rule for many users, named by their certificates; groups'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

# folder NAME: files/NAME, of the account.
folder() {
	mkdir -p "files/$1" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "files/$1"; }
}

test_expect_success 'a template, a rule of its own, and what both have in common' '
	site_setup && new_ca other "Other CA" && conf server.conf "anchor other" ca other.pem &&
	conf server.conf "anchor other" crl other.crl && folder staff && folder staff/carol && folder staff/dave && folder shared &&
	cat >>map <<-END && start_server
		[acme.%{CN}]
		group = staff
		subject = CN=*,O=Acme
		root = $TRASH/files/staff/%{CN}
		root /shared = $TRASH/files/shared
		rights /shared = list read
		rate = 1G

		[acme.boss]
		group = staff
		subject = CN=boss,O=Board
		root = $TRASH/files/%{user}

		[group staff]
		anchor = other
		rights = list read create
		${ACCOUNT:+account = $ACCOUNT}
		sessions = 2
	END
'

test_expect_success 'each has a name and a folder of their own, and what is shared' '
	echo text >f && echo news >g && at_server g shared/news && for u in carol dave; do
		leaf $u "/O=Acme/CN=$u" "$GOOD" && is $u acme.$u && within 30 consign -q put f $u:/of-$u && same_file f files/staff/$u/of-$u &&
		within 30 consign ls $u:/ >out && grep "of-$u" out && test $(grep -c of- out) -eq 1 &&
		within 30 consign -q get $u:/shared/news got-$u && same_file g got-$u || return 1
	done && grep "\"event\":\"grant\".*\"user\":\"acme.dave\"" server.audit
'

test_expect_success 'what the rule and what its group say is told by line' '
	explained 0 carol.pem create /x && grep "^user: acme.carol (map line 13)" explained &&
	grep "^root: / is $TRASH/files/staff/carol (map line 16)" explained && grep "^rights: list read create (map line 28)" explained &&
	grep "^verdict: allowed by map line 28, which has create" explained && explained 77 carol.pem create /shared/x &&
	grep "^verdict: not allowed by map line 18, which has no create" explained &&
	grep "^folder or file: $TRASH/files/shared/x" explained
'

test_expect_success 'a user without a folder is refused, and no folder is made' '
	leaf eve "/O=Acme/CN=eve" "$GOOD" && profile eve && ! within 30 consign whoami eve: 2>err && test ! -e files/staff/eve
'

test_expect_success 'names that are none, or a path: no match, no folder touched' '
	find files | sort >before && for cn in . .. .carol ..carol "a\\/b" "..\\/carol" "\\/etc" "a b" "-rf" "carol " "Jörg" "a\\\\b" "%{CN}" "*" \
		"\$(id)" "carol@x:y" "a*"; do
		leaf bad "/O=Acme/CN=$cn" "$GOOD" && is_nobody bad "is no name for a user" || return 1
	done && find files | sort >after && test_cmp before after
'

test_expect_success 'as long as can be, and too long' '
	name=$(printf "%059d" 0) && leaf long "/O=Acme/CN=$name" "$GOOD" && folder "staff/$name" && is long "acme.$name" &&
	leaf longer "/O=Acme/CN=0$name" "$GOOD" && is_nobody longer "makes too long a name"
'

test_expect_success 'what can not be shown: NUL, newline, other kinds of string' '
	for x in 00 0a 1b ff; do
		leaf odd "/O=Acme/CN=carol.x" "$GOOD" && twist odd 6361726f6c2e78 "6361726f6c${x}78" && is_nobody odd "subject is" || return 1
	done && leaf odd "/O=Acme/CN=carol" "$GOOD" && twist odd 0c056361726f6c 14056361726f6c && is_nobody odd "subject is" &&
	leaf odd "/O=Acme/CN=carol" "$GOOD" && twist odd 0c056361726f6c 13056361726f6c && is odd acme.carol
'

test_expect_success 'two names, or the name in another part, are none' '
	leaf two "/O=Acme/CN=carol/CN=dave" "$GOOD" && is_nobody two "subject is" && leaf unit "/O=Acme/OU=carol" "$GOOD" &&
	is_nobody unit "subject is" && MULTI=1 && leaf set "/O=Acme/CN=carol+CN=dave" "$GOOD" && MULTI= && is_nobody set "subject is"
'

test_expect_success 'nobody gets the name of a user with a rule of their own by a template' '
	folder acme.boss && leaf boss "/O=Board/CN=boss" "$GOOD" && is boss acme.boss && folder staff/boss &&
	leaf false-boss "/O=Acme/CN=boss" "$GOOD" && is_nobody false-boss "the name acme.boss is that of a rule of its own .line 21."
'

test_expect_success 'two templates that could give one name are refused, and so is what takes from a certificate what may be there twice' '
	cp map good.map && for t in "acme.%{OU}|OU=*|names of those of" "ac%{OU}|OU=*|names of those of" "%{UID}|CN=x|just one UID" \
		"x.%{CN}|CN=carol|as CN=\\*" "x.%{CN}|CN=*,CN=*|just one CN" "x.%{OU}.%{CN}|CN=*,OU=*|one variable only"; do
		rest=${t#*|} && printf "[%s]\ngroup = staff\nsubject = %s\nroot = %s/%%{user}\n" "${t%%|*}" "${rest%%|*}" "$TRASH" >>map &&
		reload_fails "${rest#*|}" && cp good.map map.new && mv map.new map || return 1
	done && reload
'

test_expect_success 'limits are of each user, not of the rule: sessions' '
	random_file big 20000000 && start_relay "buffer 65536" && for i in 1 2; do
		conf "$CLIENT_CONF" carol port "$RELAY_PORT" && relay_hold up 3000000 &&
		{ within 60 consign -q put big carol:/held$i >/dev/null 2>&1 & } && PROCESSES="$PROCESSES $!" && relay_held || return 1
	done && conf "$CLIENT_CONF" carol port "$PORT" && test_expect_code 75 within 30 consign whoami carol: 2>err &&
	grep "acme.carol has 2 sessions already" err && within 30 consign whoami dave: && stop_relay
'

test_expect_success 'the scrub finds the users of a template by their folders, and goes through what they share once' '
	! grep "can.t be found" server.log && stop_server && within 60 consignd --config server.conf --scrub --user acme.carol --json >out.json &&
	test "$(field scrub.proven)/$(field scrub.plain)" = 1/1 && within 60 consignd --config server.conf --scrub --json >out.json &&
	test "$(field scrub.status)" = OK && test "$(field scrub.proven)/$(field scrub.plain)" = 2/1 &&
	test_expect_code 66 within 60 consignd --config server.conf --scrub --user carol
'

test_done
