/* SPDX-License-Identifier: ISC */
/* Parts: found, locked, committed, given up, listed, swept; stored trees; in which order. */
#include "test_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

/* The part of /f below in/. */
static const char *part_file(const char *path, const char *suffix)
{
    static char name[128];
    struct fs_names names;
    fs_names_of(path, &names);
    snprintf(name, sizeof name, "in/.consign/parts/%s.%s", names.id, suffix);
    return name;
}

static void open_and_leave(const char *path, const char *text)
{
    struct upload u;
    assert_int_equal(upload_begin(&site_fs, path, text, true, &u), ERR_OK);
    upload_release(&u);
}

/* ---- commit ---- */

static void a_file_appears_with_mode_and_time(void **state)
{
    struct stat st;
    (void)state;
    assert_int_equal(put(&site_fs, "/f", "hello", false), ERR_OK);
    file_is("in/f", "hello");
    assert_int_equal(stat(at("in/f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(st.st_mtim.tv_nsec, 5);
    assert_int_equal(st.st_nlink, 1);
    assert_false(there(part_file("/f", "data")));
    assert_false(there(part_file("/f", "journal")));
    assert_int_equal(put(&site_fs, "/empty", "", false), ERR_OK);
    file_is("in/empty", "");
    assert_int_equal(stat(at("in/.consign"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void the_order_of_a_commit(void **state)
{
    struct upload u;
    (void)state;
    assert_int_equal(upload_begin(&site_fs, "/f", two_chunks('1'), false, &u), ERR_OK);
    memset(calls, 0, sizeof calls);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_OK);
    upload_release(&u);
    /* data, name, folder, old name; then the journal, which moves */
    assert_string_equal(calls, "FLDUFR");
    assert_int_equal(upload_begin(&site_fs, "/f", two_chunks('2'), true, &u), ERR_OK);
    memset(calls, 0, sizeof calls);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    upload_release(&u);
    /* data, name, folder; the journal, which moves; the old file's tree goes */
    assert_string_equal(calls, "FRDFRU");
    assert_int_equal(upload_begin(&site_fs, "/f", "3", true, &u), ERR_OK);
    memset(calls, 0, sizeof calls);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    upload_release(&u);
    /* data, name, folder; the journal goes, its only hash is in a slot, and so does the old tree */
    assert_string_equal(calls, "FRDUU");
}

static void a_sync_that_fails_is_not_tried_again(void **state)
{
    struct upload u;
    (void)state;
    file_put("in/f", "old");
    assert_int_equal(upload_begin(&site_fs, "/f", "new", true, &u), ERR_OK);
    fail_sync_at = 1;
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_IO);
    file_is("in/f", "old");
    assert_false(there(part_file("/f", "data")));
    assert_int_not_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    file_is("in/f", "old");
    upload_release(&u);
    assert_int_equal(upload_begin(&site_fs, "/f", "new", true, &u), ERR_OK);
    fail_sync_at = 2; /* the folder's */
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_IO);
    upload_release(&u);
}

static void a_reader_keeps_the_old_file(void **state)
{
    char got[8] = "";
    (void)state;
    assert_int_equal(put(&site_fs, "/f", "old", false), ERR_OK);
    int fd = open(at("in/f"), O_RDONLY);
    assert_int_equal(put(&site_fs, "/f", "new!", true), ERR_OK);
    assert_int_equal(read(fd, got, sizeof got), 3);
    assert_string_equal(got, "old");
    close(fd);
    file_is("in/f", "new!");
}

static void what_stands_there_is_looked_at_again(void **state)
{
    struct upload u;
    (void)state;
    assert_int_equal(upload_begin(&site_fs, "/f", "new", false, &u), ERR_OK);
    file_put("in/f", "came meanwhile");
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_EXISTS);
    file_is("in/f", "came meanwhile");
    site_fs.roots[0].rights = FS_CREATE;
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_DENIED);
    site_fs.roots[0].rights = FS_ALL;
    assert_int_equal(unlink(at("in/f")), 0);
    assert_int_equal(mkfifo(at("in/f"), 0666), 0);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_TYPE);
    assert_int_equal(unlink(at("in/f")), 0);
    sym("../out/secret", "in/f");
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_TYPE);
    assert_int_equal(unlink(at("in/f")), 0);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_OK);
    file_is("in/f", "new");
    upload_release(&u);
    file_is("out/secret", "secret");
}

static void only_the_very_part_is_committed(void **state)
{
    struct upload u;
    char name[128];
    (void)state;
    assert_int_equal(upload_begin(&site_fs, "/f", "new", false, &u), ERR_OK);
    snprintf(name, sizeof name, "%s", part_file("/f", "data"));
    /* a second name */
    assert_int_equal(link(at(name), at("in/second")), 0);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_CHANGED);
    assert_int_equal(unlink(at("in/second")), 0);
    /* another file in its place */
    assert_int_equal(rename(at(name), at("in/aside")), 0);
    file_put(name, "bad");
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_CHANGED);
    assert_int_equal(unlink(at(name)), 0);
    sym("../../../out/secret", name);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_CHANGED);
    upload_release(&u);
    assert_false(there("in/f"));
    file_is("out/secret", "secret");
}

static void what_was_changed_or_is_not_complete_is_not_committed(void **state)
{
    struct upload u;
    struct fs_part part;
    struct fs_commit how = {"/g", false, 0644, 0, 0};
    (void)state;
    assert_int_equal(upload_begin(&site_fs, "/f", "new", false, &u), ERR_OK);
    file_put(part_file("/f", "data"), "NEW");
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_CORRUPT);
    upload_release(&u);
    assert_int_equal(fs_open_part(&site_fs, "/g", 3, false, 0, &part), ERR_OK);
    assert_int_equal(fs_commit(&site_fs, &part, &how), ERR_PROTO);
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(upload_begin(&site_fs, "/g", "new", false, &u), ERR_OK);
    how.mtime_ns = UTIME_NOW;
    assert_int_equal(fs_commit(&site_fs, &u.files, &how), ERR_PROTO);
    upload_release(&u);
    assert_false(there("in/f"));
    assert_false(there("in/g"));
}

/* Two trees of names lead to one folder, so no lock stands between the two: link() decides. */
static void exactly_one_of_two_creates(void **state)
{
    struct fs other;
    (void)state;
    fs_init(&other, "alice", false);
    assert_int_equal(fs_add_root(&other, "/x", at("in"), FS_ALL), ERR_OK);
    for (int round = 0; round < 50; round++) {
        int won = 0, lost = 0, ready[2], gate[2];
        char byte;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < 2; i++) {
            if (fork() != 0)
                continue;
            struct upload u;
            struct fs *fs = i ? &other : &site_fs;
            const char *path = i ? "/x/f" : "/f";
            close(gate[1]);
            enum err e = upload_begin(fs, path, i ? "one" : "two", false, &u);
            (void)!write(ready[1], "r", 1);
            (void)!read(gate[0], &byte, 1);
            _exit((int)(e == ERR_OK ? upload_commit(fs, &u, path, false) : ERR_INTERNAL));
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        close(ready[1]);
        close(gate[0]);
        close(gate[1]);
        for (int i = 0, status; i < 2; i++) {
            assert_true(wait(&status) > 0);
            won += WIFEXITED(status) && WEXITSTATUS(status) == ERR_OK;
            lost += WIFEXITED(status) && WEXITSTATUS(status) == ERR_EXISTS;
        }
        assert_int_equal(won, 1);
        assert_int_equal(lost, 1);
        assert_int_equal(unlink(at("in/f")), 0);
        /* the loser's part is still there, the winner's is not */
        bool first = fs_discard(&site_fs, "/f") == ERR_OK;
        bool second = fs_discard(&other, "/x/f") == ERR_OK;
        assert_true(first != second);
    }
    fs_release(&other);
}

/* ---- open ---- */

static void a_part_is_gone_on_with(void **state)
{
    struct fs_part part;
    struct part_header h;
    struct part_stamp now;
    struct stat st;
    (void)state;
    reserved = 0;
    open_and_leave("/f", "hello");
    assert_int_equal(reserved, 1);
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_OK);
    assert_true(part.existed);
    assert_int_equal(reserved, 1);
    /* still trusted */
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_int_equal(fstat(part.data, &st), 0);
    part_stamp_of(&st, &now);
    assert_true(h.stamped && part_stamp_eq(&now, &h.stamp));
    assert_string_equal(h.owner, "alice");
    assert_string_equal(h.path, "/f");
    fs_close(&part.data);
    fs_close(&part.journal);
}

static void a_fresh_part_has_a_header(void **state)
{
    struct fs_part part;
    struct part_header h;
    (void)state;
    assert_int_equal(fs_open_part(&site_fs, "/f", 1 << 30, false, 0, &part), ERR_OK);
    assert_false(part.existed);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_int_equal(h.length, 1 << 30);
    assert_int_equal(h.chunk_log2, tree_chunk_log2(1 << 30));
    assert_false(h.stamped);
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(fs_open_part(&site_fs, "/g", UINT64_MAX, false, 0, &part), ERR_LIMIT);
    assert_int_equal(fs_open_part(&site_fs, "/g", INT64_MAX, false, 0, &part), ERR_LIMIT);
}

static void what_can_not_be_reserved_leaves_nothing(void **state)
{
    struct fs_part part;
    (void)state;
    fail_reserve = ENOSPC;
    assert_int_equal(fs_open_part(&site_fs, "/f", 100, false, 0, &part), ERR_NOSPACE);
    assert_false(there(part_file("/f", "data")));
    assert_false(there(part_file("/f", "journal")));
    fail_reserve = EDQUOT;
    assert_int_equal(fs_open_part(&site_fs, "/f", 100, false, 0, &part), ERR_NOSPACE);
    assert_non_null(strstr(log_reason(), "/f"));
    fail_reserve = 0;
    open_and_leave("/f", "hello");
    fail_reserve = ENOSPC;
    assert_int_equal(fs_open_part(&site_fs, "/f", 1000, false, 0, &part), ERR_NOSPACE);
    assert_true(there(part_file("/f", "data")));
    fail_reserve = EOPNOTSUPP;
    assert_int_equal(put(&site_fs, "/g", "x", false), ERR_OK);
}

static void nothing_is_reserved_for_a_sparse_content(void **state)
{
    struct fs_part part;
    (void)state;
    reserved = 0;
    memory_room = 1 << 20;
    assert_int_equal(fs_open_part(&site_fs, "/f", 1ull << 40, FS_PART_SPARSE, 0, &part), ERR_OK);
    memory_room = -1;
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(fs_open_part(&site_fs, "/g", 1ull << 40, FS_PART_SPARSE, 0, &part), ERR_OK);
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(reserved, 0);
    file_put("in/h", "");
    assert_int_equal(fs_open_part(&site_fs, "/h", 1, FS_PART_SPARSE, 0, &part), ERR_EXISTS);
}

static void memory_is_not_filled_but_must_suffice(void **state)
{
    struct fs_part part;
    (void)state;
    reserved = 0;
    memory_room = 1 << 20;
    assert_int_equal(fs_open_part(&site_fs, "/f", (1 << 20) + 1, false, 0, &part), ERR_NOSPACE);
    assert_non_null(strstr(log_reason(), "/f"));
    assert_false(there(part_file("/f", "data")));
    assert_int_equal(fs_open_part(&site_fs, "/f", 1 << 20, false, 0, &part), ERR_OK);
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(reserved, 0);
    memory_room = -1;
}

static void another_users_part_is_busy(void **state)
{
    struct fs_part part;
    (void)state;
    open_and_leave("/f", "hello");
    snprintf(site_fs.owner, sizeof site_fs.owner, "bob");
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_BUSY);
    assert_non_null(strstr(log_reason(), "alice"));
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_BUSY);
    assert_non_null(strstr(log_reason(), "alice"));
    site_fs.roots[0].rights &= ~(unsigned)FS_LIST;
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_BUSY);
    assert_null(strstr(log_reason(), "alice"));
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_BUSY);
    assert_null(strstr(log_reason(), "alice"));
    site_fs.roots[0].rights |= FS_LIST;
    site_fs.owner[0] = '\0';
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_OK);
    fs_close(&part.data);
    fs_close(&part.journal);
}

/* A child that holds the part of path until the pipe is closed. */
static pid_t hold(const char *path, int *release)
{
    int ready[2], gate[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(gate), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct fs_part part;
        close(gate[1]);
        enum err e = fs_open_part(&site_fs, path, 5, true, 0, &part);
        (void)!write(ready[1], e == ERR_OK ? "y" : "n", 1);
        (void)!read(gate[0], &byte, 1);
        _exit(0);
    }
    close(ready[1]);
    close(gate[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ready[0]);
    *release = gate[1];
    return pid;
}

static enum err keep_one(void *arg, const struct fs_pending *p)
{
    struct fs_pending *out = arg;
    *out = *p;
    out->path = NULL;
    return ERR_OK;
}

static void a_locked_part_is_busy(void **state)
{
    struct fs_part part;
    struct fs_pending p = {0};
    unsigned removed = 9;
    int release;
    (void)state;
    pid_t pid = hold("/f", &release);
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_BUSY);
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 60, &part), ERR_BUSY);
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_BUSY);
    assert_int_equal(fs_list_pending(&site_fs, "/", keep_one, &p), ERR_OK);
    assert_true(p.active);
    assert_int_equal(fs_sweep(&site_fs, -10, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    assert_true(there(part_file("/f", "data")));
    close(release);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(fs_list_pending(&site_fs, "/", keep_one, &p), ERR_OK);
    assert_false(p.active);
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_OK);
    fs_close(&part.data);
    fs_close(&part.journal);
}

/* The journal that a waiting process has open is a stored tree by the time it gets the lock. */
static void who_waited_sees_what_was_committed(void **state)
{
    struct upload u;
    struct fs_part part;
    int status;
    (void)state;
    assert_int_equal(upload_begin(&site_fs, "/f", "first", false, &u), ERR_OK);
    pid_t pid = fork();
    if (pid == 0) {
        /* the lock would come along with these */
        fs_close(&u.files.data);
        fs_close(&u.files.journal);
        _exit((int)fs_open_part(&site_fs, "/f", 5, false, 600 * 1000, &part));
    }
    assert_int_equal(upload_commit(&site_fs, &u, "/f", false), ERR_OK);
    upload_release(&u);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), ERR_EXISTS);
    assert_true(has_tree("/f"));
    assert_false(there(part_file("/f", "journal")));
}

/* ---- at the worst moment ---- */

static void create_target(void)
{
    file_put("in/f", "first");
}

/* The former owner's commit took the journal away, and a third one made it anew. */
static void exchange_journal(void)
{
    char name[128];
    snprintf(name, sizeof name, "%s", part_file("/f", "journal"));
    assert_int_equal(rename(at(name), at("in/aside")), 0);
    file_put(name, "");
}

static bool is_named(int fd, const char *rel)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(at(rel), &b) == 0 && fs_same(&a, &b);
}

static void the_lock_is_that_of_the_journal_in_place(void **state)
{
    struct fs_part part;
    (void)state;
    open_and_leave("/f", "hello");
    before_lock = exchange_journal;
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_OK);
    assert_true(is_named(part.journal, part_file("/f", "journal")));
    fs_close(&part.data);
    fs_close(&part.journal);
}

static void a_file_that_came_before_the_lock(void **state)
{
    struct fs_part part;
    (void)state;
    before_lock = create_target;
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, false, 0, &part), ERR_EXISTS);
    assert_false(there(part_file("/f", "journal")));
}

/* Who may not overwrite does not do so by winning a race; the part is as good as before. */
static void a_file_that_came_before_the_name(void **state)
{
    struct upload u;
    (void)state;
    site_fs.roots[0].rights = FS_CREATE;
    assert_int_equal(upload_begin(&site_fs, "/f", "second", true, &u), ERR_OK);
    before_move = create_target;
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_EXISTS);
    file_is("in/f", "first");
    assert_int_equal(unlink(at("in/f")), 0);
    assert_int_equal(upload_commit(&site_fs, &u, "/f", true), ERR_OK);
    file_is("in/f", "second");
    upload_release(&u);
}

static void scribble(void)
{
    file_put("in/f", "HELLO");
}

static void a_write_during_a_rename_voids_the_tree(void **state)
{
    (void)state;
    assert_int_equal(put(&site_fs, "/f", "hello", false), ERR_OK);
    before_move = scribble;
    assert_int_equal(fs_rename(&site_fs, "/f", "/g", true), ERR_OK);
    file_is("in/g", "HELLO");
    assert_false(has_tree("/g"));
}

/* ---- what is laid in the part's place ---- */

static void strange_files_in_the_parts_place(void **state)
{
    static const char *const suffixes[] = {"data", "journal"};
    struct fs_part part;
    char name[128];
    (void)state;
    open_and_leave("/f", "hello");
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s", part_file("/f", suffixes[i]));
        assert_int_equal(rename(at(name), at("in/aside")), 0);
        sym("../../../out/secret", name);
        assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
        assert_int_equal(unlink(at(name)), 0);
        assert_int_equal(mkfifo(at(name), 0600), 0);
        assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
        assert_int_equal(unlink(at(name)), 0);
        folder(name);
        assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
        assert_int_equal(rmdir(at(name)), 0);
        assert_int_equal(link(at("out/secret"), at(name)), 0);
        assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
        assert_int_equal(unlink(at(name)), 0);
        assert_int_equal(rename(at("in/aside"), at(name)), 0);
        if (geteuid() == 0) {
            assert_int_equal(chown(at(name), 65534, 65534), 0);
            assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
            assert_int_equal(chown(at(name), 0, 0), 0);
        }
    }
    file_is("out/secret", "secret");
    assert_int_equal(put(&site_fs, "/f", "hello", false), ERR_OK);
}

static void expect_no_service(void)
{
    struct fs_part part;
    struct fs_info info;
    assert_int_equal(fs_open_part(&site_fs, "/f", 5, true, 0, &part), ERR_TYPE);
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_TYPE);
    assert_int_equal(fs_list_pending(&site_fs, "/", keep_one, NULL), ERR_TYPE);
    assert_int_equal(fs_sweep(&site_fs, -10, NULL), ERR_TYPE);
    /* these go without */
    assert_int_equal(fs_stat(&site_fs, "/g", &info), ERR_OK);
    assert_false(info.has_root);
    assert_int_equal(source("/g"), ERR_OK);
    assert_true(there("out/parts/x"));
}

static void a_service_folder_that_is_not_our_own(void **state)
{
    (void)state;
    file_put("in/g", "g");
    folder("out/parts");
    folder("out/trees");
    file_put("out/parts/x", "");
    sym("../out", "in/.consign");
    expect_no_service();
    assert_int_equal(unlink(at("in/.consign")), 0);
    folder("in/.consign");
    sym("../../out/parts", "in/.consign/parts");
    expect_no_service();
    assert_int_equal(unlink(at("in/.consign/parts")), 0);
    assert_int_equal(rmdir(at("in/.consign")), 0);
    file_put("in/.consign", "");
    expect_no_service();
    assert_int_equal(unlink(at("in/.consign")), 0);
    folder("in/.consign");
    assert_int_equal(chmod(at("in/.consign"), 0777), 0);
    expect_no_service();
    assert_int_equal(chmod(at("in/.consign"), 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(at("in/.consign"), 65534, 65534), 0);
        expect_no_service();
        assert_int_equal(chown(at("in/.consign"), 0, 0), 0);
    }
    assert_int_equal(put(&site_fs, "/f", "x", true), ERR_OK);
}

/* After link() and before unlink() the power went. */
static void a_commit_cut_in_between_is_no_obstacle(void **state)
{
    (void)state;
    open_and_leave("/f", "hello");
    assert_int_equal(link(at(part_file("/f", "data")), at("in/f")), 0);
    assert_int_equal(source("/f"), ERR_OK);
    assert_int_equal(put(&site_fs, "/f", "again", true), ERR_OK);
    file_is("in/f", "again");
}

/* ---- stored trees ---- */

static void a_stored_tree_stays_valid_until_somebody_writes(void **state)
{
    struct fs_source s;
    struct part_header h;
    (void)state;
    folder("in/d");
    assert_int_equal(put(&site_fs, "/f", two_chunks('1'), false), ERR_OK);
    assert_true(has_tree("/f"));
    assert_int_equal(fs_rename(&site_fs, "/f", "/d/g", false), ERR_OK);
    assert_true(has_tree("/d/g"));
    assert_int_equal(fs_rename(&site_fs, "/d/g", "/f", true), ERR_OK);
    assert_true(has_tree("/f"));
    assert_int_equal(fs_rename(&site_fs, "/d", "/e", false), ERR_OK);
    assert_int_equal(fs_open_source(&site_fs, "/f", &s), ERR_OK);
    assert_true(s.tree >= 0);
    assert_int_equal(part_header_read(s.tree, &h), ERR_OK);
    assert_string_equal(h.path, "/f");
    assert_int_equal(h.length, (1 << 20) + 1);
    fs_close(&s.fd);
    fs_close(&s.tree);
    file_put("in/f", "HELLO");
    assert_false(has_tree("/f"));
    assert_int_equal(fs_rename(&site_fs, "/f", "/g", false), ERR_OK);
    assert_false(has_tree("/g"));
}

static void the_root_of_a_small_content_likewise(void **state)
{
    struct fs_source s;
    (void)state;
    folder("in/d");
    assert_int_equal(put(&site_fs, "/f", "hello", false), ERR_OK);
    assert_int_equal(put(&site_fs, "/empty", "", false), ERR_OK);
    assert_true(has_tree("/empty"));
    assert_int_equal(fs_rename(&site_fs, "/f", "/d/g", false), ERR_OK);
    assert_int_equal(fs_rename(&site_fs, "/d", "/e", false), ERR_OK);
    assert_true(has_tree("/e/g"));
    assert_int_equal(fs_open_source(&site_fs, "/e/g", &s), ERR_OK);
    assert_true(s.has_root);
    assert_int_equal(s.tree, -1);
    fs_close(&s.fd);
    file_put("in/e/g", "HELLO");
    assert_false(has_tree("/e/g"));
    assert_int_equal(fs_rename(&site_fs, "/e/g", "/g", false), ERR_OK);
    assert_false(has_tree("/g"));
}

static unsigned entries(const char *rel)
{
    unsigned n = 0;
    DIR *d = opendir(at(rel));
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n ? n - 2 : 0;
}

static void a_stored_tree_goes_with_its_file(void **state)
{
    (void)state;
    assert_int_equal(put(&site_fs, "/f", two_chunks('1'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/f", two_chunks('2'), true), ERR_OK);
    assert_int_equal(entries("in/.consign/trees"), 1);
    assert_int_equal(put(&site_fs, "/g", two_chunks('3'), false), ERR_OK);
    assert_int_equal(fs_rename(&site_fs, "/g", "/f", true), ERR_OK);
    assert_int_equal(entries("in/.consign/trees"), 1);
    assert_true(has_tree("/f"));
    assert_int_equal(fs_remove(&site_fs, "/f", false), ERR_OK);
    assert_int_equal(entries("in/.consign/trees"), 0);
}

static void a_planted_tree_is_not_believed(void **state)
{
    struct stat st;
    char name[128];
    (void)state;
    assert_int_equal(put(&site_fs, "/f", two_chunks('1'), false), ERR_OK);
    assert_int_equal(stat(at("in/f"), &st), 0);
    snprintf(name, sizeof name, "in/.consign/trees/%llx", (unsigned long long)st.st_ino);
    assert_int_equal(rename(at(name), at("out/tree")), 0);
    sym(at("out/tree"), name);
    assert_false(has_tree("/f"));
    assert_int_equal(unlink(at(name)), 0);
    assert_int_equal(link(at("out/tree"), at(name)), 0);
    assert_false(has_tree("/f"));
    assert_int_equal(unlink(at("out/tree")), 0);
    assert_true(has_tree("/f"));
}

static void a_client_leaves_nothing_behind(void **state)
{
    (void)state;
    site_fs.tidy = true;
    assert_int_equal(put(&site_fs, "/f", "1", false), ERR_OK);
    assert_false(there("in/.consign"));
    open_and_leave("/g", "x");
    assert_true(there("in/.consign"));
    assert_int_equal(put(&site_fs, "/f", "2", true), ERR_OK);
    assert_true(there(part_file("/g", "data")));
    assert_int_equal(fs_discard(&site_fs, "/g"), ERR_OK);
    assert_false(there("in/.consign"));
    file_is("in/f", "2");
}

/* ---- discard, pending, sweep ---- */

static void discarding(void **state)
{
    (void)state;
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_NOENT);
    open_and_leave("/f", "hello");
    open_and_leave("/g", "hello");
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_OK);
    assert_int_equal(fs_discard(&site_fs, "/f"), ERR_NOENT);
    assert_int_equal(entries("in/.consign/parts"), 2);
    /* data that lost its journal */
    assert_int_equal(unlink(at(part_file("/g", "journal"))), 0);
    assert_int_equal(fs_discard(&site_fs, "/g"), ERR_OK);
    assert_int_equal(entries("in/.consign/parts"), 0);
}

struct found {
    unsigned n;
    uint64_t have;
    char path[64];
};

static enum err find(void *arg, const struct fs_pending *p)
{
    struct found *f = arg;
    f->n++;
    f->have = p->have;
    assert_int_equal(p->length, 5);
    assert_true(p->mtime_s > 1000000000);
    snprintf(f->path, sizeof f->path, "%s", p->path);
    return ERR_OK;
}

static void pending_parts_are_listed(void **state)
{
    struct found f = {0};
    (void)state;
    folder("in/d");
    folder("in/dd");
    open_and_leave("/d/f", "hello");
    open_and_leave("/dd/f", "hello");
    open_and_leave("/two/f", "hello");
    assert_int_equal(fs_list_pending(&site_fs, "/", find, &f), ERR_OK);
    assert_int_equal(f.n, 3);
    f.n = 0;
    assert_int_equal(fs_list_pending(&site_fs, "/d", find, &f), ERR_OK);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.have, 5);
    assert_string_equal(f.path, "/d/f");
    f.n = 0;
    assert_int_equal(fs_list_pending(&site_fs, "/two/f", find, &f), ERR_OK);
    assert_int_equal(f.n, 1);
    /* another user's only where he may list */
    snprintf(site_fs.owner, sizeof site_fs.owner, "bob");
    site_fs.roots[0].rights = FS_ALL & ~(unsigned)FS_LIST;
    f.n = 0;
    assert_int_equal(fs_list_pending(&site_fs, "/", find, &f), ERR_OK);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.path, "/two/f");
    /* a header in another part's place is not believed */
    site_fs.roots[0].rights = FS_ALL;
    char name[128];
    snprintf(name, sizeof name, "%s", part_file("/d/f", "journal"));
    assert_int_equal(rename(at(name), at(part_file("/x", "journal"))), 0);
    f.n = 0;
    assert_int_equal(fs_list_pending(&site_fs, "/d", find, &f), ERR_OK);
    assert_int_equal(f.n, 0);
}

static void sweeping_removes_what_is_old(void **state)
{
    unsigned removed = 9;
    (void)state;
    open_and_leave("/f", "hello");
    open_and_leave("/two/g", "hello");
    open_and_leave("/orphan", "hello");
    assert_int_equal(unlink(at(part_file("/orphan", "journal"))), 0);
    assert_int_equal(fs_sweep(&site_fs, 1000, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    assert_true(there(part_file("/f", "data")));
    /* as if it were ten seconds later */
    assert_int_equal(fs_sweep(&site_fs, -10, &removed), ERR_OK);
    assert_int_equal(removed, 3);
    assert_int_equal(entries("in/.consign/parts"), 0);
    assert_int_equal(entries("in2/.consign/parts"), 0);
    assert_int_equal(fs_sweep(&site_fs, -10, NULL), ERR_OK);
}

static void sweeping_keeps_the_trees_of_files_that_are_there(void **state)
{
    unsigned removed = 9;
    (void)state;
    folder("in/d");
    assert_int_equal(put(&site_fs, "/d/stays", two_chunks('1'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/d/moves", two_chunks('2'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/goes", two_chunks('3'), false), ERR_OK);
    assert_int_equal(put(&site_fs, "/two/f", two_chunks('4'), false), ERR_OK);
    assert_int_equal(fs_rename(&site_fs, "/d", "/e", false), ERR_OK);
    assert_int_equal(unlink(at("in/goes")), 0);
    assert_int_equal(fs_sweep(&site_fs, 1000, &removed), ERR_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(fs_sweep(&site_fs, -10, &removed), ERR_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(entries("in/.consign/trees"), 2);
    assert_true(has_tree("/e/stays"));
    assert_true(has_tree("/e/moves"));
    assert_true(has_tree("/two/f"));
}

/* ---- the old version ---- */

enum { MIB = 1 << 20 };

static void stands(const char *rel, off_t length)
{
    file_put(rel, "old");
    assert_int_equal(truncate(at(rel), length), 0);
}

/* Whether an old version comes along with the part for path. */
static bool old_of(const char *path, uint64_t length)
{
    struct fs_part part;
    char got[4] = "";
    assert_int_equal(fs_open_part(&site_fs, path, length, true, 0, &part), ERR_OK);
    if (part.has_old) {
        assert_int_equal(read(part.old.fd, got, 3), 3);
        assert_string_equal(got, "old");
        assert_int_equal(write(part.old.fd, got, 1), -1);
        assert_int_equal(part.old.tree, -1);
        fs_close(&part.old.fd);
    }
    fs_close(&part.data);
    fs_close(&part.journal);
    assert_int_equal(fs_discard(&site_fs, path), ERR_OK);
    return part.has_old;
}

static void the_old_version_comes_along(void **state)
{
    (void)state;
    assert_false(old_of("/f", 3 * MIB));
    stands("in/f", 2 * MIB);
    assert_true(old_of("/f", 3 * MIB));
    assert_true(old_of("/f", MIB + 1));
    assert_false(old_of("/f", MIB));
    stands("in/f", MIB + 1);
    assert_true(old_of("/f", 3 * MIB));
    stands("in/f", MIB);
    assert_false(old_of("/f", 3 * MIB));
}

static void the_old_version_is_for_who_may_read_it(void **state)
{
    (void)state;
    stands("in/f", 2 * MIB);
    set_rights(FS_ALL & ~FS_READ);
    assert_false(old_of("/f", 3 * MIB));
    set_rights(FS_CREATE | FS_OVERWRITE | FS_READ);
    assert_true(old_of("/f", 3 * MIB));
    set_rights(FS_ALL);
    /* in a root that lies below: its own rights count */
    folder("in/two");
    stands("in2/f", 2 * MIB);
    for (size_t i = 0; i < site_fs.n; i++)
        if (strcmp(site_fs.roots[i].prefix, "/two") == 0)
            site_fs.roots[i].rights = FS_ALL & ~FS_READ;
    assert_false(old_of("/two/f", 3 * MIB));
    assert_true(old_of("/f", 3 * MIB));
}

static void a_link_to_somebody_elses_file_is_no_old_version(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    stands("out/f", 2 * MIB);
    assert_int_equal(chown(at("out/f"), 65534, 65534), 0);
    assert_int_equal(link(at("out/f"), at("in/f")), 0);
    assert_false(old_of("/f", 3 * MIB));
    assert_int_equal(chown(at("out/f"), geteuid(), 0), 0);
    assert_true(old_of("/f", 3 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_file_appears_with_mode_and_time),
        BOTH(the_order_of_a_commit),
        BOTH(a_sync_that_fails_is_not_tried_again),
        BOTH(a_reader_keeps_the_old_file),
        BOTH(what_stands_there_is_looked_at_again),
        BOTH(only_the_very_part_is_committed),
        BOTH(what_was_changed_or_is_not_complete_is_not_committed),
        BOTH(exactly_one_of_two_creates),
        BOTH(a_part_is_gone_on_with),
        BOTH(a_fresh_part_has_a_header),
        BOTH(what_can_not_be_reserved_leaves_nothing),
        BOTH(nothing_is_reserved_for_a_sparse_content),
        BOTH(memory_is_not_filled_but_must_suffice),
        BOTH(another_users_part_is_busy),
        BOTH(a_locked_part_is_busy),
        BOTH(who_waited_sees_what_was_committed),
        BOTH(the_lock_is_that_of_the_journal_in_place),
        BOTH(a_file_that_came_before_the_lock),
        BOTH(a_file_that_came_before_the_name),
        BOTH(a_write_during_a_rename_voids_the_tree),
        BOTH(strange_files_in_the_parts_place),
        BOTH(a_service_folder_that_is_not_our_own),
        BOTH(a_commit_cut_in_between_is_no_obstacle),
        BOTH(a_stored_tree_stays_valid_until_somebody_writes),
        BOTH(the_root_of_a_small_content_likewise),
        BOTH(a_stored_tree_goes_with_its_file),
        BOTH(a_planted_tree_is_not_believed),
        BOTH(a_client_leaves_nothing_behind),
        BOTH(discarding),
        BOTH(pending_parts_are_listed),
        BOTH(sweeping_removes_what_is_old),
        BOTH(sweeping_keeps_the_trees_of_files_that_are_there),
        BOTH(the_old_version_comes_along),
        BOTH(the_old_version_is_for_who_may_read_it),
        BOTH(a_link_to_somebody_elses_file_is_no_old_version),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
