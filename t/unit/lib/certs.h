/* SPDX-License-Identifier: ISC */
/* Certificates and CRLs for tests, written as DER by hand so that they can be wrong in any way.
 * Keys live in memory. What can't be made aborts the test program. */
#ifndef CONSIGN_T_CERTS_H
#define CONSIGN_T_CERTS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* The moment the tests live in: 2027-01-15 08:00 UTC. */
enum { CERTS_NOW = 1800000000, CERTS_DAY = 86400 };

/* ---- DER ---- */

struct certs_der {
    uint8_t p[8192];
    size_t n;
};
/* Appends one element. */
void certs_put(struct certs_der *d, uint8_t tag, const void *content, size_t n);
/* Appends an RDN of one attribute, or with more set adds to the RDN put last. */
void certs_put_rdn(struct certs_der *name, const char *oid, uint8_t tag, const void *value,
                   size_t n, bool more);
#define CERTS_CN "2.5.4.3"
#define CERTS_O  "2.5.4.10"
#define CERTS_OU "2.5.4.11"
enum {
    CERTS_UTF8 = 0x0c,
    CERTS_PRINTABLE = 0x13,
    CERTS_T61 = 0x14,
    CERTS_IA5 = 0x16,
    CERTS_BMP = 0x1e
};

/* ---- certificates ---- */

enum certs_ca { CERTS_NO_BASIC, CERTS_LEAF, CERTS_CA };

struct certs_spec {
    const char *cn;                  /* the subject is CN=cn, unless */
    const struct certs_der *subject; /* these RDNs are given (n == 0: empty) */
    bool v1;
    enum certs_ca ca;
    int path_length;                      /* of a CA: one more than the number; 0: any */
    const char *permit_dns, *permit_mail; /* name constraints of a CA */
    const char *permit_uri;
    const char *exclude_dns;
    bool permit_dn;         /* O=Partner */
    unsigned usage;         /* GNUTLS_KEY_*; 0: no extension */
    const char *purpose[3]; /* OIDs; none: no extension */
    const char *dns, *email, *uri;
    const uint8_t *ip4;
    int from_days, to_days; /* from CERTS_NOW; both 0: -30 and 30 */
    unsigned rsa_bits;      /* 0: P-256 */
    bool swapped;   /* RSA: the exponents, so that the public one is as long as the modulus */
    bool sha1;      /* signed with SHA-1 */
    bool broken;    /* one bit of the signature is wrong */
    uint8_t serial; /* 0: the next free one */
};

struct certs_cert {
    gnutls_datum_t der;
    gnutls_privkey_t key;
    struct certs_der name; /* the RDNs of its subject */
    uint8_t serial;
};

/* Signed by issuer, or by itself where that is NULL. */
struct certs_cert certs_issue(const struct certs_spec *spec, const struct certs_cert *issuer);
/* A CA; a leaf as the map and the judgement like it. */
struct certs_cert certs_ca(const char *cn, const struct certs_cert *issuer);
struct certs_cert certs_client(const char *cn, const struct certs_cert *issuer);
struct certs_cert certs_server(const char *dns, const struct certs_cert *issuer);
void certs_release(struct certs_cert *c);

/* ---- CRLs and files ---- */

struct certs_crl {
    const struct certs_cert *issuer;
    const struct certs_cert *signer; /* NULL: issuer */
    int from_days, to_days;          /* both 0: -1 and 7 */
    uint8_t revoked[4];              /* serials; 0: none */
    gnutls_datum_t revoked_octets;   /* one more, as encoded; size 0: none */
    bool partial;                    /* with a critical extension that limits its scope */
    bool no_next;
};

/* Writes PEM to path: n certificates, or n CRLs. */
void certs_write(const char *path, const struct certs_cert *const *certs, size_t n);
void certs_write_crls(const char *path, const struct certs_crl *crls, size_t n);

#endif
