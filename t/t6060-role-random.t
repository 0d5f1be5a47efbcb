#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='sixth role of a token: random numbers, tested before they are used'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
. "$SOURCE/t/manual.sh"
softhsm_setup

test_expect_success 'the commands of the manual' '
	mkdir manual && cp pin so-pin manual && (cd manual && manual_run consign-hsm.7 "RANDOM NUMBERS") &&
	test "$(stat -c %s manual/bytes)" = 4096
'

test_expect_success 'as many bytes as are asked for, others each time, without a PIN' '
	softhsm_token T &&
	consign-pki random --token T >a && grep -xE "[0-9a-f]{64}" a &&
	consign-pki random --token T >b && ! cmp -s a b &&
	for n in 1 1023 1024 1025 5000; do
		consign-pki random --token T $n >hex && test "$(wc -c <hex)" = $((2 * n + 1)) &&
		consign-pki random --token T $n --raw >raw && test "$(stat -c %s raw)" = $n || return 1
	done
'

test_expect_success 'they do not compress' '
	consign-pki random --token T 262144 --raw >raw && gzip -9 <raw >raw.gz &&
	test "$(stat -c %s raw.gz)" -ge 262144
'

test_expect_success 'without --token: the only one, and no guess between two' '
	test_expect_code 64 consign-pki random 2>err && grep -e "--token" err &&
	(rm -rf one && mkdir one && cd one && softhsm_setup && softhsm_token only && consign-pki random 8 >out && test -s out)
'

test_expect_success 'what is no number of bytes, and no token' '
	for n in 0 -1 x 1x 99999999999999999999; do
		test_expect_code 64 consign-pki random --token T -- $n || return 1
	done &&
	test_expect_code 69 consign-pki random --token none
'

test_expect_success 'nothing is printed to a full disk in silence' '
	test_expect_code 74 sh -c "consign-pki random --token T 100000 >/dev/full"
'

test_done
