/* SPDX-License-Identifier: ISC */
/* Public keys: from a token's attributes, and their names. */
#ifndef CONSIGN_PKI_PUBKEY_H
#define CONSIGN_PKI_PUBKEY_H

#include "keytype.h"

#include <gnutls/abstract.h>

/* Reads the public key of the object, of which only the family of type counts. The caller frees with
 * gnutls_pubkey_deinit. */
enum err pubkey_read(const struct p11_session *s, CK_OBJECT_HANDLE object,
                     const struct key_type *type, gnutls_pubkey_t *out) MUST_CHECK;

/* The key identifier of RFC 5280, 4.2.1.2, method (1): SHA-1 of the bits of subjectPublicKey. It is the
 * CKA_ID of our keys and the subject key identifier of our certificates. 0, or an error of GnuTLS. */
enum { PUBKEY_ID = 20 };
int pubkey_id(gnutls_pubkey_t pub, uint8_t out[static PUBKEY_ID]) MUST_CHECK;

#endif
