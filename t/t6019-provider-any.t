#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a PKCS#11 provider: the one that the environment names (provider.sh)'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/provider.sh
. "$SOURCE/t/provider.sh"

if test -z "$PROVIDER_MODULE" || test -z "$PROVIDER_TOKEN" || test -z "$PROVIDER_PIN"; then
	skip_all='PROVIDER_MODULE, PROVIDER_TOKEN and PROVIDER_PIN name none'
	test_done
fi
provider_suite

test_done
