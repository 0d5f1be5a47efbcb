/* SPDX-License-Identifier: ISC */
#include "pipeline.h"

#include "log.h"
#include "patience.h"

enum { POLL_EVERY = 16 }; /* requests between two looks at the socket */

void pipeline_init(struct pipeline *p, struct link *link)
{
    *p = (struct pipeline){.link = link};
}

static struct request *oldest(struct pipeline *p)
{
    return &p->ring[p->first];
}

static struct request leave(struct pipeline *p)
{
    struct request q = *oldest(p);
    p->first = (p->first + 1) % PIPELINE_MAX;
    p->n--;
    p->bytes -= q.bytes;
    return q;
}

/* The connection is no more of use: tells the server as far as it listens, and all who wait. */
static enum err lose(struct pipeline *p, enum err e)
{
    char reason[513];
    if (!log_reason()[0])
        e = log_fail(e, "the server closed the connection");
    snprintf(reason, sizeof reason, "%s", log_reason());
    if (e == ERR_PROTO)
        chan_reject(&p->link->chan, e, reason);
    p->link->chan.failed = true;
    while (p->n > 0) {
        struct request q = leave(p);
        q.lost = true;
        (void)q.answer(&q, NULL, e, reason);
    }
    return e;
}

static enum err on_done(struct pipeline *p, const struct frame *f)
{
    struct msg_done m;
    char reason[513];
    if (!CHAN_GET(f, done, &m) || m.id != oldest(p)->id)
        return chan_malformed(f);
    log_scrub(reason, sizeof reason, m.reason.p, m.reason.n);
    enum err status = err_from_wire(m.status);
    struct request q = leave(p);
    return q.answer(&q, NULL, status, reason[0] || status == ERR_OK ? reason : err_text(status));
}

/* The next frame, which is for the oldest request. */
static enum err take(struct pipeline *p, struct patience *patience)
{
    struct frame f;
    log_clear_reason();
    enum err e = patience_recv(patience, &f);
    if (e == ERR_TIMEOUT)
        return log_fail(e, "the server does not answer");
    if (e != ERR_OK || f.type == MSG_PROGRESS)
        return e;
    if (p->n == 0)
        return chan_unexpected(&f, "as nothing was asked for");
    if (f.n < 4 || wire_load_u32(f.body) != oldest(p)->id)
        return chan_malformed(&f);
    return f.type == MSG_DONE ? on_done(p, &f) : oldest(p)->answer(oldest(p), &f, ERR_OK, "");
}

enum err pipeline_wait(struct pipeline *p, size_t left)
{
    struct patience patience;
    enum err e = ERR_OK;
    patience_begin(&patience, &p->link->chan);
    while (e == ERR_OK && p->n > left)
        e = take(p, &patience);
    return e == ERR_OK ? e : lose(p, e);
}

enum err pipeline_until(struct pipeline *p, uint32_t id)
{
    struct patience patience;
    enum err e = ERR_OK;
    patience_begin(&patience, &p->link->chan);
    /* Ids go up by one for each request of a connection. */
    while (e == ERR_OK && p->n > 0 && (int32_t)(oldest(p)->id - id) <= 0)
        e = take(p, &patience);
    return e == ERR_OK ? e : lose(p, e);
}

static enum err on_pong(struct request *q, const struct frame *f, enum err status,
                        const char *reason)
{
    (void)q, (void)status, (void)reason;
    return f ? chan_unexpected(f, "in answer to PING") : ERR_OK;
}

static enum err take_ready(struct pipeline *p, enum err e)
{
    struct patience patience;
    p->unpolled = 0;
    patience_begin(&patience, &p->link->chan);
    while (e == ERR_OK && p->n > 0 && chan_ready(&p->link->chan))
        e = take(p, &patience);
    return e == ERR_OK ? e : lose(p, e);
}

enum err pipeline_poll(struct pipeline *p)
{
    struct chan *c = &p->link->chan;
    uint32_t id;
    enum err e = take_ready(p, ERR_OK);
    if (e != ERR_OK || p->link->idle_ms == 0 || tls_now_ms() - p->said_ms < p->link->idle_ms / 3)
        return e;
    if ((e = pipeline_enter(p, on_pong, NULL, 0, &id)) != ERR_OK)
        return e;
    e = CHAN_SEND(c, ping, PING, .id = id);
    return pipeline_sent(p, e == ERR_OK ? chan_flush(c) : e);
}

enum err pipeline_reject(struct pipeline *p, enum err e)
{
    return lose(p, e);
}

enum err pipeline_enter(struct pipeline *p, request_fn *answer, void *arg, uint64_t bytes,
                        uint32_t *id)
{
    enum err e = ERR_OK;
    /* Half of them at once, so that both sides work on. */
    if (p->n == PIPELINE_MAX || (p->n > 0 && p->bytes + bytes > PIPELINE_BYTES))
        e = pipeline_wait(p, p->n / 2);
    if (e != ERR_OK)
        return e;
    *id = p->link->next_id++;
    p->ring[(p->first + p->n) % PIPELINE_MAX] = (struct request){*id, answer, arg, bytes, false};
    p->n++;
    p->bytes += bytes;
    return ERR_OK;
}

enum err pipeline_sent(struct pipeline *p, enum err sent)
{
    p->said_ms = tls_now_ms();
    return sent == ERR_OK && ++p->unpolled < POLL_EVERY ? ERR_OK : take_ready(p, sent);
}
