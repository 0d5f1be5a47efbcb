/* SPDX-License-Identifier: ISC */
#include "cert.h"

enum { RSA_BITS_MAX = 16384, EXPONENT_BYTES_MAX = 8 };

/* Without the zeros in front. */
static size_t size_of(const gnutls_datum_t *number)
{
    size_t zeros = 0;
    while (zeros < number->size && number->data[zeros] == 0)
        zeros++;
    return number->size - zeros;
}

static bool is_short_rsa(gnutls_pubkey_t key)
{
    gnutls_datum_t modulus = {0}, exponent = {0};
    bool ok = gnutls_pubkey_export_rsa_raw(key, &modulus, &exponent) >= 0 &&
              size_of(&modulus) <= RSA_BITS_MAX / 8 && size_of(&exponent) <= EXPONENT_BYTES_MAX;
    gnutls_free(modulus.data);
    gnutls_free(exponent.data);
    return ok;
}

bool cert_key_bearable(gnutls_pubkey_t key)
{
    int pk = gnutls_pubkey_get_pk_algorithm(key, NULL);
    if (pk == GNUTLS_PK_RSA || pk == GNUTLS_PK_RSA_PSS)
        return is_short_rsa(key);
    return pk == GNUTLS_PK_ECDSA || pk == GNUTLS_PK_EDDSA_ED25519 || pk == GNUTLS_PK_EDDSA_ED448;
}

bool cert_bearable(gnutls_x509_crt_t crt)
{
    gnutls_pubkey_t key;
    if (gnutls_pubkey_init(&key) < 0)
        return false;
    bool ok = gnutls_pubkey_import_x509(key, crt, 0) >= 0 && cert_key_bearable(key);
    gnutls_pubkey_deinit(key);
    return ok;
}
