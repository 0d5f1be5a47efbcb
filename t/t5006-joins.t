#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='clients that misuse shared transfers: refused, nothing visible that is not whole and proven'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

HI='HELLO agent=raw'
# Four chunks of 16 KiB, a DATA and a CHUNK for each: $DATA0 $CHUNK0 ... and others of the same length: $DATA9.
LENGTH=65536

raw() {
	within 60 python3 "$SOURCE/t/rawclient.py" "$PORT" "$USER_PEM" "$USER_KEY" WAIT "$HI" "$@"
}
as() {
	USER_PEM=$1.pem USER_KEY=$(key_of_ "$1.issued")
}
hash_hex() {
	perl -MDigest::SHA=sha256_hex -e 'print sha256_hex(map { pack "H*", $_ } @ARGV)' "$@"
}
make_content() {
	random_file content $LENGTH && random_file other 16384 && OTHER=$(od -An -v -tx1 other | tr -d " \n") || return 1
	for i_ in 0 1 2 3; do
		bytes_=$(dd if=content bs=16384 skip=$i_ count=1 status=none | od -An -v -tx1 | tr -d " \n") &&
			eval "HASH$i_=$(dd if=content bs=16384 skip=$i_ count=1 status=none | openssl dgst -sha256 -r | cut -c1-64)" &&
			eval "DATA$i_=\"DATA index=$i_ bytes=$bytes_\" CHUNK$i_=\"CHUNK index=$i_ hash=\$HASH$i_\"" || return 1
	done
	ROOT=$(hash_hex "$(hash_hex "$HASH0" "$HASH1")" "$(hash_hex "$HASH2" "$HASH3")") && test "$ROOT" = "$(root_of content)"
}

OFFER="OFFER length=$LENGTH log2=14"
SHARE='PUT flags=17 path=/f'
COMMIT="COMMIT length=$LENGTH root="

# While the first connection has done STEP..., which begin a shared upload of /f, another does what stands in the file
# "joiner", with the token in $TOKEN; then the first does the steps in the file "after". Results in first and second.
together() {
	rm -rf first second files/alice/f && soon "! consign ls --pending alice:/ | grep now" && rm -rf files/alice/.consign &&
		cat >second.sh <<-END || return 1
			. ./joiner.env
			TOKEN=\$(sed -n "s/^READY //p" first)
			. ./joiner >second 2>&1
			:
		END
	{
		declare_ USER_PEM USER_KEY PORT OFFER COMMIT ROOT OTHER DATA0 DATA1 DATA2 DATA3 CHUNK0 CHUNK1 CHUNK2 CHUNK3 SOURCE HI
		cat <<-'END'
			raw() { timeout 60 python3 "$SOURCE/t/rawclient.py" "$PORT" "$USER_PEM" "$USER_KEY" WAIT "$HI" "$@"; }
			hash_of() { perl -MDigest::SHA=sha256_hex -e 'print sha256_hex(pack "H*", $ARGV[0])' "$1"; }
			join() { raw "JOIN token=${1:-$TOKEN} path=/f" "${2:-$OFFER}"; }
		END
	} >joiner.env
	raw "$@" >first 2>&1
	cat first second | cut -c 1-200 >&2
}
declare_() {
	for name_ in "$@"; do
		eval "value_=\$$name_" && echo "$name_='$value_'"
	done
}
nothing_there() {
	test ! -e files/alice/f
}
# told WHICH TEXT: that connection heard it.
told() {
	grep -e "$2" "$1"
}
whole() {
	same_file content files/alice/f && consign --json stat --root alice:/f >stat && grep "$ROOT" stat && consign verify content alice:/f
}
ONLINE='ONLINE sh second.sh'

test_expect_success 'a site with a server' '
	site_setup && conf server.conf limits stall 20s &&
	for u in alice bob; do
		consign-pki issue client "CN=$u,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out raw-$u.pem >raw-$u.issued || return 1
	done &&
	start_server && key_of_ raw-bob.issued >bob.keyname && as raw-alice && make_content
'

test_expect_success 'two honest ones' '
	cat >joiner <<-\END &&
		raw "JOIN token=$TOKEN path=/f" "$OFFER" "WAIT READY" "SKIP first=0 count=2" "$DATA2" "$CHUNK2" FINISH "WAIT DONE"
	END
	together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$DATA1" "$CHUNK1" "$ONLINE" "SKIP first=2 count=1" "$DATA3" "$CHUNK3" \
		"$COMMIT$ROOT" "WAIT DONE" && told second "DONE OK" && told first "DONE OK" && whole
'

# refused STATUS NAME COMMANDS: what joins so is told that status; the upload goes on without it and is right.
refused() {
	test_expect_success "refused ($1): $2" "
		cat >joiner <<-\\END &&
			$3
		END
		together \"\$SHARE\" \"\$OFFER\" 'WAIT READY' \"\$DATA0\" \"\$CHUNK0\" \"\$ONLINE\" \"\$DATA1\" \"\$CHUNK1\" \"\$DATA2\" \"\$CHUNK2\" \
			\"\$DATA3\" \"\$CHUNK3\" \"\$COMMIT\$ROOT\" 'WAIT DONE' &&
		told second ' $1' && told first 'DONE OK' && whole
	"
}
J='raw "JOIN token=$TOKEN path=/f"'
refused 'BUSY' 'a wrong token' 'raw "JOIN token=01 path=/f" "$OFFER" "WAIT DONE" ABORT'
refused 'BUSY' 'a token of zeros' 'raw "JOIN token=00 path=/f" "$OFFER" "WAIT DONE" ABORT'
refused 'BUSY' 'the SHA-256 of the token, as it stands in the journal' \
	'raw "JOIN token=$(hash_of "$TOKEN") path=/f" "$OFFER" "WAIT DONE" ABORT'
refused 'BUSY' 'the token of the same request over another connection' \
	'rm -rf other; raw "PUT flags=17 path=/g" "$OFFER" "WAIT READY" ABORT >other
	raw "JOIN token=$(sed -n "s/^READY //p" other) path=/f" "$OFFER" "WAIT DONE" ABORT'
refused 'PROTO' 'a flag' 'raw "JOIN flags=1 token=$TOKEN path=/f" "$OFFER" "WAIT"'
refused 'BUSY' 'another path' 'raw "JOIN token=$TOKEN path=/g" "$OFFER" "WAIT DONE" ABORT'
refused 'NAME' 'a path that is none' 'raw "JOIN token=$TOKEN path=/../f" "WAIT DONE" ABORT'
refused 'BUSY' 'another user' 'USER_PEM=raw-bob.pem; USER_KEY=$(cat bob.keyname); raw "JOIN token=$TOKEN path=/f" "$OFFER" "WAIT DONE" ABORT'
refused 'CHANGED' 'another length' "$J 'OFFER length=65535 log2=14' 'WAIT DONE' ABORT"
refused 'CHANGED' 'another chunk size' "$J \"OFFER length=\$LENGTH log2=15\" 'WAIT DONE' ABORT"
refused 'PROTO' 'SKIP that leaves a gap' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=1 count=1' WAIT"
refused 'PROTO' 'SKIP beyond the end' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=5' WAIT"
refused 'PROTO' 'SKIP of so many that it wraps around' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=2' 'SKIP first=2 count=18446744073709551614' WAIT"
refused 'PROTO' 'SKIP of nothing' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=0' WAIT"
refused 'PROTO' 'SKIP over what it brought' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=3' \"\$DATA3\" \"\$CHUNK3\" 'SKIP first=3 count=1' WAIT"
refused 'PROTO' 'SKIP inside a chunk' "$J 'OFFER length=65536 log2=14' 'WAIT READY' 'SKIP first=0 count=1' \"\$DATA1\" 'SKIP first=1 count=1' WAIT"
refused 'PROTO' 'COMMIT' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=4' \"\$COMMIT\$ROOT\" WAIT"
refused 'PROTO' 'FINISH inside a chunk' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=1' \"\$DATA1\" FINISH WAIT"
refused 'PROTO' 'COPY, of no old version' "$J \"\$OFFER\" 'WAIT READY' 'COPY index=0 from=0 count=1' WAIT"
refused 'PROTO' 'KEEP of what is not there' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=2' 'KEEP first=2 count=1' 'FINISH' WAIT"
refused 'CORRUPT' 'a chunk with another hash' "$J \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=1' \"\$DATA1\" \"CHUNK index=1 hash=\$ROOT\" 'WAIT DONE' ABORT"

test_expect_success 'an upload that did not ask for it has no token, and is not joined' '
	echo "raw \"JOIN token=01 path=/f\" \"\$OFFER\" \"WAIT DONE\" ABORT" >joiner &&
	together "PUT flags=1 path=/f" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$ONLINE" "SKIP first=1 count=1" WAIT &&
	grep -x READY first && told second "DONE BUSY" && told first PROTO && nothing_there &&
	: >joiner && together "PUT flags=1 path=/f" "$OFFER" "WAIT READY" FINISH WAIT && told first PROTO && nothing_there
'

test_expect_success 'a shared one is not finished by FINISH' '
	: >joiner && together "$SHARE" "$OFFER" "WAIT READY" "SKIP first=0 count=4" FINISH WAIT && told first PROTO && nothing_there
'

test_expect_success 'after the commit' '
	echo "raw \"JOIN token=\$TOKEN path=/f\" \"\$OFFER\" \"WAIT DONE\" ABORT" >joiner &&
	together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$DATA1" "$CHUNK1" "$DATA2" "$CHUNK2" "$DATA3" "$CHUNK3" \
		"$COMMIT$ROOT" "WAIT DONE" "$ONLINE" && told first "DONE OK" && told second "DONE BUSY" && whole
'

test_expect_success 'a commit of chunks that nobody brought' '
	: >joiner && together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "SKIP first=1 count=3" "$COMMIT$ROOT" "WAIT DONE" &&
	told first "DONE PROTO" && nothing_there &&
	consign put content alice:/f && whole
'

test_expect_success 'a commit of a chunk that was begun only' '
	cat >joiner <<-\END &&
		raw "JOIN token=$TOKEN path=/f" "$OFFER" "WAIT READY" "SKIP first=0 count=3" "$DATA3" CUT
	END
	together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$DATA1" "$CHUNK1" "$DATA2" "$CHUNK2" "$ONLINE" "SKIP first=3 count=1" \
		"$COMMIT$ROOT" "WAIT DONE" && told first "DONE PROTO" && nothing_there
'

test_expect_success 'a commit waits for a connection that fell silent, until the server gives that one up' '
	conf server.conf limits stall 4s && restart_server && cat >joiner <<-\END &&
		mkfifo go; raw "JOIN token=$TOKEN path=/f" "$OFFER" "WAIT READY" "SKIP first=0 count=3" "ONLINE cat go" "$DATA3" "$CHUNK3" FINISH &
		until grep READY second; do sleep 0.1; done >/dev/null
	END
	together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$DATA1" "$CHUNK1" "$DATA2" "$CHUNK2" "$ONLINE" "$DATA3" "$CHUNK3" \
		"$COMMIT$ROOT" "WAIT DONE" "ONLINE cp /dev/null go" && told first "DONE OK" && whole && rm go
'

test_expect_success 'a commit while another connection is at it: BUSY, nothing visible, and the part is taken up again' '
	cat >joiner <<-\END &&
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do set -- "$@" "ONLINE sleep 1" "PROGRESS phase=3 done=0 total=0"; done
		raw "JOIN token=$TOKEN path=/f" "$OFFER" "WAIT READY" "SKIP first=0 count=3" "$@" "$DATA3" "$CHUNK3" FINISH &
		until grep READY second; do sleep 0.1; done >/dev/null
	END
	together "$SHARE" "$OFFER" "WAIT READY" "$DATA0" "$CHUNK0" "$DATA1" "$CHUNK1" "$DATA2" "$CHUNK2" "$ONLINE" "$DATA3" "$CHUNK3" \
		"$COMMIT$ROOT" "WAIT DONE" && told first "DONE BUSY" && nothing_there && conf server.conf limits stall 20s &&
	soon "! consign ls --pending alice:/ | grep now" && raw "$SHARE" "$OFFER" "WAIT HAVE" "KEEP first=0 count=4" "$COMMIT$ROOT" "WAIT DONE" >out && grep "DONE OK" out && whole
'

# A connection overwrites what another has settled, and goes away.
overwritten() {
	test_expect_success "what was proven is overwritten by another connection: $1" "
		cat >joiner <<-\\END &&
			raw 'JOIN token='\$TOKEN' path=/f' \"\$OFFER\" 'WAIT READY' 'SKIP first=0 count=1' \"DATA index=1 bytes=\$OTHER\" $2
		END
		together \"\$SHARE\" \"\$OFFER\" 'WAIT READY' \"\$DATA0\" \"\$CHUNK0\" \"\$DATA1\" \"\$CHUNK1\" \"\$DATA2\" \"\$CHUNK2\" \"\$DATA3\" \"\$CHUNK3\" \
			\"\$ONLINE\" \"\$COMMIT\$ROOT\" 'WAIT DONE' &&
		if test -e files/alice/f; then whole; else ! grep 'DONE OK' first; fi
	"
}
overwritten 'inside a chunk' 'CUT'
overwritten 'a whole chunk' '"CHUNK index=1 hash=$(printf %s "$OTHER" | perl -pe "\$_ = pack q(H*), \$_" | openssl dgst -sha256 -r | cut -c1-64)" FINISH "WAIT DONE"'

# ---- downloads ----

test_expect_success 'WANT: in order, not of nothing, never more than four' '
	consign put content alice:/f && G="GET flags=8 path=/f" &&
	raw "$G" "WAIT OFFER" READY "WANT first=0 count=1" "WANT first=1 count=0" "WAIT COMMIT" >out && grep DATA out && cat out && grep COMMIT out
'
for steps in "GET path=/f|WANT first=0 count=1" "GET flags=8 path=/f|WANT first=0 count=2" \
	"GET flags=8 path=/f|WANT first=1 count=1" "GET flags=8 path=/f|WANT first=18446744073709551615 count=1" \
	"GET flags=8 path=/f|WANT first=0 count=18446744073709551615"; do
	test_expect_success "refused: $steps" '
		raw "${steps%|*}" "WAIT OFFER" READY "${steps#*|}" >out && grep PROTO out
	'
done
test_expect_success 'refused: backwards; more than four at once' '
	raw "$G" "WAIT OFFER" READY "WANT first=2 count=1" "WANT first=0 count=1" >out && grep PROTO out &&
	raw "$G" "WAIT OFFER" "WANT first=0 count=1" "WANT first=0 count=1" "WANT first=0 count=1" "WANT first=0 count=1" \
		"WANT first=0 count=1" >out && grep PROTO out
'
test_done
