/* SPDX-License-Identifier: ISC */
#include "requests_internal.h"

#include "log.h"
#include "text.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PROGRESS_MS = 1000 };

enum err requests_tell(struct requests *r, const struct deed *d, enum err status,
                       const char *reason)
{
    char length[24], moved[24], copied[24], root[2 * TREE_HASH + 1];
    if (d->moved) {
        snprintf(copied, sizeof copied, "%llu", (unsigned long long)d->moved->copied);
        snprintf(length, sizeof length, "%llu", (unsigned long long)d->moved->length);
        snprintf(moved, sizeof moved, "%llu", (unsigned long long)d->moved->moved);
        text_hex(d->moved->root, TREE_HASH, root);
    }
    bool whole = d->moved && !d->partial && status == ERR_OK;
    return scribe_add(&r->records, d->op, "status", err_name(status), "user", r->user->name, "path",
                      d->path, "to", d->to, "length", whole ? length : NULL, "moved",
                      d->moved ? moved : NULL, "copied",
                      d->moved && d->moved->copied ? copied : NULL, "root", whole ? root : NULL,
                      "reason", status == ERR_OK ? NULL : reason, NULL);
}

enum err requests_record(struct requests *r, const struct deed *d, enum err status)
{
    const char *reason = d->moved && d->moved->peer_said ? d->moved->reason : log_reason();
    enum err e = requests_tell(r, d, status, reason);
    return e == ERR_OK ? scribe_wait(&r->records) : e;
}

enum err requests_answer(struct requests *r, uint32_t id, enum err status)
{
    struct slice reason = slice_str(status == ERR_OK ? "" : log_reason());
    reason.n = reason.n > 512 ? 512 : reason.n;
    return CHAN_SEND(r->chan, done, DONE, .id = id, .status = (uint16_t)status, .reason = reason);
}

enum err requests_conclude(struct requests *r, uint32_t id, const struct deed *d, enum err status)
{
    char reason[513];
    snprintf(reason, sizeof reason, "%s", status == ERR_OK ? "" : log_reason());
    enum err e = requests_record(r, d, status);
    if (e != ERR_OK)
        return e;
    return CHAN_SEND(r->chan, done, DONE, .id = id, .status = (uint16_t)status,
                     .reason = slice_str(reason));
}

enum err requests_bad_flags(uint32_t flags)
{
    return log_fail(ERR_PROTO, "unknown flags %lx in a request", (unsigned long)flags);
}

/* ---- small requests ---- */

static enum err do_ping(struct requests *r, const struct frame *f)
{
    struct msg_ping m;
    if (!CHAN_GET(f, ping, &m))
        return chan_malformed(f);
    return CHAN_SEND(r->chan, done, DONE, .id = m.id);
}

struct hashing {
    struct requests *r;
    uint32_t id;
    int64_t last_ms;
};

static enum err tell_progress(void *arg, uint64_t done, uint64_t total)
{
    struct hashing *h = arg;
    int64_t now = tls_now_ms();
    if (now - h->last_ms < PROGRESS_MS)
        return ERR_OK;
    h->last_ms = now;
    enum err e = CHAN_SEND(h->r->chan, progress, PROGRESS, .id = h->id, .phase = MSG_PHASE_HASHING,
                           .done = done, .total = total);
    return e == ERR_OK ? chan_flush(h->r->chan) : e;
}

/* The root of a file that has no valid stored tree. */
static enum err hash_file(struct requests *r, uint32_t id, struct fs_info *info)
{
    struct fs_source source;
    struct hashing h = {r, id, tls_now_ms()};
    struct tree_visitor visitor = {tell_progress, NULL, &h};
    enum err e = files_open_source(&r->files, r->path, &source);
    if (e != ERR_OK)
        return e;
    info->size = (uint64_t)source.st.st_size;
    e = tree_file(source.fd, r->path, info->size, tree_chunk_log2(info->size), r->engine, &visitor,
                  info->root);
    info->has_root = e == ERR_OK;
    close(source.fd);
    if (source.tree >= 0)
        close(source.tree);
    return e;
}

static enum err send_info(struct requests *r, uint32_t id, const struct fs_info *i)
{
    struct msg_info m = {.id = id,
                         .type = i->type,
                         .mode = i->mode,
                         .size = i->size,
                         .mtime_s = (uint64_t)i->mtime_s,
                         .mtime_ns = i->mtime_ns,
                         .has_root = i->has_root};
    memcpy(m.root, i->root, TREE_HASH);
    size_t at = chan_begin(r->chan, MSG_INFO);
    (void)msg_put_info(&r->chan->out, &m);
    return chan_end(r->chan, at);
}

static enum err do_stat(struct requests *r, const struct frame *f)
{
    struct msg_stat m;
    struct fs_info info;
    if (!CHAN_GET(f, stat, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)MSG_STAT_ROOT)
        return requests_bad_flags(m.flags);
    uint32_t id = m.id;
    bool root = m.flags & MSG_STAT_ROOT;
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "stat", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_stat(&r->files, r->path, &info);
    if (e == ERR_OK && root && info.type == MSG_FILE && !info.has_root)
        e = hash_file(r, id, &info);
    if (e == ERR_OK && (e = send_info(r, id, &info)) != ERR_OK)
        return e;
    return requests_conclude(r, id, &d, e);
}

struct listing {
    struct requests *r;
    uint32_t id;
};

static enum err list_entry(void *arg, const char *name, const struct fs_info *i)
{
    struct listing *l = arg;
    return CHAN_SEND(l->r->chan, entry, ENTRY, .id = l->id, .type = i->type, .mode = i->mode,
                     .size = i->size, .mtime_s = (uint64_t)i->mtime_s, .mtime_ns = i->mtime_ns,
                     .name = slice_str(name));
}

static enum err do_list(struct requests *r, const struct frame *f)
{
    struct msg_list m;
    if (!CHAN_GET(f, list, &m))
        return chan_malformed(f);
    if (m.flags)
        return requests_bad_flags(m.flags);
    struct listing l = {r, m.id};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "list", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_list(&r->files, r->path, list_entry, &l);
    return requests_conclude(r, l.id, &d, e);
}

static enum err pending_entry(void *arg, const struct fs_pending *p)
{
    struct listing *l = arg;
    return CHAN_SEND(l->r->chan, part, PART, .id = l->id, .length = p->length, .have = p->have,
                     .mtime_s = (uint64_t)p->mtime_s, .active = p->active,
                     .path = slice_str(p->path));
}

static enum err do_pending(struct requests *r, const struct frame *f)
{
    struct msg_pending m;
    if (!CHAN_GET(f, pending, &m))
        return chan_malformed(f);
    struct listing l = {r, m.id};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "pending", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_list_pending(&r->files, r->path, pending_entry, &l);
    return requests_conclude(r, l.id, &d, e);
}

static enum err do_mkdir(struct requests *r, const struct frame *f)
{
    struct msg_mkdir m;
    if (!CHAN_GET(f, mkdir, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)MSG_MKDIR_PARENTS)
        return requests_bad_flags(m.flags);
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "mkdir", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_mkdir(&r->files, r->path, m.mode, m.flags & MSG_MKDIR_PARENTS);
    return requests_conclude(r, m.id, &d, e);
}

static enum err do_attributes(struct requests *r, const struct frame *f)
{
    struct msg_attributes m;
    if (!CHAN_GET(f, attributes, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)MSG_ATTRIBUTES_MAKE)
        return requests_bad_flags(m.flags);
    struct fs_attributes a = {m.flags & MSG_ATTRIBUTES_MAKE, m.mode, (int64_t)m.mtime_s,
                              m.mtime_ns};
    uint32_t id = m.id;
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "attributes", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_attributes(&r->files, r->path, &a);
    return requests_conclude(r, id, &d, e);
}

static enum err do_remove(struct requests *r, const struct frame *f)
{
    struct msg_remove m;
    if (!CHAN_GET(f, remove, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_REMOVE_FOLDER | MSG_REMOVE_PART) ||
        m.flags == (MSG_REMOVE_FOLDER | MSG_REMOVE_PART))
        return requests_bad_flags(m.flags);
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = m.flags & MSG_REMOVE_PART ? "discard" : "remove",
                     .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK && m.flags & MSG_REMOVE_PART)
        e = files_discard(&r->files, r->path);
    else if (e == ERR_OK)
        e = files_remove(&r->files, r->path, m.flags & MSG_REMOVE_FOLDER);
    return requests_conclude(r, m.id, &d, e);
}

static enum err do_rename(struct requests *r, const struct frame *f)
{
    struct msg_rename m;
    if (!CHAN_GET(f, rename, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)MSG_RENAME_OVERWRITE)
        return requests_bad_flags(m.flags);
    enum err e = path_parse(m.from, r->path);
    if (e == ERR_OK)
        e = path_parse(m.to, r->path2);
    bool named = e == ERR_OK;
    struct deed d = {.op = "rename", .path = named ? r->path : NULL, .to = named ? r->path2 : NULL};
    if (e == ERR_OK)
        e = files_rename(&r->files, r->path, r->path2, m.flags & MSG_RENAME_OVERWRITE);
    return requests_conclude(r, m.id, &d, e);
}

static const struct row {
    uint8_t type;
    enum err (*handle)(struct requests *r, const struct frame *f);
} rows[] = {
    {MSG_PING, do_ping},
    {MSG_STAT, do_stat},
    {MSG_LIST, do_list},
    {MSG_MKDIR, do_mkdir},
    {MSG_REMOVE, do_remove},
    {MSG_RENAME, do_rename},
    {MSG_PUT, requests_put},
    {MSG_GET, requests_get},
    {MSG_JOIN, requests_join},
    {MSG_PENDING, do_pending},
    {MSG_SMALL, requests_small},
    {MSG_FETCH, requests_fetch},
    {MSG_ATTRIBUTES, do_attributes},
    {MSG_WALK, requests_walk},
    {MSG_NEXT, requests_next},
    {MSG_STATS, requests_stats},
    {MSG_SYMLINK, requests_symlink},
    {MSG_META, requests_meta},
    {MSG_META_GET, requests_meta_get},
};

/* The store takes its time: the peer hears of it. A channel that fails here fails at the answer, too. */
static void tell_busy(void *arg)
{
    struct requests *r = arg;
    if (CHAN_SEND(r->chan, progress, PROGRESS, .id = r->busy_id, .phase = MSG_PHASE_BUSY) !=
            ERR_OK ||
        chan_flush(r->chan) != ERR_OK)
        log_debug("the peer can not be told that its request takes long");
}

enum err requests_serve(struct requests *r)
{
    struct frame f;
    log_clear_reason();
    enum err e = chan_recv(r->chan, &f, 0);
    if (e != ERR_OK)
        return e == ERR_TIMEOUT && !r->chan->failed ? ERR_OK : e;
    r->files.busy = tell_busy;
    r->files.busy_arg = r;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].type != f.type)
            continue;
        if (f.type != MSG_PING && (e = scribe_ready(r->records.fd)) != ERR_OK)
            return e;
        /* Requests are carried out and answered in order. */
        if ((e = requests_settle_before(r, f.type)) != ERR_OK)
            return e;
        r->busy_id = f.n < 4 ? 0 : wire_load_u32(f.body); /* every request begins with its id */
        e = rows[i].handle(r, &f);
        return e == ERR_OK && r->files.gone ? log_fail(ERR_CONN, "the store is gone") : e;
    }
    return f.type >= MSG_IGNORABLE ? ERR_OK : chan_unexpected(&f, "where a request was due");
}
