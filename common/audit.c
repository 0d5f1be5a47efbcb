/* SPDX-License-Identifier: ISC */
#include "audit.h"

#include "text.h"
#include "tree.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_PREFIX "consign/1 audit head"

/* ---- flat JSON ---- */

static bool skip(struct slice *s, char c)
{
    if (s->n == 0 || s->p[0] != (uint8_t)c)
        return false;
    *s = slice_of(s->p + 1, s->n - 1);
    return true;
}

static struct slice take(struct slice *s, size_t n)
{
    struct slice front = slice_of(s->p, n);
    *s = slice_of(s->p + n, s->n - n);
    return front;
}

/* The bytes between two quotes. */
static bool string(struct slice *s, struct slice *out)
{
    size_t n = 0;
    if (!skip(s, '"'))
        return false;
    while (n < s->n && s->p[n] != '"') {
        if (s->p[n] < 0x20)
            return false;
        n += s->p[n] == '\\' ? 2 : 1;
    }
    if (n >= s->n)
        return false;
    *out = take(s, n);
    return skip(s, '"');
}

static bool value(struct slice *s, struct slice *out)
{
    size_t n = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (n == 0)
        return string(s, out);
    *out = take(s, n);
    return true;
}

/* The next member, whatever stands before it: { or a comma. */
static bool member(struct slice *s, struct slice *key, struct slice *out)
{
    return (skip(s, '{') || skip(s, ',')) && string(s, key) && skip(s, ':') && value(s, out);
}

bool audit_get(struct slice text, const char *key, struct slice *out)
{
    struct slice name;
    while (member(&text, &name, out))
        if (slice_eq(name, slice_str(key)))
            return true;
    return false;
}

bool audit_number(struct slice digits, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < digits.n; i++) {
        unsigned d = (unsigned)digits.p[i] - '0';
        if (d > 9 || __builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, d, out))
            return false;
    }
    return digits.n > 0;
}

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(struct slice s, uint8_t out[static WIRE_HASH])
{
    if (s.n != AUDIT_HEX)
        return false;
    for (size_t i = 0; i < WIRE_HASH; i++) {
        int high = digit(s.p[2 * i]), low = digit(s.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool audit_get_number(struct slice text, const char *key, uint64_t *out)
{
    struct slice s;
    return audit_get(text, key, &s) && audit_number(s, out);
}

bool audit_get_hash(struct slice text, const char *key, uint8_t out[static WIRE_HASH])
{
    struct slice s;
    return audit_get(text, key, &s) && unhex(s, out);
}

/* ---- lines ---- */

/* The member that has to come next. */
static bool fixed(struct slice *s, const char *key, struct slice *out)
{
    struct slice name;
    return member(s, &name, out) && slice_eq(name, slice_str(key));
}

bool audit_line_read(struct slice text, struct audit_line *out)
{
    struct slice s = text, name, seq, prev, any;
    *out = (struct audit_line){.text = text};
    if (!fixed(&s, "time", &out->time) || !fixed(&s, "seq", &seq) || !fixed(&s, "prev", &prev) ||
        !audit_number(seq, &out->seq) || !unhex(prev, out->prev))
        return false;
    while (member(&s, &name, &any))
        if (!out->event.p && slice_eq(name, slice_str("event")))
            out->event = any;
    return out->event.p && skip(&s, '}') && s.n == 0;
}

void audit_hash(const void *line, size_t n, uint8_t out[static WIRE_HASH])
{
    tree_sha256(line, n, out);
}

void audit_time(const struct timespec *at, char out[static AUDIT_TIME])
{
    struct tm tm = {0};
    char day[32] = "";
    gmtime_r(&at->tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, AUDIT_TIME, "%.19s.%06uZ", day, (unsigned)(at->tv_nsec / 1000) % 1000000);
}

bool audit_time_read(struct slice text, struct timespec *out)
{
    struct tm tm = {0};
    unsigned us = 0;
    char copy[AUDIT_TIME], end = '\0';
    *out = (struct timespec){0};
    if (!slice_copy(text, copy, sizeof copy) ||
        sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d.%6u%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &us, &end) != 8 ||
        end != 'Z')
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out = (struct timespec){timegm(&tm), (long)us * 1000};
    return true;
}

/* ---- heads ---- */

bool audit_head_read(struct slice text, bool file, struct audit_head *out)
{
    struct slice log;
    *out = (struct audit_head){.seq = 0};
    if (!audit_get(text, "log", &log) || log.n != AUDIT_LOG ||
        !slice_copy(log, out->log, sizeof out->log))
        return false;
    for (size_t i = 0; i < AUDIT_LOG; i++)
        if (digit(log.p[i]) < 0)
            return false;
    return audit_get_number(text, file ? "seq" : "head_seq", &out->seq) &&
           audit_get_hash(text, file ? "hash" : "head_hash", out->hash) &&
           audit_get_number(text, file ? "time" : "head_time", &out->time);
}

size_t audit_head_text(const struct audit_head *h, char out[static AUDIT_HEAD_TEXT])
{
    char hex[AUDIT_HEX + 1];
    text_hex(h->hash, WIRE_HASH, hex);
    int n = snprintf(out, AUDIT_HEAD_TEXT, HEAD_PREFIX "%c%s\n%" PRIu64 "\n%s\n%" PRIu64 "\n", 0,
                     h->log, h->seq, hex, h->time);
    return n < 0 ? 0 : (size_t)n;
}
