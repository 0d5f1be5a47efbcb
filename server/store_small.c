/* SPDX-License-Identifier: ISC */
/* Requests of small files: received in groups, and read one after the other. */
#include "store_internal.h"

#include "log.h"
#include <string.h>

enum { BUNDLE_BYTES = 64 * 1024 }; /* of contents: from there on they are sent */

/* Not answered: what fails is told with the group. */
bool store_do_small(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_small m;
    /* The session has checked it. */
    if (!ipc_get_st_small(in->body, in->n, &m) || path_parse(m.path, s->path) != ERR_OK)
        return false;
    struct fs_small file = {.path = s->path,
                            .overwrite = m.flags & MSG_PUT_OVERWRITE,
                            .parents = m.flags & MSG_PUT_PARENTS,
                            .mode = m.mode,
                            .mtime_s = (int64_t)m.mtime_s,
                            .mtime_ns = m.mtime_ns,
                            .bytes = m.bytes.p,
                            .n = m.bytes.n};
    memcpy(file.root, m.root, TREE_HASH);
    *status = ERR_OK;
    return fs_group_add(s->group, &file);
}

static void tell_failure(void *arg, size_t index, enum err status, const char *why)
{
    struct store *s = arg;
    struct slice text = slice_str(why);
    text.n = text.n > 256 ? 256 : text.n;
    if (status != ERR_OK && s->told == ERR_OK)
        s->told = IPC_SEND(s->fd, st_failed, ST_FAILED, .index = (uint32_t)index,
                           .status = (uint16_t)status, .reason = text);
}

bool store_do_group(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_group m;
    if (!ipc_get_st_group(in->body, in->n, &m))
        return false;
    s->told = ERR_OK;
    fs_group_commit(s->group, tell_failure, s);
    *status = s->told;
    return true;
}

static enum err add_content(struct store *s, const struct ipc_st_content *m)
{
    if (s->out.len < BUNDLE_BYTES && IPC_ADD(&s->out, st_content, ST_CONTENT, m))
        return ERR_OK;
    enum err e = ipc_send_bundle(s->fd, &s->out);
    if (e != ERR_OK)
        return e;
    return IPC_ADD(&s->out, st_content, ST_CONTENT, m) ? ERR_OK : ERR_LIMIT;
}

/* The answer goes out when there is a good deal, or nothing more to do. */
bool store_do_fetch(struct store *s, const struct ipc_in *in, enum err *status)
{
    static uint8_t bytes[FS_SMALL_MAX + 1];
    struct ipc_st_fetch m;
    struct fs_info i = {0};
    if (!ipc_get_st_fetch(in->body, in->n, &m))
        return false;
    enum err e = path_parse(m.path, s->path);
    if (e == ERR_OK)
        e = fs_read_small(s->reader, s->path, bytes, &i);
    struct ipc_st_content c = {.longer = e == ERR_LIMIT};
    if (e == ERR_OK) {
        c.mode = i.mode;
        c.mtime_s = (uint64_t)i.mtime_s;
        c.mtime_ns = i.mtime_ns;
        c.has_root = i.has_root;
        c.bytes = slice_of(bytes, (size_t)i.size);
        memcpy(c.root, i.root, TREE_HASH);
    } else if (!c.longer) {
        c.status = (uint16_t)e;
        c.reason = store_reason();
    }
    *status = add_content(s, &c);
    return true;
}
