/* SPDX-License-Identifier: ISC */
/* The roots of the map, each looked at by a process of its rule's account. */
#include "doctor.h"

#include "confine.h"
#include "log.h"
#include "text.h"
#include "tls.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SYNCS = 9, BLOCK = 4096, SLOW_MS = 100, FEW_PERCENT = 5 };

enum step { REACHED, BECOMING, OPENING, OWNING, FOLDING, READING, WRITING };

/* What the process of the account found. */
struct found {
    enum step failed; /* REACHED: nothing */
    int error;
    uint64_t bytes, bytes_free, inodes, inodes_free;
    double sync_ms, worst_ms; /* 0: not measured */
};

static int by_length(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A file without a name: nobody sees it, and nothing is left of it. */
static void measure(int folder, struct found *out)
{
    static const char block[BLOCK];
    double took[SYNCS];
    int fd = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    for (int i = 0; i < SYNCS; i++) {
        int64_t start = tls_now_ns();
        if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK || fsync(fd) != 0) {
            close(fd);
            return;
        }
        took[i] = (double)(tls_now_ns() - start) / 1e6;
    }
    close(fd);
    qsort(took, SYNCS, sizeof took[0], by_length);
    out->sync_ms = took[SYNCS / 2];
    out->worst_ms = took[SYNCS - 1];
}

/* Then names that are refused lead to consign's own folder by another spelling. */
static bool folds_case(int root)
{
    struct stat own, other;
    return fstatat(root, PATH_SERVICE, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(root, ".CONSIGN", &other, AT_SYMLINK_NOFOLLOW) == 0 &&
           own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

static enum step look(const struct map_user *user, const struct map_root *root, struct found *out)
{
    const unsigned writes = FS_CREATE | FS_OVERWRITE | FS_DELETE | FS_RENAME | FS_MKDIR;
    struct statvfs v;
    struct stat st;
    if (user->has_account && geteuid() == 0 &&
        confine_become(user->uid, user->gid, user->groups, user->n_groups) != ERR_OK)
        return BECOMING;
    int fd = open(root->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || fstatvfs(fd, &v) != 0)
        return OPENING;
    out->bytes = (uint64_t)v.f_blocks * v.f_frsize;
    out->bytes_free = (uint64_t)v.f_bavail * v.f_frsize;
    out->inodes = v.f_files;
    out->inodes_free = v.f_favail;
    if (user->has_account && st.st_uid != user->uid)
        return OWNING;
    if (folds_case(fd))
        return FOLDING;
    if (faccessat(fd, ".", R_OK | X_OK, AT_EACCESS) != 0)
        return READING;
    if (root->rights & writes) {
        if (faccessat(fd, ".", W_OK, AT_EACCESS) != 0)
            return WRITING;
        measure(fd, out);
    }
    close(fd);
    return REACHED;
}

static bool look_as(const struct map_user *user, const struct map_root *root, struct found *out)
{
    int pair[2];
    *out = (struct found){0};
    if (pipe2(pair, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        errno = 0;
        out->failed = look(user, root, out);
        out->error = errno;
        _exit(write(pair[1], out, sizeof *out) != sizeof *out);
    }
    close(pair[1]);
    bool good = pid > 0 && read(pair[0], out, sizeof *out) == sizeof *out;
    close(pair[0]);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    return good;
}

/* ---- what is said of it ---- */

static void say_failure(struct checkup *c, const char *what, const struct found *f)
{
    static const struct {
        const char *text, *fix;
    } steps[] = {
        [BECOMING] = {"can't become the account", "see account in the map"},
        [OPENING] = {"can't be opened by the account",
                     "make the folder, let the account through those above it, and give it to it "
                     "(install -d -o ACCOUNT DIR)"},
        [OWNING] = {"does not belong to the account", "chown ACCOUNT DIR"},
        [FOLDING] = {"lies on a file system that does not tell upper from lower case: whoever may "
                     "write there gets at consign's own files",
                     "move the root to another file system"},
        [READING] = {"can't be read by the account", "chmod u+rwx DIR"},
        [WRITING] = {"can't be written by the account, and the rule has rights to",
                     "chmod u+rwx DIR, mount it for writing, or take the rights from the rule"},
    };
    bool why = f->error && f->failed != OWNING && f->failed != FOLDING;
    checkup_say(c, CHECKUP_FAIL, "root", steps[f->failed].fix, "%s %s%s%s", what,
                steps[f->failed].text, why ? ": " : "", why ? strerror(f->error) : "");
}

static void say_room(struct checkup *c, const char *what, const struct found *f)
{
    char free_text[TEXT_SIZE];
    bool full = f->bytes_free == 0 || (f->inodes && f->inodes_free == 0);
    bool low = f->bytes_free < f->bytes / 100 * FEW_PERCENT ||
               f->inodes_free < f->inodes / 100 * FEW_PERCENT;
    text_size(f->bytes_free, free_text);
    checkup_say(c,
                full  ? CHECKUP_FAIL
                : low ? CHECKUP_WARN
                      : CHECKUP_OK,
                "space", full || low ? "make room, or move the root to a larger disk" : NULL,
                "%s: %s and %llu inodes free", what, free_text, (unsigned long long)f->inodes_free);
}

static void say_sync(struct checkup *c, const char *what, const struct found *f)
{
    if (f->sync_ms > 0)
        checkup_say(c, f->sync_ms > SLOW_MS ? CHECKUP_WARN : CHECKUP_OK, "fsync",
                    f->sync_ms > SLOW_MS
                        ? "each commit waits for it: see the disk and who else uses it"
                        : NULL,
                    "%s: %.2f ms, at worst %.2f", what, f->sync_ms, f->worst_ms);
}

static void check_root(struct checkup *c, const struct map_user *user, const struct map_root *root)
{
    char what[2 * 4096], words[80];
    struct found f;
    snprintf(what, sizeof what, "%s %s (%s)", user->name, root->prefix, root->dir);
    fs_rights_text(root->rights, words, sizeof words);
    if (!look_as(user, root, &f)) {
        checkup_say(c, CHECKUP_FAIL, "root", NULL, "%s: could not be looked at", what);
        return;
    }
    if (f.failed != REACHED) {
        say_failure(c, what, &f);
        return;
    }
    checkup_say(c, CHECKUP_OK, "root", NULL, "%s: the account has it: %s", what, words);
    say_room(c, what, &f);
    say_sync(c, what, &f);
}

void doctor_roots(struct checkup *c, const struct map *map)
{
    char(*names)[65];
    size_t n;
    if (map_users(map, &names, &n) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        struct map_user *user = map_user_named(map, names[i]);
        for (size_t k = 0; user && k < user->n_roots; k++)
            check_root(c, user, &user->roots[k]);
        map_user_free(user);
    }
    free(names);
}
