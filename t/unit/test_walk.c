/* SPDX-License-Identifier: ISC */
/* The walk through real folders: what is reported, what is not entered, and its bounds. */
#include "test_walk.h"

/* ---- what is there ---- */

static void every_kind_is_reported(void **state)
{
    (void)state;
    walk_is(&(struct walk_options){0}, "");
    folder("in/d");
    folder("in/d/empty");
    file_put("in/d/x", "x");
    file_put("in/y", "y");
    file_put("in/bytes \xff", "z");
    assert_int_equal(mkfifo(at("in/fifo"), 0600), 0);
    sym("nowhere", "in/dangling");
    sym("self", "in/self");
    sym(".", "in/here");
    sym("..", "in/d/up");
    sym("../../out", "in/d/out");
    folder("in/.consign");
    file_put("in/.consign/part", "p");
    file_put("in/d/.consign", "p");
    walk_is(&(struct walk_options){0}, "enter d\n"
                                       "enter d/empty\n"
                                       "file bytes \xff\n"
                                       "file d/x\n"
                                       "file y\n"
                                       "leave d\n"
                                       "leave d/empty\n"
                                       "link d/out\n"
                                       "link d/up\n"
                                       "link dangling\n"
                                       "link here\n"
                                       "link self\n"
                                       "other fifo\n");
}

static char read_first(const struct walk_entry *entry)
{
    char c = 0;
    int fd = walk_open_file(entry, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &c, 1), 1);
    assert_int_equal(entry->st.st_size, 6);
    close(fd);
    return c;
}

static void read_all(const struct walk_entry *entry)
{
    if (entry->kind != WALK_FILE)
        return;
    assert_int_equal(read_first(entry), entry->followed ? 's' : 'd');
    assert_int_equal(entry->followed, strcmp(entry->name, "direct") != 0);
}

static void follow_takes_links_to_files_only(void **state)
{
    struct seen s = {.hook = read_all};
    (void)state;
    file_put("in/direct", "direct");
    sym("../out/secret", "in/file");
    sym("file", "in/link-to-link");
    sym("../out", "in/folder");
    sym("nowhere", "in/dangling");
    sym("self", "in/self");
    assert_int_equal(mkfifo(at("out/fifo"), 0600), 0);
    sym("../out/fifo", "in/fifo");
    walk(&s, &(struct walk_options){.follow = true});
    is(&s, "file direct\nfile file\nfile link-to-link\nlink dangling\nlink fifo\nlink folder\n"
           "link self\n");
}

static bool no_bad_ones(void *arg, const char *path, bool is_folder)
{
    (void)arg;
    return path[0] != 'a' && !(path[0] == 'c' && is_folder);
}

static void names_out_of_rule_are_errors(void **state)
{
    (void)state;
    file_put("in/a\nb", "x");
    folder("in/c\x1b");
    file_put("in/c\x1b/below", "x");
    file_put("in/good", "x");
    walk_is(&(struct walk_options){0}, "error a\nb NAME\nerror c\x1b NAME\nfile good\n");
    walk_is(&(struct walk_options){.passes = no_bad_ones}, "file good\n");
}

static void a_folder_encloses_what_is_in_it(void **state)
{
    struct seen s = {0};
    const char *open[8];
    size_t depth = 0;
    (void)state;
    for (unsigned i = 0; i < 27; i++) {
        char rel[32];
        snprintf(rel, sizeof rel, "in/%u", i / 9);
        (void)mkdir(at(rel), 0755);
        snprintf(rel, sizeof rel, "in/%u/%u", i / 9, i / 3);
        (void)mkdir(at(rel), 0755);
        snprintf(rel, sizeof rel, "in/%u/%u/%u", i / 9, i / 3, i);
        file_put(rel, "x");
    }
    walk(&s, &(struct walk_options){0});
    for (size_t i = 0; i < s.n; i++) {
        const char *path = strchr(s.lines[i], ' ') + 1;
        if (s.lines[i][0] == 'l')
            assert_string_equal(path, open[--depth]);
        const char *above = depth > 0 ? open[depth - 1] : "";
        size_t n = strlen(above);
        assert_int_equal(strncmp(path, above, n), 0);
        assert_true(n == 0 || path[n] == '/');
        assert_null(strchr(path + n + (n > 0), '/'));
        if (s.lines[i][0] == 'e')
            open[depth++] = path;
    }
    assert_int_equal(depth, 0);
    assert_int_equal(count(&s, "file "), 27);
    assert_int_equal(count(&s, "enter "), 12);
    forget(&s);
}

/* arg: what does not pass, ended by NULL; folders with a "/" behind them. */
static bool not_listed(void *arg, const char *path, bool is_folder)
{
    char text[64];
    assert_int_not_equal(strncmp(path, "no/", 3), 0);
    snprintf(text, sizeof text, "%s%s", path, is_folder ? "/" : "");
    for (const char *const *p = arg; *p; p++)
        if (strcmp(text, *p) == 0)
            return false;
    return true;
}

static void what_is_excluded_is_not_looked_into(void **state)
{
    static const char *const excluded[] = {"no/", "yes/a.o", NULL};
    (void)state;
    folder("in/no");
    file_put("in/no/below", "x");
    folder("in/yes");
    file_put("in/yes/no", "x");
    file_put("in/yes/a.o", "x");
    walk_is(&(struct walk_options){.passes = not_listed, .arg = (void *)excluded},
            "enter yes\nfile yes/no\nleave yes\n");
}

/* ---- bounds ---- */

static unsigned most_descriptors;

static void count_descriptors(const struct walk_entry *entry)
{
    (void)entry;
    unsigned n = descriptors();
    if (n > most_descriptors)
        most_descriptors = n;
}

static void depth_is_bounded(void **state)
{
    struct seen s = {.hook = count_descriptors};
    unsigned before = descriptors();
    (void)state;
    nest(300, "d");
    file_put("in/z", "z");
    walk(&s, &(struct walk_options){0});
    assert_int_equal(count(&s, "enter "), WALK_DEPTH_MAX - 1);
    assert_int_equal(count(&s, "leave "), WALK_DEPTH_MAX - 1);
    assert_int_equal(count(&s, "error "), 1);
    assert_int_equal(count(&s, "file z"), 1);
    assert_int_equal(s.n, 2 * WALK_DEPTH_MAX);
    assert_int_equal(most_descriptors, before + WALK_DEPTH_MAX);
    assert_int_equal(descriptors(), before);
    forget(&s);
}

static void all_levels_that_may_be_are_walked(void **state)
{
    struct seen s = {0};
    (void)state;
    nest(WALK_DEPTH_MAX - 1, "d");
    walk(&s, &(struct walk_options){0});
    assert_int_equal(count(&s, "error "), 0);
    assert_int_equal(count(&s, "file d/d/"), 1);
    forget(&s);
}

static size_t longest, longest_bad;

static void note_length(const struct walk_entry *entry)
{
    size_t n = strlen(entry->path);
    size_t *most = entry->kind == WALK_ERROR ? &longest_bad : &longest;
    assert_true(entry->kind != WALK_ERROR || entry->error == ERR_NAME);
    if (n > *most)
        *most = n;
}

static void paths_are_bounded(void **state)
{
    struct seen s = {.hook = note_length};
    char name[PATH_NAME_MAX + 1] = "";
    (void)state;
    memset(name, 'n', PATH_NAME_MAX);
    nest(20, name);
    walk(&s, &(struct walk_options){0});
    assert_int_equal(longest, PATH_MAX_BYTES - 1); /* 16 names of 255 bytes and a "/" before each */
    assert_int_equal(longest_bad, 17 * (PATH_NAME_MAX + 1) - 1);
    assert_int_equal(count(&s, "enter "), 16);
    assert_int_equal(count(&s, "leave "), 16);
    assert_int_equal(s.n, 33);
    forget(&s);
}

static void the_longest_path_is_that_of_path_h(void **state)
{
    struct seen s = {0};
    char name[PATH_NAME_MAX + 1] = "";
    (void)state;
    memset(name, 'n', PATH_NAME_MAX);
    int fd = nest_open(15, name);
    name[253] = '\0';
    assert_int_equal(mkdirat(fd, name, 0755), 0);
    int last = openat(fd, name, O_RDONLY | O_DIRECTORY);
    file_in(last, "x");  /* "/" and 4095 bytes */
    file_in(last, "xy"); /* and 4096 */
    close(last);
    close(fd);
    walk(&s, &(struct walk_options){0});
    assert_int_equal(count(&s, "file "), 1);
    assert_int_equal(count(&s, "error "), 1);
    forget(&s);
}

static void many_entries_come_once_each(void **state)
{
    static bool met[5000];
    struct seen s = {0};
    (void)state;
    make_files(5000);
    walk(&s, &(struct walk_options){0});
    assert_int_equal(s.n, 5000);
    for (size_t i = 0; i < s.n; i++) {
        unsigned long which = strtoul(s.lines[i] + strlen("file "), NULL, 10);
        assert_in_range(which, 0, 4999);
        assert_false(met[which]);
        met[which] = true;
    }
    forget(&s);
}

/* What a process finds that walks in/: entries, and how much its memory grew. */
struct growth {
    unsigned long n;
    long kib;
};

static char **kept; /* grows for the control, and is never freed */

static void keep(unsigned long n, const char *path)
{
    kept = realloc(kept, n * sizeof *kept);
    if (!kept || !(kept[n - 1] = strdup(path)))
        _exit(1);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static struct growth walk_apart(bool keeping)
{
    struct growth g = {0};
    struct walk_entry entry;
    struct walk *w;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        long before = peak_kib();
        if (walk_open(open_in(), &(struct walk_options){0}, &w) != ERR_OK)
            _exit(1);
        while (walk_next(w, &entry) == ERR_OK) {
            g.n++;
            if (keeping)
                keep(g.n, entry.path);
        }
        g.kib = peak_kib() - before;
        _exit(write(ends[1], &g, sizeof g) == sizeof g ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &g, sizeof g), sizeof g);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ends[0]);
    return g;
}

static void memory_does_not_grow_with_entries(void **state)
{
    enum { ENTRIES = 15000 };
    (void)state;
    make_files(ENTRIES);
    struct growth walked = walk_apart(false), control = walk_apart(true);
    assert_int_equal(walked.n, ENTRIES);
    assert_int_equal(control.n, ENTRIES);
    assert_true(2 * walked.kib < control.kib); /* a list would show */
}

/* ---- the caller's part ---- */

static void it_can_be_closed_at_any_entry(void **state)
{
    unsigned before = descriptors();
    (void)state;
    folder("in/a");
    folder("in/a/b");
    file_put("in/a/b/x", "x");
    file_put("in/a/b/a\nb", "x");
    for (size_t i = 1; i <= 6; i++) {
        struct seen s = {.stop_after = i};
        walk(&s, &(struct walk_options){0});
        assert_int_equal(s.n, i);
        assert_int_equal(descriptors(), before);
        forget(&s);
    }
}

static void a_folder_can_be_skipped(void **state)
{
    struct seen s = {.skip = "a/b"};
    (void)state;
    folder("in/a");
    folder("in/a/b");
    file_put("in/a/b/x", "x");
    folder("in/a/c");
    walk(&s, &(struct walk_options){0});
    is(&s, "enter a\nenter a/b\nenter a/c\nleave a\nleave a/c\n");
}

static void only_a_folder_can_be_skipped(void **state)
{
    struct seen s = {.skip = "a/x"};
    (void)state;
    folder("in/a");
    file_put("in/a/x", "x");
    file_put("in/a/y", "y");
    walk(&s, &(struct walk_options){0});
    is(&s, "enter a\nfile a/x\nfile a/y\nleave a\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_kind_is_reported),
        TEST(follow_takes_links_to_files_only),
        TEST(names_out_of_rule_are_errors),
        TEST(a_folder_encloses_what_is_in_it),
        TEST(what_is_excluded_is_not_looked_into),
        TEST(depth_is_bounded),
        TEST(all_levels_that_may_be_are_walked),
        TEST(paths_are_bounded),
        TEST(the_longest_path_is_that_of_path_h),
        TEST(many_entries_come_once_each),
        TEST(memory_does_not_grow_with_entries),
        TEST(it_can_be_closed_at_any_entry),
        TEST(a_folder_can_be_skipped),
        TEST(only_a_folder_can_be_skipped),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
