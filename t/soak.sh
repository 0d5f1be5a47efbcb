#!/bin/sh
# SPDX-License-Identifier: ISC
# `make soak`: t/soak/soak.py in a folder with a server key in a token, users and their roots.
# MINUTES, SEED and WORKERS can be given in the environment.
test_description='random operations and faults, and a model of what has to be there'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/softhsm.sh
. "$SOURCE/t/softhsm.sh"

# soak_user NAME ROOT...: "/=FOLDER" or "/PREFIX=FOLDER", folders below files/. The key is a file: a token's
# takes a second for each command.
soak_user() {
	user_=$1 && shift &&
		consign-pki issue client "CN=$user_,O=Site" --file-key --out "$user_.pem" >"$user_.issued" &&
		conf map "$user_" anchor site && conf map "$user_" subject "CN=$user_,O=Site" &&
		conf map "$user_" rights all && conf map "$user_" account "$ACCOUNT" &&
		conf map "$user_" sessions 32 || return 1
	for at_; do
		prefix_=${at_%%=*}
		test "$prefix_" != / || prefix_=
		conf map "$user_" "root${prefix_:+ $prefix_}" "$TRASH/files/${at_#*=}" || return 1
	done
}

soak_folder() {
	mkdir -p "files/$1" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "files/$1"; }
}

test_expect_success 'a site: users with roots of their own and shared ones' '
	softhsm_setup &&
	consign-pki init --dir ca --name site --token site --pin "$SOFTHSM_PIN_FILE" --so-pin "$SOFTHSM_SO_PIN_FILE" &&
	site_server server && conf server.conf limits drain 10s && conf server.conf limits handshake 5s &&
	for folder in alice bob shared small; do soak_folder $folder || return 1; done &&
	soak_user alice /=alice /shared=shared && soak_user bob /=bob /shared=shared && soak_user carol /=alice &&
	soak_user dave /=small
'

# As root the folder "small" is a disk that gets full, mounted for the soak and its children alone.
small_disk() {
	if test -n "$ACCOUNT" && unshare --mount true; then
		# shellcheck disable=SC2016
		unshare --mount sh -c 'mount -t tmpfs -o size=20m,mode=755,uid="$0" tmpfs files/small && exec "$@"' \
			"$(id -u "$ACCOUNT")" "$@"
	else
		"$@"
	fi
}

test_expect_success "${MINUTES:=60} minutes" '
	{ PYTHONDONTWRITEBYTECODE=1 small_disk python3 "$SOURCE/t/soak/soak.py" --minutes "$MINUTES" \
		${SEED:+--seed "$SEED"} ${WORKERS:+--workers "$WORKERS"} >soak.log 2>&1; code=$?; cat soak.log; } &&
	no_report_ server && test $code -eq 0
'

test_done
