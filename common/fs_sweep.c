/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 64 }; /* folders held open at once while looking for files */

struct sweeping {
    struct fs *fs;
    const struct fs_root *root;
    int64_t before; /* what was last changed after this stays */
    unsigned removed;
    enum err worst;
};

/* Also when it is not there at all. */
static bool old_enough(const struct sweeping *s, int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT;
    /* The change time: a commit that failed has set the other one to the sender's. */
    return st.st_ctim.tv_sec < s->before;
}

/* ---- parts ---- */

static bool exists(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Under the lock, looks once more: a transfer may have come and gone. */
static void sweep_part(struct sweeping *s, int parts, const struct fs_names *names)
{
    struct fs_locked journal;
    bool orphan = !exists(parts, names->journal);
    if ((orphan && !exists(parts, names->data)) || !old_enough(s, parts, names->journal) ||
        !old_enough(s, parts, names->data))
        return;
    enum err e = fs_lock(parts, names, orphan, 0, &journal);
    if (e == ERR_BUSY || e == ERR_NOENT)
        return;
    bool old = e == ERR_OK && (journal.fresh || old_enough(s, parts, names->journal)) &&
               old_enough(s, parts, names->data);
    if (old)
        e = fs_drop_part(s->fs, s->root, parts, names);
    else if (journal.fresh)
        (void)unlinkat(parts, names->journal, 0);
    if (e != ERR_OK)
        s->worst = e;
    else if (old)
        s->removed++;
    fs_close(&journal.fd);
}

/* The part that a file in parts belongs to; false when it is none of consign's names. */
static bool names_from(const char *file, struct fs_names *out)
{
    if (strspn(file, "0123456789abcdef") != 32 || file[32] != '.')
        return false;
    snprintf(out->id, sizeof out->id, "%.32s", file);
    snprintf(out->data, sizeof out->data, "%s.data", out->id);
    snprintf(out->journal, sizeof out->journal, "%s.journal", out->id);
    out->path = out->id;
    return true;
}

static void sweep_parts(struct sweeping *s)
{
    const struct dirent *entry;
    struct fs_service service;
    struct fs_names names;
    enum err e = fs_service_open(s->root, false, &service);
    if (e != ERR_OK) {
        s->worst = e == ERR_NOENT ? s->worst : e;
        return;
    }
    DIR *dir = fs_opendir(service.parts, ".");
    while (dir && (entry = readdir(dir))) {
        if (names_from(entry->d_name, &names))
            sweep_part(s, service.parts, &names);
    }
    if (dir)
        closedir(dir);
    fs_service_close(&service);
}

/* ---- trees ---- */

/* Stored trees whose file was not found where the tree says. A folder's rename moves files that no
 * header is told of, so they are looked for in all folders before a tree counts as an orphan. */
struct missing {
    uint64_t inode;
    bool found;
};

struct search {
    struct missing *list;
    size_t n, cap;
};

static bool add_missing(struct search *m, uint64_t inode)
{
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        struct missing *grown = realloc(m->list, cap * sizeof *grown);
        if (!grown)
            return false;
        m->list = grown;
        m->cap = cap;
    }
    m->list[m->n++] = (struct missing){inode, false};
    return true;
}

/* Whether rel below the root is the file with that inode. */
static bool stands_at(const struct fs_root *root, const char *rel, uint64_t inode)
{
    char folder[PATH_MAX_BYTES + 1];
    struct stat st;
    const char *slash = strrchr(rel, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - rel) : 0, rel);
    int dir = fs_open_beneath(root, folder, O_PATH);
    bool found = dir >= 0 && fstatat(dir, slash ? slash + 1 : rel, &st, AT_SYMLINK_NOFOLLOW) == 0;
    fs_close(&dir);
    return found && st.st_ino == inode;
}

/* Whether the file still stands where the tree's header says. */
static bool at_home(const struct sweeping *s, int trees, const char *name, uint64_t inode)
{
    char legal[PATH_MAX_BYTES + 1];
    struct part_header h;
    struct stat st;
    bool found = false;
    int fd = fs_open_regular(trees, name, O_RDONLY, &st);
    size_t n = strcmp(s->root->prefix, "/") == 0 ? 0 : strlen(s->root->prefix);
    if (fd >= 0 && part_header_read(fd, &h) == ERR_OK && fs_within(h.path, s->root->prefix) &&
        path_parse(slice_str(h.path), legal) == ERR_OK && h.path[n] == '/' && h.path[n + 1])
        found = stands_at(s->root, h.path + n + 1, inode);
    fs_close(&fd);
    return found;
}

static bool collect_missing(const struct sweeping *s, int trees, struct search *m)
{
    const struct dirent *entry;
    DIR *dir = fs_opendir(trees, ".");
    bool ok = dir != NULL;
    while (ok && (entry = readdir(dir))) {
        char *end;
        unsigned long long inode = strtoull(entry->d_name, &end, 16);
        if (entry->d_name[0] == '.' || *end || inode == 0 || !old_enough(s, trees, entry->d_name))
            continue;
        if (!at_home(s, trees, entry->d_name, inode))
            ok = add_missing(m, inode);
    }
    if (dir)
        closedir(dir);
    return ok;
}

static int by_inode(const void *a, const void *b)
{
    const struct missing *x = a, *y = b;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Marks every file below dir (closed here) that is among the missing. False when not all could be
 * looked at: then none may be called gone. */
static bool find_below(DIR *dir, struct search *m, unsigned depth)
{
    const struct dirent *entry;
    struct stat st;
    bool ok = dir && depth < DEPTH_MAX;
    while (ok && (errno = 0, entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, PATH_SERVICE) == 0)
            continue;
        if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            ok = errno == ENOENT;
            continue;
        }
        struct missing key = {.inode = st.st_ino}, *hit = NULL;
        if (S_ISDIR(st.st_mode))
            ok = find_below(fs_opendir(dirfd(dir), name), m, depth + 1);
        else if (S_ISREG(st.st_mode))
            hit = bsearch(&key, m->list, m->n, sizeof key, by_inode);
        if (hit)
            hit->found = true;
    }
    ok = ok && errno == 0;
    if (dir)
        closedir(dir);
    return ok;
}

static void remove_orphans(struct sweeping *s, int trees, const struct search *m)
{
    char name[FS_TREE_NAME];
    for (size_t i = 0; i < m->n; i++) {
        if (m->list[i].found)
            continue;
        fs_tree_name(m->list[i].inode, name);
        if (unlinkat(trees, name, 0) == 0)
            s->removed++;
        else if (errno != ENOENT)
            s->worst = log_fail_errno("root %s: removing a stored tree", s->root->prefix);
    }
}

static void sweep_trees(struct sweeping *s)
{
    struct search m = {0};
    int trees = fs_trees_open(s->root, false);
    if (trees < 0)
        return;
    if (!collect_missing(s, trees, &m))
        s->worst = log_fail(ERR_INTERNAL, "root %s: stored trees can't be listed", s->root->prefix);
    else if (m.n > 0) {
        qsort(m.list, m.n, sizeof *m.list, by_inode);
        if (find_below(fs_opendir(s->root->fd, "."), &m, 0))
            remove_orphans(s, trees, &m);
        else
            log_warn("root %s: not all folders can be listed, so no stored tree is removed",
                     s->root->prefix);
    }
    free(m.list);
    fs_close(&trees);
}

enum err fs_sweep(struct fs *fs, int64_t max_age_s, unsigned *removed)
{
    struct sweeping s = {.fs = fs, .before = (int64_t)time(NULL) - max_age_s};
    for (size_t i = 0; i < fs->n; i++) {
        s.root = &fs->roots[i];
        sweep_parts(&s);
        sweep_trees(&s);
        if (fs->tidy)
            fs_service_tidy(s.root);
    }
    if (removed)
        *removed = s.removed;
    return s.worst;
}
