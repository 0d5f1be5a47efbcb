/* SPDX-License-Identifier: ISC */
#include "crew.h"
#include "growth.h"
#include "kept.h"

#include "log.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err job_new(const char *local, const char *path, int fd, const struct stat *st,
                 struct job **out)
{
    struct job *j = calloc(1, sizeof *j);
    if (j)
        *j = (struct job){.fd = fd,
                          .up = fd >= 0,
                          .local = strdup(local),
                          .path = strdup(path),
                          .size = UINT64_MAX,
                          .started_ms = tls_now_ms()};
    if (j && j->local && j->path) {
        if (st)
            j->st = *st;
        *out = j;
        return ERR_OK;
    }
    if (j)
        job_free(j);
    else if (fd >= 0)
        close(fd);
    return log_fail(ERR_INTERNAL, "%s: out of memory", local);
}

enum err job_link(const char *local, const char *path, bool up, const char *target,
                  struct job **out)
{
    enum err e = job_new(local, path, -1, NULL, out);
    if (e != ERR_OK)
        return e;
    (*out)->up = up;
    if (((*out)->target = strdup(target)))
        return ERR_OK;
    job_free(*out);
    return log_fail(ERR_INTERNAL, "%s: out of memory", local);
}

void job_free(struct job *j)
{
    if (j->fd >= 0)
        close(j->fd);
    kept_free(j->kept);
    free(j->target);
    free(j->local);
    free(j->path);
    free(j);
}

/* Says what became of it. */
static enum err tell(const struct job *j, enum err e, const char *reason, uint64_t wire)
{
    const struct work *w = j->worker->work;
    char remote[PATH_MAX_BYTES + 80];
    struct show show;
    remote_text(w->at, j->path, remote, sizeof remote);
    if (reason && e != ERR_OK)
        e = log_fail(e, "%s: %s", remote, reason);
    if (!w->tree || options.json || options.verbose) {
        show_start(&show, w->op, j->up ? j->local : remote, j->up ? remote : j->local);
        show.started_ms = j->started_ms;
        show_result(&show, e, &j->result, wire);
    }
    return e;
}

enum err job_done(struct job *j, enum err e, const char *reason, uint64_t wire)
{
    struct work *w = j->worker->work;
    if (e != ERR_OK || !w->tree || options.json || options.verbose)
        e = tell(j, e, reason, wire);
    if (e == ERR_OK)
        kept_due(j);
    e = batch_count(&w->batch, e, &j->result);
    job_free(j);
    return e;
}

const char *job_below(const struct job *j)
{
    const char *base = j->worker->work->base;
    return j->local + (strcmp(base, "/") == 0 ? 0 : strlen(base));
}

void work_local(const struct work *w, const char *path, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s", strcmp(w->base, "/") == 0 ? "" : w->base, path);
}

void job_end(struct job *j, enum err e, uint64_t wire)
{
    enum err fatal = job_done(j, e, NULL, wire);
    (void)fatal;
}

void job_defer(struct job *j)
{
    struct worker *w = j->worker;
    j->next = w->later;
    w->later = j;
    w->n_later++;
}

void job_lose(struct job *j, enum err e)
{
    struct crew *c = j->worker->work->crew;
    if (crew_take_back(c, j))
        return;
    if (c)
        e = log_fail(e, "%s: each connection that it was moved over was lost", j->local);
    job_end(j, e, 0);
}

enum err worker_do(struct worker *w, struct job *j)
{
    j->worker = w;
    j->came = false;
    j->result = (struct xfer_result){0};
    enum err e = kept_full(w) ? kept_send(w) : ERR_OK;
    if (e != ERR_OK) {
        job_lose(j, e);
        return e;
    }
    return j->up ? upload(w, j) : download(w, j);
}

unsigned work_most(const struct work *w)
{
    /* Where a limit of ours is what holds it back, more connections bring nothing. */
    return w->connections > 0          ? (unsigned)w->connections
           : w->at->profile->rate != 0 ? 1
                                       : GROWTH_MOST;
}

unsigned work_first(const struct work *w)
{
    return w->connections > 0 ? (unsigned)w->connections : 1;
}

enum err work_check(struct work *w)
{
    w->meta =
        (w->xattrs ? META_XATTRS : 0) | (w->acls ? META_ACLS : 0) | (w->owners ? META_OWNERS : 0);
    if (w->connections < 0 || w->connections > CREW_MAX)
        return log_fail(ERR_USAGE, "--connections is 1 to %d, or 0 for as many as help", CREW_MAX);
    enum err e = profile_rate(w->at->profile, w->rate);
    return e == ERR_OK ? profile_compress(w->at->profile, w->compress) : e;
}

enum err work_open(struct worker *w, struct work *work, struct link *link)
{
    enum err e = worker_init(w, work, link);
    fs_keep_meta(&work->fs, work->meta, work->meta);
    if (e == ERR_OK && work_most(work) > 1 && work->tree)
        e = crew_open(work, w, work->at->profile);
    if (e != ERR_OK)
        worker_release(w);
    return e;
}

enum err work_close(struct worker *w, enum err e)
{
    enum err settled = work_settle(w);
    crew_close(w->work->crew);
    worker_release(w);
    return batch_end(&w->work->batch, w->work->op, w->work->tree, e == ERR_OK ? settled : e);
}

enum err work_do(struct worker *w, struct job *j)
{
    j->worker = w;
    return w->work->crew ? crew_do(w->work->crew, j) : worker_do(w, j);
}

enum err work_settle(struct worker *w)
{
    return w->work->crew ? crew_settle(w->work->crew) : worker_settle(w);
}

enum err worker_init(struct worker *w, struct work *work, struct link *link)
{
    *w = (struct worker){.work = work, .link = link, .bytes = malloc(FS_SMALL_MAX + 1)};
    pipeline_init(&w->pipeline, link);
    if (!w->bytes)
        return log_fail(ERR_INTERNAL, "out of memory for small files");
    return work->fs.n > 0 ? fs_group_new(&work->fs, &w->group) : ERR_OK;
}

void worker_release(struct worker *w)
{
    kept_drop(w);
    fs_group_free(w->group);
    w->group = NULL;
    free(w->bytes);
    w->bytes = NULL;
}

enum err worker_settle(struct worker *w)
{
    enum err e = pipeline_wait(&w->pipeline, 0);
    if (w->group)
        download_commit(w);
    while (w->later) {
        struct job *j = w->later;
        w->later = j->next;
        w->n_later--;
        if (e == ERR_OK)
            e = worker_do(w, j);
        else
            job_lose(j, e);
    }
    if (e == ERR_OK && (e = kept_send(w)) == ERR_OK)
        e = pipeline_wait(&w->pipeline, 0);
    return e;
}
