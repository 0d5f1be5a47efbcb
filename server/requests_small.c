/* SPDX-License-Identifier: ISC */
/* Small files. What arrives, or is asked for, while the peer has more to say is gathered, and made durable or
 * read, recorded and answered together: when the peer pauses, wants something else, or there is a good deal. */
#include "requests_internal.h"

#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_BYTES = 32 << 20 };

struct gathered {
    uint32_t id;
    char *path;  /* NULL: not a legal one */
    bool sent;   /* the store has it */
    bool longer; /* FETCH: it is no small file */
    enum err status;
    struct xfer_result result;
    struct fs_info info; /* FETCH: what came */
    struct slice bytes;
};

struct gathering {
    uint8_t type; /* MSG_SMALL or MSG_FETCH */
    struct gathered list[FS_GROUP_MAX];
    size_t n, sent;
    size_t come; /* FETCH: so many are at hand */
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

/* One more; what was gathered is of the same type. */
static enum err gather(struct requests *r, uint8_t type, uint32_t id, struct gathered **out)
{
    if (!r->gathering && !(r->gathering = calloc(1, sizeof *r->gathering)))
        return log_fail(ERR_INTERNAL, "out of memory for small files");
    struct gathered *g = *out = &r->gathering->list[r->gathering->n++];
    r->gathering->type = type;
    *g = (struct gathered){.id = id};
    return ERR_OK;
}

static void forget(struct gathering *all)
{
    for (size_t i = 0; i < all->n; i++)
        free(all->list[i].path);
    all->n = all->sent = all->come = 0;
    all->bytes = 0;
}

/* Records all before the first is acknowledged. */
static enum err settle_stored(struct requests *r, struct gathering *all)
{
    enum err e = all->sent > 0 ? files_group(&r->files, on_failed, all) : ERR_OK;
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

static enum err settle_fetched(struct requests *r, struct gathering *all);

enum err requests_settle(struct requests *r)
{
    struct gathering *all = r->gathering;
    enum err e = ERR_OK;
    if (all && all->n > 0) {
        r->busy_id = all->list[0].id;
        e = all->type == MSG_SMALL ? settle_stored(r, all) : settle_fetched(r, all);
        forget(all);
    }
    return e == ERR_OK ? scribe_wait(&r->records) : e;
}

enum err requests_settle_before(struct requests *r, uint8_t type)
{
    const struct gathering *all = r->gathering;
    return all && all->n > 0 && all->type == type ? ERR_OK : requests_settle(r);
}

void requests_release(struct requests *r)
{
    if (r->gathering)
        forget(r->gathering);
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
    struct gathered *g;
    enum err e = gather(r, MSG_SMALL, m.id, &g);
    if (e != ERR_OK)
        return e;
    struct gathering *all = r->gathering;
    g->result.length = g->result.moved = m.bytes.n;
    all->bytes += m.bytes.n;
    if ((e = check(r, &m, g)) != ERR_OK)
        fail(g, e, log_reason());
    else if ((e = pass_on(r, &m, g)) != ERR_OK)
        return e;
    return all->n == FS_GROUP_MAX || all->bytes >= GATHER_BYTES ? requests_settle(r) : ERR_OK;
}

/* ---- the other way ---- */

static enum err send_content(struct requests *r, const struct gathered *g)
{
    struct msg_small m = {.id = g->id,
                          .mode = g->info.mode,
                          .mtime_s = (uint64_t)g->info.mtime_s,
                          .mtime_ns = g->info.mtime_ns,
                          .kind = MSG_KIND_PLAIN,
                          .bytes = g->bytes};
    memcpy(m.root, g->result.root, TREE_HASH);
    size_t at = chan_begin(r->chan, MSG_SMALL);
    (void)msg_put_small(&r->chan->out, &m);
    return chan_end(r->chan, at);
}

/* Sets the content's root. What is stored is held to what is read: the peer would notice rot by itself,
 * but only in a log of its own. */
static enum err prove(const struct requests *r, struct gathered *g)
{
    g->result.length = g->result.moved = g->bytes.n;
    tree_small(r->engine, g->bytes.p, g->bytes.n, g->result.root);
    if (!g->info.has_root || memcmp(g->result.root, g->info.root, TREE_HASH) == 0)
        return ERR_OK;
    return log_fail(ERR_CORRUPT,
                    "%s: chunk 0 (bytes 0 and on) does not match the uploader's hash: what is "
                    "stored is damaged",
                    g->path);
}

/* Passes over what the store was not asked for. */
static struct gathered *due(struct gathering *all)
{
    while (all->come < all->n && !all->list[all->come].sent)
        all->come++;
    return all->come < all->n ? &all->list[all->come] : NULL;
}

static enum err on_content(void *arg, const struct files_content *c)
{
    struct requests *r = arg;
    struct gathered *g = due(r->gathering);
    if (!g)
        return log_fail(ERR_INTERNAL, "the store sent a content that was not asked for");
    r->gathering->come++;
    g->status = c->status;
    g->longer = c->longer;
    g->info = c->info;
    g->bytes = c->bytes;
    if (c->status != ERR_OK)
        log_scrub(g->result.reason, sizeof g->result.reason, c->reason.p, c->reason.n);
    else if (!g->longer && prove(r, g) != ERR_OK)
        fail(g, ERR_CORRUPT, log_reason());
    return ERR_OK;
}

/* Those from the first on that are at hand. The scribe has their records before anything is sent. */
static enum err answer_fetched(struct requests *r, const struct gathering *all, size_t first)
{
    enum err e = ERR_OK;
    for (size_t i = first; e == ERR_OK && i < all->come; i++) {
        const struct gathered *g = &all->list[i];
        struct deed d = {
            .op = "get", .path = g->path, .moved = g->status == ERR_OK ? &g->result : NULL};
        if (!g->longer)
            e = requests_tell(r, &d, g->status, g->result.reason);
    }
    if (e == ERR_OK)
        e = scribe_send(&r->records);
    for (size_t i = first; e == ERR_OK && i < all->come; i++) {
        const struct gathered *g = &all->list[i];
        if (g->status == ERR_OK && !g->longer)
            e = send_content(r, g);
        if (e == ERR_OK)
            e = CHAN_SEND(r->chan, done, DONE, .id = g->id, .status = (uint16_t)g->status,
                          .reason = slice_str(g->result.reason));
    }
    return e;
}

static enum err settle_fetched(struct requests *r, struct gathering *all)
{
    enum err e = files_fetch(&r->files);
    for (size_t first = 0; e == ERR_OK && first < all->n; first = all->come) {
        r->busy_id = all->list[first].id;
        if (due(all))
            e = files_contents(&r->files, on_content, r);
        (void)due(all);
        if (e == ERR_OK)
            e = answer_fetched(r, all, first);
    }
    return e;
}

enum err requests_fetch(struct requests *r, const struct frame *f)
{
    struct msg_fetch m;
    if (!CHAN_GET(f, fetch, &m))
        return chan_malformed(f);
    if (m.flags)
        return requests_bad_flags(m.flags);
    struct gathered *g;
    enum err legal = path_parse(m.path, r->path), e = ERR_OK;
    bool asked = legal == ERR_OK && files_ask(&r->files, r->path);
    if (legal == ERR_OK && !asked && (e = requests_settle(r)) == ERR_OK)
        asked = files_ask(&r->files, r->path);
    if (e == ERR_OK)
        e = gather(r, MSG_FETCH, m.id, &g);
    if (e != ERR_OK)
        return e;
    g->sent = asked;
    if (legal != ERR_OK)
        fail(g, legal, log_reason());
    else if (!(g->path = strdup(r->path)))
        return log_fail(ERR_INTERNAL, "out of memory for a path");
    return r->gathering->n == FS_GROUP_MAX ? requests_settle(r) : ERR_OK;
}
