/* SPDX-License-Identifier: ISC */
/* The journal's header: there and back, and never believed when it is damaged. */
#include "log.h"
#include "part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int open_journal(void)
{
    int fd = memfd_create("journal", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static struct part_header example(void)
{
    struct part_header h = {
        .length = 123456,
        .chunk_log2 = 20,
        .created = 1700000000,
        .stamped = true,
        .stamp = {.ino = 1, .size = 2, .mtime_s = -3, .ctime_s = 4, .mtime_ns = 5, .ctime_ns = 6},
        .complete = true,
        .root = {1, 2, 3},
        .path = "/in/a.bin",
        .owner = "alice",
    };
    return h;
}

static void a_header_comes_back(void **state)
{
    (void)state;
    struct part_header h = example(), got;
    int fd = open_journal();
    for (int longest = 0; longest < 2; longest++) {
        if (longest) {
            memset(h.path, 'p', sizeof h.path - 1);
            memset(h.owner, 'o', sizeof h.owner - 1);
        }
        assert_int_equal(part_header_write(fd, &h), ERR_OK);
        assert_int_equal(part_header_read(fd, &got), ERR_OK);
        assert_int_equal(got.length, h.length);
        assert_int_equal(got.chunk_log2, h.chunk_log2);
        assert_int_equal(got.created, h.created);
        assert_true(got.stamped && got.complete);
        assert_true(part_stamp_eq(&got.stamp, &h.stamp));
        assert_memory_equal(got.root, h.root, TREE_HASH);
        assert_string_equal(got.path, h.path);
        assert_string_equal(got.owner, h.owner);
    }
    assert_true(lseek(fd, 0, SEEK_END) <= PART_SLOTS);
    close(fd);
}

static void a_damaged_header_is_not_there(void **state)
{
    (void)state;
    struct part_header h = example(), got;
    int fd = open_journal();
    log_clear_reason();
    assert_int_equal(part_header_read(fd, &got), ERR_NOENT);
    assert_int_equal(part_header_write(fd, &h), ERR_OK);
    off_t size = lseek(fd, 0, SEEK_END);
    uint8_t *whole = malloc((size_t)size);
    assert_int_equal(pread(fd, whole, (size_t)size, 0), size);
    for (off_t n = 0; n < size; n++) {
        assert_int_equal(ftruncate(fd, n), 0);
        assert_int_equal(part_header_read(fd, &got), ERR_NOENT);
        assert_int_equal(pwrite(fd, whole, (size_t)size, 0), size);
    }
    for (off_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t flipped = whole[i] ^ (uint8_t)(1 << bit);
            assert_int_equal(pwrite(fd, &flipped, 1, i), 1);
            assert_int_equal(part_header_read(fd, &got), ERR_NOENT);
            assert_int_equal(pwrite(fd, whole + i, 1, i), 1);
        }
    assert_int_equal(part_header_read(fd, &got), ERR_OK);
    assert_string_equal(log_reason(), ""); /* all that in silence */
    free(whole);
    close(fd);
}

static void stamps_differ_in_every_field(void **state)
{
    (void)state;
    struct part_stamp a = example().stamp, b = a;
    assert_true(part_stamp_eq(&a, &b));
    b.ino++;
    assert_false(part_stamp_eq(&a, &b));
    b = a, b.size++;
    assert_false(part_stamp_eq(&a, &b));
    b = a, b.mtime_s++;
    assert_false(part_stamp_eq(&a, &b));
    b = a, b.mtime_ns++;
    assert_false(part_stamp_eq(&a, &b));
    b = a, b.ctime_s++;
    assert_false(part_stamp_eq(&a, &b));
    b = a, b.ctime_ns++;
    assert_false(part_stamp_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back),
        cmocka_unit_test(a_damaged_header_is_not_there),
        cmocka_unit_test(stamps_differ_in_every_field),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
