/* SPDX-License-Identifier: ISC */
/* A local tree to the server. The walk fills batches; where files are compared first, the server is
 * asked about the next batch while the files of this one are sent. */
#include "trees.h"

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

static int open_again(const struct going_up *g, const struct looked_up *f)
{
    struct stat st;
    int fd = openat(g->top, f->rel,
                    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (f->followed ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_dev == f->st.st_dev && st.st_ino == f->st.st_ino)
        return fd;
    close(fd);
    errno = ESTALE;
    return -1;
}

static enum err send_file(struct going_up *g, int fd, const char *rel, const struct stat *st)
{
    char local[2 * PATH_MAX_BYTES], remote[PATH_MAX_BYTES + 1];
    bool fits = tree_join(g->w, g->file, rel, local, sizeof local) &&
                tree_join(g->w, g->path, rel, remote, sizeof remote);
    if (fits)
        tree_says(g->o, "send", local);
    if (!fits || g->o->dry_run) {
        close(fd);
        return ERR_OK;
    }
    struct job *j;
    enum err e = job_new(local, remote, fd, st, &j);
    return e == ERR_OK ? work_do(g->w, j) : e;
}

static void fault(struct going_up *g, const char *rel, enum err e, const char *why)
{
    char local[2 * PATH_MAX_BYTES];
    if (tree_join(g->w, g->file, rel, local, sizeof local))
        tree_fault(g->w, local, e, why);
}

static void fault_errno(struct going_up *g, const char *rel)
{
    fault(g, rel, errno == ESTALE ? ERR_CHANGED : err_from_errno(errno),
          errno == ESTALE ? "was replaced while it was read" : strerror(errno));
}

/* ---- comparing ---- */

static bool same_root(struct going_up *g, const struct looked_up *f)
{
    int fd = open_again(g, f);
    bool same = fd >= 0 && tree_has_root(g->w, fd, f->rel, (uint64_t)f->st.st_size, f->there.root);
    if (fd >= 0)
        close(fd);
    return same;
}

static bool must_go(struct going_up *g, const struct looked_up *f)
{
    const struct fs_info *t = &f->there;
    if (!f->known || t->type != MSG_FILE || t->size != (uint64_t)f->st.st_size)
        return true;
    if (g->o->compare == TREE_ROOTS)
        return !t->has_root || !same_root(g, f);
    return t->mtime_s != f->st.st_mtim.tv_sec || t->mtime_ns != (uint32_t)f->st.st_mtim.tv_nsec;
}

static enum err send_batch(struct going_up *g, struct lookup *l)
{
    enum err e = lookup_wait(l, &g->w->pipeline);
    for (size_t i = 0; i < l->n; i++) {
        struct looked_up *f = &l->list[i];
        if (e == ERR_OK && must_go(g, f)) {
            int fd = open_again(g, f);
            if (fd < 0)
                fault_errno(g, f->rel);
            else
                e = send_file(g, fd, f->rel, &f->st);
        } else if (e == ERR_OK) {
            g->w->work->batch.same++;
        }
    }
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
        fault_errno(g, entry->path);
        return ERR_OK;
    }
    return lookup_add(l, entry->path, &entry->st, entry->followed);
}

static void on_other(struct going_up *g, const struct walk_entry *entry)
{
    const char *links = g->o->links;
    if (entry->kind == WALK_LINK && links && strcmp(links, "skip") == 0)
        return;
    if (entry->kind == WALK_ERROR) {
        fault(g, entry->path, entry->error, entry->reason);
    } else {
        fault(g, entry->path, ERR_TYPE,
              entry->kind == WALK_LINK ? "is a symbolic link (see --links)"
                                       : "neither a file nor a folder");
    }
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
        else if (entry.kind != WALK_ENTER && entry.kind != WALK_LEAVE)
            on_other(g, &entry);
    }
    if (e != ERR_OK || l->n == 0)
        return e;
    return lookup_ask(l, &g->w->pipeline, g->path, g->o->compare == TREE_ROOTS);
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

static enum err send_folder_batch(struct going_up *g, struct lookup *l)
{
    enum err e = l->n > 0 ? lookup_ask(l, &g->w->pipeline, g->path, false) : ERR_OK;
    if (e == ERR_OK)
        e = lookup_wait(l, &g->w->pipeline);
    for (size_t i = 0; e == ERR_OK && i < l->n; i++)
        if (folder_differs(&l->list[i]))
            e = send_folder(g, l->list[i].rel, &l->list[i].st);
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
    lookup_clear(l);
    return e == ERR_OK ? pipeline_wait(&g->w->pipeline, 0) : e;
}

/* ---- the whole ---- */

static enum err begin(struct going_up *g)
{
    bool follow = g->o->links && strcmp(g->o->links, "follow") == 0;
    struct walk_options how = {tree_passes, (void *)(uintptr_t)g->o, follow};
    int fd = openat(g->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    walk_close(g->walk);
    g->walk = NULL;
    if (fd >= 0 && walk_open(fd, &how, &g->walk) == ERR_OK)
        return ERR_OK;
    return log_fail_errno("%s", g->file);
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
    enum err e = begin(g);
    if (e != ERR_OK) {
        e = batch_fail(&w->work->batch, e);
    } else if ((e = send_files(g)) == ERR_OK && (e = work_settle(w)) == ERR_OK) {
        if (o->delete)
            e = tree_prune_remote(w, o, g->top, path);
        if (e == ERR_OK && !o->dry_run && (e = begin(g)) == ERR_OK)
            e = send_folders(g);
    }
    /* What is under way may belong to g. */
    enum err settled = pipeline_wait(&w->pipeline, 0);
    walk_close(g->walk);
    close(g->top);
    free(g);
    return e == ERR_OK ? settled : e;
}
