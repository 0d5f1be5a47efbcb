/* SPDX-License-Identifier: ISC */
/* Every message of the table, by the table: there and back, cut short, too long, over its bounds.
 * A row added to msg.def is tested without a line here. */
#include "msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = MSG_FRAME_MAX + 16 };

static uint8_t *bytes; /* what strings and tails point into: MOST bytes, no two rows alike */
static uint64_t counter;
static bool empty;    /* strings and tails are filled with nothing, else to their bounds */
static int over = -1; /* counted down: the string or tail that is one byte longer than allowed */

static uint64_t number(void)
{
    return counter = counter * UINT64_C(6364136223846793005) + 1442695040888963407;
}

static struct slice some(size_t max)
{
    size_t n = over == 0 ? max + 1 : empty ? 0 : max;
    if (over >= 0)
        over--;
    return slice_of(bytes + number() % 16, n);
}

static void number_hash(uint8_t *hash)
{
    for (size_t i = 0; i < WIRE_HASH; i++)
        hash[i] = (uint8_t)(number() >> 56);
}

static void same_slice(struct slice a, struct slice b)
{
    assert_int_equal(a.n, b.n);
    assert_true(slice_eq(a, b));
}

/* A message as the table says it, behind functions that forget its type. */
struct row {
    const char *name;
    uint8_t type;
    size_t size;
    void (*fill)(void *m);
    void (*same)(const void *a, const void *b);
    void (*raw)(struct buf *b, const void *m); /* encodes strings whatever their length */
    bool (*put)(struct buf *b, const void *m);
    bool (*get)(const void *p, size_t n, void *m);
    int strings; /* how many STR and TAIL; HAS_TAIL is added for a TAIL */
};

enum { HAS_TAIL = 256 };

/* ---- the table, read once for each function ---- */

#define MSG(name, NAME, nr)                                                                        \
    static void fill_##name(void *p)                                                               \
    {                                                                                              \
        struct msg_##name *m = p;
#define U8(f)        m->f = (uint8_t)(number() >> 56);
#define U16(f)       m->f = (uint16_t)(number() >> 48);
#define U32(f)       m->f = (uint32_t)(number() >> 32);
#define U64(f)       m->f = number();
#define HASH(f)      number_hash(m->f);
#define STR(f, max)  m->f = some(max);
#define TAIL(f, max) m->f = some(max);
#define END          }
#include "msg.def"

#include "codec_undef.h"

#define MSG(name, NAME, nr)                                                                        \
    static void same_##name(const void *p, const void *q)                                          \
    {                                                                                              \
        const struct msg_##name *a = p, *b = q;
#define U8(f)        assert_int_equal(a->f, b->f);
#define U16(f)       assert_int_equal(a->f, b->f);
#define U32(f)       assert_int_equal(a->f, b->f);
#define U64(f)       assert_int_equal(a->f, b->f);
#define HASH(f)      assert_memory_equal(a->f, b->f, WIRE_HASH);
#define STR(f, max)  same_slice(a->f, b->f);
#define TAIL(f, max) same_slice(a->f, b->f);
#define END          }
#include "msg.def"

#include "codec_undef.h"

#define MSG(name, NAME, nr)                                                                        \
    static void raw_##name(struct buf *b, const void *p)                                           \
    {                                                                                              \
        const struct msg_##name *m = p;
#define U8(f)        wire_put_u8(b, m->f);
#define U16(f)       wire_put_u16(b, m->f);
#define U32(f)       wire_put_u32(b, m->f);
#define U64(f)       wire_put_u64(b, m->f);
#define HASH(f)      wire_put_hash(b, m->f);
#define STR(f, max)  wire_put_str(b, m->f, UINT16_MAX);
#define TAIL(f, max) wire_put_tail(b, m->f, SIZE_MAX);
#define END          }
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
#define MSG(name, NAME, nr)                                                                        \
    static bool put_##name(struct buf *b, const void *m)                                           \
    {                                                                                              \
        return msg_put_##name(b, m);                                                               \
    }                                                                                              \
    static bool get_##name(const void *p, size_t n, void *m)                                       \
    {                                                                                              \
        return msg_get_##name(p, n, m);                                                            \
    }
#include "msg.def"
#undef MSG
#undef STR
#undef TAIL
#undef END

static const struct row rows[] = {
#define MSG(name, NAME, nr)                                                                        \
    {                                                                                              \
#NAME, nr, sizeof(struct msg_##name), fill_##name, same_##name, raw_##name, put_##name,    \
            get_##name, 0
#define STR(f, max)  +1
#define TAIL(f, max) +1 + HAS_TAIL
#define END                                                                                        \
    }                                                                                              \
    ,
#include "msg.def"
#undef MSG
#undef STR
#undef TAIL
#undef END
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* ---- tests ---- */

/* Every struct of the table fits, suitably aligned. */
static uint64_t first[64], second[64];

static bool get_from_copy(const struct row *r, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1); /* of its very size: a sanitizer sees a byte read too far */
    assert_non_null(copy);
    memcpy(copy, p, n);
    bool ok = r->get(copy, n, second);
    free(copy);
    return ok;
}

static void encode(const struct row *r, struct buf *b)
{
    assert_true(r->size <= sizeof first);
    r->fill(first);
    buf_init(b, MOST);
    assert_true(r->put(b, first));
}

static void there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        for (int round = 0; round < 4; round++) {
            struct buf b, again;
            empty = round % 2;
            encode(&rows[i], &b);
            memset(second, 0xa5, sizeof second);
            assert_true(rows[i].get(b.data, b.len, second));
            rows[i].same(first, second);
            buf_init(&again, MOST);
            assert_true(rows[i].put(&again, second));
            assert_int_equal(again.len, b.len);
            assert_memory_equal(again.data, b.data, b.len);
            buf_release(&again);
            buf_release(&b);
        }
    empty = false;
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        for (int round = 0; round < 2; round++) {
            struct buf b;
            /* With a tail only its beginning has to be there, so nothing but that is cut. */
            empty = round || rows[i].strings >= HAS_TAIL;
            encode(&rows[i], &b);
            for (size_t n = 0; n < b.len; n++)
                if (get_from_copy(&rows[i], b.data, n))
                    fail_msg("%s of %zu bytes is taken at %zu", rows[i].name, b.len, n);
            assert_true(get_from_copy(&rows[i], b.data, b.len));
            buf_release(&b);
        }
    empty = false;
}

static void an_extra_byte_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        for (int round = 0; round < 2; round++) {
            struct buf b;
            empty = round;
            encode(&rows[i], &b);
            buf_put(&b, "", 1);
            assert_false(b.bad);
            /* An empty tail takes the byte; a full one can't. */
            bool taken = empty && rows[i].strings >= HAS_TAIL;
            assert_int_equal(get_from_copy(&rows[i], b.data, b.len), taken);
            buf_release(&b);
        }
    empty = false;
}

static void bounds_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        for (int k = 0; k < rows[i].strings % HAS_TAIL; k++) {
            struct buf b;
            over = k;
            rows[i].fill(first);
            over = -1;
            buf_init(&b, MOST);
            rows[i].raw(&b, first);
            assert_false(b.bad);
            if (get_from_copy(&rows[i], b.data, b.len))
                fail_msg("%s: string %d may be longer than its bound", rows[i].name, k);
            buf_clear(&b);
            if (rows[i].put(&b, first))
                fail_msg("%s: string %d is sent longer than its bound", rows[i].name, k);
            buf_release(&b);
        }
}

static void a_full_buffer_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        struct buf b, small;
        encode(&rows[i], &b);
        buf_init(&small, b.len - 1);
        assert_false(rows[i].put(&small, first));
        buf_release(&small);
        buf_init(&small, b.len);
        assert_true(rows[i].put(&small, first));
        buf_release(&small);
        buf_release(&b);
    }
}

static void names_and_numbers_are_one_to_one(void **state)
{
    (void)state;
    bool used[256] = {false};
    for (size_t i = 0; i < N_ROWS; i++) {
        assert_string_equal(msg_name(rows[i].type), rows[i].name);
        assert_false(used[rows[i].type]);
        used[rows[i].type] = true;
    }
    for (unsigned type = 0; type < 256; type++)
        if (!used[type])
            assert_string_equal(msg_name((uint8_t)type), "?");
}

static void frames_hold_every_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        struct buf b;
        encode(&rows[i], &b);
        assert_true(b.len + 1 <= MSG_FRAME_MAX);
        bool early = rows[i].type == MSG_WELCOME || rows[i].type == MSG_REFUSED ||
                     rows[i].type == MSG_HELLO || rows[i].type == MSG_ERROR;
        if (early)
            assert_true(b.len + 1 <= MSG_FRAME_MAX_EARLY);
        buf_release(&b);
    }
}

static int set_up(void **state)
{
    (void)state;
    over = -1;
    bytes = malloc(MOST + 16);
    if (!bytes)
        return -1;
    for (size_t i = 0; i < MOST + 16; i++)
        bytes[i] = (uint8_t)(number() >> 56);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(an_extra_byte_is_refused),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(names_and_numbers_are_one_to_one),
        cmocka_unit_test(frames_hold_every_message),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
