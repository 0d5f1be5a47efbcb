/* SPDX-License-Identifier: ISC */
/* What the files of cert share; not for others. */
#ifndef CONSIGN_CERT_INTERNAL_H
#define CONSIGN_CERT_INTERNAL_H

#include "cert.h"
#include <gnutls/x509.h>

enum { CERT_TEXT = 512, CERT_SERIAL = 32 };

struct cert_revoked {
    uint8_t serial[CERT_SERIAL]; /* the number, zeros in front */
    time_t when;
};

struct cert_crl {
    gnutls_x509_crl_t crl;
    bool own;                     /* a CA of the anchor signed it; else one below it must have */
    struct cert_revoked *revoked; /* sorted by serial */
    size_t n;
};

struct cert_anchor {
    char name[65];
    enum cert_crl_policy policy;
    struct cert_staleness stale;
    time_t until; /* the last second at which it is one; 0: for good */
    gnutls_x509_crt_t *cas;
    unsigned n_cas;
    struct cert_crl *crls;
    unsigned n_crls;
};

struct cert_store {
    struct cert_anchor *anchors;
    size_t n;
    enum fips_mode fips;
};

/* The subject for people, scrubbed. */
void cert_subject_text(gnutls_x509_crt_t crt, char out[static CERT_TEXT]);

/* The whole file (conf_open; "fd:N": what descriptor N reads), with a NUL behind it; the caller frees out->data. */
enum err cert_read_file(const char *file, gnutls_datum_t *out) MUST_CHECK;

/* Reads the CRLs of an anchor that has its CAs. On failure, too, release is called for. */
enum err cert_crls_load(struct cert_anchor *a, const char *file) MUST_CHECK;
void cert_crls_release(struct cert_anchor *a);

/* Whether a CRL in the issuer's name is to be believed: signed by it, or by a CA of the anchor (of
 * the same name, that is by the same one with another key). */
bool cert_crl_speaks_for(const struct cert_crl *crl, gnutls_x509_crt_t issuer);

/* The first second at which the list does not count any more; INT64_MAX when there is none. */
time_t cert_crl_end(const struct cert_anchor *a, const struct cert_crl *crl);

/* When the certificate was revoked; 0 when it was not. */
time_t cert_crl_revoked(const struct cert_crl *crl, gnutls_x509_crt_t crt);

/* An anchor that was read from these files against the table of what is approved: FIPS_REQUIRE:
 * ERR_CONFIG, FIPS_REPORT: a warning. */
enum err cert_anchor_fips(const struct cert_anchor *a, enum fips_mode mode, const char *ca_file,
                          const char *crl_file) MUST_CHECK;

#endif
