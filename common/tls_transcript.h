/* SPDX-License-Identifier: ISC */
/* A TLS 1.3 handshake with certificates on both sides as the bytes that its signatures are over: the messages
 * from ClientHello on, each with its header (RFC 8446, 4), as the transcript hash takes them (4.4.1). So where
 * the server asked for another ClientHello, a message_hash stands in the place of the first.
 *
 * Pure: bytes in, bytes out, no connection. What comes from outside is read strictly. */
#ifndef CONSIGN_TLS_TRANSCRIPT_H
#define CONSIGN_TLS_TRANSCRIPT_H

#include "scheme.h"

enum { TLS_TRANSCRIPT_MAX = 128 * 1024, TLS_CHAIN_MAX = 16 };

/* Appends a message: its type as GnuTLS's hook tells it (a HelloRetryRequest has one of its own there) and its body without
 * a header. Types that are in no transcript up to the client's CertificateVerify are left out. False: no room
 * (b->bad), or a server's hello that is none. */
bool tls_transcript_add(struct buf *b, unsigned type, const void *body, size_t n) MUST_CHECK;

/* The transcript hash of messages, by the suite that the server chose in them; its length, 0 when it chose none
 * of TLS 1.3's that are known here. */
size_t tls_transcript_hash(struct slice messages, uint8_t out[static SCHEME_HASH]);

/* A whole handshake, ClientHello to the client's CertificateVerify. All slices borrow from the messages. */
struct tls_signature {
    uint16_t scheme;
    struct slice bytes;
};
struct tls_transcript {
    struct slice signed_by_server; /* the messages up to and with the server's Certificate */
    struct slice signed_by_client; /* ... the client's */
    struct slice server_leaf;      /* DER */
    struct tls_signature server, client;
    struct slice chain[TLS_CHAIN_MAX]; /* the client's, leaf first */
    unsigned n;                        /* so many there were; those past the array are not in it */
};

/* NULL, or what is wrong (static text): other messages, another order, one too few or too many, a byte too few or
 * left over, no certificate. */
const char *tls_transcript_read(struct slice messages, struct tls_transcript *out) MUST_CHECK;

#endif
