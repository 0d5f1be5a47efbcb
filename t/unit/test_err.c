/* SPDX-License-Identifier: ISC */
/* The list of errors: one number, one name, one exit status, for all who read it. */
#include "err.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

static const struct row {
    const char *name;
    uint16_t wire;
    int exit;
    bool retry;
    const char *text;
} rows[] = {
#define ERR(name, wire, exit, retry, text) {#name, wire, exit, retry, text},
#include "err.def"
#undef ERR
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

static void every_row_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        enum err e = err_from_wire(rows[i].wire);
        assert_int_equal(e, rows[i].wire);
        assert_string_equal(err_name(e), rows[i].name);
        assert_string_equal(err_text(e), rows[i].text);
        assert_int_equal(err_exit(e), rows[i].exit);
        assert_int_equal(err_retry(e), rows[i].retry);
    }
}

static void numbers_and_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(rows[i].wire, rows[k].wire);
            assert_string_not_equal(rows[i].name, rows[k].name);
        }
}

static void published_statuses_keep_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(ERR_OK, 0);
    assert_int_equal(ERR_PROTO, 4);
    assert_int_equal(ERR_DENIED, 7);
    assert_int_equal(ERR_NOENT, 9);
    assert_int_equal(ERR_CORRUPT, 18);
    assert_int_equal(ERR_INTERNAL, 23);
    assert_int_equal(ERR_AWAY, 24);
    assert_int_equal(ERR_AUDIT, 25);
}

static void exits_are_of_sysexits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        bool known = rows[i].exit == 0 || rows[i].exit == 1 ||
                     (rows[i].exit >= EX__BASE && rows[i].exit <= EX__MAX);
        assert_true(known);
        assert_int_equal(rows[i].exit == 0, rows[i].wire == 0);
    }
}

static void texts_are_lower_case_without_full_stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        size_t n = strlen(rows[i].text);
        assert_true(n > 0);
        assert_int_not_equal(rows[i].text[n - 1], '.');
        /* a word of capitals (PIN, TLS) may begin it */
        assert_true(!isupper((unsigned char)rows[i].text[0]) ||
                    isupper((unsigned char)rows[i].text[1]));
    }
}

static void unknown_statuses_are_internal(void **state)
{
    (void)state;
    static const uint16_t unknown[] = {26, 27, 100, 255, 256, 32768, 65535};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(err_from_wire(unknown[i]), ERR_INTERNAL);
    assert_string_equal(err_name((enum err)9999), "INTERNAL");
    assert_int_equal(err_exit((enum err) - 1), EX_SOFTWARE);
    assert_false(err_retry((enum err)9999));
}

static void errno_values(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum err want;
    } table[] = {
        {0, ERR_OK},
        {ENOENT, ERR_NOENT},
        {EEXIST, ERR_EXISTS},
        {ENOTEMPTY, ERR_NOTEMPTY},
        {EACCES, ERR_DENIED},
        {EPERM, ERR_DENIED},
        {EROFS, ERR_DENIED},
        {ENOSPC, ERR_NOSPACE},
        {EDQUOT, ERR_NOSPACE},
        {EMFILE, ERR_LIMIT},
        {ENAMETOOLONG, ERR_NAME},
        {ELOOP, ERR_NAME},
        {EXDEV, ERR_NAME},
        {EISDIR, ERR_TYPE},
        {ENOTDIR, ERR_TYPE},
        {EBUSY, ERR_BUSY},
        {EAGAIN, ERR_BUSY},
        {ECONNRESET, ERR_CONN},
        {EPIPE, ERR_CONN},
        {ETIMEDOUT, ERR_TIMEOUT},
        {EIO, ERR_IO},
        {EBADF, ERR_IO},
        {4095, ERR_IO},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(err_from_errno(table[i].errnum), table[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(numbers_and_names_are_unique),
        cmocka_unit_test(published_statuses_keep_their_numbers),
        cmocka_unit_test(exits_are_of_sysexits),
        cmocka_unit_test(texts_are_lower_case_without_full_stop),
        cmocka_unit_test(unknown_statuses_are_internal),
        cmocka_unit_test(errno_values),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
