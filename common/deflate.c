/* SPDX-License-Identifier: ISC */
#include "deflate.h"

#include "log.h"
#include "wire.h"
#include <string.h>

enum {
    CMF = 0x78, /* deflate with a window of 32 KiB */
    FLG = 0x01, /* fastest algorithm, no dictionary; makes the header a multiple of 31 */
    FLG_DICT = 0x20,
    METHOD = 8,
    WINDOW_MAX = 7, /* log2 less 8 */

    SAMPLES = 16,    /* places of a piece that are looked at */
    SAMPLE = 256,    /* bytes at each, at most */
    WORTH_MIN = 256, /* shorter pieces say too little */
};

enum err deflate_init(struct deflate *d, const struct deflate_engine *engine)
{
    *d = (struct deflate){engine, engine->open()};
    return d->state ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for compression");
}

void deflate_release(struct deflate *d)
{
    if (d->state)
        d->engine->close(d->state);
    *d = (struct deflate){0};
}

size_t deflate_pack(struct deflate *d, const uint8_t *plain, size_t n, uint8_t *out, size_t cap)
{
    if (n > DEFLATE_MAX || cap <= DEFLATE_FRAME)
        return 0;
    size_t blocks = d->engine->pack(d->state, plain, n, out + 2, cap - DEFLATE_FRAME);
    if (blocks == 0)
        return 0;
    out[0] = CMF;
    out[1] = FLG;
    wire_store_u32(out + 2 + blocks, d->engine->adler(plain, n));
    return blocks + DEFLATE_FRAME;
}

static bool header_ok(const uint8_t head[static 2])
{
    return (head[0] & 0x0f) == METHOD && head[0] >> 4 <= WINDOW_MAX &&
           (head[0] << 8 | head[1]) % 31 == 0 && !(head[1] & FLG_DICT);
}

bool deflate_unpack(struct deflate *d, const uint8_t *stream, size_t n, uint8_t *plain, size_t size)
{
    return n > DEFLATE_FRAME && n <= 2 * DEFLATE_MAX && size <= DEFLATE_MAX && header_ok(stream) &&
           d->engine->unpack(d->state, stream + 2, n - DEFLATE_FRAME, plain, size) &&
           wire_load_u32(stream + n - 4) == d->engine->adler(plain, size);
}

/* Of two bytes drawn from n that are spread evenly, one pair in 256 is equal: a collision entropy of 8
 * bits. At half a bit less it is 1.41 times as many. */
static bool uneven(const uint32_t count[static 256], size_t n)
{
    uint64_t pairs = 0;
    for (size_t i = 0; i < 256; i++)
        pairs += (uint64_t)count[i] * count[i] - count[i];
    return pairs * 256 * 100 > (uint64_t)n * (n - 1) * 141;
}

bool deflate_worth(const uint8_t *plain, size_t n)
{
    /* Four tables, since adding to one entry again and again would wait for itself. */
    uint16_t part[4][256] = {{0}};
    uint32_t count[256];
    size_t step = n / SAMPLES, size = step < SAMPLE ? step & ~(size_t)3 : SAMPLE;
    if (n < WORTH_MIN)
        return false;
    for (size_t i = 0; i < SAMPLES; i++) {
        const uint8_t *p = plain + i * step;
        for (size_t k = 0; k < size; k += 4) {
            part[0][p[k]]++;
            part[1][p[k + 1]]++;
            part[2][p[k + 2]]++;
            part[3][p[k + 3]]++;
        }
    }
    for (size_t i = 0; i < 256; i++)
        count[i] = (uint32_t)part[0][i] + part[1][i] + part[2][i] + part[3][i];
    return uneven(count, SAMPLES * size);
}
