/* SPDX-License-Identifier: ISC */
/* Compression of a piece: both engines, each reading the other's; streams that are not what they should
 * be; what seems worth compressing. */
#include "deflate.h"

#include "wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

enum { CAP = 2 * DEFLATE_MAX };

static struct deflate engines[2];
static size_t n_engines;
static uint8_t plain[DEFLATE_MAX], stream[CAP], turned[CAP];
static uint8_t *back; /* DEFLATE_MAX bytes, behind them a page that nobody may touch */

/* ---- contents ---- */

static uint32_t seed;

static uint8_t random_byte(void)
{
    seed = seed * 1664525 + 1013904223;
    return (uint8_t)(seed >> 24);
}

static void fill_zeros(size_t n)
{
    memset(plain, 0, n);
}

static void fill_random(size_t n)
{
    seed = 1;
    for (size_t i = 0; i < n; i++)
        plain[i] = random_byte();
}

static void fill_text(size_t n)
{
    seed = 2;
    for (size_t at = 0; at < n;) {
        char line[120];
        int len = snprintf(line, sizeof line, "10.0.%u.%u GET /item/%u%u%u HTTP/1.1 200 %u\n",
                           random_byte(), random_byte(), random_byte(), random_byte(),
                           random_byte(), random_byte());
        size_t take = n - at < (size_t)len ? n - at : (size_t)len;
        memcpy(plain + at, line, take);
        at += take;
    }
}

static void fill_few(size_t n)
{
    seed = 3;
    for (size_t i = 0; i < n; i++)
        plain[i] = (uint8_t)("0123456789abcdef"[random_byte() & 15]);
}

static void fill_half(size_t n)
{
    fill_random(n);
    memset(plain + n / 2, 0, n - n / 2);
}

static void (*const fills[])(size_t n) = {fill_zeros, fill_random, fill_text, fill_few, fill_half};

/* The last n bytes before the page that ends the process. */
static uint8_t *room(size_t n)
{
    return back + DEFLATE_MAX - n;
}

static bool gives(struct deflate *d, const uint8_t *s, size_t n, size_t size)
{
    return deflate_unpack(d, s, n, room(size), size);
}

/* ---- round trips ---- */

static void each_engine_reads_what_each_wrote(void **unused)
{
    static const size_t sizes[] = {1,     2,     3,     7,     100,    255,     256,
                                   257,   4095,  4096,  16383, 16384,  16385,   32767,
                                   32768, 32769, 65535, 65536, 262144, 1048575, 1048576};
    (void)unused;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++)
            for (size_t w = 0; w < n_engines; w++) {
                size_t n = sizes[i];
                fills[f](n);
                size_t m = deflate_pack(&engines[w], plain, n, stream, CAP);
                assert_in_range(m, DEFLATE_FRAME + 1, n + n / 100 + 64);
                for (size_t r = 0; r < n_engines; r++) {
                    assert_true(gives(&engines[r], stream, m, n));
                    assert_memory_equal(room(n), plain, n);
                }
            }
}

static void every_small_size(void **unused)
{
    (void)unused;
    for (size_t n = 0; n <= 600; n++)
        for (size_t w = 0; w < n_engines; w++) {
            fill_text(n);
            size_t m = deflate_pack(&engines[w], plain, n, stream, CAP);
            assert_true(m > 0);
            for (size_t r = 0; r < n_engines; r++) {
                assert_true(gives(&engines[r], stream, m, n));
                assert_memory_equal(room(n), plain, n);
            }
        }
}

static void the_format_is_zlibs(void **unused)
{
    (void)unused;
    fill_text(100000);
    for (size_t w = 0; w < n_engines; w++) {
        uLongf n = 100000;
        size_t m = deflate_pack(&engines[w], plain, 100000, stream, CAP);
        assert_int_equal(uncompress(back, &n, stream, m), Z_OK);
        assert_int_equal(n, 100000);
        assert_memory_equal(back, plain, n);
    }
    for (int level = 0; level <= 9; level++)
        for (size_t r = 0; r < n_engines; r++) {
            uLongf m = CAP;
            assert_int_equal(compress2(stream, &m, plain, 100000, level), Z_OK);
            assert_true(gives(&engines[r], stream, m, 100000));
        }
}

static void what_does_not_fit_is_not_written(void **unused)
{
    (void)unused;
    for (size_t w = 0; w < n_engines; w++) {
        fill_text(50000);
        size_t m = deflate_pack(&engines[w], plain, 50000, stream, CAP);
        assert_int_equal(deflate_pack(&engines[w], plain, 50000, room(m + 16), m + 16), m);
        for (size_t cap = 0; cap < m; cap += cap < 64 || cap > m - 64 ? 1 : 61)
            assert_int_equal(deflate_pack(&engines[w], plain, 50000, room(cap), cap), 0);
        fill_random(DEFLATE_MAX);
        assert_int_equal(deflate_pack(&engines[w], plain, DEFLATE_MAX, room(1000000), 1000000), 0);
        fill_text(50000);
        assert_int_equal(deflate_pack(&engines[w], plain, 50000, turned, CAP), m);
        assert_memory_equal(turned, stream, m);
    }
}

/* ---- what must not be believed ---- */

static void streams_that_give_more_or_less(void **unused)
{
    (void)unused;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++)
        for (size_t w = 0; w < n_engines; w++) {
            fills[f](20000);
            size_t m = deflate_pack(&engines[w], plain, 20000, stream, CAP);
            for (size_t r = 0; r < n_engines; r++) {
                static const size_t wrong[] = {0,     1,     2,     258,   16384, 19742,
                                               19998, 19999, 20001, 20258, 32768, DEFLATE_MAX};
                for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
                    assert_false(gives(&engines[r], stream, m, wrong[i]));
                assert_true(gives(&engines[r], stream, m, 20000));
            }
        }
}

static void streams_cut_at_every_byte_or_longer(void **unused)
{
    (void)unused;
    for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++)
        for (size_t w = 0; w < n_engines; w++) {
            fills[f](900);
            size_t m = deflate_pack(&engines[w], plain, 900, stream, CAP);
            for (size_t r = 0; r < n_engines; r++) {
                for (size_t cut = 0; cut < m; cut++) {
                    uint8_t *end = room(0) - cut; /* so that reading beyond it ends the process */
                    memcpy(end, stream, cut);
                    assert_false(deflate_unpack(&engines[r], end, cut, turned, 900));
                }
                for (size_t more = 1; more < 20; more++) {
                    memcpy(turned, stream, m);
                    memset(turned + m, (int)more, more);
                    assert_false(gives(&engines[r], turned, m + more, 900));
                    memmove(turned + m + more - 4, turned + m - 4, 4); /* the check sum last */
                    assert_false(gives(&engines[r], turned, m + more, 900));
                }
            }
        }
}

static void streams_with_a_byte_turned(void **unused)
{
    (void)unused;
    fill_text(700);
    for (size_t w = 0; w < n_engines; w++) {
        size_t m = deflate_pack(&engines[w], plain, 700, stream, CAP);
        for (size_t r = 0; r < n_engines; r++)
            for (size_t at = 0; at < m; at++)
                for (int bit = 0; bit < 8; bit++) {
                    memcpy(turned, stream, m);
                    turned[at] ^= (uint8_t)(1 << bit);
                    /* Only the level in the header means nothing, but its check bits do. */
                    assert_false(gives(&engines[r], turned, m, 700) &&
                                 memcmp(room(700), plain, 700) != 0);
                    if (at < 2 || at >= m - 4)
                        assert_false(gives(&engines[r], turned, m, 700));
                }
    }
}

static void headers_that_are_not_ours_to_read(void **unused)
{
    (void)unused;
    fill_text(700);
    size_t m = deflate_pack(&engines[0], plain, 700, stream, CAP);
    for (unsigned head = 0; head < 65536; head++) {
        bool good = (head >> 8 & 15) == 8 && head >> 12 <= 7 && head % 31 == 0 && !(head & 0x20);
        memcpy(turned, stream, m);
        turned[0] = (uint8_t)(head >> 8);
        turned[1] = (uint8_t)head;
        for (size_t r = 0; r < n_engines; r++)
            assert_int_equal(gives(&engines[r], turned, m, 700), good);
    }
}

static void a_preset_dictionary_is_refused(void **unused)
{
    z_stream z = {0};
    (void)unused;
    fill_text(5000);
    assert_int_equal(deflateInit(&z, 6), Z_OK);
    assert_int_equal(deflateSetDictionary(&z, plain, 1000), Z_OK);
    z.next_in = plain;
    z.avail_in = 5000;
    z.next_out = stream;
    z.avail_out = CAP;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    for (size_t r = 0; r < n_engines; r++)
        assert_false(gives(&engines[r], stream, z.total_out, 5000));
    assert_int_equal(deflateEnd(&z), Z_OK);
}

static void a_distance_before_the_beginning_is_refused(void **unused)
{
    /* Fixed codes: "length 3, distance 1" as the first symbol, then the end. */
    static const uint8_t blocks[] = {0x03, 0x02, 0x00};
    uint8_t s[DEFLATE_FRAME + sizeof blocks] = {0x78, 0x01};
    (void)unused;
    memcpy(s + 2, blocks, sizeof blocks);
    memset(room(3), 0, 3);
    wire_store_u32(s + 2 + sizeof blocks, 0x00030001); /* as if it gave three zero bytes */
    for (size_t r = 0; r < n_engines; r++)
        assert_false(gives(&engines[r], s, sizeof s, 3));
}

static void a_bomb_writes_no_more_than_asked(void **unused)
{
    static uint8_t zeros[16 << 20];
    (void)unused;
    uLongf m = CAP;
    assert_int_equal(compress2(stream, &m, zeros, sizeof zeros, 9), Z_OK);
    assert_true(m < 20000);
    for (size_t r = 0; r < n_engines; r++) {
        assert_false(gives(&engines[r], stream, m, DEFLATE_MAX));
        assert_false(gives(&engines[r], stream, m, 1));
        assert_false(gives(&engines[r], stream, m, 0));
        assert_false(deflate_unpack(&engines[r], stream, m, zeros, DEFLATE_MAX + 1));
    }
}

static void garbage_is_refused(void **unused)
{
    (void)unused;
    seed = 77;
    for (int round = 0; round < 20000; round++) {
        size_t n = DEFLATE_FRAME + 1 + random_byte();
        for (size_t i = 0; i < n; i++)
            stream[i] = random_byte();
        stream[0] = 0x78;
        stream[1] = 0x01;
        for (size_t r = 0; r < n_engines; r++)
            assert_false(gives(&engines[r], stream, n, 1 + (size_t)random_byte() * 64));
    }
}

/* ---- worth ---- */

static void random_bytes_are_not_worth_it_text_is(void **unused)
{
    static const size_t sizes[] = {256, 300, 1000, 4095, 4096, 5000, 16384, 100000, DEFLATE_MAX};
    (void)unused;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        fill_random(n);
        assert_false(deflate_worth(plain, n));
        fill_zeros(n);
        assert_true(deflate_worth(plain, n));
        fill_text(n);
        assert_true(deflate_worth(plain, n));
        fill_few(n);
        assert_true(deflate_worth(plain, n));
        fill_half(n);
        assert_true(deflate_worth(plain, n));
    }
    for (size_t n = 0; n < 256; n++)
        assert_false(deflate_worth(plain, n));
    fill_text(100000);
    size_t m = deflate_pack(&engines[0], plain, 100000, stream, CAP);
    assert_true(m > 0);
    assert_false(deflate_worth(stream, m));
}

static int set_up(void **unused)
{
    static const char *const names[] = {"zlib", "isa-l"};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        const struct deflate_engine *e = deflate_engine_named(names[i]);
        if (e && deflate_init(&engines[n_engines++], e) != ERR_OK)
            return -1;
    }
    uint8_t *p =
        mmap(NULL, DEFLATE_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + DEFLATE_MAX, page, PROT_NONE) < 0)
        return -1;
    back = p;
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < n_engines; i++)
        deflate_release(&engines[i]);
    return munmap(back, DEFLATE_MAX + (size_t)sysconf(_SC_PAGESIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_engine_reads_what_each_wrote),
        cmocka_unit_test(every_small_size),
        cmocka_unit_test(the_format_is_zlibs),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(streams_that_give_more_or_less),
        cmocka_unit_test(streams_cut_at_every_byte_or_longer),
        cmocka_unit_test(streams_with_a_byte_turned),
        cmocka_unit_test(headers_that_are_not_ours_to_read),
        cmocka_unit_test(a_preset_dictionary_is_refused),
        cmocka_unit_test(a_distance_before_the_beginning_is_refused),
        cmocka_unit_test(a_bomb_writes_no_more_than_asked),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(random_bytes_are_not_worth_it_text_is),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
