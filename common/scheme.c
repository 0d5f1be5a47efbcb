/* SPDX-License-Identifier: ISC */
#include "scheme.h"

#include "cert.h"
#include "log.h"
#include "token.h"
#include <string.h>

_Static_assert(GNUTLS_SIGN_MAX < 64, "a set of algorithms is a word");

static const struct scheme schemes[] = {
    {0x0403, GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP256R1},
    {0x0503, GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP384R1},
    {0x0603, GNUTLS_SIGN_ECDSA_SECP521R1_SHA512, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP521R1},
    {0x0804, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID},
    {0x0805, GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID},
    {0x0806, GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID},
    {0x0809, GNUTLS_SIGN_RSA_PSS_SHA256, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID},
    {0x080a, GNUTLS_SIGN_RSA_PSS_SHA384, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID},
    {0x080b, GNUTLS_SIGN_RSA_PSS_SHA512, GNUTLS_PK_RSA_PSS, GNUTLS_ECC_CURVE_INVALID},
    {0x0807, GNUTLS_SIGN_EDDSA_ED25519, GNUTLS_PK_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519},
};

enum { SCHEMES = sizeof schemes / sizeof schemes[0], BLANKS = 64 };

/* RFC 8446, 4.4.3; the third is of its form and can't be taken for either of the others. */
static const char *const contexts[] = {
    [SCHEME_SERVER] = "TLS 1.3, server CertificateVerify",
    [SCHEME_CLIENT] = "TLS 1.3, client CertificateVerify",
    [SCHEME_RESUMED] = "consign/1, client of a resumed session",
};

/* ---- which ---- */

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
    if (!cert_key_bearable(leaf->pubkey))
        return log_fail(ERR_CONFIG, "public key of %s: not of a kind or size that is accepted",
                        name);
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

const struct scheme *scheme_by_number(const struct scheme_key *key, uint16_t number)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (schemes[i].number == number && fits(&schemes[i], key))
            return &schemes[i];
    return NULL;
}

const struct scheme *scheme_nth(const struct scheme_key *key, size_t n)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (fits(&schemes[i], key) && n-- == 0)
            return &schemes[i];
    return NULL;
}

uint64_t scheme_bit(const struct scheme *s)
{
    return UINT64_C(1) << s->algorithm;
}

/* ---- what ---- */

bool scheme_hash_ok(struct slice hash)
{
    return hash.n == 32 || hash.n == 48;
}

struct slice scheme_text(enum scheme_what what, struct slice hash, uint8_t text[static SCHEME_TEXT])
{
    size_t n = strlen(contexts[what]) + 1;
    memset(text, ' ', BLANKS);
    memcpy(text + BLANKS, contexts[what], n);
    memcpy(text + BLANKS + n, hash.p, hash.n);
    return slice_of(text, BLANKS + n + hash.n);
}

int scheme_sign(const struct scheme *s, gnutls_privkey_t key, enum scheme_what what,
                struct slice hash, gnutls_datum_t *signature)
{
    uint8_t text[SCHEME_TEXT];
    if (!scheme_hash_ok(hash))
        return GNUTLS_E_INVALID_REQUEST;
    struct slice all = scheme_text(what, hash, text);
    const gnutls_datum_t d = {text, (unsigned)all.n};
    return gnutls_privkey_sign_data2(key, s->algorithm, 0, &d, signature);
}

int scheme_verify(const struct scheme *s, gnutls_pubkey_t pub, enum scheme_what what,
                  struct slice hash, struct slice signature)
{
    uint8_t text[SCHEME_TEXT];
    if (!scheme_hash_ok(hash))
        return GNUTLS_E_INVALID_REQUEST;
    struct slice all = scheme_text(what, hash, text);
    const gnutls_datum_t d = {text, (unsigned)all.n};
    /* GnuTLS only reads the signature; its type lacks the const. */
    const gnutls_datum_t sig = {(uint8_t *)(uintptr_t)signature.p, (unsigned)signature.n};
    return gnutls_pubkey_verify_data2(pub, s->algorithm, 0, &d, &sig);
}

/* ---- trying ---- */

/* What is signed for a try: of no handshake that could ever be. */
static struct slice trial(void)
{
    static const uint8_t zeros[32];
    return slice_of(zeros, sizeof zeros);
}

static int try_scheme(const struct scheme *s, gnutls_privkey_t key, gnutls_pubkey_t pub)
{
    gnutls_datum_t signature = {0};
    int rc = scheme_sign(s, key, SCHEME_SERVER, trial(), &signature);
    if (rc >= 0)
        rc =
            scheme_verify(s, pub, SCHEME_SERVER, trial(), slice_of(signature.data, signature.size));
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
    for (const struct scheme *s = schemes; s < schemes + SCHEMES; s++) {
        if (!fits(s, kind) || !(proven & scheme_bit(s)))
            continue;
        gnutls_datum_t signature = {0};
        int rc = scheme_sign(s, key, SCHEME_SERVER, trial(), &signature);
        gnutls_free(signature.data);
        return rc;
    }
    return GNUTLS_E_INTERNAL_ERROR;
}
