/* SPDX-License-Identifier: ISC */
/* Bytes from outside as characters, JSON strings, sizes and hex. */
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void characters_and_what_is_none(void **unused)
{
    static const struct {
        const char *bytes;
        size_t n, length;
        uint32_t point;
    } table[] = {{"a", 1, 1, 'a'},
                 {"\xc3\xa9", 2, 2, 0xe9},
                 {"\xe2\x82\xac", 3, 3, 0x20ac},
                 {"\xf0\x9f\x93\xa6", 4, 4, 0x1f4e6},
                 {"\xc3", 1, 0, 0xc3},         /* cut */
                 {"\xa9", 1, 0, 0xa9},         /* no beginning */
                 {"\xc0\x80", 2, 0, 0xc0},     /* overlong NUL */
                 {"\xe0\x80\x80", 3, 0, 0xe0}, /* overlong */
                 {"\xed\xa0\x80", 3, 0, 0xed}, /* surrogate */
                 {"\xf4\x90\x80\x80", 4, 0, 0xf4},
                 {"\xff", 1, 0, 0xff}};
    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t point = 0;
        size_t n = text_char((const uint8_t *)table[i].bytes, table[i].n, &point);
        assert_int_equal(n, table[i].length);
        assert_int_equal(point, table[i].point);
    }
}

static void what_may_be_shown(void **unused)
{
    static const uint32_t hidden[] = {0,      7,      0x1b,   0x1f,   0x7f,   0x80,
                                      0x9b,   0x9f,   0x61c,  0x200e, 0x200f, 0x2028,
                                      0x2029, 0x202a, 0x202e, 0x2066, 0x2069};
    static const uint32_t shown[] = {' ', '~', '\\', 0xa0, 0xe9, 0x20ac, 0x1f4e6};
    (void)unused;
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        assert_false(text_visible(hidden[i]));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        assert_true(text_visible(shown[i]));
}

static void json(const char *in, size_t n, const char *want)
{
    struct buf b;
    buf_init(&b, 4096);
    text_json(&b, slice_of(in, n));
    assert_false(b.bad);
    assert_int_equal(b.len, strlen(want));
    assert_memory_equal(b.data, want, b.len);
    buf_release(&b);
}

static void json_strings_can_hold_anything(void **unused)
{
    (void)unused;
    json("", 0, "\"\"");
    json("plain", 5, "\"plain\"");
    json("\"\\", 2, "\"\\\"\\\\\"");
    json("a\nb\0c", 5, "\"a\\u000ab\\u0000c\"");
    json("\x1b[2J", 4, "\"\\u001b[2J\"");
    json("\xc3\xa9", 2, "\"\xc3\xa9\"");
    json("\xff\xfe", 2, "\"\\u00ff\\u00fe\"");
    json("\xe2\x80\xae", 3, "\"\\u202e\"");
}

static void a_json_string_over_its_bound_is_bad(void **unused)
{
    struct buf b;
    (void)unused;
    buf_init(&b, 4);
    text_json(&b, slice_str("longer"));
    assert_true(b.bad);
    buf_release(&b);
}

static void sizes_for_people(void **unused)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } table[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1536, "1.5 KiB"},
                 {1048575, "1.0 MiB"},
                 {UINT64_C(1) << 30, "1.0 GiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[TEXT_SIZE];
        text_size(table[i].bytes, text);
        assert_string_equal(text, table[i].text);
    }
}

static void hex(void **unused)
{
    char out[9];
    (void)unused;
    text_hex((const uint8_t *)"\x00\x0f\xf0\xff", 4, out);
    assert_string_equal(out, "000ff0ff");
    text_hex(NULL, 0, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_and_what_is_none),
        cmocka_unit_test(what_may_be_shown),
        cmocka_unit_test(json_strings_can_hold_anything),
        cmocka_unit_test(a_json_string_over_its_bound_is_bad),
        cmocka_unit_test(sizes_for_people),
        cmocka_unit_test(hex),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
