/* SPDX-License-Identifier: ISC */
/* Keys that a token makes by its own generator: they belong to the token, are private, sensitive, not
 * extractable, and for signatures alone. */
#ifndef CONSIGN_PKI_GENERATE_H
#define CONSIGN_PKI_GENERATE_H

#include "keytype.h"

struct generate_order {
    const struct key_type *type;
    const char *label;      /* no key of the token may have it */
    bool allow_extractable; /* where the token makes no other */
};

/* Makes the key with a session that is logged in and may write. *url (the caller frees) names it: the
 * private key of a pair, or the secret key. Its id is pubkey_id() of the public key, random for a
 * secret. What came out is looked at: a key that can be read out is removed again and is ERR_CONFIG,
 * or is warned of where it is allowed. ERR_EXISTS for the label, ERR_CONFIG where the token can't. */
enum err generate_key(const struct p11 *m, const struct p11_token *t, const struct p11_session *s,
                      const struct generate_order *o, char **url) MUST_CHECK;

/* A key that is gone when the session is closed, for measuring. */
enum err generate_temporary(const struct p11 *m, const struct p11_token *t,
                            const struct p11_session *s, const struct key_type *type,
                            CK_OBJECT_HANDLE *out) MUST_CHECK;

#endif
