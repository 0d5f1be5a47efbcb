/* SPDX-License-Identifier: ISC */
/* The pace: never faster than rate and burst, whoever books; threads, processes, one that is killed.
 * All bounds hold on a machine of any speed: turns are compared with the clock read before and
 * after. */
#include "pace.h"

#include "tls.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { RATE = 1 << 20, PIECE = 4096, PIECES = 1000 };
/* So many that workers meet. */
enum { WORKERS = 4, CRUMB = 64, CRUMBS = 200 * 1000 };

/* The least time, in ms, that so many bytes take. */
static int64_t least_ms(uint64_t bytes, uint64_t rate)
{
    return (int64_t)(bytes * 1000 / rate) - PACE_BURST_MS;
}

static void a_burst_goes_at_once_and_the_rest_in_time(void **state)
{
    struct pace p;
    int64_t start = tls_now_ms(), turn = 0, last = 0;
    (void)state;
    pace_init(&p, RATE);
    assert_true(pace_take(&p, PIECE) <= tls_now_ms() + 1);
    for (uint64_t n = 2; n <= PIECES; n++, last = turn) {
        turn = pace_take(&p, PIECE);
        assert_true(turn >= last);
        assert_true(turn >= start + least_ms(n * PIECE, RATE));
        /* Nobody waits longer than for what was booked before. */
        int64_t longest = least_ms(n * PIECE, RATE) + 2;
        assert_true(turn <= tls_now_ms() + (longest > 1 ? longest : 1));
    }
}

static void a_piece_longer_than_the_burst_waits(void **state)
{
    struct pace p;
    int64_t start = tls_now_ms();
    (void)state;
    pace_init(&p, PACE_MIN);
    assert_true(pace_take(&p, UINT64_C(1) << 32) >= start + least_ms(UINT64_C(1) << 32, PACE_MIN));
}

static void a_rest_earns_no_more_than_a_burst(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, RATE);
    (void)pace_take(&p, PIECE);
    usleep(2 * PACE_BURST_MS * 1000);
    int64_t start = tls_now_ms();
    assert_true(pace_take(&p, RATE) >= start + least_ms(RATE, RATE));
}

static void pieces_are_short_where_the_rate_is_low(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, PACE_MIN);
    assert_int_equal(pace_piece(&p), PACE_PIECE_MIN);
    pace_init(&p, 100000);
    assert_int_equal(pace_piece(&p), 6250);
    pace_init(&p, UINT64_C(10) << 30);
    assert_int_equal(pace_piece(&p), PACE_PIECE_MAX);
}

static void *book(void *arg)
{
    for (int i = 0; i < CRUMBS; i++)
        (void)pace_take(arg, CRUMB);
    return NULL;
}

/* What was booked since start by all is in p's word: no booking was lost, none counted twice. */
static void expect_booked(struct pace *p, uint64_t bytes, int64_t start)
{
    int64_t turn = pace_take(p, 1);
    assert_true(turn >= start + least_ms(bytes, p->rate));
    assert_true(turn <= tls_now_ms() + least_ms(bytes, p->rate) + 2);
}

static void threads_share(void **state)
{
    struct pace p;
    pthread_t threads[WORKERS];
    int64_t start = tls_now_ms();
    (void)state;
    pace_init(&p, RATE);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, book, &p), 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    expect_booked(&p, (uint64_t)WORKERS * CRUMBS * CRUMB, start);
}

/* A child that attaches the shared word itself and books pieces (for ever when pieces is 0); it counts
 * in *booked before each. */
static pid_t child(int fd, int pieces, _Atomic uint64_t *booked)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct pace p;
    if (pace_attach(&p, RATE, fd) != ERR_OK)
        _exit(1);
    for (int i = 0; i < pieces || !pieces; i++) {
        (*booked)++;
        (void)pace_take(&p, CRUMB);
    }
    _exit(0);
}

static _Atomic uint64_t *counter(void)
{
    void *p = mmap(NULL, sizeof(_Atomic uint64_t), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static void processes_share(void **state)
{
    struct pace p;
    pid_t children[WORKERS];
    int fd, status;
    _Atomic uint64_t *booked = counter();
    int64_t start = tls_now_ms();
    (void)state;
    assert_int_equal(pace_share(&fd), ERR_OK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    for (int i = 0; i < WORKERS; i++)
        children[i] = child(fd, CRUMBS, booked);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(pace_attach(&p, RATE, fd), ERR_OK);
    close(fd);
    expect_booked(&p, *booked * CRUMB, start);
}

static void one_that_is_killed_stops_nobody(void **state)
{
    struct pace p;
    int fd, status;
    _Atomic uint64_t *booked = counter();
    int64_t start = tls_now_ms();
    (void)state;
    assert_int_equal(pace_share(&fd), ERR_OK);
    for (uint64_t i = 1; i <= 20; i++) {
        pid_t pid = child(fd, 0, booked);
        for (uint64_t before = *booked; *booked < before + 10000;)
            continue;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
    }
    assert_int_equal(pace_attach(&p, RATE, fd), ERR_OK);
    /* Of each at most one piece was counted and not booked yet. */
    int64_t turn = pace_take(&p, 1);
    assert_true(turn >= start + least_ms((*booked - 20) * CRUMB, RATE));
    assert_true(turn <= tls_now_ms() + least_ms(*booked * CRUMB, RATE) + 2);
    close(fd);
}

/* A process that cut it would end the others by SIGBUS. */
static void the_shared_word_can_not_be_cut(void **state)
{
    int fd;
    (void)state;
    assert_int_equal(pace_share(&fd), ERR_OK);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_goes_at_once_and_the_rest_in_time),
        cmocka_unit_test(a_piece_longer_than_the_burst_waits),
        cmocka_unit_test(a_rest_earns_no_more_than_a_burst),
        cmocka_unit_test(pieces_are_short_where_the_rate_is_low),
        cmocka_unit_test(threads_share),
        cmocka_unit_test(processes_share),
        cmocka_unit_test(one_that_is_killed_stops_nobody),
        cmocka_unit_test(the_shared_word_can_not_be_cut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
