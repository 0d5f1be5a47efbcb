/* SPDX-License-Identifier: ISC */
/* The ledger of a CA: no serial twice, renewals linked, what is read is what was written. */
#include "../../pki/ledger.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/consign-ledger-XXXXXX";
static char path[64];

static struct ledger opened(void)
{
    struct ledger l;
    assert_int_equal(ledger_open(&l, path, true), ERR_OK);
    return l;
}

static struct ledger_entry entry(const char *serial, const char *renews, const char *subject)
{
    struct ledger_entry e = {
        .role = LEDGER_CA, .subject = (char *)(uintptr_t)subject, .at = 1, .not_after = 100};
    strcpy(e.serial, serial);
    strcpy(e.renews, renews);
    return e;
}

static void no_serial_twice(void **state)
{
    struct ledger l = opened();
    struct ledger_entry one = entry("4a00", "", "CN=one"), two = entry("4a00", "", "CN=two");
    (void)state;
    assert_int_equal(ledger_issuing(&l, &one), ERR_OK);
    assert_int_equal(ledger_issuing(&l, &two), ERR_EXISTS);
    assert_int_equal(ledger_issued(&l, "4a00"), ERR_OK);
    ledger_release(&l);
    l = opened();
    assert_int_equal(l.n, 1);
    assert_string_equal(l.entries[0].subject, "CN=one");
    assert_int_equal(l.entries[0].role, LEDGER_CA);
    assert_int_equal(ledger_issuing(&l, &two), ERR_EXISTS);
    ledger_release(&l);
}

static void twice_in_the_file(void **state)
{
    struct ledger l;
    FILE *f = fopen(path, "a");
    (void)state;
    assert_non_null(f);
    fputs("issuing 4a01 1 2 client CN=x\nissuing 4a01 1 2 client CN=y\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(ledger_open(&l, path, false), ERR_CORRUPT);
}

static void renewals(void **state)
{
    struct ledger l = opened();
    struct ledger_entry old = entry("4b00", "", ""), a = entry("4b01", "4b00", "CN=a b%"),
                        b = entry("4b02", "4b00", "CN=b");
    (void)state;
    assert_int_equal(ledger_issuing(&l, &old), ERR_OK);
    assert_null(ledger_renewal(&l, "4b00"));
    assert_int_equal(ledger_issuing(&l, &a), ERR_OK);
    assert_null(ledger_renewal(&l, "4b00")); /* a crash may still undo it */
    assert_int_equal(ledger_issued(&l, "4b01"), ERR_OK);
    assert_int_equal(ledger_issuing(&l, &b), ERR_OK);
    assert_int_equal(ledger_issued(&l, "4b02"), ERR_OK);
    ledger_release(&l);
    l = opened();
    assert_string_equal(l.entries[0].subject, "");
    assert_string_equal(l.entries[1].subject, "CN=a b%");
    assert_string_equal(ledger_renewal(&l, "4b00")->serial, "4b02");
    assert_int_equal(ledger_revoked(&l, "4b02", "unfinished"), ERR_OK);
    assert_string_equal(ledger_renewal(&l, "4b00")->serial, "4b01");
    assert_int_equal(ledger_revoked(&l, "4b01", "superseded"), ERR_OK);
    assert_null(ledger_renewal(&l, "4b00"));
    assert_true(ledger_live(&l.entries[0], 100));
    assert_false(ledger_live(&l.entries[0], 101));
    assert_false(ledger_live(&l.entries[1], 1));
    ledger_release(&l);
}

static void renewal_of_nothing(void **state)
{
    struct ledger l;
    FILE *f = fopen(path, "a");
    (void)state;
    assert_non_null(f);
    fputs("issuing 4c01 1 2 client CN=x 4c00\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(ledger_open(&l, path, false), ERR_CORRUPT);
}

/* As a crash of a filesystem may leave it: longer than what was written. */
static void zeros_at_the_end(void **state)
{
    struct ledger l;
    static const char zeros[100];
    FILE *f = fopen(path, "a");
    (void)state;
    assert_non_null(f);
    fputs("issuing 4d01 1 2 client CN=x\n", f);
    fwrite(zeros, 1, sizeof zeros, f);
    assert_int_equal(fclose(f), 0);
    l = opened();
    assert_int_equal(l.n, 1);
    assert_int_equal(ledger_issued(&l, "4d01"), ERR_OK);
    ledger_release(&l);
    l = opened();
    assert_true(l.n == 1 && l.entries[0].issued);
    ledger_release(&l);
}

static void a_zero_in_a_line(void **state)
{
    static const char *const lines[] = {"\0\n", "\0issuing 4e01 1 2 client CN=x\n"};
    static const size_t lengths[] = {2, 30};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ledger l;
        FILE *f = fopen(path, "a");
        assert_non_null(f);
        assert_int_equal(fwrite(lines[i], 1, lengths[i], f), lengths[i]);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(ledger_open(&l, path, false), ERR_CORRUPT);
    }
}

static int fresh(void **state)
{
    (void)state;
    unlink(path);
    return ledger_create(path) == ERR_OK ? 0 : -1;
}

static int begin(void **state)
{
    (void)state;
    log_quiet(getenv("V") == NULL);
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/ledger", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_serial_twice, fresh),
        cmocka_unit_test_setup(twice_in_the_file, fresh),
        cmocka_unit_test_setup(renewals, fresh),
        cmocka_unit_test_setup(renewal_of_nothing, fresh),
        cmocka_unit_test_setup(zeros_at_the_end, fresh),
        cmocka_unit_test_setup(a_zero_in_a_line, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end);
}
