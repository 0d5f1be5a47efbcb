/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- mkdir ---- */

/* Makes one folder under the umask 022, durably. ERR_EXISTS is silent. */
static enum err make(int dir, const char *name, uint32_t mode, const char *path)
{
    mode_t before = umask(022);
    int failed = mkdirat(dir, name, mode & 0777);
    int why = errno;
    umask(before);
    errno = why;
    if (failed && why == EEXIST)
        return ERR_EXISTS;
    return failed ? log_fail_errno("%s: making the folder", path) : fs_sync_folder(dir, path);
}

/* Makes what is missing of the folders on the way to path's last name and opens the last of them.
 */
static enum err make_parents(const struct fs_place *at, uint32_t mode, int *dir)
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
            e = make(*dir, name, mode | 0300, path);
        fs_close(dir);
        /* Another process may have been faster: the next round, or the caller, finds the folder. */
        if (e == ERR_EXISTS)
            e = ERR_OK;
    }
    return e == ERR_OK ? fs_open_parent(at, O_RDONLY, dir, &name) : e;
}

/* With parents set an existing folder is what was asked for. */
static enum err make_last(const struct fs_place *at, int dir, uint32_t mode, bool parents)
{
    const char *name = path_base(at->path);
    struct stat st;
    enum err e = make(dir, name, mode, at->path);
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
    enum err e = fs_allow(fs, path, FS_MKDIR, &at);
    if (e != ERR_OK)
        return e;
    if (at.rel[0] == '\0')
        return parents ? ERR_OK : log_fail(ERR_EXISTS, "%s: already exists", path);
    e = parents ? make_parents(&at, mode, &dir) : fs_open_parent(&at, O_RDONLY, &dir, &name);
    if (e == ERR_OK)
        e = make_last(&at, dir, mode, parents);
    fs_close(&dir);
    return e;
}

enum err fs_parents(struct fs *fs, const char *path)
{
    char folder[PATH_MAX_BYTES + 1];
    struct fs_place at;
    enum err e = fs_allow(fs, path, FS_ALL, &at);
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
    enum err e = fs_allow(fs, path, FS_MKDIR, &at);
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

enum err fs_remove(struct fs *fs, const char *path, bool folder)
{
    struct fs_place at;
    struct stat st;
    const char *name;
    int dir = -1;
    enum err e = fs_allow(fs, path, FS_DELETE, &at);
    if (e == ERR_OK)
        e = fs_open_parent(&at, O_RDONLY, &dir, &name);
    if (e != ERR_OK)
        return e;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        e = log_fail_errno("%s", path);
    else
        e = check_removable(path, st.st_mode, folder);
    if (e == ERR_OK && unlinkat(dir, name, folder ? AT_REMOVEDIR : 0) < 0)
        e = log_fail_errno("%s: removing", path);
    if (e == ERR_OK)
        e = fs_sync_folder(dir, path);
    if (e == ERR_OK && st.st_nlink == 1)
        fs_tree_drop(at.root, &st);
    fs_close(&dir);
    return e;
}

/* ---- rename ---- */

enum err fs_check_target(const struct fs_place *at, int dir, bool overwrite, unsigned create,
                         struct stat *old)
{
    unsigned rights = at->root->rights;
    *old = (struct stat){0};
    if (fstatat(dir, path_base(at->path), old, AT_SYMLINK_NOFOLLOW) < 0) {
        *old = (struct stat){0};
        if (errno != ENOENT)
            return log_fail_errno("%s", at->path);
        return rights & create ? ERR_OK : log_fail(ERR_DENIED, "%s: no right to create", at->path);
    }
    if (!S_ISREG(old->st_mode) && !(S_ISLNK(old->st_mode) && at->root->links))
        return fs_fail_type(at->path, old->st_mode);
    if (!overwrite)
        return log_fail(ERR_EXISTS, "%s: already exists", at->path);
    return rights & FS_OVERWRITE ? ERR_OK
                                 : log_fail(ERR_DENIED,
                                            "%s: exists, and there is no right to "
                                            "overwrite",
                                            at->path);
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

enum err fs_move(const struct fs_move *m)
{
    enum err e = fs_move_name(m);
    if (e == ERR_OK)
        e = fs_sync_folder(m->to_dir, m->path);
    if (e == ERR_OK && !m->replace && unlinkat(m->from_dir, m->from, 0) < 0)
        e = log_fail_errno("%s: removing the old name", m->path);
    return e;
}

struct renaming {
    struct fs_place from, to;
    int from_dir, to_dir;
    const char *from_name, *to_name;
    struct stat st, old;
    bool overwrite;
};

/* What is stored of the content. */
struct known {
    struct fs_slots slots;
    bool rooted; /* root was in its slot */
    uint8_t root[TREE_HASH];
    int tree;
    struct part_header header;
};

static void look_up(const struct renaming *r, struct known *k)
{
    fs_slots_init(&k->slots, fs_trees_open(r->from.root, false));
    k->rooted = fs_one_chunk((uint64_t)r->st.st_size) && fs_slot_read(&k->slots, &r->st, k->root);
    k->tree = fs_tree_open(k->slots.trees, &r->st, O_RDWR, &k->header);
}

/* The stamp holds the change time, which a rename moves. What else may have changed since the tree
 * was found valid would show in size or mtime. */
static void refresh_tree(const struct renaming *r, struct known *k)
{
    struct stat now;
    if ((k->tree < 0 && !k->rooted) ||
        fstatat(r->to_dir, r->to_name, &now, AT_SYMLINK_NOFOLLOW) < 0 || !fs_same(&now, &r->st) ||
        now.st_size != r->st.st_size || now.st_mtim.tv_sec != r->st.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != r->st.st_mtim.tv_nsec)
        return;
    if (k->rooted ? !fs_slot_write(&k->slots, &now, k->root)
                  : fs_tree_stamp(k->tree, &k->header, &now, r->to.path) != ERR_OK)
        log_warn("%s: its stored tree could not be kept", r->to.path);
}

static enum err rename_file(struct renaming *r)
{
    struct known known;
    enum err e = fs_check_target(&r->to, r->to_dir, r->overwrite, FS_RENAME, &r->old);
    if (e != ERR_OK)
        return e;
    struct fs_move m = {r->from_dir, r->from_name,
                        r->to_dir,   r->to_name,
                        r->to.path,  r->overwrite && (r->to.root->rights & FS_OVERWRITE)};
    look_up(r, &known);
    e = fs_move(&m);
    /* rename() leaves two names of one file as they are. */
    bool twins = r->old.st_nlink > 1 && fs_same(&r->old, &r->st);
    if (e == ERR_OK && twins && unlinkat(r->from_dir, r->from_name, 0) < 0)
        e = log_fail_errno("%s: removing the old name", r->from.path);
    if (e == ERR_OK)
        e = fs_sync_folder(r->from_dir, r->from.path);
    if (e == ERR_OK)
        refresh_tree(r, &known);
    if (e == ERR_OK && r->old.st_nlink == 1 && !fs_same(&r->old, &r->st))
        fs_tree_drop(r->to.root, &r->old);
    fs_close(&known.tree);
    fs_slots_release(&known.slots);
    return e;
}

static enum err rename_folder(const struct renaming *r)
{
    struct stat st;
    if (fs_within(r->to.path, r->from.path))
        return log_fail(ERR_NAME, "%s: a folder can't be moved into itself", r->from.path);
    if (fstatat(r->to_dir, r->to_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return log_fail(ERR_EXISTS, "%s: already exists", r->to.path);
    if (renameat(r->from_dir, r->from_name, r->to_dir, r->to_name) < 0)
        return log_fail_errno("%s: renaming to %s", r->from.path, r->to.path);
    enum err e = fs_sync_folder(r->to_dir, r->to.path);
    return e == ERR_OK ? fs_sync_folder(r->from_dir, r->from.path) : e;
}

static enum err rename_opened(struct renaming *r)
{
    if (fstatat(r->from_dir, r->from_name, &r->st, AT_SYMLINK_NOFOLLOW) < 0)
        return log_fail_errno("%s", r->from.path);
    if (r->overwrite && strcmp(r->from.path, r->to.path) == 0)
        return ERR_OK;
    if (S_ISDIR(r->st.st_mode))
        return rename_folder(r);
    return S_ISREG(r->st.st_mode) ? rename_file(r) : fs_fail_type(r->from.path, r->st.st_mode);
}

enum err fs_rename(struct fs *fs, const char *from, const char *to, bool overwrite)
{
    struct renaming r = {.from_dir = -1, .to_dir = -1, .overwrite = overwrite};
    enum err e = fs_allow(fs, from, FS_RENAME, &r.from);
    if (e == ERR_OK)
        e = fs_allow(fs, to, FS_RENAME, &r.to);
    if (e == ERR_OK && r.from.root != r.to.root)
        e = log_fail(ERR_DENIED, "%s: can't be renamed to %s: that lies in another root", from, to);
    if (e == ERR_OK)
        e = fs_open_parent(&r.from, O_RDONLY, &r.from_dir, &r.from_name);
    if (e == ERR_OK)
        e = fs_open_parent(&r.to, O_RDONLY, &r.to_dir, &r.to_name);
    if (e == ERR_OK)
        e = rename_opened(&r);
    fs_close(&r.from_dir);
    fs_close(&r.to_dir);
    return e;
}
