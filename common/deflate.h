/* SPDX-License-Identifier: ISC */
/* Compression of one piece of content to one zlib stream (RFC 1950), each alone: no state goes from one
 * piece to the next.
 *
 *   deflate_init(&d, deflate_engine());
 *   if (deflate_worth(plain, n) && (m = deflate_pack(&d, plain, n, out, cap)) > 0) ...
 *   deflate_unpack(&d, stream, m, plain, n);
 *
 * Two engines, ISA-L and zlib, write and read the same format. What is around the compressed blocks
 * (header and check sum) is written and checked here, the same for both. */
#ifndef CONSIGN_DEFLATE_H
#define CONSIGN_DEFLATE_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DEFLATE_MAX = 1 << 20, /* plain bytes of one piece */
    DEFLATE_FRAME = 6,     /* bytes around the blocks: header and Adler-32 */
};

/* A way to pack and unpack blocks as RFC 1951 has them, and to compute Adler-32 (of RFC 1950). */
struct deflate_engine {
    const char *name;
    unsigned ns_per_kib; /* about what packing a KiB of text takes */
    /* Memory for both directions; NULL when there is none. */
    void *(*open)(void);
    void (*close)(void *state);
    /* The length of what was written to out, 0 when cap bytes are too few. */
    size_t (*pack)(void *state, const uint8_t *plain, size_t n, uint8_t *out, size_t cap);
    /* Whether the blocks at in end exactly at its end and give exactly size bytes, never writing
     * more. */
    bool (*unpack)(void *state, const uint8_t *in, size_t n, uint8_t *plain, size_t size);
    uint32_t (*adler)(const uint8_t *data, size_t n);
};

/* The fastest that is built in. Never NULL. */
const struct deflate_engine *deflate_engine(void);

/* The engine called name ("isa-l", "zlib"), or NULL when it is not built in. */
const struct deflate_engine *deflate_engine_named(const char *name);

struct deflate {
    const struct deflate_engine *engine;
    void *state;
};

/* ERR_INTERNAL when there is no memory (logged). */
enum err deflate_init(struct deflate *d, const struct deflate_engine *engine) MUST_CHECK;
/* Also after deflate_init failed, or for a zeroed one. */
void deflate_release(struct deflate *d);

/* Compresses n bytes (at most DEFLATE_MAX). The stream's length, 0 when it is longer than cap or, as
 * ISA-L writes words at once, up to 16 bytes shorter. */
size_t deflate_pack(struct deflate *d, const uint8_t *plain, size_t n, uint8_t *out,
                    size_t cap) MUST_CHECK;

/* Decompresses a stream of n bytes that must give exactly size bytes, and writes nothing beyond
 * them. False for a stream that gives more or less, does not end or ends before n, needs a preset
 * dictionary, has a wrong check sum, or is none; plain then holds anything. */
bool deflate_unpack(struct deflate *d, const uint8_t *stream, size_t n, uint8_t *plain,
                    size_t size) MUST_CHECK;

/* Whether compressing a piece seems worth it, from how often each byte comes in a sample of it: takes a
 * hundredth of the time of hashing it. It does not see what repeats only as a whole. */
bool deflate_worth(const uint8_t *plain, size_t n);

#endif
