#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='options: --help, --version, and what is wrong usage'

. "$(dirname "$0")/lib.sh"

COMMANDS="put get ls stat mkdir rm mv verify hash whoami ping"
PKI="init issue csr sign revoke crl list show token key partner random"

wrong() { # PATTERN COMMAND...
	pattern_=$1 && shift && { "$@" >out 2>err; code_=$?; } &&
		test $code_ -eq 64 && ! test -s out && grep -- "$pattern_" err && return
	echo "$*: status $code_" && cat out err
	return 1
}

test_expect_success '--version names the program and one version' '
	for p in consign consignd consign-pki; do $p --version || return 1; done >versions &&
	test "$(sed "s/.* //" versions | sort -u | wc -l)" -eq 1 && test "$(grep -c "^consign" versions)" -eq 3
'

test_expect_success '--help of every program and command goes to standard output' '
	for p in consign consignd consign-pki; do $p --help >out 2>err && grep Usage out && ! test -s err || return 1; done &&
	for c in $COMMANDS; do
		consign $c --help >out 2>err && grep "Usage: consign $c" out && ! test -s err && consign --help | grep "^  $c " ||
			return 1
	done &&
	for c in $PKI; do consign-pki $c --help >out 2>err && grep "Usage: consign-pki $c" out && ! test -s err || return 1; done
'

test_expect_success 'no command, unknown commands and options' '
	wrong Usage consign && wrong "no such command" consign fly && wrong nonsense consign --nonsense &&
	wrong nonsense consignd --nonsense && wrong "no such argument" consignd word &&
	wrong . consign-pki fly && wrong . consign-pki &&
	for c in $COMMANDS; do wrong nonsense consign $c --nonsense || return 1; done &&
	for c in $PKI; do wrong . consign-pki $c --nonsense || return 1; done
'

test_expect_success 'missing and superfluous arguments' '
	for c in $COMMANDS; do wrong "$c takes" consign $c || return 1; done &&
	wrong takes consign put alice:/x && wrong takes consign mv alice:/x && wrong takes consign verify x &&
	wrong takes consign whoami a: b: && wrong "CERT OP PATH" consignd --explain x && wrong "one at a time" consignd --check --explain a b c
'

test_expect_success 'names of remotes that are none' '
	for name in x /x ../x:/ "a b:/x" :/x "" consign:// "consign://[::1/x" consign://h:/x; do
		{ consign ls "$name" 2>err; code=$?; cat err; test $code -eq 64; } || { echo "$name: $code"; return 1; }
	done
'

test_expect_success 'paths that are not allowed are refused before anything is connected to' '
	for path in /../x /a/../b //x /./x /.consign /a/.consign/b; do
		{ consign stat "alice:$path" 2>err; code=$?; cat err; test $code -eq 65; } || { echo "$path: $code"; return 1; }
	done
'

test_done
