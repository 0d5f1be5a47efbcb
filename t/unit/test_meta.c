/* SPDX-License-Identifier: ISC */
/* Sets of attributes: their bounds, their names, what is malformed; and from one file to another. */
#include "log.h"
#include "meta.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static struct buf set;

static int begin(void **state)
{
    (void)state;
    buf_init(&set, META_SET_MAX);
    return 0;
}

static int end(void **state)
{
    (void)state;
    buf_release(&set);
    return 0;
}

static bool add(const char *name, const char *value)
{
    return meta_add(&set, slice_str(name), slice_str(value));
}

static enum err check(unsigned kinds)
{
    struct meta m = {.kinds = kinds, .set = slice_of(set.data, set.len)};
    return meta_check(&m, "test");
}

static void names(void **state)
{
    static const char *const none[] = {"",
                                       "user",
                                       "user.",
                                       "USER.x",
                                       "xuser.x",
                                       "security.capability",
                                       "security.selinux",
                                       "trusted.x",
                                       "system.",
                                       "system.other",
                                       "system.posix_acl_access ",
                                       "system.posix_acl_acces"};
    char longest[META_NAME_MAX + 2] = "user.";
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(meta_kind(slice_str(none[i])), 0);
    assert_int_equal(meta_kind(slice_str("user.x")), META_XATTRS);
    assert_int_equal(meta_kind(slice_str("user..")), META_XATTRS);
    assert_int_equal(meta_kind(slice_str("system.posix_acl_access")), META_ACLS);
    assert_int_equal(meta_kind(slice_str("system.posix_acl_default")), META_ACLS);
    assert_int_equal(meta_kind(slice_of("user.x\0y", 8)), 0);
    assert_int_equal(meta_kind(slice_of("user.\0", 6)), 0);
    memset(longest + 5, 'x', META_NAME_MAX - 5);
    assert_int_equal(meta_kind(slice_str(longest)), META_XATTRS);
    longest[META_NAME_MAX] = 'x';
    assert_int_equal(meta_kind(slice_str(longest)), 0);
}

static void there_and_back(void **state)
{
    struct slice rest, name, value;
    (void)state;
    assert_true(add("user.a", "value") && add("user.empty", "") && add("user.b", "x"));
    assert_int_equal(check(META_XATTRS), ERR_OK);
    rest = slice_of(set.data, set.len);
    assert_true(meta_take(&rest, &name, &value));
    assert_true(slice_eq(name, slice_str("user.a")) && slice_eq(value, slice_str("value")));
    assert_true(meta_take(&rest, &name, &value));
    assert_true(slice_eq(name, slice_str("user.empty")) && value.n == 0);
    assert_true(meta_take(&rest, &name, &value));
    assert_true(slice_eq(name, slice_str("user.b")) && slice_eq(value, slice_str("x")));
    assert_false(meta_take(&rest, &name, &value));
    assert_int_equal(rest.n, 0);
}

static void bounds(void **state)
{
    static uint8_t big[65536];
    char name[16];
    (void)state;
    for (int i = 0; i < META_MAX; i++) {
        snprintf(name, sizeof name, "user.%d", i);
        assert_true(add(name, "v"));
    }
    assert_false(add("user.more", "v"));
    assert_int_equal(check(META_XATTRS), ERR_OK);
    buf_put(&set, "\6user.x\0\0", 9); /* one more, by hand */
    assert_int_equal(check(META_XATTRS), ERR_LIMIT);
    buf_clear(&set);
    assert_false(meta_add(&set, slice_str("user.x"), slice_of(big, 65536)));
    assert_true(meta_add(&set, slice_str("user.x"), slice_of(big, 65536 - 9 - 10)));
    assert_false(add("user.y", "xx"));
    assert_true(add("user.y", "x"));
    assert_int_equal(set.len, META_SET_MAX);
    assert_int_equal(check(META_XATTRS), ERR_OK);
}

static void kinds_that_were_not_meant(void **state)
{
    (void)state;
    assert_true(add("system.posix_acl_access", "v"));
    assert_int_equal(check(META_XATTRS), ERR_NAME);
    assert_int_equal(check(META_OWNERS), ERR_NAME);
    assert_int_equal(check(META_ACLS), ERR_OK);
    assert_true(add("trusted.x", "v"));
    assert_int_equal(check(META_ALL), ERR_NAME);
}

/* Every set that is cut short, and every byte of one changed: no more than refused. */
static void malformed(void **state)
{
    uint8_t *copy;
    (void)state;
    assert_true(add("user.a", "value") && add("user.b", "x"));
    for (size_t n = 1; n < set.len; n++) {
        copy = malloc(n); /* of that size: AddressSanitizer sees what reads beyond */
        assert_non_null(copy);
        memcpy(copy, set.data, n);
        struct meta m = {.kinds = META_ALL, .set = slice_of(copy, n)};
        assert_int_equal(meta_check(&m, "test"), n == 14 ? ERR_OK : ERR_PROTO);
        free(copy);
    }
    for (size_t at = 0; at < set.len; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            copy = malloc(set.len);
            assert_non_null(copy);
            memcpy(copy, set.data, set.len);
            copy[at] = (uint8_t)byte;
            struct meta m = {.kinds = META_ALL, .set = slice_of(copy, set.len)};
            enum err e = meta_check(&m, "test");
            assert_true(e == ERR_OK || e == ERR_PROTO || e == ERR_NAME);
            free(copy);
        }
    buf_clear(&set);
    buf_put(&set, "\0\0\0", 3); /* no name */
    assert_int_equal(check(META_ALL), ERR_PROTO);
}

static void from_one_file_to_another(void **state)
{
    char a[] = "./meta-a-XXXXXX", b[] = "./meta-b-XXXXXX", value[8];
    struct meta m;
    (void)state;
    int from = mkstemp(a), to = mkstemp(b);
    assert_true(from >= 0 && to >= 0);
    unlink(a);
    unlink(b);
    if (fsetxattr(from, "user.a", "one", 3, 0) < 0)
        skip(); /* a filesystem without */
    assert_int_equal(fsetxattr(from, "user.e", "", 0, 0), 0);
    assert_int_equal(fsetxattr(to, "user.stays", "s", 1, 0), 0);
    assert_int_equal(meta_read(from, META_ACLS, "a", &set, &m), ERR_OK);
    assert_int_equal(m.set.n, 0);
    assert_int_equal(meta_read(from, META_ALL, "a", &set, &m), ERR_OK);
    assert_true(m.uid == geteuid() && m.kinds == META_ALL && meta_check(&m, "a") == ERR_OK);
    m.kinds = META_ACLS; /* what is not of its kinds is not set */
    assert_int_equal(meta_write(to, &m, "b"), ERR_OK);
    assert_int_equal(fgetxattr(to, "user.a", value, sizeof value), -1);
    m.kinds = META_XATTRS;
    assert_int_equal(meta_write(to, &m, "b"), ERR_OK);
    assert_int_equal(fgetxattr(to, "user.a", value, sizeof value), 3);
    assert_memory_equal(value, "one", 3);
    assert_int_equal(fgetxattr(to, "user.e", value, sizeof value), 0);
    assert_int_equal(fgetxattr(to, "user.stays", value, sizeof value), 1);
    close(from);
    close(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names, begin, end),
        cmocka_unit_test_setup_teardown(there_and_back, begin, end),
        cmocka_unit_test_setup_teardown(bounds, begin, end),
        cmocka_unit_test_setup_teardown(kinds_that_were_not_meant, begin, end),
        cmocka_unit_test_setup_teardown(malformed, begin, end),
        cmocka_unit_test_setup_teardown(from_one_file_to_another, begin, end),
    };
    log_quiet(true);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
