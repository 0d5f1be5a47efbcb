#!/bin/sh
# SPDX-License-Identifier: ISC
test_description='--explain: whatever is asked of a certificate, and each answer with its line; and what the manual shows'
# shellcheck source=t/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=t/xfer.sh
. "$SOURCE/t/xfer.sh"
# shellcheck source=t/ca.sh
. "$SOURCE/t/ca.sh"
# shellcheck source=t/map.sh
. "$SOURCE/t/map.sh"

says() {
	for line_; do
		grep -xF -e "$line_" explained || { echo "no line: $line_" && cat explained && return 1; }
	done
}

# The certificates of the manual's example, whose map is taken from there, for accounts that are here.
test_expect_success 'the example of the manual is a good map' '
	site_setup && for ca in acme home; do
		new_ca $ca "$ca CA" && conf server.conf "anchor $ca" ca $ca.pem && conf server.conf "anchor $ca" crl-policy if-present || return 1
	done && CA=acme leaf staff "/O=Acme Corp/CN=Acme Staff CA" "basicConstraints=critical,CA:TRUE;keyUsage=critical,keyCertSign,cRLSign" &&
	sed -n "/^and its map/,/^\.Ed/p" "$SOURCE/contrib/man/consignd.conf.5" | sed -n "/^\[/,/^\.Ed/p" | sed "\$d" >shown &&
	sed "s/^account .*/${ACCOUNT:+account = $ACCOUNT}/" shown >map && consignd --config server.conf --check
'

test_expect_success 'and what it says of --explain is what that says' '
	CA=staff leaf alice "/O=Acme Corp/OU=Staff/CN=alice" "$GOOD" && cat staff.pem >>alice.pem && TZ=CET-1 && export TZ &&
	day=$(date -u -d "next wednesday" +%Y-%m-%d) && explained 0 alice.pem create /report.txt --at ${day}T14:00:00Z &&
	sed -n "/^certificate: /,/^\.Ed/p" "$SOURCE/contrib/man/consignd.conf.5" | sed "\$d" >wanted && test "$(wc -l <wanted)" -ge 12 &&
	sed "/^account:/d; s/serial .*/serial/; s/until .*T/until T/" wanted >a && sed "/^account:/d; s/serial .*/serial/; s/until .*T/until T/" explained >b && test_cmp a b &&
	unset TZ
'

test_expect_success 'roots, rights and lines of the others' '
	CA=acme leaf batch "/O=Acme Corp/CN=batch" "$GOOD" && explained 0 batch.pem read /outbox/x/y &&
	says "user: acme-batch (map line 1)" "root: /outbox is /srv/consign/for-acme (map line 5)" \
		"folder or file: /srv/consign/for-acme/x/y" "rights: list read (map line 7)" "verdict: allowed by map line 7, which has read" &&
	explained 77 batch.pem create /outbox/x && says "verdict: not allowed by map line 7, which has no create" &&
	explained 0 batch.pem create /outboxes && says "folder or file: /srv/consign/acme/outboxes" &&
	explained 0 batch.pem create / && says "folder or file: /srv/consign/acme"
'

test_expect_success 'the nearest of the rules, by what it lacks' '
	CA=home leaf backup /CN=b "$GOOD;subjectAltName=URI:urn:example:backup" && explained 77 backup.pem create /x --at "$(date -u +%Y-%m-%d)T23:00:00Z" &&
	says "user: backup: refused" "told: this user may not connect from this address" && grep "rule backup .*: matches, but it has networks" explained &&
	explained 0 backup.pem create /x --from 192.0.2.9 --at "$(date -u +%Y-%m-%d)T23:00:00Z" &&
	explained 77 backup.pem create /x --from 192.0.2.9 --at "$(date -u -d tomorrow +%Y-%m-%d)T12:00:00Z" && says "told: this user may not connect at this hour" &&
	CA=acme leaf bob "/O=Acme Corp/OU=Staff/CN=bob" "$GOOD" && explained 77 bob.pem list / &&
	says "user: none: refused" "told: no rule of the map is for this certificate" \
		"  nearest: rule acme.%{CN} (map line 11): issued by CN=acme CA, wanted CN=Acme Staff CA,O=Acme Corp"
'

test_expect_success 'a certificate as PEM, with its chain, or as DER' '
	openssl x509 -in batch.pem -outform DER -out batch.der && explained 0 batch.der list /outbox && says "user: acme-batch (map line 1)" &&
	head -c 100 batch.der >half.der && explained 78 half.der list / && : >none.pem && explained 78 none.pem list / &&
	explained 78 missing.pem list /
'

test_expect_success 'what is refused before any rule is looked at says so' '
	new_ca foreign Foreign && CA=foreign leaf f /CN=batch "$GOOD" && explained 77 f.pem list / && grep "no trusted CA" explained && ! grep "^rules" explained &&
	explained 77 batch.pem list / --at 2001-01-01T00:00:00Z && grep "not valid before" explained &&
	explained 77 batch.pem list / --at 2060-01-01T00:00:00Z && grep "expired on" explained
'

test_expect_success 'a rule that can match nothing, as another above it is for all of its certificates, is warned of' '
	cp map good.map && printf "[%s]\nanchor = acme\nsubject = %s\nroot = /srv\nrights = list\n${ACCOUNT:+account = $ACCOUNT\n}" all "CN=*,O=Some" \
		hidden "CN=x,O=Some" other "CN=x,O=Other" >>map && consignd --config server.conf --check 2>err &&
	grep "\[hidden\]: matches nothing: its certificates are those of \[all\]" err && ! grep "\[other\]" err && test "$(grep -c matches.nothing err)" -eq 1 &&
	printf "[%s]\nanchor = acme\nsubject = %s\nuri = urn:x\nroot = /srv\nrights = list\n${ACCOUNT:+account = $ACCOUNT\n}" more "CN=x,O=Other" >>map &&
	consignd --config server.conf --check 2>err && grep "\[more\]: matches nothing: its certificates are those of \[other\]" err && cp good.map map
'

test_expect_success 'questions that are none' '
	explained 64 batch.pem fly / && explained 65 batch.pem list x && explained 65 batch.pem list /../x && explained 64 batch.pem list / --at now &&
	explained 64 batch.pem list / --from host.example && test_expect_code 64 consignd --config server.conf --at 2026-11-25T14:00:00Z --check &&
	test_expect_code 64 consignd --config server.conf --from ::1
'

test_done
