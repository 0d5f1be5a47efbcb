# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts that attack a server by t/attack. Sourced after lib.sh and xfer.sh.
#
#   attack_site            a site whose users have keys in files, and a folder "canary" of a stranger's, who lets all in
#   attack PROGRAM ARG...  t/attack/PROGRAM as alice, at $PORT; what was not held is printed
#   as_bob                 his certificate and key, as arguments
#   nothing_died           no process of the server was ended but in order; the audit log is one line of JSON after the other
#   canary_untouched
#   serves                 an honest client is served

PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

attack_site() {
	site_setup && file_key alice && file_key bob && mkdir -m 777 canary && echo "a stranger's" >canary/secret &&
		echo x >canary/only-outside && chmod 666 canary/secret canary/only-outside && find canary -printf "%p %s %T@ %C@\n" | sort >canary.list
}

attack() {
	program_=$1 && shift
	within 300 python3 "$SOURCE/t/attack/$program_" "$PORT" alice-file.pem "$(key_of_ alice.issued)" "$@"
}

as_bob() {
	echo "bob-file.pem $(key_of_ bob.issued)"
}

nothing_died() {
	json_lines server.audit && ! grep '"event":"killed"' server.audit >&2 && no_report_ server &&
		! grep -E "was killed|died|dumped core|INTERNAL|internal error" server.log >&2
}

canary_untouched() {
	find canary -printf "%p %s %T@ %C@\n" | sort >canary.now && test_cmp canary.list canary.now
}

serves() {
	within 30 consign -q ping alice: && within 30 consign -q ping bob:
}
