/* SPDX-License-Identifier: ISC */
/* Holes: found where they are, made where they should be, on a file system that can and one that can't. */
#include "hole.h"

#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { UNIT = 1 << 16, UNITS = 40, SIZE = UNITS * UNIT + 77 };

static int fail_punch; /* errno of fallocate */
static unsigned looks; /* calls of lseek */
static bool blind;     /* it can't tell */

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    errno = fail_punch;
    return fail_punch ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

off_t lseek(int fd, off_t offset, int whence)
{
    looks++;
    errno = EINVAL;
    return blind ? -1 : (off_t)syscall(SYS_lseek, fd, offset, whence);
}

static int make(void)
{
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* A file of SIZE bytes with data in each unit that what says, an x. */
static int make_units(const char *what)
{
    int fd = make();
    uint8_t bytes[UNIT];
    memset(bytes, 5, sizeof bytes);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    for (off_t i = 0; what[i]; i++)
        if (what[i] == 'x')
            assert_int_equal(pwrite(fd, bytes, UNIT, i * UNIT), UNIT);
    return fd;
}

static bool has_holes(void)
{
    struct stat st;
    int fd = make_units("");
    assert_int_equal(fstat(fd, &st), 0);
    bool none = st.st_blocks == 0 && lseek(fd, 0, SEEK_DATA) < 0;
    close(fd);
    return none;
}

static void holes_are_found(void **state)
{
    static const char *layouts[] = {"",           "x", ".x", "x.x", "xx..xx", "..........x...xxx",
                                    "x.x.x.x.x.x"};
    (void)state;
    if (!has_holes())
        skip();
    for (size_t l = 0; l < sizeof layouts / sizeof layouts[0]; l++) {
        const char *what = layouts[l];
        size_t n = strlen(what);
        int fd = make_units(what);
        for (size_t wide = 1; wide < 4; wide++) {
            struct hole_map m;
            hole_map_init(&m, fd);
            for (size_t i = 0; i + wide <= UNITS; i += wide) {
                bool hole = true;
                for (size_t k = i; k < i + wide; k++)
                    hole = hole && (k >= n || what[k] != 'x');
                assert_int_equal(hole_covers(&m, i * UNIT, wide * UNIT), hole);
            }
        }
        close(fd);
    }
}

static void the_end_of_the_file_ends_a_hole(void **state)
{
    struct hole_map m;
    (void)state;
    if (!has_holes())
        skip();
    int fd = make_units("x");
    hole_map_init(&m, fd);
    assert_false(hole_covers(&m, UNIT - 1, 2));
    assert_true(hole_covers(&m, UNIT, SIZE - UNIT));
    assert_false(hole_covers(&m, UNIT, SIZE - UNIT + 1));
    assert_true(hole_covers(&m, SIZE - 1, 1));
    assert_false(hole_covers(&m, SIZE, 1));
    assert_false(hole_covers(&m, SIZE + UNIT, UNIT));
    assert_false(hole_covers(&m, 0, 1)); /* back again */
    close(fd);
}

static void a_dense_file_is_looked_at_once(void **state)
{
    struct hole_map m;
    (void)state;
    int fd = make_units("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    assert_int_equal(ftruncate(fd, UNITS * UNIT), 0);
    hole_map_init(&m, fd);
    looks = 0;
    for (uint64_t i = 0; i < UNITS; i++)
        assert_false(hole_covers(&m, i * UNIT, UNIT));
    assert_in_range(looks, 1, 2);
    close(fd);
}

static void what_can_not_be_told_is_data(void **state)
{
    struct hole_map m;
    (void)state;
    int fd = make_units("");
    hole_map_init(&m, fd);
    blind = true;
    looks = 0;
    for (uint64_t i = 0; i < UNITS; i++)
        assert_false(hole_covers(&m, i * UNIT, UNIT));
    blind = false;
    assert_int_equal(looks, 1);
    close(fd);
}

/* Makes [at, at + n) zeros in a file full of data, and looks at all of it. */
static void made(uint64_t at, uint64_t n)
{
    static uint8_t bytes[SIZE];
    struct stat st;
    int fd = make();
    memset(bytes, 5, sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, SIZE, 0), SIZE);
    assert_int_equal(hole_make(fd, at, n), ERR_OK);
    assert_int_equal(pread(fd, bytes, SIZE, 0), SIZE);
    for (uint64_t i = 0; i < SIZE; i++)
        assert_int_equal(bytes[i], i >= at && i - at < n ? 0 : 5);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, SIZE);
    if (!fail_punch && n >= (uint64_t)4 * UNIT && at < SIZE && has_holes())
        assert_true((uint64_t)st.st_blocks * 512 < SIZE - 2 * UNIT);
    close(fd);
}

static void holes_are_made(void **state)
{
    static const struct {
        uint64_t at, n;
    } ranges[] = {{0, SIZE},          {0, 1},         {UNIT, UNIT}, {UNIT + 1, 7 * UNIT},
                  {2 * UNIT, SIZE},   {SIZE - 1, 1},  {SIZE, UNIT}, {SIZE + 5 * UNIT, UNIT},
                  {3, 20 * UNIT + 3}, {0, 1ull << 40}};
    (void)state;
    fail_punch = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        made(ranges[i].at, ranges[i].n);
    fail_punch = EOPNOTSUPP;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        made(ranges[i].at, ranges[i].n);
    blind = true;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        made(ranges[i].at, ranges[i].n);
    blind = false;
    fail_punch = 0;
}

static void zeros_are_not_written_into_holes(void **state)
{
    struct stat st;
    uint8_t bytes[UNIT];
    (void)state;
    if (!has_holes())
        skip();
    int fd = make();
    memset(bytes, 5, sizeof bytes);
    assert_int_equal(ftruncate(fd, 1ll << 32), 0);
    assert_int_equal(pwrite(fd, bytes, UNIT, 5 * UNIT), UNIT);
    fail_punch = EOPNOTSUPP;
    assert_int_equal(hole_make(fd, 0, 1ull << 32), ERR_OK);
    fail_punch = 0;
    assert_int_equal(pread(fd, bytes, UNIT, 5 * UNIT), UNIT);
    for (size_t i = 0; i < UNIT; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 4 << 20);
    close(fd);
}

static void failures_are_told(void **state)
{
    (void)state;
    int fd = make_units("x");
    fail_punch = ENOSPC;
    assert_int_equal(hole_make(fd, 0, UNIT), ERR_NOSPACE);
    fail_punch = EIO;
    assert_int_equal(hole_make(fd, 0, UNIT), ERR_IO);
    fail_punch = 0;
    close(fd);
    assert_int_equal(hole_make(-1, 0, UNIT), ERR_IO);
    int full = make();
    assert_int_equal(ftruncate(full, UNIT), 0);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", full);
    fd = open(name, O_RDONLY | O_CLOEXEC); /* can't be written to */
    fail_punch = EOPNOTSUPP;
    blind = true;
    assert_int_equal(hole_make(fd, 0, UNIT), ERR_IO);
    blind = false;
    fail_punch = 0;
    close(fd);
    close(full);
}

static int set_up(void **state)
{
    (void)state;
    log_quiet(true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_found),
        cmocka_unit_test(the_end_of_the_file_ends_a_hole),
        cmocka_unit_test(a_dense_file_is_looked_at_once),
        cmocka_unit_test(what_can_not_be_told_is_data),
        cmocka_unit_test(holes_are_made),
        cmocka_unit_test(zeros_are_not_written_into_holes),
        cmocka_unit_test(failures_are_told),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
