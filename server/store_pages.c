/* SPDX-License-Identifier: ISC */
#include "store_pages.h"

#include "log.h"
#include "msg.h"
#include <stdio.h>
#include <string.h>

enum {
    PAGE_FULL = 56 * 1000
}; /* no more is added to a page of so many bytes: one item has 8 KiB, and some */

void store_pages_release(struct store_pages *p)
{
    fs_walk_close(p->walk);
    p->walk = NULL;
}

static enum err send_page(const struct store_pages *p, const struct buf *items, bool more)
{
    return IPC_SEND(p->fd, st_items, ST_ITEMS, .more = more,
                    .items = slice_of(items->data, items->len));
}

/* Adds an item under name, which of a fault may be too long. */
static enum err add(struct buf *items, const struct fs_info *i, struct slice name)
{
    struct msg_item m = {.type = i->type,
                         .mode = i->mode,
                         .size = i->size,
                         .mtime_s = (uint64_t)i->mtime_s,
                         .mtime_ns = i->mtime_ns,
                         .has_root = i->has_root,
                         .name = name};
    if (m.name.n > PATH_MAX_BYTES)
        m.name.n = PATH_MAX_BYTES;
    if (i->target)
        m.target = slice_str(i->target);
    memcpy(m.root, i->root, TREE_HASH);
    return msg_add_item(items, &m) ? ERR_OK : log_fail(ERR_LIMIT, "out of memory for a page");
}

/* The next page of the walk that is open; the last one ends it. */
static enum err walk_page(struct store_pages *p)
{
    struct fs_item item;
    struct buf items;
    enum err e = ERR_OK;
    bool more = true;
    buf_init(&items, MSG_ITEMS_MAX);
    while (e == ERR_OK && items.len < PAGE_FULL && (more = fs_walk_next(p->walk, &item) == ERR_OK))
        e = add(&items, &item.info, slice_str(item.path));
    if (e == ERR_OK)
        e = send_page(p, &items, more);
    if (e != ERR_OK || !more)
        store_pages_release(p);
    buf_release(&items);
    return e;
}

bool store_walk(struct store_pages *p, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_walk m;
    char path[PATH_MAX_BYTES + 1];
    if (!ipc_get_st_walk(in->body, in->n, &m))
        return false;
    store_pages_release(p);
    if ((*status = path_parse(m.path, path)) == ERR_OK &&
        (*status = fs_walk_open(p->fs, path, m.flags, &p->walk)) == ERR_OK)
        *status = walk_page(p);
    return true;
}

bool store_next(struct store_pages *p, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_next m;
    if (!ipc_get_st_next(in->body, in->n, &m))
        return false;
    *status = p->walk ? walk_page(p) : log_fail(ERR_NOENT, "no walk is open");
    return true;
}

/* The folder that was asked about last: names come folder by folder. */
struct asked {
    char path[PATH_MAX_BYTES + 1];
    struct fs_folder *folder; /* NULL: status says why */
    enum err status;
    unsigned flags;
};

static void enter(struct store_pages *p, struct asked *a, const char *path)
{
    if (strcmp(a->path, path) == 0)
        return;
    fs_folder_close(a->folder);
    snprintf(a->path, sizeof a->path, "%s", path);
    a->status = fs_folder_open(p->fs, path, a->flags, &a->folder);
}

/* What stands at name, a path relative to top. */
static enum err stat_name(struct store_pages *p, struct asked *a, const char *top,
                          struct slice name, struct fs_info *out)
{
    char raw[2 * PATH_MAX_BYTES + 2], path[PATH_MAX_BYTES + 1], folder[PATH_MAX_BYTES + 1];
    snprintf(raw, sizeof raw, "%s/%.*s", strcmp(top, "/") == 0 ? "" : top, (int)name.n,
             (const char *)name.p);
    enum err e = path_parse(slice_str(raw), path);
    if (e != ERR_OK)
        return e;
    size_t above = (size_t)(path_base(path) - path);
    snprintf(folder, sizeof folder, "%.*s", above > 1 ? (int)above - 1 : 1, path);
    enter(p, a, folder);
    if (a->folder)
        return fs_folder_stat(a->folder, path_base(path), out);
    *out = a->status == ERR_NOENT
               ? (struct fs_info){.type = MSG_MISSING}
               : (struct fs_info){.type = MSG_FAULT, .mode = (uint32_t)a->status};
    return ERR_OK;
}

/* Sends the items of all names. */
static enum err stat_names(struct store_pages *p, struct asked *a, const char *top,
                           struct slice names, struct buf *items)
{
    struct wire_rd r = wire_read(names.p, names.n);
    char name[PATH_MAX_BYTES + 1];
    struct fs_info info;
    enum err e = ERR_OK;
    while (e == ERR_OK && r.p < r.end) {
        struct slice one = wire_get_str(&r, PATH_MAX_BYTES);
        if (r.bad || !slice_copy(one, name, sizeof name))
            return log_fail(ERR_PROTO, "malformed names in STATS");
        if ((e = stat_name(p, a, top, one, &info)) == ERR_OK)
            e = add(items, &info, one);
        if (e == ERR_OK && items->len >= PAGE_FULL && r.p < r.end) {
            e = send_page(p, items, true);
            buf_clear(items);
        }
    }
    return e == ERR_OK ? send_page(p, items, false) : e;
}

bool store_stats(struct store_pages *p, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_stats m;
    struct buf items;
    char path[PATH_MAX_BYTES + 1];
    if (!ipc_get_st_stats(in->body, in->n, &m))
        return false;
    struct asked asked = {.flags = m.flags};
    if ((*status = path_parse(m.path, path)) != ERR_OK)
        return true;
    buf_init(&items, MSG_ITEMS_MAX);
    *status = stat_names(p, &asked, path, m.names, &items);
    buf_release(&items);
    fs_folder_close(asked.folder);
    return true;
}
