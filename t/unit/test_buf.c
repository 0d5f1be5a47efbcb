/* SPDX-License-Identifier: ISC */
/* The bounded buffer: its bound, its badness, what is dropped. */
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void an_empty_buffer_owns_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_false(b.bad);
    buf_release(&b);
    buf_release(&b);
    buf_release(NULL);
    assert_int_equal(b.max, 10);
}

static void appends_keep_their_order(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100000);
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t two[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        buf_put(&b, two, 2);
    }
    assert_false(b.bad);
    assert_int_equal(b.len, 100000);
    for (unsigned i = 0; i < 50000; i++)
        assert_int_equal(b.data[2 * i] << 8 | b.data[2 * i + 1], i & 0xffff);
    assert_true(b.cap <= b.max);
    buf_release(&b);
}

static void the_bound_holds_and_badness_stays(void **state)
{
    (void)state;
    static const size_t bounds[] = {0, 1, 2, 255, 256, 257, 1000, 4096};
    uint8_t bytes[4097] = {0};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct buf b;
        buf_init(&b, bounds[i]);
        buf_put(&b, bytes, bounds[i]);
        assert_false(b.bad);
        assert_int_equal(b.len, bounds[i]);
        buf_put(&b, bytes, 1);
        assert_true(b.bad);
        assert_int_equal(b.len, bounds[i]);
        buf_consume(&b, bounds[i]);
        buf_put(&b, bytes, 0);
        assert_true(b.bad);
        assert_null(buf_room(&b, 0));
        buf_clear(&b);
        buf_put(&b, bytes, bounds[i] + 1);
        assert_true(b.bad);
        assert_int_equal(b.len, 0);
        buf_release(&b);
        assert_false(b.bad);
    }
}

static void lengths_do_not_wrap(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_put(&b, "abc", 3);
    assert_null(buf_room(&b, SIZE_MAX));
    assert_true(b.bad);
    buf_clear(&b);
    buf_put(&b, "abc", 3);
    assert_null(buf_room(&b, SIZE_MAX - 2));
    buf_release(&b);
}

static void room_is_only_taken_when_used(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    uint8_t *to = buf_room(&b, 8);
    assert_non_null(to);
    assert_int_equal(b.len, 0);
    memcpy(to, "12345678", 8);
    b.len += 5;
    assert_memory_equal(b.data, "12345", 5);
    assert_non_null(buf_room(&b, 3));
    assert_null(buf_room(&b, 4));
    buf_release(&b);
}

static void consuming_drops_from_the_front(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    buf_consume(&b, 0);
    buf_put(&b, "12345678", 8);
    buf_consume(&b, 3);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "45678", 5);
    buf_put(&b, "abc", 3);
    assert_memory_equal(b.data, "45678abc", 8);
    buf_consume(&b, 8);
    assert_int_equal(b.len, 0);
    assert_false(b.bad);
    buf_release(&b);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    buf_put(&b, "x", 1);
    uint8_t *before = b.data;
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_ptr_equal(b.data, before);
    buf_release(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_owns_nothing),
        cmocka_unit_test(appends_keep_their_order),
        cmocka_unit_test(the_bound_holds_and_badness_stays),
        cmocka_unit_test(lengths_do_not_wrap),
        cmocka_unit_test(room_is_only_taken_when_used),
        cmocka_unit_test(consuming_drops_from_the_front),
        cmocka_unit_test(clearing_keeps_the_memory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
