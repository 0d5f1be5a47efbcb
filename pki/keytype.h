/* SPDX-License-Identifier: ISC */
/* The kinds of keys that can be made, one row each. */
#ifndef CONSIGN_PKI_KEYTYPE_H
#define CONSIGN_PKI_KEYTYPE_H

#include "p11.h"
#include "pki.h"

#include <gnutls/gnutls.h>

enum key_family { KEY_EC, KEY_EDWARDS, KEY_RSA, KEY_HMAC };

struct key_type {
    const char *name; /* "p256" */
    enum key_family family;
    gnutls_pk_algorithm_t pk; /* GNUTLS_PK_UNKNOWN: not for certificates */
    unsigned bits;            /* of the field, the modulus or the secret */
    const char *params;       /* CKA_EC_PARAMS, n_params bytes */
    size_t n_params;
    CK_MECHANISM_TYPE generate, sign;
};

#define KEY_TYPE_NAMES "p256, p384, p521, ed25519, rsa2048, rsa3072, rsa4096"

/* The row called name (NULL: p256); ERR_USAGE, logged, for none. With certify only kinds that a
 * certificate can be made for. */
enum err key_type_find(const char *name, bool certify, const struct key_type **out) MUST_CHECK;

/* Whether keys of that type are approved (fips.h): ERR_DENIED, logged. */
enum err key_type_approved(const struct key_type *type) MUST_CHECK;

/* Each row in its turn; NULL after the last. */
const struct key_type *key_type_at(size_t i);

/* Whether the token can make such keys and sign with them, by what it says. */
bool key_type_possible(const struct key_type *type, const struct p11 *m, const struct p11_token *t);

/* "p256 p384 rsa2048": what it can, blanks between; "nothing" for nothing. */
enum { KEY_TYPES_TEXT = 96 };
void key_type_list(const struct p11 *m, const struct p11_token *t, char out[static KEY_TYPES_TEXT]);

#endif
