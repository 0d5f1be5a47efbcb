#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='includes point one way'

. "$(dirname "$0")/lib.sh"

# "FILE HEADER" for every #include of our own, "FILE <HEADER>" for every other.
includes() {
	(cd "$SOURCE" && grep -Eo '^ *# *include *("[^"]*"|<[^>]*>)' common/*.[ch] client/*.[ch] server/*.[ch] pki/*.[ch]) |
		sed 's/: *# *include */ /; s/"//g'
}

# Fails, naming them, when there are lines on standard input.
none() {
	if grep . >found; then
		echo "$1:" >&2
		cat found >&2
		return 1
	fi
}

# Who may include which header of the system's: files by shell pattern.
allowed='
<gnutls/crypto.h>        common/token_patience.c common/tree_engine.c common/cert_id.c client/hash.c pki/*
<gnutls/pkcs11.h>        common/token*.c pki/*
<p11-kit/p11-kit.h>      common/p11.c common/token*.c pki/*
<p11-kit/uri.h>          common/p11.c
<p11-kit/pkcs11.h>       common/token*.c common/p11.h pki/*
p11.h                    common/p11* pki/*
<gnutls/x509.h>          common/cert* common/token* pki/*
<gnutls/abstract.h>      common/cert* common/token* common/tls* server/policy.h common/scheme.h pki/*
<gnutls/gnutls.h>        common/cert* common/fips.c common/token* common/tls* pki/*
<intel-ipsec-mb.h>       common/tree_engine.c
<zlib.h>                 common/part_header.c common/fs_slot.c common/fs_ledger.c common/deflate_engine.c
<isa-l/igzip_lib.h>      common/deflate_engine.c
<jansson.h>              pki/bundle.c
<popt.h>                 client/client.h server/consignd.c pki/options.c
<seccomp.h>              common/confine*.c
<linux/seccomp.h>        common/confine*.c
<linux/landlock.h>       common/confine*.c
<linux/capability.h>     common/confine*.c server/keeper.c server/master_confine.c server/scribe.c
<linux/openat2.h>        common/fs*.c
confine_internal.h       common/confine*.c
<sys/xattr.h>            common/meta.c common/fs_mark.c
<termios.h>              common/pin.c
fs.h                     common/* pki/partner_import.c client/client.h client/remote_order.h server/store*.[ch] server/files.h server/map.h
fs_scrub.h               common/fs_scrub.c server/scrub.h server/chore.c
fs_internal.h            common/fs_*.[ch] common/fs.c
fs_ledger.h              common/fs_*.[ch]
fs_gate.h                common/fs_*.c
part_internal.h          common/part*.c
send_internal.h          common/send*.c
recv_internal.h          common/recv*.c
requests_internal.h      server/requests*.c
store_internal.h         server/store*.c
map_internal.h           server/map*.c
scribe_internal.h        server/scribe*.c
cert_internal.h          common/cert*.c common/checkup_cert.c
cert_internal.h          common/cert*.c common/cert_trial.h common/checkup_cert.c
cert_trial.h             common/cert_check.c common/cert_judge.c
tls_internal.h           common/tls*.c
token.h                  common/token* common/pin.c common/p11.h common/cert* common/checkup.h client/keyring.h pki/* server/keeper_internal.h server/signer.c common/scheme.c common/tls_proof.c server/policy.c server/explain.c server/ticket_key.c
'

misplaced() {
	printf '%s\n' "$allowed" >table
	includes | while read -r file header; do
		patterns=$(awk -v h="$header" '$1 == h { $1 = ""; print }' table)
		test -n "$patterns" || continue
		legal=
		set -f
		for pattern in $patterns; do
			# shellcheck disable=SC2254
			case $file in $pattern) legal=t ;; esac
		done
		set +f
		test -n "$legal" || echo "$file $header"
	done
}

# The modules of common/, each of which may include those before it.
order='err buf wire text log confine fips health path walk conf partner deflate gauge hole tree audit codec msg claims part token p11 cert checkup meta fs scheme tls pace chan patience lane share match old xfer'

upward() {
	includes | awk -v order="$order" '
		function module(path) {
			sub(".*/", "", path); sub("[_.].*", "", path)
			return path == "pin" ? "token" : path ~ /^(send|recv|packer)$/ ? "xfer" : path
		}
		BEGIN { n = split(order, names, " "); for (i = 1; i <= n; i++) rank[names[i]] = i }
		!/^common\// || /</ { next }
		{ from = module($1); to = module($2) }
		!(from in rank) || !(to in rank) { print $0 " (not in the order of this test)"; next }
		rank[to] > rank[from]
	'
}

# An include by name alone finds the own folder first, then common/.
foreign() {
	includes | awk '!/</' | while read -r file header; do
		case $header in
		CODEC_DEF) ;;
		*/*) echo "$file $header" ;;
		*) test -e "$SOURCE/${file%/*}/$header" || test -e "$SOURCE/common/$header" || echo "$file $header" ;;
		esac
	done
}

test_expect_success 'there is something to look at' '
	includes >all && grep "^server/session.c log.h$" all && grep "^common/tls.h <gnutls/gnutls.h>$" all
'

test_expect_success 'programs include their own folder and common/ only' '
	foreign | none "not in the own folder, nor in common/"
'

test_expect_success 'within common/ the order is kept' '
	upward | none "included from below"
'

test_expect_success 'each library has its place' '
	misplaced | none "not where the table allows it"
'

test_expect_success 'no header includes itself in the end' '
	includes | awk "/\.h .*\.h$/" | sed "s,^[a-z]*/,," | tsort >/dev/null
'

test_done
