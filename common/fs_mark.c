/* SPDX-License-Identifier: ISC */
/* Marks: who sent a file, when, and until when it is retained; an extended attribute of the file, so that it
 * stays with it whatever its name. Remote users can't see or set it (meta.h). */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define NAME "user.consign"

/* VERSION USER LENGTH SINCE UNTIL, where LENGTH is "-" when it is not counted: short, to lie within the inode where the file system can have it there. */
enum { VALUE_MAX = 160 };

bool fs_mark_read(int fd, struct fs_mark *m)
{
    char text[VALUE_MAX], length[24], *rest;
    long long since, until;
    int end = -1;
    ssize_t n = fgetxattr(fd, NAME, text, sizeof text - 1);
    *m = (struct fs_mark){0};
    if (n <= 0)
        return false;
    text[n] = '\0';
    if (sscanf(text, "1 %64s %23s %lld %lld%n", m->by, length, &since, &until, &end) != 4 ||
        end != n) {
        *m = (struct fs_mark){0};
        return false;
    }
    m->length = strtoull(length, &rest, 10);
    m->counted = rest != length && !*rest;
    m->since = since;
    m->until = until;
    return true;
}

enum err fs_mark_write(int fd, const struct fs_mark *m, const char *path)
{
    char text[VALUE_MAX], length[24] = "-";
    if (m->counted)
        snprintf(length, sizeof length, "%llu", (unsigned long long)m->length);
    int n = snprintf(text, sizeof text, "1 %s %s %lld %lld", m->by, length, (long long)m->since,
                     (long long)m->until);
    if (fsetxattr(fd, NAME, text, (size_t)n, 0) == 0)
        return ERR_OK;
    if (errno == ENOTSUP)
        return log_fail(ERR_TYPE,
                        "%s: the filesystem has no extended attributes, which quota and retention "
                        "need",
                        path);
    return log_fail_errno("%s: marking whose it is", path);
}

bool fs_mark_at(int dir, const char *name, const struct stat *st, struct fs_mark *m)
{
    struct stat now;
    int fd = -1;
    *m = (struct fs_mark){0};
    if (S_ISREG(st->st_mode))
        fd = fs_open_regular(dir, name, O_RDONLY, &now);
    else if (S_ISDIR(st->st_mode))
        fd = openat(dir, name, O_RDONLY | FS_FOLDER);
    bool marked = fd >= 0 && fs_mark_read(fd, m);
    fs_close(&fd);
    return marked;
}
