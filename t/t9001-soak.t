#!/bin/sh
# SPDX-License-Identifier: ISC
# A minute of what `make soak` does for an hour.
: "${MINUTES:=1}"
# shellcheck source=t/soak.sh
. "$(dirname "$0")/soak.sh"
