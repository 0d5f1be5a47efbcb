#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='the role of a token: TLS acceleration'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/hsm.sh
. "$SOURCE/t/hsm.sh"
# shellcheck source=t/manual.sh
. "$SOURCE/t/manual.sh"
# shellcheck source=t/softhsm.sh
. "$SOURCE/t/softhsm.sh"

test_expect_success 'what the manual says, typed' '
	mkdir typed && (cd typed && softhsm_setup && manual_run consign-hsm.7 "TLS ACCELERATION" >out 2>err || { cat err; exit 1; }) &&
	grep "^keeper pid [0-9]*, token main; 0 signatures" typed/out &&
	grep "^token main in use, signer [0-9]*, 4 of 4 sessions" typed/out
'

test_expect_success 'signatures are made at once over the sessions of the pool, one a handshake' '
	hsm_site && hsm_main one && conf server.conf server max-sessions 4 && start_server &&
	soon "is keeper.tokens.0.sessions 4" && clients= &&
	for i in 1 2 3 4 5 6 7 8; do visit & clients="$clients $!"; done &&
	for client in $clients; do wait $client || return 1; done && soon "is keeper.signatures 8" &&
	is keeper.tokens.0.signatures 8 && is keeper.tokens.0.starts 1 && is keeper.forbidden 0
'

test_expect_success 'a session with nothing to do is kept alive: a token that went is found before it is needed' '
	conf server.conf server keep-alive 1s && restart_server && hsm_away one && soon "is keeper.tokens.0.errors 1" &&
	soon "is keeper.in_use \"\"" && hsm_back one && soon "is keeper.in_use main" && visit
'

test_expect_success 'a key in a file is served by a signer, too' '
	stop_server && conf server.conf server key server.key && start_server && visit &&
	is keeper.tokens.0.state "in use" && stop_server
'

test_expect_success 'what is no token section is refused' '
	for bad in "token main" "token" "token a b"; do
		cp server.conf bad.conf && printf "[%s]\nkey = server.key\n" "$bad" >>bad.conf &&
		test_expect_code 78 consignd --config bad.conf --check || return 1
	done &&
	cp server.conf bad.conf && printf "[token x]\nmax-sessions = 2\n" >>bad.conf &&
	test_expect_code 78 consignd --config bad.conf --check 2>err && grep "key is missing" err &&
	cp server.conf bad.conf && printf "[token x]\nkey = server.key\nmax-sessions = 65\n" >>bad.conf &&
	test_expect_code 78 consignd --config bad.conf --check
'

test_done
