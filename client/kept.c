/* SPDX-License-Identifier: ISC */
#include "kept.h"

#include "log.h"
#include "meta.h"
#include <stdlib.h>
#include <string.h>

enum { DUE_MAX = 512, DUE_BYTES = 4 << 20 };

struct kept {
    struct kept *next;
    struct worker *worker;
    char *path;  /* at the server */
    char *local; /* of a download: below work->fs; else NULL */
    struct meta meta;
    struct buf set; /* of an upload */
    bool came;      /* of a download: the answer's META */
    bool failed;    /* it is counted */
};

void kept_free(struct kept *k)
{
    if (!k)
        return;
    buf_release(&k->set);
    free(k->path);
    free(k->local);
    free(k);
}

static void count(struct kept *k, const struct work *w, const char *path, const char *reason)
{
    if (!k || !k->failed)
        batch_unkept((struct batch *)(uintptr_t)&w->batch, path, reason);
    if (k)
        k->failed = true;
}

static struct kept *new (const struct work *w, const char *path, const char *local)
{
    struct kept *k = calloc(1, sizeof *k);
    if (k) {
        k->path = strdup(path);
        k->local = local ? strdup(local) : NULL;
        buf_init(&k->set, META_SET_MAX);
    }
    if (k && k->path && (!local || k->local))
        return k;
    kept_free(k);
    count(NULL, w, path, "out of memory");
    return NULL;
}

static struct kept *read_source(const struct work *w, int fd, const char *shown, const char *path)
{
    struct kept *k = w->meta ? new (w, path, NULL) : NULL;
    log_hush(true);
    enum err e = k ? meta_read(fd, w->meta, shown, &k->set, &k->meta) : ERR_OK;
    log_hush(false);
    if (e != ERR_OK)
        count(k, w, shown, log_reason());
    if (!k || k->meta.set.n > 0 || k->meta.kinds & META_OWNERS)
        return k;
    kept_free(k);
    return NULL;
}

static void push(struct worker *w, struct kept *k)
{
    if (!k)
        return;
    k->worker = w;
    k->next = w->due;
    w->due = k;
    w->n_due++;
    w->due_bytes += k->set.len;
}

void kept_read(struct job *j)
{
    kept_free(j->kept);
    j->kept = read_source(j->worker->work, j->fd, j->local, j->path);
}

void kept_due(struct job *j)
{
    const struct work *w = j->worker->work;
    if (w->meta && !j->up && !j->target)
        j->kept = new (w, j->path, job_below(j));
    push(j->worker, j->kept);
    j->kept = NULL;
}

void kept_folder_up(struct worker *w, int fd, const char *shown, const char *path)
{
    push(w, read_source(w->work, fd, shown, path));
}

void kept_folder_down(struct worker *w, const char *path, const char *local)
{
    if (w->work->meta)
        push(w, new (w->work, path, local));
}

bool kept_full(const struct worker *w)
{
    return w->n_due >= DUE_MAX || w->due_bytes >= DUE_BYTES;
}

/* ---- requests ---- */

/* From the server: as it said, or nothing. */
static enum err take(struct request *q, const struct frame *f)
{
    struct kept *k = q->arg;
    struct work *w = k->worker->work;
    struct msg_meta m;
    if (f->type != MSG_META || k->came || !k->local)
        return chan_unexpected(f, "in answer to META_GET");
    if (!CHAN_GET(f, meta, &m) || m.id != q->id || m.path.n > 0 || m.flags & ~w->meta)
        return chan_malformed(f);
    k->came = true;
    struct meta meta = {m.flags, m.uid, m.gid, m.set};
    if (meta_check(&meta, k->path) != ERR_OK)
        return chan_malformed(f);
    log_hush(true);
    enum err e = fs_meta_set(&w->fs, k->local, &meta);
    log_hush(false);
    if (e != ERR_OK)
        count(k, w, k->local, log_reason());
    return ERR_OK;
}

static enum err on_answer(struct request *q, const struct frame *f, enum err status,
                          const char *reason)
{
    struct kept *k = q->arg;
    if (f)
        return take(q, f);
    if (status != ERR_OK)
        count(k, k->worker->work, k->path, reason);
    kept_free(k);
    return ERR_OK;
}

static enum err send_one(struct worker *w, struct kept *k)
{
    struct chan *c = &w->link->chan;
    uint32_t id;
    uint64_t bytes = strlen(k->path) + (k->local ? META_SET_MAX / 16 : k->set.len);
    enum err e = pipeline_enter(&w->pipeline, on_answer, k, bytes, &id);
    if (e != ERR_OK) {
        count(k, w->work, k->path, err_text(e));
        kept_free(k);
        return e;
    }
    if (k->local)
        e = CHAN_SEND(c, meta_get, META_GET, .id = id, .flags = w->work->meta,
                      .path = slice_str(k->path));
    else
        e = CHAN_SEND(c, meta, META, .id = id, .flags = k->meta.kinds, .uid = k->meta.uid,
                      .gid = k->meta.gid, .path = slice_str(k->path), .set = k->meta.set);
    return pipeline_sent(&w->pipeline, e);
}

static struct kept *pop(struct worker *w)
{
    struct kept *k = w->due;
    if (k) {
        w->due = k->next;
        w->n_due--;
        w->due_bytes -= k->set.len;
    }
    return k;
}

enum err kept_send(struct worker *w)
{
    enum err e = ERR_OK;
    for (struct kept *k; e == ERR_OK && (k = pop(w));)
        e = send_one(w, k);
    return e;
}

void kept_drop(struct worker *w)
{
    for (struct kept *k; (k = pop(w));) {
        count(k, w->work, k->path, "the connection was lost");
        kept_free(k);
    }
}
