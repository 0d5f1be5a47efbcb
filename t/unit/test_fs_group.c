/* SPDX-License-Identifier: ISC */
/* Small files in groups: in which order they become durable, what is left of those that fail, and what is
 * stored of their contents. */
#include "test_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

static struct fs_group *group;

struct outcome {
    size_t n;
    enum err status[FS_GROUP_MAX];
    char reason[FS_GROUP_MAX][80];
};
static struct outcome outcome;

static int begin(void **state)
{
    return site_begin(state) == 0 && fs_group_new(&site_fs, &group) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    fs_group_free(group);
    return site_end(state);
}

#define IN_BOTH(f)                                                                                 \
    {#f, f, begin, end, NULL},                                                                     \
    {                                                                                              \
#f " by walk", f, begin, end, (void *)1                                                    \
    }

static struct fs_small small(const char *path, const char *text)
{
    struct fs_small s = {.path = path,
                         .overwrite = true,
                         .mode = 0640,
                         .mtime_s = 1000000000,
                         .mtime_ns = 5,
                         .bytes = (const uint8_t *)text,
                         .n = strlen(text)};
    tree_small(tree_engine(true), s.bytes, s.n, s.root);
    return s;
}

static void add_file(const struct fs_small *s)
{
    assert_true(fs_group_add(group, s));
}

static void add(const char *path, const char *text)
{
    struct fs_small s = small(path, text);
    add_file(&s);
}

static void add_new(const char *path, const char *text)
{
    struct fs_small s = small(path, text);
    s.overwrite = false;
    add_file(&s);
}

static void on_each(void *arg, size_t index, enum err status, const char *reason)
{
    (void)arg;
    assert_int_equal(index, outcome.n);
    assert_true(index < FS_GROUP_MAX);
    outcome.status[index] = status;
    snprintf(outcome.reason[index], sizeof outcome.reason[index], "%s", reason);
    outcome.n++;
}

/* How many there were; the calls of the commit alone are noted. */
static size_t commit(void)
{
    memset(&outcome, 0, sizeof outcome);
    memset(calls, 0, sizeof calls);
    fs_group_commit(group, on_each, NULL);
    assert_int_equal(fs_group_count(group), 0);
    return outcome.n;
}

static enum err commit_one(void)
{
    assert_int_equal(commit(), 1);
    return outcome.status[0];
}

static bool nothing_aside(const char *root)
{
    char path[64];
    const struct dirent *entry;
    bool none = true;
    snprintf(path, sizeof path, "%s/.consign/parts", root);
    DIR *dir = opendir(at(path));
    while (dir && (entry = readdir(dir)))
        none = none && entry->d_name[0] == '.';
    if (dir)
        closedir(dir);
    return none;
}

/* ---- what a commit does ---- */

static void files_appear_together(void **state)
{
    struct stat st;
    (void)state;
    folder("in/d");
    add("/f", "hello");
    add("/d/empty", "");
    add("/two/g", "other root");
    assert_int_equal(fs_group_count(group), 3);
    assert_false(there("in/f"));
    assert_int_equal(commit(), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(outcome.status[i], ERR_OK);
    file_is("in/f", "hello");
    file_is("in/d/empty", "");
    file_is("in2/g", "other root");
    assert_int_equal(stat(at("in/f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(st.st_mtim.tv_nsec, 5);
    assert_int_equal(st.st_nlink, 1);
    assert_true(nothing_aside("in") && nothing_aside("in2"));
    assert_int_equal(commit(), 0);
    assert_string_equal(calls, "");
}

static void the_order_of_a_commit(void **state)
{
    (void)state;
    folder("in/d");
    add("/f", "1");
    add("/g", "2");
    add("/d/h", "3");
    assert_int_equal(commit(), 3);
    /* all data, all names, both folders */
    assert_string_equal(calls, "FFFRRRDD");
    add("/f", "4");
    add_new("/d/new", "5");
    assert_int_equal(commit(), 2);
    /* the name aside goes when the folder is durable; the tree of the file that was replaced goes */
    assert_true(strncmp(calls, "FFRLDDU", 7) == 0);
    assert_null(strpbrk(calls + 7, "FDRLS"));
}

/* Data in more than sixteen files, names in more than sixteen folders. */
static void many_are_synced_at_once(void **state)
{
    char path[32];
    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "in/d%d", i);
        folder(path);
        snprintf(path, sizeof path, "/d%d/f", i);
        add(path, "x");
    }
    assert_int_equal(commit(), 20);
    char want[] = "SFFFFFFFFFFFFFFFFRRRRRRRRRRRRRRRRRRRRSDDDDDDDDDDDDDDDD";
    calls[strlen(want)] = '\0';
    assert_string_equal(calls, want);
}

static void as_many_as_there_is_room_for(void **state)
{
    char path[32];
    struct fs_small s;
    (void)state;
    for (int i = 0; i < FS_GROUP_MAX; i++) {
        snprintf(path, sizeof path, "/%d", i);
        add(path, path);
    }
    s = small("/more", "x");
    assert_false(fs_group_add(group, &s));
    assert_int_equal(commit(), FS_GROUP_MAX);
    for (int i = 0; i < FS_GROUP_MAX; i++) {
        assert_int_equal(outcome.status[i], ERR_OK);
        snprintf(path, sizeof path, "in/%d", i);
        file_is(path, path + 2);
    }
    assert_false(there("in/more"));
    add("/more", "x");
    assert_int_equal(commit_one(), ERR_OK);
}

/* ---- what fails ---- */

static void data_that_can_not_be_synced_is_not_seen(void **state)
{
    (void)state;
    file_put("in/f", "old");
    for (int at_sync = 1; at_sync <= 2; at_sync++) {
        add("/f", "new");
        add("/g", "new");
        fail_sync_at = at_sync;
        assert_int_equal(commit(), 2);
        assert_int_equal(outcome.status[0], ERR_IO);
        assert_int_equal(outcome.status[1], ERR_IO);
        assert_null(strpbrk(calls, "RL"));
        file_is("in/f", "old");
        assert_false(there("in/g"));
        assert_true(nothing_aside("in"));
    }
    add("/f", "new");
    assert_int_equal(commit_one(), ERR_OK);
}

static void a_folder_that_can_not_be_synced_fails_all(void **state)
{
    (void)state;
    folder("in/d");
    add("/f", "new");
    add_new("/d/g", "new");
    fail_sync_at = 4; /* the second folder's */
    assert_int_equal(commit(), 2);
    assert_int_equal(outcome.status[0], ERR_IO);
    assert_int_equal(outcome.status[1], ERR_IO);
    assert_true(nothing_aside("in"));
    /* the names are there, but nothing is said of them */
    assert_false(has_tree("/f"));
}

static void a_sync_of_all_that_fails(void **state)
{
    char path[32];
    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "/%d", i);
        add(path, "x");
    }
    fail_sync_at = 1;
    assert_int_equal(commit(), 20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(outcome.status[i], ERR_IO);
    assert_string_equal(calls + strspn(calls, "SFU"), "");
    assert_false(there("in/0"));
    assert_true(nothing_aside("in"));
}

static void one_that_fails_leaves_the_others(void **state)
{
    struct fs_small s = small("/time", "x");
    static char long_text[FS_SMALL_MAX + 2];
    (void)state;
    memset(long_text, 'x', FS_SMALL_MAX + 1);
    file_put("in/old", "old");
    add("/first", "1");
    add_new("/old", "new");
    s.mtime_ns = 1000000000;
    add_file(&s);
    add("/long", long_text);
    add("/none/f", "no such folder");
    add("/", "a root");
    add("/two", "another root");
    add("/last", "2");
    assert_int_equal(commit(), 8);
    assert_int_equal(outcome.status[0], ERR_OK);
    assert_int_equal(outcome.status[1], ERR_EXISTS);
    assert_int_equal(outcome.status[2], ERR_PROTO);
    assert_int_equal(outcome.status[3], ERR_LIMIT);
    assert_int_equal(outcome.status[4], ERR_NOENT);
    assert_int_equal(outcome.status[5], ERR_DENIED);
    assert_int_equal(outcome.status[6], ERR_DENIED);
    assert_int_equal(outcome.status[7], ERR_OK);
    assert_non_null(strstr(outcome.reason[1], "/old"));
    assert_non_null(strstr(outcome.reason[4], "/none"));
    assert_string_equal(outcome.reason[7], "");
    file_is("in/old", "old");
    file_is("in/first", "1");
    file_is("in/last", "2");
    assert_false(there("in/time") || there("in/long"));
    assert_true(nothing_aside("in") && nothing_aside("in2"));
    long_text[FS_SMALL_MAX] = '\0';
    add("/long", long_text);
    assert_int_equal(commit_one(), ERR_OK);
}

static void one_path_twice(void **state)
{
    (void)state;
    add("/f", "first");
    add("/f", "second");
    add_new("/f", "third");
    add_new("/g", "first");
    add_new("/g", "second");
    assert_int_equal(commit(), 5);
    assert_int_equal(outcome.status[0], ERR_OK);
    assert_int_equal(outcome.status[1], ERR_OK);
    assert_int_equal(outcome.status[2], ERR_EXISTS);
    assert_int_equal(outcome.status[3], ERR_OK);
    assert_int_equal(outcome.status[4], ERR_EXISTS);
    file_is("in/f", "second");
    file_is("in/g", "first");
    assert_true(has_tree("/f") && has_tree("/g"));
    assert_true(nothing_aside("in"));
}

static void what_is_given_up_leaves_nothing(void **state)
{
    (void)state;
    file_put("in/f", "old");
    add("/f", "new");
    add("/two/g", "new");
    memset(calls, 0, sizeof calls);
    fs_group_free(group);
    group = NULL;
    assert_string_equal(calls, "UU");
    file_is("in/f", "old");
    assert_false(there("in2/g"));
    assert_true(nothing_aside("in") && nothing_aside("in2"));
}

/* ---- what stands there ---- */

static void create_target(void)
{
    file_put("in/f", "came meanwhile");
}

static void only_files_are_replaced(void **state)
{
    (void)state;
    add("/f", "new");
    folder("in/f");
    assert_int_equal(commit_one(), ERR_TYPE);
    assert_int_equal(rmdir(at("in/f")), 0);
    sym("../out/secret", "in/f");
    add("/f", "new");
    assert_int_equal(commit_one(), ERR_TYPE);
    assert_int_equal(unlink(at("in/f")), 0);
    assert_int_equal(mkfifo(at("in/f"), 0666), 0);
    add("/f", "new");
    assert_int_equal(commit_one(), ERR_TYPE);
    assert_int_equal(unlink(at("in/f")), 0);
    sym("../out", "in/d");
    add("/d/f", "new");
    assert_int_equal(commit_one(), ERR_NAME);
    assert_false(there("out/f"));
    file_is("out/secret", "secret");
    /* who may not overwrite does not do so by winning a race */
    before_move = create_target;
    add_new("/f", "new");
    assert_int_equal(commit_one(), ERR_EXISTS);
    file_is("in/f", "came meanwhile");
    assert_true(nothing_aside("in"));
}

/* Not even when the folder that a root's name would be in is open, for another file of the group. */
static void a_root_is_not_touched(void **state)
{
    (void)state;
    site_fs.roots[0].rights = FS_OVERWRITE;
    file_put("in/f", "old");
    add("/f", "new");
    add("/two", "x");
    add("/", "x");
    assert_int_equal(commit(), 3);
    assert_int_equal(outcome.status[0], ERR_OK);
    assert_int_equal(outcome.status[1], ERR_DENIED);
    assert_int_equal(outcome.status[2], ERR_DENIED);
    assert_false(there("in/two"));
    assert_true(nothing_aside("in") && nothing_aside("in2"));
}

/* A second name keeps the old content. */
static void only_the_name_is_replaced(void **state)
{
    (void)state;
    file_put("out/f", "kept");
    assert_int_equal(link(at("out/f"), at("in/f")), 0);
    add("/f", "new");
    assert_int_equal(commit_one(), ERR_OK);
    file_is("in/f", "new");
    file_is("out/f", "kept");
}

static void each_right_for_itself(void **state)
{
    struct fs_small s = small("/a/b/f", "x");
    (void)state;
    file_put("in/old", "old");
    set_rights(FS_CREATE);
    add("/new", "x");
    add("/old", "x");
    assert_int_equal(commit(), 2);
    assert_int_equal(outcome.status[0], ERR_OK);
    assert_int_equal(outcome.status[1], ERR_DENIED);
    set_rights(FS_OVERWRITE);
    add("/new2", "x");
    add("/old", "written over");
    assert_int_equal(commit(), 2);
    assert_int_equal(outcome.status[0], ERR_DENIED);
    assert_int_equal(outcome.status[1], ERR_OK);
    set_rights(FS_ALL & ~(FS_CREATE | FS_OVERWRITE));
    add("/new2", "x");
    assert_int_equal(commit_one(), ERR_DENIED);
    file_is("in/old", "written over");
    assert_false(there("in/new2"));
    set_rights(FS_ALL & ~FS_MKDIR);
    s.parents = true;
    add_file(&s);
    assert_int_equal(commit_one(), ERR_DENIED);
    assert_false(there("in/a"));
    set_rights(FS_ALL);
    add_file(&s);
    assert_int_equal(commit_one(), ERR_OK);
    file_is("in/a/b/f", "x");
    assert_true(nothing_aside("in"));
}

/* The right is taken away between the two. */
static void rights_are_asked_again(void **state)
{
    (void)state;
    file_put("in/f", "old");
    add("/f", "new");
    set_rights(FS_CREATE);
    assert_int_equal(commit_one(), ERR_DENIED);
    file_is("in/f", "old");
}

/* ---- the folder of what is written aside ---- */

static void it_may_be_tidied_away(void **state)
{
    (void)state;
    add("/f", "1");
    assert_int_equal(commit_one(), ERR_OK);
    fs_service_tidy(&site_fs.roots[0]);
    assert_false(there("in/.consign/parts"));
    add("/g", "2");
    assert_int_equal(commit_one(), ERR_OK);
    file_is("in/g", "2");
}

static void what_it_should_not_be(void **state)
{
    (void)state;
    folder("in/.consign");
    sym("../../out", "in/.consign/parts");
    add("/f", "x");
    assert_int_equal(commit_one(), ERR_TYPE);
    assert_int_equal(unlink(at("in/.consign/parts")), 0);
    add("/f", "x");
    assert_int_equal(commit_one(), ERR_OK);
}

static void a_crash_leaves_what_is_swept(void **state)
{
    unsigned removed;
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        add("/f", "new");
        add("/g", "new");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_false(there("in/f") || there("in/g"));
    assert_false(nothing_aside("in"));
    assert_int_equal(fs_sweep(&site_fs, 100, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(fs_sweep(&site_fs, -10, &removed), ERR_OK);
    assert_int_equal(removed, 2);
    assert_true(nothing_aside("in"));
}

/* ---- roots ---- */

static bool root_is(const char *path, const char *text)
{
    struct fs_info info;
    uint8_t root[TREE_HASH];
    tree_small(tree_engine(true), (const uint8_t *)text, strlen(text), root);
    assert_int_equal(fs_stat(&site_fs, path, &info), ERR_OK);
    return info.has_root && memcmp(info.root, root, TREE_HASH) == 0;
}

static void roots_are_kept(void **state)
{
    (void)state;
    add("/f", "hello");
    add("/two/g", "other");
    add("/empty", "");
    assert_int_equal(commit(), 3);
    assert_true(root_is("/f", "hello"));
    assert_true(root_is("/two/g", "other"));
    assert_true(root_is("/empty", ""));
    assert_int_equal(fs_rename(&site_fs, "/f", "/renamed", false), ERR_OK);
    assert_true(root_is("/renamed", "hello"));
    file_put("in/renamed", "HELLO");
    assert_false(has_tree("/renamed"));
    add("/two/g", "new");
    assert_int_equal(commit_one(), ERR_OK);
    assert_true(root_is("/two/g", "new"));
}

/* The files of slots are no trees, and are not taken for orphans of some. */
static void a_sweep_leaves_the_roots(void **state)
{
    unsigned removed;
    (void)state;
    add("/f", "hello");
    assert_int_equal(commit_one(), ERR_OK);
    assert_int_equal(fs_sweep(&site_fs, -10, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    assert_true(root_is("/f", "hello"));
}

static int slots_file(void)
{
    const struct dirent *entry;
    char name[400] = "";
    DIR *dir = opendir(at("in/.consign/trees"));
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            snprintf(name, sizeof name, "%s/in/.consign/trees/%s", site_top, entry->d_name);
    if (dir)
        closedir(dir);
    return open(name, O_RDWR);
}

/* Any bit of a slot that is not as it was: no root, rather than a wrong one. */
static void a_damaged_slot_tells_nothing(void **state)
{
    uint8_t slot[96];
    struct stat st;
    (void)state;
    add("/f", "hello");
    assert_int_equal(commit_one(), ERR_OK);
    assert_int_equal(stat(at("in/f"), &st), 0);
    off_t pos = (off_t)(st.st_ino % 1024 * sizeof slot);
    int fd = slots_file();
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, slot, sizeof slot, pos), sizeof slot);
    for (size_t i = 0; i < sizeof slot; i++) {
        slot[i] ^= 1;
        assert_int_equal(pwrite(fd, slot, sizeof slot, pos), sizeof slot);
        assert_false(has_tree("/f"));
        slot[i] ^= 1;
    }
    assert_int_equal(pwrite(fd, slot, sizeof slot, pos), sizeof slot);
    assert_true(root_is("/f", "hello"));
    assert_int_equal(ftruncate(fd, pos + 95), 0);
    assert_false(has_tree("/f"));
    close(fd);
}

static void a_client_keeps_none(void **state)
{
    (void)state;
    fs_group_free(group);
    site_fs.tidy = true;
    assert_int_equal(fs_group_new(&site_fs, &group), ERR_OK);
    add("/f", "hello");
    assert_int_equal(commit_one(), ERR_OK);
    fs_group_free(group);
    group = NULL;
    assert_false(there("in/.consign"));
}

/* A transfer that was killed before it had written a header. */
static void an_empty_journal_is_nobodys(void **state)
{
    struct fs_part part;
    (void)state;
    assert_int_equal(fs_open_part(&site_fs, "/f", 100000, true, 0, &part), ERR_OK);
    assert_int_equal(ftruncate(part.journal, 0), 0);
    close(part.data);
    close(part.journal);
    add("/f", "whole");
    assert_int_equal(commit(), 1);
    assert_true(nothing_aside("in"));
}

/* By itself, and in a group that is large enough for one look at all parts. */
static void an_unfinished_transfer_to_the_name_is_dropped(void **state)
{
    struct fs_part part;
    char path[16];
    (void)state;
    for (int others = 0; others < 20; others += 19) {
        assert_int_equal(fs_open_part(&site_fs, "/f", 100000, true, 0, &part), ERR_OK);
        close(part.data);
        close(part.journal);
        assert_false(nothing_aside("in"));
        add("/f", "whole");
        for (int i = 0; i < others; i++) {
            snprintf(path, sizeof path, "/f%d", i);
            add(path, "another");
        }
        assert_int_equal(commit(), others + 1);
        assert_int_equal(outcome.status[0], ERR_OK);
        assert_true(nothing_aside("in"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(files_appear_together),
        IN_BOTH(the_order_of_a_commit),
        IN_BOTH(many_are_synced_at_once),
        IN_BOTH(as_many_as_there_is_room_for),
        IN_BOTH(data_that_can_not_be_synced_is_not_seen),
        IN_BOTH(a_folder_that_can_not_be_synced_fails_all),
        IN_BOTH(a_sync_of_all_that_fails),
        IN_BOTH(one_that_fails_leaves_the_others),
        IN_BOTH(one_path_twice),
        IN_BOTH(what_is_given_up_leaves_nothing),
        IN_BOTH(only_files_are_replaced),
        IN_BOTH(a_root_is_not_touched),
        IN_BOTH(only_the_name_is_replaced),
        IN_BOTH(each_right_for_itself),
        IN_BOTH(rights_are_asked_again),
        IN_BOTH(it_may_be_tidied_away),
        IN_BOTH(what_it_should_not_be),
        IN_BOTH(a_crash_leaves_what_is_swept),
        IN_BOTH(roots_are_kept),
        IN_BOTH(a_sweep_leaves_the_roots),
        IN_BOTH(a_damaged_slot_tells_nothing),
        IN_BOTH(an_empty_journal_is_nobodys),
        IN_BOTH(an_unfinished_transfer_to_the_name_is_dropped),
        IN_BOTH(a_client_keeps_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
