/* SPDX-License-Identifier: ISC */
#include "gauge.h"

enum { VOTES = 2, BACKOFF_MIN = 4, BACKOFF_MAX = 64 };

/* Compressing has to gain more than it costs, or the wait would only turn into work. */
static const double worth = 2.5;
/* Less waiting than this share, and the connection is not what holds the sender up. */
static const double idle = 0.125;

static void turn(struct gauge *g, unsigned patience)
{
    g->on = !g->on;
    g->votes = 0;
    g->patience = patience;
}

/* Plain: compressing would fit into the time spent waiting. */
static void judge_plain(struct gauge *g, double byte_ns, double wait_ns)
{
    g->plain_ns = byte_ns;
    if (g->patience > 0) {
        g->patience--;
        return;
    }
    g->votes = wait_ns > worth * g->pack_ns ? g->votes + 1 : 0;
    if (g->votes < VOTES)
        return;
    g->backoff = g->backoff == 0 ? BACKOFF_MIN : g->backoff * 2;
    if (g->backoff > BACKOFF_MAX)
        g->backoff = BACKOFF_MAX;
    turn(g, g->backoff);
}

/* Compressed: slower than plain was, or without the waiting that would say how plain would do now. */
static void judge_packed(struct gauge *g, double byte_ns, double wait_ns)
{
    bool slower = byte_ns >= g->plain_ns;
    bool unsure = wait_ns < idle * byte_ns;
    if (slower != g->slower)
        g->votes = 0;
    g->slower = slower;
    if (unsure && !slower && g->patience > 0) {
        g->patience--;
        return;
    }
    g->votes = slower || unsure ? g->votes + 1 : 0;
    if (g->votes == VOTES)
        turn(g, slower ? g->backoff : 0);
}

void gauge_add(struct gauge *g, const struct gauge_piece *p, unsigned ns_per_kib)
{
    struct gauge_piece *s = &g->span;
    s->bytes += p->bytes;
    s->took_ns += p->took_ns;
    s->waited_ns += p->waited_ns;
    s->packed += p->packed;
    s->pack_ns += p->pack_ns;
    if (s->took_ns < GAUGE_SPAN_NS || (s->bytes < GAUGE_SPAN && s->took_ns < GAUGE_SPAN_MAX_NS))
        return;
    double bytes = (double)s->bytes;
    if (s->packed > 0)
        g->pack_ns = (double)s->pack_ns / (double)s->packed;
    else if (g->pack_ns == 0)
        g->pack_ns = (double)ns_per_kib / 1024;
    if (g->on)
        judge_packed(g, (double)s->took_ns / bytes, (double)s->waited_ns / bytes);
    else
        judge_plain(g, (double)s->took_ns / bytes, (double)s->waited_ns / bytes);
    *s = (struct gauge_piece){0};
}
