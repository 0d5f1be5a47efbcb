/* SPDX-License-Identifier: ISC */
/* Which names are legal, and how they are joined. */
#include "log.h"
#include "path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(s)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

static const struct {
    struct slice path;
    bool legal;
} table[] = {
    {BYTES("/"), true},
    {BYTES("/a"), true},
    {BYTES("/a/b/c.txt"), true},
    {BYTES("/..."), true},
    {BYTES("/.a"), true},
    {BYTES("/a/..b"), true},
    {BYTES("/consign"), true},
    {BYTES("/.consigns"), true},
    {BYTES("/.Consign"), true},
    {BYTES("/a b/\"'`$;|&<>*?[]"), true},
    {BYTES("/a\\b"), true},
    {BYTES("/%2e%2e/x"), true},
    {BYTES("/-rf"), true},
    {BYTES("/gr\xc3\xbc\xc3\x9f"), true},
    {BYTES("/\xff\xfe"), true},         /* names are bytes */
    {BYTES("/\xc0\xae\xc0\xae"), true}, /* overlong dots are not dots */
    {BYTES("/\xc2\x80"), true},
    {BYTES(""), false},
    {BYTES("a"), false},
    {BYTES("a/b"), false},
    {BYTES("./a"), false},
    {BYTES("//"), false},
    {BYTES("/a/"), false},
    {BYTES("//a"), false},
    {BYTES("/a//b"), false},
    {BYTES("/."), false},
    {BYTES("/.."), false},
    {BYTES("/a/."), false},
    {BYTES("/a/.."), false},
    {BYTES("/a/./b"), false},
    {BYTES("/../etc/passwd"), false},
    {BYTES("/a/../../b"), false},
    {BYTES("/.consign"), false},
    {BYTES("/a/.consign"), false},
    {BYTES("/a/.consign/parts"), false},
    {BYTES("/\0"), false},
    {BYTES("/a\0b"), false},
    {BYTES("/a\nb"), false},
    {BYTES("/a\rb"), false},
    {BYTES("/\x1b[2J"), false},
    {BYTES("/\x01"), false},
    {BYTES("/\x1f"), false},
    {BYTES("/\x7f"), false},
    {BYTES("/a\t"), false},
    {{NULL, 0}, false},
};

static void the_table_holds(void **state)
{
    (void)state;
    char path[PATH_MAX_BYTES + 1];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        memset(path, 'x', sizeof path);
        enum err e = path_parse(table[i].path, path);
        if (e != (table[i].legal ? ERR_OK : ERR_NAME))
            fail_msg("row %zu: \"%.*s\" gives %s", i, (int)table[i].path.n,
                     (const char *)table[i].path.p, err_name(e));
        if (e == ERR_OK)
            assert_true(slice_eq(slice_str(path), table[i].path));
    }
}

/* '/' and n times 'c', as often as fits in total bytes. */
static struct slice long_path(char *buffer, size_t n, size_t total)
{
    for (size_t i = 0; i < total; i++)
        buffer[i] = i % (n + 1) == 0 ? '/' : 'c';
    return slice_of(buffer, total);
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    char buffer[2 * PATH_MAX_BYTES], path[PATH_MAX_BYTES + 1];
    assert_int_equal(path_parse(long_path(buffer, 255, 256), path), ERR_OK);
    assert_int_equal(path_parse(long_path(buffer, 256, 257), path), ERR_NAME);
    assert_int_equal(path_parse(long_path(buffer, 255, 4096), path), ERR_OK);
    assert_int_equal(strlen(path), 4096);
    assert_int_equal(path_parse(long_path(buffer, 200, 4096), path), ERR_OK);
    assert_int_equal(path_parse(long_path(buffer, 200, 4097), path), ERR_NAME);
    assert_int_equal(path_parse(long_path(buffer, 200, 8000), path), ERR_NAME);
}

static void reasons_are_one_line(void **state)
{
    (void)state;
    char path[PATH_MAX_BYTES + 1];
    struct slice bad = BYTES("/a\n\x1b[31m");
    assert_int_equal(path_parse(bad, path), ERR_NAME);
    assert_null(strchr(log_reason(), '\n'));
    assert_null(strchr(log_reason(), 0x1b));
    assert_non_null(strstr(log_reason(), "control character"));
}

static void names_are_single_components(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name);
    assert_true(path_name_ok(name, 1));
    assert_true(path_name_ok(name, 255));
    assert_false(path_name_ok(name, 256));
    assert_false(path_name_ok(name, 0));
    assert_false(path_name_ok(".", 1));
    assert_false(path_name_ok("..", 2));
    assert_true(path_name_ok("...", 3));
    assert_false(path_name_ok(".consign", 8));
    assert_true(path_name_ok(".consign", 7));
    assert_false(path_name_ok("a/b", 3));
    assert_false(path_name_ok("a\0b", 3));
    assert_false(path_name_ok("a\n", 2));
}

static void the_base_is_the_last_component(void **state)
{
    (void)state;
    assert_string_equal(path_base("/"), "");
    assert_string_equal(path_base("/a"), "a");
    assert_string_equal(path_base("/a/b c"), "b c");
}

static void joining(void **state)
{
    (void)state;
    char out[PATH_MAX_BYTES + 1];
    assert_int_equal(path_join("/", "a", out), ERR_OK);
    assert_string_equal(out, "/a");
    assert_int_equal(path_join("/a/b", "c", out), ERR_OK);
    assert_string_equal(out, "/a/b/c");
    assert_int_equal(path_join(out, "d", out), ERR_OK); /* onto itself */
    assert_string_equal(out, "/a/b/c/d");
    assert_int_equal(path_join("/a", "", out), ERR_NAME);
    assert_int_equal(path_join("/a", "..", out), ERR_NAME);
    assert_int_equal(path_join("/a", "b/c", out), ERR_NAME);
    assert_int_equal(path_join("/a", ".consign", out), ERR_NAME);
}

static void joined_paths_are_bounded(void **state)
{
    (void)state;
    char dir[PATH_MAX_BYTES + 1], out[PATH_MAX_BYTES + 1];
    long_path(dir, 200, 4094);
    dir[4094] = '\0';
    assert_int_equal(path_join(dir, "x", out), ERR_OK);
    assert_int_equal(strlen(out), 4096);
    assert_int_equal(path_join(dir, "xy", out), ERR_NAME);
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
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(reasons_are_one_line),
        cmocka_unit_test(names_are_single_components),
        cmocka_unit_test(the_base_is_the_last_component),
        cmocka_unit_test(joining),
        cmocka_unit_test(joined_paths_are_bounded),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
