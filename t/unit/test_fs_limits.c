/* SPDX-License-Identifier: ISC */
/* What is counted and retained: the ledger, quotas, parts, retention; several at once, and crashes. */
#include "fs_gate.h"
#include "test_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

enum { KIB = 1024 };

/* Another session: of the user in the same folders. */
static void session(struct fs *fs, const char *user, const struct fs_limits *l)
{
    fs_init(fs, user, false);
    assert_int_equal(fs_add_root(fs, "/", at("in"), FS_ALL), ERR_OK);
    assert_int_equal(fs_add_root(fs, "/two", at("in2"), FS_ALL), ERR_OK);
    fs_limit(fs, l);
}

static const struct fs_limits none;

static void limit(struct fs_limits l)
{
    fs_limit(&site_fs, &l);
}

static const char *text_of(size_t n)
{
    static char text[512 * KIB];
    memset(text, 'x', n);
    text[n] = '\0';
    return text;
}

static enum err put_n(struct fs *fs, const char *path, size_t n)
{
    return put(fs, path, text_of(n), true);
}

/* A group of small files of n bytes each; what became of the last. */
static enum err last_status;
static unsigned went_well;

static void on_file(void *arg, size_t index, enum err status, const char *reason)
{
    (void)arg, (void)index, (void)reason;
    last_status = status;
    went_well += status == ERR_OK;
}

static enum err small_n(struct fs *fs, const char *path, size_t n, unsigned count)
{
    struct fs_group *g;
    char name[64];
    const char *text = text_of(n);
    assert_int_equal(fs_group_new(fs, &g), ERR_OK);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, count > 1 ? "%s%u" : "%s", path, i);
        struct fs_small s = {
            .path = name, .overwrite = true, .mode = 0644, .bytes = (const uint8_t *)text, .n = n};
        assert_true(fs_group_add(g, &s));
    }
    went_well = 0;
    fs_group_commit(g, on_file, NULL);
    fs_group_free(g);
    return last_status;
}

static struct fs_sum counted(const char *user, const char *rel)
{
    struct fs_account a;
    char path[64];
    snprintf(path, sizeof path, "%s/.consign/ledger", rel);
    int fd = open(at(path), O_RDWR);
    assert_true(fd >= 0);
    enum err e = fs_ledger_find(fd, user, &a);
    close(fd);
    assert_int_equal(e, ERR_OK);
    return fs_account_sum(&a);
}

static void expect(const char *user, uint64_t bytes, uint64_t files, uint64_t parts)
{
    struct fs_sum s = counted(user, "in");
    if (s.bytes != bytes || s.files != files || s.parts != parts)
        fail_msg("%s: %llu bytes, %llu files, %llu parts", user, (unsigned long long)s.bytes,
                 (unsigned long long)s.files, (unsigned long long)s.parts);
}

/* The ledger says what a walk says. */
static void expect_true(const char *user)
{
    struct fs_sum before = counted(user, "in"), after;
    assert_int_equal(fs_recount(&site_fs, 0, 0), ERR_OK);
    after = counted(user, "in");
    assert_memory_equal(&before, &after, sizeof after);
}

/* ---- the ledger ---- */

static enum err count_accounts(void *arg, const struct fs_account *a)
{
    (void)a;
    ++*(unsigned *)arg;
    return ERR_OK;
}

static void a_ledger_keeps_accounts(void **state)
{
    struct fs_account a, b = {.in = {1, 2, 3}, .out = {1, 1, 1}};
    struct fs_head h;
    unsigned n = 0;
    int fd, dir = open(site_top, O_RDONLY | O_DIRECTORY);
    (void)state;
    assert_int_equal(fs_ledger_open(dir, false, &fd), ERR_NOENT);
    assert_int_equal(fs_ledger_open(dir, true, &fd), ERR_OK);
    fs_ledger_head(fd, &h);
    assert_true(h.until == 0 && h.moves == 0);
    for (int i = 0; i < 100; i++) {
        snprintf(b.user, sizeof b.user, "%0*d", i % 2 ? 64 : 3, i);
        b.at = 0;
        b.in.bytes = UINT64_MAX - (uint64_t)i;
        assert_int_equal(fs_ledger_find(fd, b.user, &a), ERR_NOENT);
        assert_int_equal(fs_ledger_write(fd, &b), ERR_OK);
        assert_int_equal(fs_ledger_find(fd, b.user, &a), ERR_OK);
        assert_true(a.at == b.at && a.in.bytes == b.in.bytes && a.out.parts == 1);
    }
    assert_int_equal(fs_ledger_each(fd, count_accounts, &n), ERR_OK);
    assert_int_equal(n, 100);
    /* A damaged one is not there, and its place is taken by the next new one. */
    assert_int_equal(fs_ledger_find(fd, "042", &a), ERR_OK);
    assert_int_equal(pwrite(fd, "x", 1, (off_t)(a.at * FS_RECORD + 80)), 1);
    assert_int_equal(fs_ledger_find(fd, "042", &b), ERR_NOENT);
    assert_int_equal(fs_ledger_write(fd, &b), ERR_OK);
    assert_true(b.at == a.at);
    h = (struct fs_head){.until = 77, .moves = 5};
    assert_int_equal(fs_ledger_write_head(fd, &h), ERR_OK);
    fs_ledger_head(fd, &h);
    assert_true(h.until == 77 && h.moves == 5);
    assert_int_equal(pwrite(fd, "x", 1, 9), 1);
    fs_ledger_head(fd, &h);
    assert_true(h.until == INT64_MAX);
    close(fd);
    assert_int_equal(unlinkat(dir, "ledger", 0), 0);
    assert_int_equal(symlinkat("out/secret", dir, "ledger"), 0);
    assert_int_equal(fs_ledger_open(dir, true, &fd), ERR_NAME);
    close(dir);
}

/* ---- quotas ---- */

static void without_limits_nothing_is_kept(void **state)
{
    struct fs_mark m;
    struct stat st;
    (void)state;
    limit(none);
    assert_int_equal(put_n(&site_fs, "/f", 10), ERR_OK);
    assert_int_equal(small_n(&site_fs, "/g", 10, 3), ERR_OK);
    assert_int_equal(fs_rename(&site_fs, "/f", "/h", false), ERR_OK);
    assert_int_equal(fs_remove(&site_fs, "/h", false), ERR_OK);
    assert_false(there("in/.consign/ledger"));
    assert_int_equal(stat(at("in/g0"), &st), 0);
    assert_false(fs_mark_at(site_fs.roots[0].fd, "g0", &st, &m));
}

static void bytes_are_counted_by_length(void **state)
{
    struct upload u;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(put_n(&site_fs, "/f", 60 * KIB), ERR_OK);
    expect("alice", 60 * KIB, 1, 0);
    assert_int_equal(put_n(&site_fs, "/g", 40 * KIB + 1), ERR_LIMIT);
    assert_false(there("in/g"));
    assert_int_equal(put_n(&site_fs, "/g", 40 * KIB), ERR_OK);
    assert_int_equal(small_n(&site_fs, "/h", 1, 1), ERR_LIMIT);
    assert_int_equal(small_n(&site_fs, "/h", 0, 1), ERR_OK);
    expect("alice", 100 * KIB, 3, 0);
    assert_int_equal(fs_remove(&site_fs, "/f", false), ERR_OK);
    expect("alice", 40 * KIB, 2, 0);
    /* An unfinished upload counts from when it is opened to when it is dropped. */
    assert_int_equal(upload_begin(&site_fs, "/p", text_of(50 * KIB), true, &u), ERR_OK);
    upload_release(&u);
    expect("alice", 90 * KIB, 3, 1);
    assert_int_equal(put_n(&site_fs, "/q", 11 * KIB), ERR_LIMIT);
    assert_int_equal(small_n(&site_fs, "/q", 11 * KIB, 1), ERR_LIMIT);
    expect_true("alice");
    /* Gone on with it is counted once, with another length by that. */
    assert_int_equal(upload_begin(&site_fs, "/p", text_of(50 * KIB), true, &u), ERR_OK);
    upload_release(&u);
    expect("alice", 90 * KIB, 3, 1);
    assert_int_equal(upload_begin(&site_fs, "/p", text_of(20 * KIB), true, &u), ERR_OK);
    upload_release(&u);
    expect("alice", 60 * KIB, 3, 1);
    assert_int_equal(upload_begin(&site_fs, "/p", text_of(61 * KIB), true, &u), ERR_LIMIT);
    expect("alice", 60 * KIB, 3, 1);
    expect_true("alice");
    assert_int_equal(fs_discard(&site_fs, "/p"), ERR_OK);
    expect("alice", 40 * KIB, 2, 0);
    expect_true("alice");
}

static void a_start_that_failed_is_given_back(void **state)
{
    struct fs_part part;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    fail_reserve = ENOSPC;
    assert_int_equal(fs_open_part(&site_fs, "/f", 50 * KIB, 0, 0, &part), ERR_NOSPACE);
    fail_reserve = 0;
    expect("alice", 0, 0, 0);
    assert_int_equal(put_n(&site_fs, "/f", 100 * KIB), ERR_OK);
    fail_sync_at = 0;
}

static void data_that_can_not_be_synced_is_given_back(void **state)
{
    struct upload u;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(upload_begin(&site_fs, "/f", text_of(90 * KIB), false, &u), ERR_OK);
    fail_sync_at = 1;
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_IO);
    upload_release(&u);
    expect("alice", 0, 0, 0);
}

static void a_sweep_gives_back(void **state)
{
    struct upload u;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB, .parts = 1});
    assert_int_equal(upload_begin(&site_fs, "/f", text_of(90 * KIB), false, &u), ERR_OK);
    upload_release(&u);
    assert_int_equal(put_n(&site_fs, "/g", 90 * KIB), ERR_LIMIT);
    assert_int_equal(fs_sweep(&site_fs, -5, NULL), ERR_OK);
    expect("alice", 0, 0, 0);
    assert_int_equal(put_n(&site_fs, "/g", 90 * KIB), ERR_OK);
}

/* While both are there both count; the old one makes room. */
static void the_new_version_takes_the_place_of_the_old_one(void **state)
{
    struct upload u;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB, .files = 1});
    assert_int_equal(put_n(&site_fs, "/f", 90 * KIB), ERR_OK);
    assert_int_equal(upload_begin(&site_fs, "/f", text_of(95 * KIB), true, &u), ERR_OK);
    expect("alice", 185 * KIB, 2, 1);
    assert_int_equal(small_n(&site_fs, "/g", 0, 1), ERR_LIMIT);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    upload_release(&u);
    expect("alice", 95 * KIB, 1, 0);
    assert_int_equal(small_n(&site_fs, "/f", 100 * KIB, 1), ERR_OK);
    expect("alice", 100 * KIB, 1, 0);
    assert_int_equal(small_n(&site_fs, "/f", 100 * KIB + 1, 1), ERR_LIMIT);
    assert_int_equal(put_n(&site_fs, "/f", 100 * KIB + 1), ERR_LIMIT);
    expect("alice", 100 * KIB, 1, 0);
    expect_true("alice");
}

/* The old one is put aside while the new one is on its way. */
static void room_that_went_away_is_no_room(void **state)
{
    struct upload u;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(put_n(&site_fs, "/f", 90 * KIB), ERR_OK);
    assert_int_equal(upload_begin(&site_fs, "/f", text_of(90 * KIB), true, &u), ERR_OK);
    assert_int_equal(fs_rename(&site_fs, "/f", "/aside", false), ERR_OK);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_LIMIT);
    assert_false(there("in/f"));
    assert_int_equal(fs_remove(&site_fs, "/aside", false), ERR_OK);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    upload_release(&u);
    expect("alice", 90 * KIB, 1, 0);
    expect_true("alice");
}

static void each_of_a_group_for_itself(void **state)
{
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(small_n(&site_fs, "/f", 30 * KIB, 5), ERR_LIMIT);
    assert_int_equal(went_well, 3);
    expect("alice", 90 * KIB, 3, 0);
    /* Again: each takes the place of its own. */
    assert_int_equal(small_n(&site_fs, "/f", 30 * KIB, 3), ERR_OK);
    expect("alice", 90 * KIB, 3, 0);
    expect_true("alice");
}

static void files_folders_and_links_are_counted(void **state)
{
    struct fs_symlink l = {"/link", "f", false, false};
    (void)state;
    fs_keep_links(&site_fs);
    limit((struct fs_limits){.files = 4});
    assert_int_equal(small_n(&site_fs, "/f", 0, 1), ERR_OK);
    assert_int_equal(fs_mkdir(&site_fs, "/d/e", 0755, true), ERR_OK);
    assert_int_equal(fs_symlink(&site_fs, &l), ERR_OK);
    expect("alice", 0, 3, 0);
    expect("", 0, 1, 0);
    assert_int_equal(small_n(&site_fs, "/g", 0, 1), ERR_LIMIT);
    assert_int_equal(put_n(&site_fs, "/g", 1), ERR_LIMIT);
    assert_int_equal(fs_mkdir(&site_fs, "/h", 0755, false), ERR_LIMIT);
    assert_false(there("in/h"));
    l.path = "/other";
    assert_int_equal(fs_symlink(&site_fs, &l), ERR_LIMIT);
    assert_int_equal(fs_mkdir(&site_fs, "/d", 0755, true), ERR_OK);
    expect_true("alice");
    expect_true("");
    assert_int_equal(fs_remove(&site_fs, "/d/e", true), ERR_OK);
    assert_int_equal(fs_remove(&site_fs, "/link", false), ERR_OK);
    expect("alice", 0, 2, 0);
    expect("", 0, 0, 0);
    assert_int_equal(small_n(&site_fs, "/g", 0, 5), ERR_LIMIT);
    assert_int_equal(went_well, 2);
}

static void unfinished_uploads_are_limited(void **state)
{
    struct upload u, v;
    (void)state;
    limit((struct fs_limits){.parts = 2});
    assert_int_equal(upload_begin(&site_fs, "/a", "a", false, &u), ERR_OK);
    assert_int_equal(upload_begin(&site_fs, "/two/b", "b", false, &v), ERR_OK);
    upload_release(&v);
    assert_int_equal(upload_begin(&site_fs, "/c", "c", false, &v), ERR_LIMIT);
    assert_int_equal(upload_begin(&site_fs, "/two/b", "b", false, &v), ERR_OK);
    upload_release(&v);
    assert_int_equal(upload_commit(&site_fs, &u, "/a", false), ERR_OK);
    upload_release(&u);
    assert_int_equal(upload_begin(&site_fs, "/c", "c", false, &v), ERR_OK);
    upload_release(&v);
    assert_int_equal(small_n(&site_fs, "/s", 1, 10), ERR_OK);
}

static void all_roots_count_together(void **state)
{
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(put_n(&site_fs, "/f", 60 * KIB), ERR_OK);
    assert_int_equal(put_n(&site_fs, "/two/f", 41 * KIB), ERR_LIMIT);
    assert_int_equal(small_n(&site_fs, "/two/f", 41 * KIB, 1), ERR_LIMIT);
    assert_int_equal(put_n(&site_fs, "/two/f", 40 * KIB), ERR_OK);
    assert_int_equal(small_n(&site_fs, "/g", 1, 1), ERR_LIMIT);
    assert_int_equal(fs_remove(&site_fs, "/two/f", false), ERR_OK);
    assert_int_equal(put_n(&site_fs, "/g", 40 * KIB), ERR_OK);
}

/* A folder that is two roots is counted once. */
static void one_folder_twice(void **state)
{
    struct fs_limits l = {.bytes = 100 * KIB};
    struct fs fs;
    (void)state;
    fs_init(&fs, "alice", false);
    assert_int_equal(fs_add_root(&fs, "/", at("in"), FS_ALL), ERR_OK);
    assert_int_equal(fs_add_root(&fs, "/same", at("in"), FS_ALL), ERR_OK);
    fs_limit(&fs, &l);
    assert_int_equal(put_n(&fs, "/f", 60 * KIB), ERR_OK);
    assert_int_equal(put_n(&fs, "/same/g", 40 * KIB), ERR_OK);
    assert_int_equal(put_n(&fs, "/same/h", 1), ERR_LIMIT);
    fs_release(&fs);
}

static void what_others_send_is_theirs(void **state)
{
    struct fs_limits l = {.bytes = 50 * KIB};
    struct fs bob, carol;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    session(&bob, "bob", &l);
    session(&carol, "carol", &none);
    assert_int_equal(put_n(&site_fs, "/f", 90 * KIB), ERR_OK);
    assert_int_equal(put_n(&bob, "/g", 50 * KIB), ERR_OK);
    assert_int_equal(small_n(&bob, "/h", 1, 1), ERR_LIMIT);
    expect("alice", 90 * KIB, 1, 0);
    /* Who has no limit is not counted, and takes no room of theirs. */
    assert_int_equal(put_n(&carol, "/big", 200 * KIB), ERR_OK);
    expect_true("alice");
    expect_true("");
    assert_int_equal(small_n(&site_fs, "/x", 10 * KIB, 1), ERR_OK);
    /* Who removes or replaces gives back to the one who sent it. */
    assert_int_equal(fs_remove(&carol, "/f", false), ERR_OK);
    expect("alice", 10 * KIB, 1, 0);
    assert_int_equal(put_n(&carol, "/g", 1), ERR_OK);
    expect("bob", 0, 0, 0);
    assert_int_equal(fs_rename(&carol, "/x", "/y", false), ERR_OK);
    expect("alice", 10 * KIB, 1, 0);
    expect_true("alice");
    expect_true("bob");
    fs_release(&bob);
    fs_release(&carol);
}

static void what_was_there_counts_to_all(void **state)
{
    struct fs bob;
    struct fs_limits l = {.bytes = 100};
    (void)state;
    folder("in/d");
    file_put("in/d/f", "1234567890");
    limit((struct fs_limits){.bytes = 15});
    assert_int_equal(put_n(&site_fs, "/g", 6), ERR_LIMIT);
    assert_int_equal(put_n(&site_fs, "/g", 5), ERR_OK);
    expect("", 10, 2, 0);
    session(&bob, "bob", &l);
    assert_int_equal(put_n(&bob, "/h", 91), ERR_LIMIT);
    assert_int_equal(put_n(&bob, "/h", 90), ERR_OK);
    assert_int_equal(fs_remove(&bob, "/d/f", false), ERR_OK);
    expect("", 0, 1, 0);
    assert_int_equal(put_n(&site_fs, "/i", 10), ERR_OK);
    expect_true("");
    fs_release(&bob);
}

/* A root within a root counts by itself alone. */
static void a_root_within(void **state)
{
    struct fs_limits l = {.bytes = 100};
    struct fs fs;
    (void)state;
    folder("in/inner");
    file_put("in/inner/f", "12345");
    fs_init(&fs, "alice", false);
    assert_int_equal(fs_add_root(&fs, "/", at("in"), FS_ALL), ERR_OK);
    assert_int_equal(fs_add_root(&fs, "/inner", at("in/inner"), FS_ALL), ERR_OK);
    fs_limit(&fs, &l);
    assert_int_equal(put_n(&fs, "/inner/g", 10), ERR_OK);
    assert_true(counted("alice", "in").bytes == 0 && counted("", "in").bytes == 0);
    assert_true(counted("alice", "in/inner").bytes == 10 && counted("", "in/inner").bytes == 5);
    assert_int_equal(put_n(&fs, "/g", 86), ERR_LIMIT);
    assert_int_equal(put_n(&fs, "/g", 85), ERR_OK);
    fs_release(&fs);
}

/* ---- at once, and cut ---- */

enum { MANY = 40 };

static void of_many_at_once_those_that_fit(void **state)
{
    pid_t pids[MANY];
    unsigned passed = 0;
    int status;
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    for (int i = 0; i < MANY; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char path[32];
            struct fs fs;
            session(&fs, "alice", &site_fs.limits);
            snprintf(path, sizeof path, i % 3 == 0 ? "/two/f%d" : "/f%d", i);
            enum err e = i % 2 ? put_n(&fs, path, 90 * KIB) : small_n(&fs, path, 90 * KIB, 1);
            _exit((int)e);
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        passed += WEXITSTATUS(status) == ERR_OK;
        assert_true(WEXITSTATUS(status) == ERR_OK || WEXITSTATUS(status) == ERR_LIMIT);
    }
    assert_int_equal(passed, 1);
    struct fs_sum in = counted("alice", "in"), in2 = counted("alice", "in2");
    assert_true(in.bytes + in2.bytes == 90 * KIB && in.files + in2.files == 1 && in.parts == 0);
    expect_true("alice");
}

static void die(void)
{
    kill(getpid(), SIGKILL);
}

/* Killed right before a name is given: too much is counted, never too little, until it is counted again. */
static void a_crash_is_made_up_for(void **state)
{
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(small_n(&site_fs, "/before", 10 * KIB, 1), ERR_OK);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct fs fs;
            session(&fs, "alice", &site_fs.limits);
            before_move = die;
            (void)!(i ? put_n(&fs, "/f", 20 * KIB) : small_n(&fs, "/g", 20 * KIB, 2));
            _exit(0);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    expect("alice", 70 * KIB, 4, 1);
    assert_int_equal(fs_recount(&site_fs, 0, 0), ERR_OK);
    expect("alice", 30 * KIB, 2, 1);
    assert_int_equal(put_n(&site_fs, "/f", 20 * KIB), ERR_OK);
    expect("alice", 30 * KIB, 2, 0);
    expect_true("alice");
}

static void a_ledger_that_is_lost_is_made_anew(void **state)
{
    (void)state;
    limit((struct fs_limits){.bytes = 100 * KIB});
    assert_int_equal(put_n(&site_fs, "/f", 60 * KIB), ERR_OK);
    assert_int_equal(unlink(at("in/.consign/ledger")), 0);
    assert_int_equal(put_n(&site_fs, "/g", 41 * KIB), ERR_LIMIT);
    assert_int_equal(put_n(&site_fs, "/g", 40 * KIB), ERR_OK);
    expect("alice", 100 * KIB, 2, 0);
    file_put("in/.consign/ledger", "what is this, and so on and so on and so on");
    assert_int_equal(small_n(&site_fs, "/h", 1, 1), ERR_LIMIT);
    expect("alice", 100 * KIB, 2, 0);
}

static void what_others_do_beside_is_seen(void **state)
{
    (void)state;
    limit((struct fs_limits){.bytes = 100});
    assert_int_equal(put_n(&site_fs, "/f", 60), ERR_OK);
    assert_int_equal(put_n(&site_fs, "/g", 30), ERR_OK);
    assert_int_equal(unlink(at("in/f")), 0);
    file_put("in/x", "12345");
    assert_int_equal(fs_recount(&site_fs, 0, 0), ERR_OK);
    expect("alice", 30, 1, 0);
    file_put("in/y", "12345");
    assert_int_equal(fs_recount(&site_fs, 0, time(NULL) - 100), ERR_OK);
    expect("", 5, 1, 0);
}

static void churn(unsigned seed)
{
    struct fs fs;
    session(&fs, "alice", &site_fs.limits);
    for (unsigned i = 0;; i++) {
        char a[32], b[32];
        struct upload u;
        snprintf(a, sizeof a, "/d%u/%u", i % 7, seed);
        snprintf(b, sizeof b, "/e%u/%u", i % 5, seed);
        (void)!fs_parents(&fs, a);
        (void)!fs_parents(&fs, b);
        (void)!(i % 3 ? small_n(&fs, a, 1 + i % 100, 1) : put_n(&fs, a, 1 + i % 100));
        (void)!fs_rename(&fs, a, b, true);
        if (i % 4 == 0)
            (void)!fs_remove(&fs, b, false);
        if (i % 5 == 0 && upload_begin(&fs, a, "part", true, &u) == ERR_OK) {
            upload_release(&u);
            (void)!fs_discard(&fs, a);
        }
        if (i % 11 == 0)
            (void)!fs_rename(&fs, "/d1", "/moved", false);
        if (i % 11 == 5)
            (void)!fs_rename(&fs, "/moved", "/d1", false);
    }
}

/* Counting while names change corrects nothing that is right. */
static void counting_does_not_disturb(void **state)
{
    pid_t pids[2];
    (void)state;
    limit((struct fs_limits){.bytes = 1 << 30});
    assert_int_equal(small_n(&site_fs, "/f", 100, 200), ERR_OK);
    for (unsigned i = 0; i < 2; i++)
        if ((pids[i] = fork()) == 0)
            churn(i);
    for (int i = 0; i < 200; i++)
        assert_int_equal(fs_recount(&site_fs, 0, 0), ERR_OK);
    for (unsigned i = 0; i < 2; i++)
        kill(pids[i], SIGSTOP);
    struct fs_sum before = counted("alice", "in");
    for (unsigned i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    assert_int_equal(fs_recount(&site_fs, 0, 0), ERR_OK);
    struct fs_sum after = counted("alice", "in");
    /* But for what was claimed by the two that were killed. */
    assert_in_range(before.files - after.files, 0, 2 * 2);
    assert_in_range(before.bytes - after.bytes, 0, 2 * 200);
}

/* ---- retention ---- */

static void expire(const char *rel)
{
    assert_int_equal(setxattr(at(rel), "user.consign", "1 alice - 5 6", 13, 0), 0);
}

static void keeps(enum err want, struct fs *fs)
{
    assert_int_equal(put_n(fs, "/d/f", 1), want);
    assert_int_equal(small_n(fs, "/d/f", 1, 1), want);
    assert_int_equal(small_n(fs, "/other", 1, 1), ERR_OK);
    assert_int_equal(fs_rename(fs, "/other", "/d/f", true), want);
    assert_int_equal(fs_rename(fs, "/d/f", "/d/g", false), want);
    assert_int_equal(fs_rename(fs, "/d", "/e", false), want);
    assert_int_equal(fs_remove(fs, "/d/f", false), want);
}

static void what_is_retained_stays(void **state)
{
    struct fs bob;
    struct fs_symlink l = {"/d/f", "x", true, false};
    struct meta m = {.kinds = META_XATTRS};
    (void)state;
    session(&bob, "bob", &none);
    fs_keep_links(&bob);
    fs_keep_meta(&bob, META_XATTRS, META_XATTRS);
    limit((struct fs_limits){.retain_s = 1000});
    folder("in/d");
    for (int small = 0; small < 2; small++) {
        assert_int_equal(small ? small_n(&site_fs, "/d/f", 7, 1) : put_n(&site_fs, "/d/f", 7),
                         ERR_OK);
        keeps(ERR_DENIED, &bob);
        assert_non_null(strstr(log_reason(), "is retained until 20"));
        assert_int_equal(fs_symlink(&bob, &l), ERR_DENIED);
        assert_int_equal(fs_meta_set(&bob, "/d/f", &m), ERR_DENIED);
        assert_int_equal(fs_remove(&bob, "/d", true), ERR_NOTEMPTY);
        assert_int_equal(fs_remove(&bob, "/other", false), ERR_OK);
        file_is("in/d/f", "xxxxxxx");
        expire("in/d/f");
        assert_int_equal(fs_rename(&bob, "/d", "/e", false), ERR_OK);
        assert_int_equal(fs_rename(&bob, "/e", "/d", false), ERR_OK);
        assert_int_equal(fs_rename(&bob, "/d/f", "/d/g", false), ERR_OK);
        assert_int_equal(fs_remove(&bob, "/d/g", false), ERR_OK);
    }
    fs_release(&bob);
}

/* A rule that retains counts from the commit, whatever was promised then; and what has no mark is retained from its
 * change time on. */
static void a_rule_of_ones_own(void **state)
{
    struct fs bob;
    struct fs_limits l = {.retain_s = 1000};
    (void)state;
    session(&bob, "bob", &l);
    limit((struct fs_limits){.retain_s = 1});
    folder("in/d");
    assert_int_equal(put_n(&site_fs, "/d/f", 7), ERR_OK);
    sleep(2);
    assert_int_equal(fs_remove(&bob, "/d/f", false), ERR_DENIED);
    assert_int_equal(fs_rename(&bob, "/d", "/e", false), ERR_DENIED);
    assert_int_equal(fs_remove(&site_fs, "/d/f", false), ERR_OK);
    file_put("in/d/f", "plain");
    assert_int_equal(fs_remove(&bob, "/d/f", false), ERR_DENIED);
    assert_int_equal(small_n(&bob, "/d/f", 1, 1), ERR_DENIED);
    assert_int_equal(fs_rename(&bob, "/d", "/e", false), ERR_DENIED);
    fs_release(&bob);
    session(&bob, "bob", &none);
    assert_int_equal(fs_remove(&bob, "/d/f", false), ERR_OK);
    fs_release(&bob);
}

/* The commit of another session comes between look and deed. */
static int go[2];

static void commit_other(void)
{
    assert_int_equal(write(go[1], "x", 1), 1);
    usleep(100000);
}

static void a_race_for_a_name(void **state)
{
    struct fs_limits l = {.retain_s = 1000};
    int status;
    char c;
    (void)state;
    limit(l);
    assert_int_equal(small_n(&site_fs, "/first", 1, 1), ERR_OK);
    assert_int_equal(pipe(go), 0);
    if (fork() == 0) {
        struct fs bob;
        session(&bob, "bob", &l);
        assert_int_equal(read(go[0], &c, 1), 1);
        _exit((int)small_n(&bob, "/f", 9, 1));
    }
    before_move = commit_other;
    assert_int_equal(small_n(&site_fs, "/f", 7, 1), ERR_OK);
    assert_true(wait(&status) > 0);
    assert_int_equal(WEXITSTATUS(status), ERR_DENIED);
    file_is("in/f", "xxxxxxx");
    close(go[0]);
    close(go[1]);
}

static void marks_are_consigns_own(void **state)
{
    uint8_t bytes[64];
    struct buf set;
    struct meta m;
    (void)state;
    fs_keep_meta(&site_fs, META_XATTRS, META_XATTRS);
    limit((struct fs_limits){.retain_s = 1000});
    file_put("in/f", "f");
    assert_int_equal(setxattr(at("in/f"), "user.consign", "1 alice - 5 6", 13, 0), 0);
    assert_int_equal(setxattr(at("in/f"), "user.mine", "x", 1, 0), 0);
    buf_init(&set, META_SET_MAX);
    assert_int_equal(fs_meta_get(&site_fs, "/f", META_XATTRS, &set, &m), ERR_OK);
    assert_int_equal(m.set.n, 1 + 9 + 2 + 1);
    buf_release(&set);
    for (const char *name = "user.consign"; name; name = name[12] ? NULL : "user.consign.x") {
        size_t n = strlen(name);
        bytes[0] = (uint8_t)n;
        memcpy(bytes + 1, name, n);
        memcpy(bytes + 1 + n, "\0\1x", 3);
        m = (struct meta){.kinds = META_XATTRS, .set = slice_of(bytes, n + 4)};
        assert_int_equal(fs_meta_set(&site_fs, "/f", &m), ERR_NAME);
    }
    for (const char *bad = "1 alice - 5"; bad;
         bad = bad[10] == '5' && !bad[11] ? "1 a - 5 6 7" : NULL)
        assert_int_equal(setxattr(at("in/f"), "user.consign", bad, strlen(bad), 0), 0);
    struct fs_mark mark;
    int fd = open(at("in/f"), O_RDONLY);
    assert_false(fs_mark_read(fd, &mark));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_ledger_keeps_accounts),
        BOTH(without_limits_nothing_is_kept),
        BOTH(bytes_are_counted_by_length),
        BOTH(a_start_that_failed_is_given_back),
        BOTH(data_that_can_not_be_synced_is_given_back),
        BOTH(a_sweep_gives_back),
        BOTH(the_new_version_takes_the_place_of_the_old_one),
        BOTH(room_that_went_away_is_no_room),
        BOTH(each_of_a_group_for_itself),
        BOTH(files_folders_and_links_are_counted),
        BOTH(unfinished_uploads_are_limited),
        BOTH(all_roots_count_together),
        BOTH(one_folder_twice),
        BOTH(what_others_send_is_theirs),
        BOTH(what_was_there_counts_to_all),
        BOTH(a_root_within),
        BOTH(of_many_at_once_those_that_fit),
        BOTH(a_crash_is_made_up_for),
        BOTH(a_ledger_that_is_lost_is_made_anew),
        BOTH(what_others_do_beside_is_seen),
        BOTH(counting_does_not_disturb),
        BOTH(what_is_retained_stays),
        BOTH(a_rule_of_ones_own),
        BOTH(a_race_for_a_name),
        BOTH(marks_are_consigns_own),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
