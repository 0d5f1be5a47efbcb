/* SPDX-License-Identifier: ISC */
/* Decompression by every engine: nothing is written beyond what was asked for, two engines that take the same blocks get
 * the same content, and what one packs the others unpack. The first two bytes of an input say how much it is to give. */
#include "fuzz.h"

#include "deflate.h"

enum { GUARD = 512, PLAIN = 65536 };

static const char *const engines[] = {"zlib", "isa-l"};
enum { ENGINES = sizeof engines / sizeof engines[0] };

/* Made once; NULL when it is not built in. */
static struct deflate *deflate_by(size_t engine)
{
    static struct deflate made[ENGINES];
    const struct deflate_engine *e = deflate_engine_named(engines[engine]);
    if (e && !made[engine].engine)
        FUZZ_MUST(deflate_init(&made[engine], e) == ERR_OK);
    return e ? &made[engine] : NULL;
}

/* The blocks alone, or with whole the stream with its header and check sum. */
static bool unpack(size_t engine, bool whole, struct slice in, uint8_t *plain, size_t size)
{
    static const uint8_t untouched[GUARD];
    struct deflate *d = deflate_by(engine);
    if (!d)
        return false;
    memset(plain + size, 0, GUARD);
    bool good = whole ? deflate_unpack(d, in.p, in.n, plain, size)
                      : d->engine->unpack(d->state, in.p, in.n, plain, size);
    FUZZ_MUST(memcmp(plain + size, untouched, GUARD) == 0);
    return good;
}

static void check_unpack(struct slice in, bool whole, size_t size)
{
    static uint8_t plain[ENGINES][PLAIN + GUARD];
    bool by_one = unpack(0, whole, in, plain[0], size);
    bool by_other = unpack(1, whole, in, plain[1], size);
    FUZZ_MUST(!by_one || !by_other || memcmp(plain[0], plain[1], size) == 0);
}

static void check_round(size_t engine, struct slice plain)
{
    static uint8_t packed[PLAIN + 1024], again[PLAIN + GUARD];
    struct deflate *d = deflate_by(engine);
    if (!d)
        return;
    size_t n = deflate_pack(d, plain.p, plain.n, packed, plain.n + 1024);
    FUZZ_MUST(n > 0 && n <= plain.n + 1024);
    for (size_t i = 0; i < ENGINES; i++)
        if (deflate_by(i))
            FUZZ_MUST(unpack(i, true, slice_of(packed, n), again, plain.n) &&
                      memcmp(again, plain.p, plain.n) == 0);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (n < 3 || n > PLAIN)
        return;
    size_t size = (size_t)data[0] << 8 | data[1];
    uint8_t *copy = fuzz_copy(data + 2, n - 2);
    struct slice in = slice_of(copy, n - 2);
    check_unpack(in, false, size);
    check_unpack(in, true, size);
    for (size_t i = 0; i < ENGINES; i++)
        check_round(i, in);
    free(copy);
}

void fuzz_seeds(void)
{
    static uint8_t plain[3000];
    uint8_t seed[4096] = {sizeof plain >> 8, sizeof plain & 0xff};
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i % 61 * (i % 7));
    for (size_t i = 0; i < ENGINES; i++) {
        struct deflate *d = deflate_by(i);
        if (!d)
            continue;
        size_t n = deflate_pack(d, plain, sizeof plain, seed + 2, sizeof seed - 2);
        FUZZ_MUST(n > 0);
        fuzz_seed(seed, n + 2);
        n = d->engine->pack(d->state, plain, sizeof plain, seed + 2, sizeof seed - 2);
        FUZZ_MUST(n > 0);
        fuzz_seed(seed, n + 2);
    }
}
