/* SPDX-License-Identifier: ISC */
/* Decompression by every engine, for libFuzzer: nothing is written beyond what was asked for, and two
 * engines that take the same blocks get the same content. The first two bytes of an input say how
 * much it is to give. */
#include "deflate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { GUARD = 512 };

static bool unpack(const char *name, const uint8_t *in, size_t n, uint8_t *plain, size_t size)
{
    static const uint8_t untouched[GUARD];
    const struct deflate_engine *e = deflate_engine_named(name);
    void *state = e ? e->open() : NULL;
    if (!state)
        return false;
    memset(plain + size, 0, GUARD);
    bool good = e->unpack(state, in, n, plain, size);
    if (memcmp(plain + size, untouched, GUARD) != 0)
        abort();
    e->close(state);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t one[65536 + GUARD], other[65536 + GUARD];
    if (n < 3)
        return 0;
    size_t size = (size_t)data[0] << 8 | data[1];
    uint8_t *blocks = malloc(n - 2); /* of that length alone, so that reading beyond it is seen */
    if (!blocks)
        return 0;
    memcpy(blocks, data + 2, n - 2);
    bool by_one = unpack("zlib", blocks, n - 2, one, size);
    bool by_other = unpack("isa-l", blocks, n - 2, other, size);
    if (by_one && by_other && memcmp(one, other, size) != 0)
        abort();
    free(blocks);
    return 0;
}
