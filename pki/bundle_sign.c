/* SPDX-License-Identifier: ISC */
/* The signature on a bundle. */
#include "bundle.h"

#include "log.h"
#include <ctype.h>
#include <gnutls/pkcs7.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    CERTS = 8,
    FLAGS = GNUTLS_PKCS7_EMBED_DATA | GNUTLS_PKCS7_INCLUDE_CERT | GNUTLS_PKCS7_INCLUDE_TIME
};

enum err bundle_print(gnutls_x509_crt_t crt, char out[static BUNDLE_PRINT])
{
    unsigned char hash[WIRE_HASH];
    size_t n = sizeof hash;
    int rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, hash, &n);
    if (rc < 0 || n != sizeof hash)
        return log_fail(ERR_INTERNAL, "a certificate's fingerprint: %s", gnutls_strerror(rc));
    memcpy(out, "SHA256:", 8);
    for (size_t i = 0; i < n; i++)
        snprintf(out + 7 + 2 * i, 3, "%02x", hash[i]);
    return ERR_OK;
}

enum err bundle_print_parse(const char *text, char out[static BUNDLE_PRINT])
{
    size_t n = 7;
    const char *s = text + 7;
    bool good = strncasecmp(text, "SHA256:", 7) == 0;
    memcpy(out, "SHA256:", 7);
    for (; good && *s; s++) {
        if (*s == ':')
            continue;
        good = isxdigit((unsigned char)*s) && n < BUNDLE_PRINT - 1;
        if (good)
            out[n++] = (char)tolower((unsigned char)*s);
    }
    out[n] = '\0';
    return good && n == BUNDLE_PRINT - 1
               ? ERR_OK
               : log_fail(ERR_USAGE, "a fingerprint is SHA256: and 64 hex digits");
}

enum err bundle_sign(const struct ca *ca, const gnutls_datum_t *json, gnutls_datum_t *pem)
{
    gnutls_pkcs7_t p7 = NULL;
    int rc = gnutls_pkcs7_init(&p7);
    if (rc >= 0)
        rc = gnutls_pkcs7_sign(p7, ca->crt, ca->key, json, NULL, NULL, ca_digest(ca), FLAGS);
    if (rc >= 0)
        rc = gnutls_pkcs7_export2(p7, GNUTLS_X509_FMT_PEM, pem);
    if (p7)
        gnutls_pkcs7_deinit(p7);
    return rc < 0 ? log_fail(ERR_INTERNAL, "the bundle can't be signed: %s", gnutls_strerror(rc))
                  : ERR_OK;
}

static enum err import(const gnutls_datum_t *pem, gnutls_pkcs7_t *out)
{
    int rc = pem->size > BUNDLE_MAX ? GNUTLS_E_LARGE_PACKET : gnutls_pkcs7_init(out);
    if (rc >= 0)
        rc = gnutls_pkcs7_import(*out, pem, GNUTLS_X509_FMT_PEM);
    return rc < 0 ? log_fail(ERR_TYPE, "not a partner's bundle: %s", gnutls_strerror(rc)) : ERR_OK;
}

/* The certificate in it that has the fingerprint; NULL when there is none. The caller frees. */
static gnutls_x509_crt_t find(gnutls_pkcs7_t p7, const char *print)
{
    int n = gnutls_pkcs7_get_crt_count(p7);
    for (unsigned i = 0; n > 0 && i < (unsigned)n && i < CERTS; i++) {
        gnutls_datum_t der = {NULL, 0};
        gnutls_x509_crt_t crt = NULL;
        char own[BUNDLE_PRINT];
        bool same = gnutls_pkcs7_get_crt_raw2(p7, i, &der) >= 0 &&
                    gnutls_x509_crt_init(&crt) >= 0 &&
                    gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) >= 0 &&
                    !bundle_print(crt, own) && strcmp(own, print) == 0;
        gnutls_free(der.data);
        if (same)
            return crt;
        if (crt)
            gnutls_x509_crt_deinit(crt);
    }
    return NULL;
}

static enum err verify(gnutls_pkcs7_t p7, gnutls_x509_crt_t signer, gnutls_datum_t *json)
{
    if (gnutls_pkcs7_get_signature_count(p7) != 1)
        return log_fail(ERR_AUTH, "the bundle has not one signature");
    int rc = gnutls_pkcs7_get_embedded_data(p7, 0, json);
    if (rc >= 0)
        rc = gnutls_pkcs7_verify_direct(p7, signer, 0, NULL, 0);
    return rc < 0
               ? log_fail(ERR_AUTH, "the bundle's signature does not hold: %s", gnutls_strerror(rc))
               : ERR_OK;
}

enum err bundle_open(const gnutls_datum_t *pem, const char *print, gnutls_datum_t *json,
                     gnutls_x509_crt_t *signer)
{
    gnutls_pkcs7_t p7 = NULL;
    *json = (gnutls_datum_t){NULL, 0};
    *signer = NULL;
    enum err e = import(pem, &p7);
    if (!e && !(*signer = find(p7, print)))
        e = log_fail(
            ERR_AUTH,
            "the bundle is not signed by the CA with the fingerprint %s: ask whom it is from",
            print);
    if (!e)
        e = verify(p7, *signer, json);
    if (p7)
        gnutls_pkcs7_deinit(p7);
    return e;
}

bool bundle_names(const gnutls_datum_t *pem, const char *print)
{
    gnutls_pkcs7_t p7 = NULL;
    log_quiet(true);
    gnutls_x509_crt_t crt = import(pem, &p7) ? NULL : find(p7, print);
    log_quiet(false);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (p7)
        gnutls_pkcs7_deinit(p7);
    return crt != NULL;
}
