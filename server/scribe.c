/* SPDX-License-Identifier: ISC */
#include "scribe.h"
#include "confine.h"
#include "hub.h"
#include "log.h"
#include "probe.h"
#include "scribe_line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* FIELDS_MAX is the bound that ipc.def sets; AHEAD, the messages that may be under way. */
enum {
    FIELDS_MAX = 10240,
    AHEAD = 64,
    READY_MS = 10 * 1000,
    ANSWER_MS = 30 * 1000,
    DRAIN_MS = 2 * 1000
};

struct scribe {
    int folder;              /* -1: the log is standard output */
    char name[NAME_MAX + 1]; /* of the file in folder */
    int fd;
    bool regular;
    bool torn;         /* the log ends inside a line: the next one begins with a newline */
    uint64_t seq;      /* of the last line */
    struct buf lines;  /* to be written together */
    uint64_t gathered; /* so many */
};

/* Whether the last line that stands in the file has no end, as after a crash of the host. */
static bool ends_torn(int fd)
{
    char last;
    off_t end = lseek(fd, 0, SEEK_END);
    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

/* Opens the log's file for appending; the old one stays in use when that fails. */
static enum err open_log(struct scribe *s)
{
    struct stat st;
    int fd =
        openat(s->folder, s->name,
               O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    if (fd < 0)
        return log_fail_errno("audit log %s", s->name);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return log_fail(ERR_CONFIG, "audit log %s: not a regular file", s->name);
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    s->torn = ends_torn(fd);
    return ERR_OK;
}

/* The folder is held by a descriptor: a rotated log is reopened in it, wherever it has been moved
 * to. */
static enum err open_folder(struct scribe *s, const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    size_t n = slash ? (size_t)(slash - file) + 1 : 0;
    char folder[PATH_MAX];
    if (!*name || strlen(name) > NAME_MAX || n >= sizeof folder)
        return log_fail(ERR_CONFIG, "audit log %s: not the name of a file", file);
    memcpy(folder, file, n);
    memcpy(folder + n, "", 1);
    memcpy(s->name, name, strlen(name) + 1);
    s->folder = open(n ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return s->folder < 0 ? log_fail_errno("folder of the audit log %s", file) : ERR_OK;
}

static enum err open_target(struct scribe *s, const char *file)
{
    struct stat st;
    if (file) {
        enum err rc = open_folder(s, file);
        s->regular = true;
        return rc ? rc : open_log(s);
    }
    s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return log_fail_errno("audit log on standard output");
    s->regular = S_ISREG(st.st_mode);
    return ERR_OK;
}

/* Takes back the n bytes of lines that the log holds only in part. */
static void cut(struct scribe *s, size_t n)
{
    struct stat st;
    if (s->regular && fstat(s->fd, &st) == 0 && st.st_size >= (off_t)n &&
        ftruncate(s->fd, st.st_size - (off_t)n) == 0)
        return;
    s->torn = true;
}

static enum err write_all(struct scribe *s, const uint8_t *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t wrote = write(s->fd, p + done, n - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            enum err rc = log_fail_errno("audit log: a record is not written");
            if (done)
                cut(s, done);
            return rc == ERR_NOSPACE ? rc : ERR_IO;
        }
        done += (size_t)wrote;
    }
    s->torn = false;
    return ERR_OK;
}

/* Writes the lines that are gathered; of those that are not, the numbers are free again. */
static enum err write_lines(struct scribe *s)
{
    enum err rc = s->lines.len ? write_all(s, s->lines.data, s->lines.len) : ERR_OK;
    if (rc)
        s->seq -= s->gathered;
    s->gathered = 0;
    buf_clear(&s->lines);
    return rc;
}

/* Adds the line of a record. */
static enum err record(struct scribe *s, const struct hub_client *from, const struct ipc_record *m)
{
    struct scribe_facts facts = {.seq = s->seq + 1, .session = from->session, .peer = from->peer};
    size_t before = s->lines.len;
    clock_gettime(CLOCK_REALTIME, &facts.time);
    if (s->torn && before == 0)
        buf_put(&s->lines, "\n", 1);
    const char *wrong = scribe_line_put(&s->lines, &facts, m);
    if (wrong) {
        s->lines.len = before;
        s->lines.bad = false;
        return log_fail(ERR_IO, "audit log: record of session %s refused: %s", from->session,
                        wrong);
    }
    s->seq++;
    s->gathered++;
    return s->lines.len >= SCRIBE_LINE_MAX ? write_lines(s) : ERR_OK;
}

static enum hub_next answer(const struct hub_client *to, enum err status)
{
    struct buf body;
    struct ipc_recorded m = {.status = (uint16_t)status};
    buf_init(&body, IPC_MAX);
    enum hub_next next =
        ipc_put_recorded(&body, &m) ? hub_answer(to, IPC_RECORDED, &body) : HUB_CLOSE;
    buf_release(&body);
    return next;
}

static enum hub_next handle(void *arg, struct hub_client *from, const struct ipc_in *in)
{
    struct scribe *s = arg;
    struct ipc_record m;
    struct ipc_in one;
    struct slice rest = {0};
    enum err rc = ERR_OK;
    if (from->control && in->type == IPC_REOPEN) {
        if (s->folder >= 0 && open_log(s))
            log_warn("audit log: the old file stays in use");
        return HUB_KEEP;
    }
    bool whole = in->n_fds == 0;
    while (whole && ipc_next(in, &rest, &one)) {
        whole = one.type == IPC_RECORD && ipc_get_record(one.body, one.n, &m);
        enum err added = whole ? record(s, from, &m) : ERR_OK;
        rc = rc ? rc : added;
    }
    enum err written = write_lines(s);
    if (whole && rest.n == 0)
        return answer(from, rc ? rc : written);
    log_warn("session %s, peer %s: malformed audit record; closed", from->session, from->peer);
    return HUB_CLOSE;
}

/* The scribe outlives a stop of the server until the last session has said its last: it is the end
 * of its sockets that ends it, no signal. The master's own handlers mean nothing here. */
static void ignore_signals(void)
{
    static const int all[] = {SIGINT,  SIGHUP,  SIGTERM, SIGQUIT, SIGPIPE,
                              SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
    sigset_t none;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        signal(all[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What opening the log anew takes in a folder of another account. */
static uint64_t needed_of(const struct scribe *s)
{
    struct stat st;
    bool own = s->folder < 0 || (fstat(s->folder, &st) == 0 && st.st_uid == geteuid());
    return own ? 0 : 1u << CAP_DAC_OVERRIDE;
}

static enum err confine(struct scribe *s, int control)
{
    int keep[] = {control, s->fd, s->folder}, abi;
    tzset(); /* reads its file now: there will be no reading later */
    enum err rc = confine_start(keep, 3);
    if (!rc)
        rc = confine_files(&s->folder, s->folder >= 0 ? 1 : 0, false, false, &abi);
    if (!rc)
        rc = confine_capabilities(needed_of(s));
    return rc ? rc : confine_calls(CONFINE_SCRIBE);
}

static _Noreturn void live(struct scribe *s, int control)
{
    ignore_signals();
    buf_init(&s->lines, 2 * SCRIBE_LINE_MAX);
    enum err rc = confine(s, control);
    probe_run("scribe");
    if (!rc)
        rc = IPC_SEND(control, recorded, RECORDED, .status = ERR_OK);
    if (!rc)
        rc = hub_run(control, SIZE_MAX, DRAIN_MS, handle, s);
    _exit(err_exit(rc));
}

/* The answer to a record, or the sign that the scribe is ready. */
static enum err await(int fd, int timeout_ms)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_recorded m;
    enum err rc = ipc_recv(fd, buffer, sizeof buffer, &in, timeout_ms);
    if (rc == ERR_TIMEOUT) {
        /* A late answer must not be taken for that of a later record. */
        shutdown(fd, SHUT_RDWR);
        return log_fail(ERR_IO, "audit log: the scribe did not answer within %d s",
                        timeout_ms / 1000);
    }
    if (rc == ERR_CONN)
        return log_fail(ERR_CONN, "audit log: the scribe is gone");
    if (rc)
        return rc;
    ipc_drop(&in);
    if (in.type != IPC_RECORDED || !ipc_get_recorded(in.body, in.n, &m))
        return log_fail(ERR_IO, "audit log: malformed answer of the scribe");
    rc = err_from_wire(m.status);
    return rc ? log_fail(rc, "audit log: the scribe says: %s", err_text(rc)) : ERR_OK;
}

enum err scribe_start(const char *file, int *control, pid_t *pid)
{
    struct scribe s = {.folder = -1, .fd = -1};
    int pair[2] = {-1, -1};
    *control = -1;
    enum err rc = open_target(&s, file);
    if (!rc)
        rc = ipc_pair(pair);
    if (rc)
        goto out;
    *pid = fork();
    if (*pid == 0)
        live(&s, pair[1]);
    close(pair[1]);
    rc = *pid < 0 ? log_fail_errno("starting the scribe") : await(pair[0], READY_MS);
    if (rc)
        close(pair[0]);
    else
        *control = pair[0];
out:
    if (s.fd >= 0)
        close(s.fd);
    if (s.folder >= 0)
        close(s.folder);
    return rc;
}

/* The fields of a record; sticky failure as in buf.h. */
static void put_fields(struct buf *fields, va_list ap)
{
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        buf_put(fields, key, strlen(key) + 1);
        buf_put(fields, value, strlen(value) + 1);
    }
}

static enum err sent(enum err rc, const char *event)
{
    if (rc == ERR_CONN)
        return log_fail(rc, "audit log: the scribe is gone");
    return rc ? log_fail(ERR_IO, "audit log: record %s can't be sent", event) : ERR_OK;
}

enum err scribe_record(int fd, const char *event, ...)
{
    struct buf fields;
    va_list ap;
    buf_init(&fields, FIELDS_MAX);
    va_start(ap, event);
    put_fields(&fields, ap);
    va_end(ap);
    enum err rc = fields.bad ? ERR_LIMIT
                             : IPC_SEND(fd, record, RECORD, .event = slice_str(event),
                                        .fields = slice_of(fields.data, fields.len));
    buf_release(&fields);
    rc = sent(rc, event);
    return rc ? rc : await(fd, ANSWER_MS);
}

/* ---- many ---- */

void scribe_batch_init(struct scribe_batch *b, int fd)
{
    *b = (struct scribe_batch){.fd = fd};
    buf_init(&b->fields, FIELDS_MAX);
    buf_init(&b->records, IPC_SMALL - 1);
}

void scribe_batch_release(struct scribe_batch *b)
{
    buf_release(&b->fields);
    buf_release(&b->records);
}

/* The answers to all that was sent. */
static enum err hear(struct scribe_batch *b)
{
    enum err rc = ERR_OK;
    for (; b->sent > 0; b->sent--) {
        enum err one = await(b->fd, ANSWER_MS);
        if (one == ERR_CONN)
            return one;
        rc = rc ? rc : one;
    }
    return rc;
}

enum err scribe_send(struct scribe_batch *b)
{
    if (b->records.len == 0)
        return ERR_OK;
    enum err rc = b->sent < AHEAD ? ERR_OK : hear(b);
    if (!rc)
        rc = sent(ipc_send_bundle(b->fd, &b->records), "batch");
    b->sent += !rc;
    return rc;
}

enum err scribe_wait(struct scribe_batch *b)
{
    enum err rc = scribe_send(b);
    return rc ? rc : hear(b);
}

enum err scribe_add(struct scribe_batch *b, const char *event, ...)
{
    va_list ap;
    buf_clear(&b->fields);
    va_start(ap, event);
    put_fields(&b->fields, ap);
    va_end(ap);
    struct ipc_record m = {.event = slice_str(event),
                           .fields = slice_of(b->fields.data, b->fields.len)};
    if (b->fields.bad)
        return sent(ERR_LIMIT, event);
    if (IPC_ADD(&b->records, record, RECORD, &m))
        return ERR_OK;
    enum err rc = scribe_send(b);
    if (rc)
        return rc;
    return IPC_ADD(&b->records, record, RECORD, &m) ? ERR_OK : sent(ERR_LIMIT, event);
}
