/* SPDX-License-Identifier: ISC */
#include "old.h"

#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20 }; /* read at once: whole leaves */

/* ---- its hashes ---- */

/* Whether the stored tree is that of the file as it is now: it may have changed since the tree was
 * opened. */
static bool usable(const struct old *o, int tree)
{
    struct part_header h;
    return tree >= 0 && part_header_read(tree, &h) == ERR_OK && h.complete && h.stamped &&
           h.length == o->length && h.chunk_log2 == o->chunk_log2 &&
           part_stamp_eq(&h.stamp, &o->stamp);
}

struct hashing {
    struct old *old;
    const struct old_how *how;
};

static enum err pass_on(void *arg, uint64_t done, uint64_t total)
{
    const struct hashing *h = arg;
    return h->how->progress ? h->how->progress(h->how->arg, done, total) : ERR_OK;
}

static enum err take_hash(void *arg, uint64_t index, const uint8_t hash[static TREE_HASH])
{
    const struct hashing *h = arg;
    memcpy(h->old->hashes + index * TREE_HASH, hash, TREE_HASH);
    return ERR_OK;
}

static enum err hash_content(struct old *o, const struct old_how *how)
{
    struct hashing h = {o, how};
    struct tree_visitor visitor = {pass_on, take_hash, &h};
    uint8_t root[TREE_HASH];
    uint64_t end = o->n << o->chunk_log2;
    return tree_file(o->fd, o->name, end < o->length ? end : o->length, o->chunk_log2, how->engine,
                     &visitor, root);
}

static enum err take_hashes(struct old *o, int tree, const struct old_how *how)
{
    struct stat st;
    if (fstat(o->fd, &st) < 0)
        return log_fail_errno("%s: looking at what stands there", o->name);
    if (st.st_size >> o->chunk_log2 == 0)
        return ERR_OK;
    part_stamp_of(&st, &o->stamp);
    o->length = (uint64_t)st.st_size;
    o->n = tree_chunks(o->length, o->chunk_log2);
    o->n = o->n < how->most ? o->n : how->most;
    o->hashes = malloc(o->n * TREE_HASH);
    if (!o->hashes)
        return log_fail(ERR_INTERNAL, "%s: out of memory for a transfer", o->name);
    if (!how->recheck && usable(o, tree))
        return part_slots_read(tree, 0, o->n, o->hashes);
    return hash_content(o, how);
}

enum err old_open(struct old *o, const struct fs_source *source, const char *name,
                  const struct old_how *how)
{
    *o = (struct old){
        .fd = source->fd, .name = name, .chunk_log2 = how->chunk_log2, .engine = how->engine};
    enum err e = take_hashes(o, source->tree, how);
    if (e != ERR_OK)
        o->n = 0;
    if (source->tree >= 0)
        close(source->tree);
    return e;
}

void old_release(struct old *o)
{
    if (o->fd >= 0)
        close(o->fd);
    free(o->hashes);
    free(o->buffer);
    *o = (struct old){.fd = -1};
}

/* ---- copying ---- */

bool old_fits(const struct old *o, uint64_t from, uint64_t count, uint64_t last_size)
{
    return from < o->n && count > 0 && count <= o->n - from &&
           tree_chunk_size(o->length, o->chunk_log2, from + count - 1) == last_size;
}

static bool has_buffer(struct old *o)
{
    if (!o->buffer)
        o->buffer = malloc(PIECE);
    return o->buffer;
}

/* Copies up to n bytes; how many, or -1 with errno. */
static ssize_t copy_by_hand(struct old *o, int to, off_t from, off_t at, uint64_t n)
{
    if (!has_buffer(o))
        return -1;
    ssize_t got = pread(o->fd, o->buffer, n < PIECE ? (size_t)n : PIECE, from);
    return got <= 0 ? got : pwrite(to, o->buffer, (size_t)got, at);
}

static bool system_cannot(int errnum)
{
    return errnum == EXDEV || errnum == EINVAL || errnum == ENOSYS || errnum == EOPNOTSUPP ||
           errnum == EPERM;
}

static bool unchanged(const struct old *o)
{
    struct part_stamp now;
    struct stat st;
    if (fstat(o->fd, &st) < 0)
        return false;
    part_stamp_of(&st, &now);
    return part_stamp_eq(&now, &o->stamp);
}

/* Chunk index of it is not what its hash says. */
static enum err not_that(const struct old *o, uint64_t index)
{
    if (unchanged(o))
        return log_fail(ERR_CORRUPT,
                        "%s: what stands there is damaged in chunk %llu (bytes %llu and on); "
                        "nothing was replaced",
                        o->name, (unsigned long long)index,
                        (unsigned long long)(index << o->chunk_log2));
    return log_fail(ERR_CHANGED,
                    "%s: what stands there changed while it was copied from; nothing was replaced",
                    o->name);
}

static enum err copy(struct old *o, int to, off_t from, off_t at, uint64_t n)
{
    while (n > 0) {
        off_t in = from, out = at;
        ssize_t r = o->by_hand ? copy_by_hand(o, to, from, at, n)
                               : copy_file_range(o->fd, &in, to, &out, n, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && !o->by_hand && system_cannot(errno)) {
            o->by_hand = true;
            continue;
        }
        if (r < 0)
            return log_fail_errno("%s: copying from what stands there", o->name);
        if (r == 0)
            return not_that(o, (uint64_t)from >> o->chunk_log2);
        from += r;
        at += r;
        n -= (uint64_t)r;
    }
    return ERR_OK;
}

static enum err read_back(struct old *o, int fd, uint64_t at, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(fd, o->buffer + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("%s: reading what was copied", o->name);
        if (r == 0)
            return log_fail(ERR_CHANGED, "%s: what was copied is gone", o->name);
        got += (size_t)r;
    }
    return ERR_OK;
}

/* Whether chunk index of the part is what old chunk from was. */
static enum err check_chunk(struct old *o, struct tree_chunk *c, int data, uint64_t index,
                            uint64_t from)
{
    uint8_t hash[TREE_HASH];
    uint64_t size = tree_chunk_size(o->length, o->chunk_log2, from);
    enum err e = ERR_OK;
    tree_chunk_begin(c, o->length);
    for (uint64_t at = 0; at < size && e == ERR_OK; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        e = read_back(o, data, (index << o->chunk_log2) + at, n);
        tree_chunk_add(c, o->buffer, n);
    }
    tree_chunk_end(c, hash);
    if (e == ERR_OK && memcmp(hash, o->hashes + from * TREE_HASH, TREE_HASH) != 0)
        e = not_that(o, from);
    return e;
}

static enum err check_copy(struct old *o, int data, uint64_t index, uint64_t from, uint64_t count)
{
    struct tree_chunk c;
    if (!has_buffer(o))
        return log_fail(ERR_INTERNAL, "%s: out of memory for a transfer", o->name);
    enum err e = tree_chunk_init(&c, o->engine, o->chunk_log2);
    for (uint64_t i = 0; i < count && e == ERR_OK; i++)
        e = check_chunk(o, &c, data, index + i, from + i);
    tree_chunk_release(&c);
    return e;
}

enum err old_copy(struct old *o, struct part *p, uint64_t index, uint64_t from, uint64_t count)
{
    uint64_t n = ((count - 1) << o->chunk_log2) +
                 tree_chunk_size(o->length, o->chunk_log2, from + count - 1);
    enum err e = part_claim(p, index, count);
    if (e == ERR_OK)
        e = copy(o, p->data, (off_t)(from << o->chunk_log2), (off_t)(index << o->chunk_log2), n);
    if (e == ERR_OK)
        e = check_copy(o, p->data, index, from, count);
    p->unsynced += n;
    for (uint64_t i = 0; i < count && e == ERR_OK; i++)
        e = part_settle(p, index + i, o->hashes + (from + i) * TREE_HASH);
    return e;
}
