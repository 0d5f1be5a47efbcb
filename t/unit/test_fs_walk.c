/* SPDX-License-Identifier: ISC */
/* Walks through virtual folders, and many names of one: roots below and within what is walked. */
#include "fs.h"
#include "log.h"
#include "msg.h"
#include "test_walk.h"

static struct fs fs;

static int begin_fs(void **state)
{
    log_quiet(true);
    fs_init(&fs, "alice", false);
    return begin(state);
}

static int end_fs(void **state)
{
    fs_release(&fs);
    return end(state);
}

static void root(const char *prefix, const char *rel, unsigned rights)
{
    assert_int_equal(fs_add_root(&fs, prefix, at(rel), rights), ERR_OK);
}

static const char *const types[] = {"missing", "file", "enter", "link", "other", "leave", "error"};

/* What a walk says, as struct seen has it. */
static void note(struct seen *s, const struct fs_item *item)
{
    bool bad = item->info.type == MSG_FAULT;
    s->lines = realloc(s->lines, (s->n + 1) * sizeof *s->lines);
    assert_non_null(s->lines);
    assert_true(asprintf(&s->lines[s->n++], "%s %s%s%s", types[item->info.type], item->path,
                         bad ? " " : "", bad ? err_name((enum err)item->info.mode) : "") > 0);
}

static void gather(struct seen *s, const char *path, unsigned flags)
{
    struct fs_walk *w;
    struct fs_item item;
    assert_int_equal(fs_walk_open(&fs, path, flags, &w), ERR_OK);
    while (fs_walk_next(w, &item) == ERR_OK)
        note(s, &item);
    assert_int_equal(fs_walk_next(w, &item), ERR_NOENT);
    fs_walk_close(w);
}

static void tree_is(const char *path, unsigned flags, const char *expect)
{
    struct seen s = {0};
    unsigned before = descriptors();
    gather(&s, path, flags);
    is(&s, expect);
    assert_int_equal(descriptors(), before);
}

static void refused(const char *path, enum err e)
{
    struct fs_walk *w;
    assert_int_equal(fs_walk_open(&fs, path, 0, &w), e);
    assert_null(w);
    fs_walk_close(w);
}

/* ---- one root ---- */

static void a_tree_in_one_root(void **state)
{
    (void)state;
    folder("in/a");
    folder("in/a/b");
    file_put("in/a/b/x", "x");
    file_put("in/a/y", "y");
    folder("in/.consign");
    sym("a", "in/l");
    file_put("in/bad\n", "x");
    root("/", "in", FS_LIST);
    tree_is("/", 0,
            "enter a\nenter a/b\nerror bad\n NAME\nfile a/b/x\nfile a/y\nleave a\nleave a/b\n"
            "link l\n");
    tree_is("/a", 0, "enter b\nfile b/x\nfile y\nleave b\n");
    tree_is("/a/b", 0, "file x\n");
    tree_is("/", FS_FOLDERS, "enter a\nenter a/b\nleave a\nleave a/b\n");
    refused("/none", ERR_NOENT);
    refused("/l", ERR_NAME);
    refused("/a/y", ERR_TYPE);
}

static void it_takes_the_right_to_list(void **state)
{
    (void)state;
    root("/", "in", FS_ALL & ~(unsigned)FS_LIST);
    refused("/", ERR_DENIED);
    refused("/x", ERR_DENIED);
}

static void details_are_told(void **state)
{
    struct fs_walk *w;
    struct fs_item item;
    struct fs_info info;
    (void)state;
    file_put("in/x", "four");
    assert_int_equal(chmod(at("in/x"), 0640), 0);
    root("/", "in", FS_LIST);
    assert_int_equal(fs_stat(&fs, "/x", &info), ERR_OK);
    assert_int_equal(fs_walk_open(&fs, "/", FS_ROOTS, &w), ERR_OK);
    assert_int_equal(fs_walk_next(w, &item), ERR_OK);
    assert_memory_equal(&item.info, &info, sizeof info);
    assert_int_equal(item.info.size, 4);
    assert_int_equal(item.info.mode, 0640);
    assert_false(item.info.has_root);
    fs_walk_close(w);
}

static void no_failure(void *arg, size_t index, enum err status, const char *reason)
{
    (void)arg, (void)index;
    if (status != ERR_OK)
        fail_msg("%s", reason);
}

/* Puts a small file with its root through fs, as an upload does. */
static void upload(const char *path, const char *text, struct fs_info *info)
{
    struct fs_group *g;
    struct fs_small file = {.path = path, .mode = 0644, .bytes = (const uint8_t *)text};
    assert_int_equal(fs_group_new(&fs, &g), ERR_OK);
    file.n = strlen(text);
    memset(file.root, 0x5a, TREE_HASH);
    assert_true(fs_group_add(g, &file));
    fs_group_commit(g, no_failure, NULL);
    fs_group_free(g);
    assert_int_equal(fs_stat(&fs, path, info), ERR_OK);
    assert_true(info->has_root);
}

static void stored_roots_come_when_asked_for(void **state)
{
    struct fs_walk *w;
    struct fs_item item;
    struct fs_folder *f;
    struct fs_info info, now;
    (void)state;
    root("/", "in", FS_ALL);
    upload("/x", "text", &info);
    for (unsigned flags = 0; flags <= FS_ROOTS; flags += FS_ROOTS) {
        assert_int_equal(fs_walk_open(&fs, "/", flags, &w), ERR_OK);
        assert_int_equal(fs_walk_next(w, &item), ERR_OK);
        assert_int_equal(item.info.has_root, flags == FS_ROOTS);
        fs_walk_close(w);
        assert_int_equal(fs_folder_open(&fs, "/", flags, &f), ERR_OK);
        assert_int_equal(fs_folder_stat(f, "x", &now), ERR_OK);
        assert_int_equal(now.has_root, flags == FS_ROOTS);
        fs_folder_close(f);
    }
    assert_memory_equal(&item.info, &info, sizeof info);
    assert_memory_equal(&now, &info, sizeof info);
}

/* ---- roots below ---- */

static enum err read_text(struct fs_reader *r, const char *path, const char *text)
{
    static uint8_t bytes[FS_SMALL_MAX + 1];
    struct fs_info info;
    enum err e = fs_read_small(r, path, bytes, &info);
    if (e == ERR_OK && (info.type != MSG_FILE || info.size != strlen(text) ||
                        memcmp(bytes, text, strlen(text)) != 0))
        fail_msg("%s: not \"%s\"", path, text);
    return e == ERR_OK && !info.has_root ? ERR_NOENT : e;
}

/* What is kept open for neighbours is never taken for another folder's. */
static void small_files_are_read_in_any_order(void **state)
{
    struct fs_reader *r;
    struct fs_info info;
    (void)state;
    root("/", "in", FS_ALL);
    folder("two");
    root("/other", "two", FS_ALL);
    assert_int_equal(fs_mkdir(&fs, "/d", 0755, false), ERR_OK);
    assert_int_equal(fs_mkdir(&fs, "/dd", 0755, false), ERR_OK);
    upload("/x", "top", &info);
    upload("/d/x", "in d", &info);
    upload("/dd/x", "in dd", &info);
    upload("/other/x", "in another root", &info);
    assert_int_equal(fs_reader_new(&fs, &r), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_text(r, "/d/x", "in d"), ERR_OK);
        assert_int_equal(read_text(r, "/x", "top"), ERR_OK);
        assert_int_equal(read_text(r, "/dd/x", "in dd"), ERR_OK);
        assert_int_equal(read_text(r, "/dd/y", ""), ERR_NOENT);
        assert_int_equal(read_text(r, "/dd/x", "in dd"), ERR_OK);
        assert_int_equal(read_text(r, "/missing/x", ""), ERR_NOENT);
        assert_int_equal(read_text(r, "/missing/x", ""), ERR_NOENT);
        assert_int_equal(read_text(r, "/other/x", "in another root"), ERR_OK);
        assert_int_equal(read_text(r, "/d", ""), ERR_TYPE);
        assert_int_equal(read_text(r, "/", ""), ERR_TYPE);
        if (i > 0)
            fs_reader_rest(r);
    }
    assert_int_equal(fs_rename(&fs, "/d", "/e", false), ERR_OK);
    assert_int_equal(fs_rename(&fs, "/dd", "/d", false), ERR_OK);
    assert_int_equal(read_text(r, "/d/x", "in dd"), ERR_OK);
    fs_reader_free(r);
}

static void roots_below_show_and_shadow(void **state)
{
    (void)state;
    folder("in/a");
    folder("in/a/shadowed");
    file_put("in/a/shadowed/x", "x");
    file_put("in/a/real", "r");
    file_put("in/d", "shadowed too");
    folder("two");
    file_put("two/y", "y");
    root("/", "in", FS_LIST);
    root("/a/shadowed", "out", FS_LIST);
    root("/a/new/deep", "two", FS_LIST);
    root("/d/e", "two", FS_LIST);
    root("/a/closed", "out", FS_READ);
    tree_is("/a", 0,
            "enter new\nenter new/deep\nenter shadowed\nerror closed DENIED\nfile new/deep/y\n"
            "file real\nfile shadowed/secret\nleave new\nleave new/deep\nleave shadowed\n");
    tree_is("/a/new", 0, "enter deep\nfile deep/y\nleave deep\n");
    tree_is("/", FS_FOLDERS,
            "enter a\nenter a/new\nenter a/new/deep\nenter a/shadowed\nerror a/closed DENIED\n"
            "error d TYPE\nleave a\nleave a/new\nleave a/new/deep\nleave a/shadowed\n");
}

static void roots_without_one_above(void **state)
{
    (void)state;
    file_put("in/x", "x");
    root("/in", "in", FS_LIST);
    root("/far/out", "out", FS_LIST);
    tree_is("/", 0,
            "enter far\nenter far/out\nenter in\nfile far/out/secret\nfile in/x\nleave far\n"
            "leave far/out\nleave in\n");
    refused("/x", ERR_NOENT);
}

/* The segments are nested as their folders are. */
static void folders_enclose_what_is_in_them(void **state)
{
    struct seen s = {0};
    char open[PATH_MAX_BYTES] = "";
    (void)state;
    folder("in/a");
    file_put("in/a/x", "x");
    root("/", "in", FS_LIST);
    root("/a/b/c", "out", FS_LIST);
    gather(&s, "/", 0);
    for (size_t i = 0; i < s.n; i++) {
        const char *path = strchr(s.lines[i], ' ') + 1;
        size_t n = strlen(open);
        if (s.lines[i][0] == 'l') {
            assert_string_equal(path, open);
            *(strrchr(open, '/') ? strrchr(open, '/') : open) = '\0';
            continue;
        }
        assert_int_equal(strncmp(path, open, n), 0);
        assert_null(strchr(path + n + (n > 0), '/'));
        if (s.lines[i][0] == 'e')
            snprintf(open, sizeof open, "%s", path);
    }
    assert_string_equal(open, "");
    is(&s, "enter a\nenter a/b\nenter a/b/c\nfile a/b/c/secret\nfile a/x\nleave a\nleave a/b\n"
           "leave a/b/c\n");
}

/* Legal below its root, but too long as a virtual path. */
static void what_the_prefix_makes_too_long_is_a_fault(void **state)
{
    struct seen s = {0};
    char name[PATH_NAME_MAX + 1] = "", prefix[301];
    size_t faults = 0;
    (void)state;
    memset(name, 'n', PATH_NAME_MAX);
    close(nest_open(16, name));
    memset(prefix, 'p', 300);
    prefix[0] = prefix[150] = '/';
    prefix[300] = '\0';
    root(prefix, "in", FS_LIST);
    gather(&s, prefix, 0);
    for (size_t i = 0; i < s.n; i++)
        faults += strncmp(s.lines[i], "error ", 6) == 0 && strstr(s.lines[i], " NAME");
    assert_int_equal(count(&s, "enter "), 14);
    assert_int_equal(count(&s, "leave "), 14);
    assert_int_equal(faults, 1);
    assert_int_equal(s.n, 29);
    forget(&s);
}

/* ---- what happens meanwhile ---- */

static void a_folder_that_vanishes(void **state)
{
    struct fs_walk *w;
    struct fs_item item;
    struct seen s = {0};
    (void)state;
    folder("in/a");
    folder("in/a/b");
    file_put("in/a/b/x", "x");
    root("/", "in", FS_LIST);
    assert_int_equal(fs_walk_open(&fs, "/", 0, &w), ERR_OK);
    assert_int_equal(fs_walk_next(w, &item), ERR_OK);
    assert_string_equal(item.path, "a");
    assert_int_equal(unlink(at("in/a/b/x")), 0);
    assert_int_equal(rmdir(at("in/a/b")), 0);
    assert_int_equal(rmdir(at("in/a")), 0);
    while (fs_walk_next(w, &item) == ERR_OK)
        note(&s, &item);
    fs_walk_close(w);
    is(&s, "leave a\n");
}

static void a_walk_can_be_closed_anywhere(void **state)
{
    unsigned before = 0;
    (void)state;
    folder("in/a");
    folder("in/a/b");
    root("/", "in", FS_LIST);
    root("/a/c/d", "out", FS_LIST);
    before = descriptors();
    for (size_t n = 0; n < 9; n++) {
        struct fs_walk *w;
        struct fs_item item;
        assert_int_equal(fs_walk_open(&fs, "/", 0, &w), ERR_OK);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(fs_walk_next(w, &item), ERR_OK);
        fs_walk_close(w);
        assert_int_equal(descriptors(), before);
    }
}

/* ---- names of one folder ---- */

static uint8_t type_in(struct fs_folder *f, const char *name)
{
    struct fs_info info;
    assert_int_equal(fs_folder_stat(f, name, &info), ERR_OK);
    return info.type;
}

static void names_in_a_folder(void **state)
{
    struct fs_folder *f;
    struct fs_info info;
    (void)state;
    folder("in/a");
    file_put("in/a/x", "x");
    sym("x", "in/a/l");
    file_put("in/a/hidden", "x");
    root("/", "in", FS_READ);
    root("/a/hidden", "out", FS_CREATE);
    root("/a/far/away", "out", FS_CREATE);
    root("/v/w", "out", FS_LIST);
    assert_int_equal(fs_folder_open(&fs, "/a", 0, &f), ERR_OK);
    assert_int_equal(type_in(f, "x"), MSG_FILE);
    assert_int_equal(type_in(f, "l"), MSG_LINK);
    assert_int_equal(type_in(f, "none"), MSG_MISSING);
    assert_int_equal(type_in(f, "hidden"), MSG_FOLDER);
    assert_int_equal(type_in(f, "far"), MSG_FOLDER);
    assert_int_equal(fs_folder_stat(f, "..", &info), ERR_NAME);
    assert_int_equal(fs_folder_stat(f, "", &info), ERR_NAME);
    assert_int_equal(fs_folder_stat(f, "a/x", &info), ERR_NAME);
    assert_int_equal(fs_folder_stat(f, ".consign", &info), ERR_NAME);
    fs_folder_close(f);
    assert_int_equal(fs_folder_open(&fs, "/v", 0, &f), ERR_OK);
    assert_int_equal(type_in(f, "w"), MSG_FOLDER);
    assert_int_equal(type_in(f, "x"), MSG_MISSING);
    fs_folder_close(f);
    assert_int_equal(fs_folder_open(&fs, "/none", 0, &f), ERR_NOENT);
    assert_int_equal(fs_folder_open(&fs, "/a/l", 0, &f), ERR_NAME);
    assert_int_equal(fs_folder_open(&fs, "/a/x", 0, &f), ERR_TYPE);
    assert_int_equal(fs_folder_open(&fs, "/a/hidden", 0, &f), ERR_DENIED);
    assert_null(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_fs, end_fs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_in_one_root),
        TEST(it_takes_the_right_to_list),
        TEST(details_are_told),
        TEST(stored_roots_come_when_asked_for),
        TEST(small_files_are_read_in_any_order),
        TEST(roots_below_show_and_shadow),
        TEST(roots_without_one_above),
        TEST(folders_enclose_what_is_in_them),
        TEST(what_the_prefix_makes_too_long_is_a_fault),
        TEST(a_folder_that_vanishes),
        TEST(a_walk_can_be_closed_anywhere),
        TEST(names_in_a_folder),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
