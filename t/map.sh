# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# Who a certificate is by the map: asked of the server and of --explain, which must agree. Sourced after ca.sh.
#
#   twist NAME FROM TO  signs NAME.pem once more by $CA (other), with the bytes FROM in it replaced by as many others (hex)
#   is NAME USER        the certificate NAME.pem is let in as USER
#   is_nobody NAME WHY  it is refused: the client is told no more than that there is no rule, with the session under which the
#                       audit log has one record, with the reason; --explain says why (a regular expression)
#   explained STATUS CERT OP PATH [OPTION...]  --explain ends so; what it said is in "explained"
#   reload              loads what changed; fails unless it was taken
#   reload_fails WHY    it was not, for that reason

twist() {
	python3 "$SOURCE/t/twist.py" "$1.pem" "${CA:-other}.key" "$2" "$3" >"$1.new" && mv "$1.new" "$1.pem"
}

explained() {
	wanted_=$1 && shift
	within 20 consignd --config server.conf --explain "$@" >explained 2>&1
	code_=$?
	test $code_ -eq "$wanted_" && return
	echo "status $code_"; cat explained
	return 1
}

is() {
	explained 0 "$1.pem" list / ${FROM:+--from "$FROM"} && grep "^user: $2 (" explained && profile "$1" &&
		within 30 consign whoami "$1:" >"$1.out" 2>"$1.err" && grep "user $2 " "$1.out" && return
	cat "$1.err" explained
	return 1
}

is_nobody() {
	explained 77 "$1.pem" list / && grep "^user: none: refused" explained && profile "$1" || return 1
	before_=$(wc -l <server.audit)
	within 30 consign whoami "$1:" >"$1.out" 2>"$1.err"
	code_=$?
	tail -n "+$((before_ + 1))" server.audit >"$1.audit"
	session_=$(sed -n 's/.*refused us: no rule of the map is for this certificate (session \([0-9a-f-]*\))$/\1/p' "$1.err")
	test $code_ -eq 77 && test -n "$session_" && test "$(wc -l <"$1.audit")" -eq 1 &&
		grep "\"session\":\"$session_\".*\"event\":\"refused\",\"status\":\"AUTH\".*\"reason\":\"no rule of the map is for " "$1.audit" &&
		json_lines "$1.audit" && grep -E "no match: .*($2)" explained && return
	echo "status $code_"; cat "$1.err" "$1.audit" explained
	return 1
}

reloaded_() {
	count_=$(grep -c '"event":"reload"' server.audit || :) && kill -HUP "$SERVER_PID" &&
		soon "test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_" && grep '"event":"reload"' server.audit | tail -n 1 >reloaded
}

reload() {
	reloaded_ && grep '"status":"OK"' reloaded || { cat reloaded; return 1; }
}

reload_fails() {
	reloaded_ && grep "\"status\":\"CONFIG\".*$1" reloaded || { cat reloaded; return 1; }
}
