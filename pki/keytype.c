/* SPDX-License-Identifier: ISC */
#include "keytype.h"
#include "fips.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

#define PARAMS(s) s, sizeof s - 1

/* RFC 5480 and RFC 8410: the curves by their object identifiers. */
#define P256    "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define P384    "\x06\x05\x2b\x81\x04\x00\x22"
#define P521    "\x06\x05\x2b\x81\x04\x00\x23"
#define ED25519 "\x06\x03\x2b\x65\x70"

static const struct key_type types[] = {
    {"p256", KEY_EC, GNUTLS_PK_ECDSA, 256, PARAMS(P256), CKM_EC_KEY_PAIR_GEN, CKM_ECDSA},
    {"p384", KEY_EC, GNUTLS_PK_ECDSA, 384, PARAMS(P384), CKM_EC_KEY_PAIR_GEN, CKM_ECDSA},
    {"p521", KEY_EC, GNUTLS_PK_ECDSA, 521, PARAMS(P521), CKM_EC_KEY_PAIR_GEN, CKM_ECDSA},
    {"ed25519", KEY_EDWARDS, GNUTLS_PK_EDDSA_ED25519, 256, PARAMS(ED25519),
     CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA},
    {"rsa2048", KEY_RSA, GNUTLS_PK_RSA, 2048, NULL, 0, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS},
    {"rsa3072", KEY_RSA, GNUTLS_PK_RSA, 3072, NULL, 0, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS},
    {"rsa4096", KEY_RSA, GNUTLS_PK_RSA, 4096, NULL, 0, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS},
    {"hmac", KEY_HMAC, GNUTLS_PK_UNKNOWN, 512, NULL, 0, CKM_GENERIC_SECRET_KEY_GEN,
     CKM_SHA512_HMAC},
};

enum err key_type_approved(const struct key_type *type)
{
    if (fips_find(FIPS_KEY, gnutls_pk_get_name(type->pk)))
        return ERR_OK;
    return log_fail(ERR_DENIED, "key type \"%s\" is not approved (fips = require): take p256",
                    type->name);
}

const struct key_type *key_type_at(size_t i)
{
    return i < sizeof types / sizeof types[0] ? &types[i] : NULL;
}

enum err key_type_find(const char *name, bool certify, const struct key_type **out)
{
    for (const struct key_type *t = types; t < types + sizeof types / sizeof types[0]; t++) {
        if (certify && t->pk == GNUTLS_PK_UNKNOWN)
            continue;
        if (!name || strcmp(t->name, name) == 0) {
            *out = t;
            return ERR_OK;
        }
    }
    return log_fail(ERR_USAGE, "key type \"%s\": must be one of " KEY_TYPE_NAMES "%s", name,
                    certify ? "" : ", hmac");
}

bool key_type_possible(const struct key_type *type, const struct p11 *m, const struct p11_token *t)
{
    CK_MECHANISM_INFO i;
    CK_FLAGS how = type->family == KEY_HMAC ? CKF_GENERATE : CKF_GENERATE_KEY_PAIR;
    if (!p11_can(m, t, type->generate, how, &i) || !p11_can(m, t, type->sign, CKF_SIGN, NULL))
        return false;
    /* Of secrets some count bits and some bytes, and not all fill this in. */
    return type->family == KEY_HMAC || i.ulMaxKeySize == 0 ||
           (type->bits >= i.ulMinKeySize && type->bits <= i.ulMaxKeySize);
}

void key_type_list(const struct p11 *m, const struct p11_token *t, char out[static KEY_TYPES_TEXT])
{
    size_t at = 0;
    strcpy(out, "nothing");
    for (const struct key_type *k = types; k < types + sizeof types / sizeof types[0]; k++)
        if (key_type_possible(k, m, t))
            at += (size_t)snprintf(out + at, KEY_TYPES_TEXT - at, "%s%s", at ? " " : "", k->name);
}
