/* SPDX-License-Identifier: ISC */
/* New keys, in a token (generate.h) or in a file of mode 0600. */
#ifndef CONSIGN_PKI_KEY_H
#define CONSIGN_PKI_KEY_H

#include "keytype.h"
#include "token.h"

/* A key and where it is. */
struct key {
    gnutls_privkey_t priv;
    gnutls_pubkey_t pub;
    char *ref; /* pkcs11: URL or absolute path */
};
void key_release(struct key *k);
/* Gives up the private half, which must be gone before token_stop. */
void key_drop_private(struct key *k);

/* How a key is wanted. */
struct key_wish {
    const struct key_type *type;
    const char *token; /* label or pkcs11: URL of the token; NULL: in a file */
    const char *module;
    struct token_pin *pin;  /* of the token; may be NULL */
    const char *label;      /* in the token */
    bool allow_extractable; /* there, too */
    const char *file;       /* otherwise */
};

/* Makes it and loads it. A label or file that is in use is ERR_EXISTS. A token key needs token_start
 * before, with the same module and PIN. */
enum err key_make(const struct key_wish *w, struct key *out) MUST_CHECK;

/* Makes it in its token and only says where (the caller frees *url); needs no token_start. */
enum err key_generate(const struct key_wish *w, char **url) MUST_CHECK;

/* The key at ref. */
enum err key_load(const char *ref, bool allow_extractable, struct key *out) MUST_CHECK;

#endif
