/* SPDX-License-Identifier: ISC */
/* Requests about names. */
#include "store_internal.h"

#include "log.h"
#include <string.h>

struct slice store_reason(void)
{
    struct slice text = slice_str(log_reason());
    text.n = text.n > 512 ? 512 : text.n;
    return text;
}

enum err store_answer(const struct store *s, enum err status, const int *fds, unsigned n_fds)
{
    return IPC_SEND_FDS(s->fd, answer, ANSWER, fds, n_fds, .status = (uint16_t)status,
                        .reason = status == ERR_OK ? (struct slice){0} : store_reason());
}

enum err store_send_info(const struct store *s, const struct fs_info *i, const char *name)
{
    struct ipc_st_info m = {.type = i->type,
                            .mode = i->mode,
                            .size = i->size,
                            .mtime_s = (uint64_t)i->mtime_s,
                            .mtime_ns = i->mtime_ns,
                            .has_root = i->has_root,
                            .name = slice_str(name)};
    struct buf b;
    memcpy(m.root, i->root, TREE_HASH);
    buf_init(&b, IPC_MAX);
    enum err e =
        ipc_put_st_info(&b, &m) ? ipc_send(s->fd, IPC_ST_INFO, &b, NULL, 0, false) : ERR_LIMIT;
    buf_release(&b);
    return e;
}

bool store_do_stat(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_stat m;
    struct fs_info info;
    if (!ipc_get_st_stat(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK &&
        (*status = fs_stat(&s->fs, s->path, &info)) == ERR_OK)
        *status = store_send_info(s, &info, "");
    return true;
}

static enum err list_entry(void *arg, const char *name, const struct fs_info *info)
{
    return store_send_info(arg, info, name);
}

bool store_do_list(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_list m;
    if (!ipc_get_st_list(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_list(&s->fs, s->path, list_entry, s);
    return true;
}

bool store_do_mkdir(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_mkdir m;
    if (!ipc_get_st_mkdir(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_mkdir(&s->fs, s->path, m.mode, m.parents);
    return true;
}

bool store_do_remove(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_remove m;
    if (!ipc_get_st_remove(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_remove(&s->fs, s->path, m.folder);
    return true;
}

bool store_do_rename(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_rename m;
    if (!ipc_get_st_rename(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.from, s->path)) == ERR_OK &&
        (*status = path_parse(m.to, s->path2)) == ERR_OK)
        *status = fs_rename(&s->fs, s->path, s->path2, m.overwrite);
    return true;
}

bool store_do_symlink(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_symlink m;
    char target[FS_TARGET_MAX + 1];
    if (!ipc_get_st_symlink(in->body, in->n, &m) || !slice_copy(m.target, target, sizeof target))
        return false;
    struct fs_symlink l = {s->path, target, m.overwrite, m.parents};
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_symlink(&s->fs, &l);
    return true;
}

bool store_do_meta(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_meta m;
    if (!ipc_get_st_meta(in->body, in->n, &m))
        return false;
    struct meta meta = {m.kinds, m.uid, m.gid, m.set};
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_meta_set(&s->fs, s->path, &meta);
    return true;
}

bool store_do_meta_get(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_meta_get m;
    struct meta meta = {0};
    struct buf set;
    if (!ipc_get_st_meta_get(in->body, in->n, &m))
        return false;
    buf_init(&set, META_SET_MAX);
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_meta_get(&s->fs, s->path, m.kinds, &set, &meta);
    if (meta.kinds) {
        enum err sent = IPC_SEND(s->fd, st_meta, ST_META, .kinds = meta.kinds, .uid = meta.uid,
                                 .gid = meta.gid, .set = meta.set);
        *status = sent == ERR_OK ? *status : sent;
    }
    buf_release(&set);
    return true;
}

bool store_do_discard(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_discard m;
    if (!ipc_get_st_discard(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_discard(&s->fs, s->path);
    return true;
}

static enum err pending_entry(void *arg, const struct fs_pending *p)
{
    struct store *s = arg;
    return IPC_SEND(s->fd, st_part, ST_PART, .length = p->length, .have = p->have,
                    .mtime_s = (uint64_t)p->mtime_s, .active = p->active,
                    .path = slice_str(p->path));
}

bool store_do_pending(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_pending m;
    if (!ipc_get_st_pending(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_list_pending(&s->fs, s->path, pending_entry, s);
    return true;
}

bool store_do_parents(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_parents m;
    if (!ipc_get_st_parents(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_parents(&s->fs, s->path);
    return true;
}

bool store_do_attributes(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_attributes m;
    if (!ipc_get_st_attributes(in->body, in->n, &m))
        return false;
    struct fs_attributes a = {m.make, m.mode, (int64_t)m.mtime_s, m.mtime_ns};
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_attributes(&s->fs, s->path, &a);
    return true;
}

/* ---- pages ---- */

bool store_do_walk(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_walk(&s->pages, in, status);
}

bool store_do_next(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_next(&s->pages, in, status);
}

bool store_do_stats(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_stats(&s->pages, in, status);
}
