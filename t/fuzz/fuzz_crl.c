/* SPDX-License-Identifier: ISC */
/* Revocation lists: the table has every entry that GnuTLS finds in the list, in order; and no list in a CA's own name is
 * taken that it did not sign. Inputs are lists in DER, each behind its length. */
#include "fuzz.h"

#include "../unit/lib/certs.h"
#include "cert_internal.h"
#include <stdio.h>

enum { LISTS = 4 };

static struct cert_anchor anchor = {.name = "acme"};

static void make_world(void)
{
    struct certs_cert ca;
    if (anchor.n_cas)
        return;
    ca = certs_ca("acme", NULL);
    anchor.cas = calloc(1, sizeof *anchor.cas);
    FUZZ_MUST(anchor.cas && gnutls_x509_crt_init(&anchor.cas[0]) >= 0);
    FUZZ_MUST(gnutls_x509_crt_import(anchor.cas[0], &ca.der, GNUTLS_X509_FMT_DER) >= 0);
    anchor.n_cas = 1;
    certs_release(&ca);
}

static bool in_table(const struct cert_crl *crl, const uint8_t *serial, size_t n)
{
    static const uint8_t zeros[CERT_SERIAL];
    for (size_t i = 0; i < crl->n; i++)
        if (memcmp(crl->revoked[i].serial + CERT_SERIAL - n, serial, n) == 0 &&
            memcmp(crl->revoked[i].serial, zeros, CERT_SERIAL - n) == 0)
            return true;
    return false;
}

static void check_list(const struct cert_crl *crl)
{
    int count = gnutls_x509_crl_get_crt_count(crl->crl);
    FUZZ_MUST(count >= 0 && crl->n == (size_t)count);
    FUZZ_MUST(!crl->own && !gnutls_x509_crl_check_issuer(crl->crl, anchor.cas[0]));
    for (int i = 0; i < count; i++) {
        uint8_t serial[CERT_SERIAL];
        size_t n = sizeof serial;
        time_t when;
        FUZZ_MUST(gnutls_x509_crl_get_crt_serial(crl->crl, (unsigned)i, serial, &n, &when) >= 0);
        FUZZ_MUST(in_table(crl, serial, n) && crl->revoked[i].when != 0);
        FUZZ_MUST(i == 0 ||
                  memcmp(crl->revoked[i - 1].serial, crl->revoked[i].serial, CERT_SERIAL) <= 0);
    }
}

static void check_facts(void)
{
    const struct cert_store store = {.anchors = &anchor, .n = 1};
    struct cert_crl_facts facts;
    for (size_t i = 0; cert_store_crl(&store, i, &facts); i++) {
        FUZZ_MUST(fuzz_shows(facts.issuer, strlen(facts.issuer), false));
        FUZZ_MUST(strspn(facts.number, "0123456789abcdef") == strlen(facts.number));
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    struct buf pem;
    make_world();
    buf_init(&pem, 1 << 22);
    for (size_t i = 0; i < LISTS && r.p < r.end && !r.bad; i++) {
        struct slice der = wire_get_str(&r, UINT16_MAX);
        const gnutls_datum_t raw = {(uint8_t *)(uintptr_t)der.p, (unsigned)der.n};
        gnutls_datum_t text;
        if (der.n == 0 || gnutls_pem_base64_encode2("X509 CRL", &raw, &text) < 0)
            continue;
        buf_put(&pem, text.data, text.size);
        gnutls_free(text.data);
    }
    const char *file = fuzz_file("input", pem.data, pem.len);
    enum err e = cert_crls_load(&anchor, file);
    FUZZ_MUST(e == ERR_OK || e == ERR_CONFIG);
    for (unsigned i = 0; e == ERR_OK && i < anchor.n_crls; i++)
        check_list(&anchor.crls[i]);
    if (e == ERR_OK)
        check_facts();
    cert_crls_release(&anchor);
    anchor.crls = NULL;
    anchor.n_crls = 0;
    buf_release(&pem);
}

/* The one list of a PEM file. */
static void put_list(struct buf *b, const struct certs_crl *crl)
{
    static char text[1 << 16];
    char path[4200];
    gnutls_datum_t pem = {(uint8_t *)text, 0}, der;
    snprintf(path, sizeof path, "%s/crl", fuzz_folder());
    certs_write_crls(path, crl, 1);
    FILE *in = fopen(path, "r");
    FUZZ_MUST(in != NULL);
    pem.size = (unsigned)fread(text, 1, sizeof text, in);
    fclose(in);
    FUZZ_MUST(gnutls_pem_base64_decode2("X509 CRL", &pem, &der) >= 0);
    wire_put_str(b, slice_of(der.data, der.size), UINT16_MAX);
    gnutls_free(der.data);
}

void fuzz_seeds(void)
{
    struct certs_cert below = certs_ca("below", NULL), acme = certs_ca("acme", NULL);
    uint8_t long_serial[20] = {0x7f, 1, 2, 3};
    struct certs_crl one = {.issuer = &below, .revoked = {3, 1, 2}};
    struct certs_crl two = {
        .issuer = &below, .revoked = {9}, .revoked_octets = {long_serial, sizeof long_serial}};
    struct certs_crl partial = {.issuer = &below, .partial = true},
                     own = {.issuer = &acme, .revoked = {5}};
    struct certs_crl endless = {.issuer = &below, .no_next = true};
    const struct certs_crl *all[] = {&one, &two, &partial, &own, &endless};
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        buf_clear(&b);
        put_list(&b, all[i]);
        fuzz_seed(b.data, b.len);
    }
    put_list(&b, &one);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
    certs_release(&below);
    certs_release(&acme);
}
