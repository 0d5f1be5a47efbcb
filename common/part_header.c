/* SPDX-License-Identifier: ISC */
/* What stands in a part's journal: the header, with the stamp, and the slots. */
#include "part_internal.h"

#include "log.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const char magic[8] = "consignP";

/* ---- stamp ---- */

void part_stamp_of(const struct stat *st, struct part_stamp *out)
{
    *out = (struct part_stamp){.ino = st->st_ino,
                               .size = (uint64_t)st->st_size,
                               .mtime_s = st->st_mtim.tv_sec,
                               .ctime_s = st->st_ctim.tv_sec,
                               .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
                               .ctime_ns = (uint32_t)st->st_ctim.tv_nsec};
}

bool part_stamp_eq(const struct part_stamp *a, const struct part_stamp *b)
{
    return a->ino == b->ino && a->size == b->size && a->mtime_s == b->mtime_s &&
           a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

/* ---- header ---- */

static enum err read_at(int fd, uint8_t *to, size_t n, off_t at, size_t *got)
{
    for (*got = 0; *got < n;) {
        ssize_t r = pread(fd, to + *got, n - *got, at + (off_t)*got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("reading a journal");
        if (r == 0)
            break;
        *got += (size_t)r;
    }
    return ERR_OK;
}

enum err part_write_at(int fd, const uint8_t *from, size_t n, off_t at, const char *what)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = pwrite(fd, from + done, n - done, at + (off_t)done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("writing %s", what);
        done += (size_t)r;
    }
    return ERR_OK;
}

/* magic, u16 version, u32 length of the fields, fields, u32 CRC-32 of all before. */
enum err part_header_write(int fd, const struct part_header *h)
{
    struct buf b;
    buf_init(&b, PART_SLOTS);
    buf_put(&b, magic, sizeof magic);
    wire_put_u16(&b, PART_VERSION);
    wire_put_u32(&b, 0);
    wire_put_u64(&b, h->length);
    wire_put_u8(&b, h->chunk_log2);
    wire_put_u64(&b, h->created);
    wire_put_u8(&b, h->stamped);
    wire_put_u64(&b, h->stamp.ino);
    wire_put_u64(&b, h->stamp.size);
    wire_put_u64(&b, (uint64_t)h->stamp.mtime_s);
    wire_put_u32(&b, h->stamp.mtime_ns);
    wire_put_u64(&b, (uint64_t)h->stamp.ctime_s);
    wire_put_u32(&b, h->stamp.ctime_ns);
    wire_put_u8(&b, h->complete);
    wire_put_hash(&b, h->root);
    wire_put_str(&b, slice_str(h->path), 4096);
    wire_put_str(&b, slice_str(h->owner), 64);
    wire_put_hash(&b, h->joins);
    if (!b.bad) {
        wire_store_u32(b.data + sizeof magic + 2, (uint32_t)(b.len - sizeof magic - 6));
        wire_put_u32(&b, (uint32_t)crc32(0, b.data, (uInt)b.len));
    }
    enum err e = b.bad ? log_fail(ERR_INTERNAL, "no room for a journal's header")
                       : part_write_at(fd, b.data, b.len, 0, "a journal");
    buf_release(&b);
    return e;
}

static bool parse_fields(struct wire_rd *r, struct part_header *h)
{
    h->length = wire_get_u64(r);
    h->chunk_log2 = wire_get_u8(r);
    h->created = wire_get_u64(r);
    h->stamped = wire_get_u8(r);
    h->stamp.ino = wire_get_u64(r);
    h->stamp.size = wire_get_u64(r);
    h->stamp.mtime_s = (int64_t)wire_get_u64(r);
    h->stamp.mtime_ns = wire_get_u32(r);
    h->stamp.ctime_s = (int64_t)wire_get_u64(r);
    h->stamp.ctime_ns = wire_get_u32(r);
    h->complete = wire_get_u8(r);
    wire_get_hash(r, h->root);
    struct slice path = wire_get_str(r, 4096), owner = wire_get_str(r, 64);
    wire_get_hash(r, h->joins);
    return wire_done(r) && slice_copy(path, h->path, sizeof h->path) &&
           slice_copy(owner, h->owner, sizeof h->owner) && h->chunk_log2 >= TREE_CHUNK_LOG2_MIN &&
           h->chunk_log2 <= TREE_CHUNK_LOG2_MAX && h->length <= INT64_MAX &&
           tree_chunks(h->length, h->chunk_log2) <= TREE_CHUNKS_MAX;
}

enum err part_header_read(int fd, struct part_header *h)
{
    enum { HEAD = sizeof magic + 6 };
    uint8_t raw[PART_SLOTS];
    size_t got;
    enum err e = read_at(fd, raw, sizeof raw, 0, &got);
    *h = (struct part_header){0};
    if (e != ERR_OK)
        return e;
    if (got < HEAD + 4 || memcmp(raw, magic, sizeof magic) != 0 ||
        (raw[sizeof magic] << 8 | raw[sizeof magic + 1]) != PART_VERSION)
        return ERR_NOENT;
    size_t n = wire_load_u32(raw + sizeof magic + 2);
    if (n > got - HEAD - 4 ||
        wire_load_u32(raw + HEAD + n) != (uint32_t)crc32(0, raw, (uInt)(HEAD + n)))
        return ERR_NOENT;
    struct wire_rd r = wire_read(raw + HEAD, n);
    if (parse_fields(&r, h))
        return ERR_OK;
    *h = (struct part_header){0};
    return ERR_NOENT;
}

enum err part_slots_read(int fd, uint64_t first, size_t count, uint8_t *hashes)
{
    size_t got, n = count * TREE_HASH;
    enum err e = read_at(fd, hashes, n, (off_t)(PART_SLOTS + first * TREE_HASH), &got);
    if (e == ERR_OK)
        memset(hashes + got, 0, n - got);
    return e;
}

enum err part_slots_write(int fd, uint64_t first, size_t count, const uint8_t *hashes)
{
    return part_write_at(fd, hashes, count * TREE_HASH, (off_t)(PART_SLOTS + first * TREE_HASH),
                         "a journal");
}
