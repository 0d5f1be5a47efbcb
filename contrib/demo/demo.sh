#!/bin/sh
# SPDX-License-Identifier: ISC
# What consign is for, for real and in about a minute: keys and a CA in tokens, a server, uploads that are cut and
# resumed, a refused stranger, a revoked certificate. `make demo` runs it; everything lies in build/demo and the server is
# stopped at the end. Any promise that is not kept ends the script with a status other than 0.
set -eu
cd "$(dirname "$0")/../.."
TOP=$(pwd -P)
D=$TOP/build/demo
PATH=$TOP/build:$PATH
SERVER=
umask 077

step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
# Shows a command, then runs it.
run() {
	printf '$ %s\n' "$*"
	"$@"
}
fail() {
	printf 'demo: %s\n' "$*" >&2
	test ! -s "$D/server.log" || tail -n 5 "$D/server.log" >&2
	exit 1
}
# A command that must be refused, with what it must say.
refused() {
	want=$1
	shift
	printf '$ %s\n' "$*"
	status=0
	"$@" >"$D/out" 2>&1 || status=$?
	test $status -ne 0 || fail "this should have been refused"
	test $status -lt 128 || fail "this was not refused, it crashed: status $status"
	sed 's/^/  /' "$D/out"
	grep -q "$want" "$D/out" || fail "refused, but not because of: $want"
}
# The number behind a key in a line of JSON.
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2" | tail -n 1; }
# Waits up to 10 s for a line in a file.
wait_for() {
	timeout 10 sh -c 'until grep -q "$1" "$2" 2>/dev/null; do sleep 0.05; done' sh "$1" "$2" ||
		fail "no line \"$1\" in $2"
}
end() {
	test -z "$SERVER" || kill "$SERVER" 2>/dev/null || :
}
trap end EXIT
trap 'exit 130' INT TERM

for MODULE in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do
	test ! -r "$MODULE" || break
done
test -r "$MODULE" || fail "SoftHSM is not installed (make deps)"
if test -s "$D/pid" && kill -0 "$(cat "$D/pid")" 2>/dev/null; then
	fail "a server of build/demo is running (pid $(cat "$D/pid")): stop it first"
fi
rm -rf "$D"
mkdir -p "$D/tokens" "$D/files/alice" "$D/files/bob" "$D/files/mallory"
cd "$D"

step "Tokens: a CA's and server's, and one for each user. Private keys are made in them and stay there"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$D/tokens" >softhsm2.conf
SOFTHSM2_CONF=$D/softhsm2.conf
export SOFTHSM2_CONF
od -An -N4 -tu4 /dev/urandom | tr -d ' ' >pin
od -An -N4 -tu4 /dev/urandom | tr -d ' ' >so-pin
say "PINs are made at random and lie in build/demo/pin and so-pin, mode 0600"
run consign-pki init --dir ca --name demo --subject "CN=Demo CA,O=Demo" --module "$MODULE" \
	--token site --pin pin --so-pin so-pin
run consign-pki issue server localhost 127.0.0.1 --dir ca --out server.pem >server.issued
cat server.issued
for user in alice bob mallory; do
	run consign-pki token init "$user" --module "$MODULE" --pin pin --so-pin so-pin >/dev/null
	run consign-pki issue client "CN=$user,O=Demo" --dir ca --token "$user" --key-pin pin --out "$user.pem" \
		>"$user.issued"
done
key_of() { sed -n 's/.*\(pkcs11:[^ ]*type=private\).*/\1/p' "$1.issued" | head -n 1; }
say "alice's key as her token describes it:"
GNUTLS_PIN=$(cat pin) p11tool --provider "$MODULE" --login --list-privkeys "pkcs11:token=alice" 2>/dev/null |
	tee flags | sed -n 's/^\s*\(Label\|Flags\): /   \1: /p'
grep -q CKA_NEVER_EXTRACTABLE flags || fail "the key is not marked as never extractable"
say "(consign and consignd refuse keys that can be read out of their token)"
run consign-pki list --dir ca

step "Configuration: who is who (map), what is trusted (anchor and CRL), profiles of the client"
account=
if test "$(id -u)" -eq 0; then
	account="account = nobody"
	chown nobody files/alice files/bob files/mallory
fi
cat >consignd.conf <<EOF
[server]
listen      = 127.0.0.1:0
certificate = server.pem
key         = $(key_of server)
module      = $MODULE
module-env  = SOFTHSM2_CONF=$SOFTHSM2_CONF
pin         = pin
map         = map
audit       = audit.log

[anchor demo]
ca  = ca/ca.pem
crl = ca/crl.pem
EOF
: >map
: >consign.conf
for user in alice bob mallory; do
	cat >>map <<EOF
[$user]
anchor  = demo
subject = CN=$user,O=Demo
root    = $D/files/$user
rights  = all
$account

EOF
	test $user = alice && profile=demo || profile=$user
	cat >>consign.conf <<EOF
[$profile]
host        = localhost
port        = 7411
ca          = ca/ca.pem
crl         = ca/crl.pem
certificate = $user.pem
key         = $(key_of $user)
module      = $MODULE
module-env  = SOFTHSM2_CONF=$SOFTHSM2_CONF
pin         = pin

EOF
done
run consignd --config consignd.conf --check
run consignd --config consignd.conf --explain bob.pem read /report.txt

step "Start consignd on loopback"
mkfifo ready
consignd --config consignd.conf --ready-fd 3 3>ready 2>server.log &
SERVER=$!
echo $SERVER >pid
line=$(timeout 20 head -n 1 ready) || fail "the server did not start"
rm -f ready
say "$line; pid $SERVER"
sed -i "s/^port .*/port        = ${line##*:}/" consign.conf
say "its processes (keeper: judges what is signed, its child signs with the token; sessions and stores come with connections):"
helpers=$(pgrep -P $SERVER | tr '\n' ' ')
pgrep -P $SERVER | while read -r p; do say "  $p $(tr '\0' ' ' <"/proc/$p/cmdline")"; done
C="consign --config consign.conf"
run $C whoami demo:

MIB=512
test "$(df -Pk . | awk 'NR == 2 {print int($4 / 1024)}')" -gt 4096 || MIB=128
step "Upload $MIB MiB, kill the client half way, resume"
head -c ${MIB}M /dev/urandom >data.bin
mkfifo progress
for try in 1 2 3; do
	printf '$ %s\n' "$C --json put --rate 100M data.bin demo:/data.bin      # and kill -9 at the half"
	$C --json put --rate 100M data.bin demo:/data.bin >progress &
	CLIENT=$!
	while read -r line; do
		echo "$line" >last
		part=$(number "done" last)
		if test $((${part:-0} * 100 / (MIB * 1048576))) -ge 50; then
			kill -9 $CLIENT 2>/dev/null || :
			break
		fi
	done <progress
	wait $CLIENT 2>/dev/null || :
	if ! $C stat demo:/data.bin >/dev/null 2>&1; then break; fi
	say "(it was done before it could be killed: once more)"
	$C rm demo:/data.bin
	test $try -lt 3 || fail "the upload could not be cut"
done
say "killed at $((part * 100 / (MIB * 1048576))) %. Nothing is visible under the name; the part is kept:"
refused "No such file" $C stat demo:/data.bin
printf '$ %s\n' "$C ls --pending demo:/"
$C ls --pending demo:/ | tee pending
grep -q "^demo:/data.bin: " pending || fail "the part is not listed"
missing=$((MIB * 1048576 - $(stat -c %s files/alice/.consign/parts/*.data) / 1048576 * 1048576))
printf '$ %s\n' "$C --json put data.bin demo:/data.bin | tail -n 1"
$C --json put data.bin demo:/data.bin | tail -n 1 | tee second
grep -q '"status":"OK"' second || fail "the resumed upload failed"
moved=$(number moved second) kept=$(number kept second) wire=$(number wire second)
say "second leg: $wire bytes on the wire, $moved of content, $kept not sent again"
test $((moved + kept)) -eq $((MIB * 1048576)) || fail "the sum is not the file"
say "$missing were missing; TLS and messages took $((wire - moved))"
test "$moved" -le $((missing + 1048576)) || fail "more was sent than was missing"
test "$wire" -le $((missing + missing / 50 + 2097152)) || fail "more crossed the wire than was missing"

step "Download, kill the server's session half way, resume, compare"
for try in 1 2 3; do
	printf '$ %s\n' "$C --json get --rate 100M demo:/data.bin back.bin      # and kill -9 of the session at the half"
	$C --json get --rate 100M demo:/data.bin back.bin >progress 2>get.err &
	CLIENT=$!
	while read -r line; do
		echo "$line" >last
		part=$(number "done" last)
		if test $((${part:-0} * 100 / (MIB * 1048576))) -ge 50; then
			# Session and store are the children of the server that came with the connection.
			for p in $(pgrep -P $SERVER); do
				echo " $helpers " | grep -q " $p " || kill -9 "$p" 2>/dev/null || :
			done
			break
		fi
	done <progress
	status=0
	wait $CLIENT 2>/dev/null || status=$?
	test $status -ne 75 || break # "connection lost: try again"
	test $status -eq 0 || fail "the cut download ended with status $status, not 75"
	say "(it was done before it could be killed: once more)"
	rm back.bin
	test $try -lt 3 || fail "the download could not be cut"
done
sed 's/^/  /' get.err
printf '$ %s\n' "$C --json get demo:/data.bin back.bin | tail -n 1"
$C --json get demo:/data.bin back.bin | tail -n 1 | tee second
test "$(number kept second)" -gt 0 || fail "nothing was kept"
say "second leg: $(number wire second) bytes on the wire, $(number kept second) not fetched again"
run cmp data.bin back.bin
say "equal"
run $C verify data.bin demo:/data.bin

step "Another user cannot reach alice's files"
run $C ls bob:/
refused "No such file" $C get bob:/data.bin stolen
say "a way out of the root is refused by the client already (and by the server, see t/t8001-interop.t):"
refused "not allowed in a name" $C get bob:/../alice/data.bin stolen
test ! -e stolen || fail "bob has got something"

step "mallory works until the certificate is revoked"
echo "minutes of the meeting" >note
run $C put note mallory:/note
run consign-pki revoke mallory.pem --dir ca
printf '$ %s\n' "kill -HUP $SERVER      # load the new revocation list"
kill -HUP $SERVER
wait_for '"event":"reload","status":"OK"' audit.log
refused "revoked on" $C put note mallory:/note

step "The audit log: one JSON object a line, each request recorded before it was answered"
grep -E '"event":"(login|refused|put|get|reload)"' audit.log | grep -vE '"event":"login".*alice' | cut -c1-330 |
	sed 's/^/  /'

step "Stop the server in an orderly way"
run kill $SERVER
wait $SERVER || fail "consignd ended with status $?"
SERVER=
rm -f pid data.bin back.bin progress last second pending flags out get.err
sed -i 's/^port .*/port        = 7411/' consign.conf

cat <<EOF

== Done: every step above was checked.
Try next:
   make demo-server
and in another terminal, from here ($TOP):
   build/consign --config build/demo/consign.conf put README.md demo:/README.md
   build/consign --config build/demo/consign.conf ls -l demo:/
   man contrib/man/consign.1
EOF
