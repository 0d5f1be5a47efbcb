#!/bin/sh
# SPDX-License-Identifier: ISC
# One file, one connection, both ends on this machine, everything in memory: consign beside scp with its fastest
# cipher, in turn, medians and ratios of the same run. consign hashes on both sides and syncs; scp does neither.
#
#   t/perf/scp.sh [BYTES] [ROUNDS]      default 2 GiB, 5 rounds (and one that is not counted)
#
# Needs consign's programs in build/, ssh, sshd and about 5 times BYTES free in /dev/shm. A virtual machine gives memory that
# lies free for a few seconds back to its host, and the next use of it is several times slower: so as much as each command
# needs is written and freed right before it.
set -eu
BYTES=${1:-2147483648}
ROUNDS=${2:-5}
cd "$(dirname "$0")/../.."
BIN=$(pwd -P)/build
umask 077
DIR=$(mktemp -d /dev/shm/consign-perf.XXXXXX)
SERVER=
SSHD=
trap 'test -z "$SERVER" || kill "$SERVER"; test -z "$SSHD" || kill "$SSHD"; rm -rf "$DIR"' EXIT
trap 'exit 130' INT TERM
cd "$DIR"

# A site with file keys: the token takes part in the handshake only.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
	-subj /CN=ca -days 2 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
leaf() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" \
		-subj "/CN=$1" 2>/dev/null
	printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=DNS:%s\n' \
		"$2" localhost >ext
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ext \
		-out "$1.pem" 2>/dev/null
}
leaf server serverAuth
leaf user clientAuth
mkdir root
account=
if test "$(id -u)" -eq 0; then
	account="account = nobody"
	chown nobody root
	chmod 711 .
fi
cat >consignd.conf <<EOF
[server]
listen = 127.0.0.1:0
certificate = server.pem
key = server.key
map = map
audit = audit.log
[anchor perf]
ca = ca.pem
crl-policy = if-present
EOF
printf '[user]\nanchor = perf\nsubject = CN=user\nroot = %s/root\nrights = all\n%s\n' "$DIR" "$account" >map
mkfifo ready
"$BIN/consignd" --quiet --config consignd.conf --ready-fd 3 3>ready &
SERVER=$!
PORT=$(timeout 10 head -n 1 ready)
PORT=${PORT##*:}
cat >consign.conf <<EOF
[perf]
host = localhost
port = $PORT
ca = ca.pem
certificate = user.pem
key = user.key
EOF

ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f login
SSHPORT=$((PORT > 60000 ? PORT - 1000 : PORT + 1))
cat >sshd.conf <<EOF
Port $SSHPORT
ListenAddress 127.0.0.1
HostKey $DIR/host
AuthorizedKeysFile $DIR/login.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
EOF
mkdir -p /run/sshd
/usr/sbin/sshd -D -f "$DIR/sshd.conf" 2>sshd.log &
SSHD=$!
SCP="scp -q -c aes128-gcm@openssh.com -i $DIR/login -P $SSHPORT -o BatchMode=yes \
	-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"

echo "# $(nproc) processors, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(date +%F)"
echo "# $BYTES bytes, $ROUNDS rounds"
head -c "$BYTES" /dev/urandom >file

# Adds the seconds that a command took to the file $1.
timed() {
	head -c "$BYTES" /dev/zero >warm
	rm warm
	/usr/bin/perl -MTime::HiRes=time -e '
		my $out = shift; my $t = time; my $pid = fork // die;
		if (!$pid) { open STDOUT, ">", "/dev/null"; exec @ARGV or die }
		waitpid $pid, 0; my $s = $?; $t = time - $t;
		open my $f, ">>", $out; printf $f "%.3f\n", $t; exit($s ? 1 : 0)' "$@"
}
# The largest resident set of any session or store so far, in KiB.
server_peak() {
	for p in $(pgrep -P "$SERVER"); do
		sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$p/status" 2>/dev/null
	done
}
median() {
	sort -n "$1" | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2, v[1], v[NR]}'
}

round=0
while test $round -le "$ROUNDS"; do
	test $round -ne 1 || rm -f put get up down # the first round is not counted
	rm -f root/file back
	timed put "$BIN/consign" -q -c consign.conf put file perf:/file
	timed get "$BIN/consign" -q -c consign.conf get perf:/file back
	cmp file back
	rm -f back
	# shellcheck disable=SC2086
	timed up $SCP file "127.0.0.1:$DIR/copy"
	rm -f copy
	# shellcheck disable=SC2086
	timed down $SCP "127.0.0.1:$DIR/file" copy
	rm -f copy
	round=$((round + 1))
done

"$BIN/consign" -q -c consign.conf get perf:/file back &
CLIENT=$!
peak=0 client=0
while kill -0 $CLIENT 2>/dev/null; do
	for kib in $(server_peak); do test "$kib" -le "$peak" || peak=$kib; done
	kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$CLIENT/status 2>/dev/null || :)
	test "${kib:-0}" -le $client || client=$kib
done
wait $CLIENT

printf '%-22s %8s %18s\n' "" "MiB/s" "seconds (min-max)"
for what in put get up down; do
	# shellcheck disable=SC2046
	set -- $(median $what)
	case $what in put | get) name="consign $what" ;; *) name="scp $what (aes128-gcm)" ;; esac
	eval "$what=$1"
	printf '%-22s %8.0f %8.2f (%.2f-%.2f)\n' "$name" "$(echo "$BYTES / 1048576 / $1" | awk '{print $1 / $3 / $5}')" "$1" "$2" "$3"
done
# shellcheck disable=SC2154
awk -v p="$put" -v g="$get" -v u="$up" -v d="$down" \
	'BEGIN {printf "ratio to scp: upload %.2f, download %.2f\n", u / p, d / g}'
echo "peak resident memory: client $((client / 1024)) MiB, largest process of the server $((peak / 1024)) MiB"
