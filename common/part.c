/* SPDX-License-Identifier: ISC */
#include "part_internal.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SYNC_BYTES = 128 << 20, /* a checkpoint after so much data, */
    HAND_BYTES = 8 << 20,   /* handed to the disk after so much */
    SYNC_HASHES = 1024,     /* so many chunks, or runs of equal ones, */
    SYNC_MS = 5000,         /* or so much time */
    READ_SLOTS = 512,
    WRITE_SLOTS = 512,
};

static const uint8_t empty_slot[TREE_HASH];

struct part_pending {
    uint64_t index, count; /* chunks in a row that have the same hash */
    uint8_t hash[TREE_HASH];
};

static enum err write_slot(const struct part *p, uint64_t index, const uint8_t *hash)
{
    return part_slots_write(p->journal, index, 1, hash);
}

/* ---- beginning ---- */

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* After a failed sync the pages that could not be written count as clean: a second sync would
 * succeed, and reading would find what the disk does not hold. So there is no second one, the pages
 * are dropped, and the stamp is voided as far as that goes: whoever takes up the part hashes the
 * data anew and writes all slots again. */
static enum err sync_file(struct part *p, int fd, const char *what)
{
    if (fdatasync(fd) == 0)
        return p->failed;
    int why = errno;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    p->header.stamped = p->header.complete = false;
    if (part_header_write(p->journal, &p->header) != ERR_OK)
        log_warn("what was received could not be marked as doubtful");
    errno = why;
    return p->failed = log_fail_errno("making %s durable", what);
}

static bool has_bit(const uint8_t *map, uint64_t index)
{
    return map[index / 8] >> (index % 8) & 1;
}

static void set_bit(uint8_t *map, uint64_t index)
{
    map[index / 8] |= (uint8_t)(1u << (index % 8));
}

static void clear_bit(uint8_t *map, uint64_t index)
{
    map[index / 8] &= (uint8_t) ~(1u << (index % 8));
}

static void found(struct part *p, uint64_t index)
{
    set_bit(p->filled, index);
    p->have++;
}

static enum err void_stamp(struct part *p)
{
    p->header.stamped = p->header.complete = false;
    enum err e = part_header_write(p->journal, &p->header);
    return e == ERR_OK ? sync_file(p, p->journal, "a journal") : e;
}

static enum err find_slots(struct part *p)
{
    uint8_t hashes[READ_SLOTS * TREE_HASH];
    for (uint64_t at = 0; at < p->chunks; at += READ_SLOTS) {
        size_t n = p->chunks - at < READ_SLOTS ? (size_t)(p->chunks - at) : READ_SLOTS;
        enum err e = part_slots_read(p->journal, at, n, hashes);
        if (e != ERR_OK)
            return e;
        for (size_t i = 0; i < n; i++)
            if (memcmp(hashes + i * TREE_HASH, empty_slot, TREE_HASH) != 0)
                found(p, at + i);
    }
    return ERR_OK;
}

struct rehash {
    struct part *part;
    tree_progress *progress;
    void *arg;
};

static enum err rehash_progress(void *arg, uint64_t done, uint64_t total)
{
    struct rehash *r = arg;
    return r->progress ? r->progress(r->arg, done, total) : ERR_OK;
}

static enum err rehash_slot(void *arg, uint64_t index, const uint8_t hash[static TREE_HASH])
{
    struct rehash *r = arg;
    found(r->part, index);
    return write_slot(r->part, index, hash);
}

/* Fills the slots with what the data file holds: all whole chunks, and the last one where it is
 * complete. */
static enum err hash_data(struct part *p, uint64_t size, const struct tree_engine *engine,
                          tree_progress *progress, void *arg)
{
    struct rehash r = {p, progress, arg};
    struct tree_visitor visitor = {rehash_progress, rehash_slot, &r};
    uint8_t root[TREE_HASH];
    uint64_t length = p->header.length;
    unsigned log2 = p->header.chunk_log2;
    uint64_t whole = size >= length ? length : size >> log2 << log2;
    p->unordered = true;
    if (ftruncate(p->journal, PART_SLOTS) < 0)
        return log_fail_errno("clearing a journal");
    /* A single short chunk would be padded by its own width: only a complete content has one. */
    return whole
               ? tree_file(p->data, "what was received before", whole, log2, engine, &visitor, root)
               : ERR_OK;
}

/* Whether the slots may be believed as they are. */
static bool trusted(const struct part *p, const struct stat *st, uint64_t length, unsigned log2)
{
    struct part_stamp now;
    part_stamp_of(st, &now);
    return p->header.stamped && p->header.length == length && p->header.chunk_log2 == log2 &&
           part_stamp_eq(&now, &p->header.stamp);
}

static enum err take_basis(struct part *p, uint64_t length, unsigned chunk_log2, bool recheck,
                           const struct tree_engine *engine, tree_progress *progress, void *arg)
{
    struct stat st;
    if (fstat(p->data, &st) < 0)
        return log_fail_errno("looking at what was received before");
    bool trust = !recheck && trusted(p, &st, length, chunk_log2);
    p->header.length = length;
    p->header.chunk_log2 = (uint8_t)chunk_log2;
    /* From here on data may change under the slots. */
    enum err e = void_stamp(p);
    if (e == ERR_OK && (uint64_t)st.st_size > length && ftruncate(p->data, (off_t)length) < 0)
        e = log_fail_errno("cutting what was received before");
    if (e != ERR_OK)
        return e;
    return trust ? find_slots(p) : hash_data(p, (uint64_t)st.st_size, engine, progress, arg);
}

static enum err make_maps(struct part *p, uint64_t length, unsigned chunk_log2)
{
    p->chunks = tree_chunks(length, chunk_log2);
    p->seen = calloc(p->chunks / 8 + 1, 1);
    p->filled = calloc(p->chunks / 8 + 1, 1);
    p->pending = calloc(SYNC_HASHES, sizeof *p->pending);
    p->checkpoint_ms = now_ms();
    return p->seen && p->filled && p->pending
               ? ERR_OK
               : log_fail(ERR_INTERNAL, "out of memory for a transfer");
}

enum err part_begin(struct part *p, int data, int journal, uint64_t length, unsigned chunk_log2,
                    bool recheck, const struct tree_engine *engine, tree_progress *progress,
                    void *progress_arg)
{
    *p = (struct part){.data = data, .journal = journal};
    enum err e = part_header_read(journal, &p->header);
    if (e != ERR_OK && e != ERR_NOENT)
        return e;
    if (e == ERR_NOENT)
        p->header.created = (uint64_t)time(NULL);
    memset(p->header.joins, 0, TREE_HASH);
    e = make_maps(p, length, chunk_log2);
    return e != ERR_OK ? e
                       : take_basis(p, length, chunk_log2, recheck, engine, progress, progress_arg);
}

/* Behind the slots. */
static uint64_t claims_at(const struct part *p)
{
    return PART_SLOTS + p->chunks * TREE_HASH;
}

bool part_joined_by(const struct part_header *h, const uint8_t token[static PART_TOKEN])
{
    uint8_t hash[TREE_HASH];
    unsigned differ = 0;
    tree_sha256(token, PART_TOKEN, hash);
    for (size_t i = 0; i < TREE_HASH; i++)
        differ |= (unsigned)(hash[i] ^ h->joins[i]);
    return differ == 0;
}

enum err part_share(struct part *p, const uint8_t token[static PART_TOKEN])
{
    p->shared = true;
    tree_sha256(token, PART_TOKEN, p->header.joins);
    enum err e = claims_make(&p->claims, p->journal, claims_at(p), p->chunks);
    return e == ERR_OK ? void_stamp(p) : e;
}

enum err part_join(struct part *p, int data, int journal, uint64_t length, unsigned chunk_log2,
                   const uint8_t token[static PART_TOKEN])
{
    *p = (struct part){.data = data, .journal = journal, .shared = true};
    enum err e = part_header_read(journal, &p->header);
    if (e == ERR_IO)
        return e;
    if (e != ERR_OK || !part_joined_by(&p->header, token) || p->header.length != length ||
        p->header.chunk_log2 != chunk_log2 || p->header.stamped)
        return log_fail(ERR_CHANGED, "the transfer to join is another one by now");
    if ((e = make_maps(p, length, chunk_log2)) == ERR_OK &&
        (e = claims_open(&p->claims, journal, claims_at(p), p->chunks)) == ERR_OK)
        e = find_slots(p);
    return e;
}

void part_release(struct part *p)
{
    if (p->data >= 0)
        close(p->data);
    if (p->journal >= 0)
        close(p->journal);
    free(p->seen);
    free(p->filled);
    free(p->pending);
    claims_close(&p->claims);
    *p = (struct part){.data = -1, .journal = -1};
}

/* ---- receiving ---- */

bool part_settled(const struct part *p, uint64_t index)
{
    return index < p->chunks && has_bit(p->seen, index);
}

static void mark(struct part *p, uint64_t index)
{
    set_bit(p->seen, index);
    p->settled++;
}

/* Empties the slot of a chunk that is about to be overwritten.
 *
 * Its old hash would vouch for data that is half new, in two ways. A checkpoint could stamp the
 * data while the chunk is incomplete: so the slot is emptied at the first write, before any later
 * stamp. And the machine could stop while a stamp is on the disk: the new data may get there before
 * the empty slot and before the new time of change does. So a stamp is voided durably before data
 * under a filled slot changes, once per checkpoint, and a checkpoint syncs the slots before its
 * stamp (unordered). Chunks whose slots were empty need neither: nothing vouches for them. */
static enum err distrust(struct part *p, uint64_t index)
{
    enum err e = p->header.stamped ? void_stamp(p) : ERR_OK;
    if (e == ERR_OK)
        e = write_slot(p, index, empty_slot);
    p->unordered = true;
    if (e == ERR_OK)
        clear_bit(p->filled, index);
    else
        p->failed = e; /* what the journal says now is not known */
    return e;
}

enum err part_claim(struct part *p, uint64_t first, uint64_t count)
{
    enum err e = p->failed;
    for (uint64_t i = first; e == ERR_OK && i - first < count; i++) {
        if (i >= p->chunks || part_settled(p, i))
            e = log_fail(ERR_PROTO, "data for chunk %llu, which is complete or does not exist",
                         (unsigned long long)i);
        else if (has_bit(p->filled, i))
            e = distrust(p, i);
        if (e == ERR_OK && p->shared && p->claimed != i + 1) {
            claims_take(&p->claims, i);
            p->claimed = i + 1;
        }
    }
    return e;
}

enum err part_write(struct part *p, uint64_t index, uint32_t offset, const uint8_t *bytes, size_t n)
{
    enum err e = part_claim(p, index, 1);
    if (e == ERR_OK)
        e = part_write_at(p->data, bytes, n, (off_t)((index << p->header.chunk_log2) + offset),
                          "what was received");
    p->unsynced += n;
    if (p->unsynced - p->handed >= HAND_BYTES) {
        /* So that the disk works while more arrives, and a checkpoint has little left to wait for. Its
         * failure shows there. */
        (void)sync_file_range(p->data, 0, 0, SYNC_FILE_RANGE_WRITE);
        p->handed = p->unsynced;
    }
    return e;
}

enum err part_settle(struct part *p, uint64_t index, const uint8_t hash[static TREE_HASH])
{
    return part_settle_run(p, index, 1, hash);
}

enum err part_settle_run(struct part *p, uint64_t first, uint64_t count,
                         const uint8_t hash[static TREE_HASH])
{
    if (p->failed)
        return p->failed;
    for (uint64_t i = first; i - first < count; i++)
        if (i >= p->chunks || part_settled(p, i))
            return log_fail(ERR_PROTO, "chunk %llu came twice or does not exist",
                            (unsigned long long)i);
    for (uint64_t i = first; i - first < count; i++)
        mark(p, i);
    struct part_pending *run = &p->pending[p->n_pending++];
    run->index = first;
    run->count = count;
    memcpy(run->hash, hash, TREE_HASH);
    if (p->n_pending == SYNC_HASHES || p->unsynced >= SYNC_BYTES ||
        now_ms() - p->checkpoint_ms >= SYNC_MS)
        return part_checkpoint(p);
    return ERR_OK;
}

enum err part_keep(struct part *p, uint64_t first, uint64_t count)
{
    if (p->failed)
        return p->failed;
    if (first > p->chunks || count > p->chunks - first)
        return log_fail(ERR_PROTO, "chunks to keep that do not exist");
    for (uint64_t i = first; i < first + count; i++) {
        if (part_settled(p, i) || !has_bit(p->filled, i))
            return log_fail(ERR_PROTO, "chunk %llu is to be kept but is not there",
                            (unsigned long long)i);
        mark(p, i);
    }
    return ERR_OK;
}

enum err part_skip(struct part *p, uint64_t first, uint64_t count)
{
    if (p->failed)
        return p->failed;
    if (!p->shared || first > p->chunks || count > p->chunks - first)
        return log_fail(ERR_PROTO, "chunks to skip that nobody else brings");
    for (uint64_t i = first; i < first + count; i++) {
        if (part_settled(p, i))
            return log_fail(ERR_PROTO, "chunk %llu came twice", (unsigned long long)i);
        mark(p, i);
    }
    p->skipped += count;
    return ERR_OK;
}

/* ---- durable ---- */

static enum err fill_run(const struct part *p, const struct part_pending *run)
{
    uint8_t hashes[WRITE_SLOTS * TREE_HASH];
    uint64_t n;
    enum err e = ERR_OK;
    for (uint64_t i = 0; i < run->count && i < WRITE_SLOTS; i++)
        memcpy(hashes + i * TREE_HASH, run->hash, TREE_HASH);
    for (uint64_t at = 0; at < run->count && e == ERR_OK; at += n) {
        n = run->count - at < WRITE_SLOTS ? run->count - at : WRITE_SLOTS;
        e = part_slots_write(p->journal, run->index + at, n, hashes);
    }
    return e;
}

static enum err fill_slots(struct part *p)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < p->n_pending && e == ERR_OK; i++)
        e = fill_run(p, &p->pending[i]);
    if (e == ERR_OK && p->unordered)
        e = sync_file(p, p->journal, "a journal");
    p->unordered = p->unordered && e != ERR_OK;
    return e;
}

static enum err stamp(struct part *p)
{
    struct stat st;
    if (fstat(p->data, &st) < 0)
        return log_fail_errno("looking at what was received");
    part_stamp_of(&st, &p->header.stamp);
    p->header.stamped = true;
    return part_header_write(p->journal, &p->header);
}

enum err part_checkpoint(struct part *p)
{
    enum err e;
    if (p->failed)
        return p->failed;
    e = sync_file(p, p->data, "what was received");
    /* A long content is not to push everything else out of the page cache. */
    if (e == ERR_OK && p->unsynced >= SYNC_BYTES)
        (void)posix_fadvise(p->data, 0, 0, POSIX_FADV_DONTNEED);
    if (e == ERR_OK)
        e = fill_slots(p);
    /* While others write, no stamp can say that the slots speak of the data. */
    if (e == ERR_OK && !p->shared && (e = stamp(p)) == ERR_OK)
        e = sync_file(p, p->journal, "a journal");
    p->failed = e;
    p->n_pending = 0;
    p->unsynced = p->handed = 0;
    p->checkpoint_ms = now_ms();
    return e;
}

static enum err root_from_slots(const struct part *p, const struct tree_engine *engine,
                                uint8_t root[static TREE_HASH])
{
    uint8_t hashes[READ_SLOTS * TREE_HASH];
    struct tree_root r;
    tree_root_begin(&r, engine, p->header.length, p->header.chunk_log2);
    for (uint64_t at = 0; at < p->chunks; at += READ_SLOTS) {
        size_t n = p->chunks - at < READ_SLOTS ? (size_t)(p->chunks - at) : READ_SLOTS;
        enum err e = part_slots_read(p->journal, at, n, hashes);
        if (e != ERR_OK)
            return e;
        for (size_t i = 0; i < n; i++) {
            if (p->skipped > 0 && memcmp(hashes + i * TREE_HASH, empty_slot, TREE_HASH) == 0)
                return log_fail(ERR_PROTO, "a commit without chunk %llu",
                                (unsigned long long)(at + i));
            tree_root_add(&r, hashes + i * TREE_HASH);
        }
    }
    return tree_root_end(&r, root) ? ERR_OK : log_fail(ERR_INTERNAL, "a root of too few chunks");
}

/* A slot vouches for what one connection wrote; where there was another one it may be of either. */
static enum err check_claims(struct part *p, const struct tree_engine *engine)
{
    uint8_t slot[TREE_HASH], hash[TREE_HASH];
    enum err e = part_checkpoint(p);
    for (uint64_t i = 0; e == ERR_OK && i < p->chunks; i++) {
        if (!claims_several(&p->claims, i))
            continue;
        if ((e = part_slots_read(p->journal, i, 1, slot)) == ERR_OK)
            e = tree_file_chunk(p->data, "what was received", p->header.length,
                                p->header.chunk_log2, i, engine, hash);
        if (e != ERR_OK || memcmp(hash, slot, TREE_HASH) == 0)
            continue;
        e = write_slot(p, i, empty_slot);
        if (e == ERR_OK)
            e = log_fail(ERR_CORRUPT, "chunk %llu came over two connections, and not the same",
                         (unsigned long long)i);
    }
    claims_close(&p->claims);
    if (e == ERR_OK && ftruncate(p->journal, (off_t)claims_at(p)) < 0)
        e = log_fail_errno("cutting a journal");
    return e;
}

enum err part_finish(struct part *p, const struct tree_engine *engine,
                     uint8_t root[static TREE_HASH])
{
    enum err e;
    if (p->failed)
        return p->failed;
    if (p->settled != p->chunks)
        return log_fail(ERR_PROTO, "a commit with %llu of %llu chunks",
                        (unsigned long long)p->settled, (unsigned long long)p->chunks);
    if (ftruncate(p->data, (off_t)p->header.length) < 0)
        return log_fail_errno("setting the length of what was received");
    if (p->shared && (e = check_claims(p, engine)) != ERR_OK)
        return e;
    /* Those who joined have ended: their slots and what they wrote are synced with the rest. */
    p->unordered = p->unordered || p->skipped > 0;
    p->shared = false;
    memset(p->header.joins, 0, TREE_HASH);
    if ((e = part_checkpoint(p)) != ERR_OK || (e = root_from_slots(p, engine, root)) != ERR_OK)
        return e;
    memcpy(p->header.root, root, TREE_HASH);
    p->header.complete = true;
    return part_header_write(p->journal, &p->header);
}
