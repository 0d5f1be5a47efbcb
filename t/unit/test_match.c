/* SPDX-License-Identifier: ISC */
/* Chunks found among hashes that a peer told, true ones and made-up ones. */
#include "log.h"
#include "match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LOG2 = 14, CHUNK = 1 << LOG2 };

static uint8_t hashes[MATCH_MAX * TREE_HASH];

static uint8_t *hash(uint64_t n)
{
    return hashes + n * TREE_HASH;
}

/* All different, in no order. */
static int fill(void **unused)
{
    uint64_t seed = 4711;
    (void)unused;
    for (size_t i = 0; i < sizeof hashes; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        hashes[i] = (uint8_t)(seed >> 56);
    }
    return 0;
}

static struct match match_of(uint64_t n, uint64_t length)
{
    struct match m;
    assert_int_equal(match_begin(&m, n, length, LOG2), ERR_OK);
    for (uint64_t at = 0; at < n; at += 512)
        match_add(&m, hash(at), n - at < 512 ? (size_t)(n - at) : 512);
    assert_int_equal(m.known, n);
    return m;
}

static void every_chunk_is_found(void **unused)
{
    (void)unused;
    struct match m = match_of(MATCH_MAX, (uint64_t)MATCH_MAX << LOG2);
    uint8_t other[TREE_HASH];
    uint64_t found;
    for (uint64_t i = 0; i < MATCH_MAX; i++) {
        assert_true(match_find(&m, hash(i), CHUNK, i + 1, i + 2, &found));
        assert_int_equal(found, i);
        memcpy(other, hash(i), TREE_HASH);
        other[TREE_HASH - 1] ^= 1;
        assert_false(match_find(&m, other, CHUNK, i, i, &found));
    }
    match_release(&m);
}

static void none_is_found_where_there_is_none(void **unused)
{
    uint64_t found;
    (void)unused;
    struct match m = match_of(0, 0);
    assert_false(match_find(&m, hash(0), CHUNK, 0, 0, &found));
    match_release(&m);
    /* announced, but not told of yet */
    assert_int_equal(match_begin(&m, 3, 3 * CHUNK, LOG2), ERR_OK);
    static const uint8_t zero[TREE_HASH];
    assert_false(match_find(&m, zero, CHUNK, 0, 1, &found));
    match_add(&m, hash(0), 1);
    assert_true(match_find(&m, hash(0), CHUNK, UINT64_MAX, UINT64_MAX, &found));
    assert_false(match_find(&m, zero, CHUNK, 1, 2, &found));
    match_release(&m);
}

static void of_equal_ones_the_next_then_the_same(void **unused)
{
    uint64_t found;
    (void)unused;
    for (uint64_t i = 1; i < 100; i++)
        memcpy(hash(i), hash(0), TREE_HASH);
    struct match m = match_of(100, 100 * CHUNK);
    assert_true(match_find(&m, hash(0), CHUNK, 50, 60, &found));
    assert_int_equal(found, 50);
    assert_true(match_find(&m, hash(0), CHUNK, 100, 60, &found));
    assert_int_equal(found, 60);
    assert_true(match_find(&m, hash(0), CHUNK, 100, 100, &found));
    assert_int_equal(found, 0);
    match_release(&m);
}

static void a_chunk_of_another_size_is_another(void **unused)
{
    uint64_t found;
    (void)unused;
    struct match m = match_of(3, 2 * CHUNK + 77);
    assert_true(match_find(&m, hash(2), 77, 0, 0, &found));
    assert_false(match_find(&m, hash(2), CHUNK, 0, 0, &found));
    assert_false(match_find(&m, hash(1), 77, 0, 0, &found));
    match_release(&m);
}

/* They cost their place in the table, and no time. */
static void hashes_that_collide(void **unused)
{
    uint64_t found;
    (void)unused;
    for (uint64_t i = 0; i < MATCH_MAX; i++)
        memset(hash(i), 0x55, 4);
    struct match m = match_of(MATCH_MAX, (uint64_t)MATCH_MAX << LOG2);
    assert_true(match_find(&m, hash(0), CHUNK, 1, 1, &found));
    assert_int_equal(found, 0);
    assert_false(match_find(&m, hash(MATCH_MAX - 1), CHUNK, 1, 1, &found));
    assert_true(match_find(&m, hash(MATCH_MAX - 1), CHUNK, 1, MATCH_MAX - 1, &found));
    match_release(&m);
}

static void what_can_not_be(void **unused)
{
    (void)unused;
    assert_true(match_possible(0, 0, 20));
    assert_true(match_possible(1, 1, 20));
    assert_true(match_possible(MATCH_MAX, (uint64_t)MATCH_MAX << 20, 20));
    assert_true(match_possible(MATCH_MAX, INT64_MAX, 28));
    assert_false(match_possible(MATCH_MAX + 1, (uint64_t)MATCH_MAX << 21, 20));
    assert_false(match_possible(2, 1 << 20, 20));
    assert_false(match_possible(1, 0, 20));
    assert_false(match_possible(1, UINT64_MAX, 28));
    assert_false(match_possible(UINT64_MAX, INT64_MAX, 14));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_chunk_is_found, fill),
        cmocka_unit_test_setup(none_is_found_where_there_is_none, fill),
        cmocka_unit_test_setup(of_equal_ones_the_next_then_the_same, fill),
        cmocka_unit_test_setup(a_chunk_of_another_size_is_another, fill),
        cmocka_unit_test_setup(hashes_that_collide, fill),
        cmocka_unit_test(what_can_not_be),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
