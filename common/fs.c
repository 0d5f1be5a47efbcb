/* SPDX-License-Identifier: ISC */
/* Roots, rights and how a path becomes a descriptor; stat and list. */
#include "fs_internal.h"

#include "log.h"
#include "msg.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool fs_without_openat2;

/* ---- rights ---- */

static const struct {
    const char *word;
    unsigned right;
} words[] = {{"list", FS_LIST},           {"read", FS_READ},     {"create", FS_CREATE},
             {"overwrite", FS_OVERWRITE}, {"delete", FS_DELETE}, {"rename", FS_RENAME},
             {"mkdir", FS_MKDIR},         {"all", FS_ALL}};

enum { WORDS = sizeof words / sizeof words[0] - 1 }; /* "all" is only read */

static bool add_word(const char *text, size_t n, unsigned *rights)
{
    for (size_t i = 0; i <= WORDS; i++) {
        if (strlen(words[i].word) == n && memcmp(words[i].word, text, n) == 0) {
            *rights |= words[i].right;
            return true;
        }
    }
    return false;
}

bool fs_rights_parse(const char *text, unsigned *rights)
{
    *rights = 0;
    while (*(text += strspn(text, ", \t"))) {
        size_t n = strcspn(text, ", \t");
        if (!add_word(text, n, rights))
            return false;
        text += n;
    }
    return *rights != 0;
}

void fs_rights_text(unsigned rights, char *out, size_t cap)
{
    size_t at = 0;
    if (cap)
        out[0] = '\0';
    for (size_t i = 0; i < WORDS; i++) {
        size_t n = strlen(words[i].word);
        if (!(rights & words[i].right) || at + n + 2 > cap)
            continue;
        if (at)
            out[at++] = ' ';
        memcpy(out + at, words[i].word, n + 1);
        at += n;
    }
}

/* ---- roots ---- */

void fs_init(struct fs *fs, const char *owner, bool tidy)
{
    size_t n = strlen(owner);
    *fs = (struct fs){.tidy = tidy};
    memcpy(fs->owner, owner, n < sizeof fs->owner ? n : sizeof fs->owner - 1);
}

enum err fs_add_root(struct fs *fs, const char *prefix, const char *dir, unsigned rights)
{
    struct fs_root *grown = realloc(fs->roots, (fs->n + 1) * sizeof *grown);
    char *copy = strdup(prefix);
    if (grown)
        fs->roots = grown;
    if (!grown || !copy) {
        free(copy);
        return log_fail(ERR_INTERNAL, "out of memory for a root");
    }
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        free(copy);
        enum err e = log_fail_errno("the folder of %s (%s)", prefix, dir);
        return e == ERR_NOENT ? ERR_CONFIG : e;
    }
    fs->roots[fs->n++] = (struct fs_root){copy, rights, fd};
    return ERR_OK;
}

void fs_release(struct fs *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        free(fs->roots[i].prefix);
        close(fs->roots[i].fd);
    }
    free(fs->roots);
    fs->roots = NULL;
    fs->n = 0;
}

/* What of path is below prefix, without a leading slash; NULL when it is not below. */
static const char *below(const char *path, const char *prefix)
{
    size_t n = strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);
    if (strncmp(path, prefix, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] == '/' ? path + n + 1 : path + n;
}

const struct fs_root *fs_root_of(const struct fs *fs, const char *path, const char **rest)
{
    const struct fs_root *best = NULL;
    for (size_t i = 0; i < fs->n; i++) {
        const char *r = below(path, fs->roots[i].prefix);
        if (r && (!best || strlen(fs->roots[i].prefix) > strlen(best->prefix))) {
            best = &fs->roots[i];
            *rest = r;
        }
    }
    return best;
}

const struct fs_root *fs_allowed(const struct fs *fs, const char *path, unsigned right, enum err *e)
{
    const char *rest;
    char text[80];
    const struct fs_root *root = fs_root_of(fs, path, &rest);
    *e = ERR_OK;
    if (root && root->rights & right)
        return root;
    fs_rights_text(right, text, sizeof text);
    *e = root ? log_fail(ERR_DENIED, "%s: the right to %s is not granted here", path, text)
              : log_fail(ERR_NOENT, "%s: no such file or folder", path);
    return NULL;
}

/* Whether path lies above a virtual root: a folder that exists only in the map. */
static bool is_above_root(const struct fs *fs, const char *path)
{
    for (size_t i = 0; i < fs->n; i++) {
        const char *r = below(fs->roots[i].prefix, path);
        if (r && *r)
            return true;
    }
    return false;
}

/* ---- from path to descriptor ---- */

/* The way where the kernel has no openat2: each component is opened without following it. */
static int walk(int dir, const char *rel)
{
    char name[PATH_NAME_MAX + 1];
    int at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (at >= 0 && *rel) {
        size_t n = strcspn(rel, "/");
        if (!path_name_ok(rel, n)) {
            close(at);
            errno = EXDEV;
            return -1;
        }
        memcpy(name, rel, n);
        name[n] = '\0';
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
        rel += n + (rel[n] == '/');
    }
    if (at < 0)
        return -1;
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;
    close(at);
    errno = saved;
    return fd;
}

int fs_open_folder(int dir, const char *rel)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    if (!fs_without_openat2) {
        int fd = (int)syscall(SYS_openat2, dir, *rel ? rel : ".", &how, sizeof how);
        if (fd >= 0 || errno != ENOSYS)
            return fd;
    }
    return walk(dir, rel);
}

enum err fs_locate(const struct fs *fs, const char *path, struct fs_place *out)
{
    char rel[PATH_MAX_BYTES + 1];
    const char *rest = "";
    *out = (struct fs_place){.dir = -1};
    out->root = fs_root_of(fs, path, &rest);
    if (!out->root)
        return log_fail(ERR_NOENT, "%s: no such file or folder", path);
    if (!*rest)
        return log_fail(ERR_DENIED, "%s: a root can't be changed", path);
    const char *slash = strrchr(rest, '/');
    size_t n = slash ? (size_t)(slash - rest) : 0;
    memcpy(rel, rest, n);
    rel[n] = '\0';
    snprintf(out->name, sizeof out->name, "%s", slash ? slash + 1 : rest);
    out->dir = fs_open_folder(out->root->fd, rel);
    return out->dir >= 0 ? ERR_OK : log_fail_errno("%s: its folder", path);
}

void fs_place_release(struct fs_place *p)
{
    if (p->dir >= 0)
        close(p->dir);
    p->dir = -1;
}

enum err fs_sync_folder(int dir, const char *path)
{
    return fsync(dir) == 0 ? ERR_OK : log_fail_errno("%s: making its name durable", path);
}

/* ---- consign's own folder ---- */

static int open_own(int dir, const char *name, bool make)
{
    struct stat st;
    if (make && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
        return -1;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

int fs_open_service(const struct fs_root *root, const char *name, bool make)
{
    int service = open_own(root->fd, PATH_SERVICE, make);
    if (service < 0)
        return -1;
    int fd = open_own(service, name, make);
    int saved = errno;
    close(service);
    errno = saved;
    return fd;
}

void fs_tree_name(uint64_t ino, char out[static FS_TREE_NAME])
{
    snprintf(out, FS_TREE_NAME, "%llx", (unsigned long long)ino);
}

int fs_open_tree(const struct fs_root *root, const struct stat *st, int access,
                 struct part_header *h)
{
    char name[FS_TREE_NAME];
    struct part_stamp now;
    struct stat own;
    int dir = fs_open_service(root, "trees", false);
    if (dir < 0)
        return -1;
    fs_tree_name(st->st_ino, name);
    int fd = openat(dir, name, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(dir);
    if (fd < 0)
        return -1;
    part_stamp_of(st, &now);
    if (fstat(fd, &own) == 0 && S_ISREG(own.st_mode) && own.st_nlink == 1 &&
        part_header_read(fd, h) == ERR_OK && h->complete && h->stamped &&
        part_stamp_eq(&now, &h->stamp) && h->length == now.size)
        return fd;
    close(fd);
    return -1;
}

void fs_drop_tree(const struct fs_root *root, uint64_t ino)
{
    char name[FS_TREE_NAME];
    int dir = fs_open_service(root, "trees", false);
    if (dir < 0)
        return;
    fs_tree_name(ino, name);
    (void)unlinkat(dir, name, 0);
    close(dir);
}

/* ---- looking ---- */

void fs_info_of(const struct stat *st, struct fs_info *out)
{
    *out = (struct fs_info){.type = S_ISREG(st->st_mode)   ? MSG_FILE
                                    : S_ISDIR(st->st_mode) ? MSG_FOLDER
                                    : S_ISLNK(st->st_mode) ? MSG_LINK
                                                           : MSG_OTHER,
                            .mode = st->st_mode & 0777,
                            .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
                            .mtime_s = st->st_mtim.tv_sec,
                            .mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
}

static void add_root_hash(const struct fs_root *root, const struct stat *st, struct fs_info *out)
{
    struct part_header h;
    int tree = S_ISREG(st->st_mode) ? fs_open_tree(root, st, O_RDONLY, &h) : -1;
    if (tree < 0)
        return;
    close(tree);
    out->has_root = true;
    memcpy(out->root, h.root, TREE_HASH);
}

enum err fs_stat(struct fs *fs, const char *path, struct fs_info *out)
{
    struct stat st;
    struct fs_place p;
    const char *rest;
    enum err e = ERR_OK;
    const struct fs_root *root = fs_root_of(fs, path, &rest);
    if (!root && is_above_root(fs, path)) {
        *out = (struct fs_info){.type = MSG_FOLDER, .mode = 0555};
        return ERR_OK;
    }
    root = fs_allowed(fs, path, FS_LIST | FS_READ, &e);
    if (!root)
        return e;
    if (!*rest) {
        if (fstat(root->fd, &st) < 0)
            return log_fail_errno("%s", path);
        fs_info_of(&st, out);
        return ERR_OK;
    }
    if ((e = fs_locate(fs, path, &p)) != ERR_OK)
        return e;
    if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        e = log_fail_errno("%s", path);
    } else {
        fs_info_of(&st, out);
        add_root_hash(root, &st, out);
    }
    fs_place_release(&p);
    return e;
}

/* The component of a virtual root's prefix that stands directly in path; "" when none does. */
static void child_of(const char *prefix, const char *path, char name[static PATH_NAME_MAX + 1])
{
    const char *r = below(prefix, path);
    size_t n = r ? strcspn(r, "/") : 0;
    if (n)
        memcpy(name, r, n);
    name[n] = '\0';
}

static bool is_shadowed(const struct fs *fs, const char *path, const char *name, size_t before)
{
    char child[PATH_NAME_MAX + 1];
    for (size_t i = 0; i < before; i++) {
        child_of(fs->roots[i].prefix, path, child);
        if (strcmp(child, name) == 0)
            return true;
    }
    return false;
}

static enum err list_virtual(const struct fs *fs, const char *path, fs_entry_fn *each, void *arg)
{
    for (size_t i = 0; i < fs->n; i++) {
        char name[PATH_NAME_MAX + 1];
        struct fs_info info = {.type = MSG_FOLDER, .mode = 0555};
        struct stat st;
        child_of(fs->roots[i].prefix, path, name);
        if (!name[0] || is_shadowed(fs, path, name, i))
            continue;
        if (strcmp(path_base(fs->roots[i].prefix), name) == 0 && fstat(fs->roots[i].fd, &st) == 0)
            fs_info_of(&st, &info);
        enum err e = each(arg, name, &info);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err list_folder(const struct fs *fs, const char *path, int fd, fs_entry_fn *each,
                            void *arg)
{
    DIR *d = fdopendir(fd);
    struct dirent *entry;
    unsigned passed = 0;
    enum err e = ERR_OK;
    if (!d) {
        e = log_fail_errno("%s", path);
        close(fd);
        return e;
    }
    for (errno = 0; e == ERR_OK && (entry = readdir(d)); errno = 0) {
        const char *name = entry->d_name;
        struct stat st;
        struct fs_info info;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, PATH_SERVICE) == 0 ||
            is_shadowed(fs, path, name, fs->n))
            continue;
        if (!path_name_ok(name, strlen(name))) {
            passed++;
            continue;
        }
        if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* it was removed in between */
        fs_info_of(&st, &info);
        e = each(arg, name, &info);
    }
    if (e == ERR_OK && errno)
        e = log_fail_errno("%s: listing", path);
    if (passed)
        log_warn("%s: %u names outside the legal set were passed over", path, passed);
    closedir(d);
    return e;
}

enum err fs_list(struct fs *fs, const char *path, fs_entry_fn *each, void *arg)
{
    const char *rest = "";
    enum err e = ERR_OK;
    if (fs_root_of(fs, path, &rest) || !is_above_root(fs, path)) {
        const struct fs_root *root = fs_allowed(fs, path, FS_LIST, &e);
        if (!root)
            return e;
        int fd = fs_open_folder(root->fd, rest);
        e = fd < 0 ? log_fail_errno("%s", path) : list_folder(fs, path, fd, each, arg);
    }
    return e == ERR_OK ? list_virtual(fs, path, each, arg) : e;
}
