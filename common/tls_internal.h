/* SPDX-License-Identifier: ISC */
/* What the files of the module tls share. Nobody else includes this. */
#ifndef CONSIGN_TLS_INTERNAL_H
#define CONSIGN_TLS_INTERNAL_H

#include "buf.h"
#include "tls.h"
#include "wire.h"

enum {
    TLS_GATHER = 128 * 1024, /* bytes a send: measured best between 64 KiB and 1 MiB */
    TLS_PULL = 128 * 1024,   /* bytes a receive: 64 KiB to 256 KiB measured alike */
    TLS_RECORD_MAX = 16384 + 256 + 5,
    /* Two messages as long as they may be, and the rest. GnuTLS gathers a first message of up to 16 MiB before
       it looks at that bound. */
    TLS_HANDSHAKE_MAX = 192 * 1024,
};

struct tls_identity {
    bool server;
    gnutls_priority_t priority;
    gnutls_certificate_credentials_t cred;
    gnutls_privkey_t key;        /* of cred */
    struct tls_tickets *tickets; /* a client's; NULL: none are kept */
};

struct tls {
    int fd;
    const struct tls_identity *identity;
    gnutls_session_t session;
    uint8_t gather[TLS_GATHER + TLS_RECORD_MAX];
    size_t from, to; /* gather[from, to) waits for the socket */
    uint8_t pulled[TLS_PULL];
    size_t pulled_from, pulled_to; /* pulled[from, to) waits for GnuTLS */
    bool eof;                      /* the peer sends nothing more */
    bool shaking;                  /* the handshake runs, */
    size_t shaken;                 /* and has taken in so much: TLS_HANDSHAKE_MAX at most */
    bool server;
    unsigned retry_s; /* said or to be said by an alert; 0: nothing */
    bool in_record;   /* GnuTLS holds an encrypted record that the gather had no room for */
    uint64_t in, out;
    struct tls_tickets *tickets; /* of the identity */
    struct tls_agreed agreed;
    tls_judge_fn *judge; /* a client's; NULL: it does without */
    void *judge_arg;
    enum err judged;     /* what it said */
    struct buf messages; /* of the handshake (tls_transcript.h) */
    bool messages_done;  /* nothing is added to them any more */
    bool proving;        /* tls_prove runs, which has this signed: */
    uint8_t proof[WIRE_HASH];
};

/* ---- tls_socket.c ---- */

/* Hands what is gathered to the socket: 0, or -1 with errno. */
int tls_drain(struct tls *t);

/* GnuTLS's transport. */
ssize_t tls_push(gnutls_transport_ptr_t ptr, const void *data, size_t n);
ssize_t tls_pull(gnutls_transport_ptr_t ptr, void *data, size_t n);
int tls_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms);

/* ---- tls_resume.c ---- */

/* What a client has to resume sessions by. NULL is allowed. */
void tls_tickets_free(struct tls_tickets *k);

/* A client's connection before its handshake: uses one of k, when there is one, and lets those that
 * come be kept there. GnuTLS's error, or 0. */
int tls_tickets_use(struct tls *t, struct tls_tickets *k) MUST_CHECK;
/* One has come. */
void tls_ticket_came(const struct tls *t);

/* ---- tls_proof.c ---- */

/* Before the handshake: has its messages kept, and a client's tickets heard of. */
void tls_keep_messages(struct tls *t);

#endif
