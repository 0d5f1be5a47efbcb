/* SPDX-License-Identifier: ISC */
/* Walks through virtual folders. What lies in a root is walked by walk.h; where roots lie below, or
 * within, what is walked, the walk is made of segments: one for each root met and for each folder on
 * the way to one, as these hide what else stands there. */
#include "fs_internal.h"

#include "log.h"
#include "msg.h"
#include "walk.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct segment {
    struct segment *above;
    struct fs_walk *of;
    struct walk *walk; /* NULL: its entries are through, or there are only roots below */
    struct fs_slots slots;
    bool links; /* their targets are told */
    size_t next_root;
    char path[PATH_MAX_BYTES + 1];
};

struct fs_walk {
    struct fs *fs;
    unsigned flags;
    size_t skip; /* bytes of a path that lead to what is walked */
    struct segment *at;
    char path[2 * (PATH_MAX_BYTES + 1) + PATH_NAME_MAX + 1]; /* one below the other, see walk.h */
    char target[FS_TARGET_MAX + 1];
};

/* ---- segments ---- */

/* Whether a segment's walk reports an entry. Only in its own folder can there be the way to a root:
 * what is on that way is not entered. */
static bool passes(void *arg, const char *rel, bool folder)
{
    const struct segment *s = arg;
    const struct fs *fs = s->of->fs;
    if (!folder && (s->of->flags & FS_FOLDERS))
        return false;
    return strchr(rel, '/') || !fs_leads(fs, fs->n, s->path, rel, strlen(rel));
}

static void pop(struct fs_walk *w)
{
    struct segment *s = w->at;
    w->at = s->above;
    walk_close(s->walk);
    fs_slots_release(&s->slots);
    free(s);
}

/* Opens the real folder of a segment; one that is not there does not matter on the way to a root.
 * Silent. */
static enum err open_real(struct segment *s, struct fs_info *info)
{
    const struct fs *fs = s->of->fs;
    const struct fs_root *root = fs_root_of(s->of->fs, s->path);
    struct walk_options options = {.passes = passes, .arg = s};
    struct stat st;
    if (!root)
        return ERR_OK;
    if (!fs_has(root, FS_DO_LIST)) {
        errno = EACCES;
        return ERR_DENIED;
    }
    int fd = fs_open_beneath(root, fs_rel(root, s->path), O_RDONLY);
    if (fd < 0)
        return errno == ENOENT && fs_above_roots(fs, s->path) ? ERR_OK : err_from_errno(errno);
    if (fstat(fd, &st) == 0)
        fs_describe(&st, info);
    s->links = root->links && s->of->flags & FS_LINKS;
    if (s->of->flags & FS_ROOTS)
        s->slots.trees = fs_trees_open(root, false);
    return walk_open(fd, &options, &s->walk);
}

/* Makes path the segment that is walked next. Silent; errno says why not. */
static enum err push(struct fs_walk *w, const char *path, struct fs_info *info)
{
    struct segment *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_LIMIT;
    s->above = w->at;
    s->of = w;
    fs_slots_init(&s->slots, -1);
    snprintf(s->path, sizeof s->path, "%s", path);
    w->at = s;
    fs_describe_root(w->fs, path, info);
    enum err e = open_real(s, info);
    int errnum = errno;
    if (e != ERR_OK)
        pop(w);
    errno = errnum;
    return e;
}

/* ---- items ---- */

/* Puts the path of rel (n bytes) in the segment into w->path. False when it is too long. */
static bool locate(struct fs_walk *w, const struct segment *s, const char *rel, size_t n)
{
    const char *base = strcmp(s->path, "/") == 0 ? "" : s->path;
    int length = snprintf(w->path, sizeof w->path, "%s%s%.*s", base, n > 0 ? "/" : "", (int)n, rel);
    return length <= PATH_MAX_BYTES;
}

static const char *shown(const struct fs_walk *w)
{
    return strlen(w->path) > w->skip ? w->path + w->skip : "";
}

static void fault(const struct fs_walk *w, enum err e, struct fs_item *out)
{
    *out = (struct fs_item){.path = shown(w), .info = {.type = MSG_FAULT, .mode = (uint32_t)e}};
}

/* An entry of a root's. */
static void take(struct fs_walk *w, struct segment *s, const struct walk_entry *entry,
                 struct fs_item *out)
{
    bool fits = locate(w, s, entry->path, strlen(entry->path));
    if (entry->kind == WALK_ERROR) {
        fault(w, entry->error, out);
        return;
    }
    if (!fits) {
        walk_skip(s->walk);
        fault(w, ERR_NAME, out);
        return;
    }
    out->path = shown(w);
    fs_describe(&entry->st, &out->info);
    if (entry->kind == WALK_LEAVE)
        out->info.type = MSG_LEAVE;
    fs_slot_describe(&s->slots, &entry->st, &out->info);
    if (s->links && entry->kind == WALK_LINK && fs_read_link(entry->dirfd, entry->name, w->target))
        out->info.target = w->target;
}

/* The next root below the segment's folder, or folder on the way to one. False: there is none. */
static bool take_root(struct fs_walk *w, struct segment *s, struct fs_item *out)
{
    const struct fs *fs = w->fs;
    const char *name = "";
    for (; s->next_root < fs->n; s->next_root++) {
        size_t n = fs_towards(&fs->roots[s->next_root], s->path, &name);
        if (n > 0 && !fs_leads(fs, s->next_root, s->path, name, n))
            break;
    }
    if (s->next_root == fs->n)
        return false;
    s->next_root++;
    (void)locate(w, s, name, strcspn(name, "/")); /* fits: it is part of a root's prefix */
    enum err e = push(w, w->path, &out->info);
    if (e == ERR_OK)
        out->path = shown(w);
    else
        fault(w, e, out);
    return true;
}

enum err fs_walk_next(struct fs_walk *w, struct fs_item *out)
{
    struct walk_entry entry;
    while (w->at) {
        struct segment *s = w->at;
        *out = (struct fs_item){0};
        if (s->walk && walk_next(s->walk, &entry) == ERR_OK) {
            take(w, s, &entry, out);
            return ERR_OK;
        }
        walk_close(s->walk);
        s->walk = NULL;
        if (take_root(w, s, out))
            return ERR_OK;
        (void)locate(w, s, "", 0);
        *out = (struct fs_item){.path = shown(w), .info = {.type = MSG_LEAVE}};
        pop(w);
        if (w->at)
            return ERR_OK;
    }
    return ERR_NOENT;
}

enum err fs_walk_open(struct fs *fs, const char *path, unsigned flags, struct fs_walk **out)
{
    struct fs_place place;
    struct fs_info info;
    *out = NULL;
    enum err e = fs_allow(fs, path, FS_DO_LIST, &place);
    if (e != ERR_OK)
        return e;
    struct fs_walk *w = calloc(1, sizeof *w);
    if (!w)
        return log_fail(ERR_LIMIT, "out of memory for a walk");
    w->fs = fs;
    w->flags = flags;
    w->skip = strcmp(path, "/") == 0 ? 1 : strlen(path) + 1;
    if (push(w, path, &info) == ERR_OK) {
        *out = w;
        return ERR_OK;
    }
    e = fs_fail_open(path, path, strlen(path));
    free(w);
    return e;
}

void fs_walk_close(struct fs_walk *w)
{
    while (w && w->at)
        pop(w);
    free(w);
}
