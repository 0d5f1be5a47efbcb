/* SPDX-License-Identifier: ISC */
/* The part when the power goes: whatever subset of the writes since a file's last sync reached the
 * disk, a slot under a valid stamp tells the truth about the data.
 *
 * pwrite, ftruncate and fdatasync are replaced for the whole program by ones that also keep a record.
 * Disks are then made up from it for every moment of several runs. The time of change is taken to
 * match the stamp always, as a disk may hold new data under an old one. */
#include "log.h"
#include "part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG2 = 14, CHUNK = 1 << LOG2, CHUNKS = 6, LENGTH = 5 * CHUNK + 100 };
enum { DISK = PART_SLOTS + CHUNKS * CHUNK, MOST = 4096, DISKS = 24 };

enum kind { WRITE, CUT, SYNC };

static struct event {
    enum kind kind;
    bool journal;
    size_t at;
    size_t n;
    uint8_t *bytes;
} events[MOST];

static size_t n_events;
static int data_fd = -1, journal_fd = -1;
static const struct tree_engine *engine;
static struct part part;
static uint64_t state_of_chance;

static uint32_t chance(uint32_t below)
{
    state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state_of_chance >> 33) % below;
}

/* ---- the record ---- */

static void record(enum kind kind, int fd, size_t at, const void *bytes, size_t n)
{
    if (fd != data_fd && fd != journal_fd)
        return;
    assert_true(n_events < MOST && at + n <= DISK);
    struct event *e = &events[n_events++];
    *e = (struct event){kind, fd == journal_fd, at, n, NULL};
    if (n) {
        e->bytes = malloc(n);
        assert_non_null(e->bytes);
        memcpy(e->bytes, bytes, n);
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    record(WRITE, fd, (size_t)at, bytes, n);
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

int ftruncate(int fd, off_t size)
{
    record(CUT, fd, (size_t)size, NULL, 0);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int fdatasync(int fd)
{
    record(SYNC, fd, 0, NULL, 0);
    return 0;
}

/* ---- disks ---- */

struct disk {
    uint8_t bytes[DISK];
    size_t size;
};

static void apply(struct disk *d, const struct event *e)
{
    if (e->kind == CUT) {
        if (e->at < d->size)
            memset(d->bytes + e->at, 0, d->size - e->at);
        d->size = e->at;
    } else {
        memcpy(d->bytes + e->at, e->bytes, e->n);
        if (e->at + e->n > d->size)
            d->size = e->at + e->n;
    }
}

/* What the disk may hold of one file after the first n events: all up to the last sync, and of what
 * came later each with a chance of odds in 4. */
static void make_up(struct disk *d, bool journal, size_t n, uint32_t odds)
{
    size_t durable = 0;
    memset(d, 0, sizeof *d);
    for (size_t i = 0; i < n; i++)
        if (events[i].kind == SYNC && events[i].journal == journal)
            durable = i;
    for (size_t i = 0; i < n; i++)
        if (events[i].journal == journal && events[i].kind != SYNC &&
            (i < durable || chance(4) < odds))
            apply(d, &events[i]);
}

static bool header_of(const struct disk *journal, struct part_header *h)
{
    int fd = memfd_create("journal", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, journal->bytes, journal->size), journal->size);
    enum err e = part_header_read(fd, h);
    close(fd);
    return e == ERR_OK;
}

/* Returns how many slots could be believed; fails when one should not be. */
static unsigned check(const struct disk *data, const struct disk *journal, size_t moment)
{
    static const uint8_t empty[TREE_HASH];
    struct part_header h;
    struct tree_chunk c;
    uint8_t hash[TREE_HASH];
    unsigned believed = 0;
    if (!header_of(journal, &h) || !h.stamped || h.stamp.size != data->size)
        return 0;
    assert_int_equal(tree_chunk_init(&c, engine, h.chunk_log2), ERR_OK);
    for (uint64_t i = 0; i < tree_chunks(h.length, h.chunk_log2); i++) {
        const uint8_t *slot = journal->bytes + PART_SLOTS + i * TREE_HASH;
        if (memcmp(slot, empty, TREE_HASH) == 0)
            continue;
        tree_chunk_begin(&c, h.length);
        tree_chunk_add(&c, data->bytes + (i << h.chunk_log2),
                       (size_t)tree_chunk_size(h.length, h.chunk_log2, i));
        tree_chunk_end(&c, hash);
        if (memcmp(slot, hash, TREE_HASH) != 0)
            fail_msg("after event %zu chunk %u has a wrong hash", moment, (unsigned)i);
        believed++;
    }
    tree_chunk_release(&c);
    return believed;
}

static unsigned check_all(void)
{
    static struct disk data, journal;
    unsigned believed = 0;
    for (size_t moment = 0; moment <= n_events; moment++)
        for (uint32_t k = 0; k < DISKS; k++) {
            make_up(&data, false, moment, k % 5);
            make_up(&journal, true, moment, k / 5 % 5);
            believed += check(&data, &journal, moment);
        }
    return believed;
}

/* ---- runs ---- */

static void begin(bool recheck)
{
    enum err e = part_begin(&part, data_fd, journal_fd, LENGTH, LOG2, recheck, engine, NULL, NULL);
    assert_int_equal(e, ERR_OK);
}

static void end(void)
{
    data_fd = dup(part.data);
    journal_fd = dup(part.journal);
    part_release(&part);
}

/* Writes new content for a chunk in pieces, and settles it unless it is left half done. */
static void receive(uint64_t index, bool whole)
{
    static uint8_t bytes[CHUNK];
    size_t size = (size_t)tree_chunk_size(LENGTH, LOG2, index), half = size / 2;
    uint8_t hash[TREE_HASH];
    struct tree_chunk c;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)chance(256);
    assert_int_equal(part_write(&part, index, (uint32_t)half, bytes + half, size - half), ERR_OK);
    if (!whole)
        return;
    assert_int_equal(part_write(&part, index, 0, bytes, half), ERR_OK);
    assert_int_equal(tree_chunk_init(&c, engine, LOG2), ERR_OK);
    tree_chunk_begin(&c, LENGTH);
    tree_chunk_add(&c, bytes, size);
    tree_chunk_end(&c, hash);
    tree_chunk_release(&c);
    assert_int_equal(part_settle(&part, index, hash), ERR_OK);
}

/* One run over the chunks in order, with checkpoints and an end anywhere. */
static void run(void)
{
    begin(chance(3) == 0);
    for (uint64_t i = 0; i < CHUNKS; i++) {
        if (chance(3) == 0)
            assert_int_equal(part_checkpoint(&part), ERR_OK);
        uint32_t what = chance(8);
        if (what == 0 || (what < 4 && part_keep(&part, i, 1) == ERR_OK))
            continue;
        receive(i, what != 7);
        if (what == 7)
            break;
    }
    if (chance(2))
        assert_int_equal(part_checkpoint(&part), ERR_OK);
    end();
}

static void forget(void)
{
    while (n_events > 0)
        free(events[--n_events].bytes);
    close(data_fd);
    close(journal_fd);
    data_fd = journal_fd = -1;
}

static void slots_tell_the_truth_after_a_power_cut(void **state)
{
    (void)state;
    unsigned believed = 0;
    for (uint64_t history = 0; history < 40; history++) {
        state_of_chance = history;
        data_fd = memfd_create("data", MFD_CLOEXEC);
        journal_fd = memfd_create("journal", MFD_CLOEXEC);
        assert_true(data_fd >= 0 && journal_fd >= 0);
        for (int i = 0; i < 5; i++)
            run();
        believed += check_all();
        forget();
    }
    assert_true(believed > 1000); /* and not by believing nothing */
}

static int set_up(void **state)
{
    (void)state;
    log_quiet(true);
    engine = tree_engine_named("gnutls");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_tell_the_truth_after_a_power_cut),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
