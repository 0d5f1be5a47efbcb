/* SPDX-License-Identifier: ISC */
/* The session: one process per connection, forked from the master, confined before it reads the
 * peer's first byte. TLS, the verdict, then the requests of one user until the connection ends. */
#ifndef CONSIGND_SESSION_H
#define CONSIGND_SESSION_H

#include "board.h"
#include "policy.h"

struct session_start {
    const struct policy *policy;
    uint64_t number;            /* of this session */
    char name[33];              /* the same for people: goes into the audit log and to the peer */
    char peer[64];              /* "ADDRESS:PORT" */
    int connection;             /* the accepted socket */
    int64_t accepted_ms;        /* tls_now_ms */
    int master, keeper, scribe; /* sockets of its own to each of them */
    uint64_t algorithms;        /* what the keeper signs with, as its KEEPER_UP says */
    uint8_t nonce[WIRE_HASH];   /* for the client of a resumed session (PROTOCOL.md, CHALLENGE) */
    uint8_t *ticket_key;        /* that of tickets, which the session erases; NULL: none */
    struct board *board;        /* where it says what it is doing */
};

/* The session's life; returns the exit status, which is how it ended (enum err). */
int session_main(const struct session_start *start);

#endif
