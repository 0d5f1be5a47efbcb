# SPDX-License-Identifier: ISC
# shellcheck shell=sh
# For the scripts about certificates: CAs made by openssl, which make what consign-pki refuses to; their keys are in files.
# Sourced after lib.sh.
#
#   new_ca NAME CN          NAME.pem, NAME.key and a revocation list, NAME.crl
#   new_crl CA [OPTION...]  another one
#   leaf NAME SUBJECT EXTENSIONS [OPTION OF openssl x509...]
#                           NAME.pem and NAME.key. EXTENSIONS have ";" between; $GOOD are those of a client. The CA is $CA (other
#                           unless set), the kind of key $KIND, the days $DAYS, the clock $FAKE; with MULTI the subject's "+" counts
#   profile NAME            a profile of the client with that certificate
#   rule USER ANCHOR SUBJECT  of the map, for alice's folder, to list and read

new_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -subj "/CN=$2" \
		-days 30 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-out "$1.pem" 2>/dev/null && chmod 600 "$1.key" &&
		mkdir "$1.db" && : >"$1.db/index" && echo 01 >"$1.db/number" && echo 1000 >"$1.db/serial" &&
		cat >"$1.cnf" <<-END && new_crl "$1"
			[ca]
			default_ca = it
			[it]
			database = $PWD/$1.db/index
			crlnumber = $PWD/$1.db/number
			serial = $PWD/$1.db/serial
			new_certs_dir = $PWD/$1.db
			certificate = $PWD/$1.pem
			private_key = $PWD/$1.key
			default_md = sha256
			default_crl_days = 30
			policy = any
			unique_subject = no
			[any]
			commonName = optional
		END
}

new_crl() {
	ca_=$1 && shift && openssl ca -config "$ca_.cnf" -gencrl -out "$ca_.crl" "$@" 2>/dev/null
}

GOOD='keyUsage=critical,digitalSignature;extendedKeyUsage=clientAuth;basicConstraints=CA:FALSE'

# shellcheck disable=SC2086,SC2046
leaf() {
	name_=$1 subject_=$2 && printf '%s\n' "$3" | tr ';' '\n' >"$1.ext" && shift 3 &&
		openssl req -new -newkey ${KIND:-ec -pkeyopt ec_paramgen_curve:P-256} -nodes -keyout "$name_.key" \
			-utf8 -subj "$subject_" ${MULTI:+-multivalue-rdn} -out "$name_.csr" 2>/dev/null &&
		chmod 600 "$name_.key" &&
		${FAKE:+faketime "$FAKE"} openssl x509 -req -in "$name_.csr" -CA "${CA:-other}.pem" \
			-CAkey "${CA:-other}.key" -set_serial "$(date +%s%N)" -out "$name_.pem" -days "${DAYS:-20}" \
			$(test -s "$name_.ext" && echo -extfile "$name_.ext") "$@" 2>/dev/null
}

profile() {
	conf "$CLIENT_CONF" "$1" host 127.0.0.1 && conf "$CLIENT_CONF" "$1" port "$PORT" &&
		conf "$CLIENT_CONF" "$1" ca "$TRASH/ca/ca.pem" && conf "$CLIENT_CONF" "$1" crl "$TRASH/ca/crl.pem" &&
		conf "$CLIENT_CONF" "$1" certificate "$TRASH/$1.pem" &&
		conf "$CLIENT_CONF" "$1" key "$TRASH/$1.key" && conf "$CLIENT_CONF" "$1" allow-extractable yes
}

rule() {
	conf map "$1" anchor "$2" && conf map "$1" subject "$3" && conf map "$1" root "$TRASH/files/alice" &&
		conf map "$1" rights "list read" && conf map "$1" account "$ACCOUNT"
}
