/* SPDX-License-Identifier: ISC */
/* What sync --delete takes away. Both ways the tree is gone through twice: first to count, so that
 * nothing is deleted when it is too much, then to delete. */
#include "trees.h"

#include "log.h"
#include "lookup.h"
#include "remote_walk.h"
#include "walk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pruning {
    struct worker *w;
    const struct tree_options *o;
    int top;           /* the local folder */
    const char *path;  /* at the server */
    const char *local; /* below work->fs */
    bool count;        /* the first time */
    uint64_t found;
};

static enum err on_removed(struct request *q, const struct frame *f, enum err status,
                           const char *reason)
{
    struct pruning *p = q->arg;
    struct batch *b = &p->w->work->batch;
    if (f)
        return chan_unexpected(f, "in answer to REMOVE");
    if (q->lost)
        return ERR_OK;
    if (status == ERR_OK || status == ERR_NOENT)
        b->deleted += status == ERR_OK;
    else
        batch_fail(b, log_fail(status, "%s", reason));
    return ERR_OK;
}

/* ---- at the server ---- */

static enum err remove_remote(struct pruning *p, const char *rel, bool folder)
{
    char path[PATH_MAX_BYTES + 1], shown[PATH_MAX_BYTES + 80];
    uint32_t id;
    p->found++;
    if (p->count || !tree_join(p->w, p->path, rel, path, sizeof path))
        return ERR_OK;
    remote_text(p->w->work->at, path, shown, sizeof shown);
    tree_says(p->o, "delete", shown);
    if (p->o->dry_run)
        return ERR_OK;
    enum err e = pipeline_enter(&p->w->pipeline, on_removed, p, strlen(path), &id);
    if (e != ERR_OK)
        return e;
    return pipeline_sent(&p->w->pipeline, CHAN_SEND(&p->w->link->chan, remove, REMOVE, .id = id,
                                                    .flags = folder ? MSG_REMOVE_FOLDER : 0,
                                                    .path = slice_str(path)));
}

static bool here(const struct pruning *p, const char *rel)
{
    struct stat st;
    return fstatat(p->top, rel, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static enum err on_remote(struct pruning *p, struct remote_walk *walk,
                          const struct remote_item *item)
{
    uint8_t type = item->info.type;
    if (type == MSG_FAULT)
        return ERR_OK;
    bool folder = type == MSG_FOLDER || type == MSG_LEAVE;
    if (!tree_passes((void *)(uintptr_t)p->o, item->path, folder)) {
        if (type == MSG_FOLDER)
            remote_walk_skip(walk);
        return ERR_OK;
    }
    if (type == MSG_FOLDER || here(p, item->path))
        return ERR_OK;
    return remove_remote(p, item->path, folder);
}

static enum err go_through_remote(struct pruning *p)
{
    struct remote_walk *walk = NULL;
    struct remote_item item;
    enum err next = ERR_OK;
    enum err e = remote_walk_open(&p->w->pipeline, p->path, 0, &walk);
    while (e == ERR_OK && (next = remote_walk_next(walk, &item)) == ERR_OK)
        e = on_remote(p, walk, &item);
    remote_walk_close(walk);
    if (e == ERR_OK && next != ERR_NOENT)
        e = p->w->link->chan.failed ? next : batch_fail(&p->w->work->batch, next);
    enum err settled = pipeline_wait(&p->w->pipeline, 0);
    return e == ERR_OK ? settled : e;
}

/* ---- here ---- */

static void remove_local(struct pruning *p, const struct looked_up *l)
{
    struct work *work = p->w->work;
    char path[PATH_MAX_BYTES + 1], shown[2 * PATH_MAX_BYTES];
    p->found++;
    if (p->count || !tree_join(p->w, p->local, l->rel, path, sizeof path))
        return;
    work_local(work, path, shown, sizeof shown);
    tree_says(p->o, "delete", shown);
    if (p->o->dry_run)
        return;
    enum err e = fs_remove(&work->fs, path, S_ISDIR(l->st.st_mode));
    work->batch.deleted += e == ERR_OK;
    if (e != ERR_OK && e != ERR_NOENT)
        batch_fail(&work->batch, e);
}

static enum err judge(struct pruning *p, struct lookup *l)
{
    enum err e = l->n > 0 ? lookup_ask(l, &p->w->pipeline, p->path, 0) : ERR_OK;
    if (e == ERR_OK)
        e = lookup_wait(l, &p->w->pipeline);
    for (size_t i = 0; e == ERR_OK && i < l->n; i++)
        if (l->list[i].known && l->list[i].there.type == MSG_MISSING)
            remove_local(p, &l->list[i]);
    lookup_clear(l);
    return e;
}

static enum err go_through_local(struct pruning *p)
{
    struct walk_options how = {tree_passes, (void *)(uintptr_t)p->o, false};
    struct walk_entry entry;
    struct walk *walk = NULL;
    struct lookup *l = calloc(1, sizeof *l);
    int fd = openat(p->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err e = !l ? log_fail(ERR_INTERNAL, "out of memory for a batch")
                 : fd < 0 || walk_open(fd, &how, &walk) != ERR_OK
                     ? batch_fail(&p->w->work->batch, log_fail_errno("%s", p->local))
                     : ERR_OK;
    while (e == ERR_OK && walk && walk_next(walk, &entry) == ERR_OK) {
        if (entry.kind != WALK_ENTER && entry.kind != WALK_ERROR)
            e = lookup_add(l, entry.path, &entry.st, false);
        if (e == ERR_OK && lookup_full(l))
            e = judge(p, l);
    }
    if (e == ERR_OK && l)
        e = judge(p, l);
    walk_close(walk);
    free(l);
    return e;
}

/* ---- both ---- */

static enum err prune(struct pruning *p, enum err (*go_through)(struct pruning *))
{
    struct batch *b = &p->w->work->batch;
    if (b->failed > 0) {
        log_warn("nothing is deleted, as not all files are in order");
        return ERR_OK;
    }
    p->count = true;
    enum err e = go_through(p);
    if (e != ERR_OK || p->found == 0 || b->failed > 0)
        return e;
    if (p->found > (uint64_t)p->o->max_delete)
        return batch_fail(b, log_fail(ERR_LIMIT,
                                      "nothing is deleted: %llu things would have been, more than "
                                      "--max-delete %d",
                                      (unsigned long long)p->found, p->o->max_delete));
    p->count = false;
    return go_through(p);
}

enum err tree_prune_remote(struct worker *w, const struct tree_options *o, int top,
                           const char *path)
{
    struct pruning p = {.w = w, .o = o, .top = top, .path = path};
    return prune(&p, go_through_remote);
}

enum err tree_prune_local(struct worker *w, const struct tree_options *o, const char *path,
                          const char *local)
{
    char shown[2 * PATH_MAX_BYTES];
    work_local(w->work, local, shown, sizeof shown);
    struct pruning p = {.w = w, .o = o, .path = path, .local = local};
    p.top = open(shown, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.top < 0)
        return errno == ENOENT ? ERR_OK : batch_fail(&w->work->batch, log_fail_errno("%s", shown));
    enum err e = prune(&p, go_through_local);
    close(p.top);
    return e;
}
