/* SPDX-License-Identifier: ISC */
#include "when.h"
#include "log.h"

#include <string.h>
#include <time.h>

enum err when_parse(const char *text, int64_t *out)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == 'T')
        end = strptime(end, "T%H:%M:%SZ", &tm);
    if (!end || *end)
        return log_fail(ERR_USAGE, "time \"%s\": must be like 2026-12-01 or 2026-12-01T14:00:00Z",
                        text);
    *out = timegm(&tm);
    return ERR_OK;
}

enum err when_of(const struct options *o, int64_t days, struct when *out)
{
    int64_t now = time(NULL);
    *out = (struct when){now - WHEN_SKEW, 0};
    if (o->days && o->not_after)
        return log_fail(ERR_USAGE, "--days and --not-after exclude each other");
    enum err e = o->not_before ? when_parse(o->not_before, &out->from) : ERR_OK;
    out->until = (o->not_before ? out->from : now) + (o->days ? o->days : days) * WHEN_DAY;
    if (!e && o->not_after)
        e = when_parse(o->not_after, &out->until);
    if (!e && out->until <= out->from)
        e = log_fail(ERR_USAGE, "the end is not after the beginning");
    return e;
}
