/* SPDX-License-Identifier: ISC */
/* Requests of transfers: what is sent, and what is received in parts. */
#include "store_internal.h"

#include "log.h"
#include <string.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 10 * 1000 }; /* for the part of a connection that was just lost */

static void release_part(struct store *s)
{
    if (s->part.data >= 0)
        close(s->part.data);
    if (s->part.journal >= 0)
        close(s->part.journal);
    s->part = (struct fs_part){.data = -1, .journal = -1};
}

bool store_do_commit(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_commit m;
    if (!ipc_get_st_commit(in->body, in->n, &m))
        return false;
    if (s->part.data < 0) {
        *status = log_fail(ERR_PROTO, "a commit without an open part");
    } else if ((*status = path_parse(m.path, s->path)) == ERR_OK) {
        struct fs_commit how = {s->path, m.overwrite, m.mode, (int64_t)m.mtime_s, m.mtime_ns};
        *status = fs_commit(&s->fs, &s->part, &how);
    }
    return true;
}

bool store_do_share(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_share m;
    if (!ipc_get_st_share(in->body, in->n, &m))
        return false;
    if (s->part.data < 0)
        *status = log_fail(ERR_PROTO, "no open part to share");
    else if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = m.end ? fs_unshare_part(s->path, &s->part) : fs_share_part(s->path, &s->part);
    return true;
}

bool store_do_release(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_release m;
    if (!ipc_get_st_release(in->body, in->n, &m))
        return false;
    release_part(s);
    *status = ERR_OK;
    return true;
}

bool store_do_source(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_source m;
    struct fs_source source;
    if (!ipc_get_st_source(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_open_source(&s->fs, s->path, &source);
    if (*status != ERR_OK) {
        *status = store_answer(s, *status, NULL, 0);
        return true;
    }
    int fds[2] = {source.fd, source.tree};
    struct fs_info info = {.has_root = source.has_root};
    memcpy(info.root, source.root, TREE_HASH);
    *status = store_send_info(s, &info, "");
    if (*status == ERR_OK)
        *status = store_answer(s, ERR_OK, fds, source.tree >= 0 ? 2 : 1);
    close(source.fd);
    if (source.tree >= 0)
        close(source.tree);
    return true;
}

bool store_do_part_open(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_part_open m;
    if (!ipc_get_st_part_open(in->body, in->n, &m))
        return false;
    if (s->part.data >= 0)
        *status = log_fail(ERR_PROTO, "one part is open already");
    else if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_open_part(&s->fs, s->path, m.length, m.flags, LOCK_WAIT_MS, &s->part);
    if (*status != ERR_OK) {
        *status = store_answer(s, *status, NULL, 0);
        return true;
    }
    const struct fs_source *old = s->part.has_old ? &s->part.old : NULL;
    int fds[4] = {s->part.data, s->part.journal, old ? old->fd : -1, old ? old->tree : -1};
    *status = store_answer(s, ERR_OK, fds, !old ? 2 : old->tree < 0 ? 3 : 4);
    if (old && old->tree >= 0)
        close(old->tree);
    if (old)
        close(old->fd);
    s->part.has_old = false;
    return true;
}

bool store_do_join(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_join m;
    if (!ipc_get_st_join(in->body, in->n, &m))
        return false;
    if (s->part.data >= 0)
        *status = log_fail(ERR_PROTO, "one part is open already");
    else if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_join_part(&s->fs, s->path, m.token, &s->part);
    int fds[2] = {s->part.data, s->part.journal};
    *status = store_answer(s, *status, fds, *status == ERR_OK ? 2 : 0);
    return true;
}
