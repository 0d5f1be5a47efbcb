# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts about resumed sessions: a peer that is not ours. Sourced after lib.sh and xfer.sh.
#
#   peer USER [lie=FIELD] OPTION...  openssl's client with USER-file.pem and its key (file_key), and these options (-sess_out
#                        FILE, -sess_in FILE); what it says and hears is in peer.out. It proves that it has the key where it has to,
#                        by a proof with that FIELD wrong where so told (peer.py)
#   was full|resumed     how its handshake was
#   told TEXT            the server's verdict was WELCOME, or REFUSED, with that text
#   hmac_key TOKEN LABEL a key for HMAC in that token, which can't be read out; prints its URL
#   reload               has the server read all anew, and waits for it

peer() {
	user_=$1 lie_= && shift
	case $1 in lie=*) lie_=$1 && shift ;; esac
	within 20 python3 "$SOURCE/t/peer.py" "$(key_of_ "$user_.issued")" ${lie_:+"$lie_"} openssl s_client \
		-connect "127.0.0.1:$PORT" -alpn consign/1 -tls1_3 -ign_eof -keymatexport EXPORTER-consign-resumed -keymatexportlen 32 \
		-CAfile ca/ca.pem -cert "$user_-file.pem" -key "$(key_of_ "$user_.issued")" "$@" >peer.out 2>peer.err || :
	grep -a -v '^    [0-9a-f]* - ' peer.out | tr -c '[:print:]\n' . | tail -n 30 >&2
}

was() {
	case $1 in
	full) grep -a '^New, TLSv1.3' peer.out ;;
	resumed) grep -a '^Reused, TLSv1.3' peer.out ;;
	esac
}

told() {
	grep -a "$1" peer.out
}

hmac_key() {
	pkcs11-tool --module "$SOFTHSM_MODULE" --token-label "$1" --login --pin 2468 --keygen --key-type GENERIC:64 --label "$2" \
		--sensitive --usage-sign >/dev/null && echo "pkcs11:token=$1;object=$2;type=secret-key"
}

reload() {
	count_=$(grep -c '"event":"reload"' server.audit || :) && kill -HUP "$SERVER_PID" &&
		within 20 sh -c "until test \$(grep -c '\"event\":\"reload\"' server.audit) -gt $count_; do sleep 0.05; done"
}
