/* SPDX-License-Identifier: ISC */
#include "tree.h"

#include "hole.h"
#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20, PAIR = 2 * TREE_HASH };

unsigned tree_chunk_log2(uint64_t length)
{
    for (unsigned log2 = TREE_CHUNK_LOG2; log2 <= TREE_CHUNK_LOG2_MAX; log2++)
        if (tree_chunks(length, log2) <= TREE_CHUNKS_MAX)
            return log2;
    return 0;
}

uint64_t tree_chunks(uint64_t length, unsigned chunk_log2)
{
    return (length >> chunk_log2) + ((length & ((UINT64_C(1) << chunk_log2) - 1)) != 0);
}

uint64_t tree_chunk_size(uint64_t length, unsigned chunk_log2, uint64_t index)
{
    uint64_t chunks = tree_chunks(length, chunk_log2);
    if (index >= chunks)
        return 0;
    return index + 1 < chunks ? UINT64_C(1) << chunk_log2 : length - (index << chunk_log2);
}

/* ---- one chunk ---- */

enum err tree_chunk_init(struct tree_chunk *c, const struct tree_engine *engine,
                         unsigned chunk_log2)
{
    *c = (struct tree_chunk){.engine = engine};
    c->full = (size_t)1 << (chunk_log2 - TREE_LEAF_LOG2);
    c->leaves = malloc(c->full * TREE_HASH);
    return c->leaves ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for a chunk's hashes");
}

void tree_chunk_release(struct tree_chunk *c)
{
    free(c->leaves);
    *c = (struct tree_chunk){0};
}

void tree_chunk_begin(struct tree_chunk *c, uint64_t length)
{
    uint64_t leaves = (length + TREE_LEAF - 1) >> TREE_LEAF_LOG2;
    c->used = 0;
    c->ended = c->bad = false;
    c->pad = c->full;
    /* A content of one chunk is only as wide as its own leaves make it. */
    if (leaves < c->full)
        for (c->pad = 1; c->pad < leaves;)
            c->pad *= 2;
}

void tree_chunk_add(struct tree_chunk *c, const uint8_t *data, size_t n)
{
    size_t whole = n / TREE_LEAF, rest = n % TREE_LEAF;
    if (n == 0)
        return;
    if (c->bad || c->ended || whole > c->full - c->used || (rest && whole == c->full - c->used)) {
        c->bad = true;
        return;
    }
    if (whole)
        c->engine->many(data, TREE_LEAF, whole, c->leaves + c->used * TREE_HASH);
    c->used += whole;
    if (rest) {
        c->engine->one(data + whole * TREE_LEAF, rest, c->leaves + c->used * TREE_HASH);
        c->used++;
        c->ended = true;
    }
}

void tree_chunk_end(struct tree_chunk *c, uint8_t hash[static TREE_HASH])
{
    if (c->used < c->pad)
        memset(c->leaves + c->used * TREE_HASH, 0, (c->pad - c->used) * TREE_HASH);
    for (size_t n = c->pad / 2; n > 0; n /= 2)
        c->engine->many(c->leaves, PAIR, n, c->leaves);
    if (c->bad)
        memset(hash, 0xff, TREE_HASH);
    else
        memcpy(hash, c->leaves, TREE_HASH);
    c->used = 0;
    c->ended = c->bad = false;
}

/* ---- zeros ---- */

/* All leaves but a short last one have the same hash, which is computed once. */
static void zeros_hash(struct tree_chunk *c, uint64_t length, uint64_t size,
                       uint8_t hash[static TREE_HASH])
{
    static const uint8_t zeros[TREE_LEAF];
    tree_chunk_begin(c, length);
    if (size >= TREE_LEAF)
        tree_chunk_add(c, zeros, TREE_LEAF);
    for (; c->used < size / TREE_LEAF; c->used++)
        memcpy(c->leaves + c->used * TREE_HASH, c->leaves, TREE_HASH);
    tree_chunk_add(c, zeros, size % TREE_LEAF);
    tree_chunk_end(c, hash);
}

void tree_zeros_init(struct tree_zeros *z, struct tree_chunk *c, uint64_t length,
                     unsigned chunk_log2)
{
    z->chunks = tree_chunks(length, chunk_log2);
    if (z->chunks == 0)
        return;
    zeros_hash(c, length, tree_chunk_size(length, chunk_log2, 0), z->whole);
    zeros_hash(c, length, tree_chunk_size(length, chunk_log2, z->chunks - 1), z->last);
}

const uint8_t *tree_zeros_hash(const struct tree_zeros *z, uint64_t index)
{
    return index + 1 < z->chunks ? z->whole : z->last;
}

/* ---- the root ---- */

void tree_small(const struct tree_engine *engine, const uint8_t *data, size_t n,
                uint8_t root[static TREE_HASH])
{
    uint8_t leaves[TREE_SMALL_MAX / TREE_LEAF * TREE_HASH];
    struct tree_chunk c = {.engine = engine, .leaves = leaves, .full = TREE_SMALL_MAX / TREE_LEAF};
    memset(root, 0, TREE_HASH);
    if (n == 0)
        return;
    tree_chunk_begin(&c, n);
    tree_chunk_add(&c, data, n);
    tree_chunk_end(&c, root);
}

void tree_root_begin(struct tree_root *r, const struct tree_engine *engine, uint64_t length,
                     unsigned chunk_log2)
{
    *r = (struct tree_root){.engine = engine, .chunk_log2 = chunk_log2};
    r->chunks = tree_chunks(length, chunk_log2);
}

static void join(const struct tree_engine *engine, const uint8_t *left, const uint8_t *right,
                 uint8_t *out)
{
    uint8_t pair[PAIR];
    memcpy(pair, left, TREE_HASH);
    memcpy(pair + TREE_HASH, right, TREE_HASH);
    engine->one(pair, PAIR, out);
}

/* Adds a node 2^height chunks wide. Bit h of count tells whether stack[h] is waiting. */
static void add_node(struct tree_root *r, const uint8_t *hash, unsigned height)
{
    uint8_t node[TREE_HASH];
    memcpy(node, hash, TREE_HASH);
    for (; r->count >> height & 1; height++) {
        join(r->engine, r->stack[height], node, node);
        r->count -= UINT64_C(1) << height;
    }
    memcpy(r->stack[height], node, TREE_HASH);
    r->count += UINT64_C(1) << height;
}

void tree_root_add(struct tree_root *r, const uint8_t hash[static TREE_HASH])
{
    if (r->count < r->chunks && r->chunks <= TREE_CHUNKS_MAX)
        add_node(r, hash, 0);
    else
        r->chunks = UINT64_MAX; /* too many, here or for the stack: tree_root_end says so */
}

bool tree_root_end(struct tree_root *r, uint8_t root[static TREE_HASH])
{
    uint8_t zero[TREE_HASH] = {0};
    unsigned top = 0, height = 0;
    memset(root, 0, TREE_HASH);
    if (r->count != r->chunks)
        return false;
    if (r->chunks == 0)
        return true;
    while (UINT64_C(1) << top < r->chunks)
        top++;
    /* The hash of a chunk of missing leaves, then of ever wider nodes of such chunks. */
    for (unsigned h = TREE_LEAF_LOG2; h < r->chunk_log2; h++)
        join(r->engine, zero, zero, zero);
    for (; height < top; height++) {
        if (r->count >> height & 1 && r->count != UINT64_C(1) << top)
            add_node(r, zero, height);
        join(r->engine, zero, zero, zero);
    }
    memcpy(root, r->stack[top], TREE_HASH);
    return true;
}

/* ---- a file ---- */

struct walk {
    int fd;
    const char *name;
    uint64_t length;
    unsigned chunk_log2;
    const struct tree_visitor *visitor;
    uint8_t *piece;
    struct tree_chunk chunk;
    struct tree_zeros zeros;
    struct hole_map holes; /* they are not read */
    struct tree_root root;
};

static enum err read_piece(const struct walk *w, uint64_t at, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(w->fd, w->piece + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return log_fail_errno("%s: reading", w->name);
        if (r == 0)
            return log_fail(ERR_CHANGED, "%s: the file became shorter while it was read", w->name);
        got += (size_t)r;
    }
    return ERR_OK;
}

static enum err progress(const struct walk *w, uint64_t done)
{
    return w->visitor && w->visitor->progress
               ? w->visitor->progress(w->visitor->arg, done, w->length)
               : ERR_OK;
}

static enum err hash_chunk(struct walk *w, uint64_t index, uint8_t hash[static TREE_HASH])
{
    uint64_t size = tree_chunk_size(w->length, w->chunk_log2, index);
    uint64_t start = index << w->chunk_log2;
    if (hole_covers(&w->holes, start, size)) {
        memcpy(hash, tree_zeros_hash(&w->zeros, index), TREE_HASH);
        return progress(w, start + size);
    }
    tree_chunk_begin(&w->chunk, w->length);
    for (uint64_t at = 0; at < size; at += READ_BYTES) {
        size_t n = size - at < READ_BYTES ? (size_t)(size - at) : READ_BYTES;
        enum err e = read_piece(w, start + at, n);
        if (e != ERR_OK)
            return e;
        tree_chunk_add(&w->chunk, w->piece, n);
        if ((e = progress(w, start + at + n)) != ERR_OK)
            return e;
    }
    tree_chunk_end(&w->chunk, hash);
    return ERR_OK;
}

static enum err walk_chunk(struct walk *w, uint64_t index)
{
    uint8_t hash[TREE_HASH];
    enum err e = hash_chunk(w, index, hash);
    if (e != ERR_OK)
        return e;
    tree_root_add(&w->root, hash);
    return w->visitor && w->visitor->hash ? w->visitor->hash(w->visitor->arg, index, hash) : ERR_OK;
}

enum err tree_file(int fd, const char *name, uint64_t length, unsigned chunk_log2,
                   const struct tree_engine *engine, const struct tree_visitor *visitor,
                   uint8_t root[static TREE_HASH])
{
    struct walk w = {
        .fd = fd, .name = name, .length = length, .chunk_log2 = chunk_log2, .visitor = visitor};
    enum err e = tree_chunk_init(&w.chunk, engine, chunk_log2);
    if (e != ERR_OK)
        return e;
    w.piece = malloc(READ_BYTES);
    if (!w.piece)
        e = log_fail(ERR_INTERNAL, "%s: out of memory", name);
    tree_zeros_init(&w.zeros, &w.chunk, length, chunk_log2);
    hole_map_init(&w.holes, fd);
    tree_root_begin(&w.root, engine, length, chunk_log2);
    for (uint64_t i = 0; i < tree_chunks(length, chunk_log2) && e == ERR_OK; i++)
        e = walk_chunk(&w, i);
    if (e == ERR_OK && !tree_root_end(&w.root, root))
        e = log_fail(ERR_INTERNAL, "%s: not all chunks were hashed", name);
    free(w.piece);
    tree_chunk_release(&w.chunk);
    return e;
}

enum err tree_file_chunk(int fd, const char *name, uint64_t length, unsigned chunk_log2,
                         uint64_t index, const struct tree_engine *engine,
                         uint8_t hash[static TREE_HASH])
{
    struct walk w = {.fd = fd, .name = name, .length = length, .chunk_log2 = chunk_log2};
    enum err e = tree_chunk_init(&w.chunk, engine, chunk_log2);
    if (e != ERR_OK)
        return e;
    w.piece = malloc(READ_BYTES);
    tree_zeros_init(&w.zeros, &w.chunk, length, chunk_log2);
    hole_map_init(&w.holes, fd);
    e = w.piece ? hash_chunk(&w, index, hash) : log_fail(ERR_INTERNAL, "%s: out of memory", name);
    free(w.piece);
    tree_chunk_release(&w.chunk);
    return e;
}
