/* SPDX-License-Identifier: ISC */
#include "health.h"

static bool repetition(struct health *h, uint8_t sample)
{
    h->repeated = h->repeated && sample == h->last ? h->repeated + 1 : 1;
    h->last = sample;
    return h->repeated < HEALTH_REPEATED;
}

static bool proportion(struct health *h, uint8_t sample)
{
    if (h->seen == 0) {
        h->first = sample;
        h->found = 0;
    }
    h->found += sample == h->first;
    h->seen = (h->seen + 1) % HEALTH_WINDOW;
    return h->found < HEALTH_PROPORTION;
}

const char *health_feed(struct health *h, const uint8_t *samples, size_t n)
{
    for (size_t i = 0; i < n && !h->fault; i++) {
        if (!repetition(h, samples[i]))
            h->fault = "repetition count";
        else if (!proportion(h, samples[i]))
            h->fault = "adaptive proportion";
    }
    return h->fault;
}
