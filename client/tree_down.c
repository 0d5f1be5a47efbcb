/* SPDX-License-Identifier: ISC */
/* A tree at the server to here. The server walks; what must be fetched is asked for over the same
 * pipeline, and so are roots that must be compared, many at once. */
#include "trees.h"

#include "kept.h"
#include "log.h"
#include "remote_walk.h"
#include "roots.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASKED_MAX = 128 };

/* A file of our length whose root the server has not stored: it hashes it meanwhile. */
struct asked {
    char *rel;
    struct fs_info there;
    struct root_question root;
};

struct going_down {
    struct worker *w;
    const struct tree_options *o;
    const char *path, *local; /* what the tree is called there, and below work->fs */
    int base;                 /* the folder local, -1: it is not there yet */
    struct asked asked[ASKED_MAX];
    size_t n_asked;
};

/* What stands here under rel; false for nothing. */
static bool look(const struct going_down *g, const char *rel, struct stat *st)
{
    return g->base >= 0 && fstatat(g->base, rel, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- fetching ---- */

static enum err fetch(struct going_down *g, const char *rel, const struct fs_info *there)
{
    char remote[PATH_MAX_BYTES + 1], local[PATH_MAX_BYTES + 1], shown[2 * PATH_MAX_BYTES];
    struct job *j;
    if (!tree_join(g->w, g->path, rel, remote, sizeof remote) ||
        !tree_join(g->w, g->local, rel, local, sizeof local))
        return ERR_OK;
    work_local(g->w->work, local, shown, sizeof shown);
    tree_says(g->o, "fetch", remote);
    if (g->o->dry_run)
        return ERR_OK;
    enum err e = job_new(shown, remote, -1, NULL, &j);
    if (e != ERR_OK)
        return e;
    j->size = there->size;
    return work_do(g->w, j);
}

static enum err fetch_or_not(struct going_down *g, const char *rel, const struct fs_info *there,
                             bool same)
{
    g->w->work->batch.same += same;
    return same ? ERR_OK : fetch(g, rel, there);
}

/* ---- comparing ---- */

/* There is a file of that length here: whether it has the root that the server has stored, or says. */
static enum err compare_roots(struct going_down *g, const char *rel, const struct fs_info *there,
                              struct root_question *q)
{
    struct stat st;
    bool same = false;
    enum err e = ERR_OK;
    int fd = openat(g->base, rel, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        e = roots_same(q, &g->w->pipeline, fd, rel, &st, there, &same);
    if (fd >= 0)
        close(fd);
    return e == ERR_OK ? fetch_or_not(g, rel, there, same) : e;
}

/* Compares what was asked for; after an error, e, only waits for the answers, which go to g. */
static enum err compare_asked(struct going_down *g, enum err e)
{
    for (size_t i = 0; i < g->n_asked; i++) {
        struct asked *a = &g->asked[i];
        if (e == ERR_OK)
            e = compare_roots(g, a->rel, &a->there, &a->root);
        enum err told = roots_wait(&a->root, &g->w->pipeline);
        e = e == ERR_OK ? told : e;
        free(a->rel);
    }
    g->n_asked = 0;
    return e;
}

static enum err ask(struct going_down *g, const char *rel, const struct fs_info *there)
{
    char remote[PATH_MAX_BYTES + 1];
    struct pipeline *p = &g->w->pipeline;
    struct asked *a = &g->asked[g->n_asked];
    if (!tree_join(g->w, g->path, rel, remote, sizeof remote))
        return ERR_OK;
    *a = (struct asked){.rel = strdup(rel), .there = *there};
    if (!a->rel)
        return log_fail(ERR_INTERNAL, "%s: out of memory", rel);
    g->n_asked++;
    enum err e = roots_ask(&a->root, p, remote, &a->there);
    if (e == ERR_OK)
        e = pipeline_sent(p, chan_flush(&p->link->chan));
    return e == ERR_OK && g->n_asked == ASKED_MAX ? compare_asked(g, ERR_OK) : e;
}

static enum err on_file(struct going_down *g, const char *rel, const struct fs_info *there)
{
    struct root_question none = {0};
    struct stat st;
    bool same = g->o->compare != TREE_ALL && look(g, rel, &st) && S_ISREG(st.st_mode) &&
                (uint64_t)st.st_size == there->size;
    if (same && g->o->compare == TREE_ROOTS)
        return there->has_root ? compare_roots(g, rel, there, &none) : ask(g, rel, there);
    return fetch_or_not(g, rel, there,
                        same && st.st_mtim.tv_sec == there->mtime_s &&
                            (uint32_t)st.st_mtim.tv_nsec == there->mtime_ns);
}

/* ---- the walk ---- */

static enum err on_item(struct going_down *g, struct remote_walk *walk,
                        const struct remote_item *item)
{
    char remote[PATH_MAX_BYTES + 1];
    const char *links = g->o->links;
    uint8_t type = item->info.type;
    if (type == MSG_LEAVE)
        return ERR_OK;
    if (type == MSG_FAULT) {
        if (tree_join(g->w, g->path, item->path, remote, sizeof remote))
            tree_fault(g->w, remote, item->fault, err_text(item->fault));
        return ERR_OK;
    }
    if (!tree_passes((void *)(uintptr_t)g->o, item->path, type == MSG_FOLDER)) {
        if (type == MSG_FOLDER)
            remote_walk_skip(walk);
        return ERR_OK;
    }
    if (type == MSG_FILE)
        return on_file(g, item->path, &item->info);
    if (type == MSG_FOLDER || (type == MSG_LINK && links && strcmp(links, "skip") == 0) ||
        (type == MSG_LINK && tree_keeps_links(g->o)))
        return ERR_OK;
    if (tree_join(g->w, g->path, item->path, remote, sizeof remote))
        tree_fault(g->w, remote, ERR_TYPE,
                   type == MSG_LINK ? "is a symbolic link (see --links)"
                                    : "neither a file nor a folder");
    return ERR_OK;
}

/* Attributes are not compared; those of a folder that only leads to virtual roots are none. */
static enum err fetch_folder_meta(struct going_down *g, const char *rel,
                                  const struct fs_info *there)
{
    char remote[PATH_MAX_BYTES + 1], local[PATH_MAX_BYTES + 1];
    if (there->mode && tree_join(g->w, g->path, rel, remote, sizeof remote) &&
        tree_join(g->w, g->local, rel, local, sizeof local))
        kept_folder_down(g->w, remote, local);
    return kept_full(g->w) ? kept_send(g->w) : ERR_OK;
}

static enum err set_folder(struct going_down *g, const char *rel, const struct fs_info *there)
{
    struct work *work = g->w->work;
    char local[PATH_MAX_BYTES + 1];
    struct fs_attributes a = {true, there->mode, there->mtime_s, there->mtime_ns};
    struct stat st;
    if (rel[0] && look(g, rel, &st) && S_ISDIR(st.st_mode) && st.st_mtim.tv_sec == there->mtime_s &&
        (uint32_t)st.st_mtim.tv_nsec == there->mtime_ns &&
        (st.st_mode & 07777) == ((there->mode & 0755) | 0700))
        return ERR_OK;
    if (!tree_join(g->w, g->local, rel, local, sizeof local))
        return ERR_OK;
    /* A folder that only leads to virtual roots has none of its own. */
    enum err e =
        there->mode ? fs_attributes(&work->fs, local, &a) : fs_mkdir(&work->fs, local, 0755, true);
    return e == ERR_OK ? e : batch_fail(&work->batch, e);
}

static enum err on_folder(struct going_down *g, const char *rel, const struct fs_info *there)
{
    enum err e = set_folder(g, rel, there);
    return e == ERR_OK ? fetch_folder_meta(g, rel, there) : e;
}

/* Made once all files are there, so that nothing is asked of the name of a link afterwards; by this connection,
 * before its folder gets its time. */
static enum err on_link(struct going_down *g, const char *rel, const char *target)
{
    char remote[PATH_MAX_BYTES + 1], local[PATH_MAX_BYTES + 1], shown[2 * PATH_MAX_BYTES];
    char here[FS_TARGET_MAX + 1];
    struct job *j;
    if (!tree_join(g->w, g->path, rel, remote, sizeof remote) ||
        !tree_join(g->w, g->local, rel, local, sizeof local))
        return ERR_OK;
    if (!target) {
        tree_fault(g->w, remote, ERR_DENIED, "is a symbolic link, and its target is not told");
        return ERR_OK;
    }
    if (g->o->compare != TREE_ALL && g->base >= 0 && tree_target(g->base, rel, here) &&
        strcmp(here, target) == 0) {
        g->w->work->batch.same++;
        return ERR_OK;
    }
    work_local(g->w->work, local, shown, sizeof shown);
    tree_says(g->o, "fetch", remote);
    if (g->o->dry_run)
        return ERR_OK;
    enum err e = job_link(shown, remote, false, target, &j);
    return e == ERR_OK ? worker_do(g->w, j) : e;
}

/* The second time: what is left to do when the files are there. Faults were counted the first time. */
static enum err on_rest(struct going_down *g, struct remote_walk *walk,
                        const struct remote_item *item)
{
    uint8_t type = item->info.type;
    bool passes =
        type != MSG_FAULT && tree_passes((void *)(uintptr_t)g->o, item->path, type != MSG_LINK);
    if (type == MSG_FOLDER && !passes)
        remote_walk_skip(walk);
    else if (type == MSG_LEAVE && !g->o->dry_run)
        return on_folder(g, item->path, &item->info);
    else if (type == MSG_LINK && passes)
        return on_link(g, item->path, item->info.target);
    return ERR_OK;
}

/* One walk. An error of the server's (no such folder) is counted, one of the connection's ends all. */
static enum err walk(struct going_down *g, uint32_t flags,
                     enum err (*each)(struct going_down *, struct remote_walk *,
                                      const struct remote_item *))
{
    struct remote_walk *walk = NULL;
    struct remote_item item;
    enum err e = remote_walk_open(&g->w->pipeline, g->path, flags, &walk), next = ERR_OK;
    while (e == ERR_OK && (next = remote_walk_next(walk, &item)) == ERR_OK)
        e = each(g, walk, &item);
    e = compare_asked(g, e);
    remote_walk_close(walk);
    if (e != ERR_OK || next == ERR_NOENT)
        return e;
    return g->w->link->chan.failed ? next : batch_fail(&g->w->work->batch, next);
}

static int open_base(const struct going_down *g)
{
    struct work *w = g->w->work;
    char shown[2 * PATH_MAX_BYTES];
    work_local(w, g->local, shown, sizeof shown);
    return open(shown, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum err go(struct going_down *g, uint64_t failed)
{
    struct worker *w = g->w;
    struct fs_info top;
    enum err e = link_stat(w->link, g->path, false, false, &top);
    if (e != ERR_OK)
        return w->link->chan.failed ? e : batch_fail(&w->work->batch, e);
    bool links = tree_keeps_links(g->o);
    e = walk(g, g->o->compare == TREE_ROOTS ? MSG_ITEMS_ROOTS : 0, on_item);
    if (e == ERR_OK)
        e = work_settle(w);
    if (e == ERR_OK && g->o->delete)
        e = tree_prune_local(w, g->o, g->path, g->local);
    if (e == ERR_OK && (links || !g->o->dry_run))
        e = walk(g, links ? MSG_ITEMS_LINKS : MSG_WALK_FOLDERS, on_rest);
    if (e == ERR_OK && !g->o->dry_run && (top.mode != 0 || failed == w->work->batch.failed))
        e = on_folder(g, "", &top);
    if (e == ERR_OK && (e = kept_send(w)) == ERR_OK)
        e = pipeline_wait(&w->pipeline, 0);
    return e;
}

enum err tree_down(struct worker *w, const struct tree_options *o, const char *path,
                   const char *local)
{
    struct going_down *g = calloc(1, sizeof *g);
    if (!g)
        return log_fail(ERR_INTERNAL, "out of memory for a tree");
    *g = (struct going_down){.w = w, .o = o, .path = path, .local = local, .base = -1};
    enum err e = work_settle(w);
    uint64_t failed = w->work->batch.failed;
    if (e == ERR_OK) {
        g->base = open_base(g);
        e = go(g, failed);
    }
    if (g->base >= 0)
        close(g->base);
    free(g);
    return e;
}
