/* SPDX-License-Identifier: ISC */
/* The codec: bytes on the wire, every truncation, left-over bytes, caps. */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t hash[WIRE_HASH] = {1, 2, 3, [31] = 32};

/* One of each field, tail last. */
static const uint8_t sample[] = {
    0x01,                                                                   /* u8 */
    0x02, 0x03,                                                             /* u16 */
    0x04, 0x05, 0x06, 0x07,                                                 /* u32 */
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,                         /* u64 */
    1,    2,    3,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 0, /* hash */
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0, 0, 0, 32,
    0x00, 0x03, 'a',  'b',  'c', /* str */
    't',  'a',  'i',  'l',
};

enum { FIXED = sizeof sample - 4 };

static void put_sample(struct buf *b)
{
    wire_put_u8(b, 0x01);
    wire_put_u16(b, 0x0203);
    wire_put_u32(b, 0x04050607);
    wire_put_u64(b, UINT64_C(0x08090a0b0c0d0e0f));
    wire_put_hash(b, hash);
    wire_put_str(b, slice_str("abc"), 3);
    wire_put_tail(b, slice_str("tail"), 4);
}

static void numbers_are_in_network_order(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, sizeof sample);
    put_sample(&b);
    assert_false(b.bad);
    assert_int_equal(b.len, sizeof sample);
    assert_memory_equal(b.data, sample, sizeof sample);
    buf_release(&b);
}

static void fields_come_back(void **state)
{
    (void)state;
    uint8_t got[WIRE_HASH];
    struct wire_rd r = wire_read(sample, sizeof sample);
    assert_int_equal(wire_get_u8(&r), 0x01);
    assert_int_equal(wire_get_u16(&r), 0x0203);
    assert_int_equal(wire_get_u32(&r), 0x04050607);
    assert_int_equal(wire_get_u64(&r), UINT64_C(0x08090a0b0c0d0e0f));
    wire_get_hash(&r, got);
    assert_memory_equal(got, hash, WIRE_HASH);
    struct slice s = wire_get_str(&r, 3);
    assert_true(slice_eq(s, slice_str("abc")));
    assert_ptr_equal(s.p, sample + FIXED - 3); /* borrowed */
    assert_false(wire_done(&r));
    assert_true(slice_eq(wire_get_tail(&r, 4), slice_str("tail")));
    assert_true(wire_done(&r));
}

static bool take_sample(const uint8_t *p, size_t n, bool tail)
{
    uint8_t got[WIRE_HASH];
    struct wire_rd r = wire_read(p, n);
    (void)wire_get_u8(&r);
    (void)wire_get_u16(&r);
    (void)wire_get_u32(&r);
    (void)wire_get_u64(&r);
    wire_get_hash(&r, got);
    (void)wire_get_str(&r, 3);
    if (tail)
        (void)wire_get_tail(&r, 4);
    return wire_done(&r);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n <= sizeof sample; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, sample, n);
        assert_int_equal(take_sample(copy, n, false), n == FIXED);
        assert_int_equal(take_sample(copy, n, true), n >= FIXED);
        free(copy);
    }
}

static void badness_stays_and_gives_nothing(void **state)
{
    (void)state;
    uint8_t got[WIRE_HASH];
    struct wire_rd r = wire_read("\1\2\3", 3);
    assert_int_equal(wire_get_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(wire_get_u8(&r), 0); /* there would be one */
    assert_int_equal(wire_get_u16(&r), 0);
    assert_int_equal(wire_get_u64(&r), 0);
    memset(got, 1, sizeof got);
    wire_get_hash(&r, got);
    assert_int_equal(got[0] | got[31], 0);
    assert_int_equal(wire_get_str(&r, 100).n, 0);
    assert_int_equal(wire_get_tail(&r, 100).n, 0);
    assert_null(wire_get_tail(&r, 100).p);
    assert_false(wire_done(&r));
}

static void strings_are_capped(void **state)
{
    (void)state;
    struct wire_rd r = wire_read("\0\3abc", 5);
    assert_int_equal(wire_get_str(&r, 2).n, 0);
    assert_true(r.bad);
    r = wire_read("\0\4abc", 5); /* says more than there is */
    assert_int_equal(wire_get_str(&r, 100).n, 0);
    assert_true(r.bad);
    r = wire_read("\xff\xff", 2);
    assert_int_equal(wire_get_str(&r, 100000).n, 0);
    assert_true(r.bad);
    r = wire_read("\0\0", 2);
    assert_int_equal(wire_get_str(&r, 0).n, 0);
    assert_true(wire_done(&r));
    r = wire_read("abc", 3);
    assert_int_equal(wire_get_tail(&r, 2).n, 0);
    assert_true(r.bad);
}

static void strings_too_long_to_send_are_bad(void **state)
{
    (void)state;
    static const uint8_t zeros[UINT16_MAX + 1];
    struct buf b;
    buf_init(&b, 100000);
    wire_put_str(&b, slice_of(zeros, 4), 3);
    assert_true(b.bad);
    buf_clear(&b);
    wire_put_str(&b, slice_of(zeros, UINT16_MAX + 1), SIZE_MAX);
    assert_true(b.bad);
    buf_clear(&b);
    wire_put_str(&b, slice_of(zeros, UINT16_MAX), SIZE_MAX);
    assert_false(b.bad);
    assert_int_equal(b.len, 2 + UINT16_MAX);
    buf_release(&b);
}

static void a_full_buffer_is_told_at_the_end(void **state)
{
    (void)state;
    for (size_t max = 0; max <= sizeof sample; max++) {
        struct buf b;
        buf_init(&b, max);
        put_sample(&b);
        assert_int_equal(b.bad, max < sizeof sample);
        assert_true(b.len <= max);
        buf_release(&b);
    }
}

static void nothing_to_read_is_no_crash(void **state)
{
    (void)state;
    struct wire_rd r = wire_read(NULL, 0);
    assert_true(wire_done(&r));
    assert_int_equal(wire_get_tail(&r, 10).n, 0);
    assert_true(wire_done(&r));
    assert_int_equal(wire_get_u8(&r), 0);
    assert_false(wire_done(&r));
    struct buf b;
    buf_init(&b, 10);
    wire_put_tail(&b, slice_str(NULL), 0);
    wire_put_str(&b, slice_str(NULL), 0);
    assert_int_equal(b.len, 2);
    buf_release(&b);
}

static void fixed_places(void **state)
{
    (void)state;
    uint8_t four[4];
    wire_store_u32(four, 0xf1020304);
    assert_memory_equal(four, "\xf1\2\3\4", 4);
    assert_int_equal(wire_load_u32(four), 0xf1020304);
}

static void slices_become_c_strings(void **state)
{
    (void)state;
    char dst[4];
    assert_true(slice_copy(slice_str("abc"), dst, sizeof dst));
    assert_string_equal(dst, "abc");
    assert_false(slice_copy(slice_str("abcd"), dst, sizeof dst));
    assert_false(slice_copy(slice_of("a\0b", 3), dst, sizeof dst));
    assert_true(slice_copy(slice_of(NULL, 0), dst, sizeof dst));
    assert_string_equal(dst, "");
    assert_false(slice_copy(slice_of(NULL, 0), dst, 0));
}

static void slices_compare_by_content(void **state)
{
    (void)state;
    assert_true(slice_eq(slice_str("ab"), slice_of("abc", 2)));
    assert_false(slice_eq(slice_str("ab"), slice_str("abc")));
    assert_false(slice_eq(slice_str("ab"), slice_str("ac")));
    assert_true(slice_eq(slice_str(NULL), slice_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_in_network_order),
        cmocka_unit_test(fields_come_back),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(badness_stays_and_gives_nothing),
        cmocka_unit_test(strings_are_capped),
        cmocka_unit_test(strings_too_long_to_send_are_bad),
        cmocka_unit_test(a_full_buffer_is_told_at_the_end),
        cmocka_unit_test(nothing_to_read_is_no_crash),
        cmocka_unit_test(fixed_places),
        cmocka_unit_test(slices_become_c_strings),
        cmocka_unit_test(slices_compare_by_content),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
