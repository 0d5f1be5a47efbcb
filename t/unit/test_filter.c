/* SPDX-License-Identifier: ISC */
/* What patterns match, which rule decides, and that no pattern takes for ever. */
#include "../../client/filter.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NO, YES, ONLY_FOLDER };

static const struct {
    const char *pattern, *path;
    int matches;
} table[] = {
    /* one component: at any depth, the last component only */
    {"a", "a", YES},
    {"a", "b/a", YES},
    {"a", "b/c/a", YES},
    {"a", "a/b", NO},
    {"a", "ab", NO},
    {"a", "A", NO},
    {"ab", "a", NO},
    {"*.o", "x.o", YES},
    {"*.o", "a/b/x.o", YES},
    {"*.o", ".o", YES},
    {"*.o", "x.oo", NO},
    {"*", ".hidden", YES},
    {"*", "a/b", YES},
    {"a*c", "abc", YES},
    {"a*c", "ac", YES},
    {"a*c", "acbc", YES},
    {"a*c", "a/c", NO},
    {"a*c", "abcd", NO},
    {"*a*b*", "xaxbx", YES},
    {"*a*b*", "xbxax", NO},
    {"*ab", "aab", YES},
    {"*abab", "abaabab", YES},
    {"**.c", "a/x.c", YES},
    {"?", "a", YES},
    {"?", "ab", NO},
    {"a?c", "a/c", NO},
    {"?*", "a", YES},
    /* anchored */
    {"/a", "a", YES},
    {"/a", "b/a", NO},
    {"/*", "a", YES},
    {"/*", "a/b", NO},
    {"/a/b", "a/b", YES},
    {"/a/b", "x/a/b", NO},
    {"/a/*/c", "a/b/c", YES},
    {"/a/*/c", "a/c", NO},
    {"/a/*/c", "a/b/b/c", NO},
    /* several components: the last ones, at any depth */
    {"a/b", "a/b", YES},
    {"a/b", "x/y/a/b", YES},
    {"a/b", "a/a/b", YES},
    {"a/b", "a/b/c", NO},
    {"a/b", "xa/b", NO},
    {"a/b", "b", NO},
    /* folders only */
    {"a/", "a", ONLY_FOLDER},
    {"a/", "x/a", ONLY_FOLDER},
    {"a/", "a/b", NO},
    {"/a/b/", "a/b", ONLY_FOLDER},
    {"*/", "a/b", ONLY_FOLDER},
    {"**/", "a/b", ONLY_FOLDER},
    /* across folders */
    {"**", "a/b/c", YES},
    {"/**", "a/b/c", YES},
    {"/**/c", "c", YES},
    {"/**/c", "a/b/c", YES},
    {"/a/**", "a", NO},
    {"/a/**", "a/b", YES},
    {"/a/**", "a/b/c", YES},
    {"/a/**", "b/a/c", NO},
    {"a/**", "b/a/c/d", YES},
    {"/a/**/c", "a/c", YES},
    {"/a/**/c", "a/b/b/c", YES},
    {"/a/**/c", "a/c/b", NO},
    {"/a/**/b/**/c", "a/b/c", YES},
    {"/a/**/b/**/c", "a/x/b/x/b/x/c", YES},
    {"/a/**/b/**/c", "a/x/c", NO},
    {"/**/**/c", "c", YES},
    {"/a**c", "a/c", NO}, /* not a component of its own */
    {"/a**c", "abbc", YES},
    /* classes */
    {"[abc]", "b", YES},
    {"[abc]", "d", NO},
    {"[a-c]x", "bx", YES},
    {"[a-c]x", "dx", NO},
    {"[!a-c]", "d", YES},
    {"[!a-c]", "b", NO},
    {"[^a-c]", "b", NO},
    {"[]a]", "]", YES},
    {"[!]a]", "]", NO},
    {"[!]a]", "x", YES},
    {"[a-]", "-", YES},
    {"[-a]", "-", YES},
    {"[a-]", "b", NO},
    {"[\\]]", "]", YES},
    {"[\\a-\\c]", "b", YES},
    {"[a!]", "!", YES},
    {"*[0-9]", "x1x2", YES},
    {"*[0-9]", "x1x", NO},
    /* escapes */
    {"\\*", "*", YES},
    {"\\*", "a", NO},
    {"\\[a]", "[a]", YES},
    {"\\?", "a", NO},
    {"\\\\", "\\", YES},
    {"a]", "a]", YES},
    /* characters are UTF-8, other bytes are themselves */
    {"?", "\xc3\xbc", YES},
    {"??", "\xc3\xbc", NO},
    {"*??", "\xc3\xbc", NO},
    {"[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", YES},
    {"[\xc3\xa4-\xc3\xbc]", "o", NO},
    {"*\xbc", "\xc3\xbc", NO},
    {"?", "\xff", YES},
    {"\xff", "\xff", YES},
    {"\xff", "\xfe", NO},
    {"\xe4", "\xc3\xa4", NO}, /* the byte is not the character of the same number */
    {"[!\xc3\xa4]", "\xe4", YES},
};

static void the_table_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct filter f;
        filter_init(&f);
        assert_int_equal(filter_add(&f, false, table[i].pattern), ERR_OK);
        for (int folder = 0; folder < 2; folder++) {
            bool expect = table[i].matches == YES || (table[i].matches == ONLY_FOLDER && folder);
            if (filter_passes(&f, table[i].path, folder) == expect)
                fail_msg("row %zu: \"%s\" on \"%s\" (folder: %d)", i, table[i].pattern,
                         table[i].path, folder);
        }
        filter_release(&f);
    }
}

static void the_first_match_decides(void **state)
{
    struct filter f;
    (void)state;
    filter_init(&f);
    assert_true(filter_passes(&f, "a", false));
    assert_true(filter_passes(NULL, "a", false));
    assert_int_equal(filter_add(&f, true, "*/"), ERR_OK);
    assert_int_equal(filter_add(&f, true, "*.c"), ERR_OK);
    assert_int_equal(filter_add(&f, false, "*"), ERR_OK);
    assert_int_equal(filter_add(&f, true, "late"), ERR_OK);
    assert_true(filter_passes(&f, "a/b", true));
    assert_true(filter_passes(&f, "a/b.c", false));
    assert_false(filter_passes(&f, "a/b.o", false));
    assert_false(filter_passes(&f, "late", false));
    filter_release(&f);
    assert_int_equal(f.n, 0);
    filter_release(&f);
}

static void patterns_are_copied(void **state)
{
    struct filter f;
    char pattern[] = "/abc/";
    (void)state;
    filter_init(&f);
    assert_int_equal(filter_add(&f, false, pattern), ERR_OK);
    memset(pattern, 'x', sizeof pattern - 1);
    assert_false(filter_passes(&f, "abc", true));
    filter_release(&f);
}

static void nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "",      "/",     "//",    "//a",   "a//",  "a//b",        ".",       "..",
        "./a",   "a/.",   "../a",  "[",     "a[",   "[a",          "[]",      "[!]",
        "[a/b]", "[c-a]", "[a-",   "[a-\\", "[a\\", "[[:alpha:]]", "[[.a.]]", "[[=a=]]",
        "a\\",   "\\",    "a\\/b", "a\n",   "a\r",  "\x1b[m",      "\x7f",
    };
    struct filter f;
    (void)state;
    filter_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (filter_add(&f, false, bad[i]) != ERR_USAGE)
            fail_msg("\"%s\" is taken", bad[i]);
    assert_int_equal(f.n, 0);
    filter_release(&f);
}

static void lengths_are_bounded(void **state)
{
    struct filter f;
    char pattern[FILTER_PATTERN_MAX + 2];
    (void)state;
    filter_init(&f);
    memset(pattern, 'a', sizeof pattern);
    pattern[FILTER_PATTERN_MAX + 1] = '\0';
    assert_int_equal(filter_add(&f, false, pattern), ERR_USAGE);
    pattern[FILTER_PATTERN_MAX] = '\0';
    assert_int_equal(filter_add(&f, false, pattern), ERR_OK);
    assert_false(filter_passes(&f, pattern, false));
    assert_true(filter_passes(&f, pattern + 1, false));
    filter_release(&f);
}

/* n times unit, then last. */
static char *repeat(const char *unit, size_t n, const char *last)
{
    size_t len = strlen(unit);
    char *s = malloc(n * len + strlen(last) + 1);
    assert_non_null(s);
    for (size_t i = 0; i < n; i++)
        memcpy(s + i * len, unit, len);
    memcpy(s + n * len, last, strlen(last) + 1);
    return s;
}

/* A matcher that tries all there is would not come back in a lifetime. */
static void hostile(const char *unit, size_t n, const char *last, const char *path)
{
    struct filter f;
    char *pattern = repeat(unit, n, last);
    filter_init(&f);
    assert_int_equal(filter_add(&f, false, pattern), ERR_OK);
    assert_true(filter_passes(&f, path, false));
    filter_release(&f);
    free(pattern);
}

static void no_pattern_takes_for_ever(void **state)
{
    (void)state;
    char *name = repeat("a", PATH_NAME_MAX, ""), *deep = repeat("a/", 2000, "a"),
         *mixed = repeat("aaaaaaaaaaaaaaa/", 255, "a");
    hostile("*a", 6, "*b", name);
    hostile("*a", 100, "*b", name);
    hostile("*?", 100, "*[!a]", name);
    hostile("**/a/", 500, "**/b", deep);
    hostile("**/*/", 500, "b", deep);
    hostile("**/*a*a*/", 100, "*a*b", mixed);
    hostile("/**/*a*a*a", 100, "/**/b", mixed);
    free(name);
    free(deep);
    free(mixed);
}

/* ---- the same by trying all there is ---- */

static bool slow_name(const char *p, size_t pn, const char *s, size_t sn)
{
    if (pn == 0)
        return sn == 0;
    if (*p == '*')
        return slow_name(p + 1, pn - 1, s, sn) || (sn > 0 && slow_name(p, pn, s + 1, sn - 1));
    return sn > 0 && (*p == '?' || *p == *s) && slow_name(p + 1, pn - 1, s + 1, sn - 1);
}

static const char *next_component(const char *s)
{
    s += strcspn(s, "/");
    return *s ? s + 1 : s;
}

static bool slow_path(const char *p, const char *s)
{
    size_t pn = strcspn(p, "/");
    if (!*p || !*s)
        return !*p && !*s;
    if (pn == 2 && memcmp(p, "**", 2) == 0)
        return !p[pn] || slow_path(next_component(p), s) || slow_path(p, next_component(s));
    return slow_name(p, pn, s, strcspn(s, "/")) && slow_path(next_component(p), next_component(s));
}

/* Up to 9 characters of set, a slash neither at an end nor twice. */
static void random_text(unsigned *seed, const char *set, char out[static 10])
{
    size_t n = 1 + (size_t)rand_r(seed) % 9;
    for (size_t i = 0; i < n; i++) {
        bool slash_ok = i > 0 && i < n - 1 && out[i - 1] != '/';
        do
            out[i] = set[(size_t)rand_r(seed) % strlen(set)];
        while (out[i] == '/' && !slash_ok);
    }
    out[n] = '\0';
}

static void greed_loses_nothing(void **state)
{
    unsigned seed = 1, matches = 0;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        char pattern[11] = "/", path[10];
        struct filter f;
        random_text(&seed, "ab?*****///", pattern + 1);
        random_text(&seed, "ab//", path);
        bool expect = slow_path(pattern + 1, path);
        filter_init(&f);
        assert_int_equal(filter_add(&f, false, pattern), ERR_OK);
        if (filter_passes(&f, path, false) == expect)
            fail_msg("\"%s\" on \"%s\": should be %d", pattern, path, expect);
        filter_release(&f);
        matches += expect;
    }
    assert_in_range(matches, 10000, 190000);
}

/* filter_load of these bytes. */
static enum err load(struct filter *f, const char *bytes, size_t n)
{
    char name[] = "/tmp/consign-filter-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    close(fd);
    enum err e = filter_load(f, name);
    unlink(name);
    return e;
}

static void a_file_gives_excludes(void **state)
{
    static const char text[] = "# a comment\n\n*.o\n/build/\n\\#x\ntwo words \n\nlast";
    struct filter f;
    (void)state;
    filter_init(&f);
    assert_int_equal(filter_add(&f, true, "keep.o"), ERR_OK);
    assert_int_equal(load(&f, text, sizeof text - 1), ERR_OK);
    assert_int_equal(f.n, 6);
    assert_true(filter_passes(&f, "keep.o", false));
    assert_false(filter_passes(&f, "a/x.o", false));
    assert_false(filter_passes(&f, "build", true));
    assert_true(filter_passes(&f, "build", false));
    assert_false(filter_passes(&f, "#x", false));
    assert_true(filter_passes(&f, "two words", false));
    assert_false(filter_passes(&f, "two words ", false));
    assert_false(filter_passes(&f, "last", false));
    assert_true(filter_passes(&f, "# a comment", false));
    assert_int_equal(load(&f, "", 0), ERR_OK);
    assert_int_equal(f.n, 6);
    filter_release(&f);
}

static void a_bad_file_is_named_with_its_line(void **state)
{
    struct filter f;
    char *huge = repeat("a", 2 * FILTER_PATTERN_MAX, ""),
         *most = repeat("a", FILTER_PATTERN_MAX, "\n");
    (void)state;
    filter_init(&f);
    assert_int_equal(load(&f, "a\n\nb\r\nc\n", 8), ERR_USAGE);
    assert_non_null(strstr(log_reason(), ":3: a control character"));
    assert_int_equal(f.n, 1);
    assert_int_equal(load(&f, "x\0y", 3), ERR_USAGE);
    assert_non_null(strstr(log_reason(), ":1: a control character"));
    assert_int_equal(load(&f, huge, strlen(huge)), ERR_USAGE);
    assert_non_null(strstr(log_reason(), ":1: more than 4096 bytes"));
    assert_int_equal(load(&f, most, strlen(most)), ERR_OK);
    assert_int_equal(filter_load(&f, "/dev/zero"), ERR_USAGE);
    assert_int_equal(filter_load(&f, "/tmp"), ERR_TYPE);
    assert_int_equal(filter_load(&f, "/nonexistent/file"), ERR_NOENT);
    filter_release(&f);
    free(huge);
    free(most);
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
        cmocka_unit_test(the_table_holds),
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(patterns_are_copied),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(no_pattern_takes_for_ever),
        cmocka_unit_test(greed_loses_nothing),
        cmocka_unit_test(a_file_gives_excludes),
        cmocka_unit_test(a_bad_file_is_named_with_its_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
