/* SPDX-License-Identifier: ISC */
/* Symbolic links that are kept: made where they may be, in the place of what they may replace, told of, never gone
 * through. */
#include "test_fs.h"

static enum err make(const char *path, const char *target, bool overwrite)
{
    struct fs_symlink l = {.path = path, .target = target, .overwrite = overwrite};
    return fs_symlink(&site_fs, &l);
}

static void link_is(const char *rel, const char *target)
{
    char got[FS_TARGET_MAX + 1];
    assert_true(fs_read_link(AT_FDCWD, at(rel), got));
    assert_string_equal(got, target);
}

static void only_where_they_are_kept(void **state)
{
    (void)state;
    assert_int_equal(make("/l", "x", false), ERR_DENIED);
    fs_keep_links(&site_fs);
    memset(calls, 0, sizeof calls);
    assert_int_equal(make("/l", "x", false), ERR_OK);
    assert_string_equal(calls, "D");
    link_is("in/l", "x");
    set_rights(FS_ALL & ~(unsigned)(FS_CREATE | FS_OVERWRITE));
    assert_int_equal(make("/m", "x", true), ERR_DENIED);
    set_rights(FS_OVERWRITE);
    assert_int_equal(make("/m", "x", true), ERR_DENIED);
    assert_int_equal(make("/l", "y", true), ERR_OK);
    set_rights(FS_CREATE);
    assert_int_equal(make("/m", "x", false), ERR_OK);
    assert_int_equal(make("/l", "z", true), ERR_DENIED);
    link_is("in/l", "y");
    assert_int_equal(make("/two/l", "x", false), ERR_OK);
    link_is("in2/l", "x");
}

static void any_target_that_fits(void **state)
{
    static const char *const targets[] = {"/",  "..", "../../out/secret", "/etc/passwd", " ",
                                          "\n", "l"};
    char longest[FS_TARGET_MAX + 2];
    (void)state;
    fs_keep_links(&site_fs);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(make("/l", targets[i], true), ERR_OK);
        link_is("in/l", targets[i]);
    }
    memset(longest, 'x', sizeof longest);
    longest[FS_TARGET_MAX + 1] = '\0';
    assert_int_equal(make("/n", longest, true), ERR_NAME);
    longest[FS_TARGET_MAX] = '\0';
    assert_int_equal(make("/l", longest, true), ERR_OK);
    link_is("in/l", longest);
    assert_int_equal(make("/n", "", true), ERR_NAME);
    assert_false(there("in/n"));
}

static void what_it_may_replace(void **state)
{
    (void)state;
    fs_keep_links(&site_fs);
    sym("old", "in/l");
    assert_int_equal(make("/l", "new", false), ERR_EXISTS);
    assert_int_equal(make("/l", "old", false), ERR_OK); /* it is there */
    link_is("in/l", "old");
    assert_int_equal(make("/l", "new", true), ERR_OK);
    link_is("in/l", "new");
    assert_int_equal(put(&site_fs, "/f", two_chunks('a'), false), ERR_OK);
    assert_true(has_tree("/f"));
    assert_int_equal(make("/f", "new", true), ERR_OK);
    link_is("in/f", "new");
    folder("in/d");
    assert_int_equal(make("/d", "new", true), ERR_TYPE);
    assert_int_equal(mkfifo(at("in/p"), 0600), 0);
    assert_int_equal(make("/p", "new", true), ERR_TYPE);
    assert_int_equal(make("/", "new", true), ERR_DENIED);
    assert_int_equal(make("/two", "new", true), ERR_DENIED);
}

static void a_file_replaces_a_link_and_not_what_it_leads_to(void **state)
{
    (void)state;
    sym("../out/secret", "in/l");
    assert_int_equal(put(&site_fs, "/l", "mine", true), ERR_TYPE);
    fs_keep_links(&site_fs);
    assert_int_equal(put(&site_fs, "/l", "mine", false), ERR_EXISTS);
    assert_int_equal(put(&site_fs, "/l", "mine", true), ERR_OK);
    file_is("in/l", "mine");
    file_is("out/secret", "secret");
    sym("../out", "in/way");
    assert_int_equal(put(&site_fs, "/way/secret", "mine", true), ERR_NAME);
    assert_int_equal(make("/way/l", "x", true), ERR_NAME);
    assert_int_equal(fs_mkdir(&site_fs, "/way", 0700, true), ERR_EXISTS);
    assert_int_equal(source("/way"), ERR_TYPE);
    file_is("out/secret", "secret");
    assert_false(there("out/l"));
}

/* ---- at the worst moment ---- */

static void put_folder(void)
{
    assert_int_equal(unlink(at("in/l")), 0);
    folder("in/l");
}

static void put_link_out(void)
{
    assert_int_equal(unlink(at("in/l")), 0);
    sym("../out", "in/l");
}

static void exchange_way(void)
{
    assert_int_equal(rename(at("in/way"), at("in/away")), 0);
    sym("../out", "in/way");
}

static void names_that_change_lead_nowhere(void **state)
{
    (void)state;
    fs_keep_links(&site_fs);
    sym("old", "in/l");
    before_move = put_folder;
    assert_int_not_equal(make("/l", "new", true), ERR_OK);
    assert_true(there("in/l"));
    assert_int_equal(rmdir(at("in/l")), 0);
    sym("old", "in/l");
    before_move = put_link_out;
    assert_int_equal(make("/l", "new", true), ERR_OK);
    link_is("in/l", "new");
    folder("in/way");
    sym("old", "in/way/l");
    before_move = exchange_way;
    assert_int_equal(make("/way/l", "new", true), ERR_OK);
    link_is("in/away/l", "new");
    assert_false(there("out/l"));
    assert_false(there("out/new"));
}

static void nothing_stays_behind(void **state)
{
    char cmd[128];
    (void)state;
    fs_keep_links(&site_fs);
    sym("old", "in/l");
    assert_int_equal(make("/l", "new", true), ERR_OK);
    before_move = put_folder;
    assert_int_not_equal(make("/l", "newer", true), ERR_OK);
    snprintf(cmd, sizeof cmd, "test -z \"$(ls '%s')\"", at("in/.consign/parts"));
    assert_int_equal(system(cmd), 0);
    site_fs.tidy = true;
    assert_int_equal(rmdir(at("in/l")), 0);
    sym("old", "in/l");
    assert_int_equal(make("/l", "new", true), ERR_OK);
    assert_false(there("in/.consign"));
}

/* ---- telling ---- */

static void targets_are_told_where_links_are_kept(void **state)
{
    struct fs_folder *f;
    struct fs_walk *w;
    struct fs_item item;
    struct fs_info info;
    (void)state;
    sym("../out/secret", "in/l");
    site_fs.roots[0].links = true;
    sym("other", "in2/l");
    for (unsigned flags = 0; flags <= FS_LINKS; flags += FS_LINKS) {
        assert_int_equal(fs_walk_open(&site_fs, "/", flags, &w), ERR_OK);
        while (fs_walk_next(w, &item) == ERR_OK) {
            bool told = flags && strcmp(item.path, "l") == 0;
            assert_int_equal(item.info.target != NULL, told);
            if (told)
                assert_string_equal(item.info.target, "../out/secret");
        }
        fs_walk_close(w);
        assert_int_equal(fs_folder_open(&site_fs, "/", flags, &f), ERR_OK);
        assert_int_equal(fs_folder_stat(f, "l", &info), ERR_OK);
        assert_int_equal(info.type, MSG_LINK);
        assert_int_equal(info.target != NULL, flags != 0);
        fs_folder_close(f);
        assert_int_equal(fs_folder_open(&site_fs, "/two", flags, &f), ERR_OK);
        assert_int_equal(fs_folder_stat(f, "l", &info), ERR_OK);
        assert_null(info.target);
        fs_folder_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(only_where_they_are_kept),
        BOTH(any_target_that_fits),
        BOTH(what_it_may_replace),
        BOTH(a_file_replaces_a_link_and_not_what_it_leads_to),
        BOTH(names_that_change_lead_nowhere),
        BOTH(nothing_stays_behind),
        BOTH(targets_are_told_where_links_are_kept),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
