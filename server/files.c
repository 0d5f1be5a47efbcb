/* SPDX-License-Identifier: ISC */
#include "files.h"

#include "log.h"
#include <string.h>
#include <unistd.h>

enum {
    STORE_WAIT_MS = 10 * 60 * 1000, /* a sync of a slow disk */
    BUSY_MS = 1000,
    BUNDLE_BYTES = 64 * 1024, /* from there on the store is given to do */
};

/* Without its store a session can do nothing more; the same request may succeed over another connection. */
static enum err gone(struct files *f, enum err e)
{
    f->gone = true;
    return log_fail(ERR_CONN, "the store does not answer (%s)", err_text(e));
}

/* One message of the store's. */
static enum err next(struct files *f, struct ipc_in *in)
{
    enum err e = ERR_TIMEOUT;
    for (int waited = 0; e == ERR_TIMEOUT && waited < STORE_WAIT_MS; waited += BUSY_MS) {
        if (waited > 0 && f->busy)
            f->busy(f->busy_arg);
        e = ipc_recv(f->fd, f->buffer, sizeof f->buffer, in, BUSY_MS);
    }
    return e == ERR_OK ? e : gone(f, e);
}

/* What an ANSWER says. */
static enum err verdict(const struct ipc_in *in)
{
    struct ipc_answer m;
    if (in->type != IPC_ANSWER || !ipc_get_answer(in->body, in->n, &m))
        return log_fail(ERR_INTERNAL, "the store sent %s where an answer was due",
                        ipc_name(in->type));
    if (m.status == ERR_OK)
        return ERR_OK;
    return log_fail(err_from_wire(m.status), "%.*s", (int)m.reason.n, (const char *)m.reason.p);
}

/* The answer to a request that was sent with the result sent; it brings no descriptors. */
static enum err await(struct files *f, enum err sent)
{
    struct ipc_in in;
    enum err e = sent == ERR_OK ? next(f, &in) : gone(f, sent);
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e;
}

enum err files_ready(struct files *f)
{
    buf_init(&f->out, IPC_MAX - 1);
    return await(f, ERR_OK);
}

void files_close(struct files *f)
{
    buf_release(&f->out);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static enum err read_info(const struct ipc_in *in, struct fs_info *out, char name[static 4097])
{
    struct ipc_st_info m;
    if (!ipc_get_st_info(in->body, in->n, &m) || !slice_copy(m.name, name, 4097))
        return log_fail(ERR_INTERNAL, "the store sent a malformed entry");
    *out = (struct fs_info){.type = m.type,
                            .mode = m.mode,
                            .size = m.size,
                            .mtime_s = (int64_t)m.mtime_s,
                            .mtime_ns = m.mtime_ns,
                            .has_root = m.has_root};
    for (size_t i = 0; i < TREE_HASH; i++)
        out->root[i] = m.root[i];
    return ERR_OK;
}

/* Reads entries until the ANSWER. each may be NULL: then *only is the one entry expected. */
static enum err read_infos(struct files *f, enum err sent, struct fs_info *only, fs_entry_fn *each,
                           void *arg)
{
    struct fs_info info;
    struct ipc_in in;
    char name[4097];
    enum err result = ERR_OK, e;
    if (sent != ERR_OK)
        return gone(f, sent);
    while ((e = next(f, &in)) == ERR_OK && in.type == IPC_ST_INFO) {
        ipc_drop(&in);
        if ((e = read_info(&in, &info, name)) != ERR_OK)
            return e;
        if (only)
            *only = info;
        else if (result == ERR_OK)
            result = each(arg, name, &info);
    }
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e != ERR_OK ? e : result;
}

enum err files_stat(struct files *f, const char *path, struct fs_info *out)
{
    *out = (struct fs_info){0};
    return read_infos(f, IPC_SEND(f->fd, st_stat, ST_STAT, .path = slice_str(path)), out, NULL,
                      NULL);
}

enum err files_list(struct files *f, const char *path, fs_entry_fn *each, void *arg)
{
    return read_infos(f, IPC_SEND(f->fd, st_list, ST_LIST, .path = slice_str(path)), NULL, each,
                      arg);
}

/* Reads pages until the ANSWER. */
static enum err read_pages(struct files *f, enum err sent, files_page_fn *each, void *arg)
{
    struct ipc_in in;
    struct ipc_st_items m;
    enum err result = ERR_OK, e;
    if (sent != ERR_OK)
        return gone(f, sent);
    while ((e = next(f, &in)) == ERR_OK && in.type == IPC_ST_ITEMS) {
        ipc_drop(&in);
        if (!ipc_get_st_items(in.body, in.n, &m))
            return log_fail(ERR_INTERNAL, "the store sent a malformed page");
        struct files_page page = {m.more, m.items};
        if (result == ERR_OK)
            result = each(arg, &page);
    }
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e != ERR_OK ? e : result;
}

enum err files_walk(struct files *f, const char *path, unsigned flags, files_page_fn *each,
                    void *arg)
{
    return read_pages(f, IPC_SEND(f->fd, st_walk, ST_WALK, .flags = flags, .path = slice_str(path)),
                      each, arg);
}

enum err files_walk_next(struct files *f, files_page_fn *each, void *arg)
{
    return read_pages(f, IPC_SEND(f->fd, st_next, ST_NEXT, ), each, arg);
}

enum err files_stats(struct files *f, const char *path, unsigned flags, struct slice names,
                     files_page_fn *each, void *arg)
{
    return read_pages(f,
                      IPC_SEND(f->fd, st_stats, ST_STATS, .flags = flags, .path = slice_str(path),
                               .names = names),
                      each, arg);
}

enum err files_mkdir(struct files *f, const char *path, uint32_t mode, bool parents)
{
    return await(f, IPC_SEND(f->fd, st_mkdir, ST_MKDIR, .mode = mode, .parents = parents,
                             .path = slice_str(path)));
}

enum err files_remove(struct files *f, const char *path, bool folder)
{
    return await(f,
                 IPC_SEND(f->fd, st_remove, ST_REMOVE, .folder = folder, .path = slice_str(path)));
}

enum err files_rename(struct files *f, const char *from, const char *to, bool overwrite)
{
    return await(f, IPC_SEND(f->fd, st_rename, ST_RENAME, .overwrite = overwrite,
                             .from = slice_str(from), .to = slice_str(to)));
}

enum err files_symlink(struct files *f, const struct fs_symlink *l)
{
    return await(f, IPC_SEND(f->fd, st_symlink, ST_SYMLINK, .overwrite = l->overwrite,
                             .parents = l->parents, .path = slice_str(l->path),
                             .target = slice_str(l->target)));
}

enum err files_meta_set(struct files *f, const char *path, const struct meta *m)
{
    return await(f, IPC_SEND(f->fd, st_meta, ST_META, .kinds = m->kinds, .uid = m->uid,
                             .gid = m->gid, .path = slice_str(path), .set = m->set));
}

enum err files_meta_get(struct files *f, const char *path, unsigned kinds, files_meta_fn *each,
                        void *arg)
{
    struct ipc_in in;
    struct ipc_st_meta m;
    enum err result = ERR_OK,
             e = IPC_SEND(f->fd, st_meta_get, ST_META_GET, .kinds = kinds, .path = slice_str(path));
    if (e != ERR_OK)
        return gone(f, e);
    if ((e = next(f, &in)) == ERR_OK && in.type == IPC_ST_META) {
        ipc_drop(&in);
        if (!ipc_get_st_meta(in.body, in.n, &m))
            return log_fail(ERR_INTERNAL, "the store sent malformed attributes");
        struct meta meta = {m.kinds, m.uid, m.gid, m.set};
        result = each(arg, &meta);
        e = next(f, &in);
    }
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e != ERR_OK ? e : result;
}

/* The answer to a request, before which may come what stands there, to *info. */
static enum err next_answer(struct files *f, struct ipc_in *in, struct fs_info *info)
{
    char name[4097];
    enum err e = next(f, in);
    if (e != ERR_OK || in->type != IPC_ST_INFO || !info)
        return e;
    ipc_drop(in);
    e = read_info(in, info, name);
    return e == ERR_OK ? next(f, in) : e;
}

/* An answer that brings min descriptors, at most twice as many, which move to fds (-1 where there is
 * none). */
static enum err await_fds(struct files *f, enum err sent, unsigned min, int fds[static IPC_FDS],
                          struct fs_info *info)
{
    struct ipc_in in;
    for (unsigned i = 0; i < IPC_FDS; i++)
        fds[i] = -1;
    enum err e = sent == ERR_OK ? next_answer(f, &in, info) : gone(f, sent);
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    if (e == ERR_OK && (in.n_fds < min || in.n_fds > 2 * min))
        e = log_fail(ERR_INTERNAL, "the store sent %u descriptors", in.n_fds);
    if (e != ERR_OK) {
        ipc_drop(&in);
        return e;
    }
    for (unsigned i = 0; i < in.n_fds; i++)
        fds[i] = in.fds[i];
    return ERR_OK;
}

enum err files_open_source(struct files *f, const char *path, struct fs_source *out)
{
    int fds[IPC_FDS];
    struct fs_info info = {0};
    enum err e =
        await_fds(f, IPC_SEND(f->fd, st_source, ST_SOURCE, .path = slice_str(path)), 1, fds, &info);
    *out = (struct fs_source){.fd = fds[0], .tree = fds[1], .has_root = info.has_root};
    memcpy(out->root, info.root, TREE_HASH);
    if (e != ERR_OK)
        return e;
    if (fstat(out->fd, &out->st) == 0)
        return ERR_OK;
    e = log_fail_errno("%s", path);
    close(out->fd);
    if (out->tree >= 0)
        close(out->tree);
    return e;
}

enum err files_open_part(struct files *f, const char *path, uint64_t length, unsigned flags,
                         struct fs_part *out)
{
    int fds[IPC_FDS];
    enum err e = await_fds(f,
                           IPC_SEND(f->fd, st_part_open, ST_PART_OPEN, .length = length,
                                    .flags = flags, .path = slice_str(path)),
                           2, fds, NULL);
    *out = (struct fs_part){.data = fds[0], .journal = fds[1], .has_old = fds[2] >= 0};
    out->old = (struct fs_source){.fd = fds[2], .tree = fds[3]};
    return e;
}

enum err files_share_part(struct files *f, const char *path)
{
    return await(f, IPC_SEND(f->fd, st_share, ST_SHARE, .path = slice_str(path)));
}

enum err files_unshare_part(struct files *f, const char *path)
{
    return await(f, IPC_SEND(f->fd, st_share, ST_SHARE, .end = true, .path = slice_str(path)));
}

static enum err send_join(struct files *f, const char *path, const uint8_t *token)
{
    struct ipc_st_join m = {.path = slice_str(path)};
    struct buf body;
    memcpy(m.token, token, PART_TOKEN);
    buf_init(&body, IPC_MAX);
    enum err e = ipc_put_st_join(&body, &m) ? ipc_send(f->fd, IPC_ST_JOIN, &body, NULL, 0, false)
                                            : ERR_LIMIT;
    buf_release(&body);
    return e;
}

enum err files_join_part(struct files *f, const char *path, const uint8_t token[static PART_TOKEN],
                         struct fs_part *out)
{
    int fds[IPC_FDS];
    enum err e = await_fds(f, send_join(f, path, token), 2, fds, NULL);
    *out = (struct fs_part){.data = fds[0], .journal = fds[1]};
    return e;
}

enum err files_commit(struct files *f, const struct fs_commit *how)
{
    return await(f, IPC_SEND(f->fd, st_commit, ST_COMMIT, .overwrite = how->overwrite,
                             .mode = how->mode, .mtime_s = (uint64_t)how->mtime_s,
                             .mtime_ns = how->mtime_ns, .path = slice_str(how->path)));
}

enum err files_release(struct files *f)
{
    return await(f, IPC_SEND(f->fd, st_release, ST_RELEASE, ));
}

enum err files_discard(struct files *f, const char *path)
{
    return await(f, IPC_SEND(f->fd, st_discard, ST_DISCARD, .path = slice_str(path)));
}

enum err files_list_pending(struct files *f, const char *path, fs_pending_fn *each, void *arg)
{
    struct ipc_in in;
    struct ipc_st_part m;
    char name[4097];
    enum err result = ERR_OK;
    enum err e = IPC_SEND(f->fd, st_pending, ST_PENDING, .path = slice_str(path));
    if (e != ERR_OK)
        return gone(f, e);
    while ((e = next(f, &in)) == ERR_OK && in.type == IPC_ST_PART) {
        ipc_drop(&in);
        if (!ipc_get_st_part(in.body, in.n, &m) || !slice_copy(m.path, name, sizeof name))
            return log_fail(ERR_INTERNAL, "the store sent a malformed part");
        struct fs_pending p = {name, m.length, m.have, (int64_t)m.mtime_s, m.active};
        if (result == ERR_OK)
            result = each(arg, &p);
    }
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e != ERR_OK ? e : result;
}

enum err files_small(struct files *f, const struct fs_small *file)
{
    struct ipc_st_small m = {.flags = (file->overwrite ? MSG_PUT_OVERWRITE : 0) |
                                      (file->parents ? MSG_PUT_PARENTS : 0),
                             .mode = file->mode,
                             .mtime_s = (uint64_t)file->mtime_s,
                             .mtime_ns = file->mtime_ns,
                             .path = slice_str(file->path),
                             .bytes = slice_of(file->bytes, file->n)};
    enum err e = ERR_OK;
    memcpy(m.root, file->root, TREE_HASH);
    if (!IPC_ADD(&f->out, st_small, ST_SMALL, &m)) {
        e = ipc_send_bundle(f->fd, &f->out);
        if (e == ERR_OK && !IPC_ADD(&f->out, st_small, ST_SMALL, &m))
            e = ERR_LIMIT;
    }
    if (e == ERR_OK && f->out.len >= BUNDLE_BYTES)
        e = ipc_send_bundle(f->fd, &f->out);
    return e == ERR_OK ? e : gone(f, e);
}

enum err files_group(struct files *f, files_failed_fn *failed, void *arg)
{
    struct ipc_st_failed m;
    struct ipc_in in;
    char reason[257];
    enum err e = ipc_send_bundle(f->fd, &f->out);
    if (e == ERR_OK)
        e = IPC_SEND(f->fd, st_group, ST_GROUP, );
    if (e != ERR_OK)
        return gone(f, e);
    while ((e = next(f, &in)) == ERR_OK && in.type == IPC_ST_FAILED) {
        ipc_drop(&in);
        if (!ipc_get_st_failed(in.body, in.n, &m))
            return log_fail(ERR_INTERNAL, "the store sent a malformed answer");
        log_scrub(reason, sizeof reason, m.reason.p, m.reason.n);
        failed(arg, m.index, err_from_wire(m.status), reason);
    }
    if (e != ERR_OK)
        return e;
    e = verdict(&in);
    ipc_drop(&in);
    return e;
}

bool files_ask(struct files *f, const char *path)
{
    struct ipc_st_fetch m = {.path = slice_str(path)};
    return IPC_ADD(&f->out, st_fetch, ST_FETCH, &m);
}

enum err files_fetch(struct files *f)
{
    enum err e = ipc_send_bundle(f->fd, &f->out);
    return e == ERR_OK ? e : gone(f, e);
}

static enum err content(const struct ipc_in *in, files_content_fn *each, void *arg)
{
    struct ipc_st_content m;
    if (in->type != IPC_ST_CONTENT || !ipc_get_st_content(in->body, in->n, &m))
        return log_fail(ERR_INTERNAL, "the store sent a malformed content");
    struct files_content c = {.status = err_from_wire(m.status),
                              .reason = m.reason,
                              .longer = m.longer,
                              .info = {.type = MSG_FILE,
                                       .mode = m.mode,
                                       .size = m.bytes.n,
                                       .mtime_s = (int64_t)m.mtime_s,
                                       .mtime_ns = m.mtime_ns,
                                       .has_root = m.has_root},
                              .bytes = m.bytes};
    memcpy(c.info.root, m.root, TREE_HASH);
    return each(arg, &c);
}

enum err files_contents(struct files *f, files_content_fn *each, void *arg)
{
    struct ipc_in in, one;
    struct slice rest = {0};
    enum err e = next(f, &in);
    if (e != ERR_OK)
        return e;
    ipc_drop(&in);
    while (e == ERR_OK && ipc_next(&in, &rest, &one))
        e = content(&one, each, arg);
    if (e == ERR_OK && rest.n > 0)
        e = log_fail(ERR_INTERNAL, "the store sent a malformed bundle");
    return e;
}

enum err files_parents(struct files *f, const char *path)
{
    return await(f, IPC_SEND(f->fd, st_parents, ST_PARENTS, .path = slice_str(path)));
}

enum err files_attributes(struct files *f, const char *path, const struct fs_attributes *a)
{
    return await(f, IPC_SEND(f->fd, st_attributes, ST_ATTRIBUTES, .make = a->make, .mode = a->mode,
                             .mtime_s = (uint64_t)a->mtime_s, .mtime_ns = a->mtime_ns,
                             .path = slice_str(path)));
}
