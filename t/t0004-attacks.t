#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the table of attacks has every case, and names tests that there are'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"

test_expect_success 'every case once, each with tests that exist or a reason' '
	python3 "$SOURCE/t/attack/table.py" check
'

test_expect_success 'every program of t/attack is run by a test' '
	for program in "$SOURCE"/t/attack/*; do
		name=${program##*/} && { test -d "$program" || grep -q -E "(attack/|attack )$name" "$SOURCE"/t/t*.t "$SOURCE/Makefile" ||
			grep -q -E "^from ${name%.py} import" "$SOURCE"/t/attack/*.py || { echo "$name is not" && return 1; }; } || return 1
	done
'

# What it makes of the output of tests.
test_expect_success 'it tells what held from what did not, and from what was not run' '
	mkdir -p b/t/attack && cat >tell.py <<-\EOT && python3 tell.py "$SOURCE/t/attack"
	import importlib.util, sys
	sys.argv[1:], where = ["check"], sys.argv[1]
	spec = importlib.util.spec_from_file_location("table", where + "/table.py")
	table = importlib.util.module_from_spec(spec)
	try:
	    spec.loader.exec_module(table)
	except SystemExit:
	    pass
	def says(tap, cell):
	    with open("b/t/attack/t1-x.tap", "w") as f:
	        f.write(tap)
	    return table.verdict("b", table.Row("| T1 what | %s | why |" % cell))[0]
	good = "ok 1 - one\nok 2 - two\n1..2\n# status 0\n"
	assert says(good, "t1-x") == says(good, "t1-x: two") == "held"
	assert says(good, "t1-x: three") == says(good, "t2-y") == "not run"
	assert says(good, "-") == "not run"
	bad = "ok 1 - one\nnot ok 2 - two\n1..2\n# status 1\n"
	assert says(bad, "t1-x: one") == "held" and says(bad, "t1-x: two") == says(bad, "t1-x") == "BROKEN"
	assert says("ok 1 - one\n# status 124\n", "t1-x: two") == "BROKEN"
	assert says("ok 1 # skip one (missing ROOT)\nok 2 - two\n1..2\n# status 0\n", "t1-x") == "not run"
	assert says("1..0 # SKIP nothing here\n# status 0\n", "t1-x") == "not run"
	EOT
'

test_done
