/* SPDX-License-Identifier: ISC */
/* The health tests of random bytes: each is made to fail at its cut-off and not before, the cut-offs
 * are the standard's, and good bytes pass. */
#include "health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

/* Bytes that no test finds fault with: each value in its turn. */
static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)i;
}

static void a_run_fails_at_the_cutoff(void **state)
{
    uint8_t bytes[64];
    struct health h = {0};
    (void)state;
    fill(bytes, sizeof bytes);
    memset(bytes + 20, 7, HEALTH_REPEATED - 1);
    assert_null(health_feed(&h, bytes, sizeof bytes));
    memset(bytes + 20, 7, HEALTH_REPEATED);
    h = (struct health){0};
    assert_null(health_feed(&h, bytes, 20 + HEALTH_REPEATED - 1));
    assert_string_equal(health_feed(&h, bytes + 20 + HEALTH_REPEATED - 1, 1), "repetition count");
}

static void a_run_is_seen_across_calls_and_from_the_first_byte(void **state)
{
    static const uint8_t zero[1];
    struct health h = {0};
    (void)state;
    for (int i = 1; i < HEALTH_REPEATED; i++)
        assert_null(health_feed(&h, zero, 1));
    assert_non_null(health_feed(&h, zero, 1));
}

/* The first sample of the window times times in it, never twice in a row. */
static void window(uint8_t p[static HEALTH_WINDOW], unsigned times)
{
    for (size_t i = 0; i < HEALTH_WINDOW; i++)
        p[i] = (uint8_t)(i % 200 + 1);
    for (size_t i = 0; i < HEALTH_WINDOW; i++)
        if (p[i] == 1 && i > 0)
            p[i] = 250;
    for (unsigned i = 1; i < times; i++)
        p[i * 20] = 1;
}

static void a_frequent_byte_fails_at_the_cutoff(void **state)
{
    uint8_t bytes[HEALTH_WINDOW];
    struct health h = {0};
    (void)state;
    window(bytes, HEALTH_PROPORTION - 1);
    assert_null(health_feed(&h, bytes, sizeof bytes));
    window(bytes, HEALTH_PROPORTION);
    assert_string_equal(health_feed(&h, bytes, sizeof bytes), "adaptive proportion");
}

static void each_window_begins_anew(void **state)
{
    uint8_t bytes[HEALTH_WINDOW];
    struct health h = {0};
    (void)state;
    window(bytes, HEALTH_PROPORTION - 1);
    for (int i = 0; i < 20; i++)
        assert_null(health_feed(&h, bytes, sizeof bytes));
}

static void a_failure_stays(void **state)
{
    uint8_t bytes[256];
    struct health h = {0};
    (void)state;
    memset(bytes, 0, sizeof bytes);
    assert_non_null(health_feed(&h, bytes, sizeof bytes));
    fill(bytes, sizeof bytes);
    assert_non_null(health_feed(&h, bytes, sizeof bytes));
    assert_non_null(health_feed(&h, bytes, 0));
}

static void good_bytes_pass(void **state)
{
    uint8_t bytes[256];
    struct health h = {0};
    (void)state;
    for (int i = 0; i < 4096; i++) {
        assert_int_equal(getrandom(bytes, sizeof bytes, 0), sizeof bytes);
        assert_null(health_feed(&h, bytes, sizeof bytes));
    }
}

/* P(X >= n) for X of B(HEALTH_WINDOW, 1/256), summed from the smallest part. */
static long double tail(unsigned n)
{
    const long double p = 1.0L / 256, odds = p / (1 - p);
    long double term = 1, sum = 0, parts[HEALTH_WINDOW + 1];
    for (unsigned k = 0; k < HEALTH_WINDOW; k++)
        term *= 1 - p;
    for (unsigned k = 0; k <= HEALTH_WINDOW; k++) {
        parts[k] = term;
        term *= odds * (HEALTH_WINDOW - k) / (k + 1);
    }
    for (unsigned k = HEALTH_WINDOW; k >= n; k--)
        sum += parts[k];
    return sum;
}

static void the_cutoffs_are_the_standards(void **state)
{
    const long double alpha = 1.0L / (1LL << 40);
    (void)state;
    assert_int_equal(HEALTH_REPEATED, 1 + 40 / 8);
    assert_true(tail(HEALTH_PROPORTION) <= alpha);
    assert_true(tail(HEALTH_PROPORTION - 1) > alpha);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_fails_at_the_cutoff),
        cmocka_unit_test(a_run_is_seen_across_calls_and_from_the_first_byte),
        cmocka_unit_test(a_frequent_byte_fails_at_the_cutoff),
        cmocka_unit_test(each_window_begins_anew),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(good_bytes_pass),
        cmocka_unit_test(the_cutoffs_are_the_standards),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
