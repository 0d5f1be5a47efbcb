/* SPDX-License-Identifier: ISC */
/* A certificate, unverified: what is told of it can be shown, is bounded, and says what GnuTLS says; alternative names
 * that may be signed come out of another certificate as they went in. */
#include "fuzz.h"

#include "../unit/lib/certs.h"
#include "cert.h"
#include "issued.h"
#include <gnutls/x509.h>

static void check_id(const struct cert_id *id)
{
    FUZZ_MUST(id->n_sans <= 64 && id->anchor[0] == '\0');
    FUZZ_MUST(fuzz_shows(id->subject_text, strlen(id->subject_text), false));
    FUZZ_MUST(fuzz_shows(id->issuer_text, strlen(id->issuer_text), false));
    FUZZ_MUST(strspn(id->serial, "0123456789abcdef") == strlen(id->serial));
    for (size_t i = 0; i < id->n_sans; i++)
        FUZZ_MUST(id->sans[i].type <= CERT_SAN_URI && id->sans[i].n <= 1024);
}

static void check_names(gnutls_x509_crt_t crt)
{
    static struct names names;
    const struct cert_dn nobody = {NULL, 0};
    char text[8192];
    names.n = 0;
    if (names_from_cert(crt, &names) != ERR_OK)
        return;
    for (size_t i = 0; i < names.n; i++)
        FUZZ_MUST(names_value_ok(names.list[i].type, names.list[i].value, names.list[i].n));
    names_text(&names, text, sizeof text);
    FUZZ_MUST(fuzz_shows(text, strlen(text), false));
    issued_check(&names, &nobody);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *copy = fuzz_copy(data, n);
    const gnutls_datum_t der = {copy, (unsigned)n};
    gnutls_x509_crt_t crt;
    struct cert_id id;
    FUZZ_MUST(gnutls_x509_crt_init(&crt) >= 0);
    bool good = gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) >= 0;
    enum err e = cert_id_read(&der, &id);
    FUZZ_MUST(e != ERR_OK || good);
    if (e == ERR_OK)
        check_id(&id);
    if (good)
        check_names(crt);
    cert_id_release(&id);
    gnutls_x509_crt_deinit(crt);
    free(copy);
}

static void seed(const struct certs_spec *spec)
{
    struct certs_cert c = certs_issue(spec, NULL);
    fuzz_seed(c.der.data, c.der.size);
    certs_release(&c);
}

void fuzz_seeds(void)
{
    static const uint8_t address[] = {127, 0, 0, 1};
    struct certs_der odd = {.n = 0};
    struct certs_spec plain = {.cn = "alice",
                               .ca = CERTS_LEAF,
                               .dns = "a.example",
                               .email = "a@b.c",
                               .uri = "urn:x:y",
                               .ip4 = address,
                               .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
                               .purpose = {GNUTLS_KP_TLS_WWW_CLIENT, GNUTLS_KP_TLS_WWW_SERVER}};
    struct certs_spec ca = {.cn = "ca",
                            .ca = CERTS_CA,
                            .path_length = 2,
                            .permit_dns = "example",
                            .exclude_dns = "x.example",
                            .permit_mail = "b.c",
                            .permit_dn = true};
    struct certs_spec old = {.cn = "old", .v1 = true}, strange = {.subject = &odd};
    certs_put_rdn(&odd, CERTS_O, CERTS_T61, "a\0b", 3, false);
    certs_put_rdn(&odd, CERTS_CN, CERTS_BMP, "\0a\0b", 4, false);
    certs_put_rdn(&odd, CERTS_OU, CERTS_UTF8, "x,y+z\x1b[m", 8, true);
    seed(&plain);
    seed(&ca);
    seed(&old);
    seed(&strange);
}
