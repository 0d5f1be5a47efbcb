/* SPDX-License-Identifier: ISC */
/* What the receiver does with what came: on the lane, in order. */
#include "recv_internal.h"

#include "hole.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

static enum err inflate_piece(struct receiver *r, const struct recv_job *j)
{
    if (!r->plain && !(r->plain = malloc(DEFLATE_MAX)))
        return log_fail(ERR_INTERNAL, "out of memory for compressed content");
    if (!r->deflate.state) {
        enum err e = deflate_init(&r->deflate, deflate_engine());
        if (e != ERR_OK)
            return e;
    }
    if (deflate_unpack(&r->deflate, j->bytes.p, j->bytes.n, r->plain, j->length))
        return ERR_OK;
    return log_fail(ERR_PROTO, "%s: a compressed piece of chunk %llu does not give %zu bytes",
                    r->x->name, (unsigned long long)j->index, j->length);
}

static enum err take_bytes(struct receiver *r, const struct recv_job *j)
{
    const uint8_t *p = j->bytes.p;
    if (j->kind == MSG_KIND_DEFLATE) {
        enum err e = inflate_piece(r, j);
        if (e != ERR_OK)
            return e;
        p = r->plain;
    }
    if (j->offset == 0)
        tree_chunk_begin(&r->hasher, r->offer.length);
    tree_chunk_add(&r->hasher, p, j->length);
    return part_write(&r->part, j->index, j->offset, p, j->length);
}

static enum err take_hash(struct receiver *r, const struct recv_job *j)
{
    uint8_t hash[TREE_HASH];
    tree_chunk_end(&r->hasher, hash);
    if (memcmp(hash, j->hash, TREE_HASH) == 0)
        return part_settle(&r->part, j->index, hash);
    return log_fail(ERR_CORRUPT,
                    "%s: chunk %llu (bytes %llu and on) does not match its hash: "
                    "the sender's copy is damaged",
                    r->x->name, (unsigned long long)j->index,
                    (unsigned long long)(j->index << r->offer.chunk_log2));
}

uint64_t recv_bytes(const struct receiver *r, uint64_t first, uint64_t count)
{
    uint64_t end = (first + count) << r->offer.chunk_log2;
    return (end < r->offer.length ? end : r->offer.length) - (first << r->offer.chunk_log2);
}

/* Zeros, whose hashes are known: that of the content's last chunk may be another. */
static enum err take_hole(struct receiver *r, const struct recv_job *j)
{
    uint64_t last = j->index + j->count - 1;
    enum err e = part_claim(&r->part, j->index, j->count);
    if (e == ERR_OK)
        e = hole_make(r->part.data, j->index << r->offer.chunk_log2,
                      recv_bytes(r, j->index, j->count));
    if (e == ERR_OK && j->count > 1)
        e = part_settle_run(&r->part, j->index, j->count - 1, r->zeros.whole);
    return e == ERR_OK ? part_settle(&r->part, last, tree_zeros_hash(&r->zeros, last)) : e;
}

enum err recv_work(void *arg, void *job)
{
    struct receiver *r = arg;
    const struct recv_job *j = job;
    switch (j->type) {
    case MSG_DATA:
        return take_bytes(r, j);
    case MSG_CHUNK:
        return take_hash(r, j);
    case MSG_COPY:
        return old_copy(&r->old, &r->part, j->index, j->from, j->count);
    case MSG_SKIP:
        return part_skip(&r->part, j->index, j->count);
    case MSG_HOLE:
        return take_hole(r, j);
    default:
        return part_keep(&r->part, j->index, j->count);
    }
}
