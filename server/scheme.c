/* SPDX-License-Identifier: ISC */
#include "scheme.h"

#include "log.h"
#include "token.h"
#include <string.h>

_Static_assert(GNUTLS_SIGN_MAX < 64, "a set of algorithms is a word");

static const struct scheme schemes[] = {
    {GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP256R1, 32},
    {GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP384R1, 48},
    {GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP521R1, 64},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 32},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 48},
    {GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 64},
    {GNUTLS_SIGN_RSA_PSS_SHA256, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 32},
    {GNUTLS_SIGN_RSA_PSS_SHA384, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 48},
    {GNUTLS_SIGN_RSA_PSS_SHA512, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID, 64},
    {GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_PK_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 0},
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0] };

/* RFC 8446, 4.4.3: 64 blanks, the context of a server, a zero, the hash of the handshake. */
static const char text_head[] = "                                "
                                "                                "
                                "TLS 1.3, server CertificateVerify";

static bool fits(const struct scheme *s, const struct scheme_key *key)
{
    return s->pk == key->pk && (s->curve == GNUTLS_ECC_CURVE_INVALID || s->curve == key->curve);
}

enum err scheme_key_of(const gnutls_pcert_st *leaf, const char *name, struct scheme_key *out)
{
    int pk = gnutls_pubkey_get_pk_algorithm(leaf->pubkey, NULL);
    *out = (struct scheme_key){GNUTLS_PK_UNKNOWN, GNUTLS_ECC_CURVE_INVALID};
    if (pk < 0)
        return token_fail(pk, "public key of %s", name);
    out->pk = (gnutls_pk_algorithm_t)pk;
    if (pk == GNUTLS_PK_ECDSA || pk == GNUTLS_PK_EDDSA_ED25519) {
        int rc = gnutls_pubkey_export_ecc_raw2(leaf->pubkey, &out->curve, NULL, NULL, 0);
        if (rc < 0)
            return token_fail(rc, "curve of %s", name);
    }
    return ERR_OK;
}

const struct scheme *scheme_find(const struct scheme_key *key, uint32_t algorithm)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (schemes[i].algorithm == algorithm && fits(&schemes[i], key))
            return &schemes[i];
    return NULL;
}

uint64_t scheme_bit(const struct scheme *s)
{
    return UINT64_C(1) << s->algorithm;
}

bool scheme_accepts(const struct scheme *s, struct slice data)
{
    if (s->digest)
        return data.n == s->digest;
    return (data.n == sizeof text_head + 32 || data.n == sizeof text_head + 48) &&
           memcmp(data.p, text_head, sizeof text_head) == 0;
}

int scheme_sign(const struct scheme *s, gnutls_privkey_t key, struct slice data,
                gnutls_datum_t *signature)
{
    /* GnuTLS only reads what it signs; its type lacks the const. */
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)data.p, (unsigned)data.n};
    return s->digest ? gnutls_privkey_sign_hash2(key, s->algorithm, 0, &d, signature)
                     : gnutls_privkey_sign_data2(key, s->algorithm, 0, &d, signature);
}

int scheme_verify(const struct scheme *s, gnutls_pubkey_t pub, struct slice data,
                  const gnutls_datum_t *signature)
{
    const gnutls_datum_t d = {(uint8_t *)(uintptr_t)data.p, (unsigned)data.n};
    return s->digest ? gnutls_pubkey_verify_hash2(pub, s->algorithm, 0, &d, signature)
                     : gnutls_pubkey_verify_data2(pub, s->algorithm, 0, &d, signature);
}

/* What is signed for a try: of no handshake that could ever be. */
static struct slice trial(const struct scheme *s, uint8_t text[static sizeof text_head + 32])
{
    memset(text, 0, sizeof text_head + 32);
    memcpy(text, text_head, sizeof text_head);
    return slice_of(text, s->digest ? s->digest : sizeof text_head + 32);
}

static int try_scheme(const struct scheme *s, gnutls_privkey_t key, gnutls_pubkey_t pub)
{
    uint8_t text[sizeof text_head + 32];
    struct slice data = trial(s, text);
    gnutls_datum_t signature = {0};
    int rc = scheme_sign(s, key, data, &signature);
    if (rc >= 0)
        rc = scheme_verify(s, pub, data, &signature);
    gnutls_free(signature.data);
    return rc;
}

static bool is_about_pin(int rc)
{
    return rc == GNUTLS_E_PKCS11_PIN_ERROR || rc == GNUTLS_E_PKCS11_PIN_LOCKED ||
           rc == GNUTLS_E_PKCS11_PIN_EXPIRED;
}

enum err scheme_rehearse(gnutls_privkey_t key, const gnutls_pcert_st *leaf, const char *name,
                         uint64_t *proven)
{
    struct scheme_key kind;
    int why = 0; /* the last failure */
    enum err e = scheme_key_of(leaf, name, &kind);
    *proven = 0;
    for (const struct scheme *s = schemes; e == ERR_OK && s < schemes + SCHEMES; s++) {
        int rc = fits(s, &kind) ? try_scheme(s, key, leaf->pubkey) : 0;
        if (rc >= 0) {
            *proven |= fits(s, &kind) ? scheme_bit(s) : 0;
            continue;
        }
        why = rc;
        if (is_about_pin(rc))
            return token_fail(rc, "test signature with %s", name);
        log_warn("%s: %s does not work (%s) and is not offered", name,
                 gnutls_sign_get_name(s->algorithm), gnutls_strerror(rc));
    }
    if (e != ERR_OK || *proven)
        return e;
    if (why < 0)
        return token_fail(why, "test signature with %s", name);
    return log_fail(ERR_CONFIG,
                    "%s: a key of this kind can't be used with TLS 1.3; use P-256, P-384, "
                    "P-521, Ed25519 or RSA",
                    name);
}

int scheme_touch(gnutls_privkey_t key, const struct scheme_key *kind, uint64_t proven)
{
    uint8_t text[sizeof text_head + 32];
    for (const struct scheme *s = schemes; s < schemes + SCHEMES; s++) {
        if (!fits(s, kind) || !(proven & scheme_bit(s)))
            continue;
        gnutls_datum_t signature = {0};
        int rc = scheme_sign(s, key, trial(s, text), &signature);
        gnutls_free(signature.data);
        return rc;
    }
    return GNUTLS_E_INTERNAL_ERROR;
}
