/* SPDX-License-Identifier: ISC */
/* Other places for the lines: journald by its own protocol (systemd.io, JOURNAL_NATIVE_PROTOCOL), syslog by the local socket
 * (RFC 3164's form without a host, as every syslog daemon takes it). Datagrams without an answer: what is sent to a
 * name finds also the one who comes after the one that went. Nothing waits. */
#include "scribe_internal.h"

#include "log.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define IDENTIFIER "consignd-audit"

enum { BACKLOG_MAX = 4 << 20, PRIORITY = 10 * 8 + 6 /* authpriv.info */ };

static void open_sink(struct sink *k, const char *path, bool journald)
{
    int room = 1 << 20;
    *k = (struct sink){.path = path, .journald = journald, .fd = -1};
    buf_init(&k->backlog, BACKLOG_MAX);
    if (!path)
        return;
    k->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (k->fd < 0)
        log_warn("audit log: no socket for %s: %s", path, strerror(errno));
    else if (setsockopt(k->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
        (void)setsockopt(k->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

void sinks_open(struct scribe *s)
{
    open_sink(&s->sinks[0], s->how.journald, true);
    open_sink(&s->sinks[1], s->how.syslog, false);
}

void sinks_close(struct scribe *s)
{
    for (size_t i = 0; i < SINKS; i++) {
        if (s->sinks[i].fd >= 0)
            close(s->sinks[i].fd);
        buf_release(&s->sinks[i].backlog);
    }
}

/* What goes before the line. */
static void preface(const struct sink *k, struct slice line, char *out, size_t cap)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct audit_line a;
    char event[33];
    time_t now = time(NULL);
    struct tm tm = {0};
    localtime_r(&now, &tm);
    if (!audit_line_read(line, &a) || !slice_copy(a.event, event, sizeof event))
        snprintf(event, sizeof event, "-");
    if (k->journald)
        snprintf(out, cap,
                 "SYSLOG_IDENTIFIER=" IDENTIFIER "\nSYSLOG_FACILITY=10\nPRIORITY=6\n"
                 "CONSIGN_EVENT=%s\nCONSIGN_SEQ=%" PRIu64 "\nMESSAGE=",
                 event, a.seq);
    else
        snprintf(out, cap, "<%d>%s %2d %02d:%02d:%02d " IDENTIFIER "[%d]: ", PRIORITY,
                 months[(unsigned)tm.tm_mon % 12], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)getpid());
}

/* One line. */
static bool deliver(const struct sink *k, struct slice line)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char head[256];
    preface(k, line, head, sizeof head);
    struct iovec part[3] = {{head, strlen(head)},
                            {(void *)(uintptr_t)line.p, line.n},
                            {(char[]){"\n"}, k->journald ? 1 : 0}};
    struct msghdr msg = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = part, .msg_iovlen = 3};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", k->path);
    return sendmsg(k->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void miss(struct sink *k, uint64_t lines, const char *why)
{
    if (!k->away)
        log_warn("audit log: %s does not take lines: %s", k->path, why);
    k->away = true;
    k->lost += lines;
}

/* As much of the backlog as it takes. */
static void push(struct sink *k)
{
    size_t at = 0;
    const uint8_t *end;
    while (at < k->backlog.len &&
           (end = memchr(k->backlog.data + at, '\n', k->backlog.len - at)) != NULL) {
        struct slice line = slice_of(k->backlog.data + at, (size_t)(end - k->backlog.data) - at);
        bool good = deliver(k, line);
        if (!good && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR))
            break;
        if (!good)
            miss(k, 1, strerror(errno));
        else if (k->away)
            log_info("audit log: %s takes lines again; %" PRIu64 " are missing there", k->path,
                     k->lost);
        if (good)
            k->away = false;
        at += line.n + 1;
    }
    buf_consume(&k->backlog, at);
}

static uint64_t count(struct slice lines)
{
    uint64_t n = 0;
    for (size_t i = 0; i < lines.n; i++)
        n += lines.p[i] == '\n';
    return n;
}

void sinks_send(struct scribe *s, struct slice lines)
{
    /* The newline that ends what was torn is no line. */
    if (lines.n > 0 && lines.p[0] == '\n')
        lines = slice_of(lines.p + 1, lines.n - 1);
    for (struct sink *k = s->sinks; k < s->sinks + SINKS; k++) {
        if (!k->path)
            continue;
        if (k->fd < 0 || k->backlog.len + lines.n > BACKLOG_MAX)
            miss(k, count(lines), "too much is waiting");
        else
            buf_put(&k->backlog, lines.p, lines.n);
        push(k);
    }
}

bool sinks_tend(struct scribe *s)
{
    bool left = false;
    for (struct sink *k = s->sinks; k < s->sinks + SINKS; k++) {
        push(k);
        left |= k->backlog.len > 0;
    }
    return left;
}

void sinks_text(const struct scribe *s, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s%s", s->folder >= 0 ? "file" : "standard output",
             s->how.journald ? " journald" : "", s->how.syslog ? " syslog" : "");
}

uint64_t sinks_lost(const struct scribe *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < SINKS; i++)
        n += s->sinks[i].lost;
    return n;
}
