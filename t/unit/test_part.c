/* SPDX-License-Identifier: ISC */
/* The part: what is trusted, what is hashed anew, what a commit says. */
#include "log.h"
#include "part.h"

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

enum { LOG2 = 15, CHUNK = 1 << LOG2, CHUNKS = 7, LENGTH = 6 * CHUNK + 1234, SPACE = 20 * CHUNK };

static char dir[] = "/tmp/consign-part-XXXXXX";
static char data_path[64], journal_path[64];
static uint8_t content[SPACE];
static const struct tree_engine *engine;
static unsigned asked; /* calls of progress: something was hashed */
static struct part part;

static int fails_once = -1; /* the descriptor whose next sync fails */

int fdatasync(int fd)
{
    if (fd != fails_once)
        return (int)syscall(SYS_fdatasync, fd);
    fails_once = -1;
    errno = EIO;
    return -1;
}

/* ---- helpers ---- */

static enum err count_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    assert_true(done <= total);
    asked++;
    return ERR_OK;
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static enum err try_begin(uint64_t length, unsigned log2, bool recheck)
{
    asked = 0;
    return part_begin(&part, open_file(data_path), open_file(journal_path), length, log2, recheck,
                      engine, count_progress, NULL);
}

static void begin(uint64_t length, unsigned log2, bool recheck)
{
    assert_int_equal(try_begin(length, log2, recheck), ERR_OK);
}

static void hash_of(uint64_t length, unsigned log2, uint64_t index, uint8_t *hash)
{
    struct tree_chunk c;
    assert_int_equal(tree_chunk_init(&c, engine, log2), ERR_OK);
    tree_chunk_begin(&c, length);
    tree_chunk_add(&c, content + (index << log2), (size_t)tree_chunk_size(length, log2, index));
    tree_chunk_end(&c, hash);
    tree_chunk_release(&c);
}

/* Receives chunk index of content in two pieces, the second first where asked. */
static void receive(uint64_t index, bool backwards)
{
    uint64_t length = part.header.length;
    unsigned log2 = part.header.chunk_log2;
    size_t size = (size_t)tree_chunk_size(length, log2, index), half = size / 2;
    const uint8_t *from = content + (index << log2);
    uint8_t hash[TREE_HASH];
    if (backwards)
        assert_int_equal(part_write(&part, index, (uint32_t)half, from + half, size - half),
                         ERR_OK);
    assert_int_equal(part_write(&part, index, 0, from, half), ERR_OK);
    if (!backwards)
        assert_int_equal(part_write(&part, index, (uint32_t)half, from + half, size - half),
                         ERR_OK);
    hash_of(length, log2, index, hash);
    assert_int_equal(part_settle(&part, index, hash), ERR_OK);
}

/* A part of which the first chunks were received and made durable by an earlier run. */
static void leave(uint64_t chunks)
{
    begin(LENGTH, LOG2, false);
    for (uint64_t i = 0; i < chunks; i++)
        receive(i, false);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    part_release(&part);
}

static bool slot_is(uint64_t index, const uint8_t *hash)
{
    uint8_t got[TREE_HASH];
    assert_int_equal(part_slots_read(part.journal, index, 1, got), ERR_OK);
    return memcmp(got, hash, TREE_HASH) == 0;
}

static bool slot_true(uint64_t index)
{
    uint8_t hash[TREE_HASH];
    hash_of(part.header.length, part.header.chunk_log2, index, hash);
    return slot_is(index, hash);
}

static bool slot_empty(uint64_t index)
{
    static const uint8_t zero[TREE_HASH];
    return slot_is(index, zero);
}

/* Receives whatever is not there and checks that the commit is the content's. */
static void complete(void)
{
    uint8_t root[TREE_HASH], want[TREE_HASH];
    struct part_header h;
    struct stat st;
    for (uint64_t i = 0; i < part.chunks; i++) {
        if (slot_true(i))
            assert_int_equal(part_keep(&part, i, 1), ERR_OK);
        else
            receive(i, i % 2);
    }
    assert_int_equal(part_finish(&part, engine, root), ERR_OK);
    assert_int_equal(fstat(part.data, &st), 0);
    assert_int_equal(st.st_size, part.header.length);
    assert_int_equal(tree_file(part.data, "part", part.header.length, part.header.chunk_log2,
                               engine, NULL, want),
                     ERR_OK);
    assert_memory_equal(root, want, TREE_HASH);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_true(h.complete);
    assert_memory_equal(h.root, want, TREE_HASH);
    uint8_t *back = malloc((size_t)st.st_size + 1);
    assert_int_equal(pread(part.data, back, (size_t)st.st_size, 0), st.st_size);
    assert_memory_equal(back, content, (size_t)st.st_size);
    free(back);
    part_release(&part);
}

/* Its time of change is set, as two writes within one tick of the clock may bear the same. */
static void change_byte(const char *path, off_t at)
{
    static const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    uint8_t byte;
    int fd = open_file(path);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

/* ---- receiving ---- */

static void a_fresh_part(void **state)
{
    (void)state;
    begin(LENGTH, LOG2, false);
    assert_int_equal(part.chunks, CHUNKS);
    assert_int_equal(part.have, 0);
    assert_int_equal(asked, 0);
    complete();
}

static void an_empty_content(void **state)
{
    (void)state;
    static const uint8_t zero[TREE_HASH];
    uint8_t root[TREE_HASH];
    leave(3); /* even where data was */
    begin(0, LOG2, false);
    assert_int_equal(part.chunks, 0);
    assert_int_equal(part_keep(&part, 0, 0), ERR_OK);
    assert_int_equal(part_keep(&part, 0, 1), ERR_PROTO);
    assert_int_equal(part_settle(&part, 0, content), ERR_PROTO);
    assert_int_equal(part_finish(&part, engine, root), ERR_OK);
    assert_memory_equal(root, zero, TREE_HASH);
    assert_int_equal(lseek(part.data, 0, SEEK_END), 0);
    part_release(&part);
}

static void a_trusted_part_is_not_hashed(void **state)
{
    (void)state;
    leave(4);
    begin(LENGTH, LOG2, false);
    assert_int_equal(asked, 0);
    assert_int_equal(part.have, 4);
    for (uint64_t i = 0; i < CHUNKS; i++)
        assert_true(i < 4 ? slot_true(i) : slot_empty(i));
    complete();
}

static void trust_survives_a_run_without_news(void **state)
{
    (void)state;
    leave(4);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    part_release(&part);
    begin(LENGTH, LOG2, false);
    assert_int_equal(asked, 0);
    assert_int_equal(part.have, 4);
    part_release(&part); /* without a checkpoint: void */
    begin(LENGTH, LOG2, false);
    assert_true(asked > 0);
    assert_int_equal(part.have, 4);
    part_release(&part);
}

static void a_recheck_hashes_in_any_case(void **state)
{
    (void)state;
    leave(CHUNKS);
    begin(LENGTH, LOG2, true);
    assert_true(asked > 0);
    assert_int_equal(part.have, CHUNKS);
    complete();
}

static void a_changed_byte_is_found(void **state)
{
    (void)state;
    leave(4);
    change_byte(data_path, 2 * CHUNK + 77);
    begin(LENGTH, LOG2, false);
    assert_true(asked > 0);
    assert_int_equal(part.have, 4);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(slot_true(i), i != 2);
    complete();
}

static void a_half_chunk_is_not_there(void **state)
{
    (void)state;
    leave(4);
    assert_int_equal(truncate(data_path, 3 * CHUNK + 5), 0);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part.have, 3);
    assert_true(slot_true(2) && slot_empty(3));
    complete();
}

static void data_without_a_journal_is_hashed(void **state)
{
    (void)state;
    for (int damage = 0; damage < 4; damage++) {
        leave(CHUNKS);
        if (damage == 0)
            unlink(journal_path);
        else if (damage == 1)
            assert_int_equal(truncate(journal_path, 100), 0);
        else
            change_byte(journal_path, damage == 2 ? 9 : 20); /* version; length of the content */
        begin(LENGTH, LOG2, false);
        assert_true(asked > 0);
        assert_int_equal(part.have, CHUNKS);
        assert_true(part.header.created > 0);
        complete();
        unlink(journal_path);
        unlink(data_path);
    }
}

static void a_cut_journal_lacks_only_slots(void **state)
{
    (void)state;
    leave(4);
    assert_int_equal(truncate(journal_path, PART_SLOTS + 2 * TREE_HASH), 0);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part.have, 2);
    complete();
}

static void another_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {1,         1234,          CHUNK - 1,    CHUNK,
                                       CHUNK + 1, 3 * CHUNK,     LENGTH - 1,   LENGTH + 1,
                                       7 * CHUNK, 9 * CHUNK + 1, 2 * CHUNK + 9};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        leave(CHUNKS);
        begin(lengths[i], LOG2, false);
        assert_true(asked > 0);
        assert_int_equal(part.chunks, tree_chunks(lengths[i], LOG2));
        assert_true(part.have >= (lengths[i] < LENGTH ? part.chunks : CHUNKS - 1));
        assert_true(lseek(part.data, 0, SEEK_END) <= (off_t)lengths[i]);
        complete();
        unlink(journal_path);
        unlink(data_path);
    }
}

static void another_chunk_size(void **state)
{
    (void)state;
    for (unsigned log2 = 14; log2 < 20; log2++) {
        leave(CHUNKS);
        begin(LENGTH, log2, false);
        assert_int_equal(asked > 0, log2 != LOG2);
        assert_int_equal(part.have, tree_chunks(LENGTH, log2));
        complete();
        unlink(journal_path);
        unlink(data_path);
    }
}

static void a_stopped_hashing_ends_the_beginning(void **state)
{
    (void)state;
    leave(4);
    change_byte(data_path, 0);
    int data = open(data_path, O_WRONLY | O_CLOEXEC); /* can't be read */
    assert_int_equal(
        part_begin(&part, data, open_file(journal_path), LENGTH, LOG2, false, engine, NULL, NULL),
        ERR_IO);
    part_release(&part);
    begin(LENGTH, LOG2, false); /* and nothing half-hashed is believed */
    assert_true(asked > 0);
    complete();
}

/* ---- overwriting ---- */

static void a_half_overwritten_chunk_is_never_trusted(void **state)
{
    (void)state;
    for (uint32_t offset = 0; offset <= 100; offset += 100) {
        leave(4);
        begin(LENGTH, LOG2, false);
        assert_int_equal(part_write(&part, 2, offset, (const uint8_t *)"new", 3), ERR_OK);
        assert_true(slot_empty(2));
        assert_int_equal(part_checkpoint(&part), ERR_OK);
        part_release(&part);
        begin(LENGTH, LOG2, false);
        assert_int_equal(asked, 0); /* the others still are */
        assert_int_equal(part.have, 3);
        assert_int_equal(part_keep(&part, 2, 1), ERR_PROTO);
        complete();
        unlink(journal_path);
        unlink(data_path);
    }
}

static void the_stamp_is_void_while_trusted_data_changes(void **state)
{
    (void)state;
    struct part_header h;
    leave(4);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_false(h.stamped);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_true(h.stamped);
    assert_int_equal(part_write(&part, 1, 0, content, 10), ERR_OK);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_false(h.stamped);
    part_release(&part);
}

static void a_settled_chunk_is_not_overwritten(void **state)
{
    (void)state;
    leave(2);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_keep(&part, 0, 2), ERR_OK);
    receive(2, true);
    assert_int_equal(part_write(&part, 0, 0, content, 1), ERR_PROTO);
    assert_int_equal(part_write(&part, 2, 5, content, 1), ERR_PROTO);
    assert_int_equal(part_write(&part, CHUNKS, 0, content, 1), ERR_PROTO);
    assert_true(part_settled(&part, 1) && part_settled(&part, 2));
    assert_false(part_settled(&part, 3) || part_settled(&part, CHUNKS));
    assert_false(part_settled(&part, UINT64_MAX));
    part_release(&part);
}

static void what_the_peer_may_not_say(void **state)
{
    (void)state;
    uint8_t root[TREE_HASH];
    leave(3);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_keep(&part, 2, 2), ERR_PROTO);          /* 3 is empty */
    assert_int_equal(part_keep(&part, CHUNKS - 1, 2), ERR_PROTO); /* past the end */
    assert_int_equal(part_keep(&part, UINT64_MAX, 2), ERR_PROTO);
    assert_int_equal(part_keep(&part, 1, UINT64_MAX), ERR_PROTO);
    assert_int_equal(part_keep(&part, 0, 2), ERR_OK);
    assert_int_equal(part_keep(&part, 1, 1), ERR_PROTO); /* twice */
    assert_int_equal(part_settle(&part, 1, content), ERR_PROTO);
    receive(4, false);
    assert_int_equal(part_settle(&part, 4, content), ERR_PROTO);
    assert_int_equal(part_keep(&part, 4, 1), ERR_PROTO);
    assert_int_equal(part_settle(&part, CHUNKS, content), ERR_PROTO);
    assert_int_equal(part_finish(&part, engine, root), ERR_PROTO); /* not complete */
    part_release(&part);
}

static void runs_are_settled_like_chunks(void **state)
{
    static const uint64_t counts[] = {1, 2, 511, 512, 513, 1300};
    uint8_t hash[TREE_HASH], other[TREE_HASH];
    (void)state;
    memset(hash, 7, sizeof hash);
    memset(other, 8, sizeof other);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t n = counts[i];
        begin((n + 4) << LOG2, LOG2, false);
        assert_int_equal(part_settle_run(&part, 1, n, hash), ERR_OK);
        assert_int_equal(part_settle(&part, n + 2, other), ERR_OK);
        assert_int_equal(part.settled, n + 1);
        /* refused as a whole */
        assert_int_equal(part_settle_run(&part, 0, 2, other), ERR_PROTO);
        assert_int_equal(part_settle_run(&part, n + 1, 2, other), ERR_PROTO);
        assert_int_equal(part_settle_run(&part, n + 3, 2, other), ERR_PROTO);
        assert_int_equal(part_settle_run(&part, n + 3, UINT64_MAX, other), ERR_PROTO);
        assert_int_equal(part.settled, n + 1);
        assert_true(slot_empty(1));
        assert_int_equal(part_checkpoint(&part), ERR_OK);
        for (uint64_t k = 0; k < n + 4; k++)
            if (k == 0 || k == n + 1 || k == n + 3)
                assert_true(slot_empty(k));
            else
                assert_true(slot_is(k, k == n + 2 ? other : hash));
        part_release(&part);
        assert_int_equal(unlink(data_path), 0);
        assert_int_equal(unlink(journal_path), 0);
    }
}

static void checkpoints_come_by_count(void **state)
{
    (void)state;
    enum { MANY = 1100 };
    struct part_header h;
    begin((uint64_t)MANY << 14, 14, false);
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(part_settle(&part, i, content + 1), ERR_OK);
        assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
        assert_int_equal(h.stamped, i + 1 >= 1024);
    }
    assert_true(slot_is(1023, content + 1));
    assert_true(slot_empty(1024));
    part_release(&part);
}

static void checkpoints_come_by_bytes(void **state)
{
    (void)state;
    struct part_header h;
    begin(LENGTH, LOG2, false);
    part.unsynced = (128 << 20) - CHUNK;
    receive(0, false);
    assert_int_equal(part.unsynced, 0);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_true(h.stamped && slot_true(0));
    receive(1, false);
    assert_int_equal(part.unsynced, CHUNK);
    assert_true(slot_empty(1));
    part_release(&part);
}

static void checkpoints_come_by_time(void **state)
{
    (void)state;
    begin(LENGTH, LOG2, false);
    part.checkpoint_ms -= 5000;
    receive(0, false);
    assert_true(slot_true(0));
    part_release(&part);
}

/* ---- failures ---- */

static void expect_failed(enum err e)
{
    uint8_t root[TREE_HASH];
    assert_int_equal(part_write(&part, 5, 0, content, 1), e);
    assert_int_equal(part_settle(&part, 5, content), e);
    assert_int_equal(part_keep(&part, 0, 1), e);
    assert_int_equal(part_checkpoint(&part), e);
    assert_int_equal(part_finish(&part, engine, root), e);
}

/* /dev/null takes every write and can't be synced. */
static void put_null_under(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(null >= 0 && dup2(null, fd) == fd);
    close(null);
}

static void a_failed_sync_of_data_is_final(void **state)
{
    (void)state;
    struct part_header h;
    leave(2);
    begin(LENGTH, LOG2, false);
    receive(2, false);
    int good = dup(part.data);
    put_null_under(part.data);
    assert_int_equal(part_checkpoint(&part), ERR_IO);
    assert_true(dup2(good, part.data) == part.data); /* it would succeed now */
    close(good);
    expect_failed(ERR_IO);
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_false(h.stamped);
    assert_true(slot_empty(2));
    part_release(&part);
}

static void a_failed_sync_of_the_journal_is_final(void **state)
{
    (void)state;
    leave(2);
    begin(LENGTH, LOG2, false);
    receive(2, false);
    int good = dup(part.journal);
    put_null_under(part.journal);
    assert_int_equal(part_checkpoint(&part), ERR_IO);
    assert_true(dup2(good, part.journal) == part.journal);
    close(good);
    expect_failed(ERR_IO);
    part_release(&part);
}

/* Nothing was written since the stamp that a failed sync of either file comes after. */
static void a_failed_sync_voids_the_stamp_before_it(void **state)
{
    (void)state;
    for (int journal = 0; journal < 2; journal++) {
        leave(2);
        begin(LENGTH, LOG2, false);
        assert_int_equal(part_checkpoint(&part), ERR_OK);
        fails_once = journal ? part.journal : part.data;
        assert_int_equal(part_checkpoint(&part), ERR_IO);
        assert_int_equal(fails_once, -1);
        expect_failed(ERR_IO);
        part_release(&part);
        begin(LENGTH, LOG2, false);
        assert_true(asked > 0); /* hashed anew */
        assert_true(slot_true(0) && slot_true(1) && slot_empty(2));
        part_release(&part);
    }
}

static void a_stamp_that_cannot_be_voided_protects_the_data(void **state)
{
    (void)state;
    uint8_t back[3];
    leave(4);
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    put_null_under(part.journal);
    assert_int_equal(part_write(&part, 1, 0, (const uint8_t *)"new", 3), ERR_IO);
    assert_int_equal(pread(part.data, back, 3, CHUNK), 3);
    assert_memory_equal(back, content + CHUNK, 3);
    expect_failed(ERR_IO);
    part_release(&part);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_true(full >= 0);
    begin(LENGTH, LOG2, false);
    assert_true(dup2(full, part.data) == part.data);
    assert_int_equal(part_write(&part, 0, 0, content, 10), ERR_NOSPACE);
    part_release(&part);
    begin(LENGTH, LOG2, false);
    receive(0, false);
    assert_true(dup2(full, part.journal) == part.journal);
    assert_int_equal(part_checkpoint(&part), ERR_NOSPACE);
    expect_failed(ERR_NOSPACE);
    part_release(&part);
    assert_int_equal(part_begin(&part, open_file(data_path), full, LENGTH, LOG2, false, engine,
                                count_progress, NULL),
                     ERR_NOSPACE);
    part_release(&part);
}

static int make_dir(void **state)
{
    (void)state;
    log_quiet(true);
    engine = tree_engine_named("gnutls");
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof content; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = (uint8_t)(x >> 24);
    }
    if (!mkdtemp(dir))
        return -1;
    snprintf(data_path, sizeof data_path, "%s/data", dir);
    snprintf(journal_path, sizeof journal_path, "%s/journal", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int remove_files(void **state)
{
    (void)state;
    unlink(data_path);
    unlink(journal_path);
    return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, remove_files)

/* ---- several at one part ---- */

static struct part joiner;

static enum err join(uint64_t length, unsigned log2, uint8_t token)
{
    const uint8_t bytes[PART_TOKEN] = {1, [PART_TOKEN - 1] = token};
    return part_join(&joiner, open_file(data_path), open_file(journal_path), length, log2, bytes);
}

static void share_it(void)
{
    begin(LENGTH, LOG2, false);
    const uint8_t token[PART_TOKEN] = {1, [PART_TOKEN - 1] = 77};
    assert_int_equal(part_share(&part, token), ERR_OK);
}

/* The same by the one who joined; with other bytes than content's when they are given. */
static void join_receive(uint64_t index, const uint8_t *bytes)
{
    uint8_t hash[TREE_HASH];
    struct tree_chunk c;
    size_t size = (size_t)tree_chunk_size(LENGTH, LOG2, index);
    bytes = bytes ? bytes : content + (index << LOG2);
    assert_int_equal(tree_chunk_init(&c, engine, LOG2), ERR_OK);
    tree_chunk_begin(&c, LENGTH);
    tree_chunk_add(&c, bytes, size);
    tree_chunk_end(&c, hash);
    tree_chunk_release(&c);
    assert_int_equal(part_write(&joiner, index, 0, bytes, size), ERR_OK);
    assert_int_equal(part_settle(&joiner, index, hash), ERR_OK);
}

static void is_stamped(bool expected)
{
    struct part_header h;
    assert_int_equal(part_header_read(part.journal, &h), ERR_OK);
    assert_int_equal(h.stamped, expected);
}

static void only_the_same_part_is_joined(void **state)
{
    (void)state;
    share_it();
    const struct {
        uint64_t length;
        unsigned log2;
        uint8_t token;
    } others[] = {{LENGTH, LOG2, 78}, {LENGTH, LOG2, 0}, {LENGTH - 1, LOG2, 77}, {LENGTH, 14, 77}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(join(others[i].length, others[i].log2, others[i].token), ERR_CHANGED);
        part_release(&joiner);
    }
    assert_int_equal(join(LENGTH, LOG2, 77), ERR_OK);
    part_release(&joiner);
    part_release(&part);
}

static void two_bring_one_content(void **state)
{
    uint8_t root[TREE_HASH];
    (void)state;
    share_it();
    assert_int_equal(join(LENGTH, LOG2, 77), ERR_OK);
    for (uint64_t i = 0; i < 3; i++)
        receive(i, false);
    for (uint64_t i = 3; i < CHUNKS; i++)
        join_receive(i, NULL);
    assert_true(slot_empty(3));
    assert_int_equal(part_checkpoint(&joiner), ERR_OK);
    assert_true(slot_true(3) && slot_empty(0));
    part_release(&joiner);
    is_stamped(false);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    is_stamped(false);
    assert_int_equal(part_skip(&part, 3, CHUNKS - 3), ERR_OK);
    assert_int_equal(part_finish(&part, engine, root), ERR_OK);
    is_stamped(true);
    struct stat st;
    assert_int_equal(fstat(part.journal, &st), 0);
    assert_int_equal(st.st_size, PART_SLOTS + CHUNKS * TREE_HASH);
    part_release(&part);
    /* Nobody joins what is complete. */
    assert_int_equal(join(LENGTH, LOG2, 77), ERR_CHANGED);
    part_release(&joiner);
}

static void nobody_brought_it(void **state)
{
    uint8_t root[TREE_HASH];
    (void)state;
    share_it();
    for (uint64_t i = 0; i < 3; i++)
        receive(i, false);
    assert_int_equal(part_skip(&part, 3, CHUNKS - 3), ERR_OK);
    assert_int_equal(part_finish(&part, engine, root), ERR_PROTO);
    part_release(&part);
}

static void what_can_be_skipped(void **state)
{
    (void)state;
    begin(LENGTH, LOG2, false);
    assert_int_equal(part_skip(&part, 0, 1), ERR_PROTO);
    const uint8_t token[PART_TOKEN] = {1, [PART_TOKEN - 1] = 77};
    assert_int_equal(part_share(&part, token), ERR_OK);
    receive(1, false);
    assert_int_equal(part_skip(&part, 0, 2), ERR_PROTO);
    assert_int_equal(part_skip(&part, 2, CHUNKS - 1), ERR_PROTO);
    assert_int_equal(part_skip(&part, CHUNKS + 1, 0), ERR_PROTO);
    assert_int_equal(part_skip(&part, 2, UINT64_MAX), ERR_PROTO);
    assert_int_equal(part_skip(&part, 2, CHUNKS - 2), ERR_OK);
    assert_int_equal(part_write(&part, 3, 0, content, 1), ERR_PROTO);
    part_release(&part);
}

static void a_shared_part_that_was_left_is_hashed(void **state)
{
    (void)state;
    share_it();
    assert_int_equal(join(LENGTH, LOG2, 77), ERR_OK);
    receive(0, false);
    join_receive(1, NULL);
    join_receive(2, NULL);
    assert_int_equal(part_checkpoint(&part), ERR_OK);
    assert_int_equal(part_checkpoint(&joiner), ERR_OK);
    /* then half a chunk over one that is proven */
    assert_int_equal(part_write(&joiner, 0, 0, content + CHUNK, CHUNK / 2), ERR_OK);
    part_release(&joiner);
    part_release(&part);
    begin(LENGTH, LOG2, false);
    assert_true(asked > 0);
    assert_false(slot_true(0));
    assert_true(slot_true(1) && slot_true(2) && slot_empty(3));
    part_release(&part);
}

/* What several wrote counts when it is the same. */
static void several_at_one_chunk(void **state)
{
    uint8_t root[TREE_HASH];
    (void)state;
    for (int same = 1; same >= 0; same--) {
        share_it();
        assert_int_equal(join(LENGTH, LOG2, 77), ERR_OK);
        for (uint64_t i = 0; i < CHUNKS; i++)
            receive(i, i % 2);
        join_receive(2, same ? NULL : content + CHUNK);
        part_release(&joiner);
        assert_int_equal(part_finish(&part, engine, root), same ? ERR_OK : ERR_CORRUPT);
        is_stamped(same);
        assert_int_equal(slot_true(2), same);
        part_release(&part);
        assert_int_equal(unlink(data_path), 0);
        assert_int_equal(unlink(journal_path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_part),
        TEST(an_empty_content),
        TEST(a_trusted_part_is_not_hashed),
        TEST(trust_survives_a_run_without_news),
        TEST(a_recheck_hashes_in_any_case),
        TEST(a_changed_byte_is_found),
        TEST(a_half_chunk_is_not_there),
        TEST(data_without_a_journal_is_hashed),
        TEST(a_cut_journal_lacks_only_slots),
        TEST(another_length),
        TEST(another_chunk_size),
        TEST(a_stopped_hashing_ends_the_beginning),
        TEST(a_half_overwritten_chunk_is_never_trusted),
        TEST(the_stamp_is_void_while_trusted_data_changes),
        TEST(a_settled_chunk_is_not_overwritten),
        TEST(what_the_peer_may_not_say),
        TEST(runs_are_settled_like_chunks),
        TEST(checkpoints_come_by_count),
        TEST(checkpoints_come_by_bytes),
        TEST(checkpoints_come_by_time),
        TEST(a_failed_sync_of_data_is_final),
        TEST(a_failed_sync_of_the_journal_is_final),
        TEST(a_failed_sync_voids_the_stamp_before_it),
        TEST(a_stamp_that_cannot_be_voided_protects_the_data),
        TEST(a_full_disk_is_told),
        TEST(only_the_same_part_is_joined),
        TEST(two_bring_one_content),
        TEST(nobody_brought_it),
        TEST(what_can_be_skipped),
        TEST(a_shared_part_that_was_left_is_hashed),
        TEST(several_at_one_chunk),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
