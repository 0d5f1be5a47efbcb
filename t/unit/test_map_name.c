/* SPDX-License-Identifier: ISC */
/* Names of users, and templates of them. */
#include "../../server/map_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct map_name name_of(const char *text)
{
    struct map_name n;
    const char *why = map_name_parse(text, &n);
    if (why)
        fail_msg("%s: %s", text, why);
    return n;
}

static void wrong(const char *text, const char *part)
{
    struct map_name n;
    const char *why = map_name_parse(text, &n);
    if (!why || !strstr(why, part))
        fail_msg("%s: %s", text, why ? why : "taken");
}

static void names(void **state)
{
    char text[80];
    (void)state;
    (void)name_of("alice");
    (void)name_of("%{CN}");
    (void)name_of("acme.%{email}");
    (void)name_of("%{UID}@acme");
    wrong("", "1 to 64");
    wrong(".a", "1 to 64");
    wrong("-%{CN}", "1 to 64");
    wrong("a/%{CN}", "1 to 64");
    wrong("%{CN}/..", "1 to 64");
    wrong("a%b", "1 to 64");
    wrong("%{cn}", "nothing else");
    wrong("%{CN", "nothing else");
    wrong("%{uri}", "nothing else");
    wrong("%{OU}.%{CN}", "one variable only");
    memset(text, 'a', sizeof text);
    memcpy(text + 63, "%{CN}", 6);
    (void)name_of(text);
    memcpy(text + 63, "a%{CN}", 7);
    wrong(text, "1 to 64");
}

/* The name for a value; "" when there is none. */
static const char *made(const char *template, const void *value, size_t n)
{
    static char user[MAP_NAME];
    struct map_name name = name_of(template);
    return map_name_make(&name, slice_of(value, n), user) ? "" : user;
}

static void values(void **state)
{
    static const char *const bad[] = {
        "",     ".",     "..",      ".x",    "-x",      "a/b", "/",        "../x", "a b",
        "a\nb", "a\\b",  "%{CN}",   "a%b",   "a:b",     "a*",  "\xc3\xa9", "a,b",  "a+b",
        "\x1b", "a\x7f", "..%2f..", "~root", "alice\n", " a",  "a "};
    char much[70];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_string_equal(made("acme.%{CN}", bad[i], strlen(bad[i])), "");
    assert_string_equal(made("acme.%{CN}", "al\0ice", 6), "");
    assert_string_equal(made("acme.%{CN}", "alice\0", 6), "");
    assert_string_equal(made("acme.%{CN}", NULL, 0), "");
    assert_string_equal(made("acme.%{CN}", "alice", 5), "acme.alice");
    assert_string_equal(made("%{CN}", "a..b", 4), "a..b");
    memset(much, 'a', sizeof much);
    assert_int_equal(strlen(made("%{CN}", much, 64)), 64);
    assert_string_equal(made("%{CN}", much, 65), "");
    assert_string_equal(made("b%{CN}", much, 64), "");
    assert_int_equal(strlen(made("b%{CN}", much, 63)), 64);
}

static bool has(const char *template, const char *user, const char *value)
{
    char got[MAP_NAME];
    struct map_name name = name_of(template);
    return map_name_value(&name, user, got) && strcmp(got, value) == 0;
}

static void back_again(void **state)
{
    (void)state;
    assert_true(has("acme.%{CN}", "acme.alice", "alice"));
    assert_true(has("%{CN}.x", "a.x.x", "a.x"));
    assert_true(has("alice", "alice", ""));
    assert_false(has("alice", "bob", ""));
    assert_false(has("acme.%{CN}", "acme.", ""));
    assert_false(has("acme.%{CN}", "alice", "alice"));
    assert_false(has("acme.%{CN}", "acme..alice", ".alice"));
    assert_false(has("acme.%{CN}", "acme.a/b", "a/b"));
    assert_false(has("acme.%{CN}", "acme.-a", "-a"));
    assert_false(has("ab%{CN}ba", "aba", ""));
}

static bool clash(const char *a, const char *b)
{
    struct map_name na = name_of(a), nb = name_of(b);
    assert_int_equal(map_name_clash(&na, &nb), map_name_clash(&nb, &na));
    return map_name_clash(&na, &nb);
}

static void clashes(void **state)
{
    (void)state;
    assert_true(clash("%{CN}", "%{UID}"));
    assert_true(clash("%{CN}", "acme.%{CN}"));
    assert_true(clash("a%{CN}", "ab%{CN}"));
    assert_true(clash("a%{CN}", "%{CN}b"));
    assert_false(clash("acme.%{CN}", "zeta.%{CN}"));
    assert_false(clash("%{CN}@acme", "%{CN}@zeta"));
    assert_true(clash("acme.%{CN}", "acme.bob"));
    assert_false(clash("acme.%{CN}", "bob"));
    assert_false(clash("acme.%{CN}", "acme."));
}

static void folder(const char *template, const char *dir, const char *user, const char *is)
{
    struct map_name n = name_of(template);
    assert_null(map_dir_check(dir, &n));
    char *got = map_dir_of(dir, &n, user);
    assert_string_equal(got, is);
    free(got);
}

static void bad_folder(const char *template, const char *dir)
{
    struct map_name n = name_of(template);
    if (!map_dir_check(dir, &n))
        fail_msg("taken: %s for %s", dir, template);
}

static void folders(void **state)
{
    bool own;
    (void)state;
    folder("acme.%{CN}", "/srv/%{user}/in", "acme.alice", "/srv/acme.alice/in");
    folder("acme.%{CN}", "/srv/%{CN}", "acme.alice", "/srv/alice");
    folder("acme.%{CN}", "/srv/%{CN}/%{user}/%{CN}", "acme.b", "/srv/b/acme.b/b");
    folder("alice", "/srv/%{user}", "alice", "/srv/alice");
    folder("alice", "/srv/a%b", "alice", "/srv/a%b");
    bad_folder("alice", "/srv/%{CN}");
    bad_folder("%{CN}", "/srv/%{OU}");
    bad_folder("%{CN}", "/srv/x%{CN}");
    bad_folder("%{CN}", "/srv/.%{CN}");
    bad_folder("%{CN}", "/srv/%{CN}x");
    bad_folder("%{CN}", "/srv/%{CN");
    bad_folder("%{CN}", "/srv/%{}");
    char *above = map_dir_above("/srv/%{CN}/in", &own);
    assert_string_equal(above, "/srv/");
    assert_false(own);
    free(above);
    above = map_dir_above("/%{user}", &own);
    assert_string_equal(above, "/");
    assert_true(own);
    free(above);
    assert_null(map_dir_above("/srv", &own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(values),  cmocka_unit_test(back_again),
        cmocka_unit_test(clashes), cmocka_unit_test(folders),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
