/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fs_tree_name(uint64_t inode, char out[static FS_TREE_NAME])
{
    snprintf(out, FS_TREE_NAME, "%llx", (unsigned long long)inode);
}

bool fs_one_chunk(uint64_t length)
{
    unsigned log2 = tree_chunk_log2(length);
    return log2 != 0 && length <= (uint64_t)1 << log2;
}

/* What there is of the tree at fd, which was opened as st's. */
static enum fs_tree judge(int fd, const struct stat *own, const struct stat *st,
                          struct part_header *h)
{
    struct part_stamp now;
    part_stamp_of(st, &now);
    /* An inode's number says nothing on another filesystem mounted below the root. */
    if (own->st_dev != st->st_dev)
        return FS_TREE_NONE;
    if (own->st_nlink != 1 || part_header_read(fd, h) != ERR_OK || !h->complete)
        return FS_TREE_DAMAGED;
    if (!h->stamped || h->length != (uint64_t)st->st_size || !part_stamp_eq(&now, &h->stamp))
        return FS_TREE_STALE;
    return FS_TREE_VALID;
}

static enum fs_tree find_file(int trees, const struct stat *st, int flags, struct part_header *h,
                              int *fd)
{
    char name[FS_TREE_NAME];
    struct stat own;
    *fd = -1;
    if (trees < 0)
        return FS_TREE_NONE;
    fs_tree_name(st->st_ino, name);
    *fd = fs_open_regular(trees, name, flags, &own);
    if (*fd < 0)
        return errno == ENOENT ? FS_TREE_NONE : FS_TREE_DAMAGED;
    enum fs_tree found = judge(*fd, &own, st, h);
    if (found != FS_TREE_VALID)
        fs_close(fd);
    return found;
}

int fs_tree_open(int trees, const struct stat *st, int flags, struct part_header *h)
{
    int fd;
    return find_file(trees, st, flags, h, &fd) == FS_TREE_VALID ? fd : -1;
}

enum fs_tree fs_tree_find(struct fs_slots *slots, const struct stat *st, struct part_header *h,
                          int *fd)
{
    uint64_t length = (uint64_t)st->st_size;
    if (!fs_one_chunk(length))
        return find_file(slots->trees, st, O_RDONLY, h, fd);
    *fd = -1;
    *h = (struct part_header){.length = length,
                              .chunk_log2 = (uint8_t)tree_chunk_log2(length),
                              .stamped = true,
                              .complete = true};
    part_stamp_of(st, &h->stamp);
    return fs_slot_find(slots, st, h->root);
}

enum err fs_tree_each(int trees, enum err (*each)(void *arg, uint64_t inode), void *arg)
{
    const struct dirent *entry;
    enum err e = ERR_OK;
    if (trees < 0)
        return ERR_OK;
    DIR *dir = fs_opendir(trees, ".");
    if (!dir)
        return log_fail_errno("listing the stored trees");
    while (e == ERR_OK && (errno = 0, entry = readdir(dir))) {
        char *end;
        unsigned long long inode = strtoull(entry->d_name, &end, 16);
        if (entry->d_name[0] != '.' && !*end && inode != 0)
            e = each(arg, inode);
    }
    if (e == ERR_OK && errno != 0)
        e = log_fail_errno("listing the stored trees");
    closedir(dir);
    return e;
}

bool fs_tree_root(int trees, const struct stat *st, uint8_t root[static TREE_HASH])
{
    struct part_header h;
    struct fs_slots slots;
    if (fs_one_chunk((uint64_t)st->st_size)) {
        fs_slots_init(&slots, trees);
        bool found = fs_slot_read(&slots, st, root);
        fs_close(&slots.fd);
        return found;
    }
    int tree = fs_tree_open(trees, st, O_RDONLY, &h);
    if (tree < 0)
        return false;
    memcpy(root, h.root, TREE_HASH);
    fs_close(&tree);
    return true;
}

enum err fs_tree_stamp(int tree, struct part_header *h, const struct stat *st, const char *path)
{
    part_stamp_of(st, &h->stamp);
    h->stamped = true;
    snprintf(h->path, sizeof h->path, "%s", path);
    return part_header_write(tree, h);
}

void fs_tree_drop(const struct fs_root *root, const struct stat *gone)
{
    char name[FS_TREE_NAME];
    bool stored = S_ISREG(gone->st_mode) && !fs_one_chunk((uint64_t)gone->st_size);
    int trees = stored ? fs_trees_open(root, false) : -1;
    if (trees < 0)
        return;
    fs_tree_name(gone->st_ino, name);
    if (unlinkat(trees, name, 0) < 0 && errno != ENOENT)
        log_warn("root %s: a stored tree that is no longer needed could not be removed",
                 root->prefix);
    fs_close(&trees);
}

/* A file with several names may be somebody else's, linked here to have it sent. */
static bool is_own(const struct fs_place *at, const struct stat *st)
{
    struct stat root;
    return st->st_nlink == 1 || (fstat(at->root->fd, &root) == 0 && st->st_uid == root.st_uid);
}

enum err fs_open_in(const struct fs_place *at, int dir, struct fs_source *out)
{
    *out = (struct fs_source){.tree = -1};
    out->fd = fs_open_regular(dir, path_base(at->path), O_RDONLY, &out->st);
    if (out->fd < 0)
        return errno == ELOOP || errno == ENOTSUP ? fs_fail_type(at->path, out->st.st_mode)
                                                  : log_fail_errno("%s", at->path);
    if (is_own(at, &out->st))
        return ERR_OK;
    fs_close(&out->fd);
    return log_fail(ERR_TYPE, "%s: has a second name (hard link) and another owner than its root",
                    at->path);
}

static void open_tree(const struct fs_root *root, struct fs_source *out)
{
    struct part_header h;
    int trees = fs_trees_open(root, false);
    if (fs_one_chunk((uint64_t)out->st.st_size))
        out->has_root = fs_tree_root(trees, &out->st, out->root);
    else
        out->tree = fs_tree_open(trees, &out->st, O_RDONLY, &h);
    fs_close(&trees);
}

bool fs_open_old(const struct fs_place *at, dev_t dev, struct fs_source *out)
{
    const char *name;
    int dir;
    *out = (struct fs_source){.fd = -1, .tree = -1};
    if (!fs_has(at->root, FS_DO_READ) || fs_open_parent(at, O_PATH, &dir, &name) != ERR_OK)
        return false;
    out->fd = fs_open_regular(dir, name, O_RDONLY, &out->st);
    fs_close(&dir);
    if (out->fd >= 0 && (out->st.st_dev != dev || !is_own(at, &out->st)))
        fs_close(&out->fd);
    if (out->fd >= 0)
        open_tree(at->root, out);
    return out->fd >= 0;
}

enum err fs_open_source(struct fs *fs, const char *path, struct fs_source *out)
{
    struct fs_place at;
    const char *name;
    int dir;
    *out = (struct fs_source){.fd = -1, .tree = -1};
    enum err e = fs_allow(fs, path, FS_DO_READ, &at);
    if (e != ERR_OK)
        return e;
    if (!at.root || at.rel[0] == '\0')
        return fs_fail_type(path, S_IFDIR);
    if ((e = fs_open_parent(&at, O_PATH, &dir, &name)) != ERR_OK)
        return e;
    e = fs_open_in(&at, dir, out);
    fs_close(&dir);
    if (e == ERR_OK)
        open_tree(at.root, out);
    return e;
}
