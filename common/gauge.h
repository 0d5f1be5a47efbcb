/* SPDX-License-Identifier: ISC */
/* Whether compressing makes a transfer faster, judged from how it goes.
 *
 * A plain byte takes some time, of which some is spent waiting for the connection to take more. Where
 * that is well over what compressing a byte takes, compressing is tried; it goes on while a byte takes
 * less time than a plain one did. The other way is tried again after a number of spans that
 * doubles each time, so that a wrong guess costs little. A span is long enough for a socket to take data
 * many times, and it takes two in a row to change the mind, as a receiver that syncs its disk looks
 * like a slow connection.
 *
 * Nothing here reads a clock. A zeroed gauge is ready. */
#ifndef CONSIGN_GAUGE_H
#define CONSIGN_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

/* A span ends with so many bytes if it took so long, else after a longer time. */
enum { GAUGE_SPAN = 4 << 20, GAUGE_SPAN_NS = 50000000, GAUGE_SPAN_MAX_NS = 250000000 };

/* What was sent, and the time it took. */
struct gauge_piece {
    uint64_t bytes; /* of content */
    int64_t took_ns;
    int64_t waited_ns; /* of these, for the connection */
    uint64_t packed;   /* bytes of content that went through the engine */
    int64_t pack_ns;   /* and for how long */
};

struct gauge {
    bool on;                 /* compress */
    struct gauge_piece span; /* so far */
    double pack_ns;          /* what compressing a byte takes; 0: not known */
    double plain_ns;         /* what a plain byte took in the last span of them */
    unsigned votes;          /* spans in a row that were for a change ... */
    bool slower;             /* ... because compressing was slower */
    unsigned patience;       /* spans before the other way is tried */
    unsigned backoff;        /* how many, the last time */
};

/* Counts a piece; g->on says what to do with the next. ns_per_kib is what the engine takes, until it
 * has been measured. */
void gauge_add(struct gauge *g, const struct gauge_piece *p, unsigned ns_per_kib);

#endif
