/* SPDX-License-Identifier: ISC */
/* Parts: found, locked, made visible, given up. */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ID = 32, POLL_MS = 50, REPLACED_MAX = 100 };

/* The two names of a part below PATH_SERVICE/parts. */
struct names {
    char data[ID + 8], journal[ID + 12];
};

static void names_of(const char *path, struct names *n)
{
    uint8_t hash[TREE_HASH];
    char id[ID + 1];
    tree_engine(true)->one((const uint8_t *)path, strlen(path), hash);
    for (int i = 0; i < ID / 2; i++)
        snprintf(id + (size_t)i * 2, 3, "%02x", hash[i]);
    snprintf(n->data, sizeof n->data, "%s.data", id);
    snprintf(n->journal, sizeof n->journal, "%s.journal", id);
}

/* ---- files of a part ---- */

/* A regular file of ours that has no other name. */
static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid();
}

/* Opens name, or makes it: *fresh tells. Anything else in its place is refused, but a file with a
 * second name (a commit that was cut between link and unlink) only loses this one. */
static int open_part_file(int parts, const char *name, bool *fresh)
{
    struct stat st;
    for (int tries = 0; tries < REPLACED_MAX; tries++) {
        *fresh = false;
        int fd = openat(parts, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) {
            fd = openat(parts, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
            if (fd < 0 && errno == EEXIST)
                continue;
            *fresh = fd >= 0;
        }
        if (fd < 0 || is_ours(fd))
            return fd;
        bool second_name = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 1;
        close(fd);
        if (!second_name || unlinkat(parts, name, 0) < 0) {
            errno = ENOTDIR; /* comes out as ERR_TYPE */
            return -1;
        }
    }
    errno = EBUSY;
    return -1;
}

static bool same_file(int dir, const char *name, int fd)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* The lock that a part's owner holds as long as any copy of the descriptor lives. */
static bool try_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Opens and locks the journal, waiting for another owner up to wait_ms. */
static enum err lock_journal(int parts, const char *name, const char *path, int wait_ms, int *out)
{
    for (int waited = 0;;) {
        bool fresh;
        int fd = open_part_file(parts, name, &fresh);
        if (fd < 0)
            return log_fail_errno("%s: the journal of its part", path);
        if (try_lock(fd)) {
            /* The former owner may have committed or discarded what was just opened. */
            if (same_file(parts, name, fd)) {
                *out = fd;
                return ERR_OK;
            }
            close(fd);
            continue;
        }
        close(fd);
        if (errno != EAGAIN && errno != EACCES)
            return log_fail_errno("%s: locking its part", path);
        if (waited >= wait_ms)
            return log_fail(ERR_BUSY, "%s: another transfer to this name is running", path);
        poll(NULL, 0, POLL_MS);
        waited += POLL_MS;
    }
}

/* ---- opening ---- */

/* Whether what stands at path (if anything) may be replaced; rights are those of its root. */
static enum err check_place(const struct fs_place *p, const char *path, bool overwrite)
{
    struct stat st;
    if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return log_fail_errno("%s", path);
        return p->root->rights & FS_CREATE
                   ? ERR_OK
                   : log_fail(ERR_DENIED, "%s: the right to create is not granted here", path);
    }
    if (!S_ISREG(st.st_mode))
        return log_fail(ERR_TYPE, "%s: exists and is not a regular file", path);
    if (!overwrite)
        return log_fail(ERR_EXISTS, "%s: exists", path);
    return p->root->rights & FS_OVERWRITE
               ? ERR_OK
               : log_fail(ERR_DENIED, "%s: exists, and the right to overwrite is not granted here",
                          path);
}

static enum err check_header(const struct fs *fs, const char *path, uint64_t length, int journal,
                             bool fresh)
{
    struct part_header h;
    enum err e = part_header_read(journal, &h);
    if (e == ERR_OK && !fresh && strcmp(h.path, path) == 0)
        return strcmp(h.owner, fs->owner) == 0
                   ? ERR_OK
                   : log_fail(ERR_BUSY, "%s: another user's upload to this name is unfinished",
                              path);
    if (e != ERR_OK && e != ERR_NOENT)
        return e;
    /* New, or a journal that says nothing: the data, if any, will be hashed. */
    h = (struct part_header){.length = length,
                             .chunk_log2 = (uint8_t)tree_chunk_log2(length),
                             .created = (uint64_t)time(NULL)};
    snprintf(h.path, sizeof h.path, "%s", path);
    snprintf(h.owner, sizeof h.owner, "%s", fs->owner);
    return part_header_write(journal, &h);
}

/* So that a full disk is known now and not hours later. */
static enum err reserve(int data, uint64_t length, const char *path)
{
    while (length > 0 && fallocate(data, FALLOC_FL_KEEP_SIZE, 0, (off_t)length) < 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            break;
        if (errno != EINTR)
            return log_fail_errno("%s: reserving %llu bytes", path, (unsigned long long)length);
    }
    return ERR_OK;
}

static enum err open_files(const struct fs *fs, int parts, const char *path, uint64_t length,
                           int wait_ms, struct fs_part *out)
{
    struct names n;
    bool fresh = false;
    names_of(path, &n);
    enum err e = lock_journal(parts, n.journal, path, wait_ms, &out->journal);
    if (e != ERR_OK)
        return e;
    out->data = open_part_file(parts, n.data, &fresh);
    out->existed = !fresh;
    e = out->data < 0 ? log_fail_errno("%s: its part", path)
                      : check_header(fs, path, length, out->journal, fresh);
    if (e != ERR_OK)
        return e;
    e = reserve(out->data, length, path);
    if (e != ERR_OK && fresh) {
        (void)unlinkat(parts, n.data, 0);
        (void)unlinkat(parts, n.journal, 0);
    }
    return e;
}

enum err fs_open_part(struct fs *fs, const char *path, uint64_t length, bool overwrite, int wait_ms,
                      struct fs_part *out)
{
    struct fs_place p;
    int parts = -1;
    *out = (struct fs_part){.data = -1, .journal = -1};
    enum err e = ERR_OK;
    if (!fs_allowed(fs, path, FS_CREATE | FS_OVERWRITE, &e) ||
        (e = fs_locate(fs, path, &p)) != ERR_OK)
        return e;
    if (length > INT64_MAX)
        e = log_fail(ERR_LIMIT, "%s: too long", path);
    if (e == ERR_OK && (e = check_place(&p, path, overwrite)) == ERR_OK) {
        parts = fs_open_service(p.root, "parts", true);
        e = parts < 0 ? log_fail_errno("%s: the folder for unfinished transfers", path)
                      : open_files(fs, parts, path, length, wait_ms, out);
    }
    if (e != ERR_OK) {
        if (out->data >= 0)
            close(out->data);
        if (out->journal >= 0)
            close(out->journal);
        *out = (struct fs_part){.data = -1, .journal = -1};
    }
    if (parts >= 0)
        close(parts);
    fs_place_release(&p);
    return e;
}

/* ---- the end ---- */

static void tidy_up(const struct fs *fs, const struct fs_root *root)
{
    int service;
    if (!fs->tidy)
        return;
    service = openat(root->fd, PATH_SERVICE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (service < 0)
        return;
    (void)unlinkat(service, "parts", AT_REMOVEDIR);
    (void)unlinkat(service, "trees", AT_REMOVEDIR);
    close(service);
    (void)unlinkat(root->fd, PATH_SERVICE, AT_REMOVEDIR);
}

/* Keeps the journal as the stored tree. Losing it costs a hashing, nothing else. */
static enum err store_tree(const struct fs_root *root, int parts, const char *journal_name,
                           const struct fs_part *part, struct part_header *h)
{
    char name[FS_TREE_NAME];
    struct stat st;
    if (fstat(part->data, &st) < 0)
        return log_fail_errno("%s: its stored tree", h->path);
    part_stamp_of(&st, &h->stamp);
    h->stamped = true;
    enum err e = part_header_write(part->journal, h);
    if (e != ERR_OK)
        return e;
    int trees = fs_open_service(root, "trees", true);
    if (trees < 0)
        return log_fail_errno("%s: the folder of stored trees", h->path);
    fs_tree_name(st.st_ino, name);
    if (renameat(parts, journal_name, trees, name) < 0)
        e = log_fail_errno("%s: its stored tree", h->path);
    close(trees);
    return e;
}

static enum err set_attributes(int data, const struct fs_commit *how)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = how->mtime_s, .tv_nsec = (long)how->mtime_ns}};
    if (fchmod(data, ((mode_t)how->mode & 0777 & ~(mode_t)022) | 0600) < 0)
        return log_fail_errno("%s: setting its mode", how->path);
    if (futimens(data, times) < 0)
        return log_fail_errno("%s: setting its time", how->path);
    return fsync(data) == 0 ? ERR_OK : log_fail_errno("%s: making it durable", how->path);
}

/* The name appears: over what stands there, or only where nothing does. */
static enum err appear(const struct fs_place *p, int parts, const char *data_name,
                       const struct fs_commit *how)
{
    if (how->overwrite && p->root->rights & FS_OVERWRITE)
        return renameat(parts, data_name, p->dir, p->name) == 0 ? ERR_OK
                                                                : log_fail_errno("%s", how->path);
    if (linkat(parts, data_name, p->dir, p->name, 0) < 0)
        return log_fail_errno("%s", how->path);
    return unlinkat(parts, data_name, 0) == 0 ? ERR_OK : log_fail_errno("%s: its part", how->path);
}

static enum err commit(struct fs *fs, const struct fs_place *p, int parts,
                       const struct fs_part *part, const struct fs_commit *how)
{
    struct part_header h;
    struct names n;
    struct stat st, old;
    names_of(how->path, &n);
    enum err e = part_header_read(part->journal, &h);
    if (e != ERR_OK && e != ERR_NOENT)
        return e;
    if (e == ERR_NOENT || !h.complete || strcmp(h.path, how->path) != 0 ||
        fstat(part->data, &st) < 0 || (uint64_t)st.st_size != h.length ||
        !same_file(parts, n.data, part->data) || !same_file(parts, n.journal, part->journal))
        return log_fail(ERR_CHANGED, "%s: its part was changed or removed", how->path);
    if ((e = check_place(p, how->path, how->overwrite)) != ERR_OK ||
        (e = set_attributes(part->data, how)) != ERR_OK)
        return e;
    bool replaces = fstatat(p->dir, p->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    if ((e = appear(p, parts, n.data, how)) != ERR_OK ||
        (e = fs_sync_folder(p->dir, how->path)) != ERR_OK)
        return e;
    if (replaces && old.st_nlink == 1)
        fs_drop_tree(p->root, old.st_ino);
    /* Without a stored tree, the client's way or for want of one, the journal has done its work. */
    if (fs->tidy || store_tree(p->root, parts, n.journal, part, &h) != ERR_OK)
        (void)unlinkat(parts, n.journal, 0);
    return ERR_OK;
}

enum err fs_commit(struct fs *fs, const struct fs_part *part, const struct fs_commit *how)
{
    struct fs_place p;
    enum err e;
    if (!fs_allowed(fs, how->path, FS_CREATE | FS_OVERWRITE, &e) ||
        (e = fs_locate(fs, how->path, &p)) != ERR_OK)
        return e;
    int parts = fs_open_service(p.root, "parts", false);
    e = parts < 0 ? log_fail_errno("%s: the folder for unfinished transfers", how->path)
                  : commit(fs, &p, parts, part, how);
    if (parts >= 0)
        close(parts);
    if (e == ERR_OK)
        tidy_up(fs, p.root);
    fs_place_release(&p);
    return e;
}

enum err fs_discard(struct fs *fs, const char *path)
{
    struct names n;
    enum err e;
    const struct fs_root *root = fs_allowed(fs, path, FS_CREATE, &e);
    if (!root)
        return e;
    names_of(path, &n);
    int parts = fs_open_service(root, "parts", false);
    int journal =
        parts < 0 ? -1 : openat(parts, n.journal, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (journal < 0 && errno == ENOENT)
        e = log_fail(ERR_NOENT, "%s: there is no unfinished upload to it", path);
    else if (journal < 0)
        e = log_fail_errno("%s: its part", path);
    else if (!try_lock(journal))
        e = log_fail(ERR_BUSY, "%s: a transfer to this name is running", path);
    else if ((unlinkat(parts, n.data, 0) < 0 && errno != ENOENT) ||
             unlinkat(parts, n.journal, 0) < 0)
        e = log_fail_errno("%s: its part", path);
    if (journal >= 0)
        close(journal);
    if (parts >= 0)
        close(parts);
    if (e == ERR_OK)
        tidy_up(fs, root);
    return e;
}
