#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consignd --doctor and consign doctor: each check, good and bad'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/xfer.sh"

# AddressSanitizer has to be loaded before anything else, and so has faketime.
ldd "$BUILD/consignd" | grep -q asan || test_set_prereq FAKETIME

# server_doctor STATUS [FAKETIME]: its output in out
server_doctor() {
	want_=$1 && shift &&
		test_expect_code "$want_" ${1:+faketime -f "$1"} consignd --config server.conf --doctor >out 2>err || { cat out err; return 1; }
}

# doctor STATUS ARGUMENT...: the client's
doctor() {
	want_=$1 && shift && test_expect_code "$want_" consign doctor "$@" >out 2>err || { cat out err; return 1; }
}

# says VERDICT CHECK TEXT, and what to do about it unless it is good
says() {
	grep -A1 "^$1  *$2  .*$3" out >said || { echo "no: $1 $2 $3" && cat out && return 1; }
	test "$1" = ok || grep "^  *fix  " said
}

good() {
	cp good.conf server.conf && cp good.map map && cp good.client "$CLIENT_CONF"
}

test_expect_success 'a good server: every check is made, and nothing is left behind' '
	site_setup && cp server.conf good.conf && cp map good.map && cp "$CLIENT_CONF" good.client &&
	find files softhsm -type f | sort >before && server_doctor 0 && cat out &&
	for check in config server anchor crl map audit root space fsync address certificate dates purpose names clock \
		fips policy module token pin mechanisms signatures sessions reconnect; do
		grep "^[a-z]*  *$check " out || return 1
	done &&
	! grep ^fail out && says ok root "alice / (.*files/alice): the account has it" && says ok pin "the token takes it" &&
	says ok reconnect "logs in again" && find files softhsm -type f | sort >after && test_cmp before after
'

test_expect_success 'as JSON, an object a line' '
	consignd --config server.conf --doctor --json >out && json_lines out &&
	grep "{\"event\":\"check\",\"check\":\"pin\",\"verdict\":\"ok\",\"text\":" out &&
	tail -n 1 out | grep "{\"event\":\"checkup\",\"ok\":[0-9]*,\"warn\":[0-9]*,\"fail\":0}" &&
	consignd --config server.conf --doctor --quiet >out && ! grep "^ok" out
'

test_expect_success 'a wrong PIN: tried once, and the right one still goes' '
	conf server.conf server pin wrong-pin && server_doctor 78 && says fail pin "refused the PIN" &&
	test "$(grep -c "^fail" out)" = 1 && ! grep -E "^[a-z]+ +(signatures|reconnect|sessions) " out &&
	good && server_doctor 0 && says warn pin "was given a wrong PIN since" && server_doctor 0 && ! grep "^warn  pin" out
'

test_expect_success 'module, key and certificate that do not fit' '
	conf server.conf server module /nowhere.so && server_doctor 78 && says fail module "/nowhere.so" && good &&
	conf server.conf server key "pkcs11:token=server;object=gone;type=private" && server_doctor 78 &&
	says fail key "no such token or object" && good &&
	conf server.conf server certificate alice.pem && server_doctor 78 &&
	says fail key "does not belong to the certificate" && says fail purpose "not for servers" && good &&
	conf server.conf server key "pkcs11:token=gone;object=x;type=private" && server_doctor 78 && says fail token gone && good
'

test_expect_success 'a key in a file is to be looked at' '
	consign-pki issue server 127.0.0.1 --file-key --pin pin --out filed.pem >/dev/null &&
	conf server.conf server certificate filed.pem && conf server.conf server key 127.0.0.1.key &&
	server_doctor 0 && says warn key "a key in a file" && chmod 644 127.0.0.1.key && server_doctor 78 &&
	says fail key "others may read it" && good
'

test_expect_success FAKETIME 'dates: an expired certificate, a clock that is behind, a list that ran out or soon will' '
	server_doctor 78 "+400d" && says fail dates "expired on" && says fail crl "ran out on" &&
	server_doctor 78 "-20d" && says fail dates "not valid before" && says fail clock "was made on" &&
	server_doctor 0 "+25d" && says warn crl "hours only" &&
	server_doctor 78 "+340d" && says warn dates "valid until"
'

test_expect_success 'names: the address it listens at, the name that a client asks for' '
	conf server.conf server listen 127.0.0.2:0 && server_doctor 0 && says warn names "not for the name 127.0.0.2" &&
	conf server.conf server listen "*:0" && server_doctor 0 && says warn names "not for the name" && says ok address "IPv4 can be reached" &&
	conf server.conf server listen 192.0.2.99:0 && server_doctor 78 && says fail address 192.0.2.99 && good
'

test_expect_success 'anchors, lists, map, audit log' '
	conf server.conf "anchor site" ca missing.pem && server_doctor 78 && says fail anchor missing.pem && good &&
	conf server.conf "anchor site" crl missing.pem && server_doctor 78 && says fail crl missing.pem && good &&
	conf server.conf "anchor site" crl-policy if-present && conf server.conf "anchor site" crl "" && server_doctor 0 &&
	says warn crl "there is no revocation list" && good &&
	conf map alice subject "" && server_doctor 78 && says fail map "map:" && good &&
	: >map && server_doctor 0 && says warn map "no rule" && good &&
	conf server.conf server audit nowhere/audit && server_doctor 78 && says fail audit nowhere && good &&
	conf server.conf server listen nonsense && server_doctor 78 && says fail config "listen" && good
'

test_expect_success 'roots: missing, not the account'"'"'s, not to be written' '
	conf map alice root "$TRASH/files/none" && server_doctor 78 && says fail root "can.t be opened by the account: No such file" && good &&
	chmod 500 files/alice && server_doctor 78 && says fail root "can.t be written by the account" && chmod 755 files/alice &&
	chmod 300 files/alice && server_doctor 78 && says fail root "can.t be opened by the account: Permission denied" && chmod 755 files/alice &&
	if test -n "$ACCOUNT"; then
		chown root: files/alice && server_doctor 78 && says fail root "does not belong to the account" && chown "$ACCOUNT:" files/alice
	fi
'

test_expect_success 'space and inodes' '
	if unshare -m mount -t tmpfs -o size=64k,nr_inodes=8 none files/alice 2>/dev/null; then
		cat >in-mount <<-\EOT &&
			mount -t tmpfs -o size=64k,nr_inodes=8 none files/alice && chown "${ACCOUNT:-root}:" files/alice &&
			{ cat /dev/zero >files/alice/full 2>/dev/null || :; } &&
			consignd --config server.conf --doctor >out
		EOT
		test_expect_code 78 unshare -m sh in-mount && says fail space "0 B and"
	fi
'

# One folder under both names, as where case is folded.
test_expect_success 'a root that does not tell upper from lower case' '
	if unshare -m mount -t tmpfs none files/alice 2>/dev/null; then
		cat >in-mount <<-\EOT &&
			mkdir files/alice/.consign files/alice/.CONSIGN && mount --bind files/alice/.consign files/alice/.CONSIGN &&
			chown "${ACCOUNT:-root}:" files/alice/.consign && consignd --config server.conf --doctor >out
		EOT
		test_expect_code 78 unshare -m sh in-mount && says fail root "does not tell upper from lower case" &&
		rmdir files/alice/.consign files/alice/.CONSIGN
	fi
'

test_expect_success 'beside a server that runs: it is said, and it goes on' '
	start_server && server_doctor 0 && says ok server "one runs, and its keeper has the token" &&
	says ok sessions "not counted" && says ok address "the server has it" && consign whoami alice:
'

test_expect_success 'a good client, here and with its server' '
	cp "$CLIENT_CONF" good.client && doctor 0 && says ok profile "\[alice\]" && says ok profile "\[bob\]" && says ok pin "takes it" &&
	! grep "^ok  *server " out && doctor 0 alice: && cat out && says ok address "IPv4 127.0.0.1 port" &&
	says ok server "takes us for alice: /: list read" && says ok session "group X25519" && says ok chain "verifies under anchor" &&
	consign --json doctor alice: >out && json_lines out && tail -n 1 out | grep "\"fail\":0"
'

test_expect_success 'a wrong PIN is tried once, at no other profile and not at the server' '
	conf "$CLIENT_CONF" alice pin wrong-pin && conf "$CLIENT_CONF" alice pin "$PWD/wrong-pin" &&
	doctor 78 alice: && says fail pin "refused the PIN" && says warn server "not asked" &&
	doctor 78 && says warn pin "\[bob\] is not looked at" && cp good.client "$CLIENT_CONF" && doctor 0 alice:
'

test_expect_success 'a server that can not be reached, has another name, or refuses' '
	{ ! getent hosts localhost || { conf "$CLIENT_CONF" alice host localhost && doctor 0 alice: && says ok address "IPv4"; }; } &&
	cp good.client "$CLIENT_CONF" &&
	conf "$CLIENT_CONF" alice port 1 && doctor 78 alice: && says fail address "Connection refused" && cp good.client "$CLIENT_CONF" &&
	conf "$CLIENT_CONF" alice host no-such-host.invalid && doctor 78 alice: && says fail address "no-such-host" && cp good.client "$CLIENT_CONF" &&
	conf "$CLIENT_CONF" alice server-name other.example && doctor 78 alice: && says fail server "not for the name other.example" &&
	cp good.client "$CLIENT_CONF" && conf "$CLIENT_CONF" bob groups P-521 && doctor 78 bob: && says fail server "handshake" &&
	cp good.client "$CLIENT_CONF" && conf map bob subject CN=nobody && kill -HUP "$SERVER_PID" &&
	soon "consign whoami bob: 2>&1 | grep \"no rule\"" && doctor 78 bob: && says fail server "no rule of the map" && good &&
	doctor 78 nobody: && says fail profile "no profile" && test_expect_code 64 consign doctor alice: bob:
'

test_expect_success 'what is not approved is told' '
	conf "$CLIENT_CONF" alice fips report && cp good.client c && conf "$CLIENT_CONF" alice port "$PORT" && doctor 0 alice: &&
	says warn fips "not approved: group X25519" && conf "$CLIENT_CONF" alice fips require && doctor 0 alice: &&
	says warn fips "not in FIPS mode"
'

test_done
