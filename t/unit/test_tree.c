/* SPDX-License-Identifier: ISC */
/* The hash tree: against a plain recursive reference, for both engines and several chunk sizes. */
#include "log.h"
#include "tree.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = (5 << 20) + 12345 };

static uint8_t *content;
static const struct tree_engine *engines[2];
static size_t n_engines;

static const uint64_t lengths[] = {
    0,
    1,
    63,
    64,
    TREE_LEAF - 1,
    TREE_LEAF,
    TREE_LEAF + 1,
    2 * TREE_LEAF,
    3 * TREE_LEAF,
    3 * TREE_LEAF + 7,
    15 * TREE_LEAF,
    17 * TREE_LEAF + 100,
    33 * TREE_LEAF,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (2 << 20) - TREE_LEAF,
    3 << 20,
    (4 << 20) + 1,
    MOST,
};

enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

/* ---- the reference: the definition, said as a recursion over leaves [first, first + width) ----
 */

static void naive(uint64_t length, uint64_t first, uint64_t width, uint8_t *out)
{
    uint64_t start = first * TREE_LEAF;
    uint8_t pair[64];
    if (width > 1) {
        naive(length, first, width / 2, pair);
        naive(length, first + width / 2, width / 2, pair + 32);
        assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, pair, sizeof pair, out), 0);
    } else if (start >= length) {
        memset(out, 0, 32);
    } else {
        size_t n = length - start < TREE_LEAF ? (size_t)(length - start) : TREE_LEAF;
        assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, content + start, n, out), 0);
    }
}

static void naive_root(uint64_t length, uint8_t *out)
{
    uint64_t width = 1;
    while (width * TREE_LEAF < length)
        width *= 2;
    naive(length, 0, width, out);
}

/* ---- ours, fed in steps ---- */

static void hash_chunk(struct tree_chunk *c, uint64_t length, const uint8_t *data, uint64_t size,
                       size_t step, uint8_t *hash)
{
    tree_chunk_begin(c, length);
    for (uint64_t at = 0; at < size; at += step)
        tree_chunk_add(c, data + at, size - at < step ? (size_t)(size - at) : step);
    tree_chunk_end(c, hash);
}

static void root_by_chunks(const struct tree_engine *engine, uint64_t length, unsigned log2,
                           size_t step, uint8_t *root)
{
    struct tree_chunk c;
    struct tree_root r;
    uint8_t hash[TREE_HASH];
    assert_int_equal(tree_chunk_init(&c, engine, log2), ERR_OK);
    tree_root_begin(&r, engine, length, log2);
    for (uint64_t i = 0; i < tree_chunks(length, log2); i++) {
        hash_chunk(&c, length, content + (i << log2), tree_chunk_size(length, log2, i), step, hash);
        tree_root_add(&r, hash);
    }
    assert_true(tree_root_end(&r, root));
    tree_chunk_release(&c);
}

static int fd_of(uint64_t length)
{
    int fd = memfd_create("tree", MFD_CLOEXEC);
    assert_true(fd >= 0);
    for (uint64_t at = 0; at < length;) {
        ssize_t n = write(fd, content + at, length - at);
        assert_true(n > 0);
        at += (uint64_t)n;
    }
    return fd;
}

/* ---- tests ---- */

static void engines_agree_with_gnutls(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100};
    static uint8_t got[101 * TREE_HASH];
    uint8_t want[TREE_HASH];
    for (size_t e = 0; e < n_engines; e++)
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
            for (size_t size = 64; size <= TREE_LEAF; size += TREE_LEAF - 64) {
                memset(got, 0xa5, sizeof got);
                engines[e]->many(content, size, counts[c], got);
                for (size_t i = 0; i < counts[c]; i++) {
                    gnutls_hash_fast(GNUTLS_DIG_SHA256, content + i * size, size, want);
                    assert_memory_equal(got + i * TREE_HASH, want, TREE_HASH);
                }
                assert_int_equal(got[counts[c] * TREE_HASH], 0xa5);
            }
}

static void pairs_are_hashed_in_place(void **state)
{
    (void)state;
    static uint8_t nodes[100 * 64];
    uint8_t want[TREE_HASH];
    for (size_t e = 0; e < n_engines; e++)
        for (size_t count = 1; count <= 100; count++) {
            memcpy(nodes, content, sizeof nodes);
            engines[e]->many(nodes, 64, count, nodes);
            for (size_t i = 0; i < count; i++) {
                gnutls_hash_fast(GNUTLS_DIG_SHA256, content + i * 64, 64, want);
                assert_memory_equal(nodes + i * TREE_HASH, want, TREE_HASH);
            }
        }
}

static void one_takes_any_length(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 55, 56, 63, 64, 65, 119, 1000, TREE_LEAF - 1, TREE_LEAF};
    uint8_t got[TREE_HASH], want[TREE_HASH];
    for (size_t e = 0; e < n_engines; e++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            engines[e]->one(content + 3, sizes[i], got);
            gnutls_hash_fast(GNUTLS_DIG_SHA256, content + 3, sizes[i], want);
            assert_memory_equal(got, want, TREE_HASH);
        }
}

enum { THREADS = 4, ROUNDS = 400, LEAVES = 21 };

struct hashing {
    const struct tree_engine *engine;
    const uint8_t *data, *expect;
    unsigned wrong;
};

static void *hash_often(void *arg)
{
    struct hashing *h = arg;
    uint8_t out[LEAVES * TREE_HASH];
    for (unsigned i = 0; i < ROUNDS; i++) {
        h->engine->many(h->data, TREE_LEAF, LEAVES, out);
        h->wrong += memcmp(out, h->expect, sizeof out) != 0;
    }
    return NULL;
}

static void threads_hash_at_once(void **state)
{
    static uint8_t data[THREADS][LEAVES * TREE_LEAF], expect[THREADS][LEAVES * TREE_HASH];
    struct hashing h[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    for (unsigned t = 0; t < THREADS; t++) {
        for (size_t i = 0; i < sizeof data[t]; i++)
            data[t][i] = (uint8_t)(i * 31 + i / 251 + t);
        tree_engine_named("gnutls")->many(data[t], TREE_LEAF, LEAVES, expect[t]);
        h[t] = (struct hashing){tree_engine(false), data[t], expect[t], 0};
        assert_int_equal(pthread_create(&threads[t], NULL, hash_often, &h[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_int_equal(h[t].wrong, 0);
    }
}

static void engines_have_names(void **state)
{
    (void)state;
    assert_non_null(tree_engine(false));
    assert_string_equal(tree_engine(true)->name, "gnutls");
    assert_ptr_equal(tree_engine_named("gnutls"), tree_engine(true));
    assert_null(tree_engine_named("md5"));
    const struct tree_engine *mb = tree_engine_named("ipsec-mb");
    if (mb)
        assert_ptr_equal(tree_engine(false), mb);
}

static void known_values(void **state)
{
    (void)state;
    /* SHA-256 of "abc" (FIPS 180-2), and of 64 zero bytes: the node over two missing leaves. */
    static const uint8_t abc[TREE_HASH] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                           0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                           0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                           0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const uint8_t zeros[TREE_HASH] = {0xf5, 0xa5, 0xfd, 0x42, 0xd1, 0x6a, 0x20, 0x30,
                                             0x27, 0x98, 0xef, 0x6e, 0xd3, 0x09, 0x97, 0x9b,
                                             0x43, 0x00, 0x3d, 0x23, 0x20, 0xd9, 0xf0, 0xe8,
                                             0xea, 0x98, 0x31, 0xa9, 0x27, 0x59, 0xfb, 0x4b};
    static const uint8_t nothing[64];
    uint8_t hash[TREE_HASH];
    for (size_t e = 0; e < n_engines; e++) {
        struct tree_chunk c;
        assert_int_equal(tree_chunk_init(&c, engines[e], 20), ERR_OK);
        hash_chunk(&c, 3, (const uint8_t *)"abc", 3, TREE_LEAF, hash);
        assert_memory_equal(hash, abc, TREE_HASH);
        tree_chunk_release(&c);
        engines[e]->many(nothing, 64, 1, hash);
        assert_memory_equal(hash, zeros, TREE_HASH);
        root_by_chunks(engines[e], 0, 20, TREE_LEAF, hash);
        assert_memory_equal(hash, nothing, TREE_HASH);
    }
}

static void roots_equal_the_reference(void **state)
{
    (void)state;
    static const unsigned log2s[] = {14, 15, 17, 20, 21, 24};
    uint8_t want[TREE_HASH], got[TREE_HASH];
    for (size_t l = 0; l < N_LENGTHS; l++) {
        naive_root(lengths[l], want);
        for (size_t e = 0; e < n_engines; e++)
            for (size_t k = 0; k < sizeof log2s / sizeof log2s[0]; k++) {
                root_by_chunks(engines[e], lengths[l], log2s[k], 3 * TREE_LEAF, got);
                assert_memory_equal(got, want, TREE_HASH);
            }
    }
}

static void chunks_are_nodes_of_the_tree(void **state)
{
    (void)state;
    uint8_t want[TREE_HASH], got[TREE_HASH];
    struct tree_chunk c;
    assert_int_equal(tree_chunk_init(&c, engines[0], 20), ERR_OK);
    for (uint64_t i = 0; i < tree_chunks(MOST, 20); i++) {
        naive(MOST, i * 64, 64, want);
        hash_chunk(&c, MOST, content + (i << 20), tree_chunk_size(MOST, 20, i), TREE_LEAF, got);
        assert_memory_equal(got, want, TREE_HASH);
    }
    tree_chunk_release(&c);
}

static void a_chunk_that_overflows_matches_nothing(void **state)
{
    (void)state;
    uint8_t got[TREE_HASH], want[TREE_HASH], ff[TREE_HASH];
    struct tree_chunk c;
    memset(ff, 0xff, sizeof ff);
    assert_int_equal(tree_chunk_init(&c, engines[0], 15), ERR_OK);
    hash_chunk(&c, MOST, content, 3 * TREE_LEAF, TREE_LEAF, got); /* too much */
    assert_memory_equal(got, ff, TREE_HASH);
    hash_chunk(&c, MOST, content, 2 * TREE_LEAF + 1, 3 * TREE_LEAF, got); /* by one byte, at once */
    assert_memory_equal(got, ff, TREE_HASH);
    hash_chunk(&c, MOST, content, 2000, 1000, got); /* behind a short leaf */
    assert_memory_equal(got, ff, TREE_HASH);
    hash_chunk(&c, MOST, content, 2 * TREE_LEAF, TREE_LEAF, got); /* and then a good one */
    naive(MOST, 0, 2, want);
    assert_memory_equal(got, want, TREE_HASH);
    tree_chunk_release(&c);
}

static void a_root_wants_every_chunk_once(void **state)
{
    (void)state;
    static const uint8_t zero[TREE_HASH];
    uint8_t root[TREE_HASH];
    for (uint64_t chunks = 0; chunks < 20; chunks++)
        for (uint64_t given = 0; given < 25; given++) {
            struct tree_root r;
            tree_root_begin(&r, engines[0], chunks << 20, 20);
            for (uint64_t i = 0; i < given; i++)
                tree_root_add(&r, content);
            memset(root, 1, sizeof root);
            assert_int_equal(tree_root_end(&r, root), given == chunks);
            if (given != chunks)
                assert_memory_equal(root, zero, TREE_HASH);
        }
}

static void more_chunks_than_allowed_have_no_root(void **state)
{
    (void)state;
    uint8_t root[TREE_HASH];
    struct tree_root r;
    tree_root_begin(&r, engines[0], UINT64_MAX, 14);
    tree_root_add(&r, content);
    assert_false(tree_root_end(&r, root));
}

static void chunk_sizes(void **state)
{
    (void)state;
    const uint64_t tib = UINT64_C(1) << 40;
    assert_int_equal(tree_chunk_log2(0), 20);
    assert_int_equal(tree_chunk_log2(tib), 20);
    assert_int_equal(tree_chunk_log2(tib + 1), 21);
    assert_int_equal(tree_chunk_log2(tib << 8), 28);
    assert_int_equal(tree_chunk_log2((tib << 8) + 1), 0);
    assert_int_equal(tree_chunk_log2(UINT64_MAX), 0);
    assert_int_equal(tree_chunks(0, 20), 0);
    assert_int_equal(tree_chunks(1, 20), 1);
    assert_int_equal(tree_chunks((1 << 20) + 1, 20), 2);
    assert_int_equal(tree_chunks(UINT64_MAX, 28), UINT64_C(1) << 36);
    assert_int_equal(tree_chunk_size((1 << 20) + 5, 20, 0), 1 << 20);
    assert_int_equal(tree_chunk_size((1 << 20) + 5, 20, 1), 5);
    assert_int_equal(tree_chunk_size((1 << 20) + 5, 20, 2), 0);
    assert_int_equal(tree_chunk_size(2 << 20, 20, 1), 1 << 20);
    assert_int_equal(tree_chunk_size(0, 20, 0), 0);
}

/* ---- files ---- */

struct seen {
    uint64_t next;
    uint64_t done;
    unsigned calls;
    enum err answer;
};

static enum err see_hash(void *arg, uint64_t index, const uint8_t hash[static TREE_HASH])
{
    struct seen *s = arg;
    uint8_t want[TREE_HASH];
    assert_int_equal(index, s->next++);
    naive(MOST, index * 8, 8, want);
    assert_memory_equal(hash, want, TREE_HASH);
    return ERR_OK;
}

static enum err see_progress(void *arg, uint64_t done, uint64_t total)
{
    struct seen *s = arg;
    assert_true(done > s->done && done <= total);
    assert_int_equal(total, MOST);
    s->done = done;
    s->calls++;
    return s->answer;
}

static void files_have_the_same_root(void **state)
{
    (void)state;
    static const unsigned log2s[] = {14, 20, 22};
    uint8_t want[TREE_HASH], got[TREE_HASH];
    int fd = fd_of(MOST);
    for (size_t l = 0; l < N_LENGTHS; l++) {
        naive_root(lengths[l], want);
        for (size_t e = 0; e < n_engines; e++)
            for (size_t k = 0; k < sizeof log2s / sizeof log2s[0]; k++) {
                memset(got, 0x5a, sizeof got);
                assert_int_equal(tree_file(fd, "file", lengths[l], log2s[k], engines[e], NULL, got),
                                 ERR_OK);
                assert_memory_equal(got, want, TREE_HASH);
            }
    }
    close(fd);
}

static void a_visitor_sees_all(void **state)
{
    (void)state;
    uint8_t root[TREE_HASH];
    struct seen s = {0};
    struct tree_visitor v = {see_progress, see_hash, &s};
    int fd = fd_of(MOST);
    assert_int_equal(tree_file(fd, "file", MOST, 17, engines[0], &v, root), ERR_OK);
    assert_int_equal(s.next, tree_chunks(MOST, 17));
    assert_int_equal(s.done, MOST);
    s = (struct seen){.answer = ERR_TIMEOUT};
    assert_int_equal(tree_file(fd, "file", MOST, 17, engines[0], &v, root), ERR_TIMEOUT);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.next, 0);
    close(fd);
}

static void a_file_that_ends_early_has_changed(void **state)
{
    (void)state;
    uint8_t root[TREE_HASH];
    int fd = fd_of(100000);
    assert_int_equal(tree_file(fd, "file", 100001, 20, engines[0], NULL, root), ERR_CHANGED);
    assert_int_equal(tree_file(fd, "file", 100000, 20, engines[0], NULL, root), ERR_OK);
    /* by whole chunks, and behind a hole */
    assert_int_equal(tree_file(fd, "file", 300000, 14, engines[0], NULL, root), ERR_CHANGED);
    assert_int_equal(ftruncate(fd, 500000), 0);
    assert_int_equal(tree_file(fd, "file", 500000, 14, engines[0], NULL, root), ERR_OK);
    assert_int_equal(tree_file(fd, "file", 500001, 14, engines[0], NULL, root), ERR_CHANGED);
    assert_int_equal(tree_file(fd, "file", 900000, 14, engines[0], NULL, root), ERR_CHANGED);
    close(fd);
    assert_int_equal(tree_file(-1, "file", 1, 20, engines[0], NULL, root), ERR_IO);
}

static void zeros_have_the_hashes_of_zeros(void **state)
{
    static const uint64_t some[] = {1,      16383,  16384,  16385,          32768,  49153,
                                    131071, 131072, 131073, 5 * 131072 + 1, 1 << 20};
    (void)state;
    uint8_t *zeros = calloc(1, 1 << 20), want[TREE_HASH];
    struct tree_zeros z;
    struct tree_chunk c;
    for (unsigned log2 = 14; log2 <= 20; log2 += 3)
        for (size_t l = 0; l < sizeof some / sizeof some[0]; l++) {
            assert_int_equal(tree_chunk_init(&c, engines[0], log2), ERR_OK);
            tree_zeros_init(&z, &c, some[l], log2);
            assert_int_equal(z.chunks, tree_chunks(some[l], log2));
            for (uint64_t i = 0; i < z.chunks; i++) {
                hash_chunk(&c, some[l], zeros, tree_chunk_size(some[l], log2, i), 1 << 20, want);
                assert_memory_equal(tree_zeros_hash(&z, i), want, TREE_HASH);
            }
            tree_chunk_release(&c);
        }
    free(zeros);
}

/* The same bytes with holes and with zeros written. */
static void holes_are_zeros(void **state)
{
    enum { LENGTH = (5 << 17) + 12345 };
    (void)state;
    uint8_t *bytes = calloc(1, LENGTH), want[TREE_HASH], got[TREE_HASH];
    for (int with = 0; with < 8; with++) {
        int sparse = fd_of(0), dense = fd_of(0);
        memset(bytes, 0, LENGTH);
        assert_int_equal(ftruncate(sparse, LENGTH), 0);
        for (int i = 0; i < 3; i++)
            if (with >> i & 1) {
                uint64_t at = i < 2 ? (uint64_t)i * 300000 + 5 : LENGTH - 1;
                bytes[at] = 1;
                assert_int_equal(pwrite(sparse, bytes + at, 1, (off_t)at), 1);
            }
        assert_int_equal(pwrite(dense, bytes, LENGTH, 0), LENGTH);
        assert_int_equal(tree_file(dense, "dense", LENGTH, 17, engines[0], NULL, want), ERR_OK);
        assert_int_equal(tree_file(sparse, "sparse", LENGTH, 17, engines[0], NULL, got), ERR_OK);
        assert_memory_equal(got, want, TREE_HASH);
        close(sparse);
        close(dense);
    }
    free(bytes);
}

static void a_child_goes_on_with_the_engine(void **state)
{
    (void)state;
    uint8_t want[TREE_HASH], got[TREE_HASH];
    int status;
    naive_root(MOST, want);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        root_by_chunks(engines[n_engines - 1], MOST, 20, 1 << 20, got);
        _exit(memcmp(got, want, TREE_HASH) != 0);
    }
    root_by_chunks(engines[n_engines - 1], MOST, 20, 1 << 20, got);
    assert_memory_equal(got, want, TREE_HASH);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    (void)state;
    log_quiet(true);
    content = malloc(MOST);
    if (!content)
        return -1;
    uint32_t x = 2463534242;
    for (size_t i = 0; i < MOST; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = (uint8_t)(x >> 24);
    }
    engines[n_engines++] = tree_engine_named("gnutls");
    if (tree_engine_named("ipsec-mb"))
        engines[n_engines++] = tree_engine_named("ipsec-mb");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(content);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_agree_with_gnutls),
        cmocka_unit_test(pairs_are_hashed_in_place),
        cmocka_unit_test(one_takes_any_length),
        cmocka_unit_test(threads_hash_at_once),
        cmocka_unit_test(engines_have_names),
        cmocka_unit_test(known_values),
        cmocka_unit_test(roots_equal_the_reference),
        cmocka_unit_test(chunks_are_nodes_of_the_tree),
        cmocka_unit_test(a_chunk_that_overflows_matches_nothing),
        cmocka_unit_test(a_root_wants_every_chunk_once),
        cmocka_unit_test(more_chunks_than_allowed_have_no_root),
        cmocka_unit_test(chunk_sizes),
        cmocka_unit_test(files_have_the_same_root),
        cmocka_unit_test(a_visitor_sees_all),
        cmocka_unit_test(a_file_that_ends_early_has_changed),
        cmocka_unit_test(zeros_have_the_hashes_of_zeros),
        cmocka_unit_test(holes_are_zeros),
        cmocka_unit_test(a_child_goes_on_with_the_engine),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
