#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a PKCS#11 provider: SoftHSM'
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/provider.sh
. "$SOURCE/t/provider.sh"

provider_softhsm provider
provider_suite

test_done
