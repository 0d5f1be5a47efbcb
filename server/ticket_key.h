/* SPDX-License-Identifier: ISC */
/* Where the keys of tickets come from: made in the process that has the PKCS#11 module. */
#ifndef CONSIGND_TICKET_KEY_H
#define CONSIGND_TICKET_KEY_H

#include "err.h"
#include "tls_proof.h"

struct ticket_source {
    const char *secret;        /* pkcs11: URL of a key for HMAC; NULL: none */
    const char *key;           /* the server's */
    const uint8_t *server_key; /* TLS_SERVER_KEY bytes: its fingerprint */
    bool allow_extractable;
};

/* The key of an epoch of length seconds (tickets.h). With a secret it is derived in the token:
 *
 *   HMAC-SHA512(secret, "consign ticket key 2" 0 server_key u64 epoch u32 length)
 *
 * with the integers in network byte order, so that every server with that secret and the same key of its own has the
 * same. One with another key takes no such ticket: the proof that a resumed session asks for names the server's
 * key, so it could not let the client in. Else it
 * is drawn: bytes of the token's generator (where the server's key is in a token, and it answers) XORed
 * with the kernel's, which leaves none weaker than the better of the two. */
enum err ticket_key_make(const struct ticket_source *from, uint64_t epoch, uint32_t length,
                         uint8_t out[static TLS_TICKET_KEY]) MUST_CHECK;

#endif
