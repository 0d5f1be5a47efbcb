/* SPDX-License-Identifier: ISC */
#include "msg_fuzz.h"

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
        struct msg_##name m;                                                                       \
        struct buf b;                                                                              \
        buf_init(&b, MSG_FRAME_MAX);                                                               \
        bool good = msg_get_##name(body, n, &m);                                                   \
        if (good) {                                                                                \
            (void)msg_put_##name(&b, &m);                                                          \
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
#include "msg.def"
#undef MSG
#undef U8
#undef U16
#undef U32
#undef U64
#undef HASH
#undef STR
#undef TAIL

/* One function a row: every field has a value that shows where it stands. */
static const uint8_t filler[] = "/a/b c\xc3\xa9.bin";
#undef END
#define END }
#define MSG(name, NAME, number)                                                                    \
    static void fill_##name(struct msg_##name *m)                                                  \
    {                                                                                              \
        memset(m, 0, sizeof *m);
#define U8(f)        m->f = 1;
#define U16(f)       m->f = 0x0102;
#define U32(f)       m->f = 0x01020304;
#define U64(f)       m->f = UINT64_C(0x0102030405060708);
#define HASH(f)      memset(m->f, 0xaa, sizeof m->f);
#define STR(f, max)  m->f = slice_of(filler, sizeof filler - 1);
#define TAIL(f, max) m->f = slice_of(filler, sizeof filler - 1);
#include "msg.def"

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
    static bool seed_##name(struct buf *out)                                                       \
    {                                                                                              \
        struct msg_##name m;                                                                       \
        fill_##name(&m);                                                                           \
        wire_put_u8(out, MSG_##NAME);                                                              \
        return msg_put_##name(out, &m);                                                            \
    }
#include "msg.def"
#undef MSG

static const struct row {
    uint8_t type;
    bool (*check)(const uint8_t *body, size_t n);
    bool (*seed)(struct buf *out);
} rows[] = {
#define MSG(name, NAME, number) {number, check_##name, seed_##name},
#include "msg.def"
#undef MSG
};

enum { ROWS = sizeof rows / sizeof rows[0] };

bool msg_fuzz_one(const uint8_t *data, size_t n)
{
    for (size_t i = 0; n > 0 && i < ROWS; i++)
        if (rows[i].type == data[0])
            return rows[i].check(data + 1, n - 1);
    return false;
}

bool msg_fuzz_seed(size_t i, struct buf *out)
{
    return i < ROWS && rows[i].seed(out);
}
