/* SPDX-License-Identifier: ISC */
/* Peers (network.h) that keep failing are shut out for a while, and for longer each time.
 *
 * Each offence costs its time, which is paid off as time passes. A peer that owes PENALTY_CREDIT_MS
 * or more is shut out: the first time for as long, each further time for twice as long as before, up
 * to the configured most. What happens while it is shut out counts for nothing, or a peer that was
 * only impatient would never come back. When so long as the configured most has passed in peace
 * after that, nothing is left of it.
 *
 * The table has a fixed size, found by a secret hash, so that no peer can choose whom it displaces.
 * When a row is full whoever owes least goes, one that is not shut out before one that is: a flood
 * from more networks than the table holds is forgiven in part, and takes no memory. Pure: the clock
 * is a parameter, in milliseconds, and never runs backwards. */
#ifndef CONSIGND_PENALTY_H
#define CONSIGND_PENALTY_H

#include "network.h"

enum {
    PENALTY_CREDIT_MS = 15 * 1000,
    PENALTY_ROWS = 1024,
    PENALTY_WAYS = 8,
};

/* What a connection did that ended without authorisation. */
enum penalty_offence {
    PENALTY_LEFT,    /* closed it before the handshake was over */
    PENALTY_NOISE,   /* said what is no handshake of ours */
    PENALTY_SILENCE, /* did not finish in time */
    PENALTY_REFUSED, /* was refused by its certificate or the map */
    PENALTY_CRASH,   /* killed its session */
    PENALTY_OFFENCES
};

/* "left before the handshake was over" and so on. Static. */
const char *penalty_text(enum penalty_offence o);

/* A peer that is shut out, or was. */
struct penalty_peer {
    struct network who;
    enum penalty_offence last;
    int64_t until_ms; /* shut out until then; the past: it is not */
    uint64_t turned;  /* connections that were turned away, this time */
    unsigned times;   /* shut out so often in a row */
};

struct penalties;

/* secret: of randomness. NULL when there is no memory. */
struct penalties *penalties_new(uint64_t secret);
void penalties_free(struct penalties *p);

/* Notes an offence. True when the peer is shut out from now on: *out says who and until when.
 * most_ms: the longest that anybody is shut out; 0: nobody is. */
bool penalties_add(struct penalties *p, const struct network *who, enum penalty_offence o,
                   int64_t most_ms, int64_t now_ms, struct penalty_peer *out);

/* Whether the peer is shut out now; a connection that is turned away is counted. */
bool penalties_apply(struct penalties *p, const struct network *who, int64_t now_ms);

/* A peer that may come again since the last call; false when there is none (more). */
bool penalties_ended(struct penalties *p, int64_t now_ms, struct penalty_peer *out);

/* How many are shut out now; the first cap of them are in out. */
size_t penalties_list(const struct penalties *p, int64_t now_ms, struct penalty_peer *out,
                      size_t cap);

#endif
