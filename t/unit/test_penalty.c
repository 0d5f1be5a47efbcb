/* SPDX-License-Identifier: ISC */
/* Penalties: who keeps failing is shut out, longer each time, and forgiven in the end; the table stays as
 * large as it is, whoever comes. */
#include "../../server/penalty.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 120 * 1000, BEGIN = 1000 * 1000 };

static struct network peer(uint64_t n)
{
    struct network who = {.bits = 64};
    memcpy(who.bytes, &n, sizeof n);
    return who;
}

static int setup(void **state)
{
    *state = penalties_new(42);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    penalties_free(*state);
    return 0;
}

/* Offends until it is shut out; returns how often that took, and how long it lasts. */
static int offend(struct penalties *p, uint64_t who, enum penalty_offence o, int64_t now,
                  int64_t *lasts)
{
    struct network n = peer(who);
    struct penalty_peer out;
    for (int i = 1; i <= 1000; i++) {
        if (!penalties_add(p, &n, o, MOST, now, &out))
            continue;
        assert_true(network_eq(&out.who, &n));
        assert_int_equal(out.last, o);
        *lasts = out.until_ms - now;
        return i;
    }
    return 0;
}

static bool is_shut(struct penalties *p, uint64_t who, int64_t now)
{
    struct network n = peer(who);
    return penalties_apply(p, &n, now);
}

static void each_offence_has_its_price(void **state)
{
    static const int wanted[PENALTY_OFFENCES] = {
        [PENALTY_LEFT] = 15,   [PENALTY_NOISE] = 5, [PENALTY_SILENCE] = 3,
        [PENALTY_REFUSED] = 3, [PENALTY_CRASH] = 1,
    };
    int64_t lasts;
    for (int o = 0; o < PENALTY_OFFENCES; o++) {
        assert_false(is_shut(*state, (uint64_t)o, BEGIN));
        assert_int_equal(offend(*state, (uint64_t)o, (enum penalty_offence)o, BEGIN, &lasts),
                         wanted[o]);
        assert_int_equal(lasts, PENALTY_CREDIT_MS);
        assert_true(is_shut(*state, (uint64_t)o, BEGIN + lasts - 1));
        assert_false(is_shut(*state, (uint64_t)o, BEGIN + lasts));
        assert_non_null(penalty_text((enum penalty_offence)o));
    }
}

static void what_is_rare_is_paid_off(void **state)
{
    struct network n = peer(1);
    struct penalty_peer out;
    for (int64_t at = BEGIN; at < BEGIN + 3600 * 1000; at += 5000)
        assert_false(penalties_add(*state, &n, PENALTY_REFUSED, MOST, at, &out));
    assert_int_equal(penalties_list(*state, BEGIN + 3600 * 1000, NULL, 0), 0);
}

static void each_time_is_twice_as_long_up_to_the_most(void **state)
{
    int64_t now = BEGIN, lasts, wanted = PENALTY_CREDIT_MS;
    for (int i = 0; i < 80; i++) {
        assert_int_equal(offend(*state, 1, PENALTY_NOISE, now, &lasts), 5);
        assert_int_equal(lasts, wanted);
        now += lasts;
        wanted = wanted * 2 < MOST ? wanted * 2 : MOST;
    }
    /* One that stays away so long begins anew. */
    assert_true(offend(*state, 1, PENALTY_NOISE, now + MOST - 1, &lasts));
    assert_int_equal(lasts, MOST);
    now += MOST - 1 + lasts;
    assert_true(offend(*state, 1, PENALTY_NOISE, now + MOST, &lasts));
    assert_int_equal(lasts, PENALTY_CREDIT_MS);
}

static void what_comes_while_shut_out_counts_for_nothing(void **state)
{
    struct network n = peer(1);
    struct penalty_peer out;
    int64_t lasts;
    assert_true(offend(*state, 1, PENALTY_CRASH, BEGIN, &lasts));
    for (int i = 0; i < 100; i++) {
        assert_true(penalties_apply(*state, &n, BEGIN + lasts - 1));
        assert_false(penalties_add(*state, &n, PENALTY_CRASH, MOST, BEGIN + lasts - 1, &out));
    }
    assert_false(is_shut(*state, 1, BEGIN + lasts));
    assert_true(penalties_ended(*state, BEGIN + lasts, &out));
    assert_int_equal(out.turned, 100);
}

static void the_end_is_told_once(void **state)
{
    struct penalty_peer out[4];
    int64_t lasts;
    for (uint64_t who = 1; who <= 3; who++)
        assert_true(offend(*state, who, PENALTY_CRASH, BEGIN + (int64_t)who, &lasts));
    assert_int_equal(penalties_list(*state, BEGIN + 10, out, 2), 3);
    assert_false(penalties_ended(*state, BEGIN + lasts, out));
    for (uint64_t who = 1; who <= 3; who++) {
        struct network n = peer(who);
        assert_true(penalties_ended(*state, BEGIN + lasts + (int64_t)who, out));
        assert_true(network_eq(&out->who, &n));
        assert_false(penalties_ended(*state, BEGIN + lasts + (int64_t)who, out));
    }
    assert_int_equal(penalties_list(*state, BEGIN + lasts + 3, NULL, 0), 0);
}

static void none_are_shut_out_where_that_is_off(void **state)
{
    struct network n = peer(1);
    struct penalty_peer out;
    for (int i = 0; i < 100; i++)
        assert_false(penalties_add(*state, &n, PENALTY_CRASH, 0, BEGIN, &out));
    assert_false(is_shut(*state, 1, BEGIN));
}

/* Whoever is shut out stays so, however many others pass by that are not. */
static void a_flood_displaces_none_that_is_shut_out(void **state)
{
    struct penalty_peer out;
    int64_t lasts;
    for (uint64_t who = 1; who <= 100; who++)
        assert_true(offend(*state, who, PENALTY_CRASH, BEGIN, &lasts));
    for (uint64_t who = 1000; who < 200 * 1000; who++) {
        struct network n = peer(who);
        assert_false(penalties_add(*state, &n, PENALTY_LEFT, MOST, BEGIN + 1, &out));
    }
    for (uint64_t who = 1; who <= 100; who++)
        assert_true(is_shut(*state, who, BEGIN + 2));
}

/* More of them than there is room for: as many as there is room for, nearly, are shut out. */
static void a_full_table_forgets(void **state)
{
    size_t room = (size_t)PENALTY_ROWS * PENALTY_WAYS;
    int64_t lasts;
    for (uint64_t who = 1; who <= 4 * room; who++)
        assert_true(offend(*state, who, PENALTY_CRASH, BEGIN, &lasts));
    size_t n = penalties_list(*state, BEGIN + 1, NULL, 0);
    assert_true(n <= room && n > room * 3 / 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_offence_has_its_price),
        TEST(what_is_rare_is_paid_off),
        TEST(each_time_is_twice_as_long_up_to_the_most),
        TEST(what_comes_while_shut_out_counts_for_nothing),
        TEST(the_end_is_told_once),
        TEST(none_are_shut_out_where_that_is_off),
        TEST(a_flood_displaces_none_that_is_shut_out),
        TEST(a_full_table_forgets),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
