/* SPDX-License-Identifier: ISC */
/* What goes into the kernel's pool: tested bytes, and none else. The pool is a file here. */
#include "../../server/seed.h"

#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char pool[] = "/tmp/consign-seed.XXXXXX";
static size_t drawn;

static enum err good(const char *source, void *out, size_t n)
{
    (void)source;
    drawn += n;
    return getrandom(out, n, 0) == (ssize_t)n ? ERR_OK : ERR_IO;
}

static enum err stuck(const char *source, void *out, size_t n)
{
    (void)source;
    memset(out, 0x55, n);
    return ERR_OK;
}

/* Good while it is tested for the first time. */
static enum err breaking(const char *source, void *out, size_t n)
{
    return n == HEALTH_START ? good(source, out, n) : stuck(source, out, n);
}

static enum err lost(const char *source, void *out, size_t n)
{
    (void)out;
    (void)n;
    return log_fail(ERR_TOKEN, "%s is gone", source);
}

static off_t written(void)
{
    struct stat st;
    assert_int_equal(stat(pool, &st), 0);
    return st.st_size;
}

static void tested_bytes_are_written(void **state)
{
    struct seed s = {0};
    (void)state;
    drawn = 0;
    assert_int_equal(seed_round(&s, good, "a", pool), ERR_OK);
    assert_int_equal(written(), SEED_BYTES);
    assert_int_equal(drawn, HEALTH_START + SEED_BYTES);
    assert_int_equal(seed_round(&s, good, "a", pool), ERR_OK);
    assert_int_equal(drawn, HEALTH_START + 2 * SEED_BYTES);
}

static void bytes_that_fail_are_not(void **state)
{
    struct seed s = {0};
    (void)state;
    assert_int_equal(seed_round(&s, stuck, "a", pool), ERR_CORRUPT);
    assert_non_null(strstr(log_reason(), "repetition count"));
    assert_int_equal(written(), 0);
}

static void a_generator_that_breaks_later_is_noticed_and_not_believed_again(void **state)
{
    struct seed s = {0};
    (void)state;
    assert_int_equal(seed_round(&s, breaking, "a", pool), ERR_CORRUPT);
    assert_int_equal(seed_round(&s, good, "a", pool), ERR_CORRUPT);
    assert_int_equal(written(), 0);
}

static void a_lost_token_is_asked_again(void **state)
{
    struct seed s = {0};
    (void)state;
    assert_int_equal(seed_round(&s, lost, "a", pool), ERR_TOKEN);
    assert_int_equal(seed_round(&s, good, "a", pool), ERR_OK);
    assert_int_equal(written(), SEED_BYTES);
}

static void the_kernel_takes_them(void **state)
{
    struct seed s = {0};
    (void)state;
    assert_int_equal(seed_round(&s, good, "a", SEED_POOL), ERR_OK);
    assert_int_equal(seed_round(&s, good, "a", "/nonexistent/pool"), ERR_NOENT);
}

static int empty(void **state)
{
    (void)state;
    return truncate(pool, 0);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(pool);
    log_quiet(true);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tested_bytes_are_written, empty),
        cmocka_unit_test_setup(bytes_that_fail_are_not, empty),
        cmocka_unit_test_setup(a_generator_that_breaks_later_is_noticed_and_not_believed_again,
                               empty),
        cmocka_unit_test_setup(a_lost_token_is_asked_again, empty),
        cmocka_unit_test_setup(the_kernel_takes_them, empty),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
