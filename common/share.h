/* SPDX-License-Identifier: ISC */
/* One content that is moved over several connections at once, each by a thread: which chunks are to be
 * moved, by whom, and their hashes.
 *
 * The content is dealt out in shares of several chunks. A stream (one transfer over one connection)
 * takes shares in rising order only, as a transfer goes through its chunks in order; those of a stream
 * that was lost are dealt out again. Stream 0 is the one that began the content and will commit it. */
#ifndef CONSIGN_SHARE_H
#define CONSIGN_SHARE_H

#include "err.h"
#include "tree.h"

enum {
    SHARE_STREAMS = 64,
    SHARE_BYTES = 16 << 20 /* in a share, where that is more than a chunk */
};

struct share;

enum share_state {
    SHARE_ALL_DONE, /* all is moved, but for what stream 0 holds */
    SHARE_FREE,     /* there are shares to take */
    SHARE_WAIT,     /* others are still at theirs, or will be */
    SHARE_FAILED,   /* share_fail was called, or nobody is left for what this stream can't take */
};

enum err share_new(uint64_t chunks, unsigned chunk_log2, struct share **out) MUST_CHECK;
void share_free(struct share *s);

/* Another stream than 0 is about to begin, or will do nothing more. */
void share_join(struct share *s);
void share_leave(struct share *s);

/* Takes the first free share at or behind chunk from for stream. False: there is none. */
bool share_take(struct share *s, unsigned stream, uint64_t from, uint64_t *first, uint64_t *count);

/* All that stream holds is moved and, at the receiver, durable with the rest; or must be moved again. */
void share_done(struct share *s, unsigned stream);
void share_give_back(struct share *s, unsigned stream);

/* Nothing more can come of it: all streams end. */
void share_fail(struct share *s);

/* How it stands for a stream at chunk from; waits up to wait_ms for it to be other than
 * SHARE_WAIT. */
enum share_state share_look(struct share *s, uint64_t from, int wait_ms);

/* Whether no other stream takes part (share_join). */
bool share_alone(struct share *s);

/* Chunks whose hash is known. */
uint64_t share_count(const struct share *s);

/* The hash of a chunk that a stream moved; and the root, which is false while one is missing. */
void share_hash(struct share *s, uint64_t chunk, const uint8_t hash[static TREE_HASH]);
bool share_root(struct share *s, const struct tree_engine *engine, uint64_t length,
                uint8_t root[static TREE_HASH]);

#endif
