/* SPDX-License-Identifier: ISC */
/* The hash tree of a content: SHA-256 Merkle tree as BitTorrent v2 defines it (BEP 52).
 *
 * Leaves are 16 KiB (the last one may be shorter and is hashed as it is); the tree is binary;
 * leaves that are missing to the next power of two count as 32 zero bytes. The identity of a
 * content is (length, root). The root of an empty content, which BEP 52 leaves open, is 32 zero
 * bytes; of a content of one leaf it is that leaf's hash.
 *
 * A chunk is 2^chunk_log2 bytes: a power-of-two number of leaves. Its hash is the node above its
 * leaves; a last, shorter chunk is padded with zero leaf hashes to the full chunk. A content that
 * fits in one chunk is padded only to the next power of two of its own leaves: its one chunk hash
 * is its root.
 *
 *   tree_chunk_begin(&c, engine, ...);  while (data) tree_chunk_add(&c, data, n);  tree_chunk_end(&c, hash);
 *   tree_root_begin(&r, length, log2);  for each chunk in order tree_root_add(&r, hash);  tree_root_end(&r, root);
 */
#ifndef CONSIGN_TREE_H
#define CONSIGN_TREE_H

#include "err.h"
#include "wire.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    TREE_LEAF_LOG2 = 14,
    TREE_LEAF = 1 << TREE_LEAF_LOG2,
    TREE_HASH = WIRE_HASH,
    TREE_CHUNK_LOG2_MIN = 14,
    TREE_CHUNK_LOG2 = 20, /* the default: 1 MiB */
    TREE_CHUNK_LOG2_MAX = 28,
    TREE_CHUNKS_MAX = 1 << 20,
};

/* A way to compute SHA-256 of many independent messages. All engines give the same digests. Several
 * threads may use one at once. */
struct tree_engine {
    const char *name;
    /* Digests of count messages of size bytes each (size is TREE_LEAF or 64), packed one behind the
     * other at data; count digests of 32 bytes to out. out may equal data when size is 64. */
    void (*many)(const uint8_t *data, size_t size, size_t count, uint8_t *out);
    /* The digest of one message of n bytes. */
    void (*one)(const uint8_t *data, size_t n, uint8_t out[static TREE_HASH]);
};

/* The fastest engine of this machine; with approved set, GnuTLS's SHA-256 (for an enforced policy
 * on algorithms). Never NULL. Not to be called first in a child that may not allocate: call it
 * before. */
const struct tree_engine *tree_engine(bool approved);

/* The engine called name ("gnutls", "ipsec-mb"), or NULL when it is not built in or can't run
 * here. */
const struct tree_engine *tree_engine_named(const char *name);

/* The chunk size for a content of length bytes: the default, or what keeps it at TREE_CHUNKS_MAX
 * chunks. 0 when length is more than TREE_CHUNKS_MAX chunks of the largest size. */
unsigned tree_chunk_log2(uint64_t length);

/* How many chunks length bytes have; 0 for 0. */
uint64_t tree_chunks(uint64_t length, unsigned chunk_log2);

/* The bytes in chunk index (the last may be shorter); 0 when there is no such chunk. */
uint64_t tree_chunk_size(uint64_t length, unsigned chunk_log2, uint64_t index);

/* The hash of one chunk, fed piecewise. */
struct tree_chunk {
    const struct tree_engine *engine;
    uint8_t *leaves; /* room for the hashes of a full chunk's leaves */
    size_t used;     /* leaves so far */
    size_t full;     /* leaves of a full chunk */
    size_t pad;      /* leaves to pad to at the end */
    bool ended;      /* a short leaf was added: nothing may follow */
    bool bad;        /* something did: the hash will match nothing */
};

/* Memory for chunks of 2^chunk_log2 bytes; ERR_INTERNAL when there is none (logged). */
enum err tree_chunk_init(struct tree_chunk *c, const struct tree_engine *engine,
                         unsigned chunk_log2) MUST_CHECK;
void tree_chunk_release(struct tree_chunk *c);

/* Starts a chunk of a content of length bytes. */
void tree_chunk_begin(struct tree_chunk *c, uint64_t length);

/* Adds n bytes; n is a multiple of TREE_LEAF unless these are the chunk's last bytes. After more
 * than a chunk holds, or anything behind a short leaf, the hash is 32 bytes 0xff. */
void tree_chunk_add(struct tree_chunk *c, const uint8_t *data, size_t n);

/* The chunk's hash; c is ready for the next tree_chunk_begin. */
void tree_chunk_end(struct tree_chunk *c, uint8_t hash[static TREE_HASH]);

/* Plain SHA-256 of n bytes. */
void tree_sha256(const uint8_t *data, size_t n, uint8_t out[static TREE_HASH]);

/* The hashes of chunks that are all zeros, for a content of length bytes. c is idle, of that content's
 * chunk size, and idle afterwards. */
struct tree_zeros {
    uint64_t chunks;
    uint8_t whole[TREE_HASH];
    uint8_t last[TREE_HASH]; /* of the last chunk, which may be shorter */
};
void tree_zeros_init(struct tree_zeros *z, struct tree_chunk *c, uint64_t length,
                     unsigned chunk_log2);
const uint8_t *tree_zeros_hash(const struct tree_zeros *z, uint64_t index);

/* The root of a content of n bytes in memory, at most TREE_SMALL_MAX: of one chunk. */
enum { TREE_SMALL_MAX = 1 << 20 };
void tree_small(const struct tree_engine *engine, const uint8_t *data, size_t n,
                uint8_t root[static TREE_HASH]);

/* The root from chunk hashes, in constant memory. */
struct tree_root {
    const struct tree_engine *engine;
    uint64_t count;  /* chunk hashes so far */
    uint64_t chunks; /* chunk hashes in all */
    unsigned chunk_log2;
    uint8_t stack[24][TREE_HASH]; /* stack[h]: a waiting node 2^h chunks wide */
};

void tree_root_begin(struct tree_root *r, const struct tree_engine *engine, uint64_t length,
                     unsigned chunk_log2);
void tree_root_add(struct tree_root *r, const uint8_t hash[static TREE_HASH]);
/* Exactly tree_chunks() hashes must have been added, TREE_CHUNKS_MAX at most; false otherwise (root
 * is then zero). */
bool tree_root_end(struct tree_root *r, uint8_t root[static TREE_HASH]) MUST_CHECK;

/* Called with the bytes hashed so far, last with all of them; a result other than ERR_OK ends the
 * work with it. */
typedef enum err tree_progress(void *arg, uint64_t done, uint64_t total);

/* Hashes length bytes of fd from offset 0 by pread, in bounded memory. root is written; where
 * hashes is not NULL it is called for each chunk in order with the chunk's hash. progress may be
 * NULL. A file that ends early is ERR_CHANGED. Failures are logged with name. */
struct tree_visitor {
    tree_progress *progress;
    enum err (*hash)(void *arg, uint64_t index, const uint8_t hash[static TREE_HASH]);
    void *arg;
};
enum err tree_file(int fd, const char *name, uint64_t length, unsigned chunk_log2,
                   const struct tree_engine *engine, const struct tree_visitor *visitor,
                   uint8_t root[static TREE_HASH]) MUST_CHECK;

/* The hash of one chunk of such a file, likewise. */
enum err tree_file_chunk(int fd, const char *name, uint64_t length, unsigned chunk_log2,
                         uint64_t index, const struct tree_engine *engine,
                         uint8_t hash[static TREE_HASH]) MUST_CHECK;

#endif
