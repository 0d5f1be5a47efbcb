/* SPDX-License-Identifier: ISC */
/* How many connections a command uses that was not told: it begins with one, and takes twice as many as
 * long as that made it faster. What limits a single connection (a long round trip and a bounded window,
 * one core for its cipher) is shared out so; where the link or the disks are the limit, the first trial
 * shows it, and it stays at that. */
#ifndef CONSIGN_GROWTH_H
#define CONSIGN_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

enum { GROWTH_MOST = 8 };

struct growth {
    unsigned now, most; /* connections */
    int64_t look_ms;    /* how long one look takes */
    int64_t since_ms;   /* when the running look began; 0: not yet */
    uint64_t amount;    /* what had been done then */
    double rate;        /* with half as many connections */
    bool fresh;         /* some were added: what they do at first does not count */
};

/* most: 1 for no growth at all. A connection over a long round trip becomes faster by itself for many of them: a
 * look is never shorter than that. */
void growth_init(struct growth *g, unsigned most, unsigned round_trip_ms);

/* Asked now and then, with what has been done so far in any unit: how many connections to add now, mostly
 * 0. */
unsigned growth_ask(struct growth *g, uint64_t amount, int64_t now_ms);

#endif
