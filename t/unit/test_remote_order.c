/* SPDX-License-Identifier: ISC */
/* Items and pages of a server that means harm: what is not in order is refused. */
#include "../../client/remote_order.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- pages ---- */

static void items_go_there_and_back(void **state)
{
    struct msg_item in = {.type = MSG_FILE, .mode = 0644, .size = 5, .mtime_ns = 7}, out;
    struct buf b;
    char name[PATH_MAX_BYTES + 1];
    (void)state;
    memset(name, 'n', sizeof name);
    buf_init(&b, MSG_ITEMS_MAX);
    for (size_t n = 0; n <= PATH_MAX_BYTES; n += 512) {
        in.name = slice_of(name, n);
        assert_true(msg_add_item(&b, &in));
    }
    struct slice left = slice_of(b.data, b.len);
    for (size_t n = 0; n <= PATH_MAX_BYTES; n += 512) {
        assert_true(msg_take_item(&left, &out));
        assert_int_equal(out.name.n, n);
        assert_int_equal(out.size, 5);
        assert_int_equal(out.mtime_ns, 7);
    }
    assert_int_equal(left.n, 0);
    assert_false(msg_take_item(&left, &out));
    in.name = slice_of(name, PATH_MAX_BYTES + 1);
    assert_false(msg_add_item(&b, &in));
    buf_release(&b);
}

static void a_page_takes_so_much_and_no_more(void **state)
{
    struct msg_item in = {.type = MSG_FILE, .name = slice_str("name")};
    struct buf b;
    size_t n = 0;
    (void)state;
    buf_init(&b, 1000);
    while (msg_add_item(&b, &in))
        n++;
    assert_true(n >= 10 && b.bad && b.len <= 1000);
    buf_release(&b);
}

/* Cut anywhere, and with any length but the right one, nothing is taken and nothing is read beyond. */
static void malformed_pages_are_refused(void **state)
{
    struct msg_item in = {.type = MSG_FILE, .name = slice_str("name")}, out;
    struct buf b;
    (void)state;
    buf_init(&b, MSG_ITEMS_MAX);
    assert_true(msg_add_item(&b, &in));
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
        assert_non_null(exact);
        memcpy(exact, b.data, n);
        struct slice left = slice_of(exact, n);
        assert_false(msg_take_item(&left, &out));
        assert_ptr_equal(left.p, exact);
        assert_int_equal(left.n, n);
        free(exact);
    }
    buf_put(&b, "\0\0\0", 3);
    size_t right = b.len - 3 - 2;
    for (size_t n = 0; n <= right + 3; n++) {
        struct slice left = slice_of(b.data, b.len);
        b.data[0] = (uint8_t)(n >> 8);
        b.data[1] = (uint8_t)n;
        assert_int_equal(msg_take_item(&left, &out), n == right);
    }
    buf_release(&b);
}

/* ---- order ---- */

struct step {
    uint8_t type;
    const char *name;
};

/* Takes the steps; all but the last must be allowed. Whether that is, too. */
static bool takes(const struct step *steps, bool folders)
{
    struct remote_order o = {0};
    struct remote_item out;
    enum err e = ERR_OK;
    log_quiet(true);
    for (; steps->name; steps++) {
        struct msg_item m = {.type = steps->type, .mode = 7, .name = slice_str(steps->name)};
        assert_int_equal(e, ERR_OK);
        e = remote_order_take(&o, &m, folders, &out);
        if (e == ERR_OK) {
            assert_string_equal(out.path, steps->name);
            assert_int_equal(out.info.type, steps->type);
            assert_int_equal(out.fault, steps->type == MSG_FAULT ? ERR_DENIED : ERR_OK);
        }
    }
    assert_true(e == ERR_OK || e == ERR_PROTO);
    return e == ERR_OK;
}

#define TAKES(...) takes((const struct step[]){__VA_ARGS__, {0, NULL}}, false)

static void what_is_in_order_is_taken(void **state)
{
    (void)state;
    assert_true(TAKES({MSG_FILE, "a"}, {MSG_FOLDER, "b"}, {MSG_LINK, "b/c"}, {MSG_FOLDER, "b/d"},
                      {MSG_FAULT, "anything/../at all"}, {MSG_OTHER, "b/d/\xff"},
                      {MSG_LEAVE, "b/d"}, {MSG_FILE, "b/e"}, {MSG_LEAVE, "b"}, {MSG_FILE, "c"}));
}

static void names_are_one_step_below(void **state)
{
    static const char *const bad[] = {
        "",     "/",     "/a",       "a/",       ".",          "..",   "a/..", "../a", "a/b",
        "a\nb", "a\x7f", ".consign", "d",        "d/",         "d//a", "d/.",  "d/..", "d/a/b",
        "d/a/", "dd/a",  "e/a",      "d/../d/a", "d/.consign", "d\\a", " d/a"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (uint8_t type = MSG_FILE; type <= MSG_OTHER; type++)
            if (TAKES({MSG_FOLDER, "d"}, {type, bad[i]}))
                fail_msg("\"%s\" as %u", bad[i], type);
    assert_true(TAKES({MSG_FOLDER, "d"}, {MSG_FILE, "d/a"}));
    assert_false(TAKES({MSG_FILE, "a/b"}));
    assert_false(TAKES({MSG_FILE, "d"}, {MSG_FILE, "d/a"}));
    assert_false(TAKES({MSG_LINK, "d"}, {MSG_FILE, "d/a"}));
}

static void folders_are_left_in_their_turn(void **state)
{
    (void)state;
    assert_false(TAKES({MSG_LEAVE, ""}));
    assert_false(TAKES({MSG_LEAVE, "a"}));
    assert_false(TAKES({MSG_FOLDER, "a"}, {MSG_LEAVE, ""}));
    assert_false(TAKES({MSG_FOLDER, "a"}, {MSG_LEAVE, "b"}));
    assert_false(TAKES({MSG_FOLDER, "a"}, {MSG_FOLDER, "a/b"}, {MSG_LEAVE, "a"}));
    assert_false(TAKES({MSG_FOLDER, "a"}, {MSG_LEAVE, "a"}, {MSG_FILE, "a/b"}));
    assert_false(TAKES({MSG_FOLDER, "a"}, {MSG_LEAVE, "a"}, {MSG_LEAVE, "a"}));
}

static void targets_are_of_links(void **state)
{
    struct remote_item out;
    (void)state;
    log_quiet(true);
    for (uint8_t type = MSG_FILE; type <= MSG_OTHER; type++) {
        struct remote_order o = {0};
        struct msg_item m = {.type = type, .name = slice_str("a"), .target = slice_str("../b\n")};
        assert_int_equal(remote_order_take(&o, &m, false, &out),
                         type == MSG_LINK ? ERR_OK : ERR_PROTO);
        if (type == MSG_LINK)
            assert_string_equal(out.info.target, "../b\n");
        m.target = slice_of("a\0b", 3);
        assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_PROTO);
        m.target = slice_str("");
        assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_OK);
        assert_null(out.info.target);
    }
}

static void a_name_with_nul_is_refused(void **state)
{
    struct remote_order o = {0};
    struct remote_item out;
    struct msg_item m = {.type = MSG_FILE, .name = slice_of("a\0b", 3)};
    (void)state;
    log_quiet(true);
    assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_PROTO);
    m.type = MSG_FAULT;
    m.mode = ERR_NAME;
    assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_OK);
    assert_string_equal(out.path, "a\\x00b");
}

static void paths_are_bounded(void **state)
{
    static struct remote_order o;
    struct remote_item out;
    char path[PATH_MAX_BYTES + 1];
    struct msg_item m = {.type = MSG_FOLDER};
    (void)state;
    log_quiet(true);
    memset(path, 'n', sizeof path);
    for (size_t n = 255; n < PATH_MAX_BYTES; n += 256) {
        m.name = slice_of(path, n);
        assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_OK);
        path[n] = '/';
    }
    assert_int_equal(strlen(o.folder), PATH_MAX_BYTES - 1);
    m.type = MSG_LEAVE;
    assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_OK);
    m.type = MSG_FILE;
    m.name = slice_of(path, PATH_MAX_BYTES);
    assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_PROTO);
    m.type = MSG_FAULT;
    m.mode = ERR_NAME;
    memset(path, 1, sizeof path);
    assert_int_equal(remote_order_take(&o, &m, false, &out), ERR_OK);
    assert_int_equal(strlen(out.path), 4 * PATH_MAX_BYTES);
}

static void values_are_bounded(void **state)
{
    static const struct {
        struct msg_item m;
        bool folders, good;
    } rows[] = {
        {{.type = MSG_FILE, .mtime_ns = 999999999, .has_root = 1}, false, true},
        {{.type = MSG_FILE, .mtime_ns = 1000000000}, false, false},
        {{.type = MSG_FILE, .has_root = 2}, false, false},
        {{.type = MSG_FOLDER, .has_root = 1}, false, false},
        {{.type = MSG_MISSING}, false, false},
        {{.type = 7}, false, false},
        {{.type = 255}, false, false},
        {{.type = MSG_FAULT, .mode = ERR_OK}, false, false},
        {{.type = MSG_FAULT, .mode = 0x10007}, false, false},
        {{.type = MSG_FAULT, .mode = 999}, false, true}, /* counts as INTERNAL */
        {{.type = MSG_FAULT, .mode = ERR_IO, .has_root = 1}, false, false},
        {{.type = MSG_FAULT, .mode = ERR_IO, .target = {(const uint8_t *)"t", 1}}, false, false},
        {{.type = MSG_FILE}, true, false},
        {{.type = MSG_LINK}, true, false},
        {{.type = MSG_FOLDER}, true, true},
        {{.type = MSG_FAULT, .mode = ERR_IO}, true, true},
    };
    (void)state;
    log_quiet(true);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct remote_order o = {0};
        struct remote_item out;
        struct msg_item m = rows[i].m;
        m.name = slice_str("n");
        enum err e = remote_order_take(&o, &m, rows[i].folders, &out);
        if (e != (rows[i].good ? ERR_OK : ERR_PROTO))
            fail_msg("row %zu: %s", i, err_name(e));
    }
}

static void no_mode_gives_more_than_permissions(void **state)
{
    struct msg_item m = {.type = MSG_FILE, .mode = 0xffffffff};
    struct fs_info info;
    (void)state;
    assert_true(remote_item_info(&m, &info));
    assert_int_equal(info.mode, 0777);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_go_there_and_back),
        cmocka_unit_test(a_page_takes_so_much_and_no_more),
        cmocka_unit_test(malformed_pages_are_refused),
        cmocka_unit_test(what_is_in_order_is_taken),
        cmocka_unit_test(names_are_one_step_below),
        cmocka_unit_test(folders_are_left_in_their_turn),
        cmocka_unit_test(targets_are_of_links),
        cmocka_unit_test(a_name_with_nul_is_refused),
        cmocka_unit_test(paths_are_bounded),
        cmocka_unit_test(values_are_bounded),
        cmocka_unit_test(no_mode_gives_more_than_permissions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
