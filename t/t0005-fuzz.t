#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='every parser takes a bounded number of inputs that were never meant for it'

. "$(dirname "$0")/lib.sh"

# The same inputs each time. `make fuzz` takes as many as there is time for.
fuzz() {
	within 120 "$SOURCE/t/fuzz/run.sh" check "$1" >"$1.log" 2>&1 || {
		tail -n 60 "$1.log"
		return 1
	}
}

for target in "$SOURCE"/t/fuzz/fuzz_*.c; do
	target=${target##*/fuzz_}
	target=${target%.c}
	test_expect_success "$target" "fuzz $target"
done

test_done
