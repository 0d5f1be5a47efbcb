/* SPDX-License-Identifier: ISC */
/* Hours of the week, as the map has them:
 *
 *   hours = Mon-Fri 06:00-22:00, Sat 08:00-12:00 UTC
 *
 * Ranges with commas between, then the clock they are by: UTC, or local (that of the server, summer time included). A range
 * without days is one of every day; days are one, or from one to another, over the end of the week as well. It
 * begins at the first minute and ends before the second; where that is earlier in the day, it ends on the day after the
 * one that is named. 24:00 is the end of the day. */
#ifndef CONSIGND_MAP_HOURS_H
#define CONSIGND_MAP_HOURS_H

#include "err.h"
#include <stdint.h>
#include <time.h>

enum { MAP_SPANS_MAX = 70, MAP_HOURS_TEXT = 128 };

struct map_hours {
    bool local;
    unsigned n; /* 0: at any time */
    struct {
        uint16_t from, to; /* minutes of the week from Monday 00:00; to may lie in the next one */
    } spans[MAP_SPANS_MAX];
};

/* NULL, or what is wrong (static). */
const char *map_hours_parse(const char *text, struct map_hours *out) MUST_CHECK;

/* Whether now is within them; *until is then the last second from now on that is, at most a week away, or INT64_MAX
 * when they do not end. */
bool map_hours_allow(const struct map_hours *h, time_t now, time_t *until);

#endif
