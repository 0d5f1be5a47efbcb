/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- mkdir ---- */

/* The new folder's mark; one that its owner can't read has none. */
static bool mark(const struct fs *fs, int dir, const char *name, const char *path)
{
    struct fs_mark m = fs_mark_now(fs, 0);
    int fd = openat(dir, name, O_RDONLY | FS_FOLDER);
    m.until = 0;
    bool marked = fd >= 0 && fs_mark_write(fd, &m, path) == ERR_OK;
    fs_close(&fd);
    return marked;
}

/* Counted for its maker by its mark, else for nobody, as it will be when it goes. */
static enum err make_counted(struct fs_gate *g, int dir, const char *name, uint32_t mode,
                             const char *path)
{
    static const struct fs_sum one = {.files = 1};
    struct stat st;
    /* Where the limit is reached, what is there already is still success for whoever needs it. */
    if (g->ledger >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return ERR_EXISTS;
    enum err e = fs_gate_room(g, path, &one, NULL, NULL);
    if (e == ERR_OK)
        e = fs_gate_claim(g, &one);
    if (e != ERR_OK)
        return e;
    if (mkdirat(dir, name, mode & 0777) < 0)
        return errno == EEXIST ? ERR_EXISTS : log_fail_errno("%s: making the folder", path);
    if (g->ledger < 0)
        return ERR_OK;
    if (mark(g->fs, dir, name, path))
        fs_gate_settle(g, &one);
    else
        fs_gate_came(g, &one);
    return ERR_OK;
}

/* Makes one folder under the umask 022, durably. ERR_EXISTS is silent. */
static enum err make(struct fs *fs, const struct fs_root *root, int dir, const char *name,
                     uint32_t mode, const char *path)
{
    struct fs_gate g;
    enum err e = fs_gate_enter(fs, root, true, &g);
    mode_t before = umask(022);
    if (e == ERR_OK)
        e = make_counted(&g, dir, name, mode, path);
    umask(before);
    fs_gate_leave(&g);
    return e == ERR_OK ? fs_sync_folder(dir, path) : e;
}

/* Makes what is missing of the folders on the way to path's last name and opens the last of them.
 */
static enum err make_parents(struct fs *fs, const struct fs_place *at, uint32_t mode, int *dir)
{
    struct fs_place part = *at;
    char path[PATH_MAX_BYTES + 1], rel[PATH_MAX_BYTES + 1];
    const char *slash = strchr(at->rel, '/'), *name;
    enum err e = ERR_OK;
    for (; e == ERR_OK && slash; slash = strchr(slash + 1, '/')) {
        snprintf(rel, sizeof rel, "%.*s", (int)(slash - at->rel), at->rel);
        if ((*dir = fs_open_beneath(at->root, rel, O_PATH)) >= 0) {
            fs_close(dir);
            continue;
        }
        if (errno != ENOENT)
            return fs_fail_open(at->path, at->path, (size_t)(slash - at->path));
        snprintf(path, sizeof path, "%.*s", (int)(slash - at->path), at->path);
        part.path = path;
        part.rel = rel;
        if ((e = fs_open_parent(&part, O_RDONLY, dir, &name)) == ERR_OK)
            e = make(fs, at->root, *dir, name, mode | 0300, path);
        fs_close(dir);
        /* Another process may have been faster: the next round, or the caller, finds the folder. */
        if (e == ERR_EXISTS)
            e = ERR_OK;
    }
    return e == ERR_OK ? fs_open_parent(at, O_RDONLY, dir, &name) : e;
}

/* With parents set an existing folder is what was asked for. */
static enum err make_last(struct fs *fs, const struct fs_place *at, int dir, uint32_t mode,
                          bool parents)
{
    const char *name = path_base(at->path);
    struct stat st;
    enum err e = make(fs, at->root, dir, name, mode, at->path);
    if (e != ERR_EXISTS)
        return e;
    bool folder = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    return folder && parents ? ERR_OK : log_fail(ERR_EXISTS, "%s: already exists", at->path);
}

enum err fs_mkdir(struct fs *fs, const char *path, uint32_t mode, bool parents)
{
    struct fs_place at;
    const char *name;
    int dir = -1;
    enum err e = fs_allow(fs, path, FS_DO_MKDIR, &at);
    if (e != ERR_OK)
        return e;
    if (at.rel[0] == '\0')
        return parents ? ERR_OK : log_fail(ERR_EXISTS, "%s: already exists", path);
    e = parents ? make_parents(fs, &at, mode, &dir) : fs_open_parent(&at, O_RDONLY, &dir, &name);
    if (e == ERR_OK)
        e = make_last(fs, &at, dir, mode, parents);
    fs_close(&dir);
    return e;
}

enum err fs_parents(struct fs *fs, const char *path)
{
    char folder[PATH_MAX_BYTES + 1];
    struct fs_place at;
    enum err e = fs_allow(fs, path, FS_DO_PARENTS, &at);
    const char *slash = e == ERR_OK ? strrchr(at.rel, '/') : NULL;
    if (!slash)
        return e;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - at.rel), at.rel);
    int fd = fs_open_beneath(at.root, folder, O_PATH);
    bool missing = fd < 0 && errno == ENOENT;
    fs_close(&fd);
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return missing ? fs_mkdir(fs, folder, 0755, true) : ERR_OK;
}

/* ---- attributes ---- */

enum err fs_attributes(struct fs *fs, const char *path, const struct fs_attributes *a)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = a->mtime_s, .tv_nsec = a->mtime_ns}};
    struct fs_place at;
    enum err e = fs_allow(fs, path, FS_DO_ATTRIBUTES, &at);
    if (e == ERR_OK && at.rel[0] == '\0')
        return ERR_OK;
    if (e == ERR_OK && a->mtime_ns >= 1000000000)
        e = log_fail(ERR_PROTO, "%s: a time with %u nanoseconds", path, a->mtime_ns);
    if (e == ERR_OK && a->make)
        e = fs_mkdir(fs, path, 0755, true);
    if (e != ERR_OK)
        return e;
    int dir = fs_open_beneath(at.root, at.rel, O_RDONLY);
    if (dir < 0)
        return fs_fail_open(path, path, strlen(path));
    if (fchmod(dir, (a->mode & 0755) | 0700) < 0)
        e = log_fail_errno("%s: setting the mode", path);
    else if (futimens(dir, times) < 0)
        e = log_fail_errno("%s: setting the time", path);
    fs_close(&dir);
    return e;
}

/* ---- remove ---- */

static enum err check_removable(const char *path, mode_t mode, bool folder)
{
    if (folder && !S_ISDIR(mode))
        return log_fail(ERR_TYPE, "%s: is not a folder", path);
    if (!folder && !S_ISREG(mode) && !S_ISLNK(mode))
        return fs_fail_type(path, mode);
    return ERR_OK;
}

static enum err remove_name(struct fs_gate *g, int dir, const char *name, const char *path,
                            bool folder, struct stat *st)
{
    struct fs_yield y;
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return log_fail_errno("%s", path);
    enum err e = check_removable(path, st->st_mode, folder);
    if (e == ERR_OK)
        e = fs_gate_yield(g, dir, name, st, path, &y);
    if (e == ERR_OK && unlinkat(dir, name, folder ? AT_REMOVEDIR : 0) < 0)
        e = log_fail_errno("%s: removing", path);
    if (e == ERR_OK)
        fs_gate_gone(g, &y);
    return e;
}

enum err fs_remove(struct fs *fs, const char *path, bool folder)
{
    struct fs_place at;
    struct fs_gate g = {0};
    struct stat st;
    const char *name;
    int dir = -1;
    enum err e = fs_allow(fs, path, FS_DO_REMOVE, &at);
    if (e == ERR_OK)
        e = fs_open_parent(&at, O_RDONLY, &dir, &name);
    if (e == ERR_OK)
        e = fs_gate_enter(fs, at.root, false, &g);
    if (e == ERR_OK)
        e = remove_name(&g, dir, name, path, folder, &st);
    fs_gate_leave(&g);
    if (e == ERR_OK)
        e = fs_sync_folder(dir, path);
    if (e == ERR_OK && st.st_nlink == 1)
        fs_tree_drop(at.root, &st);
    fs_close(&dir);
    return e;
}

/* ---- giving names ---- */

enum err fs_check_target(const struct fs_place *at, int dir, bool overwrite, enum fs_verb verb,
                         struct stat *old)
{
    *old = (struct stat){0};
    if (fstatat(dir, path_base(at->path), old, AT_SYMLINK_NOFOLLOW) < 0) {
        *old = (struct stat){0};
        if (errno != ENOENT)
            return log_fail_errno("%s", at->path);
        return fs_may(at->root, verb, false)
                   ? ERR_OK
                   : log_fail(ERR_DENIED, "%s: no right to create", at->path);
    }
    if (!S_ISREG(old->st_mode) && !(S_ISLNK(old->st_mode) && at->root->links))
        return fs_fail_type(at->path, old->st_mode);
    if (!overwrite)
        return log_fail(ERR_EXISTS, "%s: already exists", at->path);
    return fs_may(at->root, verb, true)
               ? ERR_OK
               : log_fail(ERR_DENIED, "%s: exists, and there is no right to overwrite", at->path);
}

static enum err fail_move(const struct fs_move *m)
{
    if (errno == EEXIST)
        return log_fail(ERR_EXISTS, "%s: already exists", m->path);
    if (errno == EXDEV)
        return log_fail(ERR_DENIED, "%s: another filesystem is mounted there", m->path);
    return log_fail_errno("%s: giving the file its name", m->path);
}

enum err fs_move_name(const struct fs_move *m)
{
    int failed = m->replace ? renameat(m->from_dir, m->from, m->to_dir, m->to)
                            : linkat(m->from_dir, m->from, m->to_dir, m->to, 0);
    return failed ? fail_move(m) : ERR_OK;
}

enum err fs_move_end(const struct fs_move *m)
{
    enum err e = fs_sync_folder(m->to_dir, m->path);
    if (e == ERR_OK && !m->replace && unlinkat(m->from_dir, m->from, 0) < 0)
        e = log_fail_errno("%s: removing the old name", m->path);
    return e;
}

enum err fs_move(const struct fs_move *m)
{
    enum err e = fs_move_name(m);
    return e == ERR_OK ? fs_move_end(m) : e;
}
