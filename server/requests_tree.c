/* SPDX-License-Identifier: ISC */
/* The requests on trees: WALK and NEXT, and STATS for many names of one folder. */
#include "requests_internal.h"

#include "log.h"
#include <stdio.h>
#include <string.h>

struct pages {
    struct requests *r;
    uint32_t id;
};

static enum err send_page(void *arg, const struct files_page *page)
{
    const struct pages *p = arg;
    return CHAN_SEND(p->r->chan, items, ITEMS, .id = p->id, .more = page->more,
                     .items = page->items);
}

/* One record a walk. */
enum err requests_walk(struct requests *r, const struct frame *f)
{
    struct msg_walk m;
    if (!CHAN_GET(f, walk, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_WALK_FOLDERS | MSG_ITEMS_ROOTS))
        return requests_bad_flags(m.flags);
    struct pages p = {r, m.id};
    unsigned flags =
        (m.flags & MSG_WALK_FOLDERS ? FS_FOLDERS : 0) | (m.flags & MSG_ITEMS_ROOTS ? FS_ROOTS : 0);
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "walk", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_walk(&r->files, r->path, flags, send_page, &p);
    return requests_conclude(r, p.id, &d, e);
}

/* Not recorded: the walk was. */
enum err requests_next(struct requests *r, const struct frame *f)
{
    struct msg_next m;
    if (!CHAN_GET(f, next, &m))
        return chan_malformed(f);
    struct pages p = {r, m.id};
    return requests_answer(r, p.id, files_walk_next(&r->files, send_page, &p));
}

/* One record for each folder that is asked about, not for each group of names in it. */
enum err requests_stats(struct requests *r, const struct frame *f)
{
    struct msg_stats m;
    if (!CHAN_GET(f, stats, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)MSG_ITEMS_ROOTS)
        return requests_bad_flags(m.flags);
    struct pages p = {r, m.id};
    unsigned flags = m.flags & MSG_ITEMS_ROOTS ? FS_ROOTS : 0;
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "stats", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_stats(&r->files, r->path, flags, m.names, send_page, &p);
    if (e == ERR_OK && strcmp(r->path, r->stats_path) == 0)
        return requests_answer(r, p.id, e);
    if (e == ERR_OK)
        snprintf(r->stats_path, sizeof r->stats_path, "%s", r->path);
    return requests_conclude(r, p.id, &d, e);
}
