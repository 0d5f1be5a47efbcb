/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include "msg.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- roots ---- */

void fs_init(struct fs *fs, const char *owner, bool tidy)
{
    *fs = (struct fs){.tidy = tidy};
    snprintf(fs->owner, sizeof fs->owner, "%s", owner);
}

enum err fs_add_root(struct fs *fs, const char *prefix, const char *dir, unsigned rights)
{
    char legal[PATH_MAX_BYTES + 1];
    enum err e = path_parse(slice_str(prefix), legal);
    for (size_t i = 0; e == ERR_OK && i < fs->n; i++)
        if (strcmp(fs->roots[i].prefix, legal) == 0)
            e = log_fail(ERR_CONFIG, "%s: two roots of the same name", legal);
    if (e != ERR_OK)
        return e;
    struct fs_root *roots = realloc(fs->roots, (fs->n + 1) * sizeof *roots);
    if (roots)
        fs->roots = roots;
    struct fs_root root = {.prefix = strdup(legal), .rights = rights, .fd = -1};
    if (!roots || !root.prefix)
        e = log_fail(ERR_INTERNAL, "out of memory for a root");
    else if ((root.fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        e = log_fail_errno("root %s: folder %s", legal, dir);
    if (e == ERR_NOENT)
        e = ERR_CONFIG;
    if (e == ERR_OK)
        fs->roots[fs->n++] = root;
    else
        free(root.prefix);
    return e;
}

void fs_release(struct fs *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        free(fs->roots[i].prefix);
        fs_close(&fs->roots[i].fd);
    }
    free(fs->roots);
    fs->roots = NULL;
    fs->n = 0;
}

bool fs_within(const char *path, const char *top)
{
    size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
    return strncmp(path, top, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

struct fs_root *fs_root_of(struct fs *fs, const char *path)
{
    struct fs_root *best = NULL;
    for (size_t i = 0; i < fs->n; i++)
        if (fs_within(path, fs->roots[i].prefix) &&
            (!best || strlen(fs->roots[i].prefix) > strlen(best->prefix)))
            best = &fs->roots[i];
    return best;
}

size_t fs_towards(const struct fs_root *root, const char *path, const char **name)
{
    size_t n = strcmp(path, "/") == 0 ? 0 : strlen(path);
    if (!fs_within(root->prefix, path) || root->prefix[n] == '\0' || root->prefix[n + 1] == '\0')
        return 0;
    *name = root->prefix + n + 1;
    return strcspn(*name, "/");
}

bool fs_above_roots(const struct fs *fs, const char *path)
{
    const char *name;
    for (size_t i = 0; i < fs->n; i++)
        if (fs_towards(&fs->roots[i], path, &name) > 0)
            return true;
    return false;
}

const char *fs_rel(const struct fs_root *root, const char *path)
{
    size_t n = strcmp(root->prefix, "/") == 0 ? 0 : strlen(root->prefix);
    return path[n] == '/' ? path + n + 1 : "";
}

/* ---- stat ---- */

static uint8_t type_of(mode_t mode)
{
    return S_ISREG(mode)   ? MSG_FILE
           : S_ISDIR(mode) ? MSG_FOLDER
           : S_ISLNK(mode) ? MSG_LINK
                           : MSG_OTHER;
}

void fs_describe(const struct stat *st, struct fs_info *out)
{
    *out = (struct fs_info){.type = type_of(st->st_mode),
                            .mode = st->st_mode & 0777,
                            .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
                            .mtime_s = st->st_mtim.tv_sec,
                            .mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
}

static void describe(const struct stat *st, int trees, struct fs_info *out)
{
    fs_describe(st, out);
    out->has_root = trees >= 0 && S_ISREG(st->st_mode) && fs_tree_root(trees, st, out->root);
}

void fs_describe_root(const struct fs *fs, const char *path, struct fs_info *out)
{
    struct stat st;
    *out = (struct fs_info){.type = MSG_FOLDER, .mode = 0555};
    for (size_t i = 0; i < fs->n; i++)
        if (strcmp(fs->roots[i].prefix, path) == 0 && fstat(fs->roots[i].fd, &st) == 0)
            fs_describe(&st, out);
}

enum err fs_stat(struct fs *fs, const char *path, struct fs_info *out)
{
    struct fs_place at;
    struct stat st;
    const char *name;
    int dir = -1, trees = -1;
    *out = (struct fs_info){0};
    enum err e = fs_allow(fs, path, FS_DO_STAT, &at);
    if (e != ERR_OK)
        return e;
    if (!at.root || at.rel[0] == '\0') {
        fs_describe_root(fs, path, out);
        return ERR_OK;
    }
    bool leads = fs_above_roots(fs, path);
    if (leads && (dir = fs_open_beneath(at.root, at.rel, O_PATH)) < 0 && errno == ENOENT) {
        fs_describe_root(fs, path, out);
        return ERR_OK;
    }
    fs_close(&dir);
    if ((e = fs_open_parent(&at, O_PATH, &dir, &name)) != ERR_OK)
        return e;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        trees = S_ISREG(st.st_mode) ? fs_trees_open(at.root, false) : -1;
        describe(&st, trees, out);
    } else {
        e = log_fail_errno("%s", path);
    }
    fs_close(&trees);
    fs_close(&dir);
    return e;
}

/* ---- list ---- */

bool fs_leads(const struct fs *fs, size_t n, const char *path, const char *name, size_t length)
{
    const char *other = "";
    for (size_t i = 0; i < n; i++)
        if (fs_towards(&fs->roots[i], path, &other) == length && memcmp(other, name, length) == 0)
            return true;
    return false;
}

struct listing {
    struct fs *fs;
    const char *path;
    fs_entry_fn *each;
    void *arg;
    int trees;
    unsigned passed_over;
};

static enum err list_roots(struct listing *l)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < l->fs->n; i++) {
        char name[PATH_NAME_MAX + 1], path[PATH_MAX_BYTES + 1];
        const char *towards;
        struct fs_info info;
        size_t n = fs_towards(&l->fs->roots[i], l->path, &towards);
        if (n == 0 || n > PATH_NAME_MAX || fs_leads(l->fs, i, l->path, towards, n))
            continue;
        snprintf(name, sizeof name, "%.*s", (int)n, towards);
        snprintf(path, sizeof path, "%.*s", (int)(towards + n - l->fs->roots[i].prefix),
                 l->fs->roots[i].prefix);
        fs_describe_root(l->fs, path, &info);
        e = l->each(l->arg, name, &info);
    }
    return e;
}

static enum err list_one(struct listing *l, int dir, const char *name)
{
    struct fs_info info;
    struct stat st;
    size_t n = strlen(name);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, PATH_SERVICE) == 0 ||
        fs_leads(l->fs, l->fs->n, l->path, name, n))
        return ERR_OK;
    if (!path_name_ok(name, n) || strlen(l->path) + 1 + n > PATH_MAX_BYTES) {
        l->passed_over++;
        return ERR_OK;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? ERR_OK : log_fail_errno("%s: looking at \"%s\"", l->path, name);
    describe(&st, l->trees, &info);
    return l->each(l->arg, name, &info);
}

static enum err list_folder(struct listing *l, int fd)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    enum err e = ERR_OK;
    if (!dir) {
        e = log_fail_errno("%s: listing", l->path);
        fs_close(&fd);
        return e;
    }
    while (e == ERR_OK && (errno = 0, entry = readdir(dir)))
        e = list_one(l, dirfd(dir), entry->d_name);
    if (e == ERR_OK && errno != 0)
        e = log_fail_errno("%s: listing", l->path);
    closedir(dir);
    if (l->passed_over > 0)
        log_warn("%s: %u entries are not shown: their names are not allowed", l->path,
                 l->passed_over);
    return e;
}

enum err fs_list(struct fs *fs, const char *path, fs_entry_fn *each, void *arg)
{
    struct listing l = {fs, path, each, arg, -1, 0};
    struct fs_place at;
    enum err e = fs_allow(fs, path, FS_DO_LIST, &at);
    if (e != ERR_OK)
        return e;
    int fd = at.root ? fs_open_beneath(at.root, at.rel, O_RDONLY) : -1;
    if (fd >= 0) {
        l.trees = fs_trees_open(at.root, false);
        e = list_folder(&l, fd);
        fs_close(&l.trees);
    } else if (at.root && !(errno == ENOENT && fs_above_roots(fs, path))) {
        return fs_fail_open(path, path, strlen(path));
    }
    return e == ERR_OK ? list_roots(&l) : e;
}
