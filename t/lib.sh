# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# What every test script begins with, after setting test_description: . "$(dirname "$0")/lib.sh"
#
# A thin layer over sharness, which gives test_expect_success, test_cmp, test_must_fail,
# test_expect_code, test_when_finished and test_done. Here:
#
#   site_setup                  CA, server and users alice and bob, keys in a token
#   file_key USER               a new certificate for USER, with its key in a file: where no token is the subject, as
#                               a login to one takes long on a busy machine
#   start_server [NAME]         starts consignd with NAME.conf (default: server), waits until it is ready
#   stop_server [NAME]          ends it in an orderly way: fails when it didn't end well
#   kill_server [NAME]          ends it with SIGKILL
#   restart_server [NAME]       stop_server, start_server
#   conf FILE SECTION KEY VALUE sets one value of an INI file; an empty VALUE removes the key
#   within SECONDS COMMAND...   runs COMMAND with a time limit
#   leaks_are_theirs            with a sanitizer, memory that is never freed is not counted from here on: for tokens whose
#                               module loses some, which can't be told from ours once it was unloaded
#   random_file FILE BYTES      a file of that length that doesn't compress, the same at each run
#   same_file A B               compares without printing what differs
#   field PATH                  what stands there in the JSON object of out.json: "scrub.run", "sessions.0.user"; "-" when
#                               nothing does

cd "$(dirname "$0")/.." || exit 1
SOURCE=$(pwd -P)
case ${BUILD:=build} in /*) ;; *) BUILD=$SOURCE/$BUILD ;; esac
export SOURCE BUILD

SHARNESS_TEST_DIRECTORY=$BUILD/t
SHARNESS_TEST_SRCDIR=$SOURCE/t
SHARNESS_BUILD_DIRECTORY=$BUILD
SHELL_PATH=/bin/sh
root=$BUILD/t/trash
umask 022
mkdir -p "$BUILD/t/trash" || exit 1
chain_lint=t
# shellcheck source=/dev/null
. /usr/share/sharness/sharness.sh

# The trash folder of sharness has a blank in its name; and the accounts that stores run as must be
# able to reach the users' folders, which a checkout may be too private for.
rmdir "$SHARNESS_TRASH_DIRECTORY"
TRASH=$BUILD/t/trash/$this_test
if test "$(id -u)" -eq 0; then
	ACCOUNT=nobody
	setpriv --reuid=nobody --clear-groups test -x "$BUILD/t/trash" ||
		TRASH=${TMPDIR:-/tmp}/consign-t/$this_test
else
	ACCOUNT=
fi
rm -rf "$TRASH" && mkdir -p "$TRASH" && cd -P "$TRASH" || exit 1
SHARNESS_TRASH_DIRECTORY=$TRASH
HOME=$TRASH
TMPDIR=$TRASH/tmp
mkdir "$TMPDIR" && chmod 1777 "$TMPDIR" || exit 1
test -z "$remove_trash" || remove_trash=$TRASH
export TRASH ACCOUNT HOME TMPDIR
unset XDG_CONFIG_HOME CREDENTIALS_DIRECTORY
CLIENT_CONF=$HOME/.config/consign/consign.conf

# Names of those that run; and the pids of whatever else is to be ended with the script.
SERVERS=
PROCESSES=

# After the last test: what still runs must end well, too.
stop_all_() {
	for left_ in $SERVERS; do
		if ! stop_server "$left_"; then
			echo "# $left_ did not end well:" && tail -n 40 "$left_.log" | sed 's/^/# /'
			exit 1
		fi >&5 2>&5
	done
}
cleanup stop_all_

# However the script ends, nothing is left running; the logs are shown when a test failed.
at_exit_() {
	if test "$test_failure" -ne 0 || test -z "$EXIT_OK"; then
		tail -n 40 "$TRASH"/*.log 2>/dev/null | sed 's/^/# /' >&2
	fi
	for left_ in $SERVERS; do
		test -s "$TRASH/$left_.status" || kill -KILL "$(cat "$TRASH/$left_.pid")" 2>/dev/null
	done
	for left_ in $PROCESSES; do
		kill -KILL "$left_" 2>/dev/null
	done
}
trap 'code_=$?; at_exit_; (exit $code_); die' EXIT
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM HUP

# What a script can't do without is missing: all of it is skipped, but for continuous integration, where
# everything was installed and a skip would hide tests.
lacking() {
	test -z "$CI" || error "$1"
	skip_all=$1
	test_done
}

leaks_are_theirs() {
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	export ASAN_OPTIONS
}

field() {
	perl -MJSON::PP -0777 -e '
		my $o = decode_json(<STDIN>);
		for (split /\./, shift) { $o = ref $o eq "ARRAY" ? $o->[$_] : $o->{$_} }
		print defined $o ? $o : "-", "\n";
	' "$1" <out.json
}

within() {
	timeout --kill-after=2 "$@"
}

# The server runs below a subshell that keeps its exit status; its own pid is in NAME.pid.
start_server() {
	name_=${1:-server}
	rm -f "$name_.ready" "$name_.status" && mkfifo "$name_.ready" || return 1
	(
		# shellcheck disable=SC2016
		sh -c 'echo $$ >"$1.pid" && exec consignd --config "$1.conf" --ready-fd 3' sh "$name_" \
			3>"$name_.ready" </dev/null >>"$name_.log" 2>&1
		echo $? >"$name_.status"
	) 4>&- 5>&- 6>&- &
	eval "WRAPPER_$name_=$!"
	case " $SERVERS " in *" $name_ "*) ;; *) SERVERS="$SERVERS $name_" ;; esac
	line_=$(timeout 15 head -n 1 "$name_.ready")
	rm -f "$name_.ready"
	case $line_ in
	"ready "*:*) ;;
	*)
		echo "consignd is not ready: '$line_'; its log ends with:" >&2
		tail -n 5 "$name_.log" >&2
		kill -KILL "$(cat "$name_.pid")" 2>/dev/null
		reap_ "$name_" "$(cat "$name_.pid")"
		return 1
		;;
	esac
	SERVER_PID=$(cat "$name_.pid")
	PORT=${line_##*:}
	export PORT
	if test "$name_" = server && test -e "$CLIENT_CONF"; then
		for user_ in alice bob; do
			conf "$CLIENT_CONF" $user_ port "$PORT" || return 1
		done
	fi
}

# A status of 0 and a log without a sanitizer's report are what an orderly end means.
stop_server() {
	name_=${1:-server}
	pid_=$(cat "$name_.pid") || return 1
	kill -TERM "$pid_" || return 1
	reap_ "$name_" "$pid_" && status_is_ "$name_" 0 && no_report_ "$name_"
}

kill_server() {
	name_=${1:-server}
	pid_=$(cat "$name_.pid") || return 1
	kill -KILL "$pid_" && reap_ "$name_" "$pid_" && status_is_ "$name_" 137 && no_report_ "$name_"
}

restart_server() {
	stop_server "$@" && start_server "$@"
}

reap_() {
	if ! timeout 30 tail -s 0.02 --pid="$2" -f /dev/null; then
		echo "$1 did not end in 30 s" >&2
		kill -KILL "$2"
	fi
	eval "wait \$WRAPPER_$1"
	SERVERS=$(echo " $SERVERS " | sed "s/ $1 / /")
}

status_is_() {
	test "$(cat "$1.status")" = "$2" && return
	echo "$1 ended with status $(cat "$1.status"), not $2" >&2
	return 1
}

no_report_() {
	! grep -E 'Sanitizer|runtime error:' "$1.log" >&2
}

conf() {
	test -e "$1" || : >"$1" || return 1
	awk -v section="$2" -v key="$3" -v value="$4" '
		function put() { if (inside && !done && value != "") print key " = " value; done = done || inside }
		function name(line) { sub(/^[ \t]*/, "", line); sub(/[ \t]*=.*/, "", line); return line }
		/^\[/ { put(); inside = ($0 == "[" section "]") }
		inside && /=/ && !/^[#;]/ && name($0) == key { put(); next }
		{ print }
		END { put(); if (!done && value != "") print "[" section "]\n" key " = " value }
	' "$1" >"$1.new" && mv "$1.new" "$1"
}

# A token, a CA with its key in it, a certificate for the server and one for each user; alice may do
# everything in files/alice, bob in files/bob.
site_setup() {
	# shellcheck source=t/softhsm.sh
	. "$SOURCE/t/softhsm.sh" && softhsm_setup &&
		consign-pki init --dir ca --name site --token site --pin "$SOFTHSM_PIN_FILE" \
			--so-pin "$SOFTHSM_SO_PIN_FILE" >/dev/null &&
		site_server server && mkdir -p "$(dirname "$CLIENT_CONF")" files &&
		site_user alice && site_user bob
}

# site_server NAME: NAME.conf and what it needs.
site_server() {
	softhsm_token "$1" &&
		consign-pki issue server localhost 127.0.0.1 --token "$1" --key-pin "$SOFTHSM_PIN_FILE" \
			--label "$1" --out "$1.pem" >"$1.issued" &&
		conf "$1.conf" server listen 127.0.0.1:0 &&
		conf "$1.conf" server certificate "$1.pem" &&
		conf "$1.conf" server key "$(key_of_ "$1.issued")" &&
		conf "$1.conf" server module "$SOFTHSM_MODULE" &&
		conf "$1.conf" server pin "$SOFTHSM_PIN_FILE" &&
		conf "$1.conf" server map map &&
		conf "$1.conf" server audit "$1.audit" &&
		conf "$1.conf" limits drain 10s &&
		conf "$1.conf" "anchor site" ca ca/ca.pem &&
		conf "$1.conf" "anchor site" crl ca/crl.pem
}

# site_user NAME: certificate, rule of the map, folder files/NAME, profile [NAME].
site_user() {
	softhsm_token "$1" &&
		consign-pki issue client "CN=$1,O=Site" --token "$1" --key-pin "$SOFTHSM_PIN_FILE" \
			--label "$1" --out "$1.pem" >"$1.issued" &&
		mkdir "files/$1" && { test -z "$ACCOUNT" || chown "$ACCOUNT:" "files/$1"; } &&
		conf map "$1" anchor site &&
		conf map "$1" subject "CN=$1,O=Site" &&
		conf map "$1" root "$TRASH/files/$1" &&
		conf map "$1" rights "list read create overwrite delete rename mkdir" &&
		conf map "$1" account "$ACCOUNT" &&
		conf "$CLIENT_CONF" "$1" host 127.0.0.1 &&
		conf "$CLIENT_CONF" "$1" ca "$TRASH/ca/ca.pem" &&
		conf "$CLIENT_CONF" "$1" crl "$TRASH/ca/crl.pem" &&
		conf "$CLIENT_CONF" "$1" certificate "$TRASH/$1.pem" &&
		conf "$CLIENT_CONF" "$1" key "$(key_of_ "$1.issued")" &&
		conf "$CLIENT_CONF" "$1" module "$SOFTHSM_MODULE" &&
		conf "$CLIENT_CONF" "$1" pin "$SOFTHSM_PIN_FILE"
}

file_key() {
	consign-pki issue client "CN=$1,O=Site" --file-key --pin "$SOFTHSM_PIN_FILE" --out "$1-file.pem" >"$1.issued" &&
		conf "$CLIENT_CONF" "$1" certificate "$TRASH/$1-file.pem" &&
		conf "$CLIENT_CONF" "$1" key "$(key_of_ "$1.issued")"
}

key_of_() {
	sed -n 's/^key  *\([p/].*\)/\1/p' "$1" | head -n 1
}

random_file() {
	head -c "$2" /dev/zero | openssl enc -aes-128-ctr -nosalt -pbkdf2 -pass "pass:$1" >"$1"
}

same_file() {
	cmp -s "$1" "$2" || { echo "$1 and $2 differ" >&2; return 1; }
}
