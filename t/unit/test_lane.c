/* SPDX-License-Identifier: ISC */
/* The lane: jobs in order, with a thread and without; failures; slots that keep what they hold. */
#include "lane.h"

#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct job {
    unsigned n;
    void *owned;
};

struct record {
    unsigned done[2000], n;
    unsigned fail_at;
};

static enum err work(void *arg, void *job)
{
    struct record *r = arg;
    struct job *j = job;
    if (j->n % 100 == 0)
        usleep(1000); /* so that the lane fills up */
    if (r->fail_at && j->n == r->fail_at)
        return log_fail(ERR_NOSPACE, "job %u failed", j->n);
    r->done[r->n++] = j->n;
    return ERR_OK;
}

static void jobs_are_done_in_order(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        struct record r = {.n = 0};
        struct job jobs[LANE_SLOTS] = {0};
        struct lane l;
        lane_start(&l, work, &r, jobs, sizeof jobs[0], threaded);
        assert_int_equal(l.threaded, threaded);
        for (unsigned i = 1; i <= 1000; i++) {
            struct job *j = lane_slot(&l);
            j->n = i;
            assert_int_equal(lane_go(&l), ERR_OK);
        }
        assert_int_equal(lane_wait(&l), ERR_OK);
        assert_int_equal(r.n, 1000);
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(r.done[i], i + 1);
        lane_stop(&l);
    }
}

static void a_failure_drops_what_follows(void **state)
{
    (void)state;
    log_quiet(true);
    for (int threaded = 0; threaded < 2; threaded++) {
        struct record r = {.fail_at = 300};
        struct job jobs[LANE_SLOTS] = {0};
        struct lane l;
        enum err e = ERR_OK;
        log_clear_reason();
        lane_start(&l, work, &r, jobs, sizeof jobs[0], threaded);
        for (unsigned i = 1; i <= 1000; i++) {
            struct job *j = lane_slot(&l);
            j->n = i;
            enum err now = lane_go(&l);
            assert_true(e == ERR_OK || now == e); /* once seen, for ever */
            e = now;
        }
        assert_int_equal(e, ERR_NOSPACE);
        assert_int_equal(lane_wait(&l), ERR_NOSPACE);
        assert_string_equal(log_reason(), "job 300 failed");
        assert_int_equal(r.n, 299);
        lane_stop(&l);
    }
    log_quiet(false);
}

static void stopping_waits_for_what_was_handed_over(void **state)
{
    struct record r = {.n = 0};
    struct job jobs[LANE_SLOTS] = {0};
    struct lane l;
    (void)state;
    lane_start(&l, work, &r, jobs, sizeof jobs[0], true);
    for (unsigned i = 0; i < LANE_SLOTS; i++) {
        struct job *j = lane_slot(&l);
        j->n = 100;
        assert_int_equal(lane_go(&l), ERR_OK);
    }
    lane_stop(&l);
    assert_int_equal(r.n, LANE_SLOTS);
}

static void a_slot_keeps_what_it_owns(void **state)
{
    struct record r = {.n = 0};
    struct job jobs[LANE_SLOTS] = {0};
    struct lane l;
    unsigned made = 0;
    (void)state;
    lane_start(&l, work, &r, jobs, sizeof jobs[0], true);
    for (unsigned i = 1; i <= 500; i++) {
        struct job *j = lane_slot(&l);
        if (!j->owned) {
            j->owned = malloc(1);
            made++;
        }
        j->n = i;
        assert_int_equal(lane_go(&l), ERR_OK);
    }
    lane_stop(&l);
    assert_int_equal(made, LANE_SLOTS);
    for (unsigned i = 0; i < LANE_SLOTS; i++)
        free(jobs[i].owned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_in_order),
        cmocka_unit_test(a_failure_drops_what_follows),
        cmocka_unit_test(stopping_waits_for_what_was_handed_over),
        cmocka_unit_test(a_slot_keeps_what_it_owns),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
