/* SPDX-License-Identifier: ISC */
/* The old version: whose hashes are believed, what is copied from it, and when it changes meanwhile. */
#include "log.h"
#include "old.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG2 = 15, CHUNK = 1 << LOG2, CHUNKS = 7, LENGTH = 6 * CHUNK + 1234 };

static char dir[] = "/tmp/consign-old-XXXXXX";
static uint8_t content[LENGTH];
static const struct tree_engine *engine;
static int file, tree; /* the old version and its stored tree, the test's own descriptors */
static unsigned asked; /* calls of progress: something was hashed */
static struct old old;
static struct part part;

/* How the system's own copying goes. */
static int refusal;               /* errno */
static unsigned refused;          /* how often */
static size_t at_most = SIZE_MAX; /* bytes a call */
static void (*before_copy)(void); /* what somebody else does right then, once */

ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags)
{
    void (*now)(void) = before_copy;
    before_copy = NULL;
    if (now)
        now();
    if (refusal) {
        refused++;
        errno = refusal;
        return -1;
    }
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, n < at_most ? n : at_most, flags);
}

/* ---- helpers ---- */

static enum err count_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    assert_true(done <= total);
    asked++;
    return ERR_OK;
}

static int nameless(const char *where)
{
    int fd = open(where, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void write_all(int fd, const uint8_t *from, size_t n, off_t at)
{
    assert_int_equal(pwrite(fd, from, n, at), n);
}

/* Its time of change is set, as two writes within one tick of the clock may bear the same. */
static void touch(void)
{
    static struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    times[1].tv_sec++;
    assert_int_equal(futimens(file, times), 0);
}

static void change_byte(off_t at)
{
    uint8_t byte = content[at] ^ 0x10;
    write_all(file, &byte, 1, at);
    touch();
}

static void change_chunk_2(void)
{
    change_byte(2 * CHUNK + 99);
}

static void cut_short(void)
{
    assert_int_equal(ftruncate(file, CHUNK + 5), 0);
}

/* The tree of the file as it is now, but for hashes that only a tree can have: all bytes are mark. */
static void store_tree(unsigned log2, uint8_t mark)
{
    struct part_header h = {.length = LENGTH, .chunk_log2 = (uint8_t)log2, .complete = true};
    uint8_t slots[16 * TREE_HASH];
    struct stat st;
    assert_int_equal(fstat(file, &st), 0);
    part_stamp_of(&st, &h.stamp);
    h.stamped = true;
    memset(slots, mark, sizeof slots);
    assert_int_equal(part_header_write(tree, &h), ERR_OK);
    write_all(tree, slots, sizeof slots, PART_SLOTS);
}

static enum err open_old(bool recheck, uint64_t most)
{
    struct old_how how = {.chunk_log2 = LOG2,
                          .most = most,
                          .recheck = recheck,
                          .engine = engine,
                          .progress = count_progress};
    struct fs_source source = {.fd = dup(file), .tree = dup(tree)};
    asked = 0;
    return old_open(&old, &source, "f", &how);
}

static bool told(uint64_t index, uint8_t mark)
{
    uint8_t hash[TREE_HASH];
    memset(hash, mark, sizeof hash);
    return memcmp(old.hashes + index * TREE_HASH, hash, TREE_HASH) == 0;
}

static void begin_part(uint64_t length)
{
    assert_int_equal(
        part_begin(&part, nameless(dir), nameless(dir), length, LOG2, false, engine, NULL, NULL),
        ERR_OK);
}

static void part_is(uint64_t index, uint64_t from, size_t n)
{
    uint8_t *got = malloc(n);
    assert_int_equal(pread(part.data, got, n, (off_t)(index << LOG2)), n);
    assert_memory_equal(got, content + (from << LOG2), n);
    free(got);
}

static int begin(void **state)
{
    (void)state;
    refusal = 0;
    refused = 0;
    at_most = SIZE_MAX;
    before_copy = NULL;
    file = nameless(dir);
    tree = nameless(dir);
    write_all(file, content, LENGTH, 0);
    touch();
    log_quiet(true);
    old = (struct old){.fd = -1};
    part = (struct part){.data = -1, .journal = -1};
    return 0;
}

static int end(void **state)
{
    (void)state;
    old_release(&old);
    part_release(&part);
    close(file);
    close(tree);
    return 0;
}

/* ---- hashes ---- */

static void a_valid_tree_is_believed(void **state)
{
    (void)state;
    store_tree(LOG2, 7);
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old.n, CHUNKS);
    assert_int_equal(old.length, LENGTH);
    assert_int_equal(asked, 0);
    assert_true(told(0, 7) && told(CHUNKS - 1, 7));
}

static void without_one_the_content_is_hashed(void **state)
{
    (void)state;
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old.n, CHUNKS);
    assert_true(asked > 0);
    for (uint64_t i = 0; i < CHUNKS; i++) {
        struct tree_chunk c;
        uint8_t hash[TREE_HASH];
        assert_int_equal(tree_chunk_init(&c, engine, LOG2), ERR_OK);
        tree_chunk_begin(&c, LENGTH);
        tree_chunk_add(&c, content + (i << LOG2), (size_t)tree_chunk_size(LENGTH, LOG2, i));
        tree_chunk_end(&c, hash);
        tree_chunk_release(&c);
        assert_memory_equal(old.hashes + i * TREE_HASH, hash, TREE_HASH);
    }
}

static void expect_hashed(bool recheck)
{
    assert_int_equal(open_old(recheck, 100), ERR_OK);
    assert_true(asked > 0);
    assert_false(told(0, 7));
    old_release(&old);
}

static void a_tree_of_another_state_or_size_is_not(void **state)
{
    (void)state;
    store_tree(LOG2, 7);
    expect_hashed(true);
    touch();
    expect_hashed(false);
    store_tree(LOG2 + 1, 7);
    expect_hashed(false);
    store_tree(LOG2, 7);
    assert_int_equal(ftruncate(tree, 100), 0);
    expect_hashed(false);
}

static void only_so_many_are_told(void **state)
{
    (void)state;
    assert_int_equal(open_old(false, 3), ERR_OK);
    assert_int_equal(old.n, 3);
    assert_true(old_fits(&old, 0, 3, CHUNK));
    assert_false(old_fits(&old, 0, 4, CHUNK));
}

static void less_than_a_chunk_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(ftruncate(file, CHUNK - 1), 0);
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old.n, 0);
    assert_false(old_fits(&old, 0, 1, CHUNK - 1));
    old_release(&old);
    assert_int_equal(ftruncate(file, CHUNK), 0);
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old.n, 1);
}

static enum err cut_it(void *arg, uint64_t done, uint64_t total)
{
    (void)arg, (void)total;
    if (done < LENGTH)
        assert_int_equal(ftruncate(file, 3 * CHUNK), 0);
    return ERR_OK;
}

static void a_file_that_ends_early_is_none(void **state)
{
    struct old_how how = {.chunk_log2 = LOG2, .most = 100, .engine = engine, .progress = cut_it};
    struct fs_source source = {.fd = dup(file), .tree = -1};
    (void)state;
    assert_int_equal(old_open(&old, &source, "f", &how), ERR_CHANGED);
    assert_int_equal(old.n, 0);
}

/* ---- copying ---- */

static void what_fits(void **state)
{
    (void)state;
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_true(old_fits(&old, 0, 1, CHUNK));
    assert_true(old_fits(&old, 0, CHUNKS, 1234));
    assert_true(old_fits(&old, CHUNKS - 1, 1, 1234));
    assert_false(old_fits(&old, CHUNKS - 1, 1, CHUNK));
    assert_false(old_fits(&old, CHUNKS - 1, 1, 1233));
    assert_false(old_fits(&old, 0, 1, 1234));
    assert_false(old_fits(&old, 0, 0, CHUNK));
    assert_false(old_fits(&old, CHUNKS, 1, 0));
    assert_false(old_fits(&old, 1, UINT64_MAX, CHUNK));
    assert_false(old_fits(&old, UINT64_MAX, 2, CHUNK));
}

/* Two chunks in front that are new, the rest as it was. */
static void copy_all(void)
{
    begin_part(LENGTH + 2 * CHUNK);
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 2, 0, 1), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 3, 1, CHUNKS - 1), ERR_OK);
    part_is(2, 0, LENGTH);
    for (uint64_t i = 0; i < CHUNKS + 2; i++)
        assert_int_equal(part_settled(&part, i), i >= 2);
    assert_int_equal(part.unsynced, LENGTH);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    uint8_t slots[CHUNKS * TREE_HASH];
    assert_int_equal(part_slots_read(part.journal, 2, CHUNKS, slots), ERR_OK);
    assert_memory_equal(slots, old.hashes, sizeof slots);
}

static void chunks_go_to_another_place(void **state)
{
    (void)state;
    copy_all();
    assert_false(old.by_hand);
}

static void in_small_steps(void **state)
{
    (void)state;
    at_most = 5000;
    copy_all();
}

static void where_the_system_can_not(void **state)
{
    static const int reasons[] = {EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM};
    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        refusal = reasons[i];
        refused = 0;
        copy_all();
        assert_int_equal(refused, 1);
        old_release(&old);
        part_release(&part);
    }
}

static void from_another_filesystem(void **state)
{
    struct stat here, there;
    (void)state;
    if (stat(dir, &here) != 0 || stat("/dev/shm", &there) != 0 || here.st_dev == there.st_dev)
        skip();
    close(file);
    file = nameless("/dev/shm");
    write_all(file, content, LENGTH, 0);
    copy_all();
}

static void an_error_is_one(void **state)
{
    (void)state;
    begin_part(LENGTH);
    assert_int_equal(open_old(false, 100), ERR_OK);
    refusal = ENOSPC;
    assert_int_equal(old_copy(&old, &part, 0, 0, 1), ERR_NOSPACE);
    assert_false(part_settled(&part, 0));
    refusal = 0;
    assert_int_equal(old_copy(&old, &part, 0, 0, 1), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 0, 0, 1), ERR_PROTO);
}

/* ---- changes meanwhile ---- */

static void a_change_of_what_is_copied_is_noticed(void **state)
{
    (void)state;
    begin_part(LENGTH);
    assert_int_equal(open_old(false, 100), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 0, 0, 1), ERR_OK);
    before_copy = change_chunk_2;
    assert_int_equal(old_copy(&old, &part, 1, 1, 3), ERR_CHANGED);
    for (uint64_t i = 0; i < CHUNKS; i++)
        assert_int_equal(part_settled(&part, i), i == 0);
    /* what was received before stays */
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    uint8_t slots[2 * TREE_HASH], none[TREE_HASH] = {0};
    assert_int_equal(part_slots_read(part.journal, 0, 2, slots), ERR_OK);
    assert_memory_equal(slots, old.hashes, TREE_HASH);
    assert_memory_equal(slots + TREE_HASH, none, TREE_HASH);
}

static void a_change_elsewhere_or_of_its_times_only_costs_hashing(void **state)
{
    (void)state;
    begin_part(LENGTH);
    assert_int_equal(open_old(false, 100), ERR_OK);
    before_copy = change_chunk_2;
    assert_int_equal(old_copy(&old, &part, 0, 0, 2), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 3, 3, CHUNKS - 3), ERR_OK);
    assert_int_equal(old_copy(&old, &part, 2, 2, 1), ERR_CHANGED);
    part_is(0, 0, 2 * CHUNK);
    part_is(3, 3, LENGTH - 3 * CHUNK);
}

static void cut_while_it_is_copied(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        refusal = i ? EXDEV : 0;
        begin_part(LENGTH);
        assert_int_equal(open_old(false, 100), ERR_OK);
        before_copy = cut_short;
        assert_int_equal(old_copy(&old, &part, 0, 0, CHUNKS), ERR_CHANGED);
        assert_false(part_settled(&part, 0));
        old_release(&old);
        part_release(&part);
        write_all(file, content, LENGTH, 0);
    }
}

/* A chunk that was there from an earlier run is not vouched for by its slot once it is overwritten. */
static void a_filled_slot_is_emptied_first(void **state)
{
    char data[64], journal[64];
    uint8_t slot[TREE_HASH], none[TREE_HASH] = {0};
    (void)state;
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(journal, sizeof journal, "%s/journal", dir);
    for (int run = 0; run < 2; run++) {
        int fds[2] = {open(data, O_RDWR | O_CREAT | O_CLOEXEC, 0600),
                      open(journal, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
        assert_int_equal(part_begin(&part, fds[0], fds[1], LENGTH, LOG2, false, engine, NULL, NULL),
                         ERR_OK);
        assert_int_equal(part.have, run);
        assert_int_equal(open_old(false, 100), ERR_OK);
        before_copy = run ? change_chunk_2 : NULL;
        assert_int_equal(old_copy(&old, &part, 0, run ? 2 : 0, 1), run ? ERR_CHANGED : ERR_OK);
        if (run == 0)
            assert_int_equal(part_checkpoint(&part), ERR_OK);
        old_release(&old);
        if (run == 0)
            part_release(&part);
    }
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    assert_int_equal(part_slots_read(part.journal, 0, 1, slot), ERR_OK);
    assert_memory_equal(slot, none, TREE_HASH);
    unlink(data);
    unlink(journal);
}

static int set_up(void **state)
{
    uint64_t seed = 1;
    (void)state;
    engine = tree_engine(false);
    for (size_t i = 0; i < sizeof content; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        content[i] = (uint8_t)(seed >> 56);
    }
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_valid_tree_is_believed),
        TEST(without_one_the_content_is_hashed),
        TEST(a_tree_of_another_state_or_size_is_not),
        TEST(only_so_many_are_told),
        TEST(less_than_a_chunk_is_nothing),
        TEST(a_file_that_ends_early_is_none),
        TEST(what_fits),
        TEST(chunks_go_to_another_place),
        TEST(in_small_steps),
        TEST(where_the_system_can_not),
        TEST(from_another_filesystem),
        TEST(an_error_is_one),
        TEST(a_change_of_what_is_copied_is_noticed),
        TEST(a_change_elsewhere_or_of_its_times_only_costs_hashing),
        TEST(cut_while_it_is_copied),
        TEST(a_filled_slot_is_emptied_first),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
