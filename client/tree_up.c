/* SPDX-License-Identifier: ISC */
/* A local tree to the server. The walk fills batches; where files are compared first, the server is
 * asked about the next batch while the files of this one are sent. */
#include "trees.h"

#include "kept.h"
#include "log.h"
#include "lookup.h"
#include "walk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct going_up {
    struct worker *w;
    const struct tree_options *o;
    int top;
    const char *file, *path; /* what top is called here and there */
    struct walk *walk;
    struct lookup lookups[2];
    bool warned;
};

/* ---- one file ---- */

/* Says that rel is sent, and its names; false when it is not. */
static bool begin_sending(struct going_up *g, const char *rel,
                          char local[static 2 * PATH_MAX_BYTES],
                          char remote[static PATH_MAX_BYTES + 1])
{
    bool fits = tree_join(g->w, g->file, rel, local, (size_t)2 * PATH_MAX_BYTES) &&
                tree_join(g->w, g->path, rel, remote, PATH_MAX_BYTES + 1);
    if (fits)
        tree_says(g->o, "send", local);
    return fits && !g->o->dry_run;
}

static enum err send_file(struct going_up *g, int fd, const char *rel, const struct stat *st)
{
    char local[2 * PATH_MAX_BYTES], remote[PATH_MAX_BYTES + 1];
    struct job *j;
    if (!begin_sending(g, rel, local, remote)) {
        close(fd);
        return ERR_OK;
    }
    enum err e = job_new(local, remote, fd, st, &j);
    return e == ERR_OK ? work_do(g->w, j) : e;
}

static enum err send_link(struct going_up *g, const char *rel)
{
    char local[2 * PATH_MAX_BYTES], remote[PATH_MAX_BYTES + 1], target[FS_TARGET_MAX + 1];
    struct job *j;
    if (!tree_target(g->top, rel, target)) {
        tree_fault_errno(g->w, g->file, rel);
        return ERR_OK;
    }
    if (!begin_sending(g, rel, local, remote))
        return ERR_OK;
    enum err e = job_link(local, remote, true, target, &j);
    return e == ERR_OK ? work_do(g->w, j) : e;
}

/* ---- comparing ---- */

static enum err same_content(struct going_up *g, struct looked_up *f, bool *same)
{
    int fd = lookup_open(f, g->top);
    *same = false;
    if (fd < 0)
        return ERR_OK;
    enum err e = roots_same(&f->root, &g->w->pipeline, fd, f->rel, &f->st, &f->there, same);
    close(fd);
    return e;
}

static bool same_target(const struct going_up *g, const struct looked_up *f)
{
    char target[FS_TARGET_MAX + 1];
    return f->known && f->target && tree_target(g->top, f->rel, target) &&
           strcmp(target, f->target) == 0;
}

static enum err must_go(struct going_up *g, struct looked_up *f, bool *go)
{
    if (S_ISLNK(f->st.st_mode)) {
        *go = !same_target(g, f);
        return ERR_OK;
    }
    const struct fs_info *t = &f->there;
    bool same = f->known && t->type == MSG_FILE && t->size == (uint64_t)f->st.st_size;
    enum err e = ERR_OK;
    if (same && g->o->compare == TREE_ROOTS)
        e = same_content(g, f, &same);
    else if (same)
        same = t->mtime_s == f->st.st_mtim.tv_sec && t->mtime_ns == (uint32_t)f->st.st_mtim.tv_nsec;
    *go = !same;
    return e;
}

static enum err send_or_not(struct going_up *g, struct looked_up *f)
{
    bool go;
    enum err e = must_go(g, f, &go);
    if (e != ERR_OK)
        return e;
    if (!go) {
        g->w->work->batch.same++;
        return ERR_OK;
    }
    if (S_ISLNK(f->st.st_mode))
        return send_link(g, f->rel);
    int fd = lookup_open(f, g->top);
    if (fd >= 0)
        return send_file(g, fd, f->rel, &f->st);
    tree_fault_errno(g->w, g->file, f->rel);
    return ERR_OK;
}

static enum err send_batch(struct going_up *g, struct lookup *l)
{
    enum err e = lookup_wait(l, &g->w->pipeline);
    if (e == ERR_OK && g->o->compare == TREE_ROOTS)
        e = lookup_ask_roots(l, &g->w->pipeline, g->path);
    for (size_t i = 0; e == ERR_OK && i < l->n; i++)
        e = send_or_not(g, &l->list[i]);
    lookup_clear(l);
    return e;
}

/* ---- the walk ---- */

static enum err on_file(struct going_up *g, const struct walk_entry *entry, struct lookup *l)
{
    if (g->o->compare == TREE_ALL) {
        int fd = walk_open_file(entry, O_RDONLY);
        if (fd >= 0)
            return send_file(g, fd, entry->path, &entry->st);
        tree_fault_errno(g->w, g->file, entry->path);
        return ERR_OK;
    }
    return lookup_add(l, entry->path, &entry->st, entry->followed);
}

/* Walks on until l is full or the tree is at its end. */
static enum err fill(struct going_up *g, struct lookup *l, bool *end)
{
    struct walk_entry entry;
    enum err e = ERR_OK;
    while (e == ERR_OK && !lookup_full(l)) {
        *end = walk_next(g->walk, &entry) != ERR_OK;
        if (*end)
            break;
        if (entry.kind == WALK_FILE)
            e = on_file(g, &entry, l);
        else if (entry.kind == WALK_LINK && tree_keeps_links(g->o))
            e = g->o->compare == TREE_ALL ? send_link(g, entry.path)
                                          : lookup_add(l, entry.path, &entry.st, false);
        else if (entry.kind != WALK_ENTER && entry.kind != WALK_LEAVE)
            tree_pass_over(g->w, g->o, g->file, &entry);
    }
    if (e != ERR_OK || l->n == 0)
        return e;
    return lookup_ask(l, &g->w->pipeline, g->path, tree_items(g->o));
}

static enum err send_files(struct going_up *g)
{
    bool end = false;
    unsigned now = 0;
    enum err e = fill(g, &g->lookups[now], &end);
    while (e == ERR_OK && g->lookups[now].n > 0) {
        if (!end)
            e = fill(g, &g->lookups[!now], &end);
        if (e == ERR_OK)
            e = send_batch(g, &g->lookups[now]);
        now = !now;
    }
    for (unsigned i = 0; i < 2; i++)
        lookup_clear(&g->lookups[i]);
    return e;
}

/* ---- folders ---- */

static enum err attributes_answer(struct request *q, const struct frame *f, enum err status,
                                  const char *reason)
{
    struct going_up *g = q->arg;
    if (f)
        return chan_unexpected(f, "in answer to ATTRIBUTES");
    if (q->lost || status == ERR_OK)
        return ERR_OK;
    /* Who may not make folders may well send into one; that is no failure of a file. */
    if (status == ERR_DENIED) {
        if (!g->warned)
            log_warn("folders keep their modes and times, empty ones are not made: %s", reason);
        g->warned = true;
        return ERR_OK;
    }
    return batch_fail(&g->w->work->batch, log_fail(status, "%s", reason));
}

static enum err send_folder(struct going_up *g, const char *rel, const struct stat *st)
{
    char remote[PATH_MAX_BYTES + 1];
    uint32_t id;
    if (!tree_join(g->w, g->path, rel, remote, sizeof remote))
        return ERR_OK;
    enum err e = pipeline_enter(&g->w->pipeline, attributes_answer, g, strlen(remote), &id);
    if (e != ERR_OK)
        return e;
    return pipeline_sent(
        &g->w->pipeline,
        CHAN_SEND(&g->w->link->chan, attributes, ATTRIBUTES, .id = id, .flags = MSG_ATTRIBUTES_MAKE,
                  .mode = st->st_mode & 0777, .mtime_s = (uint64_t)st->st_mtim.tv_sec,
                  .mtime_ns = (uint32_t)st->st_mtim.tv_nsec, .path = slice_str(remote)));
}

/* Whether the server's folder has another mode or time, or there is none. */
static bool folder_differs(const struct looked_up *f)
{
    const struct fs_info *t = &f->there;
    return !f->known || t->type != MSG_FOLDER || t->mtime_s != f->st.st_mtim.tv_sec ||
           t->mtime_ns != (uint32_t)f->st.st_mtim.tv_nsec ||
           t->mode != ((f->st.st_mode & 0755) | 0700);
}

/* Whether or not it differs: attributes are not compared. */
static enum err send_folder_meta(struct going_up *g, const struct looked_up *f)
{
    char local[2 * PATH_MAX_BYTES], remote[PATH_MAX_BYTES + 1];
    struct worker *w = g->w;
    int fd = w->work->meta ? lookup_open(f, g->top) : -1;
    if (fd < 0)
        return ERR_OK;
    if (tree_join(w, g->file, f->rel, local, sizeof local) &&
        tree_join(w, g->path, f->rel, remote, sizeof remote))
        kept_folder_up(w, fd, local, remote);
    close(fd);
    return kept_full(w) ? kept_send(w) : ERR_OK;
}

static enum err send_folder_batch(struct going_up *g, struct lookup *l)
{
    enum err e = l->n > 0 ? lookup_ask(l, &g->w->pipeline, g->path, 0) : ERR_OK;
    if (e == ERR_OK)
        e = lookup_wait(l, &g->w->pipeline);
    for (size_t i = 0; e == ERR_OK && i < l->n; i++) {
        if (folder_differs(&l->list[i]))
            e = send_folder(g, l->list[i].rel, &l->list[i].st);
        if (e == ERR_OK)
            e = send_folder_meta(g, &l->list[i]);
    }
    lookup_clear(l);
    return e;
}

/* Once all files are there, as what is made in a folder moves its time. */
static enum err send_folders(struct going_up *g)
{
    struct lookup *l = &g->lookups[0];
    struct walk_entry entry;
    struct stat st;
    enum err e = ERR_OK;
    while (e == ERR_OK && walk_next(g->walk, &entry) == ERR_OK) {
        if (entry.kind == WALK_LEAVE)
            e = lookup_add(l, entry.path, &entry.st, false);
        if (e == ERR_OK && lookup_full(l))
            e = send_folder_batch(g, l);
    }
    if (e == ERR_OK)
        e = send_folder_batch(g, l);
    if (e == ERR_OK && fstat(g->top, &st) == 0)
        e = send_folder(g, "", &st);
    if (e == ERR_OK) {
        kept_folder_up(g->w, g->top, g->file, g->path);
        e = kept_send(g->w);
    }
    lookup_clear(l);
    return e == ERR_OK ? pipeline_wait(&g->w->pipeline, 0) : e;
}

/* ---- the whole ---- */

static enum err begin(struct going_up *g, bool folders)
{
    walk_close(g->walk);
    return tree_walk(g->o, folders, g->top, g->file, &g->walk);
}

enum err tree_up(struct worker *w, const struct tree_options *o, int fd, const char *file,
                 const char *path)
{
    struct going_up *g = calloc(1, sizeof *g);
    if (!g) {
        close(fd);
        return log_fail(ERR_INTERNAL, "out of memory for a tree");
    }
    *g = (struct going_up){.w = w, .o = o, .top = fd, .file = file, .path = path};
    enum err e = begin(g, false);
    if (e != ERR_OK) {
        e = batch_fail(&w->work->batch, e);
    } else if ((e = send_files(g)) == ERR_OK && (e = work_settle(w)) == ERR_OK) {
        if (o->delete)
            e = tree_prune_remote(w, o, g->top, path);
        if (e == ERR_OK && !o->dry_run && (e = begin(g, true)) == ERR_OK)
            e = send_folders(g);
    }
    /* What is under way may belong to g. */
    enum err settled = pipeline_wait(&w->pipeline, 0);
    walk_close(g->walk);
    close(g->top);
    free(g);
    return e == ERR_OK ? settled : e;
}
