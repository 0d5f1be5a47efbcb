/* SPDX-License-Identifier: ISC */
/* How the places of a server are shared out. Pure: numbers in, a decision out.
 *
 * A place is a session. It is a handshake's as long as it is not authorised, then a user's.
 *
 *   - There are so many places in all; when none is left, connections wait in the kernel's queue.
 *   - So many of them may be handshakes. When that is reached connections wait, too; and if any do,
 *     handshakes that have waited for their peer for admission_patience_ms give way to them, as who
 *     is slow on purpose looks like that. So a crowd is served at the speed of the machine, and one
 *     that holds places without using them holds them for that long only.
 *   - So many may be of one peer (network.h).
 *   - No user may hold more places than ADMISSION_SHARE times those that are free of users: alone
 *     three quarters of all, two of them three sevenths each. Whoever comes next finds a place.
 *   - The processor is shared by weight: a user's first ADMISSION_FULL sessions have the usual one,
 *     the n-th has about ADMISSION_FULL/n of it (by nice(2), 1.25 to the power of its value). So
 *     with n sessions a user has the weight of ADMISSION_FULL * (1 + ln(n / ADMISSION_FULL)) of
 *     them: 15 for 64. */
#ifndef CONSIGND_ADMISSION_H
#define CONSIGND_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum { ADMISSION_SHARE = 3, ADMISSION_FULL = 4, ADMISSION_NICE_MAX = 19 };

/* Whether a user that holds so many of all places may have one more, when users hold taken of them. */
bool admission_share(uint64_t held, uint64_t taken, uint64_t places);

/* The nice value of a user's n-th session, from 1. */
int admission_nice(uint64_t n);

/* How long a handshake may wait for its peer when others want its place; handshake_s: the limit that
 * holds in any case. */
int64_t admission_patience_ms(uint64_t handshake_s);

/* How many places a process that may open so many descriptors has: each takes one of the master's,
 * one of the scribe's and one of the keeper's, and some are needed for all else. */
uint64_t admission_places(uint64_t descriptors);

#endif
