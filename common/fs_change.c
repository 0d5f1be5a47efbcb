/* SPDX-License-Identifier: ISC */
/* mkdir, remove, rename, and opening a file to be sent. */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- mkdir ---- */

static enum err make_one(struct fs *fs, const char *path, uint32_t mode, bool may_exist)
{
    struct fs_place p;
    struct stat st;
    enum err e = fs_locate(fs, path, &p);
    if (e != ERR_OK)
        return e;
    if (mkdirat(p.dir, p.name, mode & 0777 & ~(mode_t)022) == 0)
        e = fs_sync_folder(p.dir, path);
    else if (errno != EEXIST || !may_exist)
        e = log_fail_errno("%s", path);
    else if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        e = log_fail_errno("%s", path);
    else if (!S_ISDIR(st.st_mode))
        e = log_fail(ERR_TYPE, "%s: exists and is not a folder", path);
    fs_place_release(&p);
    return e;
}

enum err fs_mkdir(struct fs *fs, const char *path, uint32_t mode, bool parents)
{
    char part[PATH_MAX_BYTES + 1];
    const char *rest;
    enum err e;
    if (!fs_allowed(fs, path, FS_MKDIR, &e))
        return e;
    (void)fs_root_of(fs, path, &rest);
    if (!*rest && parents)
        return ERR_OK; /* the root is there */
    for (const char *slash = strchr(rest, '/'); parents && slash; slash = strchr(slash + 1, '/')) {
        size_t n = (size_t)(slash - path);
        memcpy(part, path, n);
        part[n] = '\0';
        if ((e = make_one(fs, part, 0755, true)) != ERR_OK)
            return e;
    }
    return make_one(fs, path, mode, parents);
}

/* ---- remove ---- */

enum err fs_remove(struct fs *fs, const char *path, bool folder)
{
    struct fs_place p;
    struct stat st;
    enum err e;
    if (!fs_allowed(fs, path, FS_DELETE, &e) || (e = fs_locate(fs, path, &p)) != ERR_OK)
        return e;
    if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        e = log_fail_errno("%s", path);
    else if (folder != (S_ISDIR(st.st_mode) != 0))
        e = log_fail(ERR_TYPE, folder ? "%s: not a folder" : "%s: a folder", path);
    else if (unlinkat(p.dir, p.name, folder ? AT_REMOVEDIR : 0) < 0)
        e = log_fail_errno("%s", path);
    else
        e = fs_sync_folder(p.dir, path);
    if (e == ERR_OK && S_ISREG(st.st_mode) && st.st_nlink == 1)
        fs_drop_tree(p.root, st.st_ino);
    fs_place_release(&p);
    return e;
}

/* ---- rename ---- */

struct renaming {
    const char *from, *to;
    struct fs_place a, b;
    struct stat st; /* of what is renamed */
};

/* Whether to may be taken: its absence, or the right to replace it. */
static enum err check_target(const struct renaming *r, bool overwrite)
{
    struct stat st;
    if (fstatat(r->b.dir, r->b.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? ERR_OK : log_fail_errno("%s", r->to);
    if (!overwrite)
        return log_fail(ERR_EXISTS, "%s: exists", r->to);
    if (S_ISDIR(st.st_mode) || S_ISDIR(r->st.st_mode))
        return log_fail(ERR_EXISTS, "%s: exists; a folder is neither replaced nor replaces", r->to);
    if (!(r->b.root->rights & FS_OVERWRITE))
        return log_fail(ERR_DENIED, "%s: the right to overwrite is not granted here", r->to);
    return ERR_OK;
}

static enum err move_name(const struct renaming *r, bool replace)
{
    if (replace || S_ISDIR(r->st.st_mode))
        return renameat(r->a.dir, r->a.name, r->b.dir, r->b.name) == 0
                   ? ERR_OK
                   : log_fail_errno("%s", r->to);
    /* Only link() takes a name if and only if it is free, on every filesystem. */
    if (linkat(r->a.dir, r->a.name, r->b.dir, r->b.name, 0) < 0)
        return log_fail_errno("%s", r->to);
    return unlinkat(r->a.dir, r->a.name, 0) == 0 ? ERR_OK : log_fail_errno("%s", r->from);
}

/* The change time moved with the name: the stored tree is told, if it was valid before. */
static void refresh_tree(const struct renaming *r, int tree, struct part_header *h)
{
    struct stat st;
    if (fstatat(r->b.dir, r->b.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != r->st.st_ino)
        return;
    part_stamp_of(&st, &h->stamp);
    snprintf(h->path, sizeof h->path, "%s", r->to);
    if (part_header_write(tree, h) != ERR_OK)
        log_warn("%s: its stored tree is lost; it will be hashed anew", r->to);
}

static enum err rename_located(struct renaming *r, bool overwrite)
{
    struct part_header h;
    struct stat old;
    int tree = -1;
    enum err e;
    if (fstatat(r->a.dir, r->a.name, &r->st, AT_SYMLINK_NOFOLLOW) < 0)
        return log_fail_errno("%s", r->from);
    if ((e = check_target(r, overwrite)) != ERR_OK)
        return e;
    bool replaces = fstatat(r->b.dir, r->b.name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (replaces && old.st_ino == r->st.st_ino)
        return ERR_OK; /* both names are the same file already */
    if (S_ISREG(r->st.st_mode))
        tree = fs_open_tree(r->a.root, &r->st, O_RDWR, &h);
    e = move_name(r, overwrite && r->b.root->rights & FS_OVERWRITE);
    if (e == ERR_OK && (e = fs_sync_folder(r->b.dir, r->to)) == ERR_OK)
        e = fs_sync_folder(r->a.dir, r->from);
    if (e == ERR_OK && tree >= 0)
        refresh_tree(r, tree, &h);
    if (e == ERR_OK && replaces && old.st_nlink == 1)
        fs_drop_tree(r->b.root, old.st_ino);
    if (tree >= 0)
        close(tree);
    return e;
}

enum err fs_rename(struct fs *fs, const char *from, const char *to, bool overwrite)
{
    struct renaming r = {.from = from, .to = to, .a.dir = -1, .b.dir = -1};
    enum err e;
    if (!fs_allowed(fs, from, FS_RENAME, &e) || !fs_allowed(fs, to, FS_RENAME, &e))
        return e;
    if ((e = fs_locate(fs, from, &r.a)) == ERR_OK && (e = fs_locate(fs, to, &r.b)) == ERR_OK) {
        if (r.a.root != r.b.root)
            e = log_fail(ERR_DENIED, "%s and %s are in different roots", from, to);
        else
            e = rename_located(&r, overwrite);
    }
    fs_place_release(&r.a);
    fs_place_release(&r.b);
    return e;
}

/* ---- source ---- */

enum err fs_open_source(struct fs *fs, const char *path, struct fs_source *out)
{
    struct fs_place p;
    struct part_header h;
    struct stat st;
    enum err e;
    *out = (struct fs_source){.fd = -1, .tree = -1};
    if (!fs_allowed(fs, path, FS_READ, &e) || (e = fs_locate(fs, path, &p)) != ERR_OK)
        return e;
    /* Looked at before it is opened: opening a device may already do something. */
    if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        e = log_fail_errno("%s", path);
    else if (!S_ISREG(st.st_mode))
        e = log_fail(ERR_TYPE, "%s: not a regular file", path);
    else if ((out->fd = openat(p.dir, p.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0)
        e = log_fail_errno("%s", path);
    else if (fstat(out->fd, &out->st) < 0)
        e = log_fail_errno("%s", path);
    else if (!S_ISREG(out->st.st_mode))
        e = log_fail(ERR_TYPE, "%s: not a regular file", path);
    else
        out->tree = fs_open_tree(p.root, &out->st, O_RDONLY, &h);
    if (e != ERR_OK && out->fd >= 0) {
        close(out->fd);
        out->fd = -1;
    }
    fs_place_release(&p);
    return e;
}
