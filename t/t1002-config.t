#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='configuration: what is wrong is refused, with its place; --check and start agree; --explain'

. "$(dirname "$0")/lib.sh"

test_expect_success 'a good site' 'site_setup && consignd --config server.conf --check >out && grep "good: 2 users" out &&
	cp server.conf good.conf && cp map good.map && cp "$CLIENT_CONF" good.client'

# bad PATTERN: --check and start both end with 78 and name it.
bad() {
	within 20 consignd --config server.conf --check >check.out 2>&1
	check_=$?
	within 20 consignd --config server.conf >start.out 2>&1 </dev/null
	start_=$?
	cp good.conf server.conf && cp good.map map
	test "$check_ $start_" = "78 78" && grep -- "$1" check.out && grep -- "$1" start.out && return
	echo "$check_ $start_, wanted: $1"; cat check.out start.out
	return 1
}

line() { grep -n "$1" "$2" | head -n 1 | cut -d: -f1; }

for c in \
	"server nonsense 1|unknown key" \
	"nonsense key 1|unknown section" \
	"limits sessions 12x|not a number" \
	"limits sessions -1|not a number" \
	"limits sessions 18446744073709551616|not a number" \
	"limits sessions 0|not between" \
	"limits handshake 0|not between" \
	"limits handshake 5x|not a time" \
	"limits handshake 1e3|not a time" \
	"limits min-rate 99999999999T|not a number of bytes" \
	"limits min-rate 0|out of range" \
	"server approved yes|unknown key" \
	"server fips yes|neither require nor report nor off" \
	"server groups P-257|no group that GnuTLS" \
	"server groups X25519 x25519|there twice" \
	"server confine sometimes|neither require nor best" \
	"limits idle 30s # comment|lines of their own" \
	"limits idle 30s ; comment|lines of their own" \
	"server session-user no-such-account|no account" \
	"server certificate missing.pem|missing.pem" \
	"server listen nowhere|listen"; do
	change=${c%%|*} why=${c##*|}
	test_expect_success "consignd.conf: $change" '
		# shellcheck disable=SC2086
		set -- $change && section=$1 key=$2 && shift 2 && conf server.conf "$section" "$key" "$*" &&
		case $why in
		"no account" | missing.pem | listen) bad "$why" ;;
		"unknown section") bad "server.conf:$(line "\[nonsense\]" server.conf): .*$why" ;;
		*) bad "server.conf:$(line "^$key" server.conf): .*$why" ;;
		esac
	'
done

test_expect_success 'a key, a section or an anchor twice' '
	{ cat good.conf; echo "ca = x"; echo "ca = y"; } >server.conf && bad "given twice" &&
	{ cat good.conf; echo "[server]"; } >server.conf && bad "server.conf:$(($(wc -l <good.conf) + 1)): .*twice" &&
	{ cat good.conf; echo "[anchor site]"; } >server.conf && bad "there twice"
'

test_expect_success 'lines that are none: too long, NUL, no value, continued, before a section' '
	n=$(($(wc -l <good.conf) + 1)) &&
	{ cat good.conf; printf "ca = %09000d\n" 0; } >server.conf && bad "server.conf:$n: .*too long" &&
	{ cat good.conf; printf "ca = a\0b\n"; } >server.conf && bad "server.conf:$n: .*NUL" &&
	{ cat good.conf; echo "[limits2"; } >server.conf && bad "server.conf:$n: not a section" &&
	{ cat good.conf; echo "nonsense"; } >server.conf && bad "server.conf:$n: neither" &&
	{ cat good.conf; echo "  ca = x"; } >server.conf && bad "server.conf:$n: .*blank" &&
	{ echo "map = map"; cat good.conf; } >server.conf && bad "server.conf:1: .*before the first section" &&
	{ cat good.conf; echo "[anchor x]"; echo "ca ="; } >server.conf && bad "server.conf:$((n + 1)): .*no value"
'

test_expect_success 'CA files that are missing, empty or rubbish; lists likewise' '
	conf server.conf "anchor site" ca gone.pem && bad gone.pem &&
	: >empty.pem && conf server.conf "anchor site" ca empty.pem && bad empty.pem &&
	echo rubbish >rubbish.pem && conf server.conf "anchor site" ca rubbish.pem && bad rubbish.pem &&
	conf server.conf "anchor site" crl gone.pem && bad gone.pem &&
	conf server.conf "anchor site" crl empty.pem && bad empty.pem &&
	conf server.conf "anchor site" crl rubbish.pem && bad rubbish.pem &&
	conf server.conf "anchor site" crl ca/ca.pem && bad ca.pem
'

test_expect_success 'files that others may write, that are links, folders or pipes, or are not there' '
	chmod 666 server.conf && bad "others may write" && chmod 644 server.conf &&
	ln -s map link && conf server.conf server map link && bad "symbolic link" &&
	mkdir folder && conf server.conf server map folder && bad "folder" &&
	mkfifo pipe && conf server.conf server map pipe && bad "not a regular file" &&
	mkdir shared && cp map shared/map && for mode in 775 757; do
		chmod $mode shared && conf server.conf server map shared/map && bad "others may write its folder" || return 1
	done && chmod 1777 shared && conf server.conf server map shared/map && consignd --config server.conf --check && cp good.conf server.conf &&
	if test -n "$ACCOUNT"; then chmod 755 shared && chown "$ACCOUNT" shared && conf server.conf server map shared/map && bad "shared belongs to somebody else"; fi &&
	conf server.conf server map gone && bad "gone" && chmod 666 map && bad "others may write" && chmod 644 map &&
	test_expect_code 78 consignd --config gone.conf --check
'

# bad_map PATTERN SECTION KEY VALUE
bad_map() { pattern_=$1 && shift && conf map "$@" && bad "$pattern_"; }

test_expect_success 'the map: each mistake is named with its line' '
	bad_map "map:$(($(line "^rights" map) + 2)): .*unknown key" alice nonsense 1 &&
	bad_map "rights are" alice rights "list everything" &&
	bad_map "absolute path" alice root relative &&
	bad_map "no anchor nowhere\|there is no anchor" alice anchor nowhere &&
	bad_map "no anchor" alice anchor "" && bad_map "no selector" alice subject "" &&
	bad_map "no root" alice root "" && bad_map "no rights" alice rights "" &&
	bad_map "not a number" alice sessions many && bad_map "not between" alice sessions 0 &&
	bad_map "not a number of bytes" alice quota -1 && bad_map "name" "../x" anchor site &&
	bad_map "fingerprint" alice fingerprint SHA256:12 && bad_map "same certificates" bob subject "CN=alice,O=Site" &&
	if test -n "$ACCOUNT"; then bad_map "uid 0" alice account root && bad_map "no account" alice account ""; fi
'

# explained STATUS CERT OP PATH
explained() {
	wanted_=$1 && shift
	consignd --config server.conf --explain "$@" >explained 2>&1
	code_=$?
	test $code_ -eq "$wanted_" && return
	echo "status $code_"; cat explained
	return 1
}

test_expect_success '--explain: allowed, not allowed, not at all, no rule, revoked, another CA, wrong words' '
	explained 0 alice.pem read /x && grep "^verdict: allowed" explained && grep "^user: alice (map line 1)" explained &&
	conf map bob rights "list read" && explained 77 bob.pem delete /x && grep "^verdict: not allowed" explained &&
	explained 0 bob.pem read /x && grep "rule alice.*no match: subject is" explained &&
	explained 77 server.pem read /x && grep "not for clients" explained &&
	consign-pki issue client CN=eve --pin "$SOFTHSM_PIN_FILE" --label eve --out eve.pem >/dev/null &&
	explained 77 eve.pem read /x && grep "user: none" explained &&
	consign-pki revoke bob.pem --pin "$SOFTHSM_PIN_FILE" >/dev/null && explained 77 bob.pem read /x && grep "revoked on" explained &&
	openssl req -x509 -newkey rsa:2048 -nodes -keyout k -subj /CN=alice -out self.pem 2>/dev/null &&
	explained 77 self.pem read /x && grep "no trusted CA" explained &&
	explained 64 alice.pem fly /x && explained 65 alice.pem read x
'

test_expect_success 'consign.conf: mistakes of any profile are named with their line' '
	for c in "alice nonsense 1|unknown key" "other fips maybe|neither require nor report nor off" "alice approved yes|unknown key" "alice groups nist|there are:" "alice crl-policy no|neither require" \
		"alice port 1 # x|lines of their own" "alice certificate gone.pem|gone.pem" "alice ca gone.pem|gone.pem"; do
		# shellcheck disable=SC2086
		set -- ${c%%|*} && section=$1 key=$2 && shift 2 && conf "$CLIENT_CONF" "$section" "$key" "$*" &&
		conf "$CLIENT_CONF" alice port "${PORT:-9}" || return 1
		if test "$key" = port; then conf "$CLIENT_CONF" alice port "1 # x"; fi
		consign whoami alice: 2>err; code=$?
		cp good.client "$CLIENT_CONF"
		case $code in 78|75) grep "${c##*|}" err || test "$key" = ca || { cat err; return 1; } ;; *) cat err; return 1 ;; esac
	done
'

test_done
