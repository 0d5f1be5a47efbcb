/* SPDX-License-Identifier: ISC */
/* Heads of the chain: when there is to be one, who signs it, where it is kept. */
#include "scribe_internal.h"

#include "log.h"
#include "text.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 2000,
    ANSWER_MS = 60 * 1000, /* the keeper's own deadlines are shorter */
    END_MS = 2000,
    FILE_MAX = 8192,
    SIGNATURE_MAX = 2048,
};

void heads_init(struct scribe *s)
{
    s->heads = (struct heads){.keeper = -1};
    s->heads.due_ms = tls_now_ms() + (int64_t)s->how.head_s * 1000;
    buf_init(&s->heads.line, FILE_MAX);
}

/* ---- the file ---- */

static bool write_file(int fd, const struct buf *b)
{
    return !b->bad && write(fd, b->data, b->len) == (ssize_t)b->len && fdatasync(fd) == 0;
}

static void file_name(const struct scribe *s, const char *end, char out[static NAME_MAX + 1])
{
    snprintf(out, NAME_MAX + 1, "%.*s%s", NAME_MAX - 16, s->name, end);
}

static void put_state(const struct scribe *s, const char *state, struct buf *out)
{
    char hex[AUDIT_HEX + 1], text[256];
    text_hex(s->done.hash, WIRE_HASH, hex);
    snprintf(text, sizeof text,
             "{\"log\":\"%s\",\"seq\":%" PRIu64
             ",\"hash\":\"%s\",\"time\":%lld,\"state\":\"%s\"}\n",
             s->done.log, s->done.seq, hex, (long long)s->done.time.tv_sec, state);
    text_put(out, text);
    buf_put(out, s->heads.line.data, s->heads.line.len);
}

void heads_save(struct scribe *s, const char *state)
{
    char name[NAME_MAX + 1], fresh[NAME_MAX + 1];
    struct buf b;
    if (s->folder < 0)
        return;
    file_name(s, ".head", name);
    file_name(s, ".head.new", fresh);
    buf_init(&b, 2 * FILE_MAX);
    put_state(s, state, &b);
    int fd = openat(s->folder, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    bool good = fd >= 0 && write_file(fd, &b);
    if (fd >= 0)
        close(fd);
    if (!good || renameat(s->folder, fresh, s->folder, name) != 0)
        log_warn("audit log: %s: %s", name, strerror(errno));
    buf_release(&b);
}

/* The second line, when there is one, is the last head. */
static void load_line(struct scribe *s, struct slice text)
{
    struct heads *h = &s->heads;
    struct slice signature;
    if (text.n < 2 || text.p[text.n - 1] != '\n' || text.n > FILE_MAX)
        return;
    struct slice line = slice_of(text.p, text.n - 1);
    if (!audit_head_read(line, false, &h->last)) {
        h->last.seq = 0;
        return;
    }
    struct audit_line l;
    h->line_seq = audit_line_read(line, &l) ? l.seq : 0;
    h->last_signed = audit_get(line, "signature", &signature);
    buf_put(&h->line, text.p, text.n);
}

bool heads_load(struct scribe *s, struct chain *at, bool *closed)
{
    char name[NAME_MAX + 1];
    uint8_t text[2 * FILE_MAX];
    struct audit_head head;
    struct slice state;
    file_name(s, ".head", name);
    int fd = openat(s->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0)
        close(fd);
    const uint8_t *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
    if (!end)
        return false;
    struct slice first = slice_of(text, (size_t)(end - text));
    if (!audit_head_read(first, true, &head) || !audit_get(first, "state", &state)) {
        log_warn("audit log: %s can't be read", name);
        return false;
    }
    memcpy(at->log, head.log, sizeof at->log);
    memcpy(at->hash, head.hash, WIRE_HASH);
    at->seq = head.seq;
    at->time = (struct timespec){(time_t)head.time, 0};
    *closed = slice_eq(state, slice_str("closed"));
    load_line(s, slice_of(end + 1, (size_t)n - first.n - 1));
    return true;
}

/* ---- heads ---- */

static void late(struct scribe *s, const char *why)
{
    struct heads *h = &s->heads;
    if (!h->late_since) {
        h->late_since = (int64_t)time(NULL);
        log_warn("audit log: a head can't be signed now: %s", why);
    }
    snprintf(h->late, sizeof h->late, "%s", why);
    h->asked.seq = 0;
    h->retry_ms = tls_now_ms() + RETRY_MS;
}

static void unlink_keeper(struct scribe *s)
{
    if (s->heads.keeper >= 0)
        close(s->heads.keeper); /* and epoll forgets it */
    s->heads.keeper = -1;
}

void heads_link(struct scribe *s, int borrowed)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int fd = fcntl(borrowed, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    unlink_keeper(s);
    if (fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        log_error("audit log: watching the keeper: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    s->heads.keeper = fd;
    s->heads.asked.seq = 0;
    s->heads.retry_ms = 0;
}

/* The head becomes a line; m: with a signature. */
static void record(struct scribe *s, const struct audit_head *head, const struct ipc_statement *m)
{
    struct heads *h = &s->heads;
    char hex[AUDIT_HEX + 1], key[AUDIT_HEX + 1], seq[24], when[24], algorithm[65] = "";
    char signature[TEXT_BASE64(SIGNATURE_MAX)];
    text_hex(head->hash, WIRE_HASH, hex);
    snprintf(seq, sizeof seq, "%" PRIu64, head->seq);
    snprintf(when, sizeof when, "%" PRIu64, head->time);
    if (m) {
        text_hex(m->key, WIRE_HASH, key);
        text_base64(m->signature.p, m->signature.n, signature);
        (void)slice_copy(m->algorithm, algorithm, sizeof algorithm);
    }
    scribe_settle(s);
    scribe_own(s, "head", "log", head->log, "head_seq", seq, "head_hash", hex, "head_time", when,
               "algorithm", m ? algorithm : NULL, "key", m ? key : NULL, "signature",
               m ? signature : NULL, NULL);
    const uint8_t *p = s->lines.data, *before = memrchr(p, '\n', s->lines.len - 1);
    size_t at = before ? (size_t)(before - p) + 1 : 0;
    buf_clear(&h->line);
    buf_put(&h->line, p + at, s->lines.len - at);
    scribe_settle(s);
    h->asked.seq = 0;
    if (s->broken != ERR_OK)
        return;
    h->last = *head;
    h->last_signed = m != NULL;
    h->line_seq = s->done.seq;
    h->now = false;
    h->due_ms = tls_now_ms() + (int64_t)s->how.head_s * 1000;
    if (h->late_since && m)
        log_info("audit log: heads are signed again");
    h->late_since = 0;
    heads_save(s, "open");
}

static void ask(struct scribe *s)
{
    struct heads *h = &s->heads;
    struct audit_head head = {.seq = s->done.seq, .time = (uint64_t)time(NULL)};
    struct buf b;
    memcpy(head.log, s->done.log, sizeof head.log);
    memcpy(head.hash, s->done.hash, WIRE_HASH);
    scribe_flush(s);
    if (!s->how.sign) {
        record(s, &head, NULL);
        return;
    }
    struct ipc_head_ask m = {slice_str(head.log), head.seq, {0}, head.time};
    memcpy(m.hash, head.hash, WIRE_HASH);
    buf_init(&b, IPC_SMALL);
    bool sent = s->heads.keeper >= 0 && ipc_put_head_ask(&b, &m) &&
                ipc_send(s->heads.keeper, IPC_HEAD_ASK, &b, NULL, 0, true) == ERR_OK;
    buf_release(&b);
    if (!sent) {
        late(s, "the keeper is away");
        return;
    }
    h->asked = head;
    h->retry_ms = tls_now_ms() + ANSWER_MS;
}

/* One answer of the keeper; false when there is none. */
static bool hear(struct scribe *s, int timeout_ms)
{
    uint8_t buffer[IPC_SMALL];
    struct heads *h = &s->heads;
    struct ipc_in in;
    struct ipc_statement m;
    char why[257];
    enum err rc =
        h->keeper < 0 ? ERR_TIMEOUT : ipc_recv(h->keeper, buffer, sizeof buffer, &in, timeout_ms);
    if (rc == ERR_TIMEOUT)
        return false;
    if (rc == ERR_OK)
        ipc_drop(&in);
    if (rc != ERR_OK || in.type != IPC_STATEMENT || !ipc_get_statement(in.body, in.n, &m) ||
        m.signature.n > SIGNATURE_MAX) {
        unlink_keeper(s);
        if (h->asked.seq)
            late(s, "the keeper is gone");
        return false;
    }
    struct audit_head head = h->asked;
    log_scrub(why, sizeof why, m.reason.p, m.reason.n);
    if (head.seq == 0) /* it came too late */
        return true;
    if (m.status == ERR_OK)
        record(s, &head, &m);
    else
        late(s, why);
    return true;
}

static bool is_due(const struct scribe *s, int64_t now_ms)
{
    const struct heads *h = &s->heads;
    return h->now || (s->how.head_records && s->done.seq - h->line_seq >= s->how.head_records) ||
           (s->how.head_s && now_ms >= h->due_ms);
}

void heads_tend(struct scribe *s, int64_t now_ms)
{
    struct heads *h = &s->heads;
    while (s->broken == ERR_OK && hear(s, 0))
        continue;
    if (s->broken != ERR_OK || s->done.seq == 0)
        return;
    if (h->asked.seq) {
        if (now_ms >= h->retry_ms)
            late(s, "the keeper does not answer");
        return;
    }
    if (is_due(s, now_ms) && (now_ms >= h->retry_ms || !h->late_since))
        ask(s);
}

int64_t heads_next_ms(const struct scribe *s)
{
    const struct heads *h = &s->heads;
    if (h->asked.seq || h->late_since)
        return h->retry_ms;
    return s->how.head_s ? h->due_ms : INT64_MAX;
}

void heads_end(struct scribe *s)
{
    struct heads *h = &s->heads;
    int64_t end = tls_now_ms() + END_MS;
    if (s->done.seq == 0)
        return;
    scribe_own(s, "close", "log", s->done.log, NULL);
    scribe_settle(s);
    uint64_t last = s->done.seq;
    while (s->broken == ERR_OK && h->keeper >= 0 && h->last.seq < last && tls_now_ms() < end) {
        if (!h->asked.seq)
            ask(s);
        /* What the keeper has no token for now it has none for at the end. */
        if (!hear(s, (int)(end - tls_now_ms())) || (!h->asked.seq && h->late_since))
            break;
    }
    if (s->broken == ERR_OK && h->last.seq < last) {
        s->how.sign = false;
        ask(s);
    }
    scribe_flush(s);
    heads_save(s, s->broken == ERR_OK ? "closed" : "open");
    unlink_keeper(s);
    buf_release(&h->line);
}
