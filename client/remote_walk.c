/* SPDX-License-Identifier: ISC */
#include "remote_walk.h"

#include "log.h"
#include <stdlib.h>
#include <string.h>

struct remote_walk {
    struct pipeline *pipeline;
    char *top;
    uint32_t flags;
    struct buf page, coming;
    struct slice left; /* of page */
    bool begun;        /* a page was asked for */
    bool more;         /* behind the one that came last */
    bool waiting;      /* one was asked for and has not come */
    bool came;         /* it came, its DONE perhaps not */
    uint32_t id;       /* of that request */
    enum err status;   /* of its answer */
    char reason[513];
    struct remote_order order;
    size_t skip; /* length of the folder that is gone over; 0: none */
};

/* No more comes: the walk ends so, whenever it is asked. */
static enum err end(struct remote_walk *w, enum err e, const char *reason)
{
    w->status = e;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    w->more = false;
    buf_clear(&w->coming);
    return e;
}

static enum err page_answer(struct request *q, const struct frame *f, enum err status,
                            const char *reason)
{
    struct remote_walk *w = q->arg;
    struct msg_items m;
    if (!f) {
        w->waiting = false;
        if (status != ERR_OK)
            end(w, status, reason);
        if (status != ERR_OK || w->came)
            return ERR_OK;
        status = log_fail(ERR_PROTO, "the server answered a walk without a page");
        return end(w, status, log_reason());
    }
    if (f->type != MSG_ITEMS || w->came || !CHAN_GET(f, items, &m) || m.id != q->id ||
        (m.more && m.items.n == 0))
        return chan_unexpected(f, "in answer to a walk");
    w->came = true;
    w->more = m.more;
    buf_put(&w->coming, m.items.p, m.items.n);
    return w->coming.bad ? log_fail(ERR_INTERNAL, "out of memory for a page") : ERR_OK;
}

static enum err ask(struct remote_walk *w)
{
    struct chan *c = &w->pipeline->link->chan;
    enum err e = pipeline_enter(w->pipeline, page_answer, w, MSG_ITEMS_MAX, &w->id);
    if (e != ERR_OK)
        return e;
    w->waiting = true;
    w->came = w->more = false;
    e = w->begun
            ? CHAN_SEND(c, next, NEXT, .id = w->id)
            : CHAN_SEND(c, walk, WALK, .id = w->id, .flags = w->flags, .path = slice_str(w->top));
    w->begun = true;
    return pipeline_sent(w->pipeline, e == ERR_OK ? chan_flush(c) : e);
}

enum err remote_walk_open(struct pipeline *p, const char *path, uint32_t flags,
                          struct remote_walk **out)
{
    struct remote_walk *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w || !(w->top = strdup(path))) {
        free(w);
        return log_fail(ERR_INTERNAL, "out of memory for a walk");
    }
    w->pipeline = p;
    w->flags = flags;
    buf_init(&w->page, MSG_ITEMS_MAX);
    buf_init(&w->coming, MSG_ITEMS_MAX);
    enum err e = ask(w);
    if (e == ERR_OK)
        *out = w;
    else
        remote_walk_close(w);
    return e;
}

/* What came is not in order: the connection is given up. */
static enum err reject(struct remote_walk *w, enum err e)
{
    w->left.n = 0;
    end(w, e, log_reason());
    return pipeline_reject(w->pipeline, e);
}

/* Turns to the page that was asked for, and asks for the next. ERR_NOENT: there is none. */
static enum err turn(struct remote_walk *w)
{
    if (!w->waiting && !w->more && w->coming.len == 0 && w->status == ERR_OK)
        return !w->order.folder[0]
                   ? ERR_NOENT
                   : reject(w, log_fail(ERR_PROTO, "the server ended a walk inside a folder"));
    enum err e = w->waiting ? pipeline_until(w->pipeline, w->id) : ERR_OK;
    if (e == ERR_OK && w->status != ERR_OK)
        e = log_fail(w->status, "%s", w->reason);
    if (e != ERR_OK)
        return e;
    struct buf turned = w->page;
    w->page = w->coming;
    w->coming = turned;
    buf_clear(&w->coming);
    w->left = slice_of(w->page.data, w->page.len);
    if (w->more)
        e = ask(w);
    return e;
}

static enum err take(struct remote_walk *w, struct remote_item *out)
{
    struct msg_item m;
    enum err e = msg_take_item(&w->left, &m)
                     ? remote_order_take(&w->order, &m, w->flags & MSG_WALK_FOLDERS, out)
                     : log_fail(ERR_PROTO, "the server sent a malformed page of a walk");
    return e == ERR_OK ? e : reject(w, e);
}

enum err remote_walk_next(struct remote_walk *w, struct remote_item *out)
{
    for (;;) {
        enum err e = ERR_OK;
        while (e == ERR_OK && w->left.n == 0)
            e = turn(w);
        if (e == ERR_OK)
            e = take(w, out);
        if (e != ERR_OK)
            return e;
        if (w->skip == 0)
            return ERR_OK;
        if (out->info.type == MSG_LEAVE && strlen(out->path) == w->skip)
            w->skip = 0;
    }
}

void remote_walk_skip(struct remote_walk *w)
{
    w->skip = strlen(w->order.folder);
}

void remote_walk_close(struct remote_walk *w)
{
    if (!w)
        return;
    if (w->waiting && !w->pipeline->link->chan.failed)
        (void)!pipeline_until(w->pipeline, w->id);
    buf_release(&w->page);
    buf_release(&w->coming);
    free(w->top);
    free(w);
}
