/* SPDX-License-Identifier: ISC */
#include "scribe_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 32, NAME_MAX_BYTES = 32 };

/* The length of the valid UTF-8 sequence of 2 to 4 bytes at s and its code point; 0 where there is
 * none. */
static size_t decode(const uint8_t *s, size_t n, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || len > n || s[0] > 0xf4)
        return 0;
    *point = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < least[len] || surrogate || *point > 0x10ffff ? 0 : len;
}

/* Characters that are legal in JSON but must not reach a reader's terminal: C1 controls, line and
 * paragraph separators, what turns the direction of writing. */
static bool is_treacherous(uint32_t point)
{
    return point < 0xa0 || point == 0x61c || (point >= 0x200e && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

static void put_text(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_escape(struct buf *out, uint32_t point)
{
    char text[8];
    if (point == '"' || point == '\\')
        snprintf(text, sizeof text, "\\%c", (int)point);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)(point & 0xffff));
    put_text(out, text);
}

void scribe_line_string(struct buf *out, struct slice s)
{
    put_text(out, "\"");
    for (size_t i = 0; i < s.n;) {
        uint32_t point = s.p[i];
        size_t len = point < 0x80 ? 1 : decode(s.p + i, s.n - i, &point);
        bool plain = len == 1 ? point >= 0x20 && point != 0x7f && point != '"' && point != '\\'
                              : len > 1 && !is_treacherous(point);
        if (plain)
            buf_put(out, s.p + i, len);
        else
            put_escape(out, len ? point : s.p[i]);
        i += len ? len : 1;
    }
    put_text(out, "\"");
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

static bool is_own(struct slice key)
{
    static const char *const own[] = {"time", "seq", "session", "peer", "event"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (slice_eq(key, slice_str(own[i])))
            return true;
    return false;
}

static void put_pair(struct buf *out, const char *key, struct slice value)
{
    put_text(out, ",\"");
    put_text(out, key);
    put_text(out, "\":");
    scribe_line_string(out, value);
}

static void put_head(struct buf *out, const struct scribe_facts *f)
{
    struct tm tm;
    char day[32], text[96];
    gmtime_r(&f->time.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "{\"time\":\"%s.%06ldZ\",\"seq\":%" PRIu64, day,
             f->time.tv_nsec / 1000, f->seq);
    put_text(out, text);
    if (f->session[0])
        put_pair(out, "session", slice_str(f->session));
    if (f->peer[0])
        put_pair(out, "peer", slice_str(f->peer));
}

/* Takes the string up to the next NUL off the front of s; false when there is none. */
static bool take(struct slice *s, struct slice *out)
{
    const uint8_t *end = s->n ? memchr(s->p, 0, s->n) : NULL;
    if (!end)
        return false;
    *out = slice_of(s->p, (size_t)(end - s->p));
    *s = slice_of(end + 1, s->n - out->n - 1);
    return true;
}

static const char *put_fields(struct buf *out, struct slice rest)
{
    struct slice seen[FIELDS_MAX];
    size_t n = 0;
    while (rest.n) {
        struct slice value;
        char key[NAME_MAX_BYTES + 1];
        if (n == FIELDS_MAX)
            return "too many fields";
        if (!take(&rest, &seen[n]) || !take(&rest, &value))
            return "fields that are not pairs";
        if (!is_name(seen[n]) || is_own(seen[n]) || !slice_copy(seen[n], key, sizeof key))
            return "a key that is not allowed";
        for (size_t i = 0; i < n; i++)
            if (slice_eq(seen[i], seen[n]))
                return "a key that comes twice";
        put_pair(out, key, value);
        n++;
    }
    return NULL;
}

const char *scribe_line_put(struct buf *out, const struct scribe_facts *facts,
                            const struct ipc_record *record)
{
    if (!is_name(record->event))
        return "an event that is not allowed";
    put_head(out, facts);
    put_pair(out, "event", record->event);
    const char *wrong = put_fields(out, record->fields);
    put_text(out, "}\n");
    if (!wrong && (out->bad || out->len > SCRIBE_LINE_MAX))
        return "a line that is too long";
    return wrong;
}
