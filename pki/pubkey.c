/* SPDX-License-Identifier: ISC */
#include "pubkey.h"
#include "log.h"

#include <gnutls/crypto.h>
#include <string.h>

enum { PART_MAX = 1024, DER_LONG = 0x80 };

/* One part of DER: its content in *out, what follows it left in *in. False when it is cut, or has
 * another tag. */
static bool der_take(gnutls_datum_t *in, uint8_t tag, gnutls_datum_t *out)
{
    size_t at = 2, n;
    if (in->size < 2 || in->data[0] != tag)
        return false;
    n = in->data[1];
    if (n & DER_LONG) {
        size_t more = n & 0x7f;
        if (more == 0 || more > 3 || in->size < 2 + more)
            return false;
        for (n = 0; at < 2 + more; at++)
            n = n << 8 | in->data[at];
    }
    if (n > in->size - at)
        return false;
    *out = (gnutls_datum_t){in->data + at, (unsigned)n};
    in->data += at + n;
    in->size -= (unsigned)(at + n);
    return true;
}

enum { SEQUENCE = 0x30, BIT_STRING = 0x03, OCTET_STRING = 0x04 };

/* SubjectPublicKeyInfo ::= SEQUENCE { algorithm SEQUENCE, subjectPublicKey BIT STRING } */
static bool find_bits(const gnutls_datum_t *spki, gnutls_datum_t *bits)
{
    gnutls_datum_t rest = *spki, inside, algorithm;
    if (!der_take(&rest, SEQUENCE, &inside) || !der_take(&inside, SEQUENCE, &algorithm) ||
        !der_take(&inside, BIT_STRING, bits) || bits->size < 2 || bits->data[0] != 0)
        return false;
    bits->data++; /* the number of unused bits */
    bits->size--;
    return true;
}

int pubkey_id(gnutls_pubkey_t pub, uint8_t out[static PUBKEY_ID])
{
    gnutls_datum_t spki = {NULL, 0}, bits;
    int rc = gnutls_pubkey_export2(pub, GNUTLS_X509_FMT_DER, &spki);
    if (rc >= 0)
        rc = find_bits(&spki, &bits) ? gnutls_hash_fast(GNUTLS_DIG_SHA1, bits.data, bits.size, out)
                                     : GNUTLS_E_ASN1_DER_ERROR;
    gnutls_free(spki.data);
    return rc < 0 ? rc : 0;
}

static int read_rsa(const struct p11_session *s, CK_OBJECT_HANDLE o, gnutls_pubkey_t pub)
{
    uint8_t modulus[PART_MAX], exponent[PART_MAX];
    size_t n_modulus = sizeof modulus, n_exponent = sizeof exponent;
    if (!p11_bytes(s, o, CKA_MODULUS, modulus, &n_modulus) ||
        !p11_bytes(s, o, CKA_PUBLIC_EXPONENT, exponent, &n_exponent))
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_datum_t m = {modulus, (unsigned)n_modulus}, e = {exponent, (unsigned)n_exponent};
    return gnutls_pubkey_import_rsa_raw(pub, &m, &e);
}

/* PKCS#11 has the point as an OCTET STRING; some tokens give it bare, which shows by its length. */
static int read_ec(const struct p11_session *s, CK_OBJECT_HANDLE o, gnutls_pubkey_t pub)
{
    uint8_t params[PART_MAX], point[PART_MAX + 4];
    size_t n_params = sizeof params, n_point = PART_MAX;
    gnutls_datum_t content;
    if (!p11_bytes(s, o, CKA_EC_PARAMS, params, &n_params) ||
        !p11_bytes(s, o, CKA_EC_POINT, point, &n_point))
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_datum_t p = {params, (unsigned)n_params}, q = {point, (unsigned)n_point}, rest = q;
    if (!der_take(&rest, OCTET_STRING, &content) || rest.size) {
        size_t head = n_point < DER_LONG ? 2 : 3;
        memmove(point + head, point, n_point);
        point[0] = OCTET_STRING;
        point[1] = head == 2 ? (uint8_t)n_point : DER_LONG | 1;
        if (head == 3)
            point[2] = (uint8_t)n_point;
        q.size = (unsigned)(head + n_point);
    }
    return gnutls_pubkey_import_ecc_x962(pub, &p, &q);
}

static int read_edwards(const struct p11_session *s, CK_OBJECT_HANDLE o, gnutls_pubkey_t pub)
{
    uint8_t point[PART_MAX];
    size_t n = sizeof point;
    gnutls_datum_t x;
    if (!p11_bytes(s, o, CKA_EC_POINT, point, &n))
        return GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    gnutls_datum_t rest = {point, (unsigned)n};
    if (n == 32 || !der_take(&rest, OCTET_STRING, &x))
        x = (gnutls_datum_t){point, (unsigned)n};
    return gnutls_pubkey_import_ecc_raw(pub, GNUTLS_ECC_CURVE_ED25519, &x, NULL);
}

enum err pubkey_read(const struct p11_session *s, CK_OBJECT_HANDLE object,
                     const struct key_type *type, gnutls_pubkey_t *out)
{
    int rc = gnutls_pubkey_init(out);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "public key: %s", gnutls_strerror(rc));
    if (type->family == KEY_RSA)
        rc = read_rsa(s, object, *out);
    else if (type->family == KEY_EC)
        rc = read_ec(s, object, *out);
    else
        rc = read_edwards(s, object, *out);
    if (rc >= 0)
        return ERR_OK;
    gnutls_pubkey_deinit(*out);
    *out = NULL;
    return log_fail(ERR_TOKEN, "the token does not tell the public key: %s", gnutls_strerror(rc));
}
