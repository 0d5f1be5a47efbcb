/* SPDX-License-Identifier: ISC */
/* What a token is and holds, for people and for programs. */
#ifndef CONSIGN_PKI_INVENTORY_H
#define CONSIGN_PKI_INVENTORY_H

#include "keytype.h"

/* One object: a key or a certificate. */
struct inventory_object {
    const char *what; /* "private key" */
    char *url;
    char kind[24]; /* "p256", "RSA-1024", "X.509" ...; "" when the token does not tell */
    bool key;      /* a private or secret one, of which these are known: */
    bool extractable, sensitive;
    char uses[64]; /* "sign decrypt" */
};

struct inventory {
    struct inventory_object *objects;
    size_t n;
};

/* What the session can see: private keys only after a login. inventory_release also after a failure. */
enum err inventory_read(const struct p11_token *t, const struct p11_session *s,
                        struct inventory *out) MUST_CHECK;
void inventory_release(struct inventory *i);

/* How much is printed. */
enum inventory_form { INVENTORY_SHORT, INVENTORY_LONG, INVENTORY_JSON };
enum err inventory_print(const struct p11 *m, const struct p11_token *t, const struct inventory *i,
                         enum inventory_form form) MUST_CHECK;

/* The row that an object's key is of; NULL for another kind. */
const struct key_type *inventory_key_type(const struct p11_session *s, CK_OBJECT_HANDLE o);

#endif
