/* SPDX-License-Identifier: ISC */
/* Random bytes of a token for the kernel's pool, from which every key exchange and nonce of this host
 * comes in the end. They are mixed in by writing to /dev/urandom, which credits no entropy: the pool
 * can only gain, whoever made the token. Nothing ever waits for them. */
#ifndef CONSIGND_SEED_H
#define CONSIGND_SEED_H

#include "err.h"
#include "health.h"
#include <stddef.h>

#define SEED_POOL "/dev/urandom"

enum {
    SEED_BYTES = 512, /* a round; the pool holds 256 bits */
    SEED_EVERY_S = 3600,
};

/* Where the bytes come from: n of them to out. */
typedef enum err seed_draw(const char *source, void *out, size_t n);

/* A zeroed one is ready. */
struct seed {
    struct health health; /* since the start */
    bool tested;          /* HEALTH_START bytes were */
};

/* One round: draws from source, tests, writes to the file pool, erases. Before the first one
 * HEALTH_START bytes are drawn, tested and thrown away. Bytes that fail a test, and all that the
 * source gives after them, are not written: ERR_CORRUPT. Else the error of draw or of the pool. */
enum err seed_round(struct seed *s, seed_draw *draw, const char *source,
                    const char *pool) MUST_CHECK;

#endif
