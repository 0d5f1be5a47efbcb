/* SPDX-License-Identifier: ISC */
/* Retention: until when a file has to stay as and where it is. */
#include "fs_gate.h"

#include "log.h"
#include "walk.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The date that was promised when it was committed; and where the user's rule retains for longer, that. Whoever has no
 * mark was put there before there was retention, or by somebody else: nobody but the system sets the change time, and
 * never to an earlier one than that of the last write. */
static int64_t retained_until(const struct fs *fs, const struct fs_mark *m, const struct stat *st)
{
    int64_t since = m->since ? m->since : st->st_ctim.tv_sec;
    int64_t by_rule = fs->limits.retain_s ? since + (int64_t)fs->limits.retain_s : 0;
    return by_rule > m->until ? by_rule : m->until;
}

enum err fs_retained(const struct fs *fs, const struct fs_mark *m, const struct stat *st,
                     const char *path)
{
    char date[40] = "?";
    struct tm tm;
    time_t until = (time_t)retained_until(fs, m, st);
    if (until <= time(NULL))
        return ERR_OK;
    if (gmtime_r(&until, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    return log_fail(ERR_DENIED, "%s: is retained until %s UTC", path, date);
}

static enum err look(const struct fs *fs, const struct walk_entry *entry, const char *path)
{
    char shown[2 * PATH_MAX_BYTES + 2];
    struct fs_mark m;
    snprintf(shown, sizeof shown, "%s/%s", path, entry->path);
    if (entry->kind == WALK_ERROR)
        return log_fail(ERR_DENIED, "%s: can't be looked at, so it may be retained: %s", shown,
                        entry->reason);
    if (entry->kind != WALK_FILE && entry->kind != WALK_LINK)
        return ERR_OK;
    (void)fs_mark_at(entry->dirfd, entry->name, &entry->st, &m);
    return fs_retained(fs, &m, &entry->st, shown);
}

enum err fs_retained_below(const struct fs *fs, int dir, const char *name, const char *path)
{
    struct walk_options options = {0};
    struct walk_entry entry;
    struct walk *w;
    int fd = openat(dir, name, O_RDONLY | FS_FOLDER);
    if (fd < 0)
        return log_fail_errno("%s: looking for files that are retained", path);
    enum err e = walk_open(fd, &options, &w);
    if (e != ERR_OK)
        return log_fail(e, "%s: looking for files that are retained: %s", path, strerror(errno));
    while (e == ERR_OK && walk_next(w, &entry) == ERR_OK)
        e = look(fs, &entry, path);
    walk_close(w);
    return e;
}
