/* SPDX-License-Identifier: ISC */
/* Attributes of files and folders (meta.h), by path. */
#include "fs_gate.h"

#include "log.h"
#include <string.h>
#include <unistd.h>

void fs_keep_meta(struct fs *fs, unsigned told, unsigned set)
{
    for (size_t i = 0; i < fs->n; i++) {
        fs->roots[i].meta_told = told;
        fs->roots[i].meta_set = set;
    }
}

static enum err refuse(const char *path, unsigned kinds)
{
    return log_fail(ERR_DENIED, "%s: not kept here:%s%s%s", path,
                    kinds & META_XATTRS ? " xattrs" : "", kinds & META_ACLS ? " acls" : "",
                    kinds & META_OWNERS ? " owners" : "");
}

/* Opens the file or folder that stands there; nothing is gone through, and a link is neither. */
static enum err open_thing(const struct fs_place *at, int *fd, struct stat *st)
{
    struct fs_source source;
    const char *name;
    int dir = -1;
    *fd = -1;
    enum err e = fs_open_parent(at, O_PATH, &dir, &name);
    if (e != ERR_OK)
        return e;
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0) {
        e = log_fail_errno("%s", at->path);
    } else if (S_ISDIR(st->st_mode)) {
        if ((*fd = fs_open_beneath(at->root, at->rel, O_RDONLY)) < 0)
            e = fs_fail_open(at->path, at->path, strlen(at->path));
    } else if ((e = fs_open_in(at, dir, &source)) == ERR_OK) {
        *fd = source.fd;
        *st = source.st;
    }
    fs_close(&dir);
    return e;
}

enum err fs_meta_get(struct fs *fs, const char *path, unsigned kinds, struct buf *set,
                     struct meta *out)
{
    struct fs_place at;
    struct stat st;
    int fd;
    *out = (struct meta){0};
    enum err e = fs_allow(fs, path, FS_DO_READ, &at);
    if (e != ERR_OK)
        return e;
    unsigned told = kinds & (at.root ? at.root->meta_told : 0);
    if (at.root && at.rel[0] != '\0' && told) {
        if ((e = open_thing(&at, &fd, &st)) != ERR_OK)
            return e;
        e = meta_read(fd, told, path, set, out);
        fs_close(&fd);
    }
    return e == ERR_OK && told != kinds ? refuse(path, kinds & ~told) : e;
}

/* What is stored of a file's hashes is stamped with its change time, which moves. */
struct stored {
    struct fs_slots slots;
    bool rooted; /* root was in its slot */
    uint8_t root[TREE_HASH];
    int tree;
    struct part_header header;
};

static void look_up(const struct fs_place *at, const struct stat *st, struct stored *s)
{
    bool file = S_ISREG(st->st_mode);
    s->tree = -1;
    fs_slots_init(&s->slots, file ? fs_trees_open(at->root, false) : -1);
    s->rooted = file && fs_one_chunk((uint64_t)st->st_size) && fs_slot_read(&s->slots, st, s->root);
    if (file && !s->rooted)
        s->tree = fs_tree_open(s->slots.trees, st, O_RDWR, &s->header);
}

static void refresh(const struct fs_place *at, int fd, const struct stat *before, struct stored *s)
{
    struct stat now;
    if ((s->tree < 0 && !s->rooted) || fstat(fd, &now) < 0 || now.st_size != before->st_size ||
        now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
        return;
    if (s->rooted ? !fs_slot_write(&s->slots, &now, s->root)
                  : fs_tree_stamp(s->tree, &s->header, &now, at->path) != ERR_OK)
        log_warn("%s: its stored tree could not be kept", at->path);
}

static enum err check(const struct fs *fs, const struct fs_place *at, int fd, const struct stat *st)
{
    struct fs_mark mark;
    bool folder = S_ISDIR(st->st_mode);
    enum err e = fs_must(at, folder ? FS_DO_META_FOLDER : FS_DO_META, true);
    if (e != ERR_OK || folder)
        return e;
    if (st->st_nlink > 1)
        return log_fail(ERR_TYPE, "%s: has a second name (hard link)", at->path);
    (void)fs_mark_read(fd, &mark);
    return fs->gated ? fs_retained(fs, &mark, st, at->path) : ERR_OK;
}

static enum err set_opened(const struct fs *fs, const struct fs_place *at, int fd,
                           const struct stat *st, const struct meta *m)
{
    struct stored stored;
    enum err e = check(fs, at, fd, st);
    if (e != ERR_OK)
        return e;
    look_up(at, st, &stored);
    e = meta_write(fd, m, at->path);
    refresh(at, fd, st, &stored);
    fs_close(&stored.tree);
    fs_slots_release(&stored.slots);
    return e;
}

enum err fs_meta_set(struct fs *fs, const char *path, const struct meta *m)
{
    struct fs_place at;
    struct stat st;
    int fd;
    enum err e = fs_allow(fs, path, FS_DO_META, &at);
    if (e == ERR_OK)
        e = meta_check(m, path);
    if (e != ERR_OK || at.rel[0] == '\0')
        return e;
    struct meta kept = *m;
    kept.kinds &= at.root->meta_set;
    if (kept.kinds && (e = open_thing(&at, &fd, &st)) == ERR_OK) {
        e = set_opened(fs, &at, fd, &st, &kept);
        fs_close(&fd);
    }
    return e == ERR_OK && kept.kinds != m->kinds ? refuse(path, m->kinds & ~kept.kinds) : e;
}
