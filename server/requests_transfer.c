/* SPDX-License-Identifier: ISC */
/* The requests that move a file by a transfer: PUT, JOIN and GET. */
#include "requests_internal.h"

#include "log.h"
#include <stdio.h>
#include <unistd.h>

struct upload {
    struct requests *r;
    bool overwrite, parents;
    const uint8_t *token; /* of the upload that it joins; NULL: none */
};

enum err requests_quota(const struct requests *r, uint64_t length)
{
    if (r->user->quota == 0 || length <= r->user->quota)
        return ERR_OK;
    return log_fail(ERR_LIMIT, "%s: %llu bytes are more than the quota of %llu", r->path,
                    (unsigned long long)length, (unsigned long long)r->user->quota);
}

static enum err upload_open(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    struct upload *u = arg;
    unsigned flags = (u->overwrite ? FS_PART_OVERWRITE : 0) | (sparse ? FS_PART_SPARSE : 0);
    enum err e = requests_quota(u->r, length);
    if (e == ERR_OK && u->parents)
        e = files_parents(&u->r->files, u->r->path);
    if (e != ERR_OK)
        return e;
    return files_open_part(&u->r->files, u->r->path, length, flags, out);
}

static enum err upload_join(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    struct upload *u = arg;
    (void)length;
    (void)sparse;
    return files_join_part(&u->r->files, u->r->path, u->token, out);
}

static enum err upload_share(void *arg, const struct fs_part *part)
{
    struct upload *u = arg;
    (void)part;
    return files_share_part(&u->r->files, u->r->path);
}

static enum err upload_unshare(void *arg, const struct fs_part *part)
{
    struct upload *u = arg;
    (void)part;
    return files_unshare_part(&u->r->files, u->r->path);
}

static enum err upload_commit(void *arg, const struct fs_part *part, const struct msg_offer *o)
{
    struct upload *u = arg;
    struct fs_commit how = {u->r->path, u->overwrite, o->mode, (int64_t)o->mtime_s, o->mtime_ns};
    (void)part; /* the store has its own descriptors of it */
    return files_commit(&u->r->files, &how);
}

static void upload_release(void *arg)
{
    struct upload *u = arg;
    if (files_release(&u->r->files) != ERR_OK)
        log_warn("%s", log_reason());
}

static enum err upload_record(void *arg, enum err outcome, const struct xfer_result *result)
{
    struct upload *u = arg;
    struct deed d = {.op = u->token ? "join" : "put",
                     .path = u->r->path,
                     .moved = result,
                     .partial = u->token != NULL};
    return requests_record(u->r, &d, outcome);
}

/* A transfer as the status shows it. */
struct shown {
    struct requests *r;
    const struct xfer_result *result;
};

static void show(void *arg, enum xfer_phase phase, uint64_t done, uint64_t total)
{
    const struct shown *s = arg;
    enum board_phase as = phase == XFER_MOVING       ? BOARD_MOVING
                          : phase == XFER_COMMITTING ? BOARD_COMMITTING
                                                     : BOARD_HASHING;
    board_progress(s->r->board, as, done, total, s->result->moved);
}

/* A failed transfer leaves the connection usable, a failed channel does not. */
static enum err after_transfer(const struct requests *r, enum err e)
{
    return e != ERR_OK && r->chan->failed ? e : ERR_OK;
}

/* Receives what u says, or refuses it by its path. */
static enum err receive(struct requests *r, const struct xfer *how, struct xfer_sink *sink,
                        struct slice path)
{
    struct upload *u = sink->arg;
    struct xfer_result result = {0};
    struct shown shown = {r, &result};
    char reason[513];
    struct xfer x = *how;
    x.chan = r->chan;
    x.upload = true;
    x.name = r->path;
    x.engine = r->engine;
    x.event = show;
    x.event_arg = &shown;
    enum err e = path_parse(path, r->path);
    if (e == ERR_OK) {
        board_begin(r->board, BOARD_PUT, r->path);
        e = xfer_receive(&x, sink, &result);
        board_end(r->board);
        return after_transfer(r, e);
    }
    struct deed d = {.op = u->token ? "join" : "put"};
    snprintf(reason, sizeof reason, "%s", log_reason());
    enum err recorded = requests_record(r, &d, e);
    return recorded != ERR_OK ? recorded : xfer_refuse(&x, e, reason);
}

enum err requests_put(struct requests *r, const struct frame *f)
{
    struct msg_put m;
    if (!CHAN_GET(f, put, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_PUT_OVERWRITE | MSG_PUT_RECHECK | MSG_PUT_PARENTS |
                              MSG_PUT_WHOLE | MSG_PUT_SHARE))
        return requests_bad_flags(m.flags);
    struct upload u = {r, m.flags & MSG_PUT_OVERWRITE, m.flags & MSG_PUT_PARENTS, NULL};
    struct xfer x = {.id = m.id,
                     .recheck = m.flags & MSG_PUT_RECHECK,
                     .whole = m.flags & MSG_PUT_WHOLE,
                     .shared = m.flags & MSG_PUT_SHARE};
    struct xfer_sink sink = {.open = upload_open,
                             .share = upload_share,
                             .unshare = upload_unshare,
                             .commit = upload_commit,
                             .release = upload_release,
                             .record = upload_record,
                             .arg = &u};
    return receive(r, &x, &sink, m.path);
}

enum err requests_join(struct requests *r, const struct frame *f)
{
    struct msg_join m;
    if (!CHAN_GET(f, join, &m))
        return chan_malformed(f);
    if (m.flags)
        return requests_bad_flags(m.flags);
    struct upload u = {.r = r, .token = m.token};
    struct xfer x = {.id = m.id, .joined = true, .token = m.token};
    struct xfer_sink sink = {
        .open = upload_join, .release = upload_release, .record = upload_record, .arg = &u};
    return receive(r, &x, &sink, m.path);
}

enum err requests_get(struct requests *r, const struct frame *f)
{
    struct msg_get m;
    struct fs_source source;
    struct xfer_result result;
    if (!CHAN_GET(f, get, &m))
        return chan_malformed(f);
    if (m.flags & ~(uint32_t)(MSG_GET_RECHECK | MSG_GET_COMPRESS_AUTO | MSG_GET_COMPRESS |
                              MSG_GET_SHARE) ||
        (m.flags & MSG_GET_COMPRESS_AUTO && m.flags & MSG_GET_COMPRESS))
        return requests_bad_flags(m.flags);
    struct shown shown = {r, &result};
    struct xfer x = {.chan = r->chan,
                     .id = m.id,
                     .name = r->path,
                     .engine = r->engine,
                     .recheck = m.flags & MSG_GET_RECHECK,
                     .shared = m.flags & MSG_GET_SHARE,
                     .compress = m.flags & MSG_GET_COMPRESS        ? XFER_COMPRESS_ON
                                 : m.flags & MSG_GET_COMPRESS_AUTO ? XFER_COMPRESS_AUTO
                                                                   : XFER_COMPRESS_OFF,
                     .event = show,
                     .event_arg = &shown};
    enum err e = path_parse(m.path, r->path);
    struct deed d = {.op = "get", .path = e == ERR_OK ? r->path : NULL};
    if (e == ERR_OK)
        e = files_open_source(&r->files, r->path, &source);
    if (e != ERR_OK)
        return requests_conclude(r, x.id, &d, e);
    board_begin(r->board, BOARD_GET, r->path);
    e = xfer_send(&x, &source, &result);
    board_end(r->board);
    close(source.fd);
    if (source.tree >= 0)
        close(source.tree);
    d.moved = &result;
    enum err recorded = requests_record(r, &d, e);
    return recorded != ERR_OK ? recorded : after_transfer(r, e);
}
