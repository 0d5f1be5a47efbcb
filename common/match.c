/* SPDX-License-Identifier: ISC */
#include "match.h"

#include "log.h"
#include <stdlib.h>
#include <string.h>

enum { PROBES = 64 }; /* true hashes in a table that is half full lie closer to their place */

bool match_possible(uint64_t n, uint64_t length, unsigned chunk_log2)
{
    return n <= MATCH_MAX && length <= INT64_MAX && n <= tree_chunks(length, chunk_log2);
}

enum err match_begin(struct match *m, uint64_t n, uint64_t length, unsigned chunk_log2)
{
    *m = (struct match){.length = length, .chunk_log2 = chunk_log2, .n = n};
    if (n == 0)
        return ERR_OK;
    size_t slots = 2;
    while (slots < 2 * n)
        slots *= 2;
    m->mask = slots - 1;
    m->hashes = calloc(n, TREE_HASH);
    m->slots = calloc(slots, sizeof *m->slots);
    return m->hashes && m->slots
               ? ERR_OK
               : log_fail(ERR_INTERNAL, "out of memory for the hashes of an old version");
}

void match_release(struct match *m)
{
    free(m->hashes);
    free(m->slots);
    *m = (struct match){0};
}

static bool is(const struct match *m, uint64_t chunk, const uint8_t hash[static TREE_HASH])
{
    return chunk < m->known && memcmp(m->hashes + chunk * TREE_HASH, hash, TREE_HASH) == 0;
}

/* The slot that holds the hash, else the free one where it belongs, else NULL. */
static uint32_t *slot_of(const struct match *m, const uint8_t hash[static TREE_HASH])
{
    size_t at = wire_load_u32(hash);
    for (int i = 0; i < PROBES; i++, at++) {
        uint32_t *slot = &m->slots[at & m->mask];
        if (*slot == 0 || is(m, *slot - 1, hash))
            return slot;
    }
    return NULL;
}

void match_add(struct match *m, const uint8_t *hashes, size_t count)
{
    memcpy(m->hashes + m->known * TREE_HASH, hashes, count * TREE_HASH);
    for (size_t i = 0; i < count; i++, m->known++) {
        uint32_t *slot = slot_of(m, hashes + i * TREE_HASH);
        if (slot && *slot == 0)
            *slot = (uint32_t)m->known + 1;
    }
}

bool match_find(const struct match *m, const uint8_t hash[static TREE_HASH], uint64_t size,
                uint64_t next, uint64_t index, uint64_t *found)
{
    if (m->known == 0)
        return false;
    const uint32_t *slot;
    if (is(m, next, hash))
        *found = next;
    else if (is(m, index, hash))
        *found = index;
    else if ((slot = slot_of(m, hash)) && *slot > 0)
        *found = *slot - 1;
    else
        return false;
    /* Equal contents have equal sizes; but the hash is only what the peer said. */
    return tree_chunk_size(m->length, m->chunk_log2, *found) == size;
}
