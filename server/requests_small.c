/* SPDX-License-Identifier: ISC */
/* Small files. What arrives while the peer has more to say is gathered, and made durable and answered
 * together: when the peer pauses, asks for something else, or there is a good deal. */
#include "requests_internal.h"

#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_BYTES = 32 << 20 };

struct gathered {
    uint32_t id;
    char *path; /* NULL: not a legal one */
    bool sent;  /* the store has it */
    struct xfer_result result;
    enum err status;
};

struct gathering {
    struct gathered list[FS_GROUP_MAX];
    size_t n, sent;
    uint64_t bytes;
};

static void fail(struct gathered *g, enum err e, const char *reason)
{
    g->status = e;
    snprintf(g->result.reason, sizeof g->result.reason, "%s", reason);
}

static void on_failed(void *arg, size_t index, enum err status, const char *reason)
{
    struct gathering *all = arg;
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i].sent && index-- == 0)
            fail(&all->list[i], status == ERR_OK ? ERR_INTERNAL : status, reason);
}

/* Records all before the first is acknowledged. */
static enum err answer(struct requests *r, struct gathering *all)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < all->n; i++) {
        struct gathered *g = &all->list[i];
        struct deed d = {.op = "put", .path = g->path, .moved = &g->result};
        e = requests_tell(r, &d, g->status, g->result.reason);
    }
    if (e == ERR_OK)
        e = scribe_wait(&r->records);
    for (size_t i = 0; e == ERR_OK && i < all->n; i++) {
        const struct gathered *g = &all->list[i];
        e = CHAN_SEND(r->chan, done, DONE, .id = g->id, .status = (uint16_t)g->status,
                      .reason = slice_str(g->result.reason));
    }
    return e;
}

bool requests_gathered(const struct requests *r)
{
    return r->gathering && r->gathering->n > 0;
}

enum err requests_settle(struct requests *r)
{
    struct gathering *all = r->gathering;
    if (!requests_gathered(r))
        return scribe_wait(&r->records);
    r->busy_id = all->list[0].id;
    enum err e = all->sent > 0 ? files_group(&r->files, on_failed, all) : ERR_OK;
    if (e == ERR_OK)
        e = answer(r, all);
    for (size_t i = 0; i < all->n; i++)
        free(all->list[i].path);
    all->n = all->sent = 0;
    all->bytes = 0;
    return e;
}

void requests_release(struct requests *r)
{
    for (size_t i = 0; r->gathering && i < r->gathering->n; i++)
        free(r->gathering->list[i].path);
    free(r->gathering);
    r->gathering = NULL;
    if (scribe_wait(&r->records) != ERR_OK)
        log_warn("records of the session are not in the audit log");
    scribe_batch_release(&r->records);
    files_close(&r->files);
}

static enum err check(struct requests *r, const struct msg_small *m, struct gathered *g)
{
    enum err e = path_parse(m->path, r->path);
    if (e != ERR_OK)
        return e;
    if (!(g->path = strdup(r->path)))
        return log_fail(ERR_INTERNAL, "out of memory for a path");
    if ((e = requests_quota(r, m->bytes.n)) != ERR_OK)
        return e;
    tree_small(r->engine, m->bytes.p, m->bytes.n, g->result.root);
    if (memcmp(g->result.root, m->root, TREE_HASH) == 0)
        return ERR_OK;
    return log_fail(ERR_CORRUPT, "%s: what arrived does not match its root", r->path);
}

static enum err pass_on(struct requests *r, const struct msg_small *m, struct gathered *g)
{
    struct fs_small file = {.path = g->path,
                            .overwrite = m->flags & MSG_PUT_OVERWRITE,
                            .parents = m->flags & MSG_PUT_PARENTS,
                            .mode = m->mode,
                            .mtime_s = (int64_t)m->mtime_s,
                            .mtime_ns = m->mtime_ns,
                            .bytes = m->bytes.p,
                            .n = m->bytes.n};
    memcpy(file.root, m->root, TREE_HASH);
    g->sent = true;
    r->gathering->sent++;
    return files_small(&r->files, &file);
}

enum err requests_small(struct requests *r, const struct frame *f)
{
    struct msg_small m;
    if (!CHAN_GET(f, small, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_PUT_OVERWRITE | MSG_PUT_PARENTS))
        return requests_bad_flags(m.flags);
    if (m.kind != MSG_KIND_PLAIN)
        return log_fail(ERR_PROTO, "a small file of unknown kind %u", m.kind);
    if (!r->gathering && !(r->gathering = calloc(1, sizeof *r->gathering)))
        return log_fail(ERR_INTERNAL, "out of memory for small files");
    struct gathering *all = r->gathering;
    struct gathered *g = &all->list[all->n++];
    *g = (struct gathered){.id = m.id, .result = {.length = m.bytes.n, .moved = m.bytes.n}};
    all->bytes += m.bytes.n;
    enum err e = check(r, &m, g);
    if (e != ERR_OK)
        fail(g, e, log_reason());
    else if ((e = pass_on(r, &m, g)) != ERR_OK)
        return e;
    return all->n == FS_GROUP_MAX || all->bytes >= GATHER_BYTES ? requests_settle(r) : ERR_OK;
}

/* ---- the other way ---- */

static enum err send_content(struct requests *r, uint32_t id, const struct fs_info *i,
                             struct slice bytes)
{
    struct msg_small m = {.id = id,
                          .mode = i->mode,
                          .mtime_s = (uint64_t)i->mtime_s,
                          .mtime_ns = i->mtime_ns,
                          .kind = MSG_KIND_PLAIN,
                          .bytes = bytes};
    memcpy(m.root, i->root, TREE_HASH);
    size_t at = chan_begin(r->chan, MSG_SMALL);
    (void)msg_put_small(&r->chan->out, &m);
    return chan_end(r->chan, at);
}

/* Sets the content's root. What is stored is held to what is read: the peer would notice rot by itself,
 * but only in a log of its own. */
static enum err prove(const struct requests *r, struct slice bytes, struct fs_info *info)
{
    uint8_t own[TREE_HASH];
    tree_small(r->engine, bytes.p, bytes.n, own);
    if (info->has_root && memcmp(own, info->root, TREE_HASH) != 0)
        return log_fail(ERR_CORRUPT,
                        "%s: chunk 0 (bytes 0 and on) does not match the uploader's hash: what is "
                        "stored is damaged",
                        r->path);
    memcpy(info->root, own, TREE_HASH);
    return ERR_OK;
}

enum err requests_fetch(struct requests *r, const struct frame *f)
{
    struct msg_fetch m;
    struct fs_info info;
    struct slice bytes;
    struct xfer_result result = {0};
    char reason[513] = "";
    if (!CHAN_GET(f, fetch, &m))
        return chan_malformed(f);
    if (m.flags)
        return requests_bad_flags(m.flags);
    uint32_t id = m.id;
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "get", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_fetch(&r->files, r->path, &info, &bytes);
    /* No small file: the peer will come back with GET. */
    if (e == ERR_OK && !bytes.p)
        return CHAN_SEND(r->chan, done, DONE, .id = id);
    if (e == ERR_OK && (e = prove(r, bytes, &info)) == ERR_OK) {
        result.length = result.moved = bytes.n;
        memcpy(result.root, info.root, TREE_HASH);
        d.moved = &result;
    }
    snprintf(reason, sizeof reason, "%s", e == ERR_OK ? "" : log_reason());
    enum err told = requests_tell(r, &d, e, reason);
    if (told == ERR_OK)
        told = scribe_send(&r->records);
    if (told == ERR_OK && e == ERR_OK)
        told = send_content(r, id, &info, bytes);
    if (told != ERR_OK)
        return told;
    return CHAN_SEND(r->chan, done, DONE, .id = id, .status = (uint16_t)e,
                     .reason = slice_str(reason));
}
