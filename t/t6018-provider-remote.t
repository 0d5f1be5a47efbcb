#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a PKCS#11 provider: a token at the other end of a socket (p11-kit server)'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/provider.sh
. "$SOURCE/t/provider.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

find_client() {
	for at in /usr/lib/*/pkcs11/p11-kit-client.so; do
		test -r "$at" && echo "$at" && return
	done
	return 1
}

CLIENT_MODULE=$(find_client) && command -v p11-kit >/dev/null || lacking "p11-kit's server is not installed"

# A process of its own for each that connects; the socket is the owner's.
serve() {
	p11-kit server --foreground --provider "$SOFTHSM_MODULE" --name "$PWD/token.sock" "pkcs11:token=remote" \
		</dev/null >p11-kit.log 2>&1 4>&- 5>&- 6>&- &
	PROCESSES=$!
	soon "test -S token.sock"
}

test_expect_success 'SoftHSM behind a socket' '
	provider_softhsm remote && serve &&
	PROVIDER_MODULE=$CLIENT_MODULE PROVIDER_ENV=P11_KIT_SERVER_ADDRESS=unix:path=$PWD/token.sock
'
provider_suite

test_done
