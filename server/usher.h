/* SPDX-License-Identifier: ISC */
/* The usher: the process that finds out who a session's peer is, and says so to the master alone.
 *
 * The master grants nothing on a session's word. It has the session hand over what proves the peer's
 * identity (PROVE: the handshake's messages, or a resumed session's signature), and asks the usher, with what
 * others know of that very connection: the keeper's signature (VOUCH), the nonce that the master drew for it.
 * The usher checks the proof (usher_proof.h), then chain, revocation lists, policy and map, and answers with the rule.
 * By the same question, without a proof, sessions that run are judged again: all of them after a reload, each when
 * time may have changed its verdict (a certificate or a list runs out).
 *
 * A certificate is a peer's bytes, and the master parses none. The usher is forked with the policy in its memory, at the start
 * and after each reload, and gives up all else: no file, no call but for its one socket. It keeps nothing from one
 * question to the next, so that one that dies takes nothing with it: the session that it was at is refused, or cut if it
 * ran; what else it had been asked, the next one is. One that is silent for USHER_SILENT_MS is killed.
 *
 * A session that may not go on is sent CUT. It ends at the next border of a chunk, and keeps what came; one that has not ended
 * USHER_CUT_MS later is killed with its store. */
#ifndef CONSIGND_USHER_H
#define CONSIGND_USHER_H

#include "sessions.h"

enum { USHER_CUT_MS = 2000, USHER_SILENT_MS = 10 * 1000 };

struct usher {
    pid_t pid; /* 0: none runs */
    int fd;
    uint64_t at;      /* the session that it looks at; 0: none */
    unsigned asked;   /* questions that it has not answered */
    bool over;        /* its policy is another one's by now: what it says does not count */
    uint64_t number;  /* of the one that runs, or ran last */
    int64_t heard_ms; /* of it */
    int64_t wait_ms;  /* no other before: the last one could not do its work */
    int64_t due;      /* the next question: seconds since 1970 */
    bool cutting;     /* there are sessions that were told to end */
    int epoll;
    void *what;                   /* the event of its socket */
    uint64_t judged, cut, killed; /* sessions that ran, since the server began */
};

void usher_init(struct usher *u, void *what);

/* A session has shown its proof: a question. */
void usher_wants(struct usher *u);

/* The policy is another one: another usher, and all verdicts are due. */
void usher_reload(struct usher *u, struct sessions *t);

/* Starts one when none runs, asks what is due, and kills what did not end when it was told to. */
void usher_tick(struct usher *u, struct sessions *t, const struct policy *p, int64_t now_ms);

/* Its socket is readable: grants, refuses, cuts. scribe is the control socket. */
void usher_event(struct usher *u, struct sessions *t, struct policy *p, int scribe);

/* A process was reaped: whether it was the usher. */
bool usher_reaped(struct usher *u, struct sessions *t, struct policy *p, pid_t pid, int scribe);

/* Ends it: closes its socket. */
void usher_stop(struct usher *u);

/* The usher's life; fd is its end of the socket. Returns the exit status. */
int usher_main(const struct policy *p, int fd);

#endif
