/* SPDX-License-Identifier: ISC */
/* Turns a table of messages (codec.h) into a fuzz target. No include guard: included once in a file, behind the table's
 * header, which has set CODEC_DEF and CODEC_NAME. It defines what msg_fuzz.h declares, under PREFIX_fuzz_one and
 * PREFIX_fuzz_seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same(const struct buf *b, const uint8_t *body, size_t n, const char *name)
{
    if (!b->bad && b->len == n && (n == 0 || memcmp(b->data, body, n) == 0))
        return true;
    fprintf(stderr, "%s: decoded, but encodes to other bytes\n", name);
    abort();
}

/* One function a row: decode, encode, compare. */
#define MSG(name, NAME, number)                                                                    \
    static bool check_##name(const uint8_t *body, size_t n)                                        \
    {                                                                                              \
        struct CODEC_NAME(name) m;                                                                 \
        struct buf b;                                                                              \
        buf_init(&b, n);                                                                           \
        bool good = CODEC_NAME(get_##name)(body, n, &m);                                           \
        if (good) {                                                                                \
            (void)CODEC_NAME(put_##name)(&b, &m);                                                  \
            (void)same(&b, body, n, #NAME);                                                        \
        }                                                                                          \
        buf_release(&b);                                                                           \
        return good;                                                                               \
    }
#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max)
#define END
#include CODEC_DEF

#include "codec_undef.h"

/* A number that shows where it stands, or the least or most there is. */
static uint64_t number_of(enum fuzz_size size, uint64_t marked)
{
    return size == FUZZ_LEAST ? 0 : size == FUZZ_MOST ? UINT64_MAX : marked;
}

static struct slice bytes_of(enum fuzz_size size, size_t max)
{
    static const uint8_t marked[] = "/a/b c\xc3\xa9.bin";
    static uint8_t most[1 << 20];
    if (size == FUZZ_LEAST)
        return slice_of(marked, 0);
    if (size == FUZZ_MARKED)
        return slice_of(marked, max < sizeof marked - 1 ? max : sizeof marked - 1);
    memset(most, 'm', sizeof most);
    return slice_of(most, max);
}

/* One function a row: every field has a value. */
#define MSG(name, NAME, number)                                                                    \
    static void fill_##name(struct CODEC_NAME(name) * m, enum fuzz_size size)                      \
    {                                                                                              \
        (void)size;                                                                                \
        memset(m, 0, sizeof *m);
#define U8(f)        m->f = (uint8_t)number_of(size, 1);
#define U16(f)       m->f = (uint16_t)number_of(size, 0x0102);
#define U32(f)       m->f = (uint32_t)number_of(size, 0x01020304);
#define U64(f)       m->f = number_of(size, UINT64_C(0x0102030405060708));
#define HASH(f)      memset(m->f, (int)(number_of(size, 0xaa) & 0xff), sizeof m->f);
#define STR(f, max)  m->f = bytes_of(size, max);
#define TAIL(f, max) m->f = bytes_of(size, max);
#define END          }
#include CODEC_DEF

#include "codec_undef.h"

#define U8(f)
#define U16(f)
#define U32(f)
#define U64(f)
#define HASH(f)
#define STR(f, max)
#define TAIL(f, max)
#define END

#define MSG(name, NAME, number)                                                                    \
    static bool seed_##name(enum fuzz_size size, struct buf *out)                                  \
    {                                                                                              \
        struct CODEC_NAME(name) m;                                                                 \
        fill_##name(&m, size);                                                                     \
        wire_put_u8(out, number);                                                                  \
        return CODEC_NAME(put_##name)(out, &m);                                                    \
    }
#include CODEC_DEF
#undef MSG

static const struct row {
    uint8_t type;
    bool (*check)(const uint8_t *body, size_t n);
    bool (*seed)(enum fuzz_size size, struct buf *out);
} rows[] = {
#define MSG(name, NAME, number) {number, check_##name, seed_##name},
#include CODEC_DEF
};

#include "codec_undef.h"

enum { ROWS = sizeof rows / sizeof rows[0] };

bool CODEC_NAME(fuzz_one)(const uint8_t *data, size_t n)
{
    for (size_t i = 0; n > 0 && i < ROWS; i++)
        if (rows[i].type == data[0])
            return rows[i].check(data + 1, n - 1);
    return false;
}

bool CODEC_NAME(fuzz_seed)(size_t i, enum fuzz_size size, struct buf *out)
{
    return i < ROWS && rows[i].seed(size, out);
}
