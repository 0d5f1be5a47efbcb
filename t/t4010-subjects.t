#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='subjects: whose a certificate is, by its parts and not by how they look as text'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

test_expect_success 'a site whose map has a rule for each kind of subject' '
	site_setup && new_ca other "Other CA" && conf server.conf "anchor other" ca other.pem &&
	conf server.conf "anchor other" crl other.crl && rule acme other "CN=alice,O=Acme" && rule comma other "CN=last\\\\, first" &&
	rule plus other "CN=a\\\\+b" && rule set other "CN=multi+O=Acme" && rule jorg other "CN=J\\\\C3\\\\B6rg" &&
	rule star other "CN=\\\\2a,O=Star" && rule any other "CN=*,OU=any,O=Acme" && rule twice other "CN=one,CN=two" && start_server
'

test_expect_success 'the order is that of the certificate, in which the text begins with the last' '
	leaf right "/O=Acme/CN=alice" "$GOOD" && is right acme &&
	leaf swapped "/CN=alice/O=Acme" "$GOOD" && is_nobody swapped "subject is O=Acme,CN=alice, wanted CN=alice,O=Acme"
'

test_expect_success 'text that looks like two parts is one' '
	leaf text "/CN=alice,O=Acme" "$GOOD" && is_nobody text "subject is CN=alice.,O=Acme" &&
	leaf mallory "/O=Acme/CN=mallory,CN=alice" "$GOOD" && is_nobody mallory "mallory.,CN=alice" &&
	leaf comma "/CN=last, first" "$GOOD" && is comma comma &&
	leaf plus "/CN=a\\+b" "$GOOD" && is plus plus
'

test_expect_success 'a part more or less, wherever it stands' '
	for s in /OU=x/O=Acme/CN=alice /O=Acme/OU=x/CN=alice /O=Acme/CN=alice/OU=x /CN=alice /O=Acme /O=Acme/CN=alice/CN=alice \
		/O=Acme/CN=bob/CN=alice /O=Acme/CN=alice/CN=bob /O=Acme/CN=alice/UID=7; do
		leaf more "$s" "$GOOD" && is_nobody more "subject is" || return 1
	done
'

test_expect_success 'two attributes in one part are a set: in either order, and no part each' '
	MULTI=1 && leaf one "/O=Acme+CN=multi" "$GOOD" && is one set && leaf other-way "/CN=multi+O=Acme" "$GOOD" &&
	is other-way set && leaf three "/O=Acme+CN=multi+OU=x" "$GOOD" && is_nobody three "subject is" &&
	leaf joined "/O=Acme+CN=alice" "$GOOD" && is_nobody joined "subject is" && MULTI= &&
	leaf apart "/O=Acme/CN=multi" "$GOOD" && is_nobody apart "subject is" && leaf both "/CN=two/CN=one" "$GOOD" &&
	is both twice && leaf both-ways "/CN=one/CN=two" "$GOOD" && is_nobody both-ways "subject is"
'

test_expect_success 'upper and lower case, blanks, other letters that look the same' '
	for cn in Alice ALICE "alice " " alice" "аlice" "alicé"; do
		leaf near "/O=Acme/CN=$cn" "$GOOD" && is_nobody near "subject is" || return 1
	done
'

test_expect_success 'beyond ASCII: composed and decomposed are two' '
	leaf composed "/CN=Jörg" "$GOOD" && is composed jorg && decomposed=$(printf "Jo\314\210rg") &&
	leaf decomposed "/CN=$decomposed" "$GOOD" && is_nobody decomposed "subject is"
'

# alice as UTF8String, and as others; ten letters for a BMPString of five.
test_expect_success 'kinds of string: those of ASCII and UTF-8 are compared by what they say, others match nothing' '
	leaf kinds "/O=Acme/CN=alice" "$GOOD" && twist kinds 0c05616c696365 1305616c696365 && is kinds acme &&
	twist kinds 1305616c696365 1605616c696365 && is kinds acme && twist kinds 1605616c696365 1405616c696365 &&
	is_nobody kinds "subject is CN=alice,O=Acme, wanted CN=alice,O=Acme" && leaf bmp "/O=Acme/CN=0123456789" "$GOOD" &&
	twist bmp 0c0a30313233343536373839 1e0a0061006c006900630065 && is_nobody bmp "subject is" &&
	leaf bmp-any "/O=Acme/OU=any/CN=0123456789" "$GOOD" && is bmp-any any &&
	twist bmp-any 0c0a30313233343536373839 1e0a0061006c006900630065 && is_nobody bmp-any "subject is"
'

test_expect_success 'NUL, newline, tab, escape: no match, one line of the audit log, nothing raw in any' '
	leaf nul "/O=Acme/CN=alice.x" "$GOOD" && twist nul 616c6963652e78 616c6963650078 && is_nobody nul "subject is" &&
	for x in 0a 09 1b 0d 7f; do
		leaf control "/O=Acme/CN=alice.x" "$GOOD" && twist control 616c6963652e78 "616c696365${x}78" &&
		is_nobody control "subject is" && leaf any "/O=Acme/OU=any/CN=alice.x" "$GOOD" &&
		twist any 616c6963652e78 "616c696365${x}78" && is_nobody any "subject is" || return 1
	done && json_lines server.audit && ! LC_ALL=C grep -l "[[:cntrl:]]" server.log server.audit explained any.err nul.err
'

test_expect_success 'what looks like an escape, a path or a format is a value like others' '
	for cn in "#0c05616c696365" "..\\/..\\/etc" "%s%n" "alice\\\\00" "\$(reboot)" "\`id\`"; do
		leaf odd "/O=Acme/CN=$cn" "$GOOD" && is_nobody odd "subject is" || return 1
	done
'

test_expect_success 'no subject at all' '
	leaf none "/" "$GOOD;subjectAltName=critical,URI:urn:acme:x" && is_nobody none "subject is empty" &&
	conf map urn anchor other && conf map urn uri urn:acme:x && conf map urn root "$TRASH/files/alice" &&
	conf map urn rights list && conf map urn account "$ACCOUNT" && reload && is none urn
'

test_expect_success 'a star is a whole value; as a value it is escaped' '
	leaf any "/O=Acme/OU=any/CN=whoever" "$GOOD" && is any any && leaf other-unit "/O=Acme/OU=some/CN=whoever" "$GOOD" &&
	is_nobody other-unit "subject is" && leaf literal "/O=Star/CN=*" "$GOOD" && is literal star &&
	leaf no-star "/O=Star/CN=x" "$GOOD" && is_nobody no-star "subject is" && cp map good.map &&
	for s in "CN=al*,O=Acme" "CN=*ice" "CN=**" "*=alice" "*"; do
		conf map acme subject "$s" && reload_fails "\[acme\] subject: " || return 1
	done && cp good.map map && reload
'

test_expect_success 'what consign-pki prints for the map is no pattern' '
	consign-pki issue client "CN=*,O=Wild" --file-key --pin "$SOFTHSM_PIN_FILE" --out wild.pem >wild.issued &&
	grep -F "subject     = CN=\\2a,O=Wild" wild.issued && sed -n "/^subject  *=/s/.*= //p" wild.issued | head -n 1 >wild.subject &&
	conf map wild anchor site && awk -v s="$(sed "s/\\\\/\\\\\\\\/g" wild.subject)" "{ print } /^\[wild\]/ { print \"subject = \" s }" map >map.new &&
	mv map.new map && conf map wild root "$TRASH/files/alice" && conf map wild rights list && conf map wild account "$ACCOUNT" &&
	reload && explained 0 wild.pem list / && grep "^user: wild " explained
'

test_expect_success 'two rules for the same certificates are an error, however they are written' '
	cp map good.map && rule again other "cn=alice, 2.5.4.10=\\\\41cme" && reload_fails "the same certificates as \[acme\]" &&
	cp good.map map && reload
'

test_done
