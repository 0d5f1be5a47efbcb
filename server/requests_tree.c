/* SPDX-License-Identifier: ISC */
/* The requests on trees: WALK and NEXT, STATS for many names of one folder, and SYMLINK. */
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

static unsigned items_flags(uint32_t flags)
{
    return (flags & MSG_ITEMS_ROOTS ? FS_ROOTS : 0) | (flags & MSG_ITEMS_LINKS ? FS_LINKS : 0);
}

/* One record a walk. */
enum err requests_walk(struct requests *r, const struct frame *f)
{
    struct msg_walk m;
    if (!CHAN_GET(f, walk, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_WALK_FOLDERS | MSG_ITEMS_ROOTS | MSG_ITEMS_LINKS))
        return requests_bad_flags(m.flags);
    struct pages p = {r, m.id};
    unsigned flags = (m.flags & MSG_WALK_FOLDERS ? FS_FOLDERS : 0) | items_flags(m.flags);
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
    if (m.flags & ~(uint32_t)(MSG_ITEMS_ROOTS | MSG_ITEMS_LINKS))
        return requests_bad_flags(m.flags);
    struct pages p = {r, m.id};
    unsigned flags = items_flags(m.flags);
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

enum err requests_symlink(struct requests *r, const struct frame *f)
{
    struct msg_symlink m;
    char target[FS_TARGET_MAX + 1];
    if (!CHAN_GET(f, symlink, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_PUT_OVERWRITE | MSG_PUT_PARENTS))
        return requests_bad_flags(m.flags);
    uint32_t id = m.id;
    struct fs_symlink l = {r->path, target, m.flags & MSG_PUT_OVERWRITE, m.flags & MSG_PUT_PARENTS};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "symlink", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK && !slice_copy(m.target, target, sizeof target))
        e = log_fail(ERR_NAME, "%s: a link to a target with a NUL in it", r->path);
    else if (e == ERR_OK)
        d.to = target;
    if (e == ERR_OK)
        e = files_symlink(&r->files, &l);
    return requests_conclude(r, id, &d, e);
}
