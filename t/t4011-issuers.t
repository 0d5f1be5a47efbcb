#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='issuers: the same subject by another CA is somebody else; the very CA below an anchor; several names; keys'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

# sub_ca NAME CN OF: a CA below another.
sub_ca() {
	CA=$3 leaf "$1" "/CN=$2" "basicConstraints=critical,CA:TRUE;keyUsage=critical,keyCertSign,cRLSign"
}

# chained NAME CA SUBJECT: a certificate of that CA, with the CA's behind it.
chained() {
	CA=$2 leaf "$1" "$3" "$GOOD" && cat "$2.pem" >>"$1.pem"
}

test_expect_success 'two partners, whose CAs certify the same subject' '
	site_setup && for ca in acme zeta third; do
		new_ca $ca "$ca CA" && conf server.conf "anchor $ca" ca $ca.pem && conf server.conf "anchor $ca" crl $ca.crl &&
		conf server.conf "anchor $ca" crl-policy if-present || return 1
	done && rule of-acme acme "CN=batch,O=Shared" && rule of-zeta zeta "CN=batch,O=Shared" && start_server
'

test_expect_success 'each is let in as its own user' '
	CA=acme leaf a "/O=Shared/CN=batch" "$GOOD" && is a of-acme &&
	CA=zeta leaf z "/O=Shared/CN=batch" "$GOOD" && is z of-zeta
'

test_expect_success 'by a third CA, trusted as well, it is nobody, and is not told that others are' '
	CA=third leaf t "/O=Shared/CN=batch" "$GOOD" && is_nobody t "issued under anchor third, wanted acme" &&
	grep "^  nearest: rule of-acme .*: issued under anchor third, wanted acme" explained &&
	! grep -e acme -e zeta -e batch t.err && CA=third leaf u "/O=Shared/CN=unheard-of" "$GOOD" && is_nobody u "subject is" &&
	sed "s/ (session .*//" t.err >told.t && sed "s/ (session .*//" u.err >told.u && test_cmp told.t told.u
'

test_expect_success 'a CA that calls itself as another one does is not that one' '
	new_ca forger "acme CA" && CA=forger leaf forged "/O=Shared/CN=batch" "$GOOD" && profile forged &&
	test_expect_code 77 within 30 consign whoami forged: 2>err && explained 77 forged.pem list / && ! grep "^user: of" explained
'

test_expect_success 'a CA below an anchor, named by the rule: its certificates, and no others of the anchor' '
	sub_ca staff "Staff CA" acme && sub_ca guests "Guest CA" acme && rule staff acme "CN=carol" && conf map staff issuer "CN=Staff CA" &&
	reload && chained carol staff /CN=carol && is carol staff && chained guest guests /CN=carol &&
	is_nobody guest "issued by CN=Guest CA, wanted CN=Staff CA" && CA=acme leaf direct /CN=carol "$GOOD" &&
	is_nobody direct "issued by CN=acme CA, wanted CN=Staff CA"
'

test_expect_success 'and the same name of a CA below another anchor is not it' '
	sub_ca copy "Staff CA" zeta && chained copied copy /CN=carol && is_nobody copied "issued under anchor zeta, wanted acme"
'

test_expect_success 'a CA that is an anchor by itself is not the one above it' '
	conf server.conf "anchor staff" ca staff.pem && conf server.conf "anchor staff" crl-policy if-present && reload &&
	is_nobody carol "issued under anchor staff, wanted acme" && conf map staff anchor staff && reload && is carol staff
'

test_expect_success 'a certificate of an empty map, and of a map without its anchor' '
	cp map good.map && echo "# nobody yet" >map.new && mv map.new map && reload && profile a &&
	test_expect_code 77 within 30 consign whoami a: 2>err && grep "no rule of the map is for this certificate" err &&
	conf map x anchor nowhere && conf map x subject CN=x && conf map x root /srv && conf map x rights list &&
	reload_fails "there is no anchor nowhere" && cp good.map map && reload && is a of-acme
'

# ---- other selectors ----

test_expect_success 'alternative names: all that the rule has, several of a kind, whatever else is there' '
	conf map names anchor third && conf map names uri "urn:a urn:b" && conf map names dns "Host.Example" &&
	conf map names root "$TRASH/files/alice" && conf map names rights list && conf map names account "$ACCOUNT" && reload &&
	CA=third && leaf n1 /CN=any "$GOOD;subjectAltName=DNS:host.example,URI:urn:b,URI:urn:c,URI:urn:a,email:x@y" && is n1 names &&
	leaf n2 /CN=any "$GOOD;subjectAltName=DNS:host.example,URI:urn:b" && is_nobody n2 "no alternative name uri urn:a" &&
	leaf n3 /CN=any "$GOOD;subjectAltName=DNS:host.example.evil,URI:urn:a,URI:urn:b" && is_nobody n3 "no alternative name dns" &&
	leaf n4 /CN=any "$GOOD;subjectAltName=URI:host.example,URI:urn:a,URI:urn:b" && is_nobody n4 "no alternative name dns" &&
	leaf n5 /CN=any "$GOOD;subjectAltName=DNS:*.example,URI:urn:a,URI:urn:b" && is_nobody n5 "no alternative name dns" &&
	leaf n6 /CN=any "$GOOD;subjectAltName=DNS:host.example,URI:urn:A,URI:urn:b" && is_nobody n6 "no alternative name uri urn:a" &&
	leaf n7 /CN=host.example "$GOOD" && is_nobody n7 "no alternative name dns"
'

test_expect_success 'the key: by its fingerprint, whatever the certificate says; and not another with the same names' '
	CA=third leaf key /CN=key "$GOOD" && print=$(openssl x509 -in key.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d " " -f 1) &&
	conf map key anchor third && conf map key fingerprint "SHA256:$print" && conf map key root "$TRASH/files/alice" &&
	conf map key rights list && conf map key account "$ACCOUNT" && reload && is key key &&
	CA=third leaf other-key /CN=key "$GOOD" && is_nobody other-key "another public key"
'

test_done
