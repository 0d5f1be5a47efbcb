/* SPDX-License-Identifier: ISC */
/* Who a certificate says the peer is, and whether that may be believed. GnuTLS parses and verifies;
 * what it leaves out by default is asked for here, after every handshake, resumed or not:
 *
 *   - the chain ends at a named trust anchor, and it is known at which one;
 *   - key purpose: clientAuth for a client, serverAuth for a server, named in the leaf (not "any",
 *     not absent), and no CA of the chain limited to others;
 *   - the leaf is X.509 v3, not a CA, may make digital signatures, is strong enough (RSA >= 2048,
 *     P-256, P-384, P-521, Ed25519) and not signed with SHA-1 or MD5, and so is its whole chain;
 *   - revocation: for every certificate of the chain below the anchor a CRL of its issuer, valid
 *     now, where the anchor's policy demands one; a revoked one always refuses;
 *   - the constraints of every CA of the chain: path length, and names (RFC 5280, 4.2.1.10) of hosts,
 *     e-mail and addresses; constraints of URIs and directory names, which GnuTLS can't check, refuse
 *     what they are about;
 *   - a server's name by SAN only.
 *
 * Nothing is ever fetched from addresses that a certificate names. */
#ifndef CONSIGN_CERT_H
#define CONSIGN_CERT_H

#include "err.h"
#include "fips.h"
#include "wire.h"
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stddef.h>
#include <time.h>

/* One attribute of a distinguished name: dotted OID and decoded value. A value that is not a
 * UTF8String, PrintableString or IA5String (BMPString, T61String ...) has comparable = false and
 * equals nothing. */
struct cert_ava {
    char oid[64];
    bool comparable;
    bool any; /* of a pattern: whatever the value */
    uint8_t *value;
    size_t n;
};
/* A relative distinguished name: a set of attributes. */
struct cert_rdn {
    struct cert_ava *avas;
    size_t n;
};
/* A name: RDNs in the certificate's order (which is the reverse of how RFC 4514 writes them). */
struct cert_dn {
    struct cert_rdn *rdns;
    size_t n;
};

/* Parses RFC 4514 text ("CN=alice,O=Acme Corp"; multi-valued "OU=x+CN=y"; escapes; #hex of a DER
 * string; CN O OU C ST L STREET DC UID emailAddress serialNumber or a dotted OID, case-insensitive)
 * into out, in the certificate's order. ERR_CONFIG, logged with what is wrong. An empty name is
 * refused. */
enum err cert_dn_parse(const char *text, struct cert_dn *out) MUST_CHECK;
/* The same for callers that report themselves: NULL, or what is wrong (static; nothing is logged).
 */
const char *cert_dn_check(const char *text, struct cert_dn *out) MUST_CHECK;
/* The same, as a pattern: a value that is nothing but "*" stands for any value that can be shown (text.h) of the three
 * kinds of string that are comparable; it must be the only one of its type in its RDN. A star in any other place
 * is refused: where it is part of a value it is written \2a. */
const char *cert_dn_check_pattern(const char *text, struct cert_dn *out) MUST_CHECK;
/* A name's text with its stars so written, to be pasted where patterns are read; the caller frees it. NULL without
 * memory. */
char *cert_dn_literal(const char *text);
/* The same from a parsed certificate's name; an empty one gives n == 0. */
enum err cert_dn_read(gnutls_x509_dn_t dn, struct cert_dn *out) MUST_CHECK;
/* RDN by RDN in order, each as a set, on decoded values byte by byte. An empty name or value equals
 * nothing. */
bool cert_dn_eq(const struct cert_dn *a, const struct cert_dn *b);
/* The same, with a pattern. */
bool cert_dn_match(const struct cert_dn *pattern, const struct cert_dn *dn);
/* How many attributes of that type (as it is written in a name; case-insensitive) there are, and one of them in *ava. */
size_t cert_dn_find(const struct cert_dn *dn, const char *type, const struct cert_ava **ava);
void cert_dn_release(struct cert_dn *dn);

enum cert_san_type { CERT_SAN_DNS, CERT_SAN_EMAIL, CERT_SAN_URI };
struct cert_san {
    enum cert_san_type type;
    uint8_t *value; /* may hold any byte; n is what counts */
    size_t n;
};

/* Who the leaf names. */
struct cert_id {
    struct cert_dn subject; /* n == 0: the subject is empty */
    struct cert_dn issuer;
    char subject_text[512]; /* RFC 4514, scrubbed (log.h): for people only, never to compare */
    char issuer_text[512];
    char serial[64]; /* hex */
    struct cert_san *sans;
    size_t n_sans;
    uint8_t spki_sha256[WIRE_HASH]; /* fingerprint of the public key (SubjectPublicKeyInfo) */
    uint8_t cert_sha256[WIRE_HASH]; /* of the whole certificate */
    time_t not_after;
    /* Set by cert_judge: */
    char anchor[65]; /* name of the trust anchor it was verified against; "" before */
    time_t until; /* the last second at which the verdict is the same, as far as time alone goes */
    time_t stale; /* when a list that was obeyed ran out, although it still counts; 0: none did */
    char unapproved[FIPS_NOTE]; /* what of its chain is not approved, where cert_store_fips asks */
};
void cert_id_release(struct cert_id *id);

/* What the DER certificate says, unverified: for --explain and for printing. */
enum err cert_id_read(const gnutls_datum_t *der, struct cert_id *out) MUST_CHECK;

enum cert_crl_policy {
    CERT_CRL_IF_PRESENT, /* a CRL that is there is obeyed; an expired one is an error */
    CERT_CRL_REQUIRE,    /* every certificate below the anchor needs one that is valid now */
};

/* What it means that a list ran out: an error; an error once that is grace_s ago; or nothing. What it
 * revokes stays revoked in any case. */
enum cert_stale { CERT_STALE_FAIL, CERT_STALE_GRACE, CERT_STALE_WARN };
struct cert_staleness {
    enum cert_stale what;
    int64_t grace_s; /* with CERT_STALE_GRACE */
};
/* Reads "fail", "warn" or "grace TIME" (conf.h). ERR_CONFIG, logged with its place. */
struct conf_at;
enum err cert_stale_parse(const struct conf_at *at, const char *value,
                          struct cert_staleness *out) MUST_CHECK;

/* The trust anchors: named sets of CA certificates with their CRLs. */
struct cert_store;
enum err cert_store_new(struct cert_store **out) MUST_CHECK;
void cert_store_free(struct cert_store *s);
/* With FIPS_REQUIRE certificates and CRLs that are not approved are errors from here on, both those
 * that are added and those that are judged; with FIPS_REPORT those that are added are warned of. */
void cert_store_fips(struct cert_store *s, enum fips_mode mode);
/* Adds the anchor name: CA certificates (PEM, one or more; each must be a CA, v3, and in no other
 * anchor) and CRLs (PEM, may be NULL); either may be "fd:N", a descriptor that stays open. A missing, empty or unreadable file (conf_open) is
 * ERR_CONFIG, logged with its name; so is a CRL in the name of one of these CAs that none of them
 * signed, one without end and one that is partial. A CRL in another name is for an intermediate CA
 * of that name, and its signature is looked at when it is used. */
enum err cert_store_add(struct cert_store *s, const char *name, const char *ca_file,
                        const char *crl_file, enum cert_crl_policy policy) MUST_CHECK;
/* Says what stale lists mean under the anchor that was added last; CERT_STALE_FAIL unless said. */
void cert_store_stale(struct cert_store *s, struct cert_staleness how);
/* The anchor that was added last holds up to then, and nobody is believed by it afterwards. */
void cert_store_until(struct cert_store *s, time_t until);
bool cert_store_has(const struct cert_store *s, const char *name);
/* How many anchors; their names by index. */
size_t cert_store_count(const struct cert_store *s);
const char *cert_store_name(const struct cert_store *s, size_t i);

/* What in the names of crt the name constraints of ca do not allow (static text), or NULL. A kind of
 * constraint that can't be checked counts as not allowing. Both must have been imported. */
const char *cert_constraint_fault(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca) MUST_CHECK;

/* Whether there is a constraint of that kind. */
bool cert_constraint_has(gnutls_x509_name_constraints_t nc, gnutls_x509_subject_alt_name_t type);

/* What is known of a revocation list. */
struct cert_crl_facts {
    const char *anchor; /* borrowed from the store */
    char issuer[512];   /* RFC 4514, scrubbed */
    char number[65];    /* hex; "" when it has none */
    time_t this_update, next_update;
    time_t counts_until; /* by what stale means under its anchor; 0: for good */
    size_t revoked;
};
/* The list number i of all anchors together; false when there is no such. */
bool cert_store_crl(const struct cert_store *s, size_t i, struct cert_crl_facts *out);

enum cert_role { CERT_CLIENT, CERT_SERVER };

/* Judges the peer's chain (leaf first, as gnutls_certificate_get_peers gives it) at the time now.
 * For CERT_SERVER host is the name or the address it must carry as SAN; else NULL. On success *out
 * is filled (release it). ERR_AUTH with an honest reason (log_reason): which certificate and why:
 * "certificate of CN=alice,O=Acme: revoked on 2026-11-24", "expired on ...", "not yet valid",
 * "issued by no trusted CA", "not for clients (key purpose)", ... Where several anchors fail, the
 * reason of the one that got furthest. Only the anchors nearest to the leaf are tried: a CA that is
 * an anchor by itself is not also one below another anchor. */
enum err cert_judge(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                    enum cert_role role, const char *host, time_t now,
                    struct cert_id *out) MUST_CHECK;

/* The same judgement for people: nothing is left out after the first reason, each is given to a
 * call of each, and none is logged. */
typedef void cert_reason_fn(void *arg, const char *why);
enum err cert_judge_all(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                        enum cert_role role, const char *host, time_t now, cert_reason_fn *each,
                        void *arg, struct cert_id *out) MUST_CHECK;

/* Whether it takes little to verify a signature by the key, and it is of a kind that is accepted at all: RSA up to 16384 bits
 * with an exponent up to 64 bits, or a curve. What a peer shows may have a key, made in a moment, of hundreds of thousands of
 * bits, with which one verification takes minutes; so it is asked before any signature by the peer's keys is looked at. */
bool cert_key_bearable(gnutls_pubkey_t key) MUST_CHECK;
bool cert_bearable(gnutls_x509_crt_t crt) MUST_CHECK;

/* ---- fips.h ---- */

/* Whether key and signature of a certificate, or the signature of a CRL, are approved: false with why,
 * and what to do. The signature of an anchor's own certificate proves nothing and is not looked at. */
bool cert_approved(gnutls_x509_crt_t crt, bool anchor, char why[static FIPS_TEXT]);
bool cert_crl_approved(gnutls_x509_crl_t crl, char why[static FIPS_TEXT]);

/* The same for a chain of our own: FIPS_REQUIRE: ERR_CONFIG, logged, with what (its file) and
 * which certificate; FIPS_REPORT: a warning. */
enum err cert_chain_fips(const gnutls_pcert_st *chain, unsigned n, enum fips_mode mode,
                         const char *what) MUST_CHECK;

#endif
