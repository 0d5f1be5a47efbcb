/* SPDX-License-Identifier: ISC */
#include "lookup.h"

#include "log.h"
#include "remote_order.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool lookup_full(const struct lookup *l)
{
    return l->n == LOOKUP_MAX || l->names + 2 + PATH_MAX_BYTES > MSG_NAMES_MAX;
}

enum err lookup_add(struct lookup *l, const char *rel, const struct stat *st, bool followed)
{
    struct looked_up *e = &l->list[l->n];
    *e = (struct looked_up){.rel = strdup(rel), .st = *st, .followed = followed};
    if (!e->rel)
        return log_fail(ERR_INTERNAL, "%s: out of memory", rel);
    l->n++;
    l->names += 2 + strlen(rel);
    return ERR_OK;
}

/* What the server may say of the name that is next. */
static bool in_turn(const struct lookup *l, const struct msg_item *item, struct fs_info *info)
{
    return l->answered < l->n && slice_eq(item->name, slice_str(l->list[l->answered].rel)) &&
           item->type != MSG_LEAVE && remote_item_info(item, info);
}

static enum err on_answer(struct request *q, const struct frame *f, enum err status,
                          const char *reason)
{
    struct lookup *l = q->arg;
    struct msg_items m;
    struct msg_item item;
    (void)reason;
    if (!f)
        return status != ERR_OK || (l->answered == l->n && l->last)
                   ? ERR_OK
                   : log_fail(ERR_PROTO, "the server answered STATS in part");
    if (f->type != MSG_ITEMS || l->last || !CHAN_GET(f, items, &m) || m.id != q->id ||
        (m.more && m.items.n == 0))
        return chan_unexpected(f, "in answer to STATS");
    while (m.items.n > 0) {
        struct fs_info info;
        if (!msg_take_item(&m.items, &item) || !in_turn(l, &item, &info))
            return chan_malformed(f);
        struct looked_up *e = &l->list[l->answered++];
        e->there = info;
        if (item.target.n > 0 && !(e->target = strndup((const char *)item.target.p, item.target.n)))
            return log_fail(ERR_INTERNAL, "%s: out of memory", e->rel);
        e->known = info.type != MSG_FAULT;
    }
    l->last = !m.more;
    return ERR_OK;
}

enum err lookup_ask(struct lookup *l, struct pipeline *p, const char *top, uint32_t flags)
{
    struct msg_stats m = {.flags = flags, .path = slice_str(top)};
    struct chan *c = &p->link->chan;
    struct buf names;
    buf_init(&names, MSG_NAMES_MAX);
    for (size_t i = 0; i < l->n; i++)
        wire_put_str(&names, slice_str(l->list[i].rel), PATH_MAX_BYTES);
    m.names = slice_of(names.data, names.len);
    enum err e = names.bad ? log_fail(ERR_INTERNAL, "no room for a batch of names") : ERR_OK;
    l->answered = 0;
    l->last = false;
    if (e == ERR_OK)
        e = pipeline_enter(p, on_answer, l, names.len, &m.id);
    if (e == ERR_OK) {
        l->id = m.id;
        size_t at = chan_begin(c, MSG_STATS);
        (void)msg_put_stats(&c->out, &m);
        e = chan_end(c, at);
        e = pipeline_sent(p, e == ERR_OK ? chan_flush(c) : e);
    }
    buf_release(&names);
    return e;
}

enum err lookup_wait(struct lookup *l, struct pipeline *p)
{
    return l->n > 0 ? pipeline_until(p, l->id) : ERR_OK;
}

static enum err ask_root(struct looked_up *e, struct pipeline *p, const char *top)
{
    char path[PATH_MAX_BYTES + 1];
    int n = snprintf(path, sizeof path, "%s/%s", strcmp(top, "/") == 0 ? "" : top, e->rel);
    return n < (int)sizeof path ? roots_ask(&e->root, p, path, &e->there) : ERR_OK;
}

enum err lookup_ask_roots(struct lookup *l, struct pipeline *p, const char *top)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < l->n && e == ERR_OK; i++) {
        struct looked_up *f = &l->list[i];
        if (f->known && f->there.type == MSG_FILE && !f->there.has_root && S_ISREG(f->st.st_mode) &&
            f->there.size == (uint64_t)f->st.st_size)
            e = ask_root(f, p, top);
    }
    return e == ERR_OK ? pipeline_sent(p, chan_flush(&p->link->chan)) : e;
}

int lookup_open(const struct looked_up *e, int top)
{
    struct stat st;
    int fd = openat(top, e->rel,
                    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (e->followed ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_dev == e->st.st_dev && st.st_ino == e->st.st_ino)
        return fd;
    close(fd);
    errno = ESTALE;
    return -1;
}

void lookup_clear(struct lookup *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->list[i].rel);
        free(l->list[i].target);
    }
    l->n = l->names = 0;
}
