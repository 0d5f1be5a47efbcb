/* SPDX-License-Identifier: ISC */
#include "crl.h"
#include "der.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

enum { CRL_BYTES = 8 << 20, NUMBER = 8 };

/* certificateHold is not among them: what was revoked here stays so. */
static const struct reason {
    const char *word;
    uint8_t code;
} reasons[] = {
    {"unspecified", 0},         {"key-compromise", 1}, {"ca-compromise", 2},
    {"affiliation-changed", 3}, {"superseded", 4},     {"cessation", 5},
    {"privilege-withdrawn", 9},
};

int crl_reason_code(const char *word)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(word, reasons[i].word) == 0)
            return reasons[i].code;
    return -1;
}

const char *crl_reason_words(void)
{
    return "unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation "
           "or privilege-withdrawn";
}

const char *crl_reason_word(int code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (code == reasons[i].code)
            return reasons[i].word;
    return code == 6 ? "certificate-hold" : "unspecified";
}

static size_t unhex(const char *text, uint8_t *out)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

/* ---- extensions: an OID of 2.5.29.X, not critical, its value wrapped from offset from on ---- */

static void extension(struct buf *b, uint8_t x, const struct buf *value)
{
    uint8_t oid[] = {0x06, 3, 0x55, 0x1d, x};
    size_t from = b->len;
    buf_put(b, oid, sizeof oid);
    der_put(b, DER_OCTETS, value->data, value->len);
    der_wrap(b, from, DER_SEQUENCE);
    b->bad |= value->bad;
}

static void reason_extension(struct buf *b, int code)
{
    uint8_t number = (uint8_t)code;
    struct buf value;
    size_t from = b->len;
    buf_init(&value, 16);
    der_put(&value, DER_ENUMERATED, &number, 1);
    extension(b, 21, &value);
    der_wrap(b, from, DER_SEQUENCE);
    buf_release(&value);
}

static void list_extensions(struct buf *b, const unsigned char *key_id, size_t n, uint64_t number)
{
    uint8_t octets[NUMBER];
    struct buf value;
    size_t from = b->len;
    buf_init(&value, 128);
    der_put(&value, DER_KEY_ID, key_id, n);
    der_wrap(&value, 0, DER_SEQUENCE);
    extension(b, 35, &value); /* authority key identifier */
    buf_clear(&value);
    for (size_t i = 0; i < NUMBER; i++)
        octets[i] = (uint8_t)(number >> 8 * (NUMBER - 1 - i));
    der_unsigned(&value, DER_INTEGER, octets, NUMBER);
    extension(b, 20, &value); /* CRL number */
    der_wrap(b, from, DER_SEQUENCE);
    der_wrap(b, from, DER_CONTEXT_0);
    buf_release(&value);
}

/* ---- the list ---- */

/* A certificate that expired is refused anyway: it may leave the list. */
static void revoked_list(struct buf *b, const struct ledger *l, int64_t now)
{
    size_t from = b->len;
    for (size_t i = 0; i < l->n; i++) {
        const struct ledger_entry *e = &l->entries[i];
        uint8_t serial[LEDGER_SERIAL / 2];
        size_t at = b->len;
        int code = crl_reason_code(e->reason);
        if (!e->revoked || e->not_after + 86400 < now)
            continue;
        der_unsigned(b, DER_INTEGER, serial, unhex(e->serial, serial));
        der_time(b, (time_t)e->revoked);
        if (code > 0)
            reason_extension(b, code);
        der_wrap(b, at, DER_SEQUENCE);
    }
    if (b->len > from) /* an empty list is left out */
        der_wrap(b, from, DER_SEQUENCE);
}

static const struct algorithm {
    gnutls_sign_algorithm_t sign;
    uint8_t n, der[16]; /* AlgorithmIdentifier */
} algorithms[] = {
    {GNUTLS_SIGN_RSA_SHA256,
     15,
     {0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 0x05, 0}},
    {GNUTLS_SIGN_RSA_SHA384,
     15,
     {0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12, 0x05, 0}},
    {GNUTLS_SIGN_ECDSA_SHA256, 12, {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}},
    {GNUTLS_SIGN_ECDSA_SHA384, 12, {0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}},
    {GNUTLS_SIGN_EDDSA_ED25519, 7, {0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70}},
};

static const struct algorithm *algorithm_of(const struct ca *ca)
{
    unsigned bits;
    int pk = gnutls_x509_crt_get_pk_algorithm(ca->crt, &bits);
    gnutls_sign_algorithm_t sign =
        pk == GNUTLS_PK_EDDSA_ED25519 ? GNUTLS_SIGN_EDDSA_ED25519
                                      : gnutls_pk_to_sign((gnutls_pk_algorithm_t)pk, ca_digest(ca));
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (algorithms[i].sign == sign)
            return &algorithms[i];
    return NULL;
}

/* TBSCertList (RFC 5280, 5.1). */
static enum err compose(struct buf *b, const struct ca *ca, const struct algorithm *a,
                        int64_t this_update, int64_t next_update)
{
    gnutls_datum_t name = {NULL, 0};
    unsigned char id[64];
    uint8_t v2 = 1;
    size_t n = sizeof id;
    enum err e = ca_key_id(ca, id, &n);
    if (e)
        return e;
    if (gnutls_x509_crt_get_raw_dn(ca->crt, &name) < 0)
        return log_fail(ERR_CONFIG, "the CA's subject can't be read");
    der_put(b, DER_INTEGER, &v2, 1);
    buf_put(b, a->der, a->n);
    buf_put(b, name.data, name.size);
    gnutls_free(name.data);
    der_time(b, (time_t)this_update);
    der_time(b, (time_t)next_update);
    revoked_list(b, &ca->ledger, this_update);
    list_extensions(b, id, n, ca->ledger.crl_number);
    der_wrap(b, 0, DER_SEQUENCE);
    return b->bad ? log_fail(ERR_LIMIT, "the CRL would be too long") : ERR_OK;
}

static enum err sign(struct buf *b, const struct ca *ca, const struct algorithm *a)
{
    gnutls_datum_t data = {b->data, (unsigned)b->len}, signature = {NULL, 0};
    uint8_t unused = 0;
    int rc = gnutls_privkey_sign_data2(ca->key, a->sign, 0, &data, &signature);
    if (rc < 0)
        return token_fail(rc, "signature of the CRL");
    buf_put(b, a->der, a->n);
    size_t from = b->len;
    buf_put(b, &unused, 1);
    buf_put(b, signature.data, signature.size);
    gnutls_free(signature.data);
    der_wrap(b, from, DER_BITS);
    der_wrap(b, 0, DER_SEQUENCE);
    return b->bad ? log_fail(ERR_LIMIT, "the CRL would be too long") : ERR_OK;
}

/* Read back and verified by another's eyes before it leaves. */
static enum err as_pem(const struct buf *b, const struct ca *ca, gnutls_datum_t *pem)
{
    gnutls_x509_crl_t crl = NULL;
    gnutls_datum_t der = {b->data, (unsigned)b->len};
    unsigned status = 1;
    enum err e = ERR_OK;
    int rc = gnutls_x509_crl_init(&crl);
    if (rc >= 0)
        rc = gnutls_x509_crl_import(crl, &der, GNUTLS_X509_FMT_DER);
    if (rc >= 0 &&
        (gnutls_x509_crl_verify(crl, &ca->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) < 0 ||
         status))
        e = log_fail(ERR_TOKEN, "the CA's key made a wrong signature: the CRL is not given out (is "
                                "the key another one?)");
    else if (rc >= 0)
        rc = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, pem);
    if (crl)
        gnutls_x509_crl_deinit(crl);
    return e || rc >= 0 ? e : log_fail(ERR_INTERNAL, "CRL: %s", gnutls_strerror(rc));
}

enum err crl_make(const struct ca *ca, int64_t this_update, int64_t next_update,
                  gnutls_datum_t *pem)
{
    struct buf b;
    const struct algorithm *a = algorithm_of(ca);
    *pem = (gnutls_datum_t){NULL, 0};
    if (!a)
        return log_fail(ERR_CONFIG, "the CA's key is of a kind that no CRL is signed with");
    buf_init(&b, CRL_BYTES);
    enum err e = compose(&b, ca, a, this_update, next_update);
    if (!e)
        e = sign(&b, ca, a);
    if (!e)
        e = as_pem(&b, ca, pem);
    buf_release(&b);
    return e;
}
