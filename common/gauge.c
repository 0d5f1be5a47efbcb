/* SPDX-License-Identifier: ISC */
#include "gauge.h"

enum {
    SPAN = 4 << 20, /* bytes; and no less than */
    SPAN_NS = 50000000,
    SPAN_MAX_NS = 250000000, /* enough with fewer bytes */
    VOTES_ON = 2,
    VOTES_OFF = 3,
    BACKOFF_MIN = 4,
    BACKOFF_MAX = 64,
};

/* Compressing has to gain more than it costs, or the wait would only turn into work. */
static const double worth = 2.5;
/* Less waiting than this share, and the connection is not what holds the sender up. */
static const double idle = 0.125;

static void turn(struct gauge *g, unsigned patience)
{
    g->on = !g->on;
    g->spans = g->votes = 0;
    g->patience = patience;
}

/* Plain: compressing would fit into the time spent waiting. */
static void judge_plain(struct gauge *g, double byte_ns, double wait_ns, double pack_ns)
{
    /* A single pause must not count for much. */
    double most = 2 * g->plain_ns, x = byte_ns > most ? most : byte_ns;
    g->plain_ns = g->plain_ns == 0 ? byte_ns : g->plain_ns + (x - g->plain_ns) / 4;
    if (g->spans <= g->patience)
        return;
    g->votes = wait_ns > worth * pack_ns ? g->votes + 1 : 0;
    if (g->votes < VOTES_ON)
        return;
    g->backoff = g->backoff == 0 ? BACKOFF_MIN : g->backoff * 2;
    if (g->backoff > BACKOFF_MAX)
        g->backoff = BACKOFF_MAX;
    turn(g, g->backoff);
}

/* Compressed: slower than plain was, or a look is due at how plain would do now: soon where there is no
 * waiting left that would tell. */
static void judge_packed(struct gauge *g, double byte_ns, double wait_ns)
{
    g->votes = byte_ns >= g->plain_ns ? g->votes + 1 : 0;
    if (g->votes == VOTES_OFF)
        turn(g, g->backoff);
    else if (g->spans > BACKOFF_MAX || (g->spans > g->patience && wait_ns < idle * byte_ns))
        turn(g, 0);
}

void gauge_add(struct gauge *g, const struct gauge_piece *p, unsigned ns_per_kib)
{
    struct gauge_piece *s = &g->span;
    s->bytes += p->bytes;
    s->took_ns += p->took_ns;
    s->waited_ns += p->waited_ns;
    if (s->took_ns < SPAN_NS || (s->bytes < SPAN && s->took_ns < SPAN_MAX_NS))
        return;
    double byte_ns = (double)s->took_ns / (double)s->bytes;
    double wait_ns = (double)s->waited_ns / (double)s->bytes;
    *s = (struct gauge_piece){0};
    g->spans++;
    if (g->on)
        judge_packed(g, byte_ns, wait_ns);
    else
        judge_plain(g, byte_ns, wait_ns, (double)ns_per_kib / 1024);
}
