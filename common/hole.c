/* SPDX-License-Identifier: ISC */
#include "hole.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 }; /* zeros written at once */

/* ---- finding ---- */

void hole_map_init(struct hole_map *m, int fd)
{
    *m = (struct hole_map){.fd = fd};
}

/* What can't be told, and what lies behind the end of the file, counts as data. */
static void look(struct hole_map *m, uint64_t at)
{
    off_t data = lseek(m->fd, (off_t)at, SEEK_DATA), end;
    if (data < 0 && errno == ENXIO) /* a hole up to the end of the file, or at is behind that */
        data = end = lseek(m->fd, 0, SEEK_END);
    else
        end = data < 0 ? -1 : lseek(m->fd, data, SEEK_HOLE);
    *m = (struct hole_map){.fd = m->fd, .from = at, .data = at, .end = UINT64_MAX};
    if (end > (off_t)at) {
        m->data = (uint64_t)data;
        m->end = (uint64_t)end;
    }
}

bool hole_covers(struct hole_map *m, uint64_t at, uint64_t n)
{
    if (at < m->from || at >= m->end)
        look(m, at);
    return at < m->data && n <= m->data - at;
}

/* ---- making ---- */

/* Zeros go only where data is. */
static enum err write_zeros(int fd, uint64_t at, uint64_t n)
{
    enum err e = ERR_OK;
    struct hole_map map;
    uint8_t *zeros = calloc(1, PIECE);
    if (!zeros)
        return log_fail(ERR_INTERNAL, "out of memory for zeros");
    hole_map_init(&map, fd);
    while (n > 0 && e == ERR_OK) {
        size_t piece = n < PIECE ? (size_t)n : PIECE;
        ssize_t r =
            hole_covers(&map, at, piece) ? (ssize_t)piece : pwrite(fd, zeros, piece, (off_t)at);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            e = log_fail_errno("writing zeros");
            break;
        }
        at += (uint64_t)r;
        n -= (uint64_t)r;
    }
    free(zeros);
    return e;
}

enum err hole_make(int fd, uint64_t at, uint64_t n)
{
    struct stat st;
    int failed;
    if (fstat(fd, &st) < 0)
        return log_fail_errno("looking at what was received");
    if (at >= (uint64_t)st.st_size)
        return ERR_OK;
    if (n > (uint64_t)st.st_size - at)
        n = (uint64_t)st.st_size - at;
    do
        failed = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)n);
    while (failed && errno == EINTR);
    if (!failed)
        return ERR_OK;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return log_fail_errno("making a hole in what was received");
    return write_zeros(fd, at, n);
}
