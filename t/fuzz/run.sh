#!/bin/sh
# SPDX-License-Identifier: ISC
# Runs fuzz targets that `make` has built.
#
#   t/fuzz/run.sh check NAME       FUZZ_RUNS inputs, the same each time, from the target's own seeds
#   t/fuzz/run.sh long NAME...     FUZZ_SECONDS of each, as many at once as there are cores, from all that earlier runs
#                                  found worth keeping; then a table
#
# Everything lies below FUZZ (build/fuzz): bin, corpus/NAME, log/NAME, and inputs that ended a target, found/NAME-*.
# Exits with 1 when there is a finding. To see one again: FUZZ/bin/NAME FUZZ/found/NAME-...

SOURCE=$(cd "$(dirname "$0")/../.." && pwd -P) || exit 1
: "${FUZZ:=$SOURCE/build/fuzz}" "${FUZZ_SECONDS:=60}" "${FUZZ_RUNS:=2000}"
export FUZZ FUZZ_SECONDS
ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1:detect_leaks=1:quarantine_size_mb=16
UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export ASAN_OPTIONS UBSAN_OPTIONS

# Files in memory, where there is such a place.
test -w /dev/shm && TMPDIR=/dev/shm

# The target NAME with its seeds, in folders of its own, then with the options that follow.
fuzz() {
	name=$1 corpus=$2
	shift 2
	TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/consign-fuzz-XXXXXX") || return 1
	export TMPDIR
	mkdir -p "$TMPDIR/seeds" "$TMPDIR/corpus" "$FUZZ/found" &&
		"$FUZZ/bin/$name" --seeds="$TMPDIR/seeds" &&
		"$FUZZ/bin/$name" -rss_limit_mb=1024 -timeout=20 -max_len=16384 -print_final_stats=1 \
			-artifact_prefix="$FUZZ/found/$name-" "$@" "${corpus:-$TMPDIR/corpus}" "$TMPDIR/seeds"
	code=$?
	rm -rf "$TMPDIR"
	return $code
}

dictionary() {
	test ! -e "$SOURCE/t/fuzz/$1.dict" || echo "-dict=$SOURCE/t/fuzz/$1.dict"
}

one() {
	mkdir -p "$FUZZ/corpus/$1" "$FUZZ/log" || exit 1
	# shellcheck disable=SC2046
	fuzz "$1" "$FUZZ/corpus/$1" -max_total_time="$FUZZ_SECONDS" $(dictionary "$1") >"$FUZZ/log/$1" 2>&1
	echo $? >"$FUZZ/log/$1.status"
}

# A line of the table from NAME's log; false when there was a finding.
row() {
	log=$FUZZ/log/$1
	test "$(cat "$log.status")" -eq 0 && found=none || found=FOUND
	awk -v name="$1" -v found="$found" '
		/^stat::number_of_executed_units:/ { runs = $2 }
		/^stat::average_exec_per_sec:/ { rate = $2 }
		match($0, /cov: [0-9]+ ft: [0-9]+/) { split(substr($0, RSTART, RLENGTH), f, " ") }
		END { printf "%-10s %12d %9d %9d %9d  %s\n", name, runs, rate, f[2], f[4], found }' "$log"
	test $found = none || {
		grep -E 'ERROR|does not hold|runtime error|artifact|Test unit' "$log" | sed 's/^/    /'
		return 1
	}
}

case $1 in
check)
	# shellcheck disable=SC2046
	fuzz "$2" '' -runs="$FUZZ_RUNS" -seed=1 $(dictionary "$2")
	;;
one)
	one "$2"
	;;
long)
	shift
	printf '%s\n' "$@" | xargs -P "${JOBS:-$(nproc)}" -n 1 "$0" one
	code=0
	printf '%-10s %12s %9s %9s %9s  %s\n' target executions 'a second' edges features findings
	for name; do
		row "$name" || code=1
	done
	exit $code
	;;
*)
	sed -n '3,12s/^# *//p' "$0"
	exit 64
	;;
esac
