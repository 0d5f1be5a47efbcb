/* SPDX-License-Identifier: ISC */
/* All parts and trees of a root: listing and sweeping. */
#include "fs_internal.h"

#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READ_SLOTS = 512 };

/* Called for each name in a service folder. */
typedef enum err name_fn(void *arg, int dir, const char *name);

static enum err each_name(const struct fs_root *root, const char *folder, name_fn *each, void *arg)
{
    int fd = fs_open_service(root, folder, false);
    struct dirent *entry;
    enum err e = ERR_OK;
    if (fd < 0)
        return errno == ENOENT ? ERR_OK : log_fail_errno("%s: %s", root->prefix, folder);
    DIR *d = fdopendir(fd);
    if (!d) {
        e = log_fail_errno("%s: %s", root->prefix, folder);
        close(fd);
        return e;
    }
    while (e == ERR_OK && (entry = readdir(d)))
        if (entry->d_name[0] != '.')
            e = each(arg, dirfd(d), entry->d_name);
    closedir(d);
    return e;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static bool is_locked(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* ---- pending ---- */

struct pending {
    const char *path;
    fs_pending_fn *each;
    void *arg;
};

static bool is_below(const char *path, const char *folder)
{
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Bytes of the chunks whose hashes are in the journal. */
static uint64_t count_have(int journal, const struct part_header *h)
{
    static const uint8_t none[TREE_HASH];
    uint8_t hashes[READ_SLOTS * TREE_HASH];
    uint64_t have = 0, chunks = tree_chunks(h->length, h->chunk_log2);
    for (uint64_t at = 0; at < chunks; at += READ_SLOTS) {
        size_t n = chunks - at < READ_SLOTS ? (size_t)(chunks - at) : READ_SLOTS;
        if (part_slots_read(journal, at, n, hashes) != ERR_OK)
            return have;
        for (size_t i = 0; i < n; i++)
            if (memcmp(hashes + i * TREE_HASH, none, TREE_HASH) != 0)
                have += tree_chunk_size(h->length, h->chunk_log2, at + i);
    }
    return have;
}

static enum err show_pending(void *arg, int dir, const char *name)
{
    struct pending *p = arg;
    struct part_header h;
    struct stat st;
    enum err e = ERR_OK;
    if (!ends_with(name, ".journal"))
        return ERR_OK;
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return ERR_OK; /* it was committed in between */
    if (part_header_read(fd, &h) == ERR_OK && fstat(fd, &st) == 0 && is_below(h.path, p->path)) {
        struct fs_pending shown = {h.path, h.length, count_have(fd, &h), st.st_mtim.tv_sec,
                                   is_locked(fd)};
        e = p->each(p->arg, &shown);
    }
    close(fd);
    return e;
}

enum err fs_list_pending(struct fs *fs, const char *path, fs_pending_fn *each, void *arg)
{
    struct pending p = {path, each, arg};
    enum err e = ERR_OK;
    for (size_t i = 0; i < fs->n && e == ERR_OK; i++)
        if (fs->roots[i].rights & (FS_CREATE | FS_OVERWRITE | FS_LIST))
            e = each_name(&fs->roots[i], "parts", show_pending, &p);
    return e;
}

/* ---- sweep ---- */

struct sweep {
    const struct fs *fs;
    const struct fs_root *root;
    int64_t before; /* what changed last before this is old */
    unsigned removed;
};

static bool is_old(const struct sweep *s, int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT
                                                            : st.st_ctim.tv_sec < s->before;
}

static enum err sweep_part(void *arg, int dir, const char *name)
{
    struct sweep *s = arg;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char data[256], journal[256];
    size_t n = strcspn(name, ".");
    if ((!ends_with(name, ".journal") && !ends_with(name, ".data")) || n > 200)
        return ERR_OK;
    snprintf(data, sizeof data, "%.*s.data", (int)n, name);
    snprintf(journal, sizeof journal, "%.*s.journal", (int)n, name);
    if (!is_old(s, dir, data) || !is_old(s, dir, journal))
        return ERR_OK;
    int fd = openat(dir, journal, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if ((fd < 0 && errno != ENOENT) || (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0)) {
        if (fd >= 0)
            close(fd);
        return ERR_OK;
    }
    if (unlinkat(dir, data, 0) == 0 || errno == ENOENT)
        (void)unlinkat(dir, journal, 0);
    if (fd >= 0)
        close(fd);
    s->removed++;
    return ERR_OK;
}

/* A tree is an orphan when the file it was made for is not at its place any more. */
static enum err sweep_tree(void *arg, int dir, const char *name)
{
    struct sweep *s = arg;
    struct part_header h;
    struct fs_place p;
    struct stat st;
    bool orphan = true;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return ERR_OK;
    enum err e = part_header_read(fd, &h);
    close(fd);
    log_quiet(true);
    if (e == ERR_OK && fs_locate(s->fs, h.path, &p) == ERR_OK) {
        orphan = fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != h.stamp.ino;
        fs_place_release(&p);
    }
    log_quiet(false);
    if (orphan && is_old(s, dir, name) && unlinkat(dir, name, 0) == 0)
        s->removed++;
    return ERR_OK;
}

enum err fs_sweep(struct fs *fs, int64_t max_age_s, unsigned *removed)
{
    struct sweep s = {.fs = fs, .before = (int64_t)time(NULL) - max_age_s};
    enum err e = ERR_OK;
    for (size_t i = 0; i < fs->n && e == ERR_OK; i++) {
        s.root = &fs->roots[i];
        if ((e = each_name(s.root, "parts", sweep_part, &s)) == ERR_OK)
            e = each_name(s.root, "trees", sweep_tree, &s);
    }
    if (removed)
        *removed = s.removed;
    return e;
}
