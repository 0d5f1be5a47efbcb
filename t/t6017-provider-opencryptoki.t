#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a PKCS#11 provider: the soft token of opencryptoki, whose keys are not kept in'

# It has one daemon and one place a host: here in a mount and an IPC namespace of its own, which only root
# can make, and not in every container.
if test -z "$OWN_NAMESPACE" && unshare --mount --ipc true 2>/dev/null; then
	OWN_NAMESPACE=t exec unshare --mount --ipc "$0" "$@"
fi

. "$(dirname "$0")/lib.sh"
# shellcheck source=t/provider.sh
. "$SOURCE/t/provider.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

if test -z "$OWN_NAMESPACE"; then
	skip_all='no namespace for opencryptoki can be made (wants root, and unshare)'
	test_done
fi

find_module() {
	for at in /usr/lib/*/pkcs11/libopencryptoki.so /usr/lib/*/opencryptoki/libopencryptoki.so; do
		test -r "$at" && echo "$at" && return
	done
	return 1
}

leaks_are_theirs

MODULE=$(find_module) && command -v pkcsslotd >/dev/null && command -v pkcsconf >/dev/null ||
	lacking "opencryptoki is not installed"

# Empty folders over the host's; nothing of it is seen outside.
own_folders() {
	for folder in /etc/opencryptoki /var/lib/opencryptoki /var/log/opencryptoki /run /dev/shm; do
		mkdir -p $folder && mount -t tmpfs tmpfs $folder || return 1
	done &&
		mkdir -p /run/lock/opencryptoki/swtok /var/lib/opencryptoki/swtok/TOK_OBJ &&
		chgrp -R pkcs11 /run/lock/opencryptoki /var/lib/opencryptoki &&
		chmod -R g+rwX /run/lock/opencryptoki /var/lib/opencryptoki &&
		chmod 1777 /dev/shm &&
		printf 'version opencryptoki-3.8\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n' >/etc/opencryptoki/opencryptoki.conf
}

start_daemon() {
	pkcsslotd </dev/null >pkcsslotd.log 2>&1 4>&- 5>&- 6>&- || return 1
	soon "pkcsconf -t -c 3 >/dev/null 2>&1" && soon "test -s /run/pkcsslotd.pid" &&
		PROCESSES=$(cat /run/pkcsslotd.pid)
}

# The PINs that a new token has are the standard's; it wants them changed.
new_token() {
	echo soft | pkcsconf -I -c 3 -S 87654321 &&
		pkcsconf -P -c 3 -S 87654321 -n 76543210 &&
		pkcsconf -u -c 3 -S 76543210 -n 00001234
}

if ! own_folders >folders.log 2>&1; then
	skip_all="no folders of its own for opencryptoki: $(tail -n 1 folders.log)"
	test_done
fi

test_expect_success 'a daemon and a token' '
	start_daemon && new_token &&
	PROVIDER_MODULE=$MODULE PROVIDER_TOKEN=soft PROVIDER_PIN=00001234 PROVIDER_KEY_TYPE=rsa2048 PROVIDER_LOOSE=t
'
provider_suite

test_done
