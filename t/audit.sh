# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts about the audit log. Sourced after lib.sh and xfer.sh.
#
#   audit_key NAME [CERT]  a key for statements in the token of NAME.conf, its certificate CERT (sign.pem), and both in NAME.conf
#   puts PREFIX N        N uploads by alice, each recorded
#   rotate_log TO        moves server.audit there and has the server open it anew
#   scribe_pid [FILE]    of the server that runs, with FILE open (server.audit)
#   verify ARGUMENT...   consign-pki audit verify
#   bad [--with FILE...] [OPTION...]   log, after the files, is bad: exit status 65, with the output in out
#   bad_file FILE        the same of FILE alone
#   forge FILE N [HOW]   FILE with line N changed, and all from there on chained anew (audit.py)
#   manual_example       the program in consignd(8) that checks a log

audit_key() {
	consign-pki issue client "CN=$1 statements,O=Site" --token "$1" --key-pin "$SOFTHSM_PIN_FILE" --label "$1-sign" \
		--out "${2:-sign.pem}" >sign.issued && conf "$1.conf" server sign-key "$(key_of_ sign.issued)" &&
		conf "$1.conf" server sign-cert "${2:-sign.pem}"
}

puts() {
	mkdir -p "many-$1" && for i_ in $(seq "$2"); do echo "$1 $i_" >"many-$1/$i_" || return 1; done &&
		consign -q put -r "many-$1" "alice:/many-$1"
}

rotate_log() {
	mv server.audit "$1" && kill -HUP "$SERVER_PID" && soon "grep '\"event\":\"head\"' server.audit"
}

scribe_pid() {
	file_=${1:-server.audit}
	pgrep -P "$SERVER_PID" | while read -r pid_; do
		for fd_ in "/proc/$pid_/fd"/*; do
			case $(readlink "$fd_") in */"$file_") echo "$pid_" ;; esac
		done
	done | sort -u
}

verify() {
	consign-pki audit verify "$@"
}

bad() {
	set -- "$@" end_
	with_=
	options_=
	while test "$1" != end_; do
		case $1 in
		--with) with_="$with_ $2" && shift ;;
		*) options_="$options_ $1" ;;
		esac
		shift
	done
	case $options_ in *--cert*) ;; *) options_="$options_ --cert sign.pem" ;; esac
	# shellcheck disable=SC2086
	verify $options_ $with_ log >out
	code_=$?
	cat out
	test $code_ -eq 65
}

bad_file() {
	verify --cert sign.pem "$1" >out
	code_=$?
	cat out
	test $code_ -eq 65
}

forge() {
	python3 "$SOURCE/t/audit.py" "$@"
}

manual_example() {
	sed -n '/^import base64/,/^\.Ed/p' "$SOURCE/contrib/man/consignd.8" | sed '$d; s/\\e/\\/g; s/\\&//g'
}
