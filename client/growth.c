/* SPDX-License-Identifier: ISC */
#include "growth.h"

enum { LOOK_MS = 1000, SLOW_START = 40 /* round trips, with room for a loss */ };
static const double GAIN = 1.15; /* what twice as many have to bring */

void growth_init(struct growth *g, unsigned most, unsigned round_trip_ms)
{
    int64_t settled_ms = (int64_t)round_trip_ms * SLOW_START;
    *g = (struct growth){
        .now = 1, .most = most, .look_ms = settled_ms > LOOK_MS ? settled_ms : LOOK_MS};
}

unsigned growth_ask(struct growth *g, uint64_t amount, int64_t now_ms)
{
    if (g->now >= g->most)
        return 0;
    if (g->since_ms != 0 && now_ms - g->since_ms < g->look_ms)
        return 0;
    double rate = g->since_ms == 0 || amount < g->amount
                      ? 0
                      : (double)(amount - g->amount) / (double)(now_ms - g->since_ms);
    bool counts = g->since_ms != 0 && !g->fresh;
    g->since_ms = now_ms;
    g->amount = amount;
    g->fresh = false;
    if (!counts)
        return 0;
    if (rate < g->rate * GAIN) {
        g->most = g->now;
        return 0;
    }
    unsigned more = g->most - g->now < g->now ? g->most - g->now : g->now;
    g->rate = rate;
    g->now += more;
    g->fresh = true;
    return more;
}
