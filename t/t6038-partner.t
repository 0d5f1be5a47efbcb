#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='partners: one signed file in, by fingerprint, to a server that runs; and out again'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"

# ca NAME: a CA of its own in a token of its own, and a user CN=carol,O=Shared under it.
ca() {
	consign-pki init --dir "$1" --name "$1" --token "$1" --pin pin --so-pin so-pin >/dev/null &&
		consign-pki issue client "CN=carol,O=Shared" --dir "$1" --file-key --label "$1-carol" --out "$1-carol.pem" \
			>"$1-carol.issued"
}

# export OUT CA [OPTION...]
export_as() {
	to_=$1 of_=$2
	shift 2
	consign-pki partner export --dir "$of_" --endpoint "$of_.example:7411" --user "CN=carol,O=Shared" --out "$to_" "$@"
}

# take FILE [OPTION...]: what it may do is $RIGHTS in files/$FOLDER.
FOLDER=partner
RIGHTS=list,read,create,overwrite
take() {
	file_=$1
	shift
	consign-pki partner import "$file_" --root "$TRASH/files/$FOLDER" --rights "$RIGHTS" \
		${ACCOUNT:+--account "$ACCOUNT"} "$@"
}

# profile NAME PEM: a client with that certificate.
profile() {
	conf "$CLIENT_CONF" "$1" host 127.0.0.1 && conf "$CLIENT_CONF" "$1" port "$PORT" &&
		conf "$CLIENT_CONF" "$1" ca "$TRASH/ca/ca.pem" && conf "$CLIENT_CONF" "$1" crl "$TRASH/ca/crl.pem" &&
		conf "$CLIENT_CONF" "$1" certificate "$TRASH/$2.pem" &&
		conf "$CLIENT_CONF" "$1" key "$(key_of_ "$2.issued")"
}

comes_in() {
	soon "sleep 0.2; consign ls $1:/"
}

stays_out() {
	test_expect_code 77 consign ls "$1:/" 2>err && grep "$2" err
}

test_expect_success 'a site that serves, and two organisations with a CA each; all of it in tokens' '
	site_setup && ca acme && ca globex && mkdir files/partner &&
	{ test -z "$ACCOUNT" || chown "$ACCOUNT:" files/partner; } && mkdir -m 755 partners &&
	conf server.conf server partners partners && start_server && profile acme acme-carol && profile globex globex-carol &&
	echo hello >f && stays_out acme "issued by no trusted CA"
'

test_expect_success 'export: a bundle, and the fingerprint that goes another way' '
	export_as acme.partner acme --days 90 --crl-from https://acme.example/crl.pem >out &&
	grep "^serial *1$" out && print=$(sed -n "s/^fingerprint *//p" out) &&
	test "$print" = "SHA256:$(openssl x509 -in acme/ca.pem -outform DER | sha256sum | cut -d " " -f 1)" &&
	echo "$print" >acme.print && test_must_fail export_as acme.partner acme
'

test_expect_success 'openssl agrees on who signed it, and that it is JSON' '
	openssl cms -verify -inform PEM -in acme.partner -CAfile acme/ca.pem -purpose any -out text.json &&
	perl -MJSON::PP -0777 -e "my \$o = decode_json(<STDIN>); exit !(\$o->{serial} == 1 && \$o->{user}[0] eq q(CN=carol,O=Shared))" <text.json
'

test_expect_success 'without a fingerprint, and by a wrong one: refused, nothing is left' '
	test_expect_code 77 take acme.partner 2>err && grep "by telephone" err &&
	test_expect_code 77 take acme.partner --fingerprint "SHA256:$(printf %064d 7)" 2>err && grep "not signed by the CA" err &&
	test_expect_code 64 take acme.partner --fingerprint SHA256:12 && test -z "$(ls -A partners)"
'

test_expect_success 'a changed bundle: refused' '
	{ echo "-----BEGIN PKCS7-----" && openssl pkcs7 -in acme.partner -outform DER |
		perl -0777 -pe "s/acme\.example:7411/evil.example:7411/" | base64 && echo "-----END PKCS7-----"; } >bad.partner &&
	openssl pkcs7 -in bad.partner -noout && ! cmp acme.partner bad.partner &&
	test_expect_code 77 take bad.partner --fingerprint "$(cat acme.print)" 2>err && grep "signature does not hold" err &&
	test -z "$(ls -A partners)"
'

test_expect_success 'signed by another CA over the same text, with the right certificate put in: refused' '
	openssl cms -sign -nodetach -binary -in text.json -signer globex-carol.pem -inkey "$(key_of_ globex-carol.issued)" \
		-certfile acme/ca.pem -outform PEM | sed "s/ CMS/ PKCS7/" >forged.partner &&
	test_expect_code 77 take forged.partner --fingerprint "$(cat acme.print)" 2>err && grep "signature does not hold" err &&
	test -z "$(ls -A partners)"
'

test_expect_success 'what the bundle may not hold: refused at export' '
	test_must_fail export_as x.partner acme --user "CN=eve
root = /" && test_must_fail export_as x.partner acme --user "CN=carol, O=Shared" && test ! -e x.partner
'

test_expect_success 'imported by fingerprint, into the server that runs: the partner comes in' '
	take acme.partner --fingerprint "$(cat acme.print)" >out && grep "^imported *partners/acme" out &&
	grep "^user *CN=carol,O=Shared" out && grep "^endpoint *acme.example:7411" out && comes_in acme &&
	consign put f acme:/f && same_file f files/partner/f && stays_out globex "issued by no trusted CA"
'

test_expect_success 'nothing has changed: diff says so' '
	consign-pki partner diff acme.partner >out && test ! -s out
'

test_expect_success 'another partner with the same subject: each by its own rule alone' '
	mkdir files/other && { test -z "$ACCOUNT" || chown "$ACCOUNT:" files/other; } && export_as globex.partner globex >out &&
	FOLDER=other RIGHTS=list,create && take globex.partner --fingerprint "$(sed -n "s/^fingerprint *//p" out)" &&
	comes_in globex && echo theirs >g && consign put g globex:/g && same_file g files/other/g && test ! -e files/partner/g &&
	test_expect_code 77 consign get globex:/g got && consign get acme:/f got && same_file f got
'

test_expect_success 'a rule of one partner that names the anchor of another, or of the site: all is refused, the last good goes on' '
	cp partners/globex/rules good && test_when_finished "cp good partners/globex/rules" &&
	for anchor in acme site; do
		sed "s/^anchor = .*/anchor = $anchor/" good >partners/globex/rules &&
		soon "grep \"anchor $anchor: a partner.s rules are for its own anchor alone\" server.log" || return 1
	done && consign ls acme:/ && consign ls globex:/
'

test_expect_success 'nor can the map name a partner as anchor' '
	cp map good && conf map thief anchor acme && conf map thief subject "CN=thief" && conf map thief root "$TRASH/files/alice" &&
	conf map thief rights all && conf map thief account "$ACCOUNT" &&
	test_must_fail consignd --config server.conf --check 2>err && grep "no anchor acme" err && mv good map
'

test_expect_success 'a newer bundle needs no fingerprint: its CA is known; diff shows what comes' '
	consign-pki issue client "CN=dave,O=Shared" --dir acme --file-key --label dave --out dave.pem >dave.issued &&
	consign-pki revoke acme-carol.pem --dir acme --pin pin >/dev/null &&
	export_as acme2.partner acme --user "CN=dave,O=Shared" --days 90 >out && grep "^serial *[2-9]$" out &&
	test_expect_code 1 consign-pki partner diff acme2.partner >out && cat out && grep "^+ user *CN=dave,O=Shared" out &&
	grep "^- serial *1$" out && grep "^+ serial *[2-9]$" out && grep "^+ crl .*1 revoked" out && ! grep "^. ca " out
'

test_expect_success 'a live upload of one whom it revokes is cut; the other comes in, by what was said at the first import' '
	start_relay && sed "s/^\[acme\]/[slow]/" "$CLIENT_CONF" | awk "/^\[/ { in_ = (\$0 == \"[slow]\") } in_" >slow &&
	sed "s/^port.*/port = $RELAY_PORT/" slow >>"$CLIENT_CONF" && random_file big $((24 * 1048576)) &&
	relay_hold up "$(place $((9 * 1048576)))" && { consign put big slow:/big 2>cut.err & } && client=$! && relay_held &&
	consign-pki partner import acme2.partner >out && grep "^replaced" out &&
	{ wait $client; test $? -eq 77; } && grep "revoked on" cut.err && profile dave dave && comes_in dave &&
	consign put f dave:/d && same_file f files/partner/d && stays_out acme "revoked on" && relay_do go
'

test_expect_success 'an old bundle does not come back' '
	test_expect_code 77 consign-pki partner import acme.partner 2>err && grep "an old one is not taken again" err &&
	test_expect_code 77 take acme.partner --fingerprint "$(cat acme.print)" && comes_in dave
'

# odd EDIT REASON: initech, who has its key in a file, signs what perl's EDIT made of its bundle; it is refused.
odd() {
	perl -MJSON::PP -0777 -e '$edit = shift; $o = decode_json(<STDIN>); eval "$edit; 1" or die; print encode_json($o)' \
		"$1" <initech.json >odd.json &&
		openssl cms -sign -nodetach -binary -in odd.json -signer initech/ca.pem -inkey initech/ca.key -outform PEM |
		sed "s/ CMS/ PKCS7/" >odd.partner && { test_must_fail take odd.partner --fingerprint "$initech" 2>err; } &&
		grep "$2" err && test ! -e partners/initech
}

test_expect_success 'signed well, and yet nothing that may come in' '
	consign-pki init --dir initech --name initech --file-key >/dev/null && export_as initech.partner initech >out &&
	initech=$(sed -n "s/^fingerprint *//p" out) &&
	openssl cms -verify -inform PEM -in initech.partner -CAfile initech/ca.pem -purpose any -out initech.json &&
	odd "\$o->{q(not-after)} = time - 60; \$o->{q(not-before)} = time - 3600" "ran out on" &&
	odd "\$o->{q(not-before)} = time + 60" "not valid before" &&
	odd "\$o->{user} = [qq(CN=eve\nroot = /)]" "holds what it must not" &&
	odd "\$o->{user} = [q(CN=eve), q(cn=eve)]" "twice" &&
	odd "\$o->{user} = [q(eve)]" "eve" && odd "\$o->{user} = []" "names no users" && odd "\$o->{user} = q(CN=eve)" "not a list" &&
	odd "\$o->{name} = q(../ca)" "partner.s name" && odd "\$o->{more} = 1" "not a partner.s bundle" &&
	odd "\$o->{q(consign-partner)} = 2" "another version" && odd "\$o->{serial} = -1" "number" &&
	odd "delete \$o->{crl}" "not a partner.s bundle" && odd "\$o->{crl} = []" "no revocation list" &&
	PEM=$(cat globex/crl.pem) && export PEM && odd "push @{\$o->{crl}}, \$ENV{PEM}" "signed by none of its CAs" &&
	PEM=$(cat globex-carol.pem) && odd "push @{\$o->{ca}}, \$ENV{PEM}" "no CA.s" && odd "\$o->{ca} = [\$ENV{PEM}]" "no CA.s" &&
	PEM=$(cat globex/ca.pem) && odd "push @{\$o->{ca}}, \$ENV{PEM}" "no revocation list" &&
	odd "\$o->{ca} = []" "none of its CAs" && odd "\$o->{name} = q(x) x 70" "partner.s name"
'

test_expect_success 'what stands behind a CA in its PEM is not taken along' '
	PEM=$(cat initech/ca.pem globex/ca.pem) && odd "\$o->{ca} = [\$ENV{PEM}]; \$o->{user} = []" "names no users" &&
	perl -MJSON::PP -0777 -e "\$o = decode_json(<STDIN>); \$o->{ca} = [\$ENV{PEM}]; print encode_json(\$o)" \
		<initech.json >more.json && openssl cms -sign -nodetach -binary -in more.json -signer initech/ca.pem \
		-inkey initech/ca.key -outform PEM | sed "s/ CMS/ PKCS7/" >more.partner &&
	take more.partner --fingerprint "$initech" >out && test "$(grep -c "BEGIN CERT" partners/initech/ca.pem)" = 1 &&
	openssl x509 -in partners/initech/ca.pem -noout -subject | grep initech && consign-pki partner remove initech
'

test_expect_success 'list, for people and for programs; and the doctor looks at them' '
	{ consignd --config server.conf --doctor >out || :; } && cat out && grep "partner.*acme: .*read" out &&
	consign-pki partner list >out && grep "^good  *acme .*serial [2-9], until " out && grep " globex " out &&
	consign-pki partner list --json >out && json_lines out && test "$(wc -l <out)" = 2
'

test_expect_success 'the bundle runs out while it is in: nobody comes in by it, and it is said' '
	cp partners/globex/partner.conf good && sed "s/^until = .*/until = $(($(date +%s) - 5))/" good >partners/globex/partner.conf &&
	soon "consign ls globex:/ 2>err; grep \"ran out on\" err" && grep "partner globex: its bundle ran out" server.log &&
	cp good partners/globex/partner.conf && comes_in globex && comes_in dave
'

# A limit on the size of files kills the import where it writes.
# shellcheck disable=SC3045
test_expect_success 'what a killed import left is no partner, the old one stays; it is swept away by the next' '
	export_as acme3.partner acme --user "CN=dave,O=Shared" >/dev/null && cp -r partners/acme before &&
	{ (ulimit -c 0 && ulimit -f 2 && exec consign-pki partner import acme3.partner); test $? -gt 128; } &&
	ls -A partners | grep "^\.aside" && diff -r before partners/acme && consignd --config server.conf --check &&
	consign ls dave:/ && consign-pki partner import acme3.partner && ! diff -r before partners/acme &&
	test "$(ls -A partners)" = "acme
globex"
'

test_expect_success 'removed: live sessions are cut, and nobody comes in' '
	conf "$CLIENT_CONF" dave port "$RELAY_PORT" && relay_hold up "$(place $((9 * 1048576)))" &&
	{ consign put big dave:/big2 2>cut.err & } && client=$! && relay_held && consign-pki partner remove acme &&
	{ wait $client; test $? -eq 77; } && grep "issued by no trusted CA" cut.err && test ! -e files/partner/big2 &&
	relay_do go && stop_relay && conf "$CLIENT_CONF" dave port "$PORT" && stays_out dave "issued by no trusted CA" &&
	comes_in globex && test "$(ls -A partners)" = globex && test_must_fail consign-pki partner remove ../ca
'

test_done
