/* SPDX-License-Identifier: ISC */
/* The hashes that a peer says its old version has: what is found among them is there, has the size that is looked for,
 * and is preferred as promised. */
#include "fuzz.h"

#include "match.h"

enum { LOG2 = 14 };

/* Hashes that are made to meet in the table: of a byte each, or of two. */
static void make_hash(uint8_t to[static TREE_HASH], uint8_t high, uint8_t low)
{
    memset(to, 0, TREE_HASH);
    to[3] = high;
    to[TREE_HASH - 1] = low;
}

static void check_find(const struct match *m, const uint8_t *hash, uint64_t size, uint64_t next,
                       uint64_t index)
{
    uint64_t found = UINT64_MAX;
    if (!match_find(m, hash, size, next, index, &found))
        return;
    FUZZ_MUST(found < m->known && memcmp(m->hashes + found * TREE_HASH, hash, TREE_HASH) == 0);
    FUZZ_MUST(tree_chunk_size(m->length, LOG2, found) == size);
    bool at_next = next < m->known && memcmp(m->hashes + next * TREE_HASH, hash, TREE_HASH) == 0;
    bool at_index = index < m->known && memcmp(m->hashes + index * TREE_HASH, hash, TREE_HASH) == 0;
    FUZZ_MUST(!at_next || found == next);
    FUZZ_MUST(at_next || !at_index || found == index);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    uint64_t length = wire_get_u32(&r), count = wire_get_u16(&r), chunks;
    struct match m;
    uint8_t hash[TREE_HASH];
    struct slice old = wire_get_str(&r, UINT16_MAX);
    bool possible = match_possible(count, length, LOG2);
    chunks = tree_chunks(length, LOG2);
    FUZZ_MUST(possible == (count <= chunks));
    if (r.bad || !possible || count == 0)
        return;
    FUZZ_MUST(match_begin(&m, count, length, LOG2) == ERR_OK);
    for (size_t i = 0; i + 1 < old.n && m.known < count; i += 2) {
        make_hash(hash, old.p[i], old.p[i + 1]);
        match_add(&m, hash, 1);
    }
    while (r.p + 5 <= r.end) {
        make_hash(hash, wire_get_u8(&r), wire_get_u8(&r));
        uint64_t next = wire_get_u8(&r), index = wire_get_u8(&r), last = wire_get_u8(&r);
        check_find(&m, hash, last & 1 ? length % (1 << LOG2) : 1 << LOG2, next, index);
    }
    match_release(&m);
}

void fuzz_seeds(void)
{
    struct buf b;
    buf_init(&b, 4096);
    wire_put_u32(&b, 300 * (1 << LOG2) + 5);
    wire_put_u16(&b, 200);
    wire_put_u16(&b, 400);
    for (unsigned i = 0; i < 200; i++) {
        wire_put_u8(&b, (uint8_t)(i % 3));
        wire_put_u8(&b, (uint8_t)i);
    }
    for (uint8_t i = 0; i < 40; i++) {
        const uint8_t ask[] = {i % 3, i, i, (uint8_t)(i + 1), i};
        buf_put(&b, ask, sizeof ask);
    }
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}
