#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='openssl, certtool and consign-pki agree on every certificate and CRL that consign-pki makes'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

CLIENT_OID=1.3.6.1.5.5.7.3.2 SERVER_OID=1.3.6.1.5.5.7.3.1

# says WANT WHO COMMAND...: WHO, that is COMMAND, accepts (good) or refuses (bad)
says() {
	want=$1 who=$2 && shift 2
	if "$@" >"$who.out" 2>&1; then got=good; else got=bad; fi
	test "$got" = "$want" && return
	echo "$who: $got, not $want" >&2 && cat "$who.out" >&2
	return 1
}

# certtool tells a refusal by its text; it takes chain, root and CRLs from one file.
certtool_verify() {
	cat "$4" "$1" "$2" >whole.pem &&
		${WHEN:+faketime "$WHEN"} certtool --verify-chain --verify-purpose "$3" --infile whole.pem |
		tee certtool.text && grep -q "^Chain verification output: Verified" certtool.text
}

# agree good|bad client|server FILE [CA CRLS]: the three verify the chain in FILE. WHEN: the time, by which
# certtool knows only the system's.
agree() {
	ca_=${4:-root/ca.pem} crls_=${5:-all.crl}
	if test "$2" = client; then oid_=$CLIENT_OID; else oid_=$SERVER_OID; fi
	at_=${WHEN:+$(date -u -d "$WHEN" +%s)} && stamp_=${WHEN:+$(date -u -d "$WHEN" +%Y-%m-%dT%H:%M:%SZ)}
	says "$1" openssl openssl verify -x509_strict -CAfile "$ca_" -CRLfile "$crls_" -crl_check_all \
		-purpose "ssl$2" -untrusted "$3" ${at_:+-attime "$at_"} "$3" &&
		says "$1" consign consign-pki verify --anchor "$ca_" --crl "$crls_" "--$2" ${stamp_:+--at "$stamp_"} "$3" &&
		says "$1" certtool certtool_verify "$ca_" "$crls_" "$oid_" "$3"
}

# because TEXT: what consign-pki said last
because() {
	grep -q "$1" consign.out || { cat consign.out >&2 && return 1; }
}

crls() {
	cat root/crl.pem inter/crl.pem deep/crl.pem p384/crl.pem limited/crl.pem partner.crl >all.crl
}

# The partner's CA is another program's: openssl signs with its key. BY: another file of that CA.
partner_signs() {
	by=${BY:-partner.pem}
	printf "%s\n" "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" \
		"extendedKeyUsage=${2:-clientAuth}" "authorityKeyIdentifier=keyid" "subjectKeyIdentifier=hash" \
		${3:+"subjectAltName=$3"} >ext &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
			-subj "/CN=$1" -out "$1.csr" 2>/dev/null &&
		openssl x509 -req -in "$1.csr" -CA "$by" -CAkey partner.key -days 10 -extfile ext \
			-out "$1.pem" 2>/dev/null && cat "$by" >>"$1.pem"
}

test_expect_success 'CAs: a root, one below it, one below that, in tokens and in files, by several keys' '
	consign-pki init --dir root --subject "CN=Root,O=Site" --path-length 2 --token root --pin pin \
		--so-pin so-pin >/dev/null &&
	consign-pki init --dir inter --parent root --path-length 1 --token inter --pin pin \
		--so-pin so-pin >/dev/null &&
	consign-pki init --dir deep --parent inter --file-key --type rsa2048 >/dev/null &&
	consign-pki init --dir p384 --parent root --file-key --type p384 >/dev/null &&
	consign-pki init --dir limited --parent root --file-key --permit dns:partner.example \
		--permit email:partner.example --exclude ip:192.0.2.0/24 >/dev/null
'

test_expect_success 'a CA elsewhere: signed with constraints of its names' '
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout partner.key \
		-subj "/O=Partner/CN=Partner CA" -out partner.csr 2>/dev/null &&
	consign-pki sign partner.csr --ca --dir root --permit dns:partner.example \
		--permit email:partner.example --exclude dns:secret.partner.example \
		--permit ip:192.0.2.0/24 --out partner.pem >out &&
	openssl x509 -in partner.pem -noout -text >text && grep "Name Constraints: critical" text &&
	grep "CA:TRUE, pathlen:0" text && grep "DNS:secret.partner.example" text &&
	: >index && echo 01 >crlnumber && printf "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=crlnumber\ndefault_md=sha256\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n" >partner.cnf &&
	openssl ca -config partner.cnf -gencrl -crldays 9000 -keyfile partner.key -cert partner.pem \
		-out partner.crl 2>/dev/null
'

test_expect_success 'the CRLs: signed, numbered, without and with entries and reasons' '
	for ca in root inter deep p384 limited; do
		consign-pki crl --dir $ca --days 9000 >/dev/null || return 1
	done &&
	number=0 &&
	for reason in unspecified key-compromise affiliation-changed superseded cessation \
		privilege-withdrawn; do
		consign-pki issue client "CN=gone-$reason" --dir root --file-key >/dev/null &&
		consign-pki revoke gone-$reason.pem --dir root --reason $reason >/dev/null || return 1
	done &&
	consign-pki crl --dir root --days 9000 >/dev/null && consign-pki crl --dir inter --days 9000 >/dev/null &&
	crls &&
	openssl crl -in root/crl.pem -noout -text >text &&
	test "$(grep -c "Serial Number:" text)" = 6 && test "$(grep -c "CRL Reason Code" text)" = 5 &&
	for name in "Key Compromise" "Affiliation Changed" Superseded "Cessation Of Operation" \
		"Privilege Withdrawn"; do
		grep "^ *$name$" text || return 1
	done &&
	grep -A1 "CRL Number" text | grep "^ *9$" &&
	for ca in root inter deep p384 limited; do
		openssl crl -in $ca/crl.pem -CAfile $ca/ca.pem -noout 2>&1 | grep "verify OK" &&
		certtool --verify-crl --load-ca-certificate $ca/ca.pem --infile $ca/crl.pem >out &&
		grep "The certificate is trusted" out &&
		consign-pki show $ca/crl.pem >/dev/null || return 1
	done
'

test_expect_success 'each CA is good to openssl and certtool below the root, by its chain and its CRLs' '
	openssl verify -x509_strict -CAfile root/ca.pem root/ca.pem &&
	for ca in inter deep p384 limited; do
		openssl verify -x509_strict -CAfile root/ca.pem -untrusted $ca/chain.pem -CRLfile all.crl \
			-crl_check_all $ca/ca.pem &&
		cat $ca/ca.pem $ca/chain.pem >chain &&
		certtool --verify --load-ca-certificate root/ca.pem --infile chain >out &&
		grep "The certificate is trusted" out && test_cmp root/ca.pem $ca/root.pem || return 1
	done
'

test_expect_success 'servers and clients of every CA' '
	for ca in root inter deep p384; do
		consign-pki issue client "CN=c-$ca,O=Site" --dir $ca --file-key --out c-$ca.pem >/dev/null &&
		consign-pki issue server $ca.site.example 192.0.2.1 --dir $ca --file-key --out s-$ca.pem >/dev/null &&
		agree good client c-$ca.pem && agree good server s-$ca.pem || return 1
	done &&
	test "$(grep -c BEGIN c-root.pem)" = 1 && test "$(grep -c BEGIN c-deep.pem)" = 3
'

test_expect_success 'every kind of key' '
	for type in p256 p384 p521 rsa2048 rsa3072; do
		consign-pki issue client CN=$type --dir inter --file-key --type $type >/dev/null &&
		agree good client $type.pem || return 1
	done &&
	openssl genpkey -algorithm ed25519 -out ed.key && chmod 600 ed.key &&
	consign-pki issue client CN=ed25519 --dir inter --key ed.key >/dev/null && agree good client ed25519.pem
'

test_expect_success 'a request from elsewhere, and a renewal with the old key and with a new one' '
	consign-pki csr CN=asked --file-key >/dev/null && consign-pki sign asked.csr --client --dir inter >/dev/null &&
	agree good client asked.pem &&
	consign-pki renew c-inter.pem --dir inter --out again.pem >/dev/null && agree good client again.pem &&
	consign-pki renew s-deep.pem --dir deep --new-key --file-key --out again-s.pem >/dev/null &&
	agree good server again-s.pem
'

test_expect_success 'a long host name: no common name, but a certificate' '
	long=$(printf "%060d" 0 | tr 0 a).$(printf "%060d" 0 | tr 0 b).example &&
	consign-pki issue server "$long" --dir root --file-key --label long >/dev/null && agree good server long.pem
'

test_expect_success 'wrong purpose' '
	agree bad server c-root.pem && because "not for servers" &&
	agree bad client s-deep.pem && because "not for clients"
'

test_expect_success 'not yet valid, valid, expired' '
	consign-pki issue client CN=early --dir inter --file-key --not-before 2031-01-01 \
		--not-after 2031-02-01 >/dev/null &&
	agree bad client early.pem && because "not valid before 2031-01-01" &&
	WHEN="2031-01-15 12:00 UTC" agree good client early.pem &&
	WHEN="2031-02-02 12:00 UTC" agree bad client early.pem && because "expired on 2031-02-01"
'

test_expect_success 'within constraints of names' '
	consign-pki issue server a.partner.example --dir limited --file-key --out l1.pem >/dev/null &&
	agree good server l1.pem &&
	consign-pki issue client CN=joe --san email:joe@partner.example --dir limited --file-key --out l2.pem >/dev/null &&
	agree good client l2.pem &&
	partner_signs fits clientAuth DNS:x.partner.example,email:x@partner.example,IP:192.0.2.7 &&
	agree good client fits.pem
'

test_expect_success 'outside them: the CA itself refuses, and so do all others what another program signed' '
	for san in dns:elsewhere.example email:joe@elsewhere.example ip:192.0.2.7; do
		test_expect_code 65 consign-pki issue client CN=joe --san $san --dir limited --file-key \
			--out no.pem 2>err && grep "name constraints" err || return 1
	done &&
	test ! -e no.pem && test ! -e joe-2.key &&
	for san in DNS:elsewhere.example DNS:secret.partner.example email:x@elsewhere.example IP:198.51.100.1; do
		partner_signs outside clientAuth $san && agree bad client outside.pem &&
		because "name constraints of CA" || return 1
	done
'

test_expect_success 'each form of a constraint' '
	tried=0 &&
	while read -r constraint verdict name; do
		tried=$((tried + 1)) && rm -f form.pem &&
		consign-pki sign partner.csr --ca --dir root $constraint --out form.pem >/dev/null &&
		BY=form.pem partner_signs formed clientAuth "$name" && agree $verdict client formed.pem ||
			{ echo "$constraint $name" && return 1; }
	done <<-EOF &&
		--permit=email:.partner.example good email:x@a.partner.example
		--permit=email:.partner.example bad email:x@partner.example
		--permit=email:partner.example bad email:x@a.partner.example
		--permit=email:x@partner.example good email:x@partner.example
		--permit=email:x@partner.example bad email:y@partner.example
		--exclude=email:x@partner.example bad email:x@partner.example
		--exclude=email:x@partner.example good email:y@partner.example
		--exclude=dns:partner.example bad DNS:a.partner.example
		--exclude=dns:partner.example good DNS:b.example
		--permit=ip:2001:db8::/32 good IP:2001:db8::1
		--permit=ip:2001:db8::/32 bad IP:2001:db9::1
		--exclude=ip:192.0.2.0/25 good IP:192.0.2.128
		--exclude=ip:192.0.2.0/25 bad IP:192.0.2.127
		--permit=dns:partner.example good URI:https://elsewhere.example/
	EOF
	test $tried = 14
'

test_expect_success 'path length exceeded' '
	test_expect_code 77 consign-pki init --dir deeper --parent deep --file-key 2>err &&
	grep "path length 0" err && test ! -e deeper/ca.key &&
	test_expect_code 77 consign-pki init --dir deeper --parent inter --path-length 1 --file-key 2>err &&
	grep "at most 0" err &&
	printf "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" >ext &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -subj "/CN=Sub" \
		-out sub.csr 2>/dev/null &&
	openssl x509 -req -in sub.csr -CA partner.pem -CAkey partner.key -days 10 -extfile ext -out sub.pem 2>/dev/null &&
	printf "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" >ext &&
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -subj "/CN=x" -out x.csr 2>/dev/null &&
	openssl x509 -req -in x.csr -CA sub.pem -CAkey sub.key -days 10 -extfile ext -out x.pem 2>/dev/null &&
	cat sub.pem partner.pem >>x.pem &&
	openssl ca -config partner.cnf -gencrl -crldays 9000 -keyfile sub.key -cert sub.pem -out sub.crl 2>/dev/null &&
	cat all.crl sub.crl >more.crl &&
	agree bad client x.pem root/ca.pem more.crl && because "path length"
'

test_expect_success 'revoked: a certificate, and the CA that issued others' '
	consign-pki revoke c-deep.pem --dir deep >/dev/null && consign-pki crl --dir deep --days 9000 >/dev/null && crls &&
	agree bad client c-deep.pem && because "CN=c-deep.*: revoked on" && agree good server s-deep.pem &&
	consign-pki revoke deep/ca.pem --dir inter --reason ca-compromise >/dev/null && crls &&
	agree bad server s-deep.pem && because "certificate of CN=deep CA: revoked on" &&
	agree good server s-inter.pem &&
	openssl crl -in inter/crl.pem -noout -text | grep "CA Compromise"
'

# certtool asks neither for a CRL nor for its age.
test_expect_success 'a CRL that ran out, one that is missing' '
	consign-pki crl --dir p384 --days 1 >/dev/null && crls &&
	agree good client c-p384.pem && later=$(date -u -d "+3 days" +%s) &&
	says bad openssl openssl verify -CAfile root/ca.pem -CRLfile all.crl -crl_check_all -attime "$later" \
		-untrusted c-p384.pem c-p384.pem && grep "CRL has expired" openssl.out &&
	says bad consign consign-pki verify --anchor root/ca.pem --crl all.crl \
		--at "$(date -u -d "+3 days" +%Y-%m-%dT%H:%M:%SZ)" c-p384.pem && because "ran out on" &&
	cat root/crl.pem deep/crl.pem >few.crl &&
	says bad openssl openssl verify -CAfile root/ca.pem -CRLfile few.crl -crl_check_all -untrusted c-inter.pem c-inter.pem &&
	says bad consign consign-pki verify --anchor root/ca.pem --crl few.crl c-inter.pem && because "no revocation list"
'

test_expect_success 'in PKCS#12 as outside' '
	consign-pki export c-inter.pem --p12 --password pin >/dev/null &&
	openssl pkcs12 -in c-inter.p12 -passin file:pin -nodes -out whole 2>/dev/null &&
	openssl x509 -in whole -outform DER | cksum >got && openssl x509 -in c-inter.pem -outform DER | cksum >want &&
	test_cmp want got && test "$(grep -c "BEGIN CERTIFICATE" whole)" = 2 && agree good client whole
'

test_expect_success 'no serial was given twice' '
	cat */ledger | sed -n "s/^issuing \([0-9a-f]*\) .*/\1/p" >serials && test "$(wc -l <serials)" -ge 25 &&
	sort serials | uniq -d >twice && test ! -s twice
'

test_done
