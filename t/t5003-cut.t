#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='a line that is cut at any byte: said so, nothing half visible, little is sent twice

SEED and ROUNDS (random positions a direction) can be given in the environment; what fails prints its position.'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

ROUNDS=${ROUNDS:-15}
SEED=${SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
MIB=1048576
LENGTH=$((3 * MIB + 333333))
CONNECTIONS=0

# As result() of xfer.sh, but fast.
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2" | tail -n 1; }

# transfer put|get PROFILE OUT
transfer() {
	if test "$1" = put; then
		within 60 consign --json put f "$2:/f" >"$3" 2>err
	else
		within 60 consign --json get "$2:/f" back/f >"$3" 2>err
	fi
}

begin() {
	rm -rf back && mkdir back && if test "$1" = put; then
		rm -f files/alice/f && FOLDER=files/alice
	else
		FOLDER=back
	fi
}

# Where things may go wrong: around the first and last records of a direction, and around those in the middle
# that are shorter than their neighbours, as a message ends there.
positions() {
	perl -e '
		my ($seed, $rounds, $bytes, @r) = @ARGV;
		my @length = map { /:(\d+)/ ? $1 : die } @r;
		my %take = map { $_ => 1 } 0 .. ($#r < 8 ? $#r : 8), $#r - 2 .. $#r;
		for (10 .. $#r) { $take{$_} = $take{$_ - 1} = 1 if $length[$_] < 200 && keys %take < 14 }
		my $n = 0;
		for (sort { $a <=> $b } grep { $_ >= 0 } keys %take) {
			my $record = $_ + 1;
			print "$record.$_\n" for $n++ % 2 ? ("0+", 3) : (0, int($length[$_] / 2 + 5));
		}
		srand $seed;
		print 1 + int rand($bytes - 1), "\n" for 1 .. $rounds;
	' "$SEED" "$@"
}

# Bytes of whole chunks that the journals of unfinished transfers below a folder vouch for.
journaled() {
	perl -e '
		local $/; my $have = 0;
		for (grep { !/data$/ } glob "$ARGV[0]/.consign/parts/*") {
			open F, "<", $_ or next;
			my $slots = substr(<F>, 8192);
			$have += grep { /[^\0]/ } unpack "(a32)*", $slots if length $slots;
		}
		print $have * 1048576, "\n";
	' "$1"
}

# A file that is there is whole, and nothing else lies about.
all_whole() {
	test ! -e $FOLDER/f || same_file f $FOLDER/f || return 1
	left_=$(cd $FOLDER && find . -mindepth 1 ! -path "./.consign*" ! -name f) && test -z "$left_"
}

# cut_once put|get up|down POSITION fin|rst
cut_once() {
	begin "$1" && relay_do "cut next $2 $3 $4" 2>/dev/null || return 1
	transfer "$1" relayed first
	code_=$?
	CONNECTIONS=$((CONNECTIONS + 1))
	case $code_ in
	0) test -e $FOLDER/f ;;
	75) test -s err ;;
	*) false ;;
	esac && all_whole || { echo "status $code_: $(cat err)" && return 1; }
	test "$1" = get || soon "! consign ls --pending alice:/ | grep now" || return 1
	# What was delivered before an orderly end was taken, all but the chunk in flight; less what is no content. And
	# a file that was committed is sent anew.
	least_=0
	if ! test -e $FOLDER/f; then
		least_=$(journaled $FOLDER)
		if test "$4" = fin && case $1,$2 in put,up | get,down) ;; *) false ;; esac; then
			took_=$(relay_count $CONNECTIONS "$2" 2>/dev/null)
			content_=$((took_ - took_ / 500 - 4000))
			test $content_ -lt $((least_ + MIB)) ||
				{ echo "$took_ bytes had come through, $least_ are kept" && return 1; }
		fi
	fi
	transfer "$1" alice second || { echo "repeat: $(cat err)" && return 1; }
	same_file f $FOLDER/f && all_whole && test -z "$(parts $FOLDER)" || return 1
	moved_=$(number moved second)
	test "$moved_" -le $((LENGTH > least_ ? LENGTH - least_ : 0)) ||
		{ echo "moved $moved_, though $least_ were there" && return 1; }
	test $((moved_ + $(number kept second) + $(number copied second))) = $LENGTH
}

test_expect_success 'a site, a relay' '
	site_setup && file_key alice && start_server && random_file f $LENGTH && start_relay
'

# $WHOLE: what a direction carries when nothing is cut.
clean_run() {
	begin "$1" && transfer "$1" relayed out && same_file f $FOLDER/f && CONNECTIONS=$((CONNECTIONS + 1)) &&
		WHOLE=$(relay_count $CONNECTIONS "$2") && records_=$(relay_records $CONNECTIONS "$2") &&
		positions "$3" "$WHOLE" $records_ >positions &&
		cat positions && test "$(wc -l <positions)" -gt "$3"
}

for op in put get; do
	for way in up down; do
		case $op,$way in put,up | get,down) rounds=$ROUNDS ;; *) rounds=0 ;; esac
		test_expect_success "$op, cut on the way $way" '
			if test $op = get; then cp f files/alice/f; fi &&
			clean_run $op $way $rounds && n=0 && while read -r position; do
				n=$((n + 1)) && how=$(test $((n / 4 % 2)) = $((n % 2)) && echo rst || echo fin) &&
				{ cut_once $op $way $position $how ||
					{ echo "$op, $way at $position of $WHOLE, $how (SEED=$SEED)" && return 1; }; }
			done <positions
		'
	done
done

test_expect_success 'a line that is slow and far away, held up for a moment, or one that a first attempt does not get through' '
	relay_do "delay 30" && relay_do "rate 8000000" && relay_do "stall next up 1000000 1" && begin put &&
	transfer put relayed out && same_file f files/alice/f && test "$(result moved out)" = $LENGTH &&
	relay_do "stall next down 1000000 1" && begin get && transfer get relayed out && same_file f back/f &&
	relay_do "delay 0" && relay_do "rate 0" && relay_do "refuse 2" && begin put &&
	for n in 1 2; do
		transfer put relayed out
		test $? = 75 && test -s err && test ! -e files/alice/f || return 1
	done && transfer put relayed out && same_file f files/alice/f
'

test_expect_success 'a line that stands still for good: both sides give up after their limits, and it goes on later' '
	conf server.conf limits stall 1s && conf "$CLIENT_CONF" relayed stall 1s && stop_relay && restart_server &&
	start_relay "stall all down 1500000 ever" "stall all up 1500000 ever" && conf "$CLIENT_CONF" relayed stall 1s &&
	for op in put get; do
		begin $op && { transfer $op relayed out; test $? = 75; } && grep -E "stalled|silent|lost" err &&
		soon "! consign ls --pending alice:/ | grep now" && all_whole && test "$(journaled $FOLDER)" -ge $MIB &&
		transfer $op alice out && same_file f $FOLDER/f && test "$(result kept out)" -ge $MIB || return 1
	done
'

test_expect_success 'the server serves on; the relay ends' '
	consign ping alice: && stop_relay
'

test_done
