/* SPDX-License-Identifier: ISC */
/* One file to the server. */
#include "kept.h"
#include "roots.h"
#include "streams.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static uint32_t flags_of(const struct work *w)
{
    return (w->no_overwrite ? 0 : MSG_PUT_OVERWRITE) | (w->tree ? MSG_PUT_PARENTS : 0);
}

static enum err changed(const struct job *j)
{
    return log_fail(ERR_CHANGED, "%s: the file changed while it was read; nothing was replaced",
                    j->local);
}

/* Opens the source once more, after a connection was lost. */
static enum err open_again(struct job *j)
{
    struct stat st;
    j->fd = open(j->local, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (j->fd < 0 || fstat(j->fd, &st) < 0)
        return log_fail_errno("%s", j->local);
    return st.st_dev == j->st.st_dev && st.st_ino == j->st.st_ino ? ERR_OK : changed(j);
}

/* ---- not to overwrite ---- */

/* Whether a file that is not to overwrite may be in its own way: a connection was lost with it, and with that,
 * perhaps, the answer that it was committed. */
static bool may_be_own(const struct job *j, enum err e)
{
    return e == ERR_EXISTS && j->tries > 0;
}

/* The same content is what was asked for, whoever put it there. */
static enum err settle_doubt(struct worker *w, struct job *j)
{
    struct pipeline *p = &w->pipeline;
    struct root_question q;
    struct fs_info there = {0};
    bool same = false;
    enum err e = roots_ask(&q, p, j->path, &there);
    if (e == ERR_OK)
        e = pipeline_sent(p, chan_flush(&w->link->chan));
    if (e == ERR_OK)
        e = roots_same(&q, p, j->fd, j->local, &j->st, &there, &same);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    j->result = (struct xfer_result){.length = (uint64_t)j->st.st_size};
    j->result.kept = same ? j->result.length : 0;
    memcpy(j->result.root, there.root, TREE_HASH);
    return job_done(j, same ? ERR_OK : ERR_EXISTS, "already exists", 0);
}

/* ---- small ones ---- */

/* Reads the whole file and sees to it that it stayed as it is. */
static enum err read_small(struct worker *w, struct job *j)
{
    struct part_stamp before, after;
    struct stat now;
    ssize_t n;
    size_t got = 0;
    do {
        n = pread(j->fd, w->bytes + got, FS_SMALL_MAX + 1 - got, (off_t)got);
        got += n > 0 ? (size_t)n : 0;
    } while ((n < 0 && errno == EINTR) || (n > 0 && got < (size_t)j->st.st_size));
    if (n < 0 || fstat(j->fd, &now) < 0)
        return log_fail_errno("%s: reading", j->local);
    part_stamp_of(&j->st, &before);
    part_stamp_of(&now, &after);
    close(j->fd);
    j->fd = -1;
    return got == (size_t)j->st.st_size && part_stamp_eq(&before, &after) ? ERR_OK : changed(j);
}

static enum err small_answer(struct request *q, const struct frame *f, enum err status,
                             const char *reason)
{
    struct job *j = q->arg;
    if (f)
        return chan_unexpected(f, "in answer to a small file");
    if (q->lost) {
        job_lose(j, status);
        return ERR_OK;
    }
    if (may_be_own(j, status)) {
        j->doubt = true;
        job_defer(j);
        return ERR_OK;
    }
    j->result.moved = j->result.length;
    return job_done(j, status, reason, q->bytes);
}

static enum err send_small(struct worker *w, struct job *j)
{
    struct chan *c = &w->link->chan;
    struct msg_small m = {.flags = flags_of(w->work),
                          .mode = j->st.st_mode & 0777,
                          .mtime_s = (uint64_t)j->st.st_mtim.tv_sec,
                          .mtime_ns = (uint32_t)j->st.st_mtim.tv_nsec,
                          .kind = MSG_KIND_PLAIN,
                          .path = slice_str(j->path),
                          .bytes = slice_of(w->bytes, (size_t)j->st.st_size)};
    tree_small(w->link->engine, m.bytes.p, m.bytes.n, m.root);
    memcpy(j->result.root, m.root, TREE_HASH);
    j->result.length = m.bytes.n;
    enum err e = pipeline_enter(&w->pipeline, small_answer, j, m.bytes.n + m.path.n + 80, &m.id);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    size_t at = chan_begin(c, MSG_SMALL);
    (void)msg_put_small(&c->out, &m);
    return pipeline_sent(&w->pipeline, chan_end(c, at));
}

/* ---- long ones ---- */

static enum err send_long(struct worker *w, struct job *j)
{
    struct work *work = w->work;
    struct chan *c = &w->link->chan;
    char shown[PATH_MAX_BYTES + 80];
    struct fs_source source = {.fd = j->fd, .tree = -1, .st = j->st};
    struct show show;
    uint64_t before = tls_bytes_out(c->tls);
    struct xfer x = {
        .chan = c, .name = j->local, .engine = w->link->engine, .compress = w->link->compress};
    enum err e = pipeline_wait(&w->pipeline, 0);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    remote_text(work->at, j->path, shown, sizeof shown);
    show_start(&show, work->op, j->local, shown);
    j->started_ms = show.started_ms;
    struct streams *streams = NULL;
    if (streams_worth(work, (uint64_t)j->st.st_size))
        e = streams_new(w, j, 0, &streams);
    x.streams = streams_of(streams);
    x.id = w->link->next_id++;
    x.event = show_event;
    x.event_arg = &show;
    if (e == ERR_OK)
        e = CHAN_SEND(c, put, PUT, .id = x.id,
                      .flags = (streams ? MSG_PUT_SHARE : 0) | flags_of(work) |
                               (work->recheck ? MSG_PUT_RECHECK : 0) |
                               (work->whole || j->whole ? MSG_PUT_WHOLE : 0),
                      .path = slice_str(j->path));
    if (e == ERR_OK)
        e = xfer_send(&x, &source, &j->result);
    uint64_t wire = streams_end(streams, e);
    show_end(&show);
    if (c->failed && e != ERR_OK) {
        job_lose(j, batch_reason(w->link, shown, e, &j->result));
        return e;
    }
    /* The server's old version is not what its hashes say: what is damaged is no reason to fail. */
    if (e == ERR_CORRUPT && !j->whole && !work->whole) {
        log_warn("%s: %s; all of it is sent", shown, j->result.reason);
        j->whole = true;
        return worker_do(w, j);
    }
    if (may_be_own(j, e))
        return settle_doubt(w, j);
    return job_done(j, batch_reason(w->link, shown, e, &j->result), NULL,
                    tls_bytes_out(c->tls) - before + wire);
}

/* ---- symbolic links ---- */

static enum err link_answer(struct request *q, const struct frame *f, enum err status,
                            const char *reason)
{
    struct job *j = q->arg;
    if (f)
        return chan_unexpected(f, "in answer to a symbolic link");
    if (!q->lost)
        return job_done(j, status, reason, q->bytes);
    job_lose(j, status);
    return ERR_OK;
}

static enum err send_link(struct worker *w, struct job *j)
{
    uint32_t id;
    uint64_t bytes = strlen(j->path) + strlen(j->target);
    enum err e = pipeline_enter(&w->pipeline, link_answer, j, bytes, &id);
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    return pipeline_sent(&w->pipeline,
                         CHAN_SEND(&w->link->chan, symlink, SYMLINK, .id = id,
                                   .flags = flags_of(w->work), .path = slice_str(j->path),
                                   .target = slice_str(j->target)));
}

enum err upload(struct worker *w, struct job *j)
{
    if (j->target)
        return send_link(w, j);
    if (j->fd < 0) {
        enum err opened = open_again(j);
        if (opened != ERR_OK)
            return job_done(j, opened, NULL, 0);
    }
    kept_read(j);
    if (j->doubt)
        return settle_doubt(w, j);
    if (j->st.st_size > FS_SMALL_MAX)
        return send_long(w, j);
    enum err e = read_small(w, j);
    return e == ERR_OK ? send_small(w, j) : job_done(j, e, NULL, 0);
}
