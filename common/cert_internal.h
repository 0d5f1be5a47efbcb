/* SPDX-License-Identifier: ISC */
/* What the files of cert share; not for others. */
#ifndef CONSIGN_CERT_INTERNAL_H
#define CONSIGN_CERT_INTERNAL_H

#include "cert.h"
#include <gnutls/x509.h>

enum { CERT_TEXT = 512, CERT_SERIAL = 64 };

struct cert_anchor {
    char name[65];
    enum cert_crl_policy policy;
    gnutls_x509_crt_t *cas;
    unsigned n_cas;
    gnutls_x509_crl_t *crls;
    unsigned n_crls;
};

struct cert_store {
    struct cert_anchor *anchors;
    size_t n;
};

/* The subject for people, scrubbed. */
void cert_subject_text(gnutls_x509_crt_t crt, char out[static CERT_TEXT]);

/* Whether crl bears a good signature by issuer. */
bool cert_crl_signed_by(gnutls_x509_crl_t crl, gnutls_x509_crt_t issuer);

#endif
