/* SPDX-License-Identifier: ISC */
/* The log: what a line looks like, and that nothing from outside can break or colour one. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- scrubbing ---- */

#define BYTES(s) s, sizeof(s) - 1

static const struct {
    const char *in;
    size_t n;
    const char *out;
} table[] = {
    {BYTES(""), ""},
    {BYTES("plain text, 42 ~"), "plain text, 42 ~"},
    {BYTES("\x1b[2J\x1b]0;t\x07"), "\\x1b[2J\\x1b]0;t\\x07"},
    {BYTES("a\r\nb"), "a\\x0d\\x0ab"},
    {BYTES("a\tb"), "a\\x09b"},
    {BYTES("a\0b"), "a\\x00b"},
    {BYTES("\x7f"), "\\x7f"},
    {BYTES("a\\nb"), "a\\nb"},
    {BYTES("\\x1b"), "\\x1b"}, /* scrubbed already: a reason passes through several processes */
    {BYTES("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f"},
    {BYTES("\xe2\x82\xac"), "\xe2\x82\xac"},
    {BYTES("\xf0\x9f\x93\xa6"), "\xf0\x9f\x93\xa6"},
    {BYTES("\xc2\x9b"
           "31m"),
     "\\xc2\\x9b31m"},                 /* C1: CSI */
    {BYTES("\xc2\x80"), "\\xc2\\x80"}, /* C1: the first */
    {BYTES("\xc2\xa0"), "\xc2\xa0"},   /* no-break space: no C1 */
    {BYTES("\x9b"
           "31m"),
     "\\x9b31m"}, /* CSI as one byte */
    {BYTES("\xe2\x80\xae"
           "exe.txt"),
     "\\xe2\\x80\\xaeexe.txt"},                          /* U+202E */
    {BYTES("\xe2\x80\xaa"), "\\xe2\\x80\\xaa"},          /* U+202A */
    {BYTES("\xe2\x80\x8e"), "\\xe2\\x80\\x8e"},          /* U+200E */
    {BYTES("\xe2\x80\x8f"), "\\xe2\\x80\\x8f"},          /* U+200F */
    {BYTES("\xe2\x81\xa6"), "\\xe2\\x81\\xa6"},          /* U+2066 */
    {BYTES("\xe2\x81\xa9"), "\\xe2\\x81\\xa9"},          /* U+2069 */
    {BYTES("\xd8\x9c"), "\\xd8\\x9c"},                   /* U+061C */
    {BYTES("\xe2\x80\xa8"), "\\xe2\\x80\\xa8"},          /* line separator */
    {BYTES("\xe2\x80\xa9"), "\\xe2\\x80\\xa9"},          /* paragraph separator */
    {BYTES("\xc0\x8a"), "\\xc0\\x8a"},                   /* overlong newline */
    {BYTES("\xc1\xbf"), "\\xc1\\xbf"},                   /* overlong DEL */
    {BYTES("\xe0\x80\x8a"), "\\xe0\\x80\\x8a"},          /* overlong, three bytes */
    {BYTES("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf"},          /* overlong U+07FF */
    {BYTES("\xf0\x80\x80\x8a"), "\\xf0\\x80\\x80\\x8a"}, /* overlong, four bytes */
    {BYTES("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf"}, /* overlong U+FFFF */
    {BYTES("\xed\xa0\x80"), "\\xed\\xa0\\x80"},          /* surrogate */
    {BYTES("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"}, /* past U+10FFFF */
    {BYTES("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80"},
    {BYTES("\xff\xfe"), "\\xff\\xfe"},
    {BYTES("\x80"), "\\x80"},
    {BYTES("a\xe2\x82"), "a\\xe2\\x82"}, /* ends in the middle */
    {BYTES("\xc3"), "\\xc3"},
    {BYTES("\xf0\x9f\x93"), "\\xf0\\x9f\\x93"},
    {BYTES("\xe2\x82"
           "A"),
     "\\xe2\\x82"
     "A"},                                    /* broken off by ASCII */
    {BYTES("\xc3\xc3\xbc"), "\\xc3\xc3\xbc"}, /* a good one behind a broken one */
};

static void the_table_holds(void **state)
{
    (void)state;
    char out[200];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char *copy = malloc(table[i].n + 1); /* a byte more, which must not be read as content */
        memcpy(copy, table[i].in, table[i].n);
        copy[table[i].n] = '\xac';
        size_t n = log_scrub(out, sizeof out, copy, table[i].n);
        free(copy);
        if (strcmp(out, table[i].out) != 0)
            fail_msg("row %zu: %s instead of %s", i, out, table[i].out);
        assert_int_equal(n, strlen(out));
    }
}

static void escapes_and_characters_are_not_cut(void **state)
{
    (void)state;
    static const char in[] = "ab\x1b\xe2\x82\xac";
    static const char *const want[] = {
        "", "", "a", "ab", "ab", "ab", "ab", "ab\\x1b", "ab\\x1b", "ab\\x1b", "ab\\x1b\xe2\x82\xac",
    };
    for (size_t cap = 1; cap < sizeof want / sizeof want[0]; cap++) {
        char *out = malloc(cap);
        assert_int_equal(log_scrub(out, cap, in, sizeof in - 1), strlen(want[cap]));
        assert_string_equal(out, want[cap]);
        free(out);
    }
    char untouched = 'u';
    assert_int_equal(log_scrub(&untouched, 0, in, sizeof in - 1), 0);
    assert_int_equal(untouched, 'u');
}

static void no_byte_gets_through(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char in[2] = {(char)a, (char)b}, out[16];
            size_t n = log_scrub(out, sizeof out, in, 2);
            for (size_t i = 0; i < n; i++)
                assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
        }
}

/* ---- lines ---- */

static int kept = -1, file = -1;
static char captured[8192];

static void capture(void)
{
    fflush(stderr);
    kept = dup(STDERR_FILENO);
    file = memfd_create("log", MFD_CLOEXEC);
    assert_true(kept >= 0 && file >= 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
}

static const char *captured_text(void)
{
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t n = pread(file, captured, sizeof captured - 1, 0);
    close(file);
    assert_true(n >= 0);
    captured[n] = '\0';
    return captured;
}

static void a_daemon_line_says_who_and_how_bad(void **state)
{
    (void)state;
    char want[200];
    log_init("consignd", LOG_LVL_INFO, false);
    log_context("peer=192.0.2.7:50312 user=alice");
    capture();
    log_error("bad %d", 1);
    log_warn("worse");
    log_info("fine");
    log_debug("not shown");
    log_context(NULL);
    log_info("alone");
    int pid = (int)getpid();
    snprintf(want, sizeof want,
             "consignd[%d] error peer=192.0.2.7:50312 user=alice: bad 1\n"
             "consignd[%d] warning peer=192.0.2.7:50312 user=alice: worse\n",
             pid, pid);
    const char *got = captured_text();
    assert_memory_equal(got, want, strlen(want));
    snprintf(want, sizeof want,
             "consignd[%d] info peer=192.0.2.7:50312 user=alice: fine\n"
             "consignd[%d] info: alone\n",
             pid, pid);
    assert_string_equal(strstr(got, "worse\n") + 6, want);
}

static void a_plain_line_is_the_text(void **state)
{
    (void)state;
    log_init("consign", LOG_LVL_WARN, true);
    log_context("hidden=yes");
    capture();
    log_warn("a %s", "b");
    log_info("not shown");
    assert_string_equal(captured_text(), "consign: a b\n");
    log_context(NULL);
}

static void names_cannot_forge_lines(void **state)
{
    (void)state;
    log_init("consign", LOG_LVL_INFO, true);
    capture();
    log_info("\"%s\"", "a\nconsign: all is well\x1b[8m");
    assert_string_equal(captured_text(), "consign: \"a\\x0aconsign: all is well\\x1b[8m\"\n");
}

static void the_context_cannot_either(void **state)
{
    (void)state;
    char longest[400];
    log_init("consignd", LOG_LVL_INFO, false);
    log_context("user=x\nconsignd[1] info: forged\x1b[8m");
    capture();
    log_info("text");
    const char *got = captured_text();
    assert_non_null(strstr(got, "user=x\\x0aconsignd[1] info: forged\\x1b[8m: text\n"));
    assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
    memset(longest, 'c', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    log_context(longest);
    capture();
    log_info("text");
    got = captured_text();
    assert_int_equal(strspn(strchr(got, 'c') ? strstr(got, "ccc") : "", "c"), 300);
    log_context(NULL);
}

static void a_long_line_is_still_one_line(void **state)
{
    (void)state;
    char *text = malloc(100001);
    memset(text, '\n', 100000);
    text[100000] = '\0';
    log_init("consign", LOG_LVL_INFO, true);
    capture();
    log_info("%s", text);
    const char *got = captured_text();
    assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
    free(text);
}

static void a_failure_is_remembered(void **state)
{
    (void)state;
    log_init("consign", LOG_LVL_INFO, true);
    log_clear_reason();
    assert_string_equal(log_reason(), "");
    capture();
    assert_int_equal(log_fail(ERR_DENIED, "no %s\n", "way"), ERR_DENIED);
    assert_string_equal(captured_text(), "consign: no way\\x0a\n");
    assert_string_equal(log_reason(), "no way\\x0a");
    capture();
    log_info("does not count");
    captured_text();
    assert_string_equal(log_reason(), "no way\\x0a");
    log_clear_reason();
    assert_string_equal(log_reason(), "");
}

static void a_failed_call_says_why(void **state)
{
    (void)state;
    char want[200];
    capture();
    errno = ENOSPC;
    assert_int_equal(log_fail_errno("writing \"%s\"", "x"), ERR_NOSPACE);
    assert_int_equal(errno, ENOSPC);
    captured_text();
    snprintf(want, sizeof want, "writing \"x\": %s", strerror(ENOSPC));
    assert_string_equal(log_reason(), want);
    capture();
    errno = 0; /* a failure is never a success, whatever errno says */
    assert_int_equal(log_fail_errno("odd"), ERR_INTERNAL);
    captured_text();
}

static void quiet_remembers_in_silence(void **state)
{
    (void)state;
    log_init("consign", LOG_LVL_INFO, true);
    log_quiet(true);
    capture();
    assert_int_equal(log_fail(ERR_IO, "unheard"), ERR_IO);
    log_info("heard");
    log_quiet(false);
    assert_string_equal(captured_text(), "consign: heard\n");
    assert_string_equal(log_reason(), "unheard");
}

static void logging_keeps_errno(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    kept = dup(STDERR_FILENO);
    dup2(full, STDERR_FILENO);
    errno = ENOENT;
    log_error("to nowhere");
    int after = errno;
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(full);
    assert_int_equal(after, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(escapes_and_characters_are_not_cut),
        cmocka_unit_test(no_byte_gets_through),
        cmocka_unit_test(a_daemon_line_says_who_and_how_bad),
        cmocka_unit_test(a_plain_line_is_the_text),
        cmocka_unit_test(names_cannot_forge_lines),
        cmocka_unit_test(the_context_cannot_either),
        cmocka_unit_test(a_long_line_is_still_one_line),
        cmocka_unit_test(a_failure_is_remembered),
        cmocka_unit_test(a_failed_call_says_why),
        cmocka_unit_test(quiet_remembers_in_silence),
        cmocka_unit_test(logging_keeps_errno),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
