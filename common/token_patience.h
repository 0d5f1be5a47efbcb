/* SPDX-License-Identifier: ISC */
/* A token that another process is changing at this moment may not show what it holds. SoftHSM notes each
 * login in the token's file: another process that looks just then misses the token (CKR_GENERAL_ERROR of
 * C_GetTokenInfo), an object, or attributes of one (CKR_ATTRIBUTE_TYPE_INVALID), or can't log in
 * (CKR_GENERAL_ERROR, CKR_USER_PIN_NOT_INITIALIZED). */
#ifndef CONSIGN_TOKEN_PATIENCE_H
#define CONSIGN_TOKEN_PATIENCE_H

#include <stdbool.h>

/* Starts as {0}. */
struct token_patience {
    int waited_ms;
    unsigned looks;
    bool seen; /* the token was there at some look */
};

/* Whether to do again what ended with rc, an error of GnuTLS, at the object of url; if so pauses first, longer
 * each time: up to 1 s in all, 0.4 s where the token is not there either, 0.15 s for a failure of no
 * particular kind. Never for what was said about a PIN. */
bool token_again(struct token_patience *p, const char *url, int rc);

/* Whether rc may be that of a login that did not come to look at the PIN. */
bool token_login_failed(int rc);

#endif
