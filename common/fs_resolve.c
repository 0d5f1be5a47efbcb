/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether openat2 is known to be missing. One answer for the whole process: it is the kernel's. */
static bool by_walk;

void fs_resolve_by_walk(bool walk)
{
    by_walk = walk;
}

void fs_close(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

bool fs_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* One step of the walk. The kernel calls a symbolic link "not a directory" here: told apart, so
 * that both ways say the same. */
static int step(int dir, const char *name, int access)
{
    struct stat st;
    int fd = openat(dir, name, access | FS_FOLDER);
    if (fd < 0 && errno == ENOTDIR) {
        bool link = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
        errno = link ? ELOOP : ENOTDIR;
    }
    return fd;
}

/* The names hold no "..": fs_allow has seen to that. */
static int walk(int root, const char *rel, int access)
{
    char name[PATH_NAME_MAX + 1];
    int dir = -1;
    for (bool last = false; !last; rel += !last) {
        size_t n = strcspn(rel, "/");
        if (n > PATH_NAME_MAX) {
            fs_close(&dir);
            errno = ENAMETOOLONG;
            return -1;
        }
        snprintf(name, sizeof name, "%.*s", (int)n, rel);
        rel += n;
        last = *rel == '\0';
        int next = step(dir < 0 ? root : dir, name, last ? access : O_PATH);
        fs_close(&dir);
        if (next < 0)
            return -1;
        dir = next;
    }
    return dir;
}

int fs_open_beneath(const struct fs_root *root, const char *rel, int access)
{
    /* Without O_NOFOLLOW a link as the last name is ELOOP too, instead of ENOTDIR. */
    struct open_how how = {.flags = (unsigned)access | O_DIRECTORY | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    if (rel[0] == '\0')
        return openat(root->fd, ".", access | FS_FOLDER);
    if (!by_walk) {
        int fd = (int)syscall(SYS_openat2, root->fd, rel, &how, sizeof how);
        if (fd >= 0 || errno != ENOSYS)
            return fd;
        by_walk = true;
    }
    return walk(root->fd, rel, access);
}

enum err fs_fail_open(const char *path, const char *shown, size_t n)
{
    int len = (int)n;
    switch (errno) {
    case ENOENT:
        return log_fail(ERR_NOENT, "%s: the folder %.*s does not exist", path, len, shown);
    case ENOTDIR:
        return log_fail(ERR_TYPE, "%s: something in %.*s is not a folder", path, len, shown);
    case ELOOP:
    case EXDEV:
        return log_fail(ERR_NAME, "%s: there is a symbolic link in %.*s; links are not followed",
                        path, len, shown);
    default:
        return log_fail_errno("%s: opening the folder %.*s", path, len, shown);
    }
}

enum err fs_open_parent(const struct fs_place *at, int access, int *dir, const char **name)
{
    char rel[PATH_MAX_BYTES + 1];
    *dir = -1;
    *name = path_base(at->path);
    if (!at->root || at->rel[0] == '\0')
        return log_fail(ERR_DENIED, "%s: a root itself is not touched", at->path);
    const char *slash = strrchr(at->rel, '/');
    snprintf(rel, sizeof rel, "%.*s", slash ? (int)(slash - at->rel) : 0, at->rel);
    if ((*dir = fs_open_beneath(at->root, rel, access)) >= 0)
        return ERR_OK;
    size_t n = (size_t)(*name - at->path) - 1;
    return fs_fail_open(at->path, at->path, n ? n : 1);
}

int fs_open_regular(int dir, const char *name, int flags, struct stat *st)
{
    int fd = -1;
    /* Looked at before it is opened: opening a device can have effects of its own. */
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (S_ISREG(st->st_mode) && (fd = openat(dir, name, flags | FS_LEAF)) < 0)
        return -1;
    if (fd >= 0 && fstat(fd, st) < 0) {
        fs_close(&fd);
        return -1;
    }
    if (!S_ISREG(st->st_mode)) {
        fs_close(&fd);
        errno = S_ISLNK(st->st_mode) ? ELOOP : ENOTSUP;
    }
    return fd;
}

enum err fs_fail_type(const char *path, mode_t mode)
{
    const char *what = S_ISDIR(mode)    ? "a folder"
                       : S_ISLNK(mode)  ? "a symbolic link"
                       : S_ISFIFO(mode) ? "a FIFO"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a special file";
    return log_fail(ERR_TYPE, "%s: is %s, not a regular file", path, what);
}

enum err fs_sync_folder(int dir, const char *path)
{
    return fsync(dir) == 0 ? ERR_OK : log_fail_errno("%s: making the folder durable", path);
}
