/* SPDX-License-Identifier: ISC */
/* A request for a certificate: names and subject that are taken from it come out of the certificate that is made of them
 * as they went in. Inputs are requests in DER. */
#include "fuzz.h"

#include "issued.h"
#include <gnutls/x509.h>

static struct names names;

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *copy = fuzz_copy(data, n);
    const gnutls_datum_t der = {copy, (unsigned)n};
    gnutls_x509_crq_t crq;
    struct cert_dn dn = {NULL, 0};
    names.n = 0;
    FUZZ_MUST(gnutls_x509_crq_init(&crq) >= 0);
    if (gnutls_x509_crq_import(crq, &der, GNUTLS_X509_FMT_DER) >= 0 &&
        names_from_request(crq, &names, &dn) == ERR_OK)
        issued_check(&names, &dn);
    cert_dn_release(&dn);
    gnutls_x509_crq_deinit(crq);
    free(copy);
}

static void seed(const char *subject, const char *const *sans)
{
    gnutls_x509_crq_t crq;
    gnutls_privkey_t key;
    gnutls_pubkey_t pub;
    gnutls_datum_t der;
    struct cert_dn dn = {NULL, 0};
    names.n = 0;
    for (; *sans; sans++)
        FUZZ_MUST(names_add_text(&names, *sans) == ERR_OK);
    FUZZ_MUST(!subject || !cert_dn_check(subject, &dn));
    FUZZ_MUST(gnutls_privkey_init(&key) >= 0 && gnutls_pubkey_init(&pub) >= 0 &&
              gnutls_x509_crq_init(&crq) >= 0);
    FUZZ_MUST(gnutls_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 0, 0) >= 0);
    FUZZ_MUST(gnutls_pubkey_import_privkey(pub, key, 0, 0) >= 0 &&
              gnutls_x509_crq_set_version(crq, 1) >= 0);
    FUZZ_MUST(gnutls_x509_crq_set_pubkey(crq, pub) >= 0 &&
              names_put_request(crq, &names, &dn) == ERR_OK);
    FUZZ_MUST(gnutls_x509_crq_privkey_sign(crq, key, GNUTLS_DIG_SHA512, 0) >= 0);
    FUZZ_MUST(gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_DER, &der) >= 0);
    fuzz_seed(der.data, der.size);
    gnutls_free(der.data);
    cert_dn_release(&dn);
    gnutls_x509_crq_deinit(crq);
    gnutls_pubkey_deinit(pub);
    gnutls_privkey_deinit(key);
}

void fuzz_seeds(void)
{
    static const char *const none[] = {NULL};
    static const char *const all[] = {"dns:a.example",     "ip:192.0.2.1",   "ip:2001:db8::1",
                                      "email:a@b.example", "uri:urn:acme:a", NULL};
    seed("CN=alice,O=Acme\\, Corp", none);
    seed(NULL, all);
    seed("CN=a.example,OU=\\c3\\a9,C=DE,emailAddress=a@b.c", all);
}
