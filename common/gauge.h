/* SPDX-License-Identifier: ISC */
/* Whether compressing makes a transfer faster, judged from how it goes.
 *
 * A plain byte takes some time, of which some is spent waiting for the connection to take more. Where
 * that is well over what compressing a byte takes, compressing is tried, and goes on while a byte takes
 * less time than a plain one did. Now and then the other way is tried again: after a number of spans
 * that doubles each time, so that a wrong guess costs little. A span is long enough for a socket to
 * take data many times, and it takes some in a row to change the mind, as a receiver that syncs its
 * disk looks like a slow connection.
 *
 * Nothing here reads a clock. A zeroed gauge is ready. */
#ifndef CONSIGN_GAUGE_H
#define CONSIGN_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

/* What was sent, and the time it took. */
struct gauge_piece {
    uint64_t bytes; /* of content */
    int64_t took_ns;
    int64_t waited_ns; /* of these, for the connection */
};

struct gauge {
    bool on;                 /* compress */
    struct gauge_piece span; /* so far */
    double plain_ns;         /* what a plain byte takes, a running mean; 0: not known */
    unsigned spans;          /* since the last change */
    unsigned patience;       /* how many of them are not asked for another */
    unsigned votes;          /* those in a row that were for one */
    unsigned backoff;        /* the patience with what is tried */
};

/* Counts a piece; g->on says what to do with the next. ns_per_kib is what the engine takes. */
void gauge_add(struct gauge *g, const struct gauge_piece *p, unsigned ns_per_kib);

#endif
