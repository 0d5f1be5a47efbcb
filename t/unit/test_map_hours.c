/* SPDX-License-Identifier: ISC */
/* Hours of the week: what is one, and what is within them. */
#include "../../server/map_hours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct map_hours hours;

static void wrong(const char *text)
{
    if (!map_hours_parse(text, &hours))
        fail_msg("taken: %s", text);
}

static void takes(const char *text)
{
    const char *why = map_hours_parse(text, &hours);
    if (why)
        fail_msg("%s: %s", text, why);
}

static time_t at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
    return timegm(&tm);
}

static void outside(const char *when)
{
    time_t until;
    if (map_hours_allow(&hours, at(when), &until))
        fail_msg("%s is within", when);
}

/* Within; and ends so (NULL: never). */
static void within(const char *when, const char *end)
{
    time_t until;
    if (!map_hours_allow(&hours, at(when), &until))
        fail_msg("%s is outside", when);
    if (until != (end ? at(end) : INT64_MAX))
        fail_msg("%s: until %lld, not %s", when, (long long)until, end ? end : "for ever");
}

static void grammar(void **state)
{
    static const char *const bad[] = {"",
                                      "UTC",
                                      "06:00-22:00",
                                      "06:00-22:00 GMT",
                                      "06:00-22:00 utc",
                                      "6:00-22:00 UTC",
                                      "06:00-22:60 UTC",
                                      "06:00-24:01 UTC",
                                      "24:00-06:00 UTC",
                                      "06:00-06:00 UTC",
                                      "Mon 06:00 UTC",
                                      "Mon- 06:00-07:00 UTC",
                                      "mon 06:00-07:00 UTC",
                                      "Mon,Tue 06:00-07:00 UTC",
                                      "Mon06:00-07:00 UTC",
                                      "06:00-07:00, UTC",
                                      "06:00-07:00UTC",
                                      "06:00-07:00 UTC x",
                                      "Mon-Fri 06:00-22:00,, Sat 06:00-07:00 UTC",
                                      "99:00-07:00 UTC",
                                      ",06:00-07:00 UTC",
                                      "06:00-07:00 UTC local",
                                      "-1:00-07:00 UTC",
                                      "06:00-07:0 UTC",
                                      "Mon-Xyz 06:00-07:00 UTC"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        wrong(bad[i]);
    takes("Mon-Fri 06:00-22:00,Sat 08:00-12:00 UTC");
    takes("Mon-Fri\t06:00-22:00 ,\tSat  08:00-12:00\tlocal");
    takes("00:00-24:00 UTC");
}

/* 2026-11-23 is a Monday. */
static void working_week(void **state)
{
    (void)state;
    takes("Mon-Fri 06:00-22:00, Sat 08:00-12:00 UTC");
    outside("2026-11-23 05:59:59");
    within("2026-11-23 06:00:00", "2026-11-23 21:59:59");
    within("2026-11-23 21:59:59", "2026-11-23 21:59:59");
    outside("2026-11-23 22:00:00");
    within("2026-11-27 12:34:56", "2026-11-27 21:59:59");
    outside("2026-11-28 06:00:00");
    within("2026-11-28 08:00:00", "2026-11-28 11:59:59");
    outside("2026-11-29 10:00:00");
}

static void over_midnight(void **state)
{
    (void)state;
    takes("Fri-Mon 22:00-06:00 UTC");
    outside("2026-11-27 05:00:00");
    within("2026-11-27 22:00:00", "2026-11-28 05:59:59");
    within("2026-11-30 05:59:00", "2026-11-30 05:59:59");
    within("2026-11-30 22:00:00", "2026-12-01 05:59:59");
    outside("2026-12-01 22:00:00");
    takes("Sun 23:00-01:00 UTC");
    within("2026-11-30 00:30:00", "2026-11-30 00:59:59");
    outside("2026-11-30 01:00:00");
    outside("2026-11-29 00:30:00");
}

static void ranges_that_meet(void **state)
{
    (void)state;
    takes("Mon 06:00-12:00, Mon 12:00-24:00, Tue 00:00-01:00 UTC");
    within("2026-11-23 06:00:00", "2026-11-24 00:59:59");
    takes("08:00-09:00 UTC");
    within("2026-11-23 08:00:00", "2026-11-23 08:59:59");
    within("2026-11-29 08:59:00", "2026-11-29 08:59:59");
    outside("2026-11-26 07:59:59");
    takes("00:00-24:00 UTC");
    within("2026-11-23 06:00:00", NULL);
    hours = (struct map_hours){.n = 0};
    within("2026-11-23 06:00:00", NULL);
}

/* Berlin: UTC+1, from 2026-03-29 01:00 UTC on UTC+2. */
static void local_clock(void **state)
{
    (void)state;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    takes("06:00-22:00 local");
    outside("2026-01-12 04:59:59");
    within("2026-01-12 05:00:00", "2026-01-12 20:59:59");
    within("2026-07-13 04:00:00", "2026-07-13 19:59:59");
    takes("Sun 01:00-04:00 local");
    within("2026-03-29 00:00:00", "2026-03-29 01:59:59"); /* an hour less */
    within("2026-10-24 23:00:00", "2026-10-25 02:59:59"); /* an hour more */
    takes("Sun 01:00-04:00 UTC");
    within("2026-03-29 01:00:00", "2026-03-29 03:59:59");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammar),       cmocka_unit_test(working_week),
        cmocka_unit_test(over_midnight), cmocka_unit_test(ranges_that_meet),
        cmocka_unit_test(local_clock),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
