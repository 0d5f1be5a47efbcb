#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='other programs at the port: what they say, right or wrong, is answered in words'

. "$(dirname "$0")/lib.sh"

# Keys in files, which other programs can use.
file_user() {
	consign-pki issue client "CN=$1,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out "$1-file.pem" \
		>"$1-file.issued" && FILE_KEY=$(key_of_ "$1-file.issued") && test -s "$FILE_KEY"
}

raw() {
	within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" "$@"
}

# answers EXPECTED STEP...: the lines that come back, each EXPECTED (lines by |) a pattern.
answers() {
	wanted_=$1 && shift && raw "$@" >answer && printf '%s\n' "$wanted_" | tr '|' '\n' >wanted &&
		awk 'NR == FNR { want[++n] = $0; next }
		     { if ($0 !~ "^" want[FNR] "( |$)") { bad = 1 } last = FNR }
		     END { exit bad || last != n }' wanted answer && return
	echo "sent: $*; wanted: $wanted_; came:" && cat answer
	return 1
}

HI='HELLO agent=raw'
UP='OFFER length=5'
# SHA-256 of "hello".
HASH=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
PIECE='DATA bytes=68656c6c6f'

test_expect_success 'a site whose first user has a key in a file' '
	site_setup && file_user alice && start_server
'

test_expect_success 'gnutls-cli with a key in the token is welcomed' '
	{ within 20 gnutls-cli --port "$PORT" --alpn consign/1 --x509cafile ca/ca.pem \
		--x509certfile alice.pem --x509keyfile "$(key_of_ alice.issued)?pin-value=2468" \
		--provider "$SOFTHSM_MODULE" 127.0.0.1 </dev/null >gnutls.out 2>gnutls.err || :; } &&
	grep -a "consignd/.*alice" gnutls.out
'

test_expect_success 'openssl s_client is welcomed; the first frame is WELCOME of version 1' '
	conf server.conf limits first-request 1s && restart_server &&
	{ within 20 openssl s_client -connect "127.0.0.1:$PORT" -alpn consign/1 -tls1_3 -quiet \
		-CAfile ca/ca.pem -verify_return_error -cert alice-file.pem -key "$FILE_KEY" \
		</dev/null >openssl.out 2>openssl.err || :; } &&
	od -An -tx1 -N9 openssl.out | tr -d " \n" >bytes && cut -c9-18 bytes >body &&
	echo 0100010001 >wanted && test_cmp wanted body &&
	grep -a "no HELLO within 1 s" openssl.out &&
	conf server.conf limits first-request "" && restart_server
'

test_expect_success 'the raw client can do it right: put, stat, get, list' '
	answers "WELCOME|READY|DONE OK|INFO|DONE OK|OFFER|EOF" \
		WAIT "$HI" "PUT path=/good" "$UP" "$PIECE" "CHUNK hash=$HASH" "COMMIT length=5 root=$HASH" \
		"WAIT DONE" "STAT id=2 path=/good" "WAIT DONE" "GET id=3 path=/good" WAIT &&
	answers "WELCOME|ENTRY|DONE OK|EOF" WAIT "$HI" "LIST path=/" "WAIT DONE" &&
	printf hello >hello && same_file hello files/alice/good
'

# ---- frames ----

# refused_with STATUS STEP...: after HELLO.
refused_with() {
	status_=$1 && shift && answers "WELCOME|ERROR $status_|EOF" WAIT "$HI" "$@"
}

test_expect_success 'HTTP is no frame' '
	answers "WELCOME|ERROR PROTO|EOF" WAIT "RAW 474554202f20485454502f312e310d0a0d0a" &&
	refused_with PROTO "RAW 474554202f20485454502f312e310d0a0d0a"
'

test_expect_success 'lengths of 0, over the limit, 2^31 and 2^32-1 are refused before anything else' '
	for length in 00000000 00100041 80000000 7fffffff ffffffff; do
		refused_with PROTO "RAW $length" && answers "WELCOME|ERROR PROTO|EOF" WAIT "RAW $length" || return 1
	done
'

test_expect_success 'before HELLO 5,121 bytes are too many, after it 1,048,640 are not' '
	answers "WELCOME|ERROR PROTO|EOF" WAIT "RAW 00001401" &&
	answers "WELCOME|DONE OK|EOF" WAIT "$HI" "RAW 00100040ff" "FILL 1048639" "PING id=1" WAIT
'

test_expect_success 'an unknown type below 128 ends the connection, one above is ignored' '
	refused_with PROTO "RAW 000000017f" &&
	refused_with PROTO "RAW 0000000100" &&
	answers "WELCOME|DONE OK|EOF" WAIT "$HI" "RAW 0000000180" "RAW 00000003ff0102" "PING id=1" WAIT
'

test_expect_success 'a HELLO that is malformed, of another version or with features is refused' '
	answers "WELCOME|ERROR PROTO|EOF" WAIT "RAW 0000000203ff" &&
	answers "WELCOME|ERROR PROTO|EOF" WAIT "RAW 0000000103" &&
	answers "WELCOME|ERROR PROTO|EOF" WAIT "HELLO version=0" &&
	answers "WELCOME|ERROR PROTO|EOF" WAIT "HELLO version=2" &&
	answers "WELCOME|ERROR PROTO|EOF" WAIT "HELLO features=1" &&
	answers "WELCOME|ERROR PROTO|EOF" WAIT "HELLO agent=$(printf "%065d" 0)" &&
	refused_with PROTO "$HI"
'

test_expect_success 'a frame that ends too early, or that the connection ends in, is a lost connection' '
	answers "WELCOME|EOF" WAIT "$HI" "RAW 0000002010" &&
	raw WAIT "$HI" "RAW 0000" CUT && raw CUT && raw WAIT CUT &&
	refused_with PROTO "RAW 0000000410000000" &&
	refused_with PROTO "RAW 000000061000000001ff"
'

# ---- states ----

test_expect_success 'before HELLO nothing else is taken' '
	for name in WELCOME REFUSED PING STAT LIST MKDIR REMOVE RENAME PENDING PUT GET DONE INFO ENTRY \
		PART PROGRESS OFFER READY HAVE DATA CHUNK KEEP COMMIT ABORT OLD COPY; do
		answers "WELCOME|ERROR PROTO|EOF" WAIT "$name" || return 1
	done
'

test_expect_success 'between requests only requests are taken' '
	for name in WELCOME REFUSED HELLO DONE INFO ENTRY PART PROGRESS OFFER READY HAVE DATA CHUNK KEEP \
		COMMIT ABORT OLD COPY; do
		refused_with PROTO "$name" || return 1
	done
'

test_expect_success 'where an offer is due no other message is taken' '
	for name in WELCOME HELLO PING STAT LIST PUT GET DONE READY HAVE DATA CHUNK KEEP COMMIT OLD COPY; do
		raw WAIT "$HI" PUT "$name" ABORT >answer &&
		grep -E "^(DONE|ERROR) PROTO" answer || { echo "$name:"; cat answer; return 1; }
	done
'

test_expect_success 'in an upload only DATA, CHUNK, KEEP, COPY, COMMIT and ABORT are taken' '
	for name in WELCOME HELLO PING STAT LIST MKDIR REMOVE RENAME PENDING PUT GET DONE INFO OFFER READY \
		HAVE OLD; do
		raw WAIT "$HI" PUT "$UP" WAIT "$name" ABORT >answer &&
		grep -E "^(DONE|ERROR) PROTO" answer || { echo "$name:"; cat answer; return 1; }
	done
'

test_expect_success 'in a download only what a receiver says is taken' '
	for name in WELCOME HELLO PING STAT LIST PUT GET INFO OFFER DATA CHUNK KEEP COMMIT OLD COPY; do
		raw WAIT "$HI" "GET path=/good" "WAIT OFFER" "$name" >answer &&
		grep -E "^(ABORT|ERROR) PROTO" answer || { echo "$name:"; cat answer; return 1; }
	done
'

# ---- an upload, done wrong ----

# upload STATUS STEP...: an offer of 5 bytes, these steps, and what the server says of it.
upload() {
	status_=$1 && shift && raw WAIT "$HI" "PUT path=/bad" "$UP" WAIT "$@" ABORT "WAIT DONE" "PING id=7" WAIT \
		>answer && grep "^DONE $status_" answer && tail -n 2 answer | grep "^DONE OK" &&
		test_path_is_missing files/alice/bad && return
	echo "sent: $*" && cat answer
	return 1
}
test_path_is_missing() { ! test -e "$1" || { echo "$1 is there"; return 1; }; }

test_expect_success 'pieces out of order, beyond the end, empty or of another kind' '
	upload PROTO "DATA index=1 bytes=68" &&
	upload PROTO "DATA index=4294967295 bytes=68" &&
	upload PROTO "DATA index=18446744073709551615 bytes=68" &&
	upload PROTO "DATA offset=1 bytes=68" &&
	upload PROTO "DATA offset=4294967295 bytes=68" &&
	upload PROTO "DATA bytes=68656c6c6f21" &&
	upload PROTO "DATA" &&
	upload PROTO "DATA bytes=6865" &&
	upload PROTO "DATA kind=1 bytes=68656c6c6f" &&
	upload PROTO "DATA id=2 bytes=68656c6c6f" &&
	upload PROTO "$PIECE" "$PIECE"
'

test_expect_success 'a chunk that is incomplete, wrong, another or twice' '
	upload PROTO "CHUNK hash=$HASH" &&
	upload CORRUPT "$PIECE" "CHUNK hash=00" &&
	upload PROTO "$PIECE" "CHUNK index=1 hash=$HASH" &&
	upload PROTO "$PIECE" "CHUNK hash=$HASH" "CHUNK hash=$HASH"
'

test_expect_success 'a commit too early, of another length or root' '
	raw WAIT "$HI" "PUT path=/bad" "$UP" WAIT "COMMIT length=5 root=$HASH" "WAIT DONE" >answer &&
	grep "^DONE PROTO" answer &&
	raw WAIT "$HI" "PUT path=/bad" "$UP" WAIT "$PIECE" "COMMIT length=5 root=$HASH" "WAIT DONE" >answer &&
	grep "^DONE PROTO" answer &&
	raw WAIT "$HI" "PUT path=/bad" "$UP" WAIT "$PIECE" "CHUNK hash=$HASH" "COMMIT length=6 root=$HASH" \
		"WAIT DONE" >answer && grep "^DONE PROTO" answer &&
	raw WAIT "$HI" "REMOVE path=/bad flags=2" WAIT "PUT path=/bad" "$UP" WAIT "$PIECE" "CHUNK hash=$HASH" \
		"COMMIT length=5 root=00" "WAIT DONE" >answer && grep "^DONE CORRUPT" answer &&
	test_path_is_missing files/alice/bad
'

test_expect_success 'keeping what is not there, nothing, or beyond the end' '
	raw WAIT "$HI" "REMOVE path=/bad flags=2" WAIT >/dev/null &&
	upload PROTO "KEEP first=0 count=1" &&
	upload PROTO "KEEP first=0 count=0" &&
	upload PROTO "KEEP first=1 count=1" &&
	upload PROTO "KEEP first=0 count=18446744073709551615" &&
	upload PROTO "KEEP first=18446744073709551615 count=1"
'

# offer STATUS FIELDS...
offer() {
	status_=$1 && shift && raw WAIT "$HI" "PUT path=/bad" "OFFER $*" ABORT "WAIT DONE" >answer &&
		grep "^DONE $status_" answer && return
	echo "OFFER $*" && cat answer
	return 1
}

test_expect_success 'offers that cannot be' '
	offer PROTO length=9223372036854775808 log2=28 &&
	offer PROTO length=18446744073709551615 &&
	offer PROTO length=9223372036854775807 &&
	offer PROTO length=5 log2=13 && offer PROTO length=5 log2=29 && offer PROTO length=5 log2=255 &&
	offer PROTO length=5 mtime_ns=1000000000 && offer PROTO length=5 id=9 &&
	test_path_is_missing files/alice/bad
'

test_expect_success 'no part is longer than what was offered' '
	find files/alice/.consign/parts -type f -printf "%s %p\n" >parts && test -s parts &&
	! awk "\$1 > 65536" parts | grep .
'

# ---- requests ----

test_expect_success 'unknown flags are refused in every request that has some' '
	for name in STAT LIST MKDIR REMOVE RENAME PUT GET; do
		refused_with PROTO "$name flags=128" && refused_with PROTO "$name flags=0x80000000" || return 1
	done &&
	refused_with PROTO "REMOVE flags=3"
'

test_expect_success 'paths that are not allowed are answered alike in every request' '
	for path in "" x //x /x/ /../x /a/../x /./x /.consign /.consign/parts /a/.consign "/a\\x00b" "/a\\x0ab" \
		"/\\x7f" "/$(printf "%0256d" 0)"; do
		for name in STAT LIST MKDIR REMOVE PENDING PUT GET "RENAME to=/y"; do
			raw WAIT "$HI" "$name path=$path" ABORT >answer
			grep "^DONE" answer >>refusals || { echo "$name $path:"; cat answer; return 1; }
			grep "^DONE NAME" answer || { echo "$name $path:"; cat answer; return 1; }
		done
	done >/dev/null
'

test_expect_success 'requests sent ahead are answered in order' '
	answers "WELCOME|DONE OK|DONE NOENT|DONE OK|EOF" WAIT "$HI" "PING id=1" "STAT id=2 path=/none" \
		"PING id=3" WAIT WAIT WAIT
'

test_expect_success 'nothing was killed, and a good client goes on' '
	! grep "\"event\":\"killed\"" server.audit &&
	! grep "Sanitizer\|runtime error" server.log &&
	consign put hello alice:/after && same_file hello files/alice/after
'

test_done
