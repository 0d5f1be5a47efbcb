/* SPDX-License-Identifier: ISC */
/* Transfers of contents with holes and zeros: what is said instead of sent, what the receiver makes of
 * it, what a sender may not say. */
#include "hole.h"
#include "log.h"
#include "test_xfer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNK = 1 << TREE_CHUNK_LOG2 };

static const char *path_of(const char *name)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* A content chunk by chunk, the last one tail bytes: x data, z zeros that are written, h a hole with
 * data in its middle, everything else holes. */
struct layout {
    const char *chunks;
    uint64_t tail;
};

static uint64_t length_of(const struct layout *l)
{
    return (strlen(l->chunks) - 1) * CHUNK + l->tail;
}

static uint64_t size_of(const struct layout *l, size_t i)
{
    return l->chunks[i + 1] ? CHUNK : l->tail;
}

/* Chunk i's bytes, which are other ones for another seed. */
static void fill(const struct layout *l, size_t i, unsigned seed, uint8_t *bytes)
{
    memset(bytes, 0, CHUNK);
    for (size_t k = 0; k < CHUNK && l->chunks[i] == 'x'; k++)
        bytes[k] = (uint8_t)((k + seed) * 2654435761u >> 13);
    if (l->chunks[i] == 'h')
        memset(bytes + size_of(l, i) / 2, 5, 1);
}

static void make_source(const struct layout *l, unsigned seed, struct fs_source *s)
{
    static uint8_t bytes[CHUNK];
    int fd = open(path_of("source"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)length_of(l)), 0);
    for (size_t i = 0; l->chunks[i]; i++) {
        size_t from = 0, n = (size_t)size_of(l, i);
        fill(l, i, seed, bytes);
        if (l->chunks[i] == 'h')
            from = n / 2, n = 1;
        else if (l->chunks[i] == '.')
            n = 0;
        assert_int_equal(pwrite(fd, bytes + from, n, (off_t)(i * CHUNK + from)), n);
    }
    *s = (struct fs_source){.fd = fd, .tree = -1};
    assert_int_equal(fstat(fd, &s->st), 0);
}

static enum err transfer(const struct fs_source *s, struct xfer_result *r, int end)
{
    struct chan c;
    int pid = pair_start(receive, &c);
    struct xfer x = {.chan = &c, .id = 9, .name = "source", .engine = tree_engine(false)};
    enum err e = xfer_send(&x, s, r);
    chan_release(&c);
    assert_int_equal(pair_end(pid), end);
    return e;
}

static uint64_t bytes_of(const struct layout *l, const char *kinds)
{
    uint64_t n = 0;
    for (size_t i = 0; l->chunks[i]; i++)
        if (strchr(kinds, l->chunks[i]))
            n += size_of(l, i);
    return n;
}

/* The content arrived, with that root, and takes no more than most bytes; with a hole of less than
 * half a chunk space was reserved for all of it. */
static void expect_there(const struct layout *l, unsigned seed, const struct xfer_result *r,
                         uint64_t most)
{
    static uint8_t want[CHUNK], got[CHUNK];
    struct tree_chunk c;
    struct tree_root root;
    struct stat st;
    uint8_t hash[TREE_HASH];
    uint64_t length = length_of(l);
    int fd = open(path_of("store/there"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, length);
    assert_int_equal(tree_chunk_init(&c, tree_engine(false), TREE_CHUNK_LOG2), ERR_OK);
    tree_root_begin(&root, tree_engine(false), length, TREE_CHUNK_LOG2);
    for (size_t i = 0; l->chunks[i]; i++) {
        size_t n = (size_t)size_of(l, i);
        fill(l, i, seed, want);
        assert_int_equal(pread(fd, got, n, (off_t)(i * CHUNK)), n);
        assert_memory_equal(got, want, n);
        tree_chunk_begin(&c, length);
        tree_chunk_add(&c, want, n);
        tree_chunk_end(&c, hash);
        tree_root_add(&root, hash);
    }
    assert_true(tree_root_end(&root, hash));
    assert_memory_equal(hash, r->root, TREE_HASH);
    tree_chunk_release(&c);
    if (bytes_of(l, ".") >= CHUNK / 2)
        assert_true((uint64_t)st.st_blocks * 512 <= most + 65536);
    close(fd);
}

static void nothing_there(void)
{
    enum err e = fs_remove(&files, "/there", false);
    assert_true(e == ERR_OK || e == ERR_NOENT);
}

static const struct layout layouts[] = {
    {".", 1},          {".", CHUNK},    {"z", 1000},      {"h", 70000},    {"..", 1},
    {"x.", CHUNK - 1}, {".x", 16385},   {"x.x", CHUNK},   {"..xx..x", 99}, {"xh.zx.z", 16384},
    {"hhhh", CHUNK},   {"zzzzzzz", 12}, {"....h...", 77},
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

static void holes_and_zeros_are_not_sent(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < LAYOUTS * 2; i++) {
        const struct layout *l = &layouts[i / 2];
        struct fs_source s;
        struct xfer_result r;
        threads = i % 2;
        make_source(l, 1, &s);
        nothing_there();
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.zeros, bytes_of(l, ".z"));
        assert_int_equal(r.moved, bytes_of(l, "xh"));
        expect_there(l, 1, &r, bytes_of(l, "xhz"));
        /* the same over itself */
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.zeros, bytes_of(l, ".z"));
        expect_there(l, 1, &r, bytes_of(l, "xhz"));
        close(s.fd);
    }
    threads = false;
}

/* Of a long one, so that runs end with windows. */
static void a_long_hole(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    struct layout l = {malloc(1302), 5};
    (void)unused;
    assert_non_null(l.chunks);
    memset((char *)l.chunks, '.', 1301);
    ((char *)l.chunks)[1301] = 0;
    ((char *)l.chunks)[600] = 'x';
    make_source(&l, 1, &s);
    for (int i = 0; i < 2; i++) {
        nothing_there();
        die_after = i == 0 ? 1100 : 0;
        assert_int_equal(transfer(&s, &r, i == 0 ? 7 : 0) == ERR_OK, i == 1);
    }
    assert_int_equal(r.zeros, bytes_of(&l, "."));
    expect_there(&l, 1, &r, bytes_of(&l, "x"));
    free((char *)l.chunks);
    close(s.fd);
}

/* What an earlier transfer wrote, of the same length, does not show through. */
static void holes_are_made_in_what_was_there(void **unused)
{
    static const struct layout before = {"xxxxxxxxxxxx", 500};
    static const struct layout after[] = {{"............", 500}, {"..x..xh.z..x", 500},
                                          {".z.z.z.z.z.z", 500}, {"xxxxxx......", 500},
                                          {"xx...", 16},         {"x.............", 5}};
    (void)unused;
    for (size_t i = 0; i < 2 * sizeof after / sizeof after[0]; i++) {
        const struct layout *l = &after[i / 2];
        struct fs_source s;
        struct xfer_result r;
        nothing_there();
        make_source(&before, 2, &s);
        threads = i % 2;
        die_after = 9;
        assert_int_not_equal(transfer(&s, &r, 7), ERR_OK);
        die_after = 0;
        close(s.fd);
        make_source(l, 2, &s);
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.zeros, bytes_of(l, ".z"));
        assert_int_equal(r.moved + r.kept, bytes_of(l, "xh"));
        expect_there(l, 2, &r, length_of(l));
        close(s.fd);
    }
    threads = false;
}

static void a_cut_transfer_goes_on_and_stays_sparse(void **unused)
{
    static const struct layout l = {"x..h.x.z..x..zxx...", 4711};
    (void)unused;
    for (uint64_t cut = 1; l.chunks[cut]; cut++) {
        struct fs_source s;
        struct xfer_result r;
        nothing_there();
        make_source(&l, 3, &s);
        die_after = cut;
        assert_int_not_equal(transfer(&s, &r, 7), ERR_OK);
        die_after = 0;
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.zeros, bytes_of(&l, ".z"));
        assert_int_equal(r.moved + r.kept, bytes_of(&l, "xh"));
        expect_there(&l, 3, &r, bytes_of(&l, "xhz"));
        close(s.fd);
    }
}

/* ---- stored trees ---- */

/* A stored tree for a content of l's length: of zeros, or of hashes that no content has. */
static int tree_of(const struct layout *l, bool zeros)
{
    struct part_header h = {
        .length = length_of(l), .chunk_log2 = TREE_CHUNK_LOG2, .complete = true};
    struct tree_zeros z;
    struct tree_chunk c;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(part_header_write(fd, &h), ERR_OK);
    assert_int_equal(tree_chunk_init(&c, tree_engine(false), TREE_CHUNK_LOG2), ERR_OK);
    tree_zeros_init(&z, &c, h.length, TREE_CHUNK_LOG2);
    for (uint64_t i = 0; i < z.chunks; i++) {
        uint8_t hash[TREE_HASH];
        memset(hash, 7, sizeof hash);
        memcpy(hash, zeros ? tree_zeros_hash(&z, i) : hash, TREE_HASH);
        assert_int_equal(pwrite(fd, hash, TREE_HASH, (off_t)(PART_SLOTS + i * TREE_HASH)),
                         TREE_HASH);
    }
    tree_chunk_release(&c);
    return fd;
}

static void a_hole_does_not_hide_what_was_there(void **unused)
{
    static const struct layout l = {"....", 9};
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    nothing_there();
    make_source(&l, 1, &s);
    s.tree = tree_of(&l, true);
    assert_int_equal(transfer(&s, &r, 0), ERR_OK);
    assert_int_equal(r.zeros, length_of(&l));
    expect_there(&l, 1, &r, 0);
    close(s.tree);
    s.tree = tree_of(&l, false);
    assert_int_equal(transfer(&s, &r, 1), ERR_CORRUPT);
    assert_int_equal(r.zeros, 0);
    assert_int_equal(fs_discard(&files, "/there"), ERR_OK);
    close(s.tree);
    close(s.fd);
}

/* ---- what a sender may not say ---- */

enum { LOG2 = 14, SMALL = 1 << LOG2, LAST = 600 };
static const uint64_t false_length = (uint64_t)LAST * SMALL + 5; /* LAST + 1 chunks */

struct false_hole {
    uint64_t good; /* chunks covered by holes before, in runs of 512 at most */
    bool data;     /* and then a piece of the next chunk */
    uint64_t first, count;
};

static enum err say(struct chan *c, uint64_t first, uint64_t count)
{
    return CHAN_SEND(c, hole, HOLE, .id = 9, .first = first, .count = count);
}

/* What the receiver says in the end, when the sender has nothing more to say. */
static enum err verdict(struct chan *c, int pid)
{
    struct frame f;
    struct msg_done done;
    assert_int_equal(CHAN_SEND(c, abort, ABORT, .id = 9, .status = ERR_CHANGED), ERR_OK);
    do
        assert_int_equal(chan_recv(c, &f, 10000), ERR_OK);
    while (f.type != MSG_DONE);
    assert_true(CHAN_GET(&f, done, &done));
    chan_release(c);
    assert_int_equal(pair_end(pid), 1);
    return err_from_wire(done.status);
}

static enum err says(const struct false_hole *x)
{
    static const uint8_t piece[SMALL] = {1};
    struct chan c;
    int pid = pair_start(receive, &c);
    assert_int_equal(
        CHAN_SEND(&c, offer, OFFER, .id = 9, .length = false_length, .chunk_log2 = LOG2), ERR_OK);
    for (uint64_t at = 0; at < x->good; at += 512)
        assert_int_equal(say(&c, at, x->good - at < 512 ? x->good - at : 512), ERR_OK);
    if (x->data) {
        struct msg_data m = {9, x->good, 0, MSG_KIND_PLAIN, slice_of(piece, SMALL)};
        assert_int_equal(chan_send_data(&c, &m), ERR_OK);
    }
    assert_int_equal(say(&c, x->first, x->count), ERR_OK);
    return verdict(&c, pid);
}

static void holes_that_can_not_be_are_refused(void **unused)
{
    static const struct false_hole good[] = {{0, false, 0, 1},
                                             {0, false, 0, 512},
                                             {3, false, 3, 509},
                                             {512, false, 512, LAST + 1 - 512},
                                             {LAST, false, LAST, 1}};
    static const struct false_hole bad[] = {
        {0, false, 0, 0},                   /* nothing */
        {0, false, 1, 1},                   /* not the next */
        {0, false, 512, 1},                 /* nor that */
        {0, false, 0, 513},                 /* over a window's end */
        {511, false, 511, 2},               /* likewise */
        {5, false, 4, 1},                   /* twice */
        {5, false, 4, 2},                   /* in part */
        {512, false, 0, 512},               /* all over again */
        {512, false, 512, LAST + 2 - 512},  /* behind the end */
        {LAST + 1, false, LAST + 1, 1},     /* likewise */
        {LAST, false, LAST, UINT64_MAX},    /* around */
        {0, false, 0, UINT64_MAX},          /* likewise */
        {0, false, UINT64_MAX, 1},          /* nowhere */
        {1, false, UINT64_MAX, 2},          /* around from there */
        {0, true, 0, 1},                    /* within a chunk */
        {0, true, 1, 1},                    /* without its end */
        {0, false, 1ull << (64 - LOG2), 1}, /* offset 0 by overflow */
        {0, false, 0, 1 + (1ull << (64 - LOG2))},
    };
    (void)unused;
    for (int i = 0; i < 2; i++) {
        threads = i;
        nothing_there();
        for (size_t k = 0; k < sizeof good / sizeof good[0]; k++)
            assert_int_equal(says(&good[k]), ERR_CHANGED);
        for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++)
            assert_int_equal(says(&bad[k]), ERR_PROTO);
        assert_int_equal(fs_discard(&files, "/there"), ERR_OK);
    }
    threads = false;
}

static void an_offer_of_more_blocks_than_bytes_is_refused(void **unused)
{
    static const uint64_t allocated[] = {4097, 1 << 20, UINT64_MAX, 4096, 0};
    (void)unused;
    for (size_t i = 0; i < sizeof allocated / sizeof allocated[0]; i++) {
        struct chan c;
        int pid = pair_start(receive, &c);
        assert_int_equal(CHAN_SEND(&c, offer, OFFER, .id = 9, .length = 4096, .chunk_log2 = 20,
                                   .allocated = allocated[i]),
                         ERR_OK);
        assert_int_equal(verdict(&c, pid), allocated[i] > 4096 ? ERR_PROTO : ERR_CHANGED);
    }
}

static int set_up_quietly(void **unused)
{
    log_quiet(true);
    return set_up(unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_and_zeros_are_not_sent),
        cmocka_unit_test(a_long_hole),
        cmocka_unit_test(holes_are_made_in_what_was_there),
        cmocka_unit_test(a_cut_transfer_goes_on_and_stays_sparse),
        cmocka_unit_test(a_hole_does_not_hide_what_was_there),
        cmocka_unit_test(holes_that_can_not_be_are_refused),
        cmocka_unit_test(an_offer_of_more_blocks_than_bytes_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_quietly, tear_down);
}
