/* SPDX-License-Identifier: ISC */
/* The gauge before connections that are made of numbers: a content byte takes some work, the connection
 * so much for each byte on it, and what is not overlapped by work is waited. */
#include "gauge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PIECE = 1 << 20, PER_KIB = 1024 };

struct line {
    double work_ns; /* a content byte, without packing it */
    double pack_ns; /* the same for packing it */
    double ratio;   /* of compression; 1: the probe says no */
    double wire_ns; /* a byte on the wire */
};

/* Sends pieces; how many of them compressed. *took gets the time. */
static unsigned run(struct gauge *g, const struct line *l, unsigned pieces, double *took)
{
    unsigned packed = 0;
    double sum = 0;
    for (unsigned i = 0; i < pieces; i++) {
        bool pack = g->on && l->ratio > 1;
        double work = PIECE * (l->work_ns + (pack ? l->pack_ns : 0));
        double wire = PIECE * l->wire_ns / (pack ? l->ratio : 1);
        double all = work > wire ? work : wire;
        struct gauge_piece p = {PIECE, (int64_t)all, (int64_t)(all - work)};
        gauge_add(g, &p, PER_KIB);
        packed += pack;
        sum += all;
    }
    if (took)
        *took = sum / PIECE / pieces;
    return packed;
}

static void a_slow_line_is_compressed_soon(void **unused)
{
    struct gauge g = {0};
    struct line l = {0.5, 1, 4, 20};
    double ns;
    (void)unused;
    assert_true(run(&g, &l, 8, NULL) == 0);
    assert_true(g.on);
    assert_true(run(&g, &l, 10000, &ns) > 9800);
    assert_true(ns < 5 * 1.05);
}

/* A very slow line is heard of by time, not by bytes. */
static void a_very_slow_line_too(void **unused)
{
    struct gauge g = {0};
    struct line l = {0.5, 1, 4, 1000};
    (void)unused;
    assert_true(run(&g, &l, 2, NULL) == 0);
    assert_true(g.on);
}

static void a_fast_line_is_left_alone(void **unused)
{
    struct gauge g = {0};
    struct line none = {0.5, 1, 4, 0.4}, some = {0.5, 1, 4, 1.9};
    (void)unused;
    assert_true(run(&g, &none, 5000, NULL) == 0);
    assert_true(run(&g, &some, 5000, NULL) == 0);
}

static void a_slow_engine_is_found_out(void **unused)
{
    struct gauge g = {0};
    struct line l = {0.5, 10, 4, 8};
    double ns;
    (void)unused;
    assert_in_range(run(&g, &l, 10000, &ns), 8, 500); /* work for 10.5 ns instead of a wait of 8 */
    assert_true(ns < 8 * 1.02);
}

/* Compressing makes work the limit, which says nothing of the line: looked at again, less and less. */
static void work_instead_of_waiting_is_kept_while_it_is_faster(void **unused)
{
    struct gauge g = {0};
    struct line l = {0.5, 2, 5, 6};
    double ns;
    (void)unused;
    assert_true(run(&g, &l, 10000, &ns) > 9000);
    assert_true(ns < 2.5 * 1.15);
}

static void a_line_that_becomes_fast_is_noticed(void **unused)
{
    struct gauge g = {0};
    struct line slow = {0.5, 2, 5, 20}, fast = {0.5, 2, 5, 0.5};
    (void)unused;
    run(&g, &slow, 1000, NULL);
    assert_true(g.on);
    assert_in_range(run(&g, &fast, 5000, NULL), 4, 300);
    assert_false(g.on);
    run(&g, &slow, 300, NULL);
    assert_true(g.on);
}

static void content_that_does_not_shrink_costs_nothing(void **unused)
{
    struct gauge g = {0};
    struct line l = {0.5, 1, 1, 20};
    double ns;
    (void)unused;
    assert_true(run(&g, &l, 5000, &ns) == 0);
    assert_true(ns < 20.01);
}

/* Where others take most of the processor, times vary a lot; what is better on the whole is kept most of
 * the time. */
static void a_busy_machine_does_not_hide_it(void **unused)
{
    struct gauge g = {0};
    uint32_t seed = 9;
    unsigned packed = 0;
    (void)unused;
    for (int i = 0; i < 10000; i++) {
        seed = seed * 1664525 + 1013904223;
        double work = 2 + (seed >> 24) % 20; /* 11.5 in the mean, instead of 20 */
        struct line l = {1, work, 5, 20};
        packed += run(&g, &l, 1, NULL);
    }
    assert_true(packed > 8500);
}

/* A receiver that stops now and then to sync is not a slow line. */
static void a_pause_is_not_a_slow_line(void **unused)
{
    struct gauge g = {0};
    struct line l = {1, 1, 4, 1.2};
    (void)unused;
    for (int i = 0; i < 100; i++) {
        struct gauge_piece pause = {PIECE, 600000000, 590000000};
        assert_true(run(&g, &l, 127, NULL) == 0);
        gauge_add(&g, &pause, PER_KIB);
        assert_false(g.on);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_line_is_compressed_soon),
        cmocka_unit_test(a_very_slow_line_too),
        cmocka_unit_test(a_fast_line_is_left_alone),
        cmocka_unit_test(a_slow_engine_is_found_out),
        cmocka_unit_test(work_instead_of_waiting_is_kept_while_it_is_faster),
        cmocka_unit_test(a_line_that_becomes_fast_is_noticed),
        cmocka_unit_test(content_that_does_not_shrink_costs_nothing),
        cmocka_unit_test(a_busy_machine_does_not_hide_it),
        cmocka_unit_test(a_pause_is_not_a_slow_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
