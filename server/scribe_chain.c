/* SPDX-License-Identifier: ISC */
/* The lines of the audit log: chained, gathered, written together; and how a scribe goes on where another one ended. */
#include "scribe_internal.h"

#include "log.h"
#include "scribe_line.h"
#include "text.h"
#include "tls.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIELDS_MAX = 2048,
    STEP_S = 1, /* the clock may be set back by less without a word */
    AGAIN_MS = 1000,
    TAIL =
        4 *
        AUDIT_LINE_MAX, /* what a crash may leave of lines that were written together, and more */
};

typedef char digits[24];

static const char *decimal(digits out, uint64_t n)
{
    snprintf(out, sizeof(digits), "%" PRIu64, n);
    return out;
}

/* ---- a line ---- */

static const char *put(struct scribe *s, const struct hub_client *from, const struct ipc_record *m,
                       const struct timespec *now)
{
    size_t before = s->lines.len;
    struct scribe_facts facts = {.time = *now,
                                 .seq = s->next.seq + 1,
                                 .prev = s->next.hash,
                                 .session = from ? from->session : "",
                                 .peer = from ? from->peer : ""};
    const char *wrong = scribe_line_put(&s->lines, &facts, m);
    if (wrong) {
        s->lines.len = before;
        s->lines.bad = false;
        return wrong;
    }
    audit_hash(s->lines.data + before, s->lines.len - before, s->next.hash);
    s->next.seq++;
    s->next.time = *now;
    return NULL;
}

/* What has to be said before the next line. */
static void lead_in(struct scribe *s, const struct timespec *now)
{
    char was[AUDIT_TIME], hex[AUDIT_HEX + 1];
    digits n;
    if (s->ends_torn && s->lines.len == 0) {
        buf_put(&s->lines, "\n", 1);
        text_hex(s->torn_hash, WIRE_HASH, hex);
        scribe_own(s, "torn", "bytes", s->torn_known ? decimal(n, s->torn) : NULL, "sha256",
                   s->torn_known ? hex : NULL, NULL);
    }
    if (now->tv_sec + STEP_S < s->next.time.tv_sec) {
        audit_time(&s->next.time, was);
        s->next.time = *now;
        scribe_own(s, "clock", "was", was, NULL);
    }
}

static const char *add(struct scribe *s, const struct hub_client *from, const struct ipc_record *m)
{
    struct timespec now;
    if (s->lines.len >= AUDIT_LINE_MAX) {
        scribe_settle(s);
        s->settled -= s->settled > 0; /* more of the message that is being handled may come */
    }
    clock_gettime(CLOCK_REALTIME, &now);
    lead_in(s, &now);
    return put(s, from, m, &now);
}

enum err scribe_line(struct scribe *s, const struct hub_client *from, const struct ipc_record *m)
{
    if (!scribe_mend(s)) {
        s->lost++;
        s->lost_all++;
        return s->how.best ? ERR_OK : s->broken;
    }
    const char *wrong = add(s, from, m);
    if (wrong)
        return log_fail(ERR_IO, "audit log: record of session %s refused: %s", from->session,
                        wrong);
    s->gathered++;
    return ERR_OK;
}

void scribe_own(struct scribe *s, const char *event, ...)
{
    struct buf fields;
    va_list ap;
    buf_init(&fields, FIELDS_MAX);
    va_start(ap, event);
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        buf_put(&fields, key, strlen(key) + 1);
        buf_put(&fields, value, strlen(value) + 1);
    }
    va_end(ap);
    struct ipc_record m = {slice_str(event), slice_of(fields.data, fields.len)};
    const char *wrong = fields.bad ? "too long" : add(s, NULL, &m);
    if (wrong)
        log_error("audit log: %s: %s", event, wrong);
    buf_release(&fields);
}

/* ---- writing ---- */

/* A file that was removed takes nothing that anybody could read. */
static void watch_file(struct scribe *s)
{
    struct stat st;
    bool other;
    int old = -1;
    if (s->folder < 0 || s->fd < 0 || fstat(s->fd, &st) != 0 || st.st_nlink > 0)
        return;
    log_error("audit log %s was removed; its lines are lost", s->name);
    if (scribe_reopen(s, &other, &old) != ERR_OK)
        return;
    if (old >= 0)
        close(old);
    scribe_own(s, "gap", "reason", "the log was removed", NULL);
}

static void give_up(struct scribe *s, enum err why)
{
    s->next = s->done;
    s->lost += s->gathered;
    s->lost_all += s->gathered;
    s->again_ms = tls_now_ms() + AGAIN_MS;
    if (s->broken == ERR_OK) {
        s->broken_since = (int64_t)time(NULL);
        s->tell = !s->how.best;
        log_error("audit log: %s", s->how.best ? "requests go on without their records"
                                               : "requests are refused until it can be written");
    }
    s->broken = why;
    for (size_t i = s->settled; !s->how.best && i < s->n_waiting; i++)
        if (s->waiting[i].status == ERR_OK)
            s->waiting[i].status = why;
}

static void commit(struct scribe *s)
{
    s->done = s->next;
    s->ends_torn = false;
    sinks_send(s, slice_of(s->lines.data, s->lines.len));
}

void scribe_settle(struct scribe *s)
{
    if (s->lines.len > 0) {
        watch_file(s);
        enum err rc = scribe_write(s);
        if (rc == ERR_OK)
            commit(s);
        else
            give_up(s, rc);
    }
    s->gathered = 0;
    s->settled = s->n_waiting;
    buf_clear(&s->lines);
}

/* What could not be had at the start. */
static bool start_late(struct scribe *s)
{
    bool other;
    int old = -1;
    log_hush(true);
    enum err rc = s->fd < 0 ? scribe_reopen(s, &other, &old) : ERR_OK;
    log_hush(false);
    if (rc == ERR_OK && s->fd >= 0)
        scribe_resume(s);
    return s->resumed;
}

bool scribe_mend(struct scribe *s)
{
    char since[AUDIT_TIME];
    struct timespec from = {s->broken_since, 0};
    digits n;
    if (s->broken == ERR_OK)
        return true;
    if (!s->resumed && !start_late(s))
        return false;
    audit_time(&from, since);
    scribe_own(s, "gap", "lost", decimal(n, s->lost), "reason", err_text(s->broken), "since", since,
               NULL);
    enum err rc = scribe_write(s);
    if (rc == ERR_OK) {
        commit(s);
        log_warn("audit log: records are written again; %" PRIu64 " are missing", s->lost);
        s->lost = 0;
        s->tell = !s->how.best;
    } else {
        s->next = s->done;
        s->again_ms = tls_now_ms() + AGAIN_MS;
    }
    s->broken = rc;
    buf_clear(&s->lines);
    return rc == ERR_OK;
}

/* ---- going on ---- */

/* Before end there is no line, but maybe torn bytes of one. */
static void find_torn(struct scribe *s, const uint8_t *p, size_t n, bool known)
{
    s->ends_torn = n > 0;
    s->torn_known = known;
    s->torn = n;
    if (n > 0 && known)
        audit_hash(p, n, s->torn_hash);
}

static const uint8_t *last_newline(const uint8_t *p, size_t n)
{
    return n ? memrchr(p, '\n', n) : NULL;
}

/* The last line of the log: false when there is none of a chain. */
static bool read_tail(struct scribe *s, struct chain *out)
{
    struct audit_line line;
    off_t size = lseek(s->fd, 0, SEEK_END);
    size_t n = size > TAIL ? TAIL : size > 0 ? (size_t)size : 0;
    uint8_t *p = n ? malloc(n) : NULL;
    bool good = false;
    if (p && scribe_read(s->fd, p, n, size - (off_t)n)) {
        const uint8_t *end = last_newline(p, n);
        size_t whole = end ? (size_t)(end - p) : 0;
        find_torn(s, end ? end + 1 : p, end ? n - whole - 1 : n, end || (off_t)n == size);
        const uint8_t *before = last_newline(p, whole), *at = before ? before + 1 : p;
        good = end && (before || (off_t)n == size) &&
               audit_line_read(slice_of(at, (size_t)(end - at)), &line);
        if (good) {
            out->seq = line.seq;
            audit_hash(at, (size_t)(end - at) + 1, out->hash);
            (void)audit_time_read(line.time, &out->time);
        }
    }
    free(p);
    return good;
}

static void name_log(struct chain *c)
{
    uint8_t random[AUDIT_LOG / 2] = {0};
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        log_warn("audit log: no random name");
    text_hex(random, sizeof random, c->log);
}

/* The scribe's first line. */
static void say_start(struct scribe *s, const char *event, const char *after)
{
    digits records, interval;
    scribe_own(s, event, "log", s->next.log, "after", after, "head_records",
               decimal(records, s->how.head_records), "head_interval",
               decimal(interval, s->how.head_s), "heads", s->how.sign ? "signed" : "unsigned",
               NULL);
}

/* Lines are there, or were: which of the two is later is gone on from. */
static void take_up(struct scribe *s, const struct chain *tail, const struct chain *head,
                    bool closed)
{
    digits n;
    const struct chain *from = tail && (!head || head->seq < tail->seq) ? tail : head;
    bool same =
        tail && head && tail->seq == head->seq && memcmp(tail->hash, head->hash, WIRE_HASH) == 0;
    s->next.seq = from->seq;
    s->next.time = from->time;
    memcpy(s->next.hash, from->hash, WIRE_HASH);
    if (head)
        memcpy(s->next.log, head->log, sizeof head->log);
    else
        name_log(&s->next);
    if (from == head && !same && tail && tail->seq < head->seq)
        scribe_own(s, "gap", "missing", decimal(n, head->seq - tail->seq), "reason",
                   "the log ended before its head", NULL);
    else if (from == head && !same && (tail || !closed))
        scribe_own(s, "gap", "reason",
                   tail ? "the last line is not that of the head" : "the log is not there", NULL);
    say_start(s, "open",
              !head             ? "a head file that is missing"
              : closed && same  ? "stop"
              : closed && !tail ? "stop and rotation"
                                : "crash");
}

void scribe_resume(struct scribe *s)
{
    struct chain head = {.seq = 0}, tail = {.seq = 0};
    bool closed = false;
    bool has_head = s->folder >= 0 && heads_load(s, &head, &closed);
    bool has_tail = s->folder >= 0 && s->fd >= 0 && read_tail(s, &tail);
    s->done = s->next = (struct chain){.seq = 0};
    if (has_head || has_tail) {
        take_up(s, has_tail ? &tail : NULL, has_head ? &head : NULL, closed);
    } else {
        name_log(&s->next);
        say_start(s, "begin", NULL);
    }
    scribe_settle(s);
    s->resumed = s->done.seq > 0;
    if (s->resumed)
        heads_save(s, "open");
}
