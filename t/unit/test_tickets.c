/* SPDX-License-Identifier: ISC */
#include "../../server/tickets.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config = {.tickets = true, .ticket_epoch_s = 302};
enum { LENGTH = 300 };

static const uint8_t one[TLS_TICKET_KEY] = {1}, two[TLS_TICKET_KEY] = {2},
                     three[TLS_TICKET_KEY] = {3};

static struct tickets fresh(void)
{
    struct tickets t;
    assert_int_equal(tickets_init(&t), ERR_OK);
    return t;
}

/* The key that a session would be forked with at that time; NULL: none. */
static void lends(struct tickets *t, time_t now, const uint8_t *expected)
{
    const uint8_t *key = tickets_lend(t, &config, now);
    assert_int_equal(key != NULL, expected != NULL);
    if (expected)
        assert_memory_equal(key, expected, TLS_TICKET_KEY);
    tickets_take_back(t);
    if (key)
        assert_true(key[0] == 0);
}

/* What is asked for at that time; 0: nothing. */
static uint64_t wanted(struct tickets *t, time_t now)
{
    uint64_t epoch;
    return tickets_wanted(t, &config, now, &epoch) ? epoch : 0;
}

static void an_epoch_is_three_lifetimes(void **state)
{
    (void)state;
    assert_int_equal(tickets_lifetime(&config), LENGTH / 3);
    assert_int_equal(tickets_epoch(&config, 7 * LENGTH), 7);
    assert_int_equal(tickets_epoch(&config, 8 * LENGTH - 1), 7);
    assert_int_equal(tickets_epoch_end(&config, 7 * LENGTH), 8 * LENGTH);
    assert_int_equal(tickets_epoch_end(&config, 8 * LENGTH - 1), 8 * LENGTH);
}

static void the_next_is_fetched_ahead_and_the_last_erased(void **state)
{
    struct tickets t = fresh();
    time_t now = 7 * LENGTH;
    (void)state;
    assert_int_equal(wanted(&t, now), 7);
    lends(&t, now, NULL);
    tickets_put(&t, 7, one);
    lends(&t, now, one);
    assert_int_equal(wanted(&t, now), 8);
    tickets_put(&t, 8, two);
    assert_int_equal(wanted(&t, now), 0);
    lends(&t, now, one);
    /* The epoch changes, though nobody asks. */
    now = 8 * LENGTH;
    lends(&t, now, two);
    assert_int_equal(wanted(&t, now), 9);
    assert_true(t.keys[0].epoch == 0 && t.keys[0].key[0] == 0);
    tickets_put(&t, 9, three);
    assert_int_equal(wanted(&t, now), 0);
    lends(&t, now, two);
    tickets_release(&t);
}

static void a_long_outage_ends_it(void **state)
{
    struct tickets t = fresh();
    (void)state;
    tickets_put(&t, 7, one);
    tickets_put(&t, 8, two);
    lends(&t, 9 * LENGTH, NULL);
    assert_int_equal(wanted(&t, 9 * LENGTH), 9);
    assert_true(t.keys[0].key[0] == 0 && t.keys[1].key[0] == 0);
    tickets_release(&t);
}

static void a_clock_that_is_set_back(void **state)
{
    struct tickets t = fresh();
    (void)state;
    tickets_put(&t, 70, one);
    tickets_put(&t, 71, two);
    lends(&t, 7 * LENGTH, NULL);
    assert_int_equal(wanted(&t, 7 * LENGTH), 7);
    tickets_put(&t, 7, three);
    lends(&t, 7 * LENGTH, three);
    tickets_release(&t);
}

static void the_same_epoch_twice(void **state)
{
    struct tickets t = fresh();
    (void)state;
    tickets_put(&t, 7, one);
    tickets_put(&t, 7, two);
    lends(&t, 7 * LENGTH, two);
    assert_int_equal(wanted(&t, 7 * LENGTH), 8);
    tickets_clear(&t);
    lends(&t, 7 * LENGTH, NULL);
    tickets_release(&t);
}

/* All that a child can see of them is what it was forked with. */
static void a_child_has_only_what_was_lent(void **state)
{
    struct tickets t = fresh();
    int status;
    (void)state;
    tickets_put(&t, 7, one);
    tickets_put(&t, 8, two);
    const uint8_t *lent = tickets_lend(&t, &config, 7 * LENGTH);
    pid_t pid = fork();
    if (pid == 0) {
        bool seen = memcmp(lent, one, sizeof one) == 0;
        for (size_t i = 0; i < TICKETS_KEYS; i++)
            seen = seen && t.keys[i].epoch == 0 && t.keys[i].key[0] == 0;
        _exit(!seen);
    }
    assert_true(pid > 0);
    tickets_take_back(&t);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    lends(&t, 7 * LENGTH, one);
    tickets_release(&t);
}

static void what_makes_keys_useless(void **state)
{
    struct config a = {.tickets = true, .ticket_epoch_s = 300, .ticket_key = (char[]){"pkcs11:x"}};
    struct config b = a;
    (void)state;
    b.ticket_key = (char[]){"pkcs11:x"};
    assert_true(tickets_same(&a, &b));
    b.ticket_key = (char[]){"pkcs11:y"};
    assert_false(tickets_same(&a, &b));
    b.ticket_key = NULL;
    assert_false(tickets_same(&a, &b));
    b = a;
    b.ticket_epoch_s = 303;
    assert_false(tickets_same(&a, &b));
    b = a;
    b.tickets = false;
    assert_false(tickets_same(&a, &b));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_is_three_lifetimes),
        cmocka_unit_test(the_next_is_fetched_ahead_and_the_last_erased),
        cmocka_unit_test(a_long_outage_ends_it),
        cmocka_unit_test(a_clock_that_is_set_back),
        cmocka_unit_test(the_same_epoch_twice),
        cmocka_unit_test(a_child_has_only_what_was_lent),
        cmocka_unit_test(what_makes_keys_useless),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
