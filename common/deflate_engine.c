/* SPDX-License-Identifier: ISC */
/* The two ways to compress: zlib's, and ISA-L's, which is several times faster. Both at level 1, both
 * as bare blocks (RFC 1951). */
#include "deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LEVEL = 1, WINDOW_LOG2 = 15 };

struct zlib_state {
    z_stream out, in;
};

static void zlib_close(void *state)
{
    struct zlib_state *s = state;
    (void)deflateEnd(&s->out);
    (void)inflateEnd(&s->in);
    free(s);
}

static void *zlib_open(void)
{
    struct zlib_state *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (deflateInit2(&s->out, LEVEL, Z_DEFLATED, -WINDOW_LOG2, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
        inflateInit2(&s->in, -WINDOW_LOG2) == Z_OK)
        return s;
    zlib_close(s); /* ending what was not begun does nothing */
    return NULL;
}

static size_t zlib_pack(void *state, const uint8_t *plain, size_t n, uint8_t *out, size_t cap)
{
    z_stream *z = &((struct zlib_state *)state)->out;
    if (deflateReset(z) != Z_OK)
        return 0;
    z->next_in = (Bytef *)plain;
    z->avail_in = (uInt)n;
    z->next_out = out;
    z->avail_out = (uInt)cap;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? z->total_out : 0;
}

static bool zlib_unpack(void *state, const uint8_t *in, size_t n, uint8_t *plain, size_t size)
{
    z_stream *z = &((struct zlib_state *)state)->in;
    if (inflateReset(z) != Z_OK)
        return false;
    z->next_in = (Bytef *)in;
    z->avail_in = (uInt)n;
    z->next_out = plain;
    z->avail_out = (uInt)size;
    return inflate(z, Z_FINISH) == Z_STREAM_END && z->avail_in == 0 && z->avail_out == 0;
}

static uint32_t zlib_adler(const uint8_t *data, size_t n)
{
    return (uint32_t)adler32_z(1, data, n);
}

static const struct deflate_engine engine_zlib = {"zlib",    8192,        zlib_open, zlib_close,
                                                  zlib_pack, zlib_unpack, zlib_adler};

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>

struct isal_state {
    struct isal_zstream out;
    struct inflate_state in;
    uint8_t level[ISAL_DEF_LVL1_DEFAULT];
};

static void *isal_open(void)
{
    return calloc(1, sizeof(struct isal_state));
}

static size_t isal_pack(void *state, const uint8_t *plain, size_t n, uint8_t *out, size_t cap)
{
    struct isal_state *s = state;
    struct isal_zstream *z = &s->out;
    isal_deflate_stateless_init(z);
    z->next_in = (uint8_t *)plain;
    z->avail_in = (uint32_t)n;
    z->next_out = out;
    z->avail_out = (uint32_t)cap;
    z->end_of_stream = 1;
    z->level = LEVEL;
    z->level_buf = s->level;
    z->level_buf_size = sizeof s->level;
    return isal_deflate_stateless(z) == COMP_OK && z->avail_in == 0 ? z->total_out : 0;
}

static bool isal_unpack(void *state, const uint8_t *in, size_t n, uint8_t *plain, size_t size)
{
    struct inflate_state *z = &((struct isal_state *)state)->in;
    isal_inflate_init(z);
    z->next_in = (uint8_t *)in;
    z->avail_in = (uint32_t)n;
    z->next_out = plain;
    z->avail_out = (uint32_t)size;
    return isal_inflate_stateless(z) == ISAL_DECOMP_OK && z->block_state == ISAL_BLOCK_FINISH &&
           z->avail_in == 0 && z->avail_out == 0;
}

static uint32_t isal_adler(const uint8_t *data, size_t n)
{
    return isal_adler32(1, data, n);
}

static const struct deflate_engine engine_isal = {"isa-l",   1024,        isal_open, free,
                                                  isal_pack, isal_unpack, isal_adler};
#endif

const struct deflate_engine *deflate_engine(void)
{
#ifdef HAVE_ISAL
    return &engine_isal;
#else
    return &engine_zlib;
#endif
}

const struct deflate_engine *deflate_engine_named(const char *name)
{
#ifdef HAVE_ISAL
    if (strcmp(name, engine_isal.name) == 0)
        return &engine_isal;
#endif
    return strcmp(name, engine_zlib.name) == 0 ? &engine_zlib : NULL;
}
