/* SPDX-License-Identifier: ISC */
/* One file from the server. */
#include "streams.h"

#include "log.h"
#include <string.h>

enum {
    LOCK_WAIT_MS = 5000,
    STAGE_BYTES = 32 << 20,
    LATER_MAX = 64, /* jobs that wait until the pipeline is empty */
};

/* ---- small ones ---- */

static void on_committed(void *arg, size_t index, enum err status, const char *reason)
{
    struct worker *w = arg;
    struct job *j = w->staged[index];
    log_take_reason(reason);
    job_end(j, status, j->result.length);
}

void download_commit(struct worker *w)
{
    if (fs_group_count(w->group) > 0)
        fs_group_commit(w->group, on_committed, w);
    w->staged_bytes = 0;
}

static enum err stage(const struct request *q, const struct frame *f)
{
    struct job *j = q->arg;
    struct worker *w = j->worker;
    struct msg_small m;
    uint8_t root[TREE_HASH];
    if (f->type != MSG_SMALL || j->came)
        return chan_unexpected(f, "in answer to FETCH");
    if (!CHAN_GET(f, small, &m) || m.id != q->id || m.flags || m.path.n > 0 ||
        m.kind != MSG_KIND_PLAIN || m.mtime_ns >= 1000000000)
        return chan_malformed(f);
    if (fs_group_count(w->group) == FS_GROUP_MAX || w->staged_bytes >= STAGE_BYTES)
        download_commit(w);
    j->came = true;
    tree_small(w->link->engine, m.bytes.p, m.bytes.n, root);
    if (memcmp(root, m.root, TREE_HASH) != 0) {
        j->result.length = UINT64_MAX;
        return ERR_OK;
    }
    struct fs_small file = {.path = job_below(j),
                            .overwrite = !w->work->no_overwrite,
                            .parents = w->work->tree,
                            .mode = m.mode,
                            .mtime_s = (int64_t)m.mtime_s,
                            .mtime_ns = m.mtime_ns,
                            .bytes = m.bytes.p,
                            .n = m.bytes.n};
    memcpy(file.root, root, TREE_HASH);
    memcpy(j->result.root, root, TREE_HASH);
    j->result.length = j->result.moved = m.bytes.n;
    w->staged[fs_group_count(w->group)] = j;
    w->staged_bytes += m.bytes.n;
    return fs_group_add(w->group, &file) ? ERR_OK : log_fail(ERR_INTERNAL, "a group overflowed");
}

static enum err fetch_answer(struct request *q, const struct frame *f, enum err status,
                             const char *reason)
{
    struct job *j = q->arg;
    if (f)
        return stage(q, f);
    /* Once staged, whatever is said after it, it is counted with the group. */
    if (j->came && j->result.length != UINT64_MAX)
        return ERR_OK;
    if (q->lost) {
        job_lose(j, status);
        return ERR_OK;
    }
    if (j->came) {
        j->result = (struct xfer_result){0};
        return job_done(j, ERR_CORRUPT,
                        "the content does not match its root: the server's copy is damaged", 0);
    }
    if (status != ERR_OK)
        return job_done(j, status, reason, 0);
    j->size = UINT64_MAX - 1; /* no small file */
    job_defer(j);
    return ERR_OK;
}

static enum err fetch(struct worker *w, struct job *j)
{
    uint32_t id;
    uint64_t bytes = (j->size < FS_SMALL_MAX ? j->size : FS_SMALL_MAX) + 80;
    enum err e = pipeline_enter(&w->pipeline, fetch_answer, j, bytes, &id);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    return pipeline_sent(&w->pipeline, CHAN_SEND(&w->link->chan, fetch, FETCH, .id = id,
                                                 .path = slice_str(j->path)));
}

/* ---- long ones ---- */

static enum err sink_open(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    struct job *j = arg;
    struct work *w = j->worker->work;
    unsigned flags = (w->no_overwrite ? 0 : FS_PART_OVERWRITE) | (sparse ? FS_PART_SPARSE : 0);
    enum err e = w->tree ? fs_parents(&w->fs, job_below(j)) : ERR_OK;
    return e == ERR_OK ? fs_open_part(&w->fs, job_below(j), length, flags, LOCK_WAIT_MS, out) : e;
}

static enum err sink_share(void *arg, const struct fs_part *part)
{
    return fs_share_part(job_below(arg), part);
}

static enum err sink_unshare(void *arg, const struct fs_part *part)
{
    return fs_unshare_part(job_below(arg), part);
}

enum err download_join(struct job *j, const uint8_t token[static PART_TOKEN], struct fs_part *out)
{
    return fs_join_part(&j->worker->work->fs, job_below(j), token, out);
}

static enum err sink_commit(void *arg, const struct fs_part *part, const struct msg_offer *o)
{
    struct job *j = arg;
    struct work *w = j->worker->work;
    struct fs_commit how = {job_below(j), !w->no_overwrite, o->mode, (int64_t)o->mtime_s,
                            o->mtime_ns};
    return fs_commit(&w->fs, part, &how);
}

static uint32_t flags_of(const struct worker *w)
{
    uint32_t flags = w->work->recheck ? MSG_GET_RECHECK : 0;
    if (w->link->compress == XFER_COMPRESS_ON)
        flags |= MSG_GET_COMPRESS;
    else if (w->link->compress == XFER_COMPRESS_AUTO)
        flags |= MSG_GET_COMPRESS_AUTO;
    return flags;
}

static enum err get_long(struct worker *w, struct job *j)
{
    struct work *work = w->work;
    struct chan *c = &w->link->chan;
    char shown[PATH_MAX_BYTES + 80];
    struct xfer_sink sink = {.open = sink_open,
                             .share = sink_share,
                             .unshare = sink_unshare,
                             .commit = sink_commit,
                             .arg = j};
    struct show show;
    uint64_t before = tls_bytes_in(c->tls);
    struct xfer x = {.chan = c,
                     .name = j->local,
                     .engine = w->link->engine,
                     .recheck = work->recheck,
                     .whole = work->whole,
                     .threads = true,
                     .event = show_event,
                     .event_arg = &show};
    enum err e = pipeline_wait(&w->pipeline, 0);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    remote_text(work->at, j->path, shown, sizeof shown);
    show_start(&show, work->op, shown, j->local);
    j->started_ms = show.started_ms;
    struct streams *streams = NULL;
    uint32_t flags = flags_of(w);
    if (streams_worth(work, j->size)) {
        flags |= MSG_GET_SHARE;
        e = streams_new(w, j, flags, &streams);
    }
    x.streams = streams_of(streams);
    x.id = w->link->next_id++;
    if (e == ERR_OK)
        e = CHAN_SEND(c, get, GET, .id = x.id, .flags = flags, .path = slice_str(j->path));
    if (e == ERR_OK)
        e = xfer_receive(&x, &sink, &j->result);
    uint64_t wire = streams_end(streams, e);
    show_end(&show);
    if (c->failed && e != ERR_OK) {
        job_lose(j, batch_reason(w->link, shown, e, &j->result));
        return e;
    }
    return job_done(j, batch_reason(w->link, shown, e, &j->result), NULL,
                    tls_bytes_in(c->tls) - before + wire);
}

/* What the walk has told is all that there is of it. */
static enum err make_link(struct job *j)
{
    struct work *w = j->worker->work;
    struct fs_symlink l = {job_below(j), j->target, !w->no_overwrite, w->tree};
    return job_done(j, fs_symlink(&w->fs, &l), NULL, 0);
}

enum err download(struct worker *w, struct job *j)
{
    if (j->target)
        return make_link(j);
    if (j->size > FS_SMALL_MAX && j->size != UINT64_MAX)
        return get_long(w, j);
    enum err e = w->n_later < LATER_MAX ? ERR_OK : worker_settle(w);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    return fetch(w, j);
}
