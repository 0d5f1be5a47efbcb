/* SPDX-License-Identifier: ISC */
/* Certificates and revocation lists against the table of what is approved. */
#include "cert_internal.h"

#include "log.h"
#include <stdio.h>

static bool signature_approved(int algorithm, const char *what, char why[static FIPS_TEXT])
{
    const char *name =
        algorithm > 0 ? gnutls_sign_get_name((gnutls_sign_algorithm_t)algorithm) : NULL;
    if (fips_approved(FIPS_SIGNATURE, name))
        return true;
    snprintf(why, FIPS_TEXT,
             "signed with %s, which is not approved: have %s issued anew, with ECDSA or RSA and "
             "SHA-256 or longer",
             name ? name : "an unknown algorithm", what);
    return false;
}

bool cert_approved(gnutls_x509_crt_t crt, bool anchor, char why[static FIPS_TEXT])
{
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    const char *kind = pk > 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t)pk) : NULL;
    if (!fips_key(kind, bits)) {
        snprintf(why, FIPS_TEXT,
                 "its key (%s, %u bits) is not approved: make one of P-256, P-384, or RSA of 2048 "
                 "bits or more",
                 kind ? kind : "unknown", bits);
        return false;
    }
    return anchor ||
           signature_approved(gnutls_x509_crt_get_signature_algorithm(crt), "the certificate", why);
}

bool cert_crl_approved(gnutls_x509_crl_t crl, char why[static FIPS_TEXT])
{
    return signature_approved(gnutls_x509_crl_get_signature_algorithm(crl), "the list", why);
}

/* What was found in a file of ours, as the mode wants it. */
static enum err complain(enum fips_mode mode, const char *file, const char *what, const char *why)
{
    if (mode == FIPS_REQUIRE)
        return log_fail(ERR_CONFIG, "%s: %s: %s (fips = require)", file, what, why);
    log_warn("%s: %s: %s", file, what, why);
    return ERR_OK;
}

enum err cert_chain_fips(const gnutls_pcert_st *chain, unsigned n, enum fips_mode mode,
                         const char *what)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; mode != FIPS_OFF && e == ERR_OK && i < n; i++) {
        char why[FIPS_TEXT], subject[CERT_TEXT];
        gnutls_x509_crt_t crt = NULL;
        gnutls_pcert_st copy = chain[i];
        int rc = gnutls_pcert_export_x509(&copy, &crt);
        if (rc < 0)
            return log_fail(ERR_CONFIG, "%s: %s", what, gnutls_strerror(rc));
        cert_subject_text(crt, subject);
        /* One that ends its chain is the anchor itself. */
        bool own = gnutls_x509_crt_check_issuer(crt, crt) != 0;
        if (!cert_approved(crt, own, why))
            e = complain(mode, what, subject, why);
        gnutls_x509_crt_deinit(crt);
    }
    return e;
}

enum err cert_anchor_fips(const struct cert_anchor *a, enum fips_mode mode, const char *ca_file,
                          const char *crl_file)
{
    char why[FIPS_TEXT], subject[CERT_TEXT];
    enum err e = ERR_OK;
    for (unsigned i = 0; mode != FIPS_OFF && e == ERR_OK && i < a->n_cas; i++) {
        cert_subject_text(a->cas[i], subject);
        if (!cert_approved(a->cas[i], true, why))
            e = complain(mode, ca_file, subject, why);
    }
    for (unsigned i = 0; mode != FIPS_OFF && e == ERR_OK && i < a->n_crls; i++)
        if (!cert_crl_approved(a->crls[i].crl, why))
            e = complain(mode, crl_file, "revocation list", why);
    return e;
}
