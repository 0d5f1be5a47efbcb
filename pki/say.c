/* SPDX-License-Identifier: ISC */
#include "say.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

void say_clean(const char *value, char out[static SAY_TEXT])
{
    const uint8_t *s = (const uint8_t *)value;
    size_t n = strlen(value), at = 0;
    for (size_t i = 0; i < n && at + 5 < SAY_TEXT;) {
        uint32_t point;
        size_t step = text_char(s + i, n - i, &point);
        if (step && text_visible(point)) {
            memcpy(out + at, s + i, step);
            at += step;
        } else {
            step = 1;
            at += (size_t)snprintf(out + at, 5, "\\x%02x", s[i]);
        }
        i += step;
    }
    out[at] = '\0';
}

void say(const char *what, const char *value)
{
    char text[SAY_TEXT];
    say_clean(value, text);
    printf("%-13s%s\n", what, text);
}

void say_hash(const char *what, const uint8_t hash[static WIRE_HASH])
{
    char hex[2 * WIRE_HASH + 1];
    text_hex(hash, WIRE_HASH, hex);
    printf("%-13sSHA256:%s\n", what, hex);
}

void say_stamp(time_t at, char out[static SAY_TIME])
{
    struct tm tm;
    if (at == (time_t)-1 || !gmtime_r(&at, &tm) ||
        !strftime(out, SAY_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm))
        strcpy(out, "none");
}

void say_time(const char *what, time_t at)
{
    char text[SAY_TIME];
    say_stamp(at, text);
    say(what, text);
}
