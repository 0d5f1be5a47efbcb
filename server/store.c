/* SPDX-License-Identifier: ISC */
#include "store.h"

#include "confine.h"
#include "fs.h"
#include "ipc.h"
#include "log.h"
#include "probe.h"
#include "store_pages.h"
#include "thrift.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOCK_WAIT_MS = 10 * 1000, /* for the part of a connection that was just lost */
    BUNDLE_BYTES = 64 * 1024, /* of contents: from there on they are sent */
};

struct store {
    struct fs fs;
    int fd;
    struct fs_group *group;   /* of small files */
    struct fs_reader *reader; /* of others */
    struct buf out;           /* their contents */
    enum err told;            /* whether the session could be told of those that failed */
    struct fs_part part;      /* open for the session; data < 0: none */
    struct store_pages pages;
    char path[PATH_MAX_BYTES + 1], path2[PATH_MAX_BYTES + 1];
};

static struct slice reason(void)
{
    struct slice text = slice_str(log_reason());
    text.n = text.n > 512 ? 512 : text.n;
    return text;
}

static enum err answer(const struct store *s, enum err status, const int *fds, unsigned n_fds)
{
    return IPC_SEND_FDS(s->fd, answer, ANSWER, fds, n_fds, .status = (uint16_t)status,
                        .reason = status == ERR_OK ? (struct slice){0} : reason());
}

static void release_part(struct store *s)
{
    if (s->part.data >= 0)
        close(s->part.data);
    if (s->part.journal >= 0)
        close(s->part.journal);
    s->part = (struct fs_part){.data = -1, .journal = -1};
}

static enum err send_info(const struct store *s, const struct fs_info *i, const char *name)
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

/* ---- requests: each decodes, acts and leaves the status; false for a malformed one ---- */

static bool do_stat(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_stat m;
    struct fs_info info;
    if (!ipc_get_st_stat(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK &&
        (*status = fs_stat(&s->fs, s->path, &info)) == ERR_OK)
        *status = send_info(s, &info, "");
    return true;
}

static enum err list_entry(void *arg, const char *name, const struct fs_info *info)
{
    return send_info(arg, info, name);
}

static bool do_list(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_list m;
    if (!ipc_get_st_list(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_list(&s->fs, s->path, list_entry, s);
    return true;
}

static bool do_mkdir(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_mkdir m;
    if (!ipc_get_st_mkdir(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_mkdir(&s->fs, s->path, m.mode, m.parents);
    return true;
}

static bool do_remove(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_remove m;
    if (!ipc_get_st_remove(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_remove(&s->fs, s->path, m.folder);
    return true;
}

static bool do_rename(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_rename m;
    if (!ipc_get_st_rename(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.from, s->path)) == ERR_OK &&
        (*status = path_parse(m.to, s->path2)) == ERR_OK)
        *status = fs_rename(&s->fs, s->path, s->path2, m.overwrite);
    return true;
}

static bool do_symlink(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_meta(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_meta m;
    if (!ipc_get_st_meta(in->body, in->n, &m))
        return false;
    struct meta meta = {m.kinds, m.uid, m.gid, m.set};
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_meta_set(&s->fs, s->path, &meta);
    return true;
}

static bool do_meta_get(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_commit(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_share(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_release(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_release m;
    if (!ipc_get_st_release(in->body, in->n, &m))
        return false;
    release_part(s);
    *status = ERR_OK;
    return true;
}

static bool do_discard(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_pending(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_pending m;
    if (!ipc_get_st_pending(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_list_pending(&s->fs, s->path, pending_entry, s);
    return true;
}

static bool do_parents(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_parents m;
    if (!ipc_get_st_parents(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_parents(&s->fs, s->path);
    return true;
}

static bool do_attributes(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_walk(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_walk(&s->pages, in, status);
}

static bool do_next(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_next(&s->pages, in, status);
}

static bool do_stats(struct store *s, const struct ipc_in *in, enum err *status)
{
    return store_stats(&s->pages, in, status);
}

/* ---- small files ---- */

/* Not answered: what fails is told with the group. */
static bool do_small(struct store *s, const struct ipc_in *in, enum err *status)
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

static bool do_group(struct store *s, const struct ipc_in *in, enum err *status)
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
static bool do_fetch(struct store *s, const struct ipc_in *in, enum err *status)
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
        c.reason = reason();
    }
    *status = add_content(s, &c);
    return true;
}

/* ---- descriptors: these two answer themselves ---- */

static bool do_source(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_source m;
    struct fs_source source;
    if (!ipc_get_st_source(in->body, in->n, &m))
        return false;
    if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_open_source(&s->fs, s->path, &source);
    if (*status != ERR_OK) {
        *status = answer(s, *status, NULL, 0);
        return true;
    }
    int fds[2] = {source.fd, source.tree};
    struct fs_info info = {.has_root = source.has_root};
    memcpy(info.root, source.root, TREE_HASH);
    *status = send_info(s, &info, "");
    if (*status == ERR_OK)
        *status = answer(s, ERR_OK, fds, source.tree >= 0 ? 2 : 1);
    close(source.fd);
    if (source.tree >= 0)
        close(source.tree);
    return true;
}

static bool do_part_open(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_part_open m;
    if (!ipc_get_st_part_open(in->body, in->n, &m))
        return false;
    if (s->part.data >= 0)
        *status = log_fail(ERR_PROTO, "one part is open already");
    else if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_open_part(&s->fs, s->path, m.length, m.flags, LOCK_WAIT_MS, &s->part);
    if (*status != ERR_OK) {
        *status = answer(s, *status, NULL, 0);
        return true;
    }
    const struct fs_source *old = s->part.has_old ? &s->part.old : NULL;
    int fds[4] = {s->part.data, s->part.journal, old ? old->fd : -1, old ? old->tree : -1};
    *status = answer(s, ERR_OK, fds, !old ? 2 : old->tree < 0 ? 3 : 4);
    if (old && old->tree >= 0)
        close(old->tree);
    if (old)
        close(old->fd);
    s->part.has_old = false;
    return true;
}

static bool do_join(struct store *s, const struct ipc_in *in, enum err *status)
{
    struct ipc_st_join m;
    if (!ipc_get_st_join(in->body, in->n, &m))
        return false;
    if (s->part.data >= 0)
        *status = log_fail(ERR_PROTO, "one part is open already");
    else if ((*status = path_parse(m.path, s->path)) == ERR_OK)
        *status = fs_join_part(&s->fs, s->path, m.token, &s->part);
    int fds[2] = {s->part.data, s->part.journal};
    *status = answer(s, *status, fds, *status == ERR_OK ? 2 : 0);
    return true;
}

static const struct row {
    uint8_t type;
    bool answers; /* the handler answers itself */
    bool (*handle)(struct store *s, const struct ipc_in *in, enum err *status);
} rows[] = {
    {IPC_ST_STAT, false, do_stat},          {IPC_ST_LIST, false, do_list},
    {IPC_ST_MKDIR, false, do_mkdir},        {IPC_ST_REMOVE, false, do_remove},
    {IPC_ST_RENAME, false, do_rename},      {IPC_ST_SOURCE, true, do_source},
    {IPC_ST_PART_OPEN, true, do_part_open}, {IPC_ST_COMMIT, false, do_commit},
    {IPC_ST_RELEASE, false, do_release},    {IPC_ST_DISCARD, false, do_discard},
    {IPC_ST_PENDING, false, do_pending},    {IPC_ST_SMALL, true, do_small},
    {IPC_ST_GROUP, false, do_group},        {IPC_ST_FETCH, true, do_fetch},
    {IPC_ST_PARENTS, false, do_parents},    {IPC_ST_ATTRIBUTES, false, do_attributes},
    {IPC_ST_WALK, false, do_walk},          {IPC_ST_NEXT, false, do_next},
    {IPC_ST_STATS, false, do_stats},        {IPC_ST_SHARE, false, do_share},
    {IPC_ST_JOIN, true, do_join},           {IPC_ST_SYMLINK, false, do_symlink},
    {IPC_ST_META, false, do_meta},          {IPC_ST_META_GET, false, do_meta_get},
};

/* One request. An error here ends the store: the session is gone, or does not keep to the table. */
static enum err serve_one(struct store *s, const struct ipc_in *in)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum err status = ERR_OK;
        if (rows[i].type != in->type)
            continue;
        if (!rows[i].handle(s, in, &status))
            break;
        return rows[i].answers ? status : answer(s, status, NULL, 0);
    }
    log_warn("store: the session sent a malformed request (%s)", ipc_name(in->type));
    return ERR_PROTO;
}

enum err store_prepare(struct fs *fs, const struct config *config, const struct map_user *user,
                       enum confine_process as)
{
    int folders[64], abi;
    unsigned n = 0;
    enum err e = ERR_OK;
    fs_init(fs, user->name, false);
    for (size_t i = 0; e == ERR_OK && i < user->n_roots; i++)
        e = fs_add_root(fs, user->roots[i].prefix, user->roots[i].dir, user->roots[i].rights);
    if (user->links)
        fs_keep_links(fs);
    /* Another owner than the account takes a privilege that a store has given up. */
    fs_keep_meta(fs, user->meta, user->meta & ~(unsigned)META_OWNERS);
    for (size_t i = 0; e == ERR_OK && i < fs->n && n < 64; i++)
        folders[n++] = fs->roots[i].fd;
    if (e == ERR_OK && fs->n > 64)
        e = log_fail(ERR_CONFIG, "user %s: more than 64 roots", user->name);
    if (e == ERR_OK)
        e = as == CONFINE_SCRUB
                ? confine_reading(folders, n, config->confine_require, &abi)
                : confine_files(folders, n, user->links, config->confine_require, &abi);
    if (e == ERR_OK && user->has_account)
        e = confine_become(user->uid, user->gid, user->groups, user->n_groups);
    if (e == ERR_OK)
        e = confine_calls(as);
    return e;
}

/* One datagram. */
static enum err serve(struct store *s, const struct ipc_in *in)
{
    struct ipc_in one;
    struct slice rest = {0};
    enum err e = ERR_OK;
    while (e == ERR_OK && ipc_next(in, &rest, &one))
        e = serve_one(s, &one);
    fs_reader_rest(s->reader);
    if (e == ERR_OK)
        e = ipc_send_bundle(s->fd, &s->out);
    return e == ERR_OK && rest.n > 0 ? ERR_PROTO : e;
}

int store_main(const struct config *config, const struct map_user *user, int fd)
{
    struct store s = {.fd = fd, .part = {.data = -1, .journal = -1}, .pages.fd = fd};
    struct ipc_in in;
    uint8_t *buffer = malloc(IPC_MAX);
    char context[80];
    snprintf(context, sizeof context, "store user=%s", user->name);
    log_context(context);
    s.pages.fs = &s.fs;
    buf_init(&s.out, IPC_MAX - 1);
    enum err e = confine_start(&fd, 1);
    if (e == ERR_OK && !buffer)
        e = log_fail(ERR_INTERNAL, "out of memory");
    if (e == ERR_OK)
        e = fs_group_new(&s.fs, &s.group);
    if (e == ERR_OK)
        e = fs_reader_new(&s.fs, &s.reader);
    if (e == ERR_OK)
        e = store_prepare(&s.fs, config, user, CONFINE_STORE);
    probe_run("store");
    /* From here on the session reports what fails. */
    log_quiet(true);
    thrift_rest();
    enum err sent = answer(&s, e, NULL, 0);
    while (e == ERR_OK && sent == ERR_OK && ipc_recv(fd, buffer, IPC_MAX, &in, -1) == ERR_OK) {
        sent = serve(&s, &in);
        ipc_drop(&in);
    }
    free(buffer);
    buf_release(&s.out);
    fs_reader_free(s.reader);
    fs_group_free(s.group);
    return err_exit(e);
}
