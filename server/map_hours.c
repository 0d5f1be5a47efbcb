/* SPDX-License-Identifier: ISC */
#include "map_hours.h"

#include <string.h>

enum { DAY = 24 * 60, WEEK = 7 * DAY };

static const char wrong[] =
    "hours are ranges like \"Mon-Fri 06:00-22:00\" with commas between, and then UTC or local";

struct parser {
    const char *p;
};

static void skip(struct parser *r)
{
    r->p += strspn(r->p, " \t");
}

static bool take_char(struct parser *r, char c)
{
    bool is = *r->p == c;
    r->p += is;
    return is;
}

static bool take_day(struct parser *r, unsigned *day)
{
    static const char names[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    for (unsigned i = 0; i < 7; i++)
        if (strncmp(r->p, names[i], 3) == 0) {
            r->p += 3;
            *day = i;
            return true;
        }
    return false;
}

static bool take_two(struct parser *r, unsigned *n)
{
    if (r->p[0] < '0' || r->p[0] > '9' || r->p[1] < '0' || r->p[1] > '9')
        return false;
    *n = (unsigned)(r->p[0] - '0') * 10 + (unsigned)(r->p[1] - '0');
    r->p += 2;
    return true;
}

static bool take_time(struct parser *r, unsigned *minute)
{
    unsigned h, m;
    if (!take_two(r, &h) || !take_char(r, ':') || !take_two(r, &m) || m > 59)
        return false;
    *minute = h * 60 + m;
    return *minute <= DAY;
}

static const char *take_range(struct parser *r, struct map_hours *h)
{
    unsigned first = 0, last = 6, from, to;
    if (take_day(r, &first)) {
        last = first;
        if (take_char(r, '-') && !take_day(r, &last))
            return wrong;
        if (*r->p != ' ' && *r->p != '\t')
            return wrong;
        skip(r);
    }
    if (!take_time(r, &from) || !take_char(r, '-') || !take_time(r, &to) || from == DAY)
        return wrong;
    if (from == to)
        return "a range that ends where it begins: a whole day is 00:00-24:00";
    for (unsigned day = first;; day = (day + 1) % 7) {
        if (h->n == MAP_SPANS_MAX)
            return "too many ranges";
        h->spans[h->n].from = (uint16_t)(day * DAY + from);
        h->spans[h->n++].to = (uint16_t)(day * DAY + to + (to < from ? DAY : 0));
        if (day == last)
            return NULL;
    }
}

const char *map_hours_parse(const char *text, struct map_hours *out)
{
    struct parser r = {text};
    const char *why;
    *out = (struct map_hours){.n = 0};
    do {
        skip(&r);
        if ((why = take_range(&r, out)))
            return why;
        const char *end = r.p;
        skip(&r);
        if (*r.p != ',' && r.p == end)
            return wrong;
    } while (take_char(&r, ','));
    out->local = strcmp(r.p, "local") == 0;
    if (!out->local && strcmp(r.p, "UTC") != 0)
        return wrong;
    /* While the files of time zones can still be read: localtime_r looks for them once only. */
    if (out->local)
        tzset();
    return NULL;
}

static bool within(const struct map_hours *h, time_t t, unsigned *second)
{
    struct tm tm;
    if (!(h->local ? localtime_r(&t, &tm) : gmtime_r(&t, &tm)))
        return false;
    unsigned at = (unsigned)((tm.tm_wday + 6) % 7 * DAY + tm.tm_hour * 60 + tm.tm_min);
    *second = (unsigned)tm.tm_sec % 60;
    for (unsigned i = 0; i < h->n; i++)
        if ((h->spans[i].from <= at && at < h->spans[i].to) || at + WEEK < h->spans[i].to)
            return true;
    return false;
}

bool map_hours_allow(const struct map_hours *h, time_t now, time_t *until)
{
    unsigned second, unused;
    *until = INT64_MAX;
    if (h->n == 0)
        return true;
    if (!within(h, now, &second))
        return false;
    /* Minute by minute, as the clock may be set forward or back among them. */
    for (time_t t = now - (time_t)second + 60; t < now + WEEK * 60; t += 60)
        if (!within(h, t, &unused)) {
            *until = t - 1;
            return true;
        }
    return true;
}
