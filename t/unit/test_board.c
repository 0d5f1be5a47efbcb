/* SPDX-License-Identifier: ISC */
/* What a session says of itself: whatever it writes, what is read is well-formed; and nobody else can
 * write it. */
#include "../../server/board.h"

#include "tls.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void told(void **state)
{
    struct board *b = board_new();
    struct board_doing d;
    char path[3 * BOARD_PATH];
    (void)state;
    assert_non_null(b);
    board_read(b, &d);
    assert_int_equal(d.op, BOARD_NOTHING);
    board_begin(b, BOARD_PUT, "/a/b");
    board_progress(b, BOARD_COMMITTING, 5, 7, 3);
    board_read(b, &d);
    assert_int_equal(d.op, BOARD_PUT);
    assert_int_equal(d.phase, BOARD_COMMITTING);
    assert_int_equal(d.done, 5);
    assert_int_equal(d.total, 7);
    assert_int_equal(d.moved, 3);
    assert_string_equal(d.path, "/a/b");
    assert_true(d.since_ms > 0 && d.since_ms <= tls_now_ms());
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    board_begin(b, BOARD_GET, path);
    board_read(b, &d);
    assert_int_equal(strlen(d.path), BOARD_PATH - 1);
    assert_int_equal(d.done + d.total + d.moved, 0);
    board_end(b);
    board_read(b, &d);
    assert_int_equal(d.op, BOARD_NOTHING);
    assert_string_equal(d.path, "");
    board_free(b);
}

/* A child writes what the parent reads; anything at all may stand there. */
static void lies(void **state)
{
    struct board_doing d;
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct board *b = board_new();
        uint8_t *raw = (uint8_t *)b;
        srandom((unsigned)round);
        for (size_t i = 0; i < sizeof d; i++)
            raw[i] = round == 0 ? 0xff : (uint8_t)random();
        for (int i = 0; i < 4 && round > 0; i++) /* an op that there is, after a turn or in one */
            raw[4 + 4 * i] = (uint8_t)(1 + random() % 2),
                        raw[5 + 4 * i] = raw[6 + 4 * i] = raw[7 + 4 * i] = 0;
        board_read(b, &d);
        assert_true((unsigned)d.op < BOARD_OPS && (unsigned)d.phase < BOARD_PHASES);
        assert_true(d.done <= d.total);
        assert_true(d.since_ms >= 0 && d.since_ms <= tls_now_ms());
        assert_non_null(memchr(d.path, '\0', sizeof d.path));
        assert_non_null(board_op_name(d.op));
        assert_non_null(board_phase_name(d.phase));
        board_free(b);
    }
}

/* How a child ends that writes to the page. */
static int child(struct board *b)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka's own would go on with the tests */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        board_begin(b, BOARD_PUT, "/mine");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void sealed(void **state)
{
    struct board *b = board_new();
    struct board_doing d;
    (void)state;
    assert_int_equal(child(b), 0);
    board_read(b, &d);
    assert_string_equal(d.path, "/mine");
    board_end(b);
    board_seal(b);
    assert_int_not_equal(child(b), 0);
    board_read(b, &d);
    assert_int_equal(d.op, BOARD_NOTHING);
    board_free(b);
}

static void none(void **state)
{
    struct board_doing d;
    (void)state;
    board_begin(NULL, BOARD_PUT, "/x");
    board_progress(NULL, BOARD_MOVING, 1, 2, 3);
    board_end(NULL);
    board_seal(NULL);
    board_read(NULL, &d);
    assert_int_equal(d.op, BOARD_NOTHING);
    board_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(told), cmocka_unit_test(lies),
                                       cmocka_unit_test(sealed), cmocka_unit_test(none)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
