/* SPDX-License-Identifier: ISC */
#include "audit_check.h"

#include "text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool audit_check_init(struct audit_check *c)
{
    *c = (struct audit_check){.kept = calloc(AUDIT_KEPT, WIRE_HASH)};
    return c->kept != NULL;
}

void audit_check_release(struct audit_check *c)
{
    free(c->kept);
    c->kept = NULL;
}

static void say(struct audit_check *c, enum audit_kind kind, const struct audit_place *at,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void say(struct audit_check *c, enum audit_kind kind, const struct audit_place *at,
                const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->bad |= kind == AUDIT_BAD;
    c->doubt = c->bad ? AUDIT_SURE : c->doubt;
    c->found(c->arg, kind, at, text);
}

static bool is_event(const struct audit_line *l, const char *event)
{
    return slice_eq(l->event, slice_str(event));
}

static bool same(const uint8_t a[static WIRE_HASH], const uint8_t b[static WIRE_HASH])
{
    return memcmp(a, b, WIRE_HASH) == 0;
}

/* ---- what a good line says ---- */

/* A value for people, cut. */
static const char *word(struct slice line, const char *key, char out[static 128])
{
    struct slice s;
    out[0] = '\0';
    if (audit_get(line, key, &s)) {
        s.n = s.n > 127 ? 127 : s.n;
        (void)slice_copy(s, out, 128);
    }
    return out;
}

/* Which log it is; that never changes. */
static void take_log(struct audit_check *c, const struct audit_line *l)
{
    char log[128];
    word(l->text, "log", log);
    if (strlen(log) != AUDIT_LOG)
        return;
    if (c->sum.log[0] && strcmp(c->sum.log, log) != 0)
        say(c, AUDIT_LOST, &c->at,
            "the log is called %s from here on, and was %s: the file of its "
            "head was missing when the server started",
            log, c->sum.log);
    memcpy(c->sum.log, log, AUDIT_LOG + 1);
}

static void take_gap(struct audit_check *c, const struct audit_line *l)
{
    char lost[128], reason[128], since[128];
    word(l->text, "lost", lost);
    word(l->text, "reason", reason);
    word(l->text, "since", since);
    if (lost[0])
        say(c, AUDIT_LOST, &c->at, "gap: %s records are missing since %s: %s", lost, since, reason);
    else
        say(c, AUDIT_LOST, &c->at, "gap: %s", reason);
}

static void take_head(struct audit_check *c, const struct audit_line *l)
{
    struct audit_head h;
    struct slice signature;
    if (!audit_head_read(l->text, false, &h) || h.seq >= l->seq) {
        say(c, AUDIT_BAD, &c->at, "the head is not well-formed");
        return;
    }
    bool kept = h.seq >= c->sum.first && l->seq - h.seq < AUDIT_KEPT;
    if (kept && !same(c->kept[h.seq % AUDIT_KEPT], h.hash)) {
        say(c, AUDIT_BAD, &c->at,
            "the head has another hash than line %" PRIu64 ": lines after number %" PRIu64
            " were changed, and chained anew",
            h.seq, c->sum.head_seq);
        return;
    }
    if (!audit_get(l->text, "signature", &signature)) {
        c->sum.unsigned_heads++;
        return;
    }
    switch (c->verify ? c->verify(c->arg, &h, l->text) : AUDIT_NO_KEY) {
    case AUDIT_WRONG:
        say(c, AUDIT_BAD, &c->at,
            "the signature of the head is wrong: lines after number %" PRIu64 " may be forged",
            c->sum.head_seq);
        return;
    case AUDIT_OTHER_KEY:
        say(c, AUDIT_BAD, &c->at,
            "the head is signed by another key: lines after number %" PRIu64 " may be forged",
            c->sum.head_seq);
        return;
    case AUDIT_NO_KEY:
    case AUDIT_GOOD:
        break;
    }
    c->sum.signed_heads++;
    c->sum.head_seq = h.seq;
    c->sum.head_time = h.time;
    c->head_at = c->at;
}

static void take_own(struct audit_check *c, const struct audit_line *l)
{
    struct timespec now;
    char was[128];
    if (is_event(l, "begin") || is_event(l, "open") || is_event(l, "continue") ||
        is_event(l, "head"))
        take_log(c, l);
    if (is_event(l, "begin") || is_event(l, "open"))
        (void)audit_get_number(l->text, "head_interval", &c->sum.interval);
    if (is_event(l, "open") && strncmp(word(l->text, "after", was), "stop", 4) != 0)
        say(c, AUDIT_NOTE, &c->at, "the server was started after %s", was);
    if (is_event(l, "gap"))
        take_gap(c, l);
    if (is_event(l, "clock"))
        say(c, AUDIT_NOTE, &c->at, "the clock was set back from %s", word(l->text, "was", was));
    if (is_event(l, "head"))
        take_head(c, l);
    bool head = is_event(l, "head");
    c->sum.closed = is_event(l, "close") || (head && c->sum.closed);
    if (audit_time_read(l->time, &now))
        c->sum.time = now;
}

/* A proof of another log: bad, unless there may be such. */
static bool is_foreign(struct audit_check *c, const struct audit_proof *p)
{
    if (!c->sum.log[0] || strcmp(c->sum.log, p->head.log) == 0)
        return false;
    if (!p->loose)
        say(c, AUDIT_BAD, &c->at, "%s is of another log, %s", p->from, p->head.log);
    return true;
}

/* A proof that this line should have another hash. */
static void prove(struct audit_check *c, const struct audit_line *l)
{
    for (; c->next_proof < c->n_proofs && c->proofs[c->next_proof].head.seq <= l->seq;
         c->next_proof++) {
        const struct audit_proof *p = &c->proofs[c->next_proof];
        if (c->bad || is_foreign(c, p))
            continue;
        if (p->head.seq == l->seq && !same(p->head.hash, c->hash))
            say(c, AUDIT_BAD, &c->at,
                "%s has another hash for line %" PRIu64
                ": it, or lines before it after number %" PRIu64 ", were changed",
                p->from, l->seq, c->sum.head_seq);
    }
}

/* The line is the next one of the chain. */
static void accept(struct audit_check *c, const struct audit_place *at, const struct audit_line *l,
                   const uint8_t hash[static WIRE_HASH])
{
    if (c->sum.lines++ == 0) {
        c->sum.first = l->seq;
        if (l->seq > 1)
            say(c, AUDIT_NOTE, at, "begins with line %" PRIu64 " of the log", l->seq);
    }
    c->at = *at;
    c->sum.last = l->seq;
    memcpy(c->hash, hash, WIRE_HASH);
    memcpy(c->kept[l->seq % AUDIT_KEPT], hash, WIRE_HASH);
    take_own(c, l);
    prove(c, l);
}

/* ---- what a line is not ---- */

static void doubt(struct audit_check *c, enum audit_doubt why, const struct audit_place *at,
                  const struct audit_line *l, const uint8_t hash[static WIRE_HASH])
{
    c->doubt = why;
    c->doubt_at = *at;
    c->doubt_seq = l->seq;
    memcpy(c->doubt_hash, hash, WIRE_HASH);
    memcpy(c->doubt_prev, l->prev, WIRE_HASH);
}

/* Its place or its hash is wrong. */
static void object(struct audit_check *c, const struct audit_place *at, const struct audit_line *l,
                   const uint8_t hash[static WIRE_HASH])
{
    char reason[128];
    if (is_event(l, "begin"))
        say(c, AUDIT_BAD, at,
            "another log begins here; line %" PRIu64 " before it is not the end of that one",
            c->sum.last);
    else if (l->seq > c->sum.last + 1 && is_event(l, "gap"))
        say(c, AUDIT_BAD, at, "lines %" PRIu64 " to %" PRIu64 " are missing; the server says: %s",
            c->sum.last + 1, l->seq - 1, word(l->text, "reason", reason));
    else if (l->seq > c->sum.last + 1)
        doubt(c, AUDIT_JUMP, at, l, hash);
    else if (l->seq == c->sum.last + 1)
        doubt(c, AUDIT_BROKEN, at, l, hash);
    else if (l->seq == c->sum.last)
        doubt(c, AUDIT_TWICE, at, l, hash);
    else
        say(c, AUDIT_BAD, at, "out of order: line %" PRIu64 " behind line %" PRIu64, l->seq,
            c->sum.last);
}

static void say_broken(struct audit_check *c, bool this_one)
{
    if (this_one)
        say(c, AUDIT_BAD, &c->doubt_at,
            "changed, or put in: neither the line before nor the one "
            "after fits to it");
    else
        say(c, AUDIT_BAD, &c->at, "changed: the next line carries another hash of it");
}

/* What the doubt is about, now that one more line is known (NULL: there is none). True: that line is dealt with. */
static bool resolve(struct audit_check *c, const struct audit_place *at, const struct audit_line *l)
{
    uint8_t told[WIRE_HASH];
    switch (c->doubt) {
    case AUDIT_SURE:
        return false;
    case AUDIT_TORN:
        if (l && is_event(l, "torn") && same(l->prev, c->hash) &&
            (!audit_get_hash(l->text, "sha256", told) || same(told, c->doubt_hash))) {
            say(c, AUDIT_LOST, &c->doubt_at,
                "torn: %" PRIu64 " bytes of what was being written when the server crashed",
                c->doubt_n);
            c->doubt = AUDIT_SURE;
            return false;
        }
        say(c, AUDIT_BAD, &c->doubt_at,
            l || c->doubt_seq ? "not a line of the log" : "torn: the log ends inside a line");
        return true;
    case AUDIT_BROKEN:
        say_broken(c, l && !same(l->prev, c->doubt_hash));
        return true;
    case AUDIT_TWICE:
        say(c, AUDIT_BAD, l && same(l->prev, c->doubt_hash) ? &c->at : &c->doubt_at,
            "put in: there are two lines %" PRIu64
            ", and the next one carries the hash of the other",
            c->doubt_seq);
        return true;
    case AUDIT_JUMP:
        if (l && l->seq == c->sum.last + 1)
            say(c, AUDIT_BAD, &c->doubt_at,
                "out of order: line %" PRIu64 ", and line %" PRIu64 " is at %s:%" PRIu64,
                c->doubt_seq, l->seq, at->file, at->line);
        else if (!l)
            say(c, AUDIT_BAD, &c->doubt_at, "lines %" PRIu64 " to %" PRIu64 " are missing",
                c->sum.last + 1, c->doubt_seq - 1);
        return true;
    }
    return true;
}

static void not_a_line(struct audit_check *c, const struct audit_place *at, struct slice text,
                       bool ended)
{
    if (c->doubt == AUDIT_JUMP)
        return;
    if (c->doubt != AUDIT_SURE) {
        (void)resolve(c, at, NULL);
        return;
    }
    c->doubt = AUDIT_TORN;
    c->doubt_at = *at;
    c->doubt_seq = ended;
    c->doubt_n = text.n;
    audit_hash(text.p, text.n, c->doubt_hash);
}

void audit_check_line(struct audit_check *c, const struct audit_place *at, struct slice text,
                      bool ended)
{
    static const uint8_t none[WIRE_HASH] = {0};
    struct audit_line l;
    uint8_t hash[WIRE_HASH];
    if (c->bad)
        return;
    if (!ended || !audit_line_read(text, &l)) {
        not_a_line(c, at, text, ended);
        return;
    }
    if (resolve(c, at, &l) || c->bad)
        return;
    audit_hash(text.p, text.n + 1, hash);
    bool follows = c->sum.lines == 0 ? l.seq != 1 || same(l.prev, none)
                                     : l.seq == c->sum.last + 1 && same(l.prev, c->hash);
    if (follows)
        accept(c, at, &l, hash);
    else if (c->sum.lines == 0)
        say(c, AUDIT_BAD, at, "the first line has one before it");
    else
        object(c, at, &l, hash);
}

void audit_check_end(struct audit_check *c)
{
    if (!c->bad && c->doubt != AUDIT_SURE)
        (void)resolve(c, NULL, NULL);
    for (size_t i = c->next_proof; !c->bad && i < c->n_proofs; i++) {
        const struct audit_proof *p = &c->proofs[i];
        char when[AUDIT_TIME];
        struct timespec t = {(time_t)p->head.time, 0};
        audit_time(&t, when);
        if (is_foreign(c, p))
            continue;
        say(c, AUDIT_BAD, &c->at,
            "the tail is cut off: the log ends with line %" PRIu64 ", and %s knows line %" PRIu64
            " of %s",
            c->sum.last, p->from, p->head.seq, when);
    }
}
