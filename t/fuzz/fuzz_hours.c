/* SPDX-License-Identifier: ISC */
/* Hours of the week: a rule's hours allow what its text says, read another way and looked at minute by minute, up to the
 * last second that they say and not one longer. An input: u32 the time, text. */
#include "fuzz.h"

#include "../../server/map_hours.h"
#include <stdio.h>
#include <time.h>

enum { DAY = 24 * 60, WEEK = 7 * DAY, RANGES = 80 };

struct range {
    unsigned days; /* bit 0: Monday */
    unsigned from, to;
};

static int day_of(const char *name)
{
    static const char *const names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    for (int i = 0; i < 7; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* "Mon-Fri 06:00-22:00", "Sat 08:00-12:00", "08:00-12:00": of a text that is known to be right. */
static struct range read_range(const char *text)
{
    char first[4] = "Mon", last[4] = "Sun";
    unsigned a, b, c, d;
    struct range r = {0};
    if (sscanf(text, " %3[A-Za-z]-%3[A-Za-z] %u:%u-%u:%u", first, last, &a, &b, &c, &d) != 6) {
        bool one = sscanf(text, " %3[A-Za-z] %u:%u-%u:%u", first, &a, &b, &c, &d) == 5;
        strcpy(last, one ? first : "Sun");
        FUZZ_MUST(one || sscanf(text, " %u:%u-%u:%u", &a, &b, &c, &d) == 4);
        if (!one)
            strcpy(first, "Mon");
    }
    FUZZ_MUST(day_of(first) >= 0 && day_of(last) >= 0);
    for (int day = day_of(first);; day = (day + 1) % 7) {
        r.days |= 1U << day;
        if (day == day_of(last))
            break;
    }
    r.from = a * 60 + b;
    r.to = c * 60 + d;
    return r;
}

static bool in_range(const struct range *r, unsigned day, unsigned minute)
{
    bool today = r->days >> day & 1, yesterday = r->days >> (day + 6) % 7 & 1;
    if (r->from < r->to)
        return today && minute >= r->from && minute < r->to;
    return (today && minute >= r->from) || (yesterday && minute < r->to);
}

struct hours {
    struct range list[RANGES];
    size_t n;
};

static bool expected(const struct hours *h, time_t t)
{
    struct tm tm;
    FUZZ_MUST(gmtime_r(&t, &tm));
    for (size_t i = 0; i < h->n; i++)
        if (in_range(&h->list[i], (unsigned)(tm.tm_wday + 6) % 7,
                     (unsigned)(tm.tm_hour * 60 + tm.tm_min)))
            return true;
    return h->n == 0;
}

static void read_hours(char *text, struct hours *out)
{
    out->n = 0;
    for (char *save = NULL, *w = strtok_r(text, ",", &save); w && out->n < RANGES;
         w = strtok_r(NULL, ",", &save))
        out->list[out->n++] = read_range(w);
}

static void check(const struct map_hours *h, const struct hours *wanted, time_t now)
{
    time_t until, unused;
    bool good = map_hours_allow(h, now, &until);
    FUZZ_MUST(good == expected(wanted, now));
    if (!good)
        return;
    FUZZ_MUST(until >= now);
    time_t end = until == INT64_MAX ? now + WEEK * 60 : until;
    for (time_t t = now; t <= end; t += 60 * 37)
        FUZZ_MUST(expected(wanted, t));
    FUZZ_MUST(expected(wanted, end - (until == INT64_MAX)));
    FUZZ_MUST(until == INT64_MAX ||
              (!expected(wanted, until + 1) && !map_hours_allow(h, until + 1, &unused)));
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    time_t now = (time_t)wire_get_u32(&r);
    struct map_hours h;
    struct hours wanted;
    if (r.bad)
        return;
    char *text = fuzz_text(slice_of(r.p, (size_t)(r.end - r.p)));
    if (!map_hours_parse(text, &h) && !h.local) {
        FUZZ_MUST(h.n > 0 && h.n <= MAP_SPANS_MAX);
        read_hours(text, &wanted);
        check(&h, &wanted, now);
    }
    free(text);
}

static void seed(uint32_t now, const char *text)
{
    struct buf b;
    buf_init(&b, 4096);
    wire_put_u32(&b, now);
    buf_put(&b, text, strlen(text));
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    seed(1800000000, "Mon-Fri 06:00-22:00, Sat 08:00-12:00 UTC");
    seed(1800000000, "00:00-24:00 UTC");
    seed(1800005555, "Sat-Mon 22:00-06:00, Wed 23:59-00:01 UTC");
    seed(1800400000, "Fri 00:00-24:00,Sat 00:00-23:59 UTC");
    seed(1800200000, "Sun 20:00-24:00, Mon 00:00-04:00 local");
}
