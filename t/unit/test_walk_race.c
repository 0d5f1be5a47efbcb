/* SPDX-License-Identifier: ISC */
/* The walk where things can't be read, or change while it looks: it goes on, and is not led astray.
 */
#include "test_walk.h"

#include <sys/syscall.h>

enum { NOBODY = 65534 };

/* Done once around the look at the entry of this name: what somebody else does at the worst
 * moment. */
static const char *strike_at;
static void (*before_look)(void), (*after_look)(void);

static void strike(void (**what)(void))
{
    void (*now)(void) = *what;
    *what = NULL;
    if (now)
        now();
}

int fstatat(int dir, const char *name, struct stat *st, int flags)
{
    bool here = strike_at && strcmp(name, strike_at) == 0;
    if (here)
        strike(&before_look);
    int rc = (int)syscall(SYS_newfstatat, dir, name, st, flags);
    if (here)
        strike(&after_look);
    return rc;
}

/* ---- what can't be read ---- */

/* Walks in/ as an account that is not root; what it saw, in order, to text. */
static void walk_as_nobody(char *text, size_t cap, rlim_t files)
{
    struct seen s = {0};
    int ends[2];
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    int root = open_in();
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {files, files};
        if ((files && setrlimit(RLIMIT_NOFILE, &limit) < 0) ||
            (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0))
            _exit(1);
        run(&s, root, &(struct walk_options){0});
        qsort(s.lines, s.n, sizeof *s.lines, compare);
        for (size_t i = 0; i < s.n; i++)
            dprintf(ends[1], "%s\n", s.lines[i]);
        _exit(0);
    }
    close(root);
    close(ends[1]);
    while (n + 1 < cap && (got = read(ends[0], text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void what_may_not_be_read_does_not_end_it(void **state)
{
    char text[4096];
    (void)state;
    folder("in/closed");
    file_put("in/closed/x", "x");
    folder("in/listed");
    file_put("in/listed/x", "x");
    folder("in/open");
    file_put("in/open/x", "x");
    file_put("in/y", "y");
    assert_int_equal(chmod(at("in/closed"), 0), 0);
    assert_int_equal(chmod(at("in/listed"), 0444), 0); /* names, but no look at them */
    assert_int_equal(chmod(at("in/y"), 0), 0);
    walk_as_nobody(text, sizeof text, 0);
    assert_string_equal(text, "enter listed\nenter open\nerror closed DENIED\n"
                              "error listed/x DENIED\nfile open/x\nfile y\nleave listed\n"
                              "leave open\n");
}

static void a_lack_of_descriptors_does_not_end_it(void **state)
{
    char text[4096];
    (void)state;
    nest(60, "d");
    file_put("in/z", "z");
    walk_as_nobody(text, sizeof text, 40);
    const char *bad = strstr(text, "error d/d/");
    assert_non_null(bad);
    assert_non_null(strstr(bad, " LIMIT\nfile z\nleave d\n"));
    assert_null(strstr(bad + 1, "error "));
}

static void a_root_that_is_no_folder(void **state)
{
    unsigned before = descriptors();
    struct walk *w;
    (void)state;
    file_put("in/x", "x");
    int fd = open(at("in/x"), O_RDONLY);
    assert_int_equal(walk_open(fd, &(struct walk_options){0}, &w), ERR_TYPE);
    assert_int_equal(errno, ENOTDIR);
    assert_null(w);
    walk_close(w);
    assert_int_equal(descriptors(), before);
}

/* The descriptor of the folder becomes one of a file, so that its listing breaks off. */
static void break_listing(const struct walk_entry *entry)
{
    struct stat st;
    if (entry->kind != WALK_FILE || fstat(entry->dirfd, &st) < 0 || !S_ISDIR(st.st_mode))
        return;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(fd, entry->dirfd), entry->dirfd);
    close(fd);
}

static void a_listing_that_breaks_off_is_told(void **state)
{
    struct seen s = {.hook = break_listing};
    unsigned before = descriptors();
    (void)state;
    make_files(2000);
    move("in", "d");
    folder("in");
    move("d", "in/d");
    walk(&s, &(struct walk_options){0});
    assert_int_equal(descriptors(), before);
    assert_in_range(s.n, 4, 1999);
    assert_string_equal(s.lines[s.n - 2], "error d TYPE");
    assert_string_equal(s.lines[s.n - 1], "leave d");
    forget(&s);
}

/* The same with the root, whose descriptor is this one. */
static int walked;

static void break_root(const struct walk_entry *entry)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (entry->kind == WALK_FILE)
        assert_int_equal(dup2(fd, walked), walked);
    close(fd);
}

static void so_is_that_of_the_root(void **state)
{
    struct seen s = {.hook = break_root};
    unsigned before = descriptors();
    (void)state;
    make_files(2000);
    walked = open_in();
    run(&s, walked, &(struct walk_options){0});
    assert_int_equal(descriptors(), before);
    assert_in_range(s.n, 2, 1999);
    assert_string_equal(s.lines[s.n - 1], "error  TYPE");
    forget(&s);
}

/* ---- what others do meanwhile ---- */

static void swap_d_for_link(void)
{
    move("in/d", "moved");
    sym("../out", "in/d");
}

static void swap_d_for_link_to_it(void)
{
    move("in/d", "moved");
    sym("../moved", "in/d");
}

static void swap_d_for_folder(void)
{
    move("in/d", "moved");
    move("out", "in/d");
}

static void swap_d_for_file(void)
{
    move("in/d", "moved");
    file_put("in/d", "x");
}

static void remove_d(void)
{
    move("in/d", "moved");
}

static void a_folder_replaced_before_it_is_opened(void **state)
{
    static const struct {
        void (*before)(void), (*after)(void);
        const char *expect;
    } rows[] = {
        {swap_d_for_link, NULL, "link d\n"},
        {swap_d_for_folder, NULL, "enter d\nfile d/secret\nleave d\n"}, /* it is in the tree now */
        {remove_d, NULL, "error d NOENT\n"},
        {NULL, swap_d_for_link, "error d CHANGED\n"},
        {NULL, swap_d_for_link_to_it, "error d CHANGED\n"},
        {NULL, swap_d_for_folder, "error d CHANGED\n"},
        {NULL, swap_d_for_file, "error d CHANGED\n"},
        {NULL, remove_d, "error d NOENT\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        folder("in/d");
        file_put("in/d/x", "x");
        strike_at = "d";
        before_look = rows[i].before;
        after_look = rows[i].after;
        walk_is(&(struct walk_options){0}, rows[i].expect);
        assert_null(before_look);
        assert_null(after_look);
        assert_int_equal(end(state), 0);
        assert_int_equal(begin(state), 0);
    }
}

static void swap_at_enter(const struct walk_entry *entry)
{
    if (entry->kind == WALK_ENTER && strcmp(entry->path, "d") == 0)
        swap_d_for_link();
}

static void a_folder_replaced_while_it_is_read(void **state)
{
    (void)state;
    folder("in/d");
    folder("in/d/e");
    file_put("in/d/e/x", "x");
    hooked_walk_is(swap_at_enter, "enter d\nenter d/e\nfile d/e/x\nleave d\nleave d/e\n");
}

/* What walk_open_file says after the file was replaced: 0 or errno. */
static void (*swap_file)(void);
static int open_errno;

static void open_swapped(const struct walk_entry *entry)
{
    if (entry->kind != WALK_FILE)
        return;
    swap_file();
    int fd = walk_open_file(entry, O_RDONLY);
    open_errno = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
}

static void nothing(void)
{
}

static void longer(void)
{
    file_put("in/f", "longer");
}

static void other_file(void)
{
    move("out/secret", "in/f");
}

static void link_to_file(void)
{
    move("in/f", "moved");
    sym("../moved", "in/f");
}

static void fifo(void)
{
    move("in/f", "moved");
    assert_int_equal(mkfifo(at("in/f"), 0600), 0);
}

static void a_folder(void)
{
    move("in/f", "moved");
    folder("in/f");
}

static void none(void)
{
    move("in/f", "moved");
}

static void a_file_replaced_before_it_is_opened(void **state)
{
    static const struct {
        void (*swap)(void);
        int expect;
    } rows[] = {
        {nothing, 0},   {longer, 0},        {other_file, ESTALE}, {link_to_file, ESTALE},
        {fifo, ESTALE}, {a_folder, ESTALE}, {none, ENOENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned before = descriptors();
        file_put("in/f", "f");
        swap_file = rows[i].swap;
        hooked_walk_is(open_swapped, "file f\n");
        if (open_errno != rows[i].expect)
            fail_msg("row %zu: %s", i, strerror(open_errno));
        assert_int_equal(descriptors(), before);
        assert_int_equal(end(state), 0);
        assert_int_equal(begin(state), 0);
    }
}

static void open_other(const struct walk_entry *entry)
{
    assert_int_equal(walk_open_file(entry, O_RDONLY), -1);
    open_errno = errno;
}

static void only_files_are_opened(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(at("in/fifo"), 0600), 0);
    hooked_walk_is(open_other, "other fifo\n");
    assert_int_equal(open_errno, ESTALE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_may_not_be_read_does_not_end_it),
        TEST(a_lack_of_descriptors_does_not_end_it),
        TEST(a_root_that_is_no_folder),
        TEST(a_listing_that_breaks_off_is_told),
        TEST(so_is_that_of_the_root),
        TEST(a_folder_replaced_before_it_is_opened),
        TEST(a_folder_replaced_while_it_is_read),
        TEST(a_file_replaced_before_it_is_opened),
        TEST(only_files_are_opened),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
