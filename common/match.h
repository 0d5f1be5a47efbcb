/* SPDX-License-Identifier: ISC */
/* What a sender was told of the version that stands at the receiver: a hash for each of its chunks.
 * It finds a chunk of the new content among them, wherever in the old one it stands.
 *
 *   match_begin(&m, ...);  while (m.known < m.n) match_add(&m, ...);  match_find(&m, ...) ...
 *
 * The hashes are the peer's and may be anything: a find costs a bounded number of comparisons
 * whatever they are, at the price that of hashes made to collide not all are found. */
#ifndef CONSIGN_MATCH_H
#define CONSIGN_MATCH_H

#include "tree.h"

enum { MATCH_MAX = 1 << 16 }; /* chunks of an old version that are told of */

struct match {
    uint64_t length; /* of the old version, bytes */
    unsigned chunk_log2;
    uint64_t n;      /* chunks that will be told of, counted from the first; 0: no old version */
    uint64_t known;  /* that were */
    uint8_t *hashes; /* n of them */
    uint32_t *slots; /* open addressing by hash: chunk + 1, or 0 */
    size_t mask;     /* number of slots - 1 */
};

/* n chunks of an old version of length bytes will be told of. False when there can't be so many.
 * ERR_INTERNAL, logged, without memory. */
bool match_possible(uint64_t n, uint64_t length, unsigned chunk_log2);
enum err match_begin(struct match *m, uint64_t n, uint64_t length, unsigned chunk_log2) MUST_CHECK;
void match_release(struct match *m);

/* The next count hashes (32 * count bytes), of chunk m->known and on. The caller has checked that
 * they are not more than were announced. */
void match_add(struct match *m, const uint8_t *hashes, size_t count);

/* The old chunk that holds what a chunk of size bytes with that hash does; false when there is none.
 * Where several do, chunk next is preferred (so that runs grow), then chunk index. */
bool match_find(const struct match *m, const uint8_t hash[static TREE_HASH], uint64_t size,
                uint64_t next, uint64_t index, uint64_t *found);

#endif
