/* SPDX-License-Identifier: ISC */
/* Attributes: META sets them, META_GET asks for them. */
#include "requests_internal.h"

#include "log.h"

enum err requests_meta(struct requests *r, const struct frame *f)
{
    struct msg_meta m;
    if (!CHAN_GET(f, meta, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)META_ALL)
        return requests_bad_flags(m.flags);
    uint32_t id = m.id;
    struct meta meta = {m.flags, m.uid, m.gid, m.set};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "meta", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = meta_check(&meta, r->path);
    if (e == ERR_OK)
        e = files_meta_set(&r->files, r->path, &meta);
    return requests_conclude(r, id, &d, e);
}

struct asking {
    struct requests *r;
    uint32_t id;
};

static enum err send_meta(void *arg, const struct meta *m)
{
    const struct asking *a = arg;
    return CHAN_SEND(a->r->chan, meta, META, .id = a->id, .flags = m->kinds, .uid = m->uid,
                     .gid = m->gid, .set = m->set);
}

enum err requests_meta_get(struct requests *r, const struct frame *f)
{
    struct msg_meta_get m;
    if (!CHAN_GET(f, meta_get, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)META_ALL)
        return requests_bad_flags(m.flags);
    struct asking a = {r, m.id};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "meta-get", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_meta_get(&r->files, r->path, m.flags, send_meta, &a);
    return requests_conclude(r, a.id, &d, e);
}
