/* SPDX-License-Identifier: ISC */
#include "scribe_line.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 32, NAME_MAX_BYTES = 32 };

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
    static const char *const own[] = {"time", "seq", "prev", "session", "peer", "event"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (slice_eq(key, slice_str(own[i])))
            return true;
    return false;
}

static void put_pair(struct buf *out, const char *key, struct slice value)
{
    text_put(out, ",\"");
    text_put(out, key);
    text_put(out, "\":");
    text_json(out, value);
}

static void put_head(struct buf *out, const struct scribe_facts *f)
{
    char time[AUDIT_TIME], prev[AUDIT_HEX + 1], text[160];
    audit_time(&f->time, time);
    text_hex(f->prev, WIRE_HASH, prev);
    snprintf(text, sizeof text, "{\"time\":\"%s\",\"seq\":%" PRIu64 ",\"prev\":\"%s\"", time,
             f->seq, prev);
    text_put(out, text);
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
    size_t before = out->len;
    if (!is_name(record->event))
        return "an event that is not allowed";
    put_head(out, facts);
    put_pair(out, "event", record->event);
    const char *wrong = put_fields(out, record->fields);
    text_put(out, "}\n");
    if (!wrong && (out->bad || out->len - before > SCRIBE_LINE_MAX))
        return "a line that is too long";
    return wrong;
}
