#!/bin/sh
# SPDX-License-Identifier: ISC

test_description='compression: what shrinks crosses the wire smaller, and nothing else is different'

. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

MIB=1048576
TEXT=$((24 * MIB + 12345))

# log_file FILE BYTES: lines as a web server writes them, the same at each run.
log_file() {
	perl -e '
		my ($left, $s) = ($ARGV[0], 1);
		sub r { $s = ($s * 1103515245 + 12345) % 2147483648; ($s >> 8) % $_[0] }
		my @path = qw(/ /login /api/v1/items /static/app.js /health);
		my @agent = ("curl/7.88.1", "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101");
		while ($left > 0) {
			my $line = sprintf qq(10.0.%d.%d - - [24/Nov/2026:%02d:%02d:%02d +0000] "GET %s?id=%d HTTP/1.1" %d %d "%s"\n),
				r(4), r(256), r(24), r(60), r(60), $path[r(5)], r(100000), r(10) ? 200 : 404, r(50000), $agent[r(2)];
			$line = substr $line, 0, $left;
			print $line or die;
			$left -= length $line;
		}
	' "$2" >"$1"
}

# moved_whole OUT BYTES MIN MAX: all of it was moved, and that many bytes crossed the wire.
moved_whole() {
	test "$(result moved "$1")" = "$2" && test "$(result wire "$1")" -ge "$3" && test "$(result wire "$1")" -le "$4" &&
		return
	cat "$1"
	return 1
}

test_expect_success 'a site with a server; text, random bytes, both in turn' '
	site_setup && start_server && log_file text $TEXT && random_file random $((8 * MIB + 77)) &&
	{ head -c $((3 * MIB)) text && head -c $((3 * MIB)) random && tail -c $((3 * MIB)) text; } >mixed &&
	head -c $((9 * MIB + 5)) /dev/zero | tr "\0" x >same
'

test_expect_success 'put: on, text is a good deal smaller on the wire' '
	consign --json put --whole --compress=on text alice:/text >out && same_file text files/alice/text &&
	moved_whole out $TEXT 1000 $((TEXT * 2 / 5)) && test "$(result root out)" = "$(root_of text)"
'

test_expect_success 'get: on, the same' '
	consign --json get --whole --compress=on alice:/text back >out && same_file text back &&
	moved_whole out $TEXT 1000 $((TEXT * 2 / 5)) && test "$(result root out)" = "$(root_of text)"
'

test_expect_success 'off: as many bytes as there are, and some around them' '
	consign --json put --whole --compress=off text alice:/off >out && same_file text files/alice/off &&
	moved_whole out $TEXT $TEXT $((TEXT + TEXT / 100 + 20000)) &&
	consign --json get --whole --compress=off alice:/off back >out && same_file text back &&
	moved_whole out $TEXT $TEXT $((TEXT + TEXT / 100 + 20000))
'

test_expect_success 'on: random bytes travel as they are' '
	n=$((8 * MIB + 77)) && consign --json put --whole --compress=on random alice:/random >out &&
	same_file random files/alice/random && moved_whole out $n $n $((n + n / 100 + 20000)) &&
	consign --json get --whole --compress=on alice:/random back >out && same_file random back &&
	moved_whole out $n $n $((n + n / 100 + 20000))
'

test_expect_success 'on: each piece for itself' '
	n=$((9 * MIB)) && consign --json put --whole --compress=on mixed alice:/mixed >out && same_file mixed files/alice/mixed &&
	moved_whole out $n $((3 * MIB)) $((6 * MIB)) && consign --json get --whole --compress=on alice:/mixed back >out &&
	same_file mixed back && moved_whole out $n $((3 * MIB)) $((6 * MIB))
'

test_expect_success 'on: one byte over and over is next to nothing' '
	n=$((9 * MIB + 5)) && consign --json put --whole --compress=on same alice:/same >out && same_file same files/alice/same &&
	moved_whole out $n 100 200000 && consign --json get --whole --compress=on alice:/same back >out &&
	same_file same back && moved_whole out $n 100 200000
'

test_expect_success 'auto is what happens without the option, and right whatever it chooses' '
	for f in text random mixed same; do
		consign put $f alice:/auto && same_file $f files/alice/auto &&
		consign get alice:/auto back && same_file $f back &&
		consign put --compress=auto $f alice:/auto && same_file $f files/alice/auto || return 1
	done
'

test_expect_success 'small files of every kind' '
	for n in 0 1 255 256 4096 16383 16384 16385 65537; do
		head -c $n text >small && consign put --compress=on small alice:/small && same_file small files/alice/small &&
		consign get --compress=on alice:/small back && same_file small back || return 1
	done
'

test_expect_success 'the profile says so, the option says otherwise' '
	conf "$CLIENT_CONF" alice compress on && consign --json put --whole text alice:/p >out &&
	moved_whole out $TEXT 1000 $((TEXT * 2 / 5)) && consign --json put --whole --compress=off text alice:/p >out &&
	moved_whole out $TEXT $TEXT $((2 * TEXT)) && conf "$CLIENT_CONF" alice compress off &&
	consign --json get --whole alice:/p back >out && moved_whole out $TEXT $TEXT $((2 * TEXT)) &&
	conf "$CLIENT_CONF" alice compress perhaps && test_expect_code 78 consign put text alice:/p 2>err &&
	grep "perhaps" err && conf "$CLIENT_CONF" alice compress "" &&
	test_expect_code 64 consign put --compress=9 text alice:/p 2>err && grep -- "--compress=9" err &&
	test_expect_code 64 consign get --compress= alice:/p back
'

# cut_compressed BYTES
cut_compressed() {
	rm -f files/alice/f && start_relay && relay_do "cut next up $1 fin" &&
		test_expect_code 75 consign --json put --compress=on text relayed:/f >leg1 &&
		soon "consign ls --pending alice:/ >pending; ! grep now pending" && stop_relay
}

test_expect_success 'a compressed upload that was cut goes on, compressed or not' '
	consign --json put --whole --compress=on text alice:/whole >out && half=$(($(result wire out) / 2)) &&
	for how in on off; do
		cut_compressed $half && consign --json put --compress=$how text alice:/f >out && same_file text files/alice/f &&
		test $(result kept out) -gt 0 && test $(($(result kept out) + $(result moved out))) = $TEXT &&
		test "$(result root out)" = "$(root_of text)" || return 1
	done
'

# ---- a peer that means harm ----

raw() {
	within 90 python3 "$SOURCE/t/rawclient.py" "$PORT" alice-file.pem "$FILE_KEY" "$@"
}

# refused BYTES FIELDS...: a piece of a content of BYTES: the transfer ends by PROTO, the session goes on.
refused() {
	bytes_=$1 && shift &&
		raw WAIT "HELLO agent=raw" "PUT path=/bad" "OFFER length=$bytes_" "DATA $*" "WAIT DONE" ABORT PING "WAIT DONE" >answer &&
		grep "^DONE PROTO" answer && grep "^DONE OK" answer && test ! -e files/alice/bad && return
	echo "DATA $*" && cat answer
	return 1
}

# stream N CONTENT: the u32 N and the stream that zlib makes of the content of a perl expression.
stream() {
	perl -MCompress::Zlib -e 'print unpack "H*", pack("N", $ARGV[0]) . compress(eval $ARGV[1])' "$1" "$2"
}

test_expect_success 'a client that speaks for itself' '
	consign-pki issue client "CN=alice,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out alice-file.pem >issued &&
	FILE_KEY=$(key_of_ issued) && raw WAIT "HELLO agent=raw" PING "WAIT DONE" >answer && grep "DONE OK" answer
'

test_expect_success 'pieces that are not what they say end the transfer, not the session' '
	good=$(stream 16384 "\"x\" x 16384") && raw WAIT "HELLO agent=raw" "PUT path=/bad" "OFFER length=32768" \
		"DATA kind=1 bytes=$good" "ABORT status=17" "WAIT DONE" >answer && grep "^DONE CHANGED" answer &&
	refused 32768 kind=1 bytes=000040007801deadbeefdeadbeefdeadbeef &&
	refused 32768 kind=1 bytes=${good%??} && refused 32768 kind=1 bytes=${good}00 &&
	refused 32768 kind=1 bytes=$(stream 16384 "\"x\" x 16383") &&
	refused 32768 kind=1 bytes=$(stream 16384 "\"x\" x 16385") &&
	refused 32768 kind=1 bytes=$(stream 16383 "\"x\" x 16383") &&
	refused 16000 kind=1 bytes=$good &&
	refused 32768 kind=1 bytes=$(stream 16384 "\"\\0\" x 20000000") &&
	refused 32768 kind=1 bytes=ffffffff$(echo $good | cut -c 9-) &&
	refused 32768 kind=1 bytes=000040 && refused 32768 kind=1 bytes=00000000 && refused 32768 kind=1 &&
	refused 32768 kind=2 bytes=$good && refused 20 kind=1 bytes=$(stream 20 "pack q(C*), 1 .. 20")
'

test_expect_success 'flags of GET that exclude each other' '
	raw WAIT "HELLO agent=raw" "GET flags=6 path=/text" >answer && grep "^ERROR PROTO" answer &&
	raw WAIT "HELLO agent=raw" "GET flags=16 path=/text" >answer && grep "^ERROR PROTO" answer
'

test_expect_success 'the server is none the worse for it' '
	consign put --compress=on text alice:/last && same_file text files/alice/last && stop_server
'

test_done
