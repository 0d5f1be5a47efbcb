/* SPDX-License-Identifier: ISC */
/* What the master has done by processes of their own while it serves: sweeps of all users' roots,
 * an hour between two rounds, and scrubs, periodic or asked for. One process of each at a time. */
#ifndef CONSIGND_HOUSEKEEPING_H
#define CONSIGND_HOUSEKEEPING_H

#include "scrub.h"

struct sweep {
    char (*users)[65];    /* of this round; NULL: none runs */
    size_t n_users, next; /* the one who is swept next */
    pid_t pid;
    int fd;
    int64_t due_ms;
    int64_t began, ended;     /* of a round: seconds since 1970; ended 0: none is finished */
    uint64_t removed, failed; /* parts and trees; users whose roots could not be swept */
};

struct housekeeping {
    struct sweep sweep;
    struct scrub scrub;
    int64_t scrub_due_ms; /* 0: none is */
    int epoll;
    void *what; /* the event of a scrub's socket */
};

/* The first scrub is due one interval from now. epoll may be set later; what is the event of a scrub
 * that has something to say. */
void housekeeping_init(struct housekeeping *h, const struct policy *policy, int epoll, void *what);

/* Begins what is due. */
void housekeeping_tick(struct housekeeping *h, const struct policy *policy, int scribe);

/* Begins a scrub of one user's roots, or all ("" as only). Errors as scrub_begin. */
enum err housekeeping_scrub(struct housekeeping *h, const struct policy *policy, const char *only,
                            int scribe) MUST_CHECK;

/* The scrub's socket is readable. */
void housekeeping_event(struct housekeeping *h, int scribe);

/* A process was reaped: its name when it was one of these, and what follows it is begun; else NULL. */
const char *housekeeping_reaped(struct housekeeping *h, const struct policy *policy, pid_t pid,
                                int wait_status, int scribe);

/* The map or the intervals may be others now. */
void housekeeping_reload(struct housekeeping *h, const struct policy *policy);

/* Ends what runs; nothing is begun any more. */
void housekeeping_stop(struct housekeeping *h);
void housekeeping_release(struct housekeeping *h);

#endif
