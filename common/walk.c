/* SPDX-License-Identifier: ISC */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder being read. */
struct level {
    DIR *dir;
    size_t len;     /* of its path */
    struct stat st; /* the root's stays all 0 */
    bool broken;    /* its listing broke off, which was reported */
};

struct walk {
    struct walk_options options;
    unsigned depth;                                    /* levels in use */
    bool entered;                                      /* the last entry was a WALK_ENTER */
    char path[PATH_MAX_BYTES + 1 + PATH_NAME_MAX + 1]; /* a legal one, and one name too many */
    char reason[160];
    struct level levels[WALK_DEPTH_MAX];
};

/* ---- looking and opening ---- */

static bool same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Closes fd and keeps errno. */
static int give_up(int fd, int errnum)
{
    close(fd);
    errno = errnum;
    return -1;
}

int walk_open_file(const struct walk_entry *entry, int flags)
{
    struct stat st;
    int fd = openat(entry->dirfd, entry->name,
                    flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (entry->followed ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        /* a link, a socket: it was a file */
        if (errno == ELOOP || errno == ENXIO)
            errno = ESTALE;
        return -1;
    }
    if (fstat(fd, &st) < 0)
        return give_up(fd, errno);
    return S_ISREG(st.st_mode) && same_inode(&st, &entry->st) ? fd : give_up(fd, ESTALE);
}

/* The folder that entry->st is of; -1 with errno, ESTALE when it is another thing by now. */
static int open_folder(const struct walk_entry *entry)
{
    struct stat st;
    int fd = openat(entry->dirfd, entry->name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ELOOP || errno == ENOTDIR)
            errno = ESTALE;
        return -1;
    }
    if (fstat(fd, &st) < 0)
        return give_up(fd, errno);
    return same_inode(&st, &entry->st) ? fd : give_up(fd, ESTALE);
}

/* Looks at the entry itself, or with follow at the file its link leads to. 0 or errno. */
static int look(const struct walk *w, struct walk_entry *entry)
{
    struct stat target;
    if (fstatat(entry->dirfd, entry->name, &entry->st, AT_SYMLINK_NOFOLLOW) < 0) {
        entry->st = (struct stat){0};
        return errno;
    }
    if (w->options.follow && S_ISLNK(entry->st.st_mode) &&
        fstatat(entry->dirfd, entry->name, &target, 0) == 0 && S_ISREG(target.st_mode)) {
        entry->st = target;
        entry->followed = true;
    }
    return 0;
}

/* ---- one entry ---- */

static void fail(struct walk_entry *entry, enum err error, const char *reason)
{
    entry->kind = WALK_ERROR;
    entry->error = error;
    entry->reason = reason;
}

static void fail_errno(struct walk *w, struct walk_entry *entry, int errnum)
{
    snprintf(w->reason, sizeof w->reason, "%s", strerror(errnum));
    fail(entry, err_from_errno(errnum), w->reason);
}

/* Makes the root, or the folder at w->path (len bytes), the level that is read next. */
static bool push(struct walk *w, int fd, size_t len, const struct stat *st)
{
    struct level *l = &w->levels[w->depth];
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)give_up(fd, errno);
        return false;
    }
    *l = (struct level){.dir = dir, .len = len, .st = *st};
    w->depth++;
    return true;
}

static void enter(struct walk *w, struct walk_entry *entry)
{
    if (w->depth == WALK_DEPTH_MAX) {
        fail(entry, ERR_LIMIT, "more than 256 folders deep");
        return;
    }
    int fd = open_folder(entry);
    if (fd < 0 && errno == ESTALE)
        fail(entry, ERR_CHANGED, "was replaced while it was read");
    else if (fd < 0 || !push(w, fd, strlen(w->path), &entry->st))
        fail_errno(w, entry, errno);
    else
        entry->kind = WALK_ENTER;
    w->entered = entry->kind == WALK_ENTER;
}

/* Puts name, cut at PATH_NAME_MAX, behind the len bytes of w->path that lead to its folder. What is
 * wrong with it or the path; NULL when nothing is. */
static const char *descend(struct walk *w, size_t len, const char *name)
{
    size_t n = strlen(name), kept = n > PATH_NAME_MAX ? PATH_NAME_MAX : n;
    const char *why = path_name_fault(name, n);
    if (len > 0)
        w->path[len++] = '/';
    memcpy(w->path + len, name, kept);
    len += kept;
    w->path[len] = '\0';
    if (why)
        snprintf(w->reason, sizeof w->reason, "%s is not allowed in a name", why);
    else if (1 + len > PATH_MAX_BYTES)
        snprintf(w->reason, sizeof w->reason, "a path of %zu bytes; at most %d are allowed",
                 1 + len, PATH_MAX_BYTES);
    else
        return NULL;
    return w->reason;
}

static bool passes(const struct walk *w, bool folder)
{
    return !w->options.passes || w->options.passes(w->options.arg, w->path, folder);
}

/* What the listing of l found. It is looked at only when the type it was listed with may pass, and
 * what it is then must pass as well. False when it is not to be reported. */
static bool visit(struct walk *w, const struct level *l, const struct dirent *found,
                  struct walk_entry *entry)
{
    const char *fault = descend(w, l->len, found->d_name);
    *entry = (struct walk_entry){
        .path = w->path, .name = w->path + l->len + (l->len > 0), .dirfd = dirfd(l->dir)};
    bool folder = found->d_type == DT_DIR, told = found->d_type != DT_UNKNOWN;
    if (told && !passes(w, folder))
        return false;
    int errnum = fault ? 0 : look(w, entry);
    mode_t mode = entry->st.st_mode;
    if ((!told || (mode && folder != S_ISDIR(mode))) && !passes(w, folder = S_ISDIR(mode)))
        return false;
    if (fault)
        fail(entry, ERR_NAME, fault);
    else if (errnum != 0)
        fail_errno(w, entry, errnum);
    else if (folder)
        enter(w, entry);
    else
        entry->kind = S_ISREG(mode) ? WALK_FILE : S_ISLNK(mode) ? WALK_LINK : WALK_OTHER;
    return true;
}

/* ---- the walk ---- */

/* Whether it is an entry that nobody asks for. */
static bool silent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, PATH_SERVICE) == 0;
}

static void pop(struct walk *w)
{
    closedir(w->levels[--w->depth].dir);
}

/* The entry for the folder that is read now, seen from the one above. */
static void describe_folder(struct walk *w, struct walk_entry *entry)
{
    const struct level *l = &w->levels[w->depth - 1];
    bool root = w->depth == 1;
    size_t above = root ? 0 : l[-1].len;
    w->path[l->len] = '\0';
    *entry = (struct walk_entry){.path = w->path,
                                 .name = w->path + above + (above > 0),
                                 .dirfd = dirfd(root ? l->dir : l[-1].dir),
                                 .st = l->st};
}

/* The folder's listing is at its end: true when that is to be reported. */
static bool leave(struct walk *w, struct level *l, int errnum, struct walk_entry *entry)
{
    describe_folder(w, entry);
    if (errnum != 0) {
        l->broken = true;
        fail_errno(w, entry, errnum);
        return true;
    }
    entry->kind = WALK_LEAVE;
    pop(w);
    return w->depth > 0;
}

enum err walk_next(struct walk *w, struct walk_entry *out)
{
    w->entered = false;
    while (w->depth > 0) {
        struct level *l = &w->levels[w->depth - 1];
        errno = 0;
        const struct dirent *found = l->broken ? NULL : readdir(l->dir);
        if (found && silent(found->d_name))
            continue;
        if (found ? visit(w, l, found, out) : leave(w, l, errno, out))
            return ERR_OK;
    }
    return ERR_NOENT;
}

void walk_skip(struct walk *w)
{
    if (w->entered)
        pop(w);
    w->entered = false;
}

enum err walk_open(int root, const struct walk_options *options, struct walk **out)
{
    struct walk *w = *out = calloc(1, sizeof *w);
    if (!w)
        (void)give_up(root, ENOMEM);
    else if (push(w, root, 0, &(struct stat){0}))
        w->options = *options;
    else
        *out = NULL;
    if (*out)
        return ERR_OK;
    int errnum = errno;
    free(w);
    errno = errnum;
    return err_from_errno(errnum);
}

void walk_close(struct walk *w)
{
    while (w && w->depth > 0)
        pop(w);
    free(w);
}
