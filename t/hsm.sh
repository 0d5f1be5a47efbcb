# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# A server whose one key lies in several tokens, each of which can be taken away alone. Sourced after lib.sh
# and xfer.sh.
#
#   hsm_site              site_setup, but the server's key is one made outside, as server.key
#   hsm NAME              a SoftHSM of its own below NAME.hsm, with that key in a token NAME; its module-env
#                         is in $HSM_ENV, the key's URL in $HSM_KEY
#   hsm_main NAME         has the server sign with it
#   hsm_spare NAME        has it as [token NAME]
#   hsm_away NAME, hsm_back NAME
#   status [OPTION]       consignd --status
#   field PATH            what stands there in the status: "keeper.in_use", "keeper.tokens.0.state"; - where nothing does
#   is PATH VALUE         whether it is that
#   signer_of NAME        the pid of its signer
#   token_events NAME     what the audit log has of it: a state a line
#   visit [USER]          a handshake and no more

hsm_site() {
	site_setup && file_key alice &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
			-out server.csr -subj /CN=localhost -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
			2>openssl.err && chmod 600 server.key &&
		consign-pki sign server.csr --server --dir ca --pin "$SOFTHSM_PIN_FILE" --out hsm.pem >sign.out &&
		conf server.conf server certificate hsm.pem
}

hsm() {
	HSM_ENV=SOFTHSM2_CONF=$TRASH/$1.hsm/softhsm2.conf &&
		HSM_KEY="pkcs11:token=$1;object=server;type=private" &&
		mkdir -p "$1.hsm/tokens" &&
		sed "s|^directories.tokendir.*|directories.tokendir = $TRASH/$1.hsm/tokens|" "$SOFTHSM2_CONF" \
			>"$1.hsm/softhsm2.conf" &&
		env "$HSM_ENV" softhsm2-util --init-token --free --label "$1" --pin 2468 --so-pin 13579 >/dev/null &&
		env "$HSM_ENV" softhsm2-util --import server.key --token "$1" --label server --id 01 --pin 2468 >/dev/null
}

hsm_main() {
	hsm "$1" && conf server.conf server key "$HSM_KEY" && conf server.conf server module-env "$HSM_ENV"
}

hsm_spare() {
	hsm "$1" && conf server.conf "token $1" key "$HSM_KEY" && conf server.conf "token $1" module-env "$HSM_ENV"
}

hsm_away() {
	mv "$1.hsm/tokens" "$1.hsm/away"
}

hsm_back() {
	mv "$1.hsm/away" "$1.hsm/tokens"
}

status() {
	within 20 consignd --config server.conf --status "$@"
}

field() {
	status --json >status.json && perl -MJSON::PP -0777 -e '
		my $o = decode_json(<STDIN>);
		for (split /\./, shift) { $o = ref $o eq "ARRAY" ? $o->[$_] : $o->{$_} }
		print defined $o ? $o : "-", "\n";
	' "$1" <status.json
}

is() {
	test "$(field "$1")" = "$2"
}

signer_of() {
	status | sed -n "s/^token $1 .*, signer \([0-9]*\),.*/\1/p"
}

token_events() {
	sed -n "s/.*\"event\":\"token\",\"token\":\"$1\",\"state\":\"\([^\"]*\)\".*/\1/p" server.audit
}

visit() {
	within 30 consign stat "${1:-alice}:/" >/dev/null
}
