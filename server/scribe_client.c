/* SPDX-License-Identifier: ISC */
/* The side of whoever has something to record. */
#include "scribe.h"

#include "ipc.h"
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

/* FIELDS_MAX is the bound that ipc.def sets; AHEAD, the messages that may be under way. */
enum { FIELDS_MAX = 10240, AHEAD = 64, ANSWER_MS = 30 * 1000, STATUS_MS = 200 };

/* What holds for this process; told: what the scribe said unasked. */
static struct {
    bool best;
    enum err told;
} here;

void scribe_require(bool require)
{
    here.best = !require;
}

/* A record is lost, or will be: the verdict on that. */
static enum err lost(const char *why)
{
    if (!here.best)
        return log_fail(ERR_AUDIT, "audit log: %s", why);
    log_warn("not in the audit log: %s", why);
    return ERR_OK;
}

/* What comes unasked, or late. */
static bool is_aside(const struct ipc_in *in)
{
    struct ipc_audit_state m;
    if (in->type == IPC_AUDIT_STATE && ipc_get_audit_state(in->body, in->n, &m))
        here.told = err_from_wire(m.status);
    return in->type == IPC_AUDIT_STATE || in->type == IPC_STATUS_AUDIT;
}

enum err scribe_ready(int fd)
{
    uint8_t buffer[IPC_SMALL], type;
    struct ipc_in in;
    ssize_t n;
    while ((n = recv(fd, &type, 1, MSG_PEEK | MSG_DONTWAIT)) == 1 && type == IPC_AUDIT_STATE &&
           ipc_recv(fd, buffer, sizeof buffer, &in, 0) == ERR_OK) {
        ipc_drop(&in);
        (void)is_aside(&in);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return lost("the scribe is gone");
    return here.told == ERR_OK ? ERR_OK : lost(err_text(here.told));
}

/* The answer to a record. ERR_CONN: there will be none any more. */
static enum err await(int fd)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_recorded m;
    enum err rc;
    do {
        rc = ipc_recv(fd, buffer, sizeof buffer, &in, ANSWER_MS);
        if (rc == ERR_OK)
            ipc_drop(&in);
    } while (rc == ERR_OK && is_aside(&in));
    if (rc != ERR_OK) {
        /* A late answer must not be taken for that of a later record. */
        shutdown(fd, SHUT_RDWR);
        return ERR_CONN;
    }
    if (in.type != IPC_RECORDED || !ipc_get_recorded(in.body, in.n, &m))
        return ERR_PROTO;
    return err_from_wire(m.status);
}

static enum err verdict(enum err answer)
{
    return answer == ERR_OK     ? ERR_OK
           : answer == ERR_CONN ? lost("the scribe is gone, or does not answer")
                                : lost(err_text(answer));
}

static enum err sent(enum err rc)
{
    return rc == ERR_OK ? ERR_OK
                        : lost(rc == ERR_CONN ? "the scribe is gone" : "a record can't be sent");
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
    return rc == ERR_OK ? verdict(await(fd)) : sent(rc);
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
    enum err rc = ERR_OK, one = ERR_OK;
    for (; b->sent > 0 && one != ERR_CONN; b->sent--) {
        one = await(b->fd);
        rc = rc != ERR_OK ? rc : one;
    }
    b->sent = 0;
    return verdict(rc);
}

enum err scribe_send(struct scribe_batch *b)
{
    if (b->records.len == 0)
        return ERR_OK;
    enum err rc = b->sent < AHEAD ? ERR_OK : hear(b);
    if (rc != ERR_OK)
        return rc;
    rc = ipc_send_bundle(b->fd, &b->records);
    b->sent += rc == ERR_OK;
    return sent(rc);
}

enum err scribe_wait(struct scribe_batch *b)
{
    enum err rc = scribe_send(b);
    return rc != ERR_OK ? rc : hear(b);
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
        return sent(ERR_LIMIT);
    if (IPC_ADD(&b->records, record, RECORD, &m))
        return ERR_OK;
    enum err rc = scribe_send(b);
    if (rc != ERR_OK)
        return rc;
    return IPC_ADD(&b->records, record, RECORD, &m) ? ERR_OK : sent(ERR_LIMIT);
}

/* ---- its status ---- */

bool scribe_status(int control, struct buf *out)
{
    uint8_t buffer[IPC_SMALL];
    struct ipc_in in;
    struct ipc_status_audit m;
    if (control < 0 || IPC_SEND(control, audit_ask, AUDIT_ASK, ) != ERR_OK ||
        ipc_recv(control, buffer, sizeof buffer, &in, STATUS_MS) != ERR_OK)
        return false;
    ipc_drop(&in);
    if (in.type != IPC_STATUS_AUDIT || !ipc_get_status_audit(in.body, in.n, &m))
        return false;
    wire_put_u32(out, (uint32_t)in.n);
    wire_put_u8(out, in.type);
    buf_put(out, in.body, in.n);
    return true;
}
