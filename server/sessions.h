/* SPDX-License-Identifier: ISC */
/* The master's table of running sessions: admission, start, grant, end. */
#ifndef CONSIGND_SESSIONS_H
#define CONSIGND_SESSIONS_H

#include "board.h"
#include "listen.h"
#include "network.h"
#include "policy.h"
#include <stdint.h>

struct sessions_entry {
    pid_t pid;
    int fd;    /* the master's end of the session's socket; -1: closed */
    int epoll; /* what watches fd; -1: nothing */
    uint64_t number;
    char name[33];
    char peer[LISTEN_NAME];
    struct sockaddr_storage address;
    struct network network; /* of address: what counts as one peer */
    bool expired,
        gave_way;        /* it was killed as its handshake took too long; in all, or for others */
    char user[65];       /* "" until granted */
    uint64_t generation; /* of the policy that it was forked with */
    /* What proves who its peer is, for usher.h: what the session showed (once), and what it can't have made up,
     * the keeper's word on its signature and a nonce. Of one that runs, proof is the peer's certificates. None of
     * it means anything to the master. */
    bool shown, resumed;
    uint8_t *proof;
    size_t proof_n;
    struct buf vouch;
    uint8_t nonce[WIRE_HASH];
    /* Its own word: */
    char agreed[TLS_AGREED_TEXT];
    char unapproved[FIPS_NOTE];
    char indicator[33];
    int64_t started_ms;
    /* Of one that was granted: */
    pid_t store; /* 0: it ended */
    struct map_user *granted;
    int64_t due;         /* its verdict has to be made, or made again: seconds since 1970 */
    uint64_t asked;      /* the usher that has to answer for it; 0: none */
    int64_t cut_ms;      /* when it was told to end; 0: it was not */
    struct board *board; /* what it is doing */
    struct sessions_entry *next;
};

struct sessions {
    struct sessions_entry *head;
    size_t n;
    size_t authorised; /* of them */
    uint64_t
        next; /* number of the next session: start time in the upper half, a count in the lower */
    /* Since the server started: sessions; those that were authorised, and how many
     * of these were resumed; those that ended without;
     * connections for which there was no session; sessions and others that a signal killed. */
    uint64_t served, granted, resumed, refused, dropped, killed;
};

void sessions_init(struct sessions *t);

/* Forks a session for the accepted connection, which moves in; keeper and scribe are their control
 * sockets, algorithms what the keeper signs with (its KEEPER_UP), ticket_key
 * that of tickets or NULL. The entry is
 * borrowed until sessions_reaped. */
enum err sessions_start(struct sessions *t, const struct policy *policy, int connection,
                        const struct sockaddr_storage *address, int keeper, uint64_t algorithms,
                        int scribe, uint8_t *ticket_key, struct sessions_entry **out) MUST_CHECK;

/* The session's socket is readable: takes what it shows. ERR_PROTO, logged: it says what it may not; any other
 * error: it is gone. */
enum err sessions_show(struct sessions_entry *s) MUST_CHECK;

/* The keeper's VOUCH, n bytes at body: kept for the session that it names. */
void sessions_vouch(struct sessions *t, const uint8_t *body, size_t n);

/* What the usher found of a session that showed its proof: records and grants by forking the store, with
 * what the rule's rate is shared by, or refuses; the session is told. scribe is the control socket. An error means
 * that it was refused, or is gone: the caller closes (sessions_close). */
struct ipc_verdict;
enum err sessions_grant(struct sessions *t, struct sessions_entry *s, struct policy *policy,
                        const struct ipc_verdict *m, int scribe) MUST_CHECK;

/* The verdict holds up to then, seconds since 1970. */
void sessions_hold_until(struct sessions_entry *s, uint64_t until);

/* Closes the master's end: the session ends once its running request is done. */
void sessions_close(struct sessions_entry *s);

/* Removes the entry of a process that ended and gives it to the caller (sessions_free);
 * NULL when it was none of these, but perhaps a store. */
struct sessions_entry *sessions_reaped(struct sessions *t, pid_t pid);
void sessions_free(struct sessions_entry *s);

/* Kills sessions that did not come to be authorised in time, counted from their accept. */
void sessions_expire(struct sessions *t, const struct config *c, int64_t now_ms);

/* What every child of the master does first: default signals (what a terminal sends is the master's
 * business), and nothing of the master's standard input and output, which may be the audit log. */
void sessions_child_begin(void);

#endif
