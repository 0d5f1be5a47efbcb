/* SPDX-License-Identifier: ISC */
#include "remote_walk.h"

#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
    size_t at, n;
    uint8_t items[MSG_ITEMS_MAX];
};

struct remote_walk {
    struct link *link;
    bool folders;
    bool asked; /* the answer to id is due */
    bool taken; /* it is here, in *ahead */
    bool more;  /* there is a page after the last one that came */
    uint32_t id;
    enum err failed;
    struct remote_order order;
    struct page *now, *ahead; /* used, and taken in before its time */
    struct page pages[2];
    char path[PATH_MAX_BYTES + 1];
};

/* ---- a walk ---- */

static enum err take_page(void *arg, const struct frame *f)
{
    struct remote_walk *w = arg;
    struct msg_items m;
    if (f->type != MSG_ITEMS || w->taken)
        return chan_unexpected(f, "in answer to WALK");
    if (!CHAN_GET(f, items, &m) || m.id != w->id || m.more > 1 || (m.more && m.items.n == 0))
        return chan_malformed(f);
    w->taken = true;
    w->more = m.more;
    w->ahead->at = 0;
    w->ahead->n = m.items.n;
    memcpy(w->ahead->items, m.items.p, m.items.n);
    return ERR_OK;
}

enum err remote_walk_settle(struct remote_walk *w)
{
    if (!w->asked || w->failed != ERR_OK)
        return w->failed;
    w->asked = false;
    w->failed = link_await(w->link, w->id, w->path, take_page, w);
    if (w->failed == ERR_OK && !w->taken)
        w->failed = log_fail(ERR_PROTO, "the server answered a walk without a page");
    return w->failed;
}

/* Goes on to the next page, and asks for the one after it. */
static enum err turn(struct remote_walk *w)
{
    struct page *used = w->now;
    enum err e = remote_walk_settle(w);
    if (e != ERR_OK)
        return e;
    w->now = w->ahead;
    w->ahead = used;
    w->taken = false;
    if (!w->more)
        return ERR_OK;
    w->id = w->link->next_id++;
    w->asked = true;
    e = CHAN_SEND(&w->link->chan, next, NEXT, .id = w->id);
    return e == ERR_OK ? chan_flush(&w->link->chan) : e;
}

static enum err take_item(struct remote_walk *w, struct remote_item *out)
{
    struct slice left = slice_of(w->now->items + w->now->at, w->now->n - w->now->at);
    struct msg_item m;
    if (!msg_take_item(&left, &m))
        return log_fail(ERR_PROTO, "the server sent a malformed page of a walk");
    w->now->at = w->now->n - left.n;
    return remote_order_take(&w->order, &m, w->folders, out);
}

enum err remote_walk_next(struct remote_walk *w, struct remote_item *out)
{
    *out = (struct remote_item){0};
    while (w->failed == ERR_OK && w->now->at == w->now->n && (w->asked || w->taken))
        w->failed = turn(w);
    if (w->failed != ERR_OK)
        return w->failed;
    if (w->now->at < w->now->n)
        return w->failed = take_item(w, out);
    if (w->order.folder[0])
        w->failed = log_fail(ERR_PROTO, "the server ended a walk inside a folder");
    return w->failed;
}

enum err remote_walk_open(struct link *l, const char *path, uint32_t flags,
                          struct remote_walk **out)
{
    struct remote_walk *w = *out = calloc(1, sizeof *w);
    if (!w)
        return log_fail(ERR_LIMIT, "out of memory for a walk");
    w->link = l;
    w->folders = flags & MSG_WALK_FOLDERS;
    w->now = &w->pages[0];
    w->ahead = &w->pages[1];
    w->id = l->next_id++;
    w->asked = true;
    snprintf(w->path, sizeof w->path, "%s", path);
    enum err e =
        CHAN_SEND(&l->chan, walk, WALK, .id = w->id, .flags = flags, .path = slice_str(path));
    if (e == ERR_OK)
        e = chan_flush(&l->chan);
    if (e != ERR_OK) {
        free(w);
        *out = NULL;
    }
    return e;
}

void remote_walk_close(struct remote_walk *w)
{
    if (w && !w->link->chan.failed)
        w->failed = remote_walk_settle(w);
    free(w);
}

/* ---- many names ---- */

/* A run of names that are asked for at once. */
struct asking {
    uint32_t id;
    const char *const *names;
    size_t n, told;
    struct fs_info *out;
};

static enum err take_infos(void *arg, const struct frame *f)
{
    struct asking *a = arg;
    struct msg_items m;
    struct msg_item item;
    if (f->type != MSG_ITEMS)
        return chan_unexpected(f, "in answer to STATS");
    if (!CHAN_GET(f, items, &m) || m.id != a->id)
        return chan_malformed(f);
    while (m.items.n > 0) {
        if (!msg_take_item(&m.items, &item) || a->told == a->n || item.type == MSG_LEAVE ||
            !slice_eq(item.name, slice_str(a->names[a->told])) ||
            !remote_item_info(&item, &a->out[a->told]))
            return log_fail(ERR_PROTO, "the server sent an entry that was not asked for");
        a->told++;
    }
    return ERR_OK;
}

static enum err ask(struct link *l, const char *folder, bool roots, struct asking *a,
                    struct slice names)
{
    char reason[513];
    a->id = l->next_id++;
    enum err e =
        CHAN_SEND(&l->chan, stats, STATS, .id = a->id, .flags = roots ? MSG_ITEMS_ROOTS : 0,
                  .path = slice_str(folder), .names = names);
    if (e != ERR_OK)
        return e;
    log_quiet(true);
    e = link_await(l, a->id, folder, take_infos, a);
    log_quiet(false);
    if (e == ERR_NOENT && a->told == 0) {
        memset(a->out, 0, a->n * sizeof a->out[0]);
        return ERR_OK;
    }
    if (e != ERR_OK) {
        snprintf(reason, sizeof reason, "%s", log_reason());
        return log_fail(e, "%s", reason);
    }
    return a->told == a->n ? ERR_OK
                           : log_fail(ERR_PROTO, "the server told too little of %s", folder);
}

enum err link_stats(struct link *l, const char *folder, bool roots, const char *const *names,
                    size_t n, struct fs_info *out)
{
    struct buf b;
    enum err e = ERR_OK;
    buf_init(&b, MSG_NAMES_MAX);
    for (size_t from = 0, i = 0; e == ERR_OK && i < n; i++) {
        size_t length = strlen(names[i]);
        wire_put_u8(&b, (uint8_t)length);
        buf_put(&b, names[i], length);
        if (i + 1 < n && b.len + 1 + PATH_NAME_MAX <= MSG_NAMES_MAX)
            continue;
        struct asking a = {.names = names + from, .n = i + 1 - from, .out = out + from};
        e = b.bad ? log_fail(ERR_LIMIT, "out of memory for names")
                  : ask(l, folder, roots, &a, slice_of(b.data, b.len));
        buf_clear(&b);
        from = i + 1;
    }
    buf_release(&b);
    return e;
}
