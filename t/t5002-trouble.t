#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='full disks, cut lines, stopping servers: a clear end, nothing half visible, nothing lost'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

ROOT=$(test "$(id -u)" -eq 0 && echo yes)
test "$ROOT" && test_set_prereq ROOT

# small OPTIONS: bob's root is a tmpfs of its own.
small() {
	mount -t tmpfs -o "$1" tmpfs files/bob && chown "$ACCOUNT:" files/bob
}

test_expect_success 'a site' '
	site_setup && conf server.conf limits stall 2s && conf server.conf limits min-rate 1M &&
	conf server.conf limits drain 20s && start_server &&
	random_file big 50331648 && echo text >f
'

test_expect_success ROOT 'a disk that is too small: said at once, nothing visible, space given back' '
	small size=16m && test_expect_code 73 consign put big bob:/big 2>err && grep -i "space" err &&
	test ! -e files/bob/big && consign -q put f bob:/f && test -z "$(parts files/bob)" &&
	test "$(df -k --output=used files/bob | tail -n 1)" -lt 1024 && soon "umount files/bob"
'

test_expect_success ROOT 'a disk without inodes: likewise' '
	small size=64m,nr_inodes=8 && n=0 &&
	while consign -q put f bob:/f$n 2>err; do n=$((n + 1)) && test $n -lt 20 || break; done && test $n -lt 20 &&
	cat err && grep -i "space" err && test ! -e files/bob/f$n && rm files/bob/f0 && soon "umount files/bob"
'

test_expect_success 'a root that can only be read, a source that can'"'"'t' '
	mkdir ro && test_must_fail consign put ro/none alice:/x && test_expect_code 66 consign put none alice:/x &&
	test_expect_code 65 consign put ro alice:/x 2>err && grep "put -r" err
'

# Between the client and the server: forwards, until so many bytes went one way; then cuts without a word.
relay() {
	perl -MIO::Socket::INET -MIO::Select -e '
		my ($to, $up, $down) = @ARGV;
		my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die;
		$| = 1; print $l->sockport, "\n"; close STDOUT;
		my $c = $l->accept; my $s = IO::Socket::INET->new("127.0.0.1:$to") or die;
		my $sel = IO::Select->new($c, $s);
		while (1) {
			for my $f ($sel->can_read(60)) {
				my ($t, $left) = $f == $c ? ($s, \$up) : ($c, \$down);
				my $n = sysread $f, my $b, $$left < 65536 ? $$left : 65536;
				exit 0 if !$n; $$left -= $n;
				for (my $o = 0; $o < $n;) { my $w = syswrite $t, $b, $n - $o, $o; exit 0 if !$w; $o += $w }
				exit 0 if $$left <= 0;
			}
		}' "$PORT" "$1" "$2" >relay.port &
	soon "test -s relay.port"
}

# cut UP DOWN COMMAND...: through a relay that cuts after so many bytes.
cut() {
	rm -f relay.port && relay "$1" "$2" && shift 2 && conf "$CLIENT_CONF" alice port "$(cat relay.port)" || return 1
	within 60 "$@" >out 2>err
	code_=$?
	conf "$CLIENT_CONF" alice port "$PORT"
	echo "cut: status $code_: $(cat err)"
	test $code_ -eq 75
}

test_expect_success 'a line cut in the handshake, in the verdict, in a request' '
	for n in 1 100 700 900; do cut $n 100000000 consign stat alice:/ || return 1; done &&
	for n in 1 100 700 1000; do cut 100000000 $n consign stat alice:/ || return 1; done
'

test_expect_success 'uploads cut at many bytes resume, and are whole' '
	for n in 2000 1100000 5000000 20000001 20000000; do
		cut $n 100000000 consign put big alice:/big && test ! -e files/alice/big || return 1
	done &&
	consign --json put big alice:/big >last && same_file big files/alice/big &&
	test "$(result kept last)" -ge 41943040
'

test_expect_success 'downloads cut at many bytes resume, and are whole' '
	for n in 2000 1100000 5000000 20000001 20000000; do
		cut 100000000 $n consign get alice:/big back && test ! -e back || return 1
	done &&
	consign --json get alice:/big back >last && same_file big back && test "$(result kept last)" -ge 41943040
'

test_expect_success 'a client that stops in the middle is ended by the server, its part kept' '
	rm files/alice/big && pid=$(CUT_BY=STOP cut_at 8388608 files/alice out consign put big alice:/big) &&
	soon "grep \"fell silent\\|stalled\" server.audit" && soon "! consign ls --pending alice:/ | grep now" &&
	kill -KILL "$pid" && consign -q put big alice:/big && same_file big files/alice/big
'

test_expect_success 'more sessions than the user may have: refused with a reason, try again later' '
	conf map bob sessions 1 && restart_server &&
	pid=$(CUT_BY=STOP cut_at 1 files/bob out consign put big bob:/big) &&
	test_expect_code 75 consign whoami bob: 2>err && grep "sessions already" err &&
	kill -KILL "$pid" && soon "consign whoami bob:"
'

test_expect_success 'a broken map is refused whole; the one that runs is kept' '
	cp map good && echo nonsense >>map && kill -HUP "$SERVER_PID" && soon "grep CONFIG server.audit" &&
	consign stat alice:/ && cp good map
'

test_expect_success 'SIGTERM: what runs is finished, nothing new is taken, status 0' '
	rm files/alice/big && pid=$(CUT_BY=STOP cut_at 8388608 files/alice out consign put big alice:/big) &&
	kill -TERM "$SERVER_PID" && soon "grep -q stopping: server.log" && test_must_fail consign whoami alice: &&
	kill -CONT "$pid" && soon "test -e files/alice/big" && same_file big files/alice/big &&
	soon "test -s server.status" && test "$(cat server.status)" -eq 0 && SERVERS=
'

test "$ROOT" && umount files/bob 2>/dev/null
test_done
