/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include "text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 50, TRIES = 1000 };

/* ---- the folders ---- */

/* Opens a service folder: -1 with errno, ENOTDIR for anything else than a folder that others can't
 * write to. */
static int open_own(int dir, const char *name, bool make)
{
    struct stat st;
    if (make && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
        return -1;
    int fd = openat(dir, name, O_RDONLY | FS_FOLDER);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0))
        return fd;
    fs_close(&fd);
    errno = ENOTDIR;
    return -1;
}

enum err fs_service_open(const struct fs_root *root, bool make, struct fs_service *out)
{
    *out = (struct fs_service){-1, -1};
    /* Another process that tidies up may remove the upper one before the lower one is in it. */
    for (int i = 0; out->parts < 0 && i < (make ? TRIES : 1); i++) {
        fs_close(&out->top);
        if ((out->top = open_own(root->fd, PATH_SERVICE, make)) >= 0)
            out->parts = open_own(out->top, "parts", make);
        if (out->parts < 0 && errno != ENOENT)
            break;
    }
    if (out->parts >= 0)
        return ERR_OK;
    fs_close(&out->top);
    if (errno == ENOENT && !make)
        return ERR_NOENT;
    if (errno == ENOTDIR || errno == ELOOP)
        return log_fail(ERR_TYPE,
                        "root %s: " PATH_SERVICE " or its parts is not a folder of its own",
                        root->prefix);
    return log_fail_errno("root %s: the folder for unfinished transfers", root->prefix);
}

void fs_service_close(struct fs_service *s)
{
    fs_close(&s->parts);
    fs_close(&s->top);
}

int fs_trees_open(const struct fs_root *root, bool make)
{
    int top = open_own(root->fd, PATH_SERVICE, make);
    int trees = top < 0 ? -1 : open_own(top, "trees", make);
    fs_close(&top);
    return trees;
}

void fs_service_tidy(const struct fs_root *root)
{
    int top = open_own(root->fd, PATH_SERVICE, false);
    if (top < 0)
        return;
    (void)unlinkat(top, "parts", AT_REMOVEDIR);
    (void)unlinkat(top, "trees", AT_REMOVEDIR);
    fs_close(&top);
    (void)unlinkat(root->fd, PATH_SERVICE, AT_REMOVEDIR);
}

DIR *fs_opendir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | FS_FOLDER);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        fs_close(&fd);
    return dir;
}

/* ---- the names ---- */

void fs_names_of(const char *path, struct fs_names *out)
{
    uint8_t digest[TREE_HASH];
    tree_engine(true)->one((const uint8_t *)path, strlen(path), digest);
    out->path = path;
    text_hex(digest, 16, out->id);
    snprintf(out->data, sizeof out->data, "%s.data", out->id);
    snprintf(out->journal, sizeof out->journal, "%s.journal", out->id);
}

bool fs_has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0;
}

/* ---- the lock ---- */

static enum err open_journal(int parts, const struct fs_names *names, bool make,
                             struct fs_locked *out)
{
    out->fresh = false;
    out->fd = fs_open_regular(parts, names->journal, O_RDWR, &out->st);
    if (out->fd >= 0)
        return ERR_OK;
    if (errno == ELOOP || errno == ENOTSUP)
        return fs_fail_type(names->path, out->st.st_mode);
    if (errno != ENOENT)
        return log_fail_errno("%s: opening its unfinished transfer", names->path);
    if (!make)
        return ERR_NOENT;
    out->fd = openat(parts, names->journal, O_RDWR | O_CREAT | O_EXCL | FS_LEAF, 0600);
    out->fresh = out->fd >= 0;
    if (out->fd >= 0 || errno == ENOENT)
        return out->fd >= 0 ? ERR_OK : ERR_NOENT;
    return errno == EEXIST ? ERR_CHANGED : log_fail_errno("%s: starting a transfer", names->path);
}

/* One attempt. Silent: ERR_BUSY when it is locked, ERR_CHANGED when it went away meanwhile. */
static enum err try_lock(int parts, const struct fs_names *names, bool make, struct fs_locked *out)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat named;
    enum err e = open_journal(parts, names, make, out);
    if (e != ERR_OK)
        return e;
    if (fcntl(out->fd, F_OFD_SETLK, &lock) < 0)
        e = errno == EAGAIN || errno == EACCES ? ERR_BUSY
                                               : log_fail_errno("%s: locking", names->path);
    else if (fstat(out->fd, &out->st) < 0)
        e = log_fail_errno("%s: looking at its unfinished transfer", names->path);
    else if (fstatat(parts, names->journal, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
             !fs_same(&named, &out->st))
        e = ERR_CHANGED;
    else if (out->st.st_nlink != 1)
        e = log_fail(ERR_TYPE, "%s: its unfinished transfer has a second name (hard link)",
                     names->path);
    if (e != ERR_OK)
        fs_close(&out->fd);
    return e;
}

enum err fs_lock(int parts, const struct fs_names *names, bool make, int wait_ms,
                 struct fs_locked *out)
{
    static const struct timespec pause = {0, POLL_MS * 1000000};
    enum err e = ERR_CHANGED;
    out->fd = -1;
    for (int waited = 0, tries = 0; tries < TRIES; tries++) {
        e = try_lock(parts, names, make, out);
        if (e != ERR_CHANGED && (e != ERR_BUSY || waited >= wait_ms))
            break;
        if (e == ERR_BUSY) {
            nanosleep(&pause, NULL);
            waited += POLL_MS;
            tries--;
        }
    }
    return e == ERR_CHANGED ? ERR_BUSY : e;
}

/* ERR_BUSY, silent, when somebody else's lock is in the way. */
static enum err lock_second(int journal, short type, const char *path)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    if (fcntl(journal, F_OFD_SETLK, &lock) == 0)
        return ERR_OK;
    return errno == EAGAIN || errno == EACCES ? ERR_BUSY : log_fail_errno("%s: locking", path);
}

enum err fs_lock_share(int journal, const char *path)
{
    return lock_second(journal, F_UNLCK, path);
}

enum err fs_lock_join(int journal, const char *path)
{
    return lock_second(journal, F_RDLCK, path);
}

enum err fs_lock_regain(int journal, const char *path, int wait_ms)
{
    static const struct timespec pause = {0, POLL_MS * 1000000};
    enum err e;
    while ((e = lock_second(journal, F_WRLCK, path)) == ERR_BUSY && wait_ms > 0) {
        nanosleep(&pause, NULL);
        wait_ms -= POLL_MS;
    }
    return e;
}

bool fs_locked_now(int journal)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(journal, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static enum err drop(int parts, const char *name, const char *path)
{
    if (unlinkat(parts, name, 0) == 0 || errno == ENOENT)
        return ERR_OK;
    return log_fail_errno("%s: removing its unfinished transfer", path);
}

enum err fs_drop_data(struct fs *fs, const struct fs_root *root, int parts,
                      const struct fs_names *names)
{
    struct fs_gate g;
    struct fs_yield y = {0};
    struct fs_mark m = {0};
    enum err e = fs_gate_enter(fs, root, false, &g);
    if (e != ERR_OK)
        return e;
    if (g.ledger >= 0 && fs_part_counts(parts, names->data, &m, &y.sum))
        memcpy(y.by, m.by, sizeof y.by);
    e = drop(parts, names->data, names->path);
    if (e == ERR_OK)
        fs_gate_gone(&g, &y);
    fs_gate_leave(&g);
    return e;
}

enum err fs_drop_part(struct fs *fs, const struct fs_root *root, int parts,
                      const struct fs_names *names)
{
    enum err e = fs_drop_data(fs, root, parts, names);
    return e == ERR_OK ? drop(parts, names->journal, names->path) : e;
}
