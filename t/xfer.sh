# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts that move files and look at how it went. Sourced after lib.sh.
#
#   soon COMMANDS         repeats them until they succeed; fails after 20 s
#   result KEY FILE       the value of KEY in the last "result" of FILE (the output of --json)
#   sum KEY FILE          the same of its "summary"
#   json_lines FILE       whether every line is a JSON object, and there is one at least
#   root_of FILE          its root as `consign hash` prints it
#   parts FOLDER          the files of unfinished transfers below FOLDER, one a line
#   tree_file FOLDER FILE where the stored tree of FOLDER/FILE is kept
#   at_server FILE NAME   copies FILE to NAME below files/, as the account that the store has
#   cut_at BYTES FOLDER OUT COMMAND...  runs a transfer with its output in OUT, and kills it as soon as
#                         the part below FOLDER has so many bytes; fails when it ended before: let a relay hold
#                         it. Prints its pid. With CUT_BY set, sends that signal and leaves it
#
# A relay between client and server (relay.py says which commands it takes):
#
#   start_relay COMMAND...  one to the server, on port $RELAY_PORT; and a profile [relayed] that is alice's
#                           but for the port
#   relay_do COMMAND        returns once it is in force
#   relay_count N up|down   bytes that connection N passed on
#   relay_hold up|down BYTES  the next connection is to stand still there; relay_held waits until it does, and
#                           relay_do go lets it go on
#   relay_records N up|down the TLS records of connection N, TYPE:LENGTH ...
#   place BYTES             where in its direction the first BYTES (whole chunks) of a content that does not
#                           compress are through with their hashes, and hardly more
#   stop_relay

soon() {
	soon_end_=$(($(date +%s) + 20))
	until eval "$1" >/dev/null 2>&1; do
		test "$(date +%s)" -lt $soon_end_ || { echo "not within 20 s: $1" >&2; return 1; }
	done
}

value_() {
	perl -MJSON::PP -ne '
		BEGIN { $event = shift; $key = shift }
		$o = decode_json($_); $v = $o->{$key} if $o->{event} eq $event;
		END { defined $v or exit 1; print "$v\n" }
	' "$@"
}

result() {
	value_ result "$1" "$2"
}

sum() {
	value_ summary "$1" "$2"
}

json_lines() {
	perl -MJSON::PP -ne 'ref(decode_json($_)) eq "HASH" or die; END { $. or die "no line at all\n" }' "$1"
}

root_of() {
	consign hash "$1" | cut -d " " -f 2
}

parts() {
	find "$1/.consign/parts" -type f 2>/dev/null | sort
}

tree_file() {
	printf '%s/.consign/trees/%x\n' "$1" "$(stat -c %i "$1/$2")"
}

at_server() {
	cp "$1" "files/$2" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "files/$2"; }
}

cut_at() {
	perl -MPOSIX=WNOHANG -e '
		my ($want, $folder, $out, @command) = @ARGV;
		my $pid = fork // die;
		if (!$pid) {
			open STDOUT, ">", $out or die;
			exec @command or die;
		}
		until (waitpid $pid, WNOHANG) {
			for (glob "$folder/.consign/parts/*.data") {
				next unless (-s $_ // 0) >= $want;
				kill $ENV{CUT_BY} // "KILL", $pid;
				waitpid $pid, 0 unless $ENV{CUT_BY};
				print "$pid\n";
				exit 0;
			}
		}
		die "it was over before: status $?\n";
	' "$@"
}

start_relay() {
	rm -f relay.port relay.ctl relay.ack
	python3 "$SOURCE/t/relay.py" relay "$PORT" "$@" </dev/null >relay.log 2>&1 4>&- 5>&- 6>&- &
	RELAY_PID=$!
	soon "test -s relay.port" && RELAY_PORT=$(cat relay.port) &&
		awk -v port="$RELAY_PORT" '
			/^\[/ { inside = ($0 == "[alice]"); if ($0 == "[relayed]") exit; if (inside) copy = "[relayed]\n" }
			{ print }
			inside && !/^\[/ { copy = copy ($1 == "port" ? "port = " port : $0) "\n" }
			END { printf "%s", copy }
		' "$CLIENT_CONF" >conf.new && mv conf.new "$CLIENT_CONF"
}

relay_do() {
	# shellcheck disable=SC2016
	within 10 sh -c 'echo "$1" >relay.ctl && read -r answer <relay.ack && echo "relay: $answer" && test "$answer" = ok' \
		sh "$*" >&2
}

relay_count() {
	relay_do stats && awk -v n="$1" -v way="$2" '$1 == n { print $(way == "up" ? 4 : 6) }' relay.stats
}

relay_hold() {
	relay_do stats && HELD=$(($(wc -l <relay.stats) + 1)) && HELD_WAY=$1 HELD_AT=$2 &&
		relay_do "stall next $1 $2 ever"
}

relay_held() {
	soon "test \$(relay_count $HELD $HELD_WAY) -ge $HELD_AT"
}

relay_records() {
	relay_do stats && sed -n "s/^$1 .* $2-records\\([^a-z]*\\).*/\\1/p" relay.stats
}

# 22 bytes for a record of 16 KiB, some for each message; and what the handshake and the requests take.
place() {
	echo $(($1 + $1 / 500 + 100000))
}

stop_relay() {
	relay_do quit && wait "$RELAY_PID"
}
