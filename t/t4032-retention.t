#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='retention: what was committed stays as and where it is until its date, whoever asks'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# held USER: none of the verbs gets at the files of the first test.
held() {
	for verb_ in "put other $1:/d/small" "put other $1:/d/large" "put large-other $1:/d/small" "put large-other $1:/d/large" \
		"put -j 2 large-other $1:/d/large" "rm $1:/d/small" "rm $1:/d/large" "mv $1:/d/small $1:/x" "mv $1:/d/large $1:/d/x" \
		"mv $1:/free $1:/d/small" "mv $1:/d $1:/e"; do
		# shellcheck disable=SC2086
		test_expect_code 77 consign -q $verb_ 2>err && grep "is retained until 20..-..-.. ..:..:.. UTC" err >/dev/null ||
			{ echo "$verb_" && cat err && return 1; }
	done && same_file small files/alice/d/small && same_file large files/alice/d/large && same_file other files/alice/free
}

# Their dates are over, as far as their marks say.
expire() {
	for file_ in files/alice/d/small files/alice/d/large; do
		python3 -c "import os, sys; os.setxattr(sys.argv[1], 'user.consign', b'1 alice - 5 6')" "$file_" || return 1
	done
}

test_expect_success 'a site, and files that are retained for an hour' '
	site_setup && file_key alice && file_key bob && echo small >small && echo other >other && random_file large 3000000 &&
	random_file large-other 3000000 && start_server && consign mkdir alice:/d && consign -q put other alice:/free &&
	conf map alice retain 1h && conf map bob root "$TRASH/files/alice" && restart_server &&
	consign -q put small alice:/d/small && consign -q put large alice:/d/large && consign -q put small alice:/second
'

test_expect_success 'neither for who sent them, nor for another user of the folder' '
	held bob && conf map bob retain 1s && restart_server && held bob &&
	conf map bob retain "" && restart_server && grep "\"status\":\"DENIED\".*is retained until" server.audit >/dev/null
'

test_expect_success 'what was there before is retained by the rule alone' '
	test_expect_code 77 consign rm alice:/free 2>err && grep "is retained until" err && consign -q put small bob:/free2 &&
	consign rm bob:/free2
'

test_expect_success 'trees: a folder can not be moved, sync deletes and replaces nothing' '
	mkdir -p tree/sub && echo 1 >tree/1 && echo 2 >tree/sub/2 && consign -q put -r tree alice:/tree &&
	test_expect_code 77 consign mv bob:/tree bob:/tree2 && test_expect_code 77 consign mv bob:/tree/sub bob:/sub &&
	rm tree/1 && echo new >tree/sub/2 && touch -d 2001-01-01 tree/sub/2 && test_must_fail consign sync --delete tree bob:/tree 2>err &&
	grep "is retained until" err >/dev/null && test "$(cat files/alice/tree/1)" = 1 && test "$(cat files/alice/tree/sub/2)" = 2 &&
	echo 3 >tree/sub/3 && test_must_fail consign sync tree bob:/tree && test "$(cat files/alice/tree/sub/3)" = 3
'

test_expect_success 'after a restart, and where the rule does not retain any more' '
	conf map alice retain "" && restart_server && consign rm alice:/free && consign -q put other alice:/free && held alice && held bob
'

test_expect_success 'attributes: neither seen nor set, and none of a file that is retained' '
	conf map alice attributes xattrs && conf map bob attributes xattrs && restart_server &&
	consign -q get --xattrs bob:/d/small got && python3 -c "import os; assert not os.listxattr(\"got\"), os.listxattr(\"got\")" &&
	python3 -c "import os; os.setxattr(\"other\", \"user.consign\", b\"1 alice - 5 6\"); os.setxattr(\"other\", \"user.mine\", b\"1\")" &&
	consign -q put --xattrs other bob:/with && python3 -c "import os; f = os.listxattr(\"files/alice/with\"); assert \"user.mine\" in f, f" &&
	held bob
'

test_expect_success 'an upload that was begun before, too' '
	conf map alice retain 1h && restart_server && start_relay && relay_hold up $(place 2000000) &&
	cut_at 1048576 files/alice cut.out consign -q put -j 1 large relayed:/late && stop_relay && consign -q put small bob:/late &&
	test_expect_code 77 consign -q put large alice:/late && same_file small files/alice/late
'

test_expect_success 'once its date is over it is a file like any other' '
	expire && consign -q put other bob:/d/small && consign mv bob:/d/large bob:/d/moved && consign mv bob:/d bob:/e &&
	consign rm bob:/e/moved && same_file other files/alice/e/small
'

test_done
