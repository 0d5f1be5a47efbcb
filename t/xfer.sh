# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts that move files and look at how it went. Sourced after lib.sh.
#
#   soon COMMANDS         repeats them until they succeed; fails after 20 s
#   result KEY FILE       the value of KEY in the last "result" of FILE (the output of --json)
#   json_lines FILE       whether every line is a JSON object, and there is one at least
#   root_of FILE          its root as `consign hash` prints it
#   parts FOLDER          the files of unfinished transfers below FOLDER, one a line
#   tree_file FOLDER FILE where the stored tree of FOLDER/FILE is kept
#   at_server FILE NAME   copies FILE to NAME below files/, as the account that the store has
#   cut_at BYTES FOLDER OUT COMMAND...  runs a transfer with its output in OUT, and kills it as soon as
#                         the part below FOLDER has so many bytes; fails when it ended before.
#                         Prints its pid. With CUT_BY set, sends that signal and leaves it

soon() {
	soon_end_=$(($(date +%s) + 20))
	until eval "$1" >/dev/null 2>&1; do
		test "$(date +%s)" -lt $soon_end_ || { echo "not within 20 s: $1" >&2; return 1; }
	done
}

result() {
	perl -MJSON::PP -ne '
		BEGIN { $key = shift }
		$o = decode_json($_); $v = $o->{$key} if $o->{event} eq "result";
		END { defined $v or exit 1; print "$v\n" }
	' "$1" "$2"
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
