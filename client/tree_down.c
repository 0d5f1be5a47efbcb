/* SPDX-License-Identifier: ISC */
/* A tree at the server to here. The server walks; what must be fetched is asked for over the same
 * pipeline. */
#include "trees.h"

#include "log.h"
#include "remote_walk.h"
#include "roots.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct going_down {
    struct worker *w;
    const struct tree_options *o;
    const char *path, *local; /* what the tree is called there, and below work->fs */
    int base;                 /* the folder local, -1: it is not there yet */
};

/* What stands here under rel; false for nothing. */
static bool look(const struct going_down *g, const char *rel, struct stat *st)
{
    return g->base >= 0 && fstatat(g->base, rel, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum err same_content(struct going_down *g, const char *rel, const struct stat *st,
                             const struct fs_info *there, bool *same)
{
    char remote[PATH_MAX_BYTES + 1];
    struct pipeline *p = &g->w->pipeline;
    struct root_question q = {0};
    struct fs_info info = *there;
    enum err e = ERR_OK;
    *same = false;
    int fd = openat(g->base, rel, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || !tree_join(g->w, g->path, rel, remote, sizeof remote)) {
        if (fd >= 0)
            close(fd);
        return e;
    }
    if (!there->has_root && (e = roots_ask(&q, p, remote, &info)) == ERR_OK)
        e = pipeline_sent(p, chan_flush(&p->link->chan));
    if (e == ERR_OK)
        e = roots_same(&q, p, fd, rel, st, &info, same);
    close(fd);
    return e;
}

static enum err must_come(struct going_down *g, const char *rel, const struct fs_info *there,
                          bool *come)
{
    struct stat st;
    bool same = g->o->compare != TREE_ALL && look(g, rel, &st) && S_ISREG(st.st_mode) &&
                (uint64_t)st.st_size == there->size;
    enum err e = ERR_OK;
    if (same && g->o->compare == TREE_ROOTS)
        e = same_content(g, rel, &st, there, &same);
    else if (same)
        same =
            st.st_mtim.tv_sec == there->mtime_s && (uint32_t)st.st_mtim.tv_nsec == there->mtime_ns;
    *come = !same;
    return e;
}

static enum err fetch_file(struct going_down *g, const struct remote_item *item)
{
    struct work *work = g->w->work;
    char remote[PATH_MAX_BYTES + 1], local[PATH_MAX_BYTES + 1], shown[2 * PATH_MAX_BYTES];
    bool come;
    enum err e = must_come(g, item->path, &item->info, &come);
    if (e != ERR_OK)
        return e;
    if (!come) {
        work->batch.same++;
        return ERR_OK;
    }
    if (!tree_join(g->w, g->path, item->path, remote, sizeof remote) ||
        !tree_join(g->w, g->local, item->path, local, sizeof local))
        return ERR_OK;
    work_local(work, local, shown, sizeof shown);
    tree_says(g->o, "fetch", remote);
    if (g->o->dry_run)
        return ERR_OK;
    struct job *j;
    if ((e = job_new(shown, remote, -1, NULL, &j)) != ERR_OK)
        return e;
    j->size = item->info.size;
    return work_do(g->w, j);
}

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
        return fetch_file(g, item);
    if (type == MSG_FOLDER || (type == MSG_LINK && links && strcmp(links, "skip") == 0))
        return ERR_OK;
    if (tree_join(g->w, g->path, item->path, remote, sizeof remote))
        tree_fault(g->w, remote, ERR_TYPE,
                   type == MSG_LINK ? "is a symbolic link (see --links)"
                                    : "neither a file nor a folder");
    return ERR_OK;
}

static enum err on_folder(struct going_down *g, const char *rel, const struct fs_info *there)
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

/* One walk. An error of the server's (no such folder) is counted, one of the connection's ends all. */
static enum err walk(struct going_down *g, uint32_t flags)
{
    struct remote_walk *walk = NULL;
    struct remote_item item;
    bool folders = flags & MSG_WALK_FOLDERS;
    enum err e = remote_walk_open(&g->w->pipeline, g->path, flags, &walk), next = ERR_OK;
    while (e == ERR_OK && (next = remote_walk_next(walk, &item)) == ERR_OK) {
        bool passes =
            item.info.type == MSG_FAULT || tree_passes((void *)(uintptr_t)g->o, item.path, true);
        if (!folders)
            e = on_item(g, walk, &item);
        else if (item.info.type == MSG_FOLDER && !passes)
            remote_walk_skip(walk);
        else if (item.info.type == MSG_LEAVE)
            e = on_folder(g, item.path, &item.info);
    }
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

enum err tree_down(struct worker *w, const struct tree_options *o, const char *path,
                   const char *local)
{
    struct going_down g = {.w = w, .o = o, .path = path, .local = local};
    struct fs_info top;
    enum err e = work_settle(w);
    uint64_t failed = w->work->batch.failed;
    if (e == ERR_OK)
        e = link_stat(w->link, path, false, false, &top);
    if (e != ERR_OK)
        return w->link->chan.failed ? e : batch_fail(&w->work->batch, e);
    g.base = open_base(&g);
    e = walk(&g, o->compare == TREE_ROOTS ? MSG_ITEMS_ROOTS : 0);
    if (e == ERR_OK)
        e = work_settle(w);
    if (e == ERR_OK && o->delete)
        e = tree_prune_local(w, o, path, local);
    if (e == ERR_OK && !o->dry_run) {
        e = walk(&g, MSG_WALK_FOLDERS);
        if (e == ERR_OK && (top.mode != 0 || failed == w->work->batch.failed))
            e = on_folder(&g, "", &top);
    }
    if (g.base >= 0)
        close(g.base);
    return e;
}
