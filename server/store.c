/* SPDX-License-Identifier: ISC */
#include "store_internal.h"

#include "confine.h"
#include "log.h"
#include "probe.h"
#include "thrift.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct row {
    uint8_t type;
    bool answers; /* the handler answers itself */
    bool (*handle)(struct store *s, const struct ipc_in *in, enum err *status);
} rows[] = {
    {IPC_ST_STAT, false, store_do_stat},          {IPC_ST_LIST, false, store_do_list},
    {IPC_ST_MKDIR, false, store_do_mkdir},        {IPC_ST_REMOVE, false, store_do_remove},
    {IPC_ST_RENAME, false, store_do_rename},      {IPC_ST_SOURCE, true, store_do_source},
    {IPC_ST_PART_OPEN, true, store_do_part_open}, {IPC_ST_COMMIT, false, store_do_commit},
    {IPC_ST_RELEASE, false, store_do_release},    {IPC_ST_DISCARD, false, store_do_discard},
    {IPC_ST_PENDING, false, store_do_pending},    {IPC_ST_SMALL, true, store_do_small},
    {IPC_ST_GROUP, false, store_do_group},        {IPC_ST_FETCH, true, store_do_fetch},
    {IPC_ST_PARENTS, false, store_do_parents},    {IPC_ST_ATTRIBUTES, false, store_do_attributes},
    {IPC_ST_WALK, false, store_do_walk},          {IPC_ST_NEXT, false, store_do_next},
    {IPC_ST_STATS, false, store_do_stats},        {IPC_ST_SHARE, false, store_do_share},
    {IPC_ST_JOIN, true, store_do_join},           {IPC_ST_SYMLINK, false, store_do_symlink},
    {IPC_ST_META, false, store_do_meta},          {IPC_ST_META_GET, false, store_do_meta_get},
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
        return rows[i].answers ? status : store_answer(s, status, NULL, 0);
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
    struct fs_limits limits = {user->quota, user->quota_files, user->parts, user->retain_s};
    fs_limit(fs, &limits);
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
    enum err sent = store_answer(&s, e, NULL, 0);
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
