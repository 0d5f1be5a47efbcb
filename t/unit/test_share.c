/* SPDX-License-Identifier: ISC */
/* Shares of a content: taken in rising order, given back, and all of them done in the end. */
#include "share.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LOG2 = 20, PER = SHARE_BYTES >> LOG2, SHARES = 5, CHUNKS = (SHARES - 1) * PER + 3 };

static struct share *share;

static int make(void **state)
{
    (void)state;
    return share_new(CHUNKS, LOG2, &share) == ERR_OK ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    share_free(share);
    return 0;
}

static void takes(unsigned stream, uint64_t from, uint64_t index)
{
    uint64_t first, count;
    assert_true(share_take(share, stream, from, &first, &count));
    assert_int_equal(first, index * PER);
    assert_int_equal(count, index == SHARES - 1 ? 3 : PER);
}

static void takes_none(unsigned stream, uint64_t from)
{
    uint64_t first, count;
    assert_false(share_take(share, stream, from, &first, &count));
}

static void is(enum share_state state, uint64_t from)
{
    assert_int_equal(share_look(share, from, 0), state);
    /* What is not to be waited for is told at once. */
    if (state != SHARE_WAIT)
        assert_int_equal(share_look(share, from, 3600 * 1000), state);
}

static void in_rising_order(void **state)
{
    (void)state;
    is(SHARE_FREE, 0);
    takes(0, 0, 0);
    takes(1, 0, 1);
    takes(0, PER, 2);
    takes(1, 3 * PER + 1, 4);
    is(SHARE_FREE, 3 * PER);
    takes_none(0, 3 * PER + 1);
    takes(1, 0, 3);
    takes_none(1, 0);
}

static void what_is_given_back_is_taken_again(void **state)
{
    (void)state;
    share_join(share);
    share_join(share);
    takes(0, 0, 0);
    takes(1, 0, 1);
    takes(1, 0, 2);
    takes(2, 0, 3);
    takes(0, PER, 4);
    is(SHARE_WAIT, CHUNKS);
    share_give_back(share, 1);
    is(SHARE_FREE, 0);
    is(SHARE_WAIT, CHUNKS); /* behind stream 0: for others */
    takes(2, 0, 1);
    takes(2, 0, 2);
    takes_none(1, 0);
    share_done(share, 2);
    is(SHARE_ALL_DONE, CHUNKS);
    share_give_back(share, 2); /* what is done stays so */
    is(SHARE_ALL_DONE, 0);
}

static void without_others_there_is_nobody_to_wait_for(void **state)
{
    (void)state;
    share_join(share);
    for (unsigned i = 0; i < SHARES; i++)
        takes(i == 2, 0, i);
    is(SHARE_WAIT, CHUNKS);
    share_give_back(share, 1);
    share_leave(share);
    is(SHARE_FAILED, CHUNKS);
    is(SHARE_FREE, 0);
}

static void nothing_comes_of_what_failed(void **state)
{
    (void)state;
    share_join(share);
    takes(1, 0, 0);
    share_fail(share);
    takes_none(0, 0);
    is(SHARE_FAILED, 0);
}

static void an_empty_content(void **state)
{
    (void)state;
    share_free(share);
    assert_int_equal(share_new(0, LOG2, &share), ERR_OK);
    takes_none(0, 0);
    is(SHARE_ALL_DONE, 0);
}

static void a_chunk_that_is_longer_than_a_share(void **state)
{
    uint64_t first, count;
    (void)state;
    share_free(share);
    assert_int_equal(share_new(3, TREE_CHUNK_LOG2_MAX, &share), ERR_OK);
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(share_take(share, 0, i, &first, &count));
        assert_int_equal(first, i);
        assert_int_equal(count, 1);
    }
    takes_none(0, 0);
}

static void the_root_needs_all_hashes(void **state)
{
    uint8_t hash[TREE_HASH], root[TREE_HASH], expected[TREE_HASH];
    const struct tree_engine *engine = tree_engine(true);
    struct tree_root r;
    (void)state;
    tree_root_begin(&r, engine, (uint64_t)CHUNKS << LOG2, LOG2);
    for (uint64_t i = 0; i < CHUNKS; i++) {
        memset(hash, (int)i + 1, sizeof hash);
        tree_root_add(&r, hash);
        assert_false(share_root(share, engine, (uint64_t)CHUNKS << LOG2, root));
        share_hash(share, i, hash);
    }
    assert_true(tree_root_end(&r, expected));
    assert_true(share_root(share, engine, (uint64_t)CHUNKS << LOG2, root));
    assert_memory_equal(root, expected, TREE_HASH);
}

/* ---- threads ---- */

enum { STREAMS = 6, MANY = 2000 };

static unsigned moved[MANY]; /* how often each share was */

/* Every third time it loses what it has and goes on anew, as the others will then. */
static void *stream(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg, losses = 40, held = 0, mine[MANY];
    uint64_t first, count, from = 0;
    for (;;) {
        if (share_take(share, number, from, &first, &count)) {
            from = first + count;
            mine[held++] = (unsigned)first;
            if (held % 3 == 0 && losses > 0) {
                losses--;
                held = 0;
                from = 0;
                share_give_back(share, number);
            }
            continue;
        }
        for (; held > 0; held--)
            __atomic_fetch_add(&moved[mine[held - 1]], 1, __ATOMIC_RELAXED);
        share_done(share, number);
        from = 0;
        enum share_state now = share_look(share, 0, 10 * 1000);
        if (now != SHARE_FREE)
            break;
    }
    share_leave(share);
    return NULL;
}

static void each_is_moved_once(void **state)
{
    pthread_t threads[STREAMS];
    (void)state;
    share_free(share);
    assert_int_equal(share_new(MANY, 24, &share), ERR_OK);
    for (unsigned i = 0; i < STREAMS; i++)
        share_join(share);
    for (uintptr_t i = 0; i < STREAMS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stream, (void *)(i + 1)), 0);
    while (share_look(share, MANY, 10 * 1000) == SHARE_WAIT)
        continue;
    for (unsigned i = 0; i < STREAMS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(moved[i], 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_rising_order),
        TEST(what_is_given_back_is_taken_again),
        TEST(without_others_there_is_nobody_to_wait_for),
        TEST(nothing_comes_of_what_failed),
        TEST(an_empty_content),
        TEST(a_chunk_that_is_longer_than_a_share),
        TEST(the_root_needs_all_hashes),
        TEST(each_is_moved_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
