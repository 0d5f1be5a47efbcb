/* SPDX-License-Identifier: ISC */
#include "issued.h"

#include "fuzz.h"
#include <gnutls/abstract.h>

static gnutls_privkey_t key;
static gnutls_pubkey_t pub;

static void make_key(void)
{
    if (key)
        return;
    FUZZ_MUST(gnutls_privkey_init(&key) >= 0 && gnutls_pubkey_init(&pub) >= 0);
    FUZZ_MUST(gnutls_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 0, 0) >= 0);
    FUZZ_MUST(gnutls_pubkey_import_privkey(pub, key, 0, 0) >= 0);
}

/* Signed by itself; out is another object that knows the DER alone. */
static void sign(gnutls_x509_crt_t crt, gnutls_x509_crt_t out)
{
    gnutls_datum_t der;
    make_key();
    FUZZ_MUST(gnutls_x509_crt_set_version(crt, 3) >= 0 &&
              gnutls_x509_crt_set_serial(crt, "\1", 1) >= 0);
    FUZZ_MUST(gnutls_x509_crt_set_pubkey(crt, pub) >= 0);
    FUZZ_MUST(gnutls_x509_crt_set_activation_time(crt, 1800000000) >= 0);
    FUZZ_MUST(gnutls_x509_crt_set_expiration_time(crt, 1900000000) >= 0);
    FUZZ_MUST(gnutls_x509_crt_privkey_sign(crt, crt, key, GNUTLS_DIG_SHA512, 0) >= 0);
    FUZZ_MUST(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) >= 0);
    FUZZ_MUST(gnutls_x509_crt_import(out, &der, GNUTLS_X509_FMT_DER) >= 0);
    gnutls_free(der.data);
}

static void check_names(gnutls_x509_crt_t crt, const struct names *names)
{
    static struct names again;
    again.n = 0;
    FUZZ_MUST(names_from_cert(crt, &again) == ERR_OK && again.n == names->n);
    for (size_t i = 0; i < names->n; i++)
        FUZZ_MUST(again.list[i].type == names->list[i].type &&
                  again.list[i].n == names->list[i].n &&
                  memcmp(again.list[i].value, names->list[i].value, names->list[i].n) == 0);
}

static void check_subject(gnutls_x509_crt_t crt, const struct cert_dn *subject)
{
    gnutls_x509_dn_t theirs;
    struct cert_dn dn;
    FUZZ_MUST(gnutls_x509_crt_get_subject(crt, &theirs) >= 0);
    FUZZ_MUST(cert_dn_read(theirs, &dn) == ERR_OK && dn.n == subject->n);
    FUZZ_MUST(dn.n == 0 || cert_dn_eq(&dn, subject));
    cert_dn_release(&dn);
}

void issued_check(const struct names *names, const struct cert_dn *subject)
{
    gnutls_x509_crt_t made, read;
    FUZZ_MUST(gnutls_x509_crt_init(&made) >= 0 && gnutls_x509_crt_init(&read) >= 0);
    if (names_put(made, names, subject) == ERR_OK) {
        sign(made, read);
        check_names(read, names);
        check_subject(read, subject);
    }
    gnutls_x509_crt_deinit(made);
    gnutls_x509_crt_deinit(read);
}
