/* SPDX-License-Identifier: ISC */
/* A limit on bytes a second, shared by any number of threads or processes.
 *
 * Virtual scheduling, the generic cell rate algorithm of ITU-T I.371: one 64-bit word says when the
 * bucket is empty again. Whoever wants to move bytes first books them, which moves that time on, and
 * then waits for their turn. So in any span of time at most rate * span + PACE_BURST_MS worth of
 * bytes gets its turn, whoever moves them; those who wait are served in the order of their booking.
 * The word is changed by compare and exchange: there is no lock that a process could die with, and
 * one that is killed loses at most what it had booked. The only clock is CLOCK_MONOTONIC, which is
 * the same for all processes and which nobody sets. */
#ifndef CONSIGN_PACE_H
#define CONSIGN_PACE_H

#include "err.h"
#include <stdatomic.h>
#include <stdint.h>

enum {
    PACE_BURST_MS = 250,  /* so much of the rate may go at once after a rest */
    PACE_MIN = 8 * 1024,  /* bytes a second: below, the other side takes it for a dead connection */
    PACE_PIECE_MIN = 512, /* bytes: pace_piece gives at least so many, ... */
    PACE_PIECE_MAX = 16 * 1024, /* ... and at most so many: a TLS record */
};

/* Not to be copied or moved once it is set up. */
struct pace {
    uint64_t rate;          /* bytes a second, PACE_MIN at least */
    _Atomic uint64_t *word; /* CLOCK_MONOTONIC in ns when the bucket is empty again */
    _Atomic uint64_t own;   /* what word points to where it is not shared between processes */
};

/* A limit for the threads of this process. */
void pace_init(struct pace *p, uint64_t rate);

/* Makes the word that several processes share: *fd, close-on-exec, can neither shrink nor grow.
 * ERR_INTERNAL or the like, logged. */
enum err pace_share(int *fd) MUST_CHECK;

/* A limit for all processes that give a copy of the same fd, which stays the caller's and may be
 * closed; the mapping lasts as long as the process. All should give the same rate. */
enum err pace_attach(struct pace *p, uint64_t rate, int fd) MUST_CHECK;

/* Books bytes (at most 2^32) and returns when it is their turn: a time of CLOCK_MONOTONIC in ms,
 * rounded up, in the past where there is no need to wait. */
int64_t pace_take(struct pace *p, uint64_t bytes);

/* How many bytes to book at once, so that they go about a sixteenth of a second apart or closer. */
uint64_t pace_piece(const struct pace *p);

#endif
