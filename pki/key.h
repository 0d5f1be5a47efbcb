/* SPDX-License-Identifier: ISC */
/* New keys, in a token (sensitive, not extractable, for signatures alone) or in a file of mode
 * 0600. */
#ifndef CONSIGN_PKI_KEY_H
#define CONSIGN_PKI_KEY_H

#include "pki.h"
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
    const char *type;  /* "ecdsa-p256" ...; NULL: that */
    const char *token; /* label or pkcs11: URL of the token; NULL: in a file */
    const char *label; /* in the token */
    const char *file;  /* otherwise */
};
/* Makes it. A label or file that is in use is ERR_EXISTS; a key that turns out to be extractable is
 * removed and refused. A token key needs token_start before. */
enum err key_make(const struct key_wish *w, struct key *out) MUST_CHECK;

/* The key at ref. */
enum err key_load(const char *ref, struct key *out) MUST_CHECK;

/* ERR_USAGE for an unknown type, before anything is made. NULL is allowed. */
enum err key_check_type(const char *type) MUST_CHECK;

/* "pkcs11:token=LABEL" of a label (or the URL itself); the caller frees. NULL, logged. */
char *key_token_url(const char *token);

/* Whether the token has a private key with the label. */
enum err key_find(const char *token_url, const char *label, bool *found) MUST_CHECK;

#endif
