/* SPDX-License-Identifier: ISC */
/* The signature on a partner's bundle. An input says how one that this process signed is changed: what is believed to be
 * signed is what was. */
#include "fuzz.h"

#include "../../pki/bundle.h"
#include "../unit/lib/certs.h"
#include <gnutls/pkcs7.h>

static const char said[] = "{\"consign-partner\": 1, \"name\": \"Acme\"}";
static struct certs_cert ca;
static gnutls_datum_t signed_der;
static char print[BUNDLE_PRINT];

/* The certificates of tests are of another time. */
static time_t now(time_t *at)
{
    if (at)
        *at = CERTS_NOW;
    return CERTS_NOW;
}

static void make_world(void)
{
    gnutls_pkcs7_t p7;
    gnutls_x509_crt_t crt;
    const gnutls_datum_t text = {(uint8_t *)(uintptr_t)said, sizeof said - 1};
    if (signed_der.data)
        return;
    gnutls_global_set_time_function(now);
    ca = certs_ca("acme", NULL);
    FUZZ_MUST(gnutls_x509_crt_init(&crt) >= 0 && gnutls_pkcs7_init(&p7) >= 0);
    FUZZ_MUST(gnutls_x509_crt_import(crt, &ca.der, GNUTLS_X509_FMT_DER) >= 0);
    FUZZ_MUST(bundle_print(crt, print) == ERR_OK);
    FUZZ_MUST(gnutls_pkcs7_sign(p7, crt, ca.key, &text, NULL, NULL, GNUTLS_DIG_SHA256,
                                GNUTLS_PKCS7_EMBED_DATA | GNUTLS_PKCS7_INCLUDE_CERT |
                                    GNUTLS_PKCS7_INCLUDE_TIME) >= 0);
    FUZZ_MUST(gnutls_pkcs7_export2(p7, GNUTLS_X509_FMT_DER, &signed_der) >= 0);
    gnutls_pkcs7_deinit(p7);
    gnutls_x509_crt_deinit(crt);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    gnutls_datum_t der, pem, json;
    gnutls_x509_crt_t signer;
    make_world();
    size_t size = signed_der.size;
    der.data = fuzz_edited(&r, signed_der.data, &size);
    der.size = (unsigned)size;
    FUZZ_MUST(gnutls_pem_base64_encode2("PKCS7", &der, &pem) >= 0);
    if (bundle_open(&pem, print, &json, &signer) == ERR_OK)
        FUZZ_MUST(json.size == sizeof said - 1 && memcmp(json.data, said, json.size) == 0);
    (void)bundle_names(&pem, print);
    gnutls_free(json.data);
    if (signer)
        gnutls_x509_crt_deinit(signer);
    gnutls_free(pem.data);
    free(der.data);
}

void fuzz_seeds(void)
{
    fuzz_seed("", 1);
    fuzz_seed("\1\0\40\0\60\2\1\0\60\1\1\1", 12);
    fuzz_seed("\3\0\0\3\0\0\60\2\7\1\1\1\0\200\2\40", 13);
}
