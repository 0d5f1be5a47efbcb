/* SPDX-License-Identifier: ISC */
/* The audit log as a file: opened, appended to, cut where an append failed, opened anew. */
#include "scribe_internal.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err open_log(const struct scribe *s, int *out)
{
    struct stat st;
    int fd =
        openat(s->folder, s->name,
               O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    if (fd < 0)
        return log_fail_errno("audit log %s", s->name);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return log_fail(ERR_CONFIG, "audit log %s: not a regular file", s->name);
    }
    *out = fd;
    return ERR_OK;
}

/* The folder is held by a descriptor: a rotated log is reopened in it, wherever it has been moved
 * to. */
static enum err open_folder(struct scribe *s)
{
    const char *file = s->how.file, *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    size_t n = slash ? (size_t)(slash - file) + 1 : 0;
    char folder[PATH_MAX];
    if (!*name || strlen(name) + sizeof ".head.new" > NAME_MAX || n >= sizeof folder)
        return log_fail(ERR_CONFIG, "audit log %s: not the name of a file", file);
    memcpy(folder, file, n);
    memcpy(folder + n, "", 1);
    memcpy(s->name, name, strlen(name) + 1);
    s->folder = open(n ? folder : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return s->folder < 0 ? log_fail_errno("folder of the audit log %s", file) : ERR_OK;
}

enum err scribe_open(struct scribe *s)
{
    struct stat st;
    s->regular = true;
    if (s->how.file) {
        enum err rc = open_folder(s);
        if (rc == ERR_OK)
            rc = open_log(s, &s->fd);
        if (rc == ERR_OK || rc == ERR_CONFIG || s->folder < 0 || !s->how.best)
            return rc;
        s->broken = ERR_IO; /* and opened once that is possible */
        return ERR_OK;
    }
    s->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return log_fail_errno("audit log on standard output");
    s->regular = S_ISREG(st.st_mode);
    return ERR_OK;
}

static bool same_file(int a, int b)
{
    struct stat x, y;
    return a >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

enum err scribe_reopen(struct scribe *s, bool *other, int *old)
{
    int fd = -1;
    *other = false;
    enum err rc = s->folder < 0 ? ERR_OK : open_log(s, &fd);
    if (rc != ERR_OK || fd < 0)
        return rc;
    if (same_file(s->fd, fd)) {
        close(fd);
        return ERR_OK;
    }
    *other = true;
    *old = s->fd;
    s->fd = fd;
    return ERR_OK;
}

bool scribe_read(int fd, void *out, size_t n, off_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)out + done, n - done, at + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* Takes back the n bytes of lines that the log holds only in part. */
static void cut(struct scribe *s, size_t n)
{
    struct stat st;
    if (n == 0 || (s->regular && fstat(s->fd, &st) == 0 && st.st_size >= (off_t)n &&
                   ftruncate(s->fd, st.st_size - (off_t)n) == 0))
        return;
    s->ends_torn = true;
    s->torn_known = false;
}

static ssize_t append(const struct scribe *s, size_t done)
{
    ssize_t n;
    do
        n = write(s->fd, s->lines.data + done, s->lines.len - done);
    while (n < 0 && errno == EINTR);
    return n;
}

enum err scribe_write(struct scribe *s)
{
    size_t done = 0;
    ssize_t n = s->fd >= 0 ? 1 : 0;
    while (done < s->lines.len && n > 0 && (n = append(s, done)) > 0)
        done += (size_t)n;
    bool whole = done == s->lines.len;
    if (whole && (!s->how.sync || fdatasync(s->fd) == 0 || errno == EINVAL || errno == EROFS))
        return ERR_OK;
    enum err rc = s->fd < 0 ? ERR_IO : err_from_errno(errno);
    if (s->broken == ERR_OK)
        log_error("audit log: a record is not written: %s",
                  s->fd < 0 ? "there is no file" : strerror(errno));
    cut(s, done);
    return rc == ERR_NOSPACE ? rc : ERR_IO;
}

void scribe_flush(const struct scribe *s)
{
    if (s->fd >= 0 && s->regular && fdatasync(s->fd) != 0)
        log_warn("audit log: fdatasync: %s", strerror(errno));
}
