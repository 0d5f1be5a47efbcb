/* SPDX-License-Identifier: ISC */
#include "audit_read.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };

struct reading {
    int fd;
    const char *file;
    uint8_t *room;
    size_t n;      /* bytes in room */
    uint64_t line; /* the last number */
    bool skip;     /* the rest of a line that is too long comes */
};

/* The lines that are whole; what is left of one moves to the front. False: no more is wanted. */
static bool give(struct reading *r, audit_read_fn *each, void *arg)
{
    size_t at = 0;
    const uint8_t *end;
    bool more = true;
    while (more && (end = memchr(r->room + at, '\n', r->n - at)) != NULL) {
        size_t len = (size_t)(end - r->room) - at;
        bool fits = len < AUDIT_LINE_MAX;
        if (!r->skip)
            more = each(arg, r->file, ++r->line, slice_of(r->room + at, len), fits);
        r->skip = false;
        at += len + 1;
    }
    r->n -= at;
    memmove(r->room, r->room + at, r->n);
    if (more && r->n > AUDIT_LINE_MAX) {
        if (!r->skip)
            more = each(arg, r->file, ++r->line, slice_of(r->room, AUDIT_LINE_MAX), false);
        r->skip = true;
        r->n = 0;
    }
    return more;
}

static enum err read_all(struct reading *r, audit_read_fn *each, void *arg)
{
    for (;;) {
        ssize_t n = read(r->fd, r->room + r->n, ROOM - r->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return log_fail_errno("%s", r->file);
        if (n == 0)
            break;
        r->n += (size_t)n;
        if (!give(r, each, arg))
            return ERR_OK;
    }
    if (r->n > 0 && !r->skip)
        (void)each(arg, r->file, ++r->line, slice_of(r->room, r->n), false);
    return ERR_OK;
}

enum err audit_read(const char *file, audit_read_fn *each, void *arg)
{
    bool in = strcmp(file, "-") == 0;
    struct reading r = {.file = file, .room = malloc(ROOM)};
    if (!r.room)
        return log_fail(ERR_INTERNAL, "out of memory");
    r.fd = in ? STDIN_FILENO : open(file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    enum err e = r.fd < 0 ? log_fail_errno("%s", file) : read_all(&r, each, arg);
    if (r.fd >= 0 && !in)
        close(r.fd);
    free(r.room);
    return e;
}
