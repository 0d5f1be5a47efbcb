/* SPDX-License-Identifier: ISC */
/* The file tree: roots and rights, links and special files, list, mkdir, remove, rename. */
#include "test_fs.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- rights ---- */

static void rights_text_is_a_fixed_point(void **state)
{
    char text[80];
    unsigned again;
    (void)state;
    for (unsigned r = 1; r <= FS_ALL; r++) {
        fs_rights_text(r, text, sizeof text);
        assert_true(fs_rights_parse(text, &again));
        assert_int_equal(again, r);
    }
    assert_true(fs_rights_parse(" list,\tread ,, create ", &again));
    assert_int_equal(again, FS_LIST | FS_READ | FS_CREATE);
    assert_true(fs_rights_parse("all", &again));
    assert_int_equal(again, FS_ALL);
    assert_false(fs_rights_parse("list write", &again));
    assert_false(fs_rights_parse("lis", &again));
    assert_false(fs_rights_parse("", &again));
    fs_rights_text(FS_ALL, text, 10);
    assert_true(strlen(text) < 10);
}

enum verb {
    STAT,
    LIST,
    MKDIR,
    REMOVE,
    RMDIR,
    RENAME,
    RENAME_OVER,
    SOURCE,
    PUT_NEW,
    PUT_OVER,
    DISCARD,
    VERBS
};

static enum err nothing(void *arg, const char *name, const struct fs_info *info)
{
    (void)arg, (void)name, (void)info;
    return ERR_OK;
}

/* Each on things that are there, so that only a missing right stops it. */
static enum err act(enum verb verb, const char *dir)
{
    struct fs_info info;
    char path[64], other[64];
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    switch (verb) {
    case STAT:
        return fs_stat(&site_fs, path, &info);
    case LIST:
        return fs_list(&site_fs, dir, nothing, NULL);
    case MKDIR:
        snprintf(path, sizeof path, "%s/new", dir);
        return fs_mkdir(&site_fs, path, 0755, false);
    case REMOVE:
        return fs_remove(&site_fs, path, false);
    case RMDIR:
        snprintf(path, sizeof path, "%s/empty", dir);
        return fs_remove(&site_fs, path, true);
    case RENAME:
        snprintf(other, sizeof other, "%s/free", dir);
        return fs_rename(&site_fs, path, other, false);
    case RENAME_OVER:
        return fs_rename(&site_fs, path, other, true);
    case SOURCE:
        return source(path);
    case PUT_NEW:
        snprintf(path, sizeof path, "%s/upload", dir);
        return put(&site_fs, path, "x", false);
    case PUT_OVER:
        return put(&site_fs, path, "x", true);
    case DISCARD:
        snprintf(path, sizeof path, "%s/part", dir);
        return fs_discard(&site_fs, path);
    default:
        return ERR_INTERNAL;
    }
}

static void fill(void)
{
    struct upload u;
    remove_all(at("in/d"));
    folder("in/d");
    folder("in/d/empty");
    file_put("in/d/file", "file");
    file_put("in/d/other", "other");
    set_rights(FS_ALL);
    assert_int_equal(upload_begin(&site_fs, "/d/part", "p", true, &u), ERR_OK);
    upload_release(&u);
}

static const struct {
    enum verb verb;
    unsigned any_of, all_of; /* the rights it takes */
} needs[] = {
    {STAT, FS_LIST | FS_READ, 0},
    {LIST, FS_LIST, 0},
    {MKDIR, FS_MKDIR, 0},
    {REMOVE, FS_DELETE, 0},
    {RMDIR, FS_DELETE, 0},
    {RENAME, FS_RENAME, 0},
    {RENAME_OVER, FS_RENAME, FS_OVERWRITE},
    {SOURCE, FS_READ, 0},
    {PUT_NEW, FS_CREATE, 0},
    {PUT_OVER, FS_OVERWRITE, 0},
    {DISCARD, FS_CREATE | FS_OVERWRITE, 0},
};

static void every_verb_takes_its_right(void **state)
{
    (void)state;
    assert_int_equal(sizeof needs / sizeof needs[0], VERBS);
    for (size_t v = 0; v < VERBS; v++) {
        for (unsigned r = 0; r <= FS_ALL; r++) {
            bool may = (r & needs[v].any_of) && (r & needs[v].all_of) == needs[v].all_of;
            fill();
            set_rights(r);
            enum err e = act(needs[v].verb, "/d");
            if (e != (may ? ERR_OK : ERR_DENIED))
                fail_msg("verb %zu with rights %u: %s (%s)", v, r, err_name(e), log_reason());
        }
    }
}

/* A missing right says nothing about what is there. */
static void denial_is_the_same_for_what_is_not_there(void **state)
{
    (void)state;
    set_rights(0);
    for (int v = 0; v < VERBS; v++)
        assert_int_equal(act((enum verb)v, "/nowhere"), ERR_DENIED);
}

/* ---- names ---- */

static void illegal_paths_are_refused_by_every_verb(void **state)
{
    static const char *const paths[] = {"/..", "/../out",   "/d/../..",      "relative",
                                        "",    "/.consign", "/d/.consign/x", "//d",
                                        "/d/", "/./d",      "/d/\n"};
    struct fs_info info;
    struct fs_part part;
    (void)state;
    fill();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *p = paths[i];
        assert_int_equal(fs_stat(&site_fs, p, &info), ERR_NAME);
        assert_int_equal(fs_list(&site_fs, p, nothing, NULL), ERR_NAME);
        assert_int_equal(fs_mkdir(&site_fs, p, 0755, true), ERR_NAME);
        assert_int_equal(fs_remove(&site_fs, p, false), ERR_NAME);
        assert_int_equal(fs_remove(&site_fs, p, true), ERR_NAME);
        assert_int_equal(fs_rename(&site_fs, p, "/x", true), ERR_NAME);
        assert_int_equal(fs_rename(&site_fs, "/d/file", p, true), ERR_NAME);
        assert_int_equal(source(p), ERR_NAME);
        assert_int_equal(fs_open_part(&site_fs, p, 1, true, 0, &part), ERR_NAME);
        assert_int_equal(fs_discard(&site_fs, p), ERR_NAME);
        assert_int_equal(fs_list_pending(&site_fs, p, NULL, NULL), ERR_NAME);
    }
    file_is("in/d/file", "file");
}

/* Everything that leads through path, a folder that is none. */
static void expect_closed(const char *path, enum err want)
{
    char below[64];
    struct fs_info info;
    struct fs_part part;
    snprintf(below, sizeof below, "%s/secret", path);
    assert_int_equal(fs_stat(&site_fs, below, &info), want);
    assert_int_equal(fs_list(&site_fs, path, nothing, NULL), want);
    assert_int_equal(fs_remove(&site_fs, below, false), want);
    assert_int_equal(fs_rename(&site_fs, below, "/x", true), want);
    assert_int_equal(fs_rename(&site_fs, "/d/file", below, true), want);
    assert_int_equal(source(below), want);
    assert_int_equal(fs_open_part(&site_fs, below, 1, true, 0, &part), want);
    snprintf(below, sizeof below, "%s/new", path);
    assert_int_equal(fs_mkdir(&site_fs, below, 0755, false), want);
    assert_int_equal(fs_mkdir(&site_fs, below, 0755, true), want);
    snprintf(below, sizeof below, "%s/new/er", path);
    assert_int_equal(fs_mkdir(&site_fs, below, 0755, true), want);
}

static void links_on_the_way_are_refused(void **state)
{
    (void)state;
    fill();
    sym("../out", "in/relative");
    sym(at("out"), "in/absolute");
    sym("/proc/self/root", "in/magic");
    sym("nowhere", "in/dangling");
    sym("loop", "in/loop");
    sym("d", "in/inside");
    folder("in/deep");
    sym("../../out", "in/deep/link");
    expect_closed("/relative", ERR_NAME);
    expect_closed("/absolute", ERR_NAME);
    expect_closed("/magic", ERR_NAME);
    expect_closed("/dangling", ERR_NAME);
    expect_closed("/loop", ERR_NAME);
    expect_closed("/inside", ERR_NAME);
    expect_closed("/deep/link", ERR_NAME);
    expect_closed("/relative/further", ERR_NAME);
    expect_closed("/d/file", ERR_TYPE);
    file_is("out/secret", "secret");
    assert_false(there("out/new"));
    assert_null(strstr(log_reason(), site_top));
}

static void a_missing_folder_is_named(void **state)
{
    struct fs_part part;
    (void)state;
    assert_int_equal(fs_open_part(&site_fs, "/no/such/x", 1, true, 0, &part), ERR_NOENT);
    assert_non_null(strstr(log_reason(), "/no/such"));
    assert_null(strstr(log_reason(), site_top));
    assert_int_equal(source("/no/x"), ERR_NOENT);
}

/* ---- what is no regular file ---- */

static void expect_untouchable(const char *path)
{
    struct fs_part part;
    struct stat before, after;
    char rel[64];
    snprintf(rel, sizeof rel, "in%s", path);
    assert_int_equal(lstat(at(rel), &before), 0);
    assert_int_equal(source(path), ERR_TYPE);
    assert_int_equal(fs_open_part(&site_fs, path, 1, true, 0, &part), ERR_TYPE);
    assert_int_equal(fs_rename(&site_fs, path, "/x", false), ERR_TYPE);
    assert_int_equal(fs_rename(&site_fs, "/d/file", path, true), ERR_TYPE);
    assert_int_equal(lstat(at(rel), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void leaves_other_than_files_are_refused(void **state)
{
    struct fs_info info;
    (void)state;
    fill();
    sym("../out/secret", "in/link");
    sym("nowhere", "in/dangling");
    assert_int_equal(mkfifo(at("in/fifo"), 0666), 0);
    expect_untouchable("/link");
    expect_untouchable("/dangling");
    expect_untouchable("/fifo");
    assert_int_equal(fs_stat(&site_fs, "/link", &info), ERR_OK);
    assert_int_equal(info.type, MSG_LINK);
    assert_int_equal(fs_stat(&site_fs, "/fifo", &info), ERR_OK);
    assert_int_equal(info.type, MSG_OTHER);
    assert_int_equal(fs_remove(&site_fs, "/fifo", false), ERR_TYPE);
    assert_int_equal(fs_remove(&site_fs, "/link", true), ERR_TYPE);
    assert_int_equal(fs_remove(&site_fs, "/link", false), ERR_OK);
    assert_false(there("in/link"));
    file_is("out/secret", "secret");
    assert_int_equal(source("/d"), ERR_TYPE);
    assert_int_equal(source("/"), ERR_TYPE);
}

/* Between the check and the open a FIFO takes the file's place: the open itself must not wait. */
static void opening_a_fifo_does_not_wait(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(mkfifo(at("in/fifo"), 0666), 0);
    int dir = open(at("in"), O_PATH | O_DIRECTORY);
    int fd = openat(dir, "fifo", O_RDONLY | FS_LEAF);
    assert_true(fd >= 0);
    fs_close(&fd);
    assert_int_equal(fs_open_regular(dir, "fifo", O_RDONLY, &st), -1);
    assert_int_equal(errno, ENOTSUP);
    fs_close(&dir);
}

/* A snapshot made of links stays whole when the file is replaced; a stranger's file is not sent. */
static void hard_links(void **state)
{
    (void)state;
    fill();
    assert_int_equal(link(at("in/d/file"), at("in/d/snapshot")), 0);
    assert_int_equal(source("/d/snapshot"), ERR_OK);
    assert_int_equal(put(&site_fs, "/d/file", "new", true), ERR_OK);
    file_is("in/d/file", "new");
    file_is("in/d/snapshot", "file");
    if (geteuid() == 0) {
        assert_int_equal(chown(at("out/secret"), 65534, 65534), 0);
        assert_int_equal(link(at("out/secret"), at("in/d/planted")), 0);
        assert_int_equal(source("/d/planted"), ERR_TYPE);
        assert_int_equal(put(&site_fs, "/d/planted", "mine", true), ERR_OK);
        file_is("out/secret", "secret");
        assert_int_equal(source("/d/planted"), ERR_OK);
    }
}

/* ---- roots, list ---- */

struct seen {
    char names[16][64];
    unsigned types[16], n;
};

static enum err remember(void *arg, const char *name, const struct fs_info *info)
{
    struct seen *s = arg;
    assert_true(s->n < 16);
    snprintf(s->names[s->n], sizeof s->names[0], "%s", name);
    s->types[s->n++] = info->type;
    return ERR_OK;
}

static unsigned count(const struct seen *s, const char *name, unsigned type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->n; i++)
        n += strcmp(s->names[i], name) == 0 && s->types[i] == type;
    return n;
}

static void listing_shows_roots_and_hides_the_service_folder(void **state)
{
    struct seen s = {0};
    (void)state;
    fill();
    file_put("in/two", "hidden by the root of that name");
    file_put("in/bad\nname", "");
    sym("nowhere", "in/link");
    assert_true(there("in/.consign/parts"));
    assert_int_equal(fs_list(&site_fs, "/", remember, &s), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(count(&s, "d", MSG_FOLDER), 1);
    assert_int_equal(count(&s, "two", MSG_FOLDER), 1);
    assert_int_equal(count(&s, "link", MSG_LINK), 1);
}

static enum err stop(void *arg, const char *name, const struct fs_info *info)
{
    (void)remember(arg, name, info);
    return ERR_LIMIT;
}

static void listing_ends_with_what_the_caller_says(void **state)
{
    struct seen s = {0};
    (void)state;
    fill();
    assert_int_equal(fs_list(&site_fs, "/d", stop, &s), ERR_LIMIT);
    assert_int_equal(s.n, 1);
    s.n = 0;
    assert_int_equal(fs_list(&site_fs, "/d", remember, &s), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(fs_list(&site_fs, "/none", remember, &s), ERR_NOENT);
    assert_int_equal(fs_list(&site_fs, "/d/file", remember, &s), ERR_TYPE);
}

static void the_longest_prefix_is_the_root(void **state)
{
    (void)state;
    folder("in/two");
    file_put("in/two/f", "one");
    file_put("in/twofold", "beside");
    file_put("in2/f", "two");
    site_fs.roots[0].rights = FS_READ;
    site_fs.roots[1].rights = FS_DELETE;
    assert_int_equal(fs_remove(&site_fs, "/two/f", false), ERR_OK);
    assert_false(there("in2/f"));
    assert_true(there("in/two/f"));
    assert_int_equal(source("/twofold"), ERR_OK);
}

static void folders_that_only_lead_to_roots(void **state)
{
    struct fs fs;
    struct fs_info info;
    struct seen s = {0};
    (void)state;
    fs_init(&fs, "", false);
    assert_int_equal(fs_add_root(&fs, "/a/b", at("in"), FS_ALL), ERR_OK);
    assert_int_equal(fs_add_root(&fs, "/a/c", at("in2"), FS_ALL), ERR_OK);
    assert_int_equal(fs_add_root(&fs, "/a/c", at("in2"), FS_ALL), ERR_CONFIG);
    assert_int_equal(fs_add_root(&fs, "/a/e", at("none"), FS_ALL), ERR_CONFIG);
    assert_int_equal(fs_list(&fs, "/", remember, &s), ERR_OK);
    assert_int_equal(s.n, 1);
    assert_int_equal(count(&s, "a", MSG_FOLDER), 1);
    s.n = 0;
    assert_int_equal(fs_list(&fs, "/a", remember, &s), ERR_OK);
    assert_int_equal(s.n, 2);
    assert_int_equal(fs_stat(&fs, "/a", &info), ERR_OK);
    assert_int_equal(info.type, MSG_FOLDER);
    assert_int_equal(fs_stat(&fs, "/b", &info), ERR_NOENT);
    assert_int_equal(fs_mkdir(&fs, "/a/x", 0755, false), ERR_DENIED);
    assert_int_equal(put(&fs, "/a/x", "x", true), ERR_DENIED);
    fs_release(&fs);
}

static void a_root_itself_is_not_touched(void **state)
{
    struct fs_part part;
    (void)state;
    fill();
    assert_int_equal(fs_remove(&site_fs, "/two", true), ERR_DENIED);
    assert_int_equal(fs_rename(&site_fs, "/two", "/x", false), ERR_DENIED);
    assert_int_equal(fs_rename(&site_fs, "/d", "/two", false), ERR_DENIED);
    assert_int_equal(fs_open_part(&site_fs, "/two", 1, true, 0, &part), ERR_DENIED);
    assert_int_equal(fs_open_part(&site_fs, "/d", 1, true, 0, &part), ERR_TYPE);
    assert_int_equal(fs_mkdir(&site_fs, "/two", 0755, false), ERR_EXISTS);
    assert_int_equal(fs_mkdir(&site_fs, "/two", 0755, true), ERR_OK);
}

/* ---- mkdir, remove ---- */

static void folders_are_made(void **state)
{
    struct stat st;
    (void)state;
    mode_t before = umask(077);
    assert_int_equal(fs_mkdir(&site_fs, "/a", 0777, false), ERR_OK);
    assert_int_equal(fs_mkdir(&site_fs, "/b/c/d", 0700, true), ERR_OK);
    assert_int_equal(umask(before), 077);
    assert_int_equal(stat(at("in/a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat(at("in/b/c/d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(fs_mkdir(&site_fs, "/a", 0755, false), ERR_EXISTS);
    assert_int_equal(fs_mkdir(&site_fs, "/a", 0755, true), ERR_OK);
    assert_int_equal(fs_mkdir(&site_fs, "/x/y", 0755, false), ERR_NOENT);
    file_put("in/f", "");
    assert_int_equal(fs_mkdir(&site_fs, "/f", 0755, true), ERR_EXISTS);
    assert_int_equal(fs_mkdir(&site_fs, "/f/g/h", 0755, true), ERR_TYPE);
}

static void removing_keeps_to_the_type(void **state)
{
    (void)state;
    fill();
    assert_int_equal(fs_remove(&site_fs, "/d", false), ERR_TYPE);
    assert_int_equal(fs_remove(&site_fs, "/d/file", true), ERR_TYPE);
    assert_int_equal(fs_remove(&site_fs, "/d", true), ERR_NOTEMPTY);
    assert_int_equal(fs_remove(&site_fs, "/d/none", false), ERR_NOENT);
    assert_int_equal(fs_remove(&site_fs, "/d/empty", true), ERR_OK);
    assert_int_equal(fs_remove(&site_fs, "/d/file", false), ERR_OK);
    assert_false(there("in/d/file"));
    assert_false(there("in/d/empty"));
}

/* ---- rename ---- */

static void renaming_files(void **state)
{
    (void)state;
    fill();
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/other", false), ERR_EXISTS);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/file", false), ERR_EXISTS);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/file", true), ERR_OK);
    file_is("in/d/file", "file");
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/empty", true), ERR_TYPE);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/empty/f", false), ERR_OK);
    assert_false(there("in/d/file"));
    assert_int_equal(fs_rename(&site_fs, "/d/empty/f", "/d/other", true), ERR_OK);
    file_is("in/d/other", "file");
    assert_int_equal(fs_rename(&site_fs, "/d/none", "/d/x", false), ERR_NOENT);
    assert_int_equal(fs_rename(&site_fs, "/d/other", "/two/other", true), ERR_DENIED);
    assert_non_null(strstr(log_reason(), "another root"));
    file_is("in/d/other", "file");
}

static void renaming_one_name_of_a_file_to_another(void **state)
{
    (void)state;
    fill();
    assert_int_equal(link(at("in/d/file"), at("in/d/twin")), 0);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/twin", true), ERR_OK);
    assert_false(there("in/d/file"));
    file_is("in/d/twin", "file");
}

static void renaming_folders(void **state)
{
    (void)state;
    fill();
    folder("in/e");
    assert_int_equal(fs_rename(&site_fs, "/d", "/e", false), ERR_EXISTS);
    assert_int_equal(fs_rename(&site_fs, "/d", "/e", true), ERR_EXISTS);
    assert_int_equal(fs_rename(&site_fs, "/d", "/d/empty/d", false), ERR_NAME);
    assert_int_equal(fs_rename(&site_fs, "/d", "/e/d", false), ERR_OK);
    file_is("in/e/d/file", "file");
}

/* Without the right to overwrite a free name is taken by link(): it never replaces. */
static void renaming_without_overwrite_right_to_a_free_name(void **state)
{
    (void)state;
    fill();
    set_rights(FS_RENAME);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/other", true), ERR_DENIED);
    assert_int_equal(fs_rename(&site_fs, "/d/file", "/d/free", true), ERR_OK);
    file_is("in/d/free", "file");
    file_is("in/d/other", "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rights_text_is_a_fixed_point),
        BOTH(every_verb_takes_its_right),
        BOTH(denial_is_the_same_for_what_is_not_there),
        BOTH(illegal_paths_are_refused_by_every_verb),
        BOTH(links_on_the_way_are_refused),
        BOTH(a_missing_folder_is_named),
        BOTH(leaves_other_than_files_are_refused),
        BOTH(opening_a_fifo_does_not_wait),
        BOTH(hard_links),
        BOTH(listing_shows_roots_and_hides_the_service_folder),
        BOTH(listing_ends_with_what_the_caller_says),
        BOTH(the_longest_prefix_is_the_root),
        BOTH(folders_that_only_lead_to_roots),
        BOTH(a_root_itself_is_not_touched),
        BOTH(folders_are_made),
        BOTH(removing_keeps_to_the_type),
        BOTH(renaming_files),
        BOTH(renaming_one_name_of_a_file_to_another),
        BOTH(renaming_folders),
        BOTH(renaming_without_overwrite_right_to_a_free_name),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
