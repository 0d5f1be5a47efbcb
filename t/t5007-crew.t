#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='several connections of which some are lost: each file has one outcome, and none is missing'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

SMALL=${SMALL:-900}
FILES=$((SMALL + 8))

# The processes that are there without a connection.
find_helpers() {
	HELPERS=$(pgrep -P "$SERVER_PID") && test "$(echo "$HELPERS" | wc -l)" -ge 3
}

# Each file that was seen is counted, once, and has its line.
adds_up() {
	good_=$(sum good "$1") failed_=$(sum failed "$1") same_=$(sum same "$1")
	echo "$1: $good_ good, $failed_ failed, $same_ the same; $(grep -c '"event":"result"' "$1") results"
	test $((good_ + failed_ + same_)) -eq $FILES && test $((good_ + failed_)) -eq "$(grep -c '"event":"result"' "$1")" &&
		test "$(sed -n 's/.*"event":"result".*"from":"\([^"]*\)".*/\1/p' "$1" | sort | uniq -d | wc -l)" -eq 0
}

alike() { diff -r -x .consign "$1" "$2"; }

# harassed OUT COMMAND...: runs it, and kills processes of all its connections but the first meanwhile.
harassed() {
	out_=$1
	shift
	"$@" >"$out_" 2>"$out_.err" &
	client_=$!
	perl -e '
		my ($client, $server, @helpers) = @ARGV;
		my ($killed, %first, %helper) = (0);
		$helper{$_} = 1 for @helpers;
		until (!kill(0, $client) || (readpipe("cut -d \" \" -f 3 /proc/$client/stat") || "Z") =~ /Z/) {
			select undef, undef, undef, 0.04 + rand 0.06;
			my @young = grep { !$helper{$_} } split " ", readpipe("pgrep -P $server");
			@young = sort { $a <=> $b } @young;
			%first = map { $_ => 1 } @young[0, 1] if !%first && @young > 3;
			@young = grep { !$first{$_} } @young;
			next unless %first && @young;
			$killed += kill 9, $young[rand @young];
		}
		print "killed $killed\n";
	' "$client_" "$SERVER_PID" $HELPERS
	wait $client_
	status_=$?
	echo "ended with status $status_"
	cat "$out_.err"
	! grep -E "ThreadSanitizer|Sanitizer|runtime error" "$out_.err" || return 1
	case $status_ in 0 | 69 | 74 | 75) ;; *) return 1 ;; esac
}

test_expect_success 'a site, and a tree of small and of long files' '
	site_setup && conf map alice sessions 16 && start_server &&
	find_helpers && mkdir -p src &&
	perl -e '\''for (1 .. $ARGV[0]) { my $d = "src/" . $_ % 7; mkdir $d; mkdir $d = "$d/" . $_ % 5; open F, ">", "$d/$_" or die;
		print F $_ x (1 + $_ * 37 % 9000); close F }'\'' "$SMALL" &&
	for i in 1 2 3 4 5 6 7 8; do random_file src/$i/long$i $((1500000 + i)) 2>/dev/null || random_file src/long$i $((1500000 + i)); done
'

# undisturbed OUT COMMAND...
undisturbed() {
	out_=$1
	shift
	"$@" >"$out_" 2>"$out_.err" && ! grep Sanitizer "$out_.err" && adds_up "$out_" && test "$(sum failed "$out_")" = 0
}

test_expect_success 'undisturbed: all of it, each once' '
	undisturbed out consign --json put -r -j 4 src alice:/q && undisturbed out consign --json get -r -j 4 alice:/q quiet &&
	undisturbed out consign --json sync -j 4 src alice:/q2 && undisturbed out consign --json sync -j 4 alice:/q2 quiet2
'

test_expect_success 'what came is what was sent' '
	alike src files/alice/q && alike src quiet && alike src files/alice/q2 && alike src quiet2 && test ! -e quiet/.consign
'

test_expect_success 'put with connections that are lost' '
	harassed out consign --json put -r -j 4 --rate 8M src alice:/p && adds_up out &&
	consign --json sync -j 4 src alice:/p >again && adds_up again && test "$(sum failed again)" = 0 && alike src files/alice/p
'

test_expect_success 'get with connections that are lost' '
	harassed out consign --json get -r -j 4 --rate 8M alice:/q got && adds_up out &&
	consign --json sync -j 4 alice:/q got >again && adds_up again && test "$(sum failed again)" = 0 && alike src got &&
	test ! -e got/.consign
'

test_expect_success 'a connection that rests while others work is not taken for idle' '
	conf server.conf limits idle 2s && restart_server && mkdir two && random_file two/a 300000 && random_file two/b 6000000 &&
	consign --json put -r -j 3 --rate 2M two alice:/two >out && test "$(sum good out)" = 2 && alike two files/alice/two &&
	consign --json sync -j 3 --rate 2M alice:/two two2 >out && test "$(sum good out)" = 2 && alike two two2 &&
	! grep "idle for" server.audit && conf server.conf limits idle 300s && restart_server && find_helpers
'

test_expect_success 'sync up and down with connections that are lost' '
	harassed out consign --json sync -j 4 --rate 8M src alice:/s && adds_up out &&
	consign --json sync src alice:/s >again && adds_up again && test "$(sum failed again)" = 0 && alike src files/alice/s &&
	harassed out consign --json sync -j 4 --rate 8M alice:/s down && adds_up out &&
	consign --json sync alice:/s down >again && adds_up again && test "$(sum failed again)" = 0 && alike src down &&
	test ! -e down/.consign
'

# What the server says to the second connection after READY (51 bytes in a record) does not arrive, and then that
# connection is lost.
test_expect_success 'not to overwrite: what an answer that was lost had committed is in nobody'"'"'s way' '
	start_relay && mkdir long && random_file long/a 3000000 && random_file long/b 3000001 && consign put -r -j 2 long relayed:/probe &&
	relay_do stats && READY=$(relay_records 2 down | tr " " "\n" | grep . | grep -n "^23:51$" | cut -d: -f1) &&
	relay_do "stall 4 down $((READY + 1)).0 ever" &&
	{ consign --json put -r -n -j 2 long relayed:/long >out & } && pid=$! &&
	soon "test -e files/alice/long/a && test -e files/alice/long/b" && relay_do "cut 4 now rst" && wait $pid && cat out &&
	test "$(sum good out)" = 2 && test "$(sum failed out)" = 0 && alike long files/alice/long &&
	grep "\"event\":\"put\",\"status\":\"EXISTS\".*/long/" server.audit
'

test_expect_success 'what somebody else put there is in the way' '
	mkdir other && echo theirs >other/1 && random_file other/2 400000 && consign --json put -r -j 2 other relayed:/other >out &&
	echo ours >other/1 && random_file other/2 400000 && test_expect_code 73 consign --json put -r -n -j 2 other relayed:/other >out &&
	test "$(sum failed out)" = 2 && stop_relay
'

test_done
