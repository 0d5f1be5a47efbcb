/* SPDX-License-Identifier: ISC */
#include "../../client/growth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A second at a time, at this rate. */
static unsigned second(struct growth *g, uint64_t *amount, int64_t *now, uint64_t rate)
{
    *now += 1000;
    *amount += rate;
    return growth_ask(g, *amount, *now);
}

static void doubles_while_it_helps(void **state)
{
    struct growth g;
    uint64_t amount = 0;
    int64_t now = 5000;
    (void)state;
    growth_init(&g, GROWTH_MOST, 0);
    assert_int_equal(growth_ask(&g, 0, now), 0);
    assert_int_equal(growth_ask(&g, 500, now + 500), 0);
    assert_int_equal(second(&g, &amount, &now, 100), 1);
    assert_int_equal(second(&g, &amount, &now, 100), 0); /* the new one begins */
    assert_int_equal(second(&g, &amount, &now, 200), 2);
    assert_int_equal(second(&g, &amount, &now, 200), 0);
    assert_int_equal(second(&g, &amount, &now, 400), 4);
    assert_int_equal(g.now, 8);
    for (int i = 0; i < 5; i++)
        assert_int_equal(second(&g, &amount, &now, 9000), 0);
}

static void stays_where_it_does_not(void **state)
{
    struct growth g;
    uint64_t amount = 0;
    int64_t now = 5000;
    (void)state;
    growth_init(&g, GROWTH_MOST, 0);
    assert_int_equal(growth_ask(&g, 0, now), 0);
    assert_int_equal(second(&g, &amount, &now, 1000), 1);
    assert_int_equal(second(&g, &amount, &now, 1000), 0);
    assert_int_equal(second(&g, &amount, &now, 1100), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(second(&g, &amount, &now, 9000), 0);
    assert_int_equal(g.now, 2);
}

static void one_is_one(void **state)
{
    struct growth g;
    uint64_t amount = 0;
    int64_t now = 5000;
    (void)state;
    growth_init(&g, 1, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(second(&g, &amount, &now, 1000), 0);
}

static void never_more_than_allowed(void **state)
{
    struct growth g;
    uint64_t amount = 0;
    int64_t now = 5000;
    (void)state;
    growth_init(&g, 3, 0);
    assert_int_equal(growth_ask(&g, 0, now), 0);
    assert_int_equal(second(&g, &amount, &now, 1), 1);
    assert_int_equal(second(&g, &amount, &now, 2), 0);
    assert_int_equal(second(&g, &amount, &now, 2), 1);
    assert_int_equal(g.now, 3);
}

static void a_long_round_trip_takes_a_long_look(void **state)
{
    struct growth g;
    uint64_t amount = 0;
    int64_t now = 5000;
    (void)state;
    growth_init(&g, GROWTH_MOST, 100);
    assert_int_equal(growth_ask(&g, 0, now), 0);
    for (int i = 1; i < 4; i++)
        assert_int_equal(second(&g, &amount, &now, 1000), 0);
    assert_int_equal(second(&g, &amount, &now, 1000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_while_it_helps),
        cmocka_unit_test(stays_where_it_does_not),
        cmocka_unit_test(one_is_one),
        cmocka_unit_test(never_more_than_allowed),
        cmocka_unit_test(a_long_round_trip_takes_a_long_look),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
