#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='consign-pki: the life of a CA in a token'
. "$(dirname "$0")/lib.sh"
. "$SOURCE/t/softhsm.sh"
softhsm_setup

# serial FILE: as the ledger writes it
serial() {
	openssl x509 -in "$1" -noout -serial | sed 's/^serial=//' | tr A-F a-f
}

sums() {
	find "$1" -type f -exec cksum {} + | sort
}

# has FILE TEXT: openssl shows TEXT in the certificate
has() {
	openssl x509 -in "$1" -noout -text | grep -q -- "$2"
}

# hostile NAME CONFIG-LINES: NAME.csr with these extensions, signed by a fresh key
hostile() {
	{
		printf '[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nCN=%s\n[ext]\n' "$1"
		cat
	} >"$1.cnf" &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
			-config "$1.cnf" -out "$1.csr" 2>/dev/null
}

test_expect_success 'init makes token, key, certificate and CRL' '
	consign-pki init --dir ca --name acme --subject "CN=Acme CA,O=Acme\, Inc." \
		--pin pin --so-pin so-pin >out &&
	grep "^key  *pkcs11:token=consign;" out &&
	test "$(stat -c %a ca)" = 700 &&
	test "$(stat -c %a ca/consign-pki.conf)" = 600 &&
	test "$(stat -c %a ca/ledger)" = 600
'

test_expect_success 'the CA certificate says what a CA is, and no more' '
	has ca/ca.pem "CA:TRUE, pathlen:0" &&
	has ca/ca.pem "Certificate Sign, CRL Sign" &&
	has ca/ca.pem "Subject Key Identifier" &&
	has ca/ca.pem "Version: 3" &&
	openssl x509 -in ca/ca.pem -noout -subject -nameopt RFC2253 >subject &&
	echo "subject=CN=Acme CA,O=Acme\\, Inc." >want &&
	test_cmp want subject &&
	openssl verify -CAfile ca/ca.pem ca/ca.pem
'

test_expect_success 'the first CRL is empty, number 1, signed by the CA' '
	openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout -text >text 2>verify &&
	grep "verify OK" verify &&
	grep -A1 "CRL Number" text | grep -q "^ *1$" &&
	grep "No Revoked Certificates" text
'

test_expect_success 'init refuses a folder with a CA and leaves it alone' '
	sums ca >before &&
	test_expect_code 73 consign-pki init --dir ca --pin pin 2>err &&
	grep "there is a CA already" err &&
	sums ca >after &&
	test_cmp before after
'

test_expect_success 'issue server: names, purpose, lines to paste' '
	consign-pki issue server files.acme.example 192.0.2.7 2001:db8::7 --dir ca --out server.pem >out &&
	openssl verify -CAfile ca/ca.pem -purpose sslserver -verify_hostname files.acme.example server.pem &&
	openssl verify -CAfile ca/ca.pem -verify_ip 192.0.2.7 server.pem &&
	openssl verify -CAfile ca/ca.pem -verify_ip 2001:db8::7 server.pem &&
	test_must_fail openssl verify -CAfile ca/ca.pem -purpose sslclient server.pem &&
	has server.pem "CA:FALSE" && has server.pem "Digital Signature$" &&
	grep "^certificate = $PWD/server.pem" out &&
	grep "^key  *= pkcs11:token=consign;.*type=private" out &&
	grep "^ca  *= $PWD/ca/ca.pem" out
'

test_expect_success 'issue client: subject, purpose, map lines' '
	consign-pki issue client "CN=alice,OU=Büro,O=Acme\, Inc." --dir ca --out alice.pem \
		--type p384 --san email:alice@acme.example --san uri:urn:acme:alice >out &&
	openssl verify -CAfile ca/ca.pem -purpose sslclient alice.pem &&
	test_must_fail openssl verify -CAfile ca/ca.pem -purpose sslserver alice.pem &&
	openssl x509 -in alice.pem -noout -subject -nameopt RFC2253,utf8,-esc_msb >subject &&
	echo "subject=CN=alice,OU=Büro,O=Acme\\, Inc." >want &&
	test_cmp want subject &&
	has alice.pem "email:alice@acme.example, URI:urn:acme:alice" &&
	grep "^\[alice\]" out && grep "^anchor  *= acme" out &&
	grep "^subject  *= CN=alice,OU=Büro,O=Acme\\\\, Inc\." out
'

test_expect_success 'the fingerprint is the one of the public key' '
	openssl x509 -in alice.pem -noout -pubkey | openssl pkey -pubin -outform DER |
		sha256sum | cut -d" " -f1 >want &&
	sed -n "s/^# fingerprint = SHA256://p" out >got &&
	test_cmp want got
'

test_expect_success 'certtool agrees with each certificate' '
	for f in server.pem alice.pem; do
		certtool --verify --load-ca-certificate ca/ca.pem --infile $f >out &&
		grep "The certificate is trusted" out || return 1
	done
'

test_expect_success 'serials are long, random and different' '
	test "$(serial alice.pem | wc -c)" = 33 &&
	test "$(serial alice.pem)" != "$(serial server.pem)" &&
	test "$(serial alice.pem | cut -c1-8)" != "$(serial server.pem | cut -c1-8)"
'

test_expect_success 'a certificate does not outlive its CA' '
	consign-pki init --dir short --file-key --days 10 >/dev/null &&
	consign-pki issue client CN=late --dir short --file-key --out late.pem 2>err >/dev/null &&
	grep "as long as the CA" err &&
	test "$(openssl x509 -in late.pem -noout -enddate)" = \
		"$(openssl x509 -in short/ca.pem -noout -enddate)"
'

test_expect_success 'a file key is private and belongs to the certificate' '
	test "$(stat -c %a late.key)" = 600 &&
	test "$(stat -c %a short/ca.key)" = 600 &&
	openssl pkey -in late.key -pubout >a && openssl x509 -in late.pem -noout -pubkey >b &&
	test_cmp a b
'

test_expect_success 'nothing that stands there is overwritten' '
	cksum alice.pem >before &&
	test_expect_code 73 consign-pki issue client CN=alice2 --dir ca --out alice.pem &&
	cksum alice.pem >after && test_cmp before after &&
	test_expect_code 73 consign-pki issue client CN=late --dir short --file-key --out late2.pem &&
	consign-pki list --dir short >list && test "$(wc -l <list)" = 1
'

test_expect_success 'csr and sign: a request from elsewhere' '
	consign-pki csr "CN=bob,O=Partner" --san dns:bob.example --file-key --out bob.csr >/dev/null &&
	openssl req -in bob.csr -noout -verify 2>&1 | grep "verify OK" &&
	consign-pki sign bob.csr --client --dir ca --days 30 --out bob.pem >out &&
	openssl verify -CAfile ca/ca.pem -purpose sslclient bob.pem &&
	has bob.pem "DNS:bob.example" &&
	openssl x509 -in bob.pem -noout -pubkey >a && openssl pkey -in bob.key -pubout >b &&
	test_cmp a b
'

test_expect_success 'sign takes a request of openssl' '
	hostile carol <<-EOF &&
		subjectAltName=DNS:carol.example,IP:192.0.2.9
	EOF
	consign-pki sign carol.csr --server --dir ca --out carol.pem >/dev/null &&
	openssl verify -CAfile ca/ca.pem -purpose sslserver -verify_hostname carol.example carol.pem
'

test_expect_success 'what a request asks for beyond names is not given' '
	hostile mallory <<-EOF &&
		basicConstraints=critical,CA:TRUE
		keyUsage=critical,keyCertSign,cRLSign
		extendedKeyUsage=serverAuth,codeSigning
		subjectAltName=DNS:mallory.example
		1.2.3.4=critical,ASN1:UTF8String:any
	EOF
	consign-pki sign mallory.csr --client --dir ca --out mallory.pem >/dev/null &&
	has mallory.pem "CA:FALSE" && has mallory.pem "Digital Signature$" &&
	has mallory.pem "TLS Web Client Authentication$" &&
	! has mallory.pem "CA:TRUE" && ! has mallory.pem "Code Signing" && ! has mallory.pem "1.2.3.4" &&
	openssl verify -CAfile ca/ca.pem -purpose sslclient mallory.pem
'

test_expect_success 'a request with a wrong signature is refused' '
	openssl req -in bob.csr -outform DER -out bad.der &&
	size=$(stat -c %s bad.der) &&
	printf "\001\002\003\004" | dd of=bad.der bs=1 seek=$((size - 6)) conv=notrunc 2>/dev/null &&
	openssl req -inform DER -in bad.der -out bad.csr &&
	test_expect_code 77 consign-pki sign bad.csr --client --dir ca --out bad.pem 2>err &&
	grep "signature" err && test ! -e bad.pem
'

test_expect_success 'a NUL in an alternative name is refused' '
	hostile nul <<-EOF &&
		subjectAltName=DER:30:0d:82:0b:61:00:62:2e:65:78:61:6d:70:6c:65
	EOF
	openssl req -in nul.csr -noout -verify &&
	test_expect_code 65 consign-pki sign nul.csr --client --dir ca --out nul.pem 2>err &&
	grep "not a name that may be signed" err && test ! -e nul.pem
'

test_expect_success 'other hostile names are refused' '
	for san in "DNS:*.example" "DNS:a b" "email:x" "URI:nocolon" "dirName:dn" \
		"otherName:1.2.3.4;UTF8:x"; do
		hostile odd <<-EOF &&
			subjectAltName=$san
		EOF
		test_expect_code 65 consign-pki sign odd.csr --client --dir ca --out odd.pem || return 1
	done &&
	test ! -e odd.pem
'

test_expect_success 'a control character in a subject is refused' '
	openssl req -new -key bob.key -utf8 -subj "/CN=eve
mallory" -out ctl.csr &&
	test_expect_code 65 consign-pki sign ctl.csr --client --dir ca --out ctl.pem 2>err &&
	test "$(wc -l <err)" = 1 && test ! -e ctl.pem
'

test_expect_success 'an empty subject, a weak key and a server without name are refused' '
	openssl req -new -key bob.key -subj / -out empty.csr &&
	test_expect_code 65 consign-pki sign empty.csr --client --dir ca --out no.pem &&
	openssl req -new -newkey rsa:1024 -nodes -keyout weak.key -subj /CN=weak -out weak.csr 2>/dev/null &&
	test_expect_code 65 consign-pki sign weak.csr --client --dir ca --out no.pem 2>err &&
	grep "1024 bits" err &&
	openssl req -new -key bob.key -subj /CN=noname -out noname.csr &&
	test_expect_code 65 consign-pki sign noname.csr --server --dir ca --out no.pem &&
	test ! -e no.pem
'

test_expect_success 'no refused request left a trace in the ledger' '
	consign-pki list --dir ca >list &&
	test "$(wc -l <list)" = 5 &&
	! grep -v "^valid" list
'

test_expect_success 'revoke by file: the CRL says so at once' '
	openssl verify -CAfile ca/ca.pem -CRLfile ca/crl.pem -crl_check alice.pem &&
	consign-pki revoke alice.pem --dir ca --reason key-compromise &&
	test_must_fail openssl verify -CAfile ca/ca.pem -CRLfile ca/crl.pem -crl_check alice.pem >out 2>&1 &&
	grep "certificate revoked" out &&
	openssl verify -CAfile ca/ca.pem -CRLfile ca/crl.pem -crl_check bob.pem
'

test_expect_success 'revoke by serial, however it is written' '
	consign-pki revoke "$(serial bob.pem | tr a-f A-F | sed "s/../&:/g; s/:$//")" --dir ca &&
	openssl crl -in ca/crl.pem -CAfile ca/ca.pem -noout -text >text &&
	grep -i "$(serial bob.pem)" text && grep -i "$(serial alice.pem)" text &&
	grep -A1 "CRL Number" text | grep -q "^ *3$"
'

test_expect_success 'certtool agrees with the CRL' '
	certtool --verify-crl --load-ca-certificate ca/ca.pem --infile ca/crl.pem >out &&
	grep "The certificate is trusted" out
'

test_expect_success 'revoking twice, or what is not ours, is refused' '
	test_expect_code 73 consign-pki revoke alice.pem --dir ca &&
	test_expect_code 66 consign-pki revoke late.pem --dir ca &&
	test_expect_code 66 consign-pki revoke 0123456789abcdef --dir ca &&
	test_expect_code 64 consign-pki revoke carol.pem --dir ca --reason whim
'

test_expect_success 'crl: next number, life as asked for' '
	consign-pki crl --dir ca --days 3 --out site.crl >/dev/null &&
	test_cmp ca/crl.pem site.crl &&
	openssl crl -in site.crl -noout -text | grep -A1 "CRL Number" | grep -q "^ *4$" &&
	until=$(date -d "$(openssl crl -in site.crl -noout -nextupdate | sed "s/.*=//")" +%s) &&
	now=$(date +%s) &&
	test $((until - now)) -gt 258000 && test $((until - now)) -le 259200
'

test_expect_success 'list: every certificate with its state, also as JSON' '
	consign-pki list --dir ca >list &&
	grep "^revoked  *$(serial alice.pem) " list &&
	grep "^valid  *$(serial server.pem) .*Z server CN=files.acme.example" list &&
	consign-pki list --dir ca --json >json &&
	test "$(wc -l <json)" = 5 &&
	grep -F "\"serial\":\"$(serial alice.pem)\",\"status\":\"revoked\"" json >row &&
	grep -F "\"subject\":\"CN=alice,OU=Büro,O=Acme\\\\, Inc.\"" row &&
	grep -F "\"reason\":\"key-compromise\"" row
'

test_expect_success 'list shows an expired certificate as such' '
	cp -r short old && sed -i "s/^\(issuing [0-9a-f]* [0-9]*\) [0-9]*/\1 1000000000/" old/ledger &&
	consign-pki list --dir old >list && grep "^expired .*2001-09-09T01:46:40Z" list
'

test_expect_success 'show: a file, a serial, a request, a CRL; not a key' '
	consign-pki show alice.pem >out && grep "^purpose  *client" out &&
	grep "^serial  *$(serial alice.pem)" out &&
	consign-pki show "$(serial alice.pem)" --dir ca >out && grep "^REVOKED  *key-compromise" out &&
	consign-pki show bob.csr >out && grep "^signature  *right" out &&
	consign-pki show ca/crl.pem >out && grep "^revoked  *$(serial bob.pem)" out &&
	test_expect_code 65 consign-pki show bob.key >out && test ! -s out
'

test_expect_success 'renewal with the same key' '
	url=$(sed -n "s/^key  *= //p" ca/consign-pki.conf) &&
	consign-pki issue client CN=dora --dir ca --label dora --out dora.pem >out &&
	key=$(sed -n "s/^key  *\(pkcs11.*\)/\1/p" out) &&
	consign-pki issue client CN=dora --dir ca --key "$key" --out dora2.pem >/dev/null &&
	openssl x509 -in dora.pem -noout -pubkey >a && openssl x509 -in dora2.pem -noout -pubkey >b &&
	test_cmp a b && test "$(serial dora.pem)" != "$(serial dora2.pem)"
'

test_expect_success 'four at once: each is in the ledger, none is lost' '
	consign-pki list --dir short >before &&
	for i in 1 2 3 4; do
		consign-pki issue client CN=par$i --dir short --file-key --out par$i.pem >/dev/null 2>&1 &
	done && wait &&
	consign-pki list --dir short >after &&
	test $(wc -l <after) = $(($(wc -l <before) + 4)) &&
	openssl verify -CAfile short/ca.pem par1.pem par2.pem par3.pem par4.pem
'

test_expect_success 'usage errors end with 64, --help with 0' '
	test_expect_code 64 consign-pki &&
	test_expect_code 64 consign-pki nosuch &&
	test_expect_code 64 consign-pki list --nosuch &&
	test_expect_code 64 consign-pki issue server &&
	test_expect_code 64 consign-pki sign bob.csr --dir ca &&
	test_expect_code 64 consign-pki init --dir x --type dsa --pin pin &&
	test_expect_code 64 consign-pki crl --dir ca --days 0x &&
	consign-pki --help >out && grep "^  issue" out &&
	for c in init issue csr sign renew revoke crl list expiry show verify audit export token key partner random; do
		consign-pki $c --help >out && grep -q "^Usage: consign-pki $c" out || return 1
	done
'

MAN=$SOURCE/contrib/man/consign-pki.1
test_expect_success 'the manual and --help name the same commands and options' '
	for c in init issue csr sign renew revoke crl list expiry show verify audit export token key partner random; do
		grep -q "^\.Cm $c" "$MAN" || return 1
		consign-pki $c --help | grep -o -e "--[a-z-]*" || return 1
	done | grep -e "^--" | sort -u >told &&
	grep -o -e "Fl Fl [a-z-]*" "$MAN" | sed "s/Fl Fl /--/" | sort -u >written &&
	test_cmp told written
'

test_expect_success 'the examples of the manual work' '
	mkdir examples && (
		cd examples && softhsm_setup && rm pin so-pin &&
			sed -n "s/^[$] //p" "$MAN" >steps && test "$(wc -l <steps)" = 12 &&
			while read -r step; do
				eval "$step" >>out || exit 1
			done <steps &&
			openssl verify -CAfile ca/ca.pem -CRLfile ca/crl.pem -crl_check batch.pem &&
			grep "^revoked .*CN=alice,O=Acme Corp" out
	)
'

test_done
