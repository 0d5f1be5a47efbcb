/* SPDX-License-Identifier: ISC */
#include "penalty.h"

#include <stdlib.h>
#include <string.h>

enum { DOUBLINGS_MAX = 20, ENTRIES = PENALTY_ROWS * PENALTY_WAYS };

static const struct {
    const char *text;
    int64_t ms;
} offences[PENALTY_OFFENCES] = {
    [PENALTY_LEFT] = {"left before the handshake was over", 1000},
    [PENALTY_NOISE] = {"failed handshakes", 3000},
    [PENALTY_SILENCE] = {"handshakes not finished in time", 5000},
    [PENALTY_REFUSED] = {"refused by certificate or map", 5000},
    [PENALTY_CRASH] = {"a session that died", PENALTY_CREDIT_MS},
};

const char *penalty_text(enum penalty_offence o)
{
    return offences[o].text;
}

struct entry {
    struct penalty_peer peer;
    int64_t paid_ms;   /* when what it owes is paid off */
    int64_t forget_ms; /* when nothing is left to remember; 0: the place is free */
    bool shut;         /* and the end of that was not told of yet */
};

struct penalties {
    uint64_t secret;
    int64_t next_end_ms;           /* nobody that is shut out may come again before */
    struct entry entries[ENTRIES]; /* row after row */
};

struct penalties *penalties_new(uint64_t secret)
{
    /* Pages of the table are only touched once there are peers in them. */
    struct penalties *p = calloc(1, sizeof *p);
    if (p) {
        p->secret = secret;
        p->next_end_ms = INT64_MAX;
    }
    return p;
}

void penalties_free(struct penalties *p)
{
    free(p);
}

/* ---- places ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static struct entry *row_of(struct penalties *p, const struct network *who)
{
    uint64_t halves[2];
    memcpy(halves, who->bytes, sizeof halves);
    uint64_t hash = mix(mix(mix(p->secret ^ halves[0]) ^ halves[1]) ^ who->bits);
    return &p->entries[hash % PENALTY_ROWS * PENALTY_WAYS];
}

static struct entry *find(struct penalties *p, const struct network *who, int64_t now_ms)
{
    struct entry *row = row_of(p, who);
    for (int i = 0; i < PENALTY_WAYS; i++)
        if (row[i].forget_ms > now_ms && network_eq(&row[i].peer.who, who))
            return &row[i];
    return NULL;
}

/* Who is missed less: one that is not shut out, or the one that is remembered less long. */
static bool is_lighter(const struct entry *a, const struct entry *b, int64_t now_ms)
{
    bool shut = a->peer.until_ms > now_ms;
    if (shut != (b->peer.until_ms > now_ms))
        return !shut;
    return a->forget_ms < b->forget_ms;
}

/* A place for one more: a free one, else that of whoever is missed least. */
static struct entry *take_place(struct penalties *p, const struct network *who, int64_t now_ms)
{
    struct entry *row = row_of(p, who), *best = &row[0];
    for (int i = 1; i < PENALTY_WAYS && best->forget_ms > now_ms; i++)
        if (row[i].forget_ms <= now_ms || is_lighter(&row[i], best, now_ms))
            best = &row[i];
    *best = (struct entry){.peer = {.who = *who}};
    return best;
}

/* ---- offences ---- */

static void shut_out(struct penalties *p, struct entry *e, int64_t most_ms, int64_t now_ms)
{
    unsigned doublings = e->peer.times < DOUBLINGS_MAX ? e->peer.times : DOUBLINGS_MAX;
    int64_t ms = (int64_t)PENALTY_CREDIT_MS << doublings;
    ms = ms < most_ms ? ms : most_ms;
    e->peer.until_ms = e->paid_ms = now_ms + ms;
    e->peer.turned = 0;
    e->peer.times++;
    e->forget_ms = e->peer.until_ms + most_ms;
    e->shut = true;
    if (e->peer.until_ms < p->next_end_ms)
        p->next_end_ms = e->peer.until_ms;
}

bool penalties_add(struct penalties *p, const struct network *who, enum penalty_offence o,
                   int64_t most_ms, int64_t now_ms, struct penalty_peer *out)
{
    struct entry *e = most_ms > 0 ? find(p, who, now_ms) : NULL;
    if (most_ms <= 0)
        return false;
    if (!e)
        e = take_place(p, who, now_ms);
    if (e->peer.until_ms > now_ms)
        return false; /* of a connection from before */
    e->peer.last = o;
    e->paid_ms = (e->paid_ms > now_ms ? e->paid_ms : now_ms) + offences[o].ms;
    if (e->paid_ms > e->forget_ms)
        e->forget_ms = e->paid_ms;
    if (e->paid_ms - now_ms < PENALTY_CREDIT_MS)
        return false;
    shut_out(p, e, most_ms, now_ms);
    *out = e->peer;
    return true;
}

bool penalties_apply(struct penalties *p, const struct network *who, int64_t now_ms)
{
    struct entry *e = find(p, who, now_ms);
    if (!e || e->peer.until_ms <= now_ms)
        return false;
    e->peer.turned++;
    return true;
}

/* ---- views ---- */

bool penalties_ended(struct penalties *p, int64_t now_ms, struct penalty_peer *out)
{
    int64_t next = INT64_MAX;
    if (now_ms < p->next_end_ms)
        return false;
    for (struct entry *e = p->entries; e < p->entries + ENTRIES; e++) {
        if (!e->shut)
            continue;
        if (e->peer.until_ms <= now_ms) {
            e->shut = false;
            *out = e->peer;
            return true;
        }
        if (e->peer.until_ms < next)
            next = e->peer.until_ms;
    }
    p->next_end_ms = next;
    return false;
}

size_t penalties_list(const struct penalties *p, int64_t now_ms, struct penalty_peer *out,
                      size_t cap)
{
    size_t n = 0;
    for (const struct entry *e = p->entries; e < p->entries + ENTRIES; e++) {
        if (e->peer.until_ms <= now_ms || e->forget_ms == 0)
            continue;
        if (n < cap)
            out[n] = e->peer;
        n++;
    }
    return n;
}
