/* SPDX-License-Identifier: ISC */
/* Whether a session's peer is who it says, by what the session hands over. Pure: no process, no descriptor.
 * PROTOCOL.md, "Why a session that was taken over can't become another user", is the argument for what is
 * checked here. */
#ifndef CONSIGND_USHER_PROOF_H
#define CONSIGND_USHER_PROOF_H

#include "ipc.h"
#include "policy.h"
#include "tls_transcript.h"

enum usher_kind {
    USHER_FULL,    /* the messages of a full handshake */
    USHER_RESUMED, /* the client's signature in a resumed session */
    USHER_AGAIN,   /* no proof: the certificates of a session that runs */
};

/* The peer's certificates, leaf first; borrowed from the proof. */
struct usher_peer {
    gnutls_datum_t certs[TLS_CHAIN_MAX];
    unsigned
        n;     /* it showed so many; more than there is room for are refused by cert_judge unseen */
    bool lied; /* the proof is none, which no session that is ours would show */
};

/* ERR_OK: the question's proof shows that whoever has the key of certs[0] is at the other end of this very
 * connection, and shown for nothing else. ERR_LIMIT: nobody has vouched for a signature of the server in it.
 * ERR_AUTH, logged: it shows no such thing. The certificates themselves are not judged. */
enum err usher_prove(const struct policy *p, const struct ipc_usher_ask *ask,
                     struct usher_peer *out) MUST_CHECK;

#endif
