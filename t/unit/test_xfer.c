/* SPDX-License-Identifier: ISC */
/* TLS, channel and transfer between two processes over a socket: frames, refusals, whole and resumed files,
 * compressed and not. */
#include "test_xfer.h"
#include "chan.h"
#include "deflate.h"
#include "log.h"
#include "match.h"
#include "patience.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_end(int pid, int status)
{
    assert_int_equal(pair_end(pid), status);
}

/* ---- frames ---- */

static int echo_ping(struct chan *c)
{
    struct frame f;
    struct msg_ping m;
    enum err e;
    while ((e = chan_recv(c, &f, 10000)) == ERR_OK)
        if (f.type != MSG_PING || !CHAN_GET(&f, ping, &m) ||
            CHAN_SEND(c, done, DONE, .id = m.id) != ERR_OK)
            return 1;
    return e == ERR_CONN && !log_reason()[0] ? 0 : 2;
}

static void frames_go_there_and_back(void **unused)
{
    struct chan c;
    struct frame f;
    struct msg_done m;
    (void)unused;
    int pid = pair_start(echo_ping, &c);
    for (uint32_t id = 1; id <= 2000; id++)
        assert_int_equal(CHAN_SEND(&c, ping, PING, .id = id), ERR_OK);
    for (uint32_t id = 1; id <= 2000; id++) {
        assert_int_equal(chan_recv(&c, &f, 10000), ERR_OK);
        assert_true(f.type == MSG_DONE && CHAN_GET(&f, done, &m) && m.id == id);
    }
    assert_int_equal(chan_recv(&c, &f, 1), ERR_TIMEOUT);
    chan_bye(&c);
    chan_release(&c);
    expect_end(pid, 0);
}

static int refuse_long(struct chan *c)
{
    struct frame f;
    c->frame_max = MSG_FRAME_MAX_EARLY;
    return chan_recv(c, &f, 10000) == ERR_PROTO && c->failed ? 0 : 1;
}

static void a_frame_over_the_limit_is_refused_by_its_length(void **unused)
{
    struct chan c;
    (void)unused;
    int pid = pair_start(refuse_long, &c);
    log_quiet(true);
    size_t at = chan_begin(&c, MSG_PING);
    assert_int_equal(chan_end(&c, at), ERR_OK);
    wire_store_u32(c.out.data + at, MSG_FRAME_MAX_EARLY + 1);
    assert_int_equal(chan_flush(&c), ERR_OK);
    expect_end(pid, 0);
    log_quiet(false);
    chan_release(&c);
}

static int cut(struct chan *c)
{
    (void)c;
    return 0;
}

static void a_cut_is_not_an_orderly_end(void **unused)
{
    struct chan c;
    struct frame f;
    (void)unused;
    int pid = pair_start(cut, &c);
    expect_end(pid, 0);
    log_quiet(true);
    log_clear_reason();
    assert_int_equal(chan_recv(&c, &f, 10000), ERR_CONN);
    assert_true(log_reason()[0]);
    log_quiet(false);
    chan_release(&c);
}

/* ---- patience ---- */

static int send_ignorable(struct chan *c)
{
    enum err e;
    do {
        e = chan_end(c, chan_begin(c, MSG_IGNORABLE));
    } while (e == ERR_OK && chan_flush(c) == ERR_OK);
    return 0;
}

static void what_may_be_ignored_is_not_heard_of(void **unused)
{
    struct chan c;
    struct frame f;
    struct patience p;
    (void)unused;
    int pid = pair_start(send_ignorable, &c);
    assert_int_equal(chan_recv(&c, &f, 10000), ERR_OK);
    patience_begin(&p, &c);
    p.silent_ms = 100;
    assert_int_equal(patience_recv(&p, &f), ERR_TIMEOUT);
    assert_false(c.failed);
    chan_release(&c);
    assert_true(pair_end(pid) >= 0);
}

static int send_progress(struct chan *c)
{
    struct frame f;
    for (uint64_t done = 0; done < 3; done++)
        if (CHAN_SEND(c, progress, PROGRESS, .phase = 1, .done = done / 2) != ERR_OK)
            return 1;
    return chan_recv(c, &f, 10000) == ERR_CONN ? 0 : 2;
}

/* As if the last that came anew had come long ago. */
static void progress_must_go_on(void **unused)
{
    struct chan c;
    struct frame f;
    struct patience p;
    (void)unused;
    int pid = pair_start(send_progress, &c);
    patience_begin(&p, &c);
    assert_int_equal(patience_recv(&p, &f), ERR_OK);
    p.moved_ms -= PATIENCE_MS;
    assert_int_equal(patience_recv(&p, &f), ERR_TIMEOUT);
    assert_int_equal(patience_recv(&p, &f), ERR_OK);
    assert_int_equal(p.done, 1);
    chan_bye(&c);
    chan_release(&c);
    expect_end(pid, 0);
}

/* ---- transfers ---- */

/* A file of length bytes that says where each of its bytes stands. */
static void make_source(uint64_t length, struct fs_source *s)
{
    char name[96];
    snprintf(name, sizeof name, "%s/source", folder);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    for (uint64_t i = 0; i < length; i++)
        putc_unlocked((int)(i * 2654435761u >> 13 & 0xff), f);
    assert_int_equal(fclose(f), 0);
    *s = (struct fs_source){.fd = open(name, O_RDONLY | O_CLOEXEC), .tree = -1};
    assert_true(s->fd >= 0);
    assert_int_equal(fstat(s->fd, &s->st), 0);
}

static enum xfer_compress compress; /* of the sender */
static uint64_t wire;               /* bytes that the last transfer sent */

static enum err transfer(const struct fs_source *s, struct xfer_result *r, int end)
{
    struct chan c;
    int pid = pair_start(receive, &c);
    struct xfer x = {
        .chan = &c, .id = 9, .name = "source", .engine = tree_engine(false), .compress = compress};
    enum err e = xfer_send(&x, s, r);
    wire = tls_bytes_out(c.tls);
    chan_release(&c);
    expect_end(pid, end);
    return e;
}

static void expect_there(const struct fs_source *s, const struct xfer_result *r)
{
    struct fs_info info;
    assert_int_equal(fs_stat(&files, "/there", &info), ERR_OK);
    assert_int_equal(info.size, (uint64_t)s->st.st_size);
    assert_true(info.has_root);
    assert_memory_equal(info.root, r->root, TREE_HASH);
}

static void whole_files_of_many_lengths(void **unused)
{
    static const uint64_t lengths[] = {0,       1,       16383,   16384,  16385,
                                       1048575, 1048576, 1048577, 5242887};
    (void)unused;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct fs_source s;
        struct xfer_result r;
        make_source(lengths[i], &s);
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.moved + r.kept + r.copied + r.zeros, lengths[i]);
        expect_there(&s, &r);
        close(s.fd);
    }
}

/* With a thread what was taken from the channel may die unwritten with its process. */
static void a_thread_gives_the_same(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    threads = true;
    make_source((40 << 20) + 12345, &s);
    die_after = 30;
    log_quiet(true);
    assert_int_not_equal(transfer(&s, &r, 7), ERR_OK);
    log_quiet(false);
    die_after = 0;
    assert_int_equal(transfer(&s, &r, 0), ERR_OK);
    assert_int_equal(r.kept + r.moved + r.copied, (40 << 20) + 12345);
    assert_true(r.kept <= 30 << 20);
    expect_there(&s, &r);
    close(s.fd);
    threads = false;
}

/* A stored tree of length bytes that no content has. */
static int false_tree(uint64_t length)
{
    struct part_header h = {.length = length, .chunk_log2 = TREE_CHUNK_LOG2, .complete = true};
    uint8_t slot[TREE_HASH];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(part_header_write(fd, &h), ERR_OK);
    memset(slot, 7, sizeof slot);
    for (uint64_t i = 0; i < tree_chunks(length, TREE_CHUNK_LOG2); i++)
        assert_int_equal(pwrite(fd, slot, TREE_HASH, (off_t)(PART_SLOTS + i * TREE_HASH)),
                         TREE_HASH);
    return fd;
}

static void content_that_is_not_its_hash_is_refused(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    make_source(20 << 20, &s);
    s.tree = false_tree(20 << 20);
    for (int i = 0; i < 2; i++) {
        threads = i;
        log_quiet(true);
        assert_int_equal(transfer(&s, &r, 1), ERR_CORRUPT);
        log_quiet(false);
        assert_non_null(strstr(r.reason, "chunk 0 "));
    }
    threads = false;
    assert_int_equal(fs_discard(&files, "/there"), ERR_OK);
    close(s.tree);
    close(s.fd);
}

static void a_receiver_that_dies_is_resumed(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    struct fs_info info;
    (void)unused;
    make_source(20 << 20, &s);
    assert_int_equal(fs_remove(&files, "/there", false), ERR_OK);
    die_after = 12;
    log_quiet(true);
    assert_int_not_equal(transfer(&s, &r, 7), ERR_OK);
    assert_int_equal(fs_stat(&files, "/there", &info), ERR_NOENT);
    log_quiet(false);
    die_after = 0;
    assert_int_equal(transfer(&s, &r, 0), ERR_OK);
    assert_int_equal(r.kept, 12 << 20);
    assert_int_equal(r.moved, 8 << 20);
    expect_there(&s, &r);
    close(s.fd);
}

/* A file of text, or of text and random bytes in turn, MiB by MiB. */
static void make_text(uint64_t length, bool mixed, struct fs_source *s)
{
    char name[96];
    uint32_t seed = 5;
    snprintf(name, sizeof name, "%s/source", folder);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    for (uint64_t at = 0; at < length; at++) {
        seed = seed * 1664525 + 1013904223;
        bool text = !mixed || at >> 20 & 1;
        putc_unlocked(text ? "etaoin shrdlu\n"[seed >> 24 & 7] : (int)(seed >> 24), f);
    }
    assert_int_equal(fclose(f), 0);
    *s = (struct fs_source){.fd = open(name, O_RDONLY | O_CLOEXEC), .tree = -1};
    assert_true(s->fd >= 0);
    assert_int_equal(fstat(s->fd, &s->st), 0);
}

static void compressed_content_is_the_same(void **unused)
{
    static const uint64_t lengths[] = {300, 16385, 1048577, (12 << 20) + 4321};
    (void)unused;
    for (int mode = XFER_COMPRESS_OFF; mode <= XFER_COMPRESS_ON; mode++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            for (int mixed = 0; mixed < 2; mixed++) {
                struct fs_source s;
                struct xfer_result r;
                uint64_t n = lengths[i];
                compress = (enum xfer_compress)mode;
                threads = mixed;
                make_text(n, mixed, &s);
                assert_int_equal(fs_remove(&files, "/there", false), ERR_OK);
                assert_int_equal(transfer(&s, &r, 0), ERR_OK);
                assert_int_equal(r.moved, n);
                expect_there(&s, &r);
                if (mode == XFER_COMPRESS_OFF)
                    assert_true(wire > n);
                else if (mode == XFER_COMPRESS_ON && n > 16384 && !mixed)
                    assert_true(wire < n / 2 + 10000);
                close(s.fd);
            }
    compress = XFER_COMPRESS_OFF;
    threads = false;
}

static void a_compressed_transfer_is_resumed(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    make_text(20 << 20, true, &s);
    assert_int_equal(fs_remove(&files, "/there", false), ERR_OK);
    compress = XFER_COMPRESS_ON;
    die_after = 12;
    log_quiet(true);
    assert_int_not_equal(transfer(&s, &r, 7), ERR_OK);
    log_quiet(false);
    die_after = 0;
    assert_int_equal(transfer(&s, &r, 0), ERR_OK);
    assert_int_equal(r.kept, 12 << 20);
    assert_int_equal(r.moved, 8 << 20);
    expect_there(&s, &r);
    compress = XFER_COMPRESS_OFF;
    close(s.fd);
}

/* ---- pieces that are not what they say ---- */

/* Offers length bytes, sends one piece for them, and returns the receiver's verdict. */
static enum err verdict(uint64_t length, uint8_t kind, struct slice bytes)
{
    struct chan c;
    struct frame f;
    struct msg_done done = {0};
    int pid = pair_start(receive, &c);
    struct msg_data m = {9, 0, 0, kind, bytes};
    assert_int_equal(CHAN_SEND(&c, offer, OFFER, .id = 9, .length = length, .chunk_log2 = 22),
                     ERR_OK);
    assert_int_equal(chan_send_data(&c, &m), ERR_OK);
    assert_int_equal(CHAN_SEND(&c, abort, ABORT, .id = 9, .status = ERR_CHANGED), ERR_OK);
    do
        assert_int_equal(chan_recv(&c, &f, 10000), ERR_OK);
    while (f.type != MSG_DONE);
    assert_true(CHAN_GET(&f, done, &done));
    chan_release(&c);
    expect_end(pid, 1);
    return err_from_wire(done.status);
}

/* A piece of n bytes that claims to give claim. */
static enum err claimed(uint64_t length, uint32_t claim, const uint8_t *bytes, size_t n)
{
    static uint8_t piece[MSG_DATA_MAX];
    wire_store_u32(piece, claim);
    memcpy(piece + 4, bytes, n);
    return verdict(length, MSG_KIND_DEFLATE, slice_of(piece, n + 4));
}

static void pieces_that_do_not_decompress_are_refused(void **unused)
{
    static const uint8_t zeros[40000];
    static uint8_t good[40000], long_one[40000], noise[16384];
    const uint64_t big = 5 << 20;
    struct deflate d;
    (void)unused;
    assert_int_equal(deflate_init(&d, deflate_engine()), ERR_OK);
    size_t n = deflate_pack(&d, zeros, 32768, good, sizeof good);
    memcpy(long_one, good, n);
    assert_in_range(n, 1, 1000);
    for (uint32_t i = 0, seed = 1; i < 16384; i++, seed = seed * 1664525 + 1013904223)
        noise[i] = (uint8_t)(seed >> 24);
    size_t grown = deflate_pack(&d, noise, 16384, long_one + 1000, sizeof long_one - 1000);
    assert_in_range(grown, 16384, 17000);
    deflate_release(&d);
    log_quiet(true);
    assert_int_equal(claimed(big, 32768, good, n), ERR_CHANGED); /* nothing wrong with this one */
    assert_int_equal(claimed(big, 32768, good, n - 1), ERR_PROTO);
    assert_int_equal(claimed(big, 32768, long_one, n + 1), ERR_PROTO);
    assert_int_equal(claimed(big, 16384, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, 49152, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, 32767, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, (1 << 20) + 16384, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, UINT32_MAX, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, 0, good, n), ERR_PROTO);
    assert_int_equal(claimed(big, 32768, good, 0), ERR_PROTO);
    assert_int_equal(claimed(big, 32768, zeros, 1000), ERR_PROTO);
    assert_int_equal(claimed(20000, 32768, good, n), ERR_PROTO); /* more than the content */
    /* A piece that did not shrink. */
    assert_int_equal(claimed(big, 16384, long_one + 1000, grown), ERR_PROTO);
    assert_int_equal(verdict(big, MSG_KIND_DEFLATE, slice_of(zeros, 3)), ERR_PROTO);
    assert_int_equal(verdict(big, MSG_KIND_DEFLATE, slice_of(zeros, 0)), ERR_PROTO);
    assert_int_equal(verdict(big, MSG_KIND_DEFLATE + 1, slice_of(zeros, 16384)), ERR_PROTO);
    assert_int_equal(verdict(big, MSG_KIND_PLAIN, slice_of(zeros, 0)), ERR_PROTO);
    log_quiet(false);
}

static int end_in_words(struct chan *c)
{
    struct frame f;
    if (chan_recv(c, &f, 10000) != ERR_OK || f.type != MSG_OFFER)
        return 1;
    chan_reject(c, ERR_LIMIT, "the server is stopping");
    return 0;
}

static void an_end_in_words_keeps_its_status(void **unused)
{
    struct chan c;
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    make_source(3 << 20, &s);
    int pid = pair_start(end_in_words, &c);
    struct xfer x = {.chan = &c, .id = 9, .name = "source", .engine = tree_engine(false)};
    log_quiet(true);
    assert_int_equal(xfer_send(&x, &s, &r), ERR_LIMIT);
    log_quiet(false);
    assert_non_null(strstr(log_reason(), "the server is stopping"));
    assert_true(c.failed);
    chan_release(&c);
    expect_end(pid, 0);
    close(s.fd);
}

static void a_source_that_changed_is_not_committed(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    struct fs_info before, after;
    (void)unused;
    assert_int_equal(fs_stat(&files, "/there", &before), ERR_OK);
    make_source(3 << 20, &s);
    s.st.st_mtim.tv_nsec ^= 1; /* as if it had been written after it was looked at */
    log_quiet(true);
    assert_int_equal(transfer(&s, &r, 1), ERR_CHANGED);
    log_quiet(false);
    assert_int_equal(fs_stat(&files, "/there", &after), ERR_OK);
    assert_memory_equal(before.root, after.root, TREE_HASH);
    close(s.fd);
}

/* A file of this length with a stored tree, open, and then without its name. */
static void open_stored(uint64_t length, struct fs_source *s)
{
    struct xfer_result r;
    make_source(length, s);
    assert_int_equal(transfer(s, &r, 0), ERR_OK);
    close(s->fd);
    assert_int_equal(fs_open_source(&files, "/there", s), ERR_OK);
    assert_true(s->tree >= 0 || s->has_root);
    assert_int_equal(fs_remove(&files, "/there", false), ERR_OK);
}

static void close_stored(struct fs_source *s)
{
    close(s->fd);
    if (s->tree >= 0)
        close(s->tree);
}

/* The time of change tells of the name's end, too, but the content is proven. */
static void a_source_that_lost_its_name_is_sent(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    for (uint64_t length = 1 << 20; length <= 3 << 20; length += 2 << 20) {
        open_stored(length, &s);
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.moved, length);
        expect_there(&s, &r);
        close_stored(&s);
    }
}

/* Without a stored tree nothing but the time of change shows that it was not written. */
static void a_source_without_a_tree_must_keep_its_time_of_change(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    open_stored(3 << 20, &s);
    int tree = s.tree;
    s.tree = -1;
    log_quiet(true);
    assert_int_equal(transfer(&s, &r, 1), ERR_CHANGED);
    log_quiet(false);
    s.tree = tree;
    close_stored(&s);
}

/* A writer may put everything back but the time of change: then the chunk's hash tells. */
static void a_stored_source_that_was_written_is_refused(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    uint8_t byte;
    char self[64];
    (void)unused;
    open_stored(3 << 20, &s);
    snprintf(self, sizeof self, "/proc/self/fd/%d", s.fd);
    int fd = open(self, O_RDWR | O_CLOEXEC);
    const struct timespec times[2] = {s.st.st_atim, s.st.st_mtim};
    assert_true(fd >= 0 && pread(fd, &byte, 1, 2 << 20) == 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 2 << 20), 1);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    log_quiet(true);
    assert_int_equal(transfer(&s, &r, 1), ERR_CORRUPT);
    log_quiet(false);
    close_stored(&s);
}

/* ---- an old version ---- */

/* The source with bytes [at, at + n) changed, by a writer of its own. */
static void change_source(struct fs_source *s, uint64_t at, size_t n)
{
    char name[96];
    uint8_t *bytes = malloc(n);
    snprintf(name, sizeof name, "%s/source", folder);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && bytes);
    assert_int_equal(pread(fd, bytes, n, (off_t)at), n);
    for (size_t i = 0; i < n; i++)
        bytes[i] ^= (uint8_t)(1 + at / 1000);
    assert_int_equal(pwrite(fd, bytes, n, (off_t)at), n);
    assert_int_equal(fstat(fd, &s->st), 0);
    close(fd);
    free(bytes);
}

static void cut_source(struct fs_source *s, uint64_t length)
{
    char name[96];
    snprintf(name, sizeof name, "%s/source", folder);
    assert_int_equal(truncate(name, (off_t)length), 0);
    assert_int_equal(fstat(s->fd, &s->st), 0);
}

static void send_changed(const struct fs_source *s, uint64_t moved)
{
    struct xfer_result r;
    assert_int_equal(transfer(s, &r, 0), ERR_OK);
    assert_int_equal(r.moved, moved);
    assert_int_equal(r.moved + r.copied, (uint64_t)s->st.st_size);
    expect_there(s, &r);
}

static void only_changed_chunks_are_sent(void **unused)
{
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    for (int i = 0; i < 2; i++) {
        threads = i;
        make_source((20 << 20) + 777, &s);
        whole = true;
        assert_int_equal(transfer(&s, &r, 0), ERR_OK);
        assert_int_equal(r.moved, (20 << 20) + 777);
        whole = false;
        send_changed(&s, 0);
        change_source(&s, 7 << 20, 1);
        send_changed(&s, 1 << 20);
        change_source(&s, (3 << 20) - 1, 2);
        send_changed(&s, 2 << 20);
        change_source(&s, 20 << 20, 777);
        send_changed(&s, 777);
        cut_source(&s, (10 << 20) + 5);
        send_changed(&s, 5);
        close(s.fd);
    }
    threads = false;
}

/* A sender without a receiver of its own: OFFER is sent, all hashes are heard. */
static uint64_t offer_by_hand(struct chan *c, uint64_t length, uint8_t chunk_log2)
{
    struct frame f;
    struct msg_ready ready;
    struct msg_old m;
    assert_int_equal(
        CHAN_SEND(c, offer, OFFER, .id = 9, .length = length, .chunk_log2 = chunk_log2), ERR_OK);
    do
        assert_int_equal(chan_recv(c, &f, 10000), ERR_OK);
    while (f.type == MSG_PROGRESS);
    assert_true(f.type == MSG_READY && CHAN_GET(&f, ready, &ready));
    for (uint64_t told = 0; told < ready.old; told += m.hashes.n / TREE_HASH) {
        assert_int_equal(chan_recv(c, &f, 10000), ERR_OK);
        assert_true(f.type == MSG_OLD && CHAN_GET(&f, old, &m) && m.first == told);
    }
    return ready.old;
}

enum { SMALL_LOG2 = 14, SMALL = 1 << SMALL_LOG2 };

struct false_copy {
    uint64_t good; /* chunks copied to their own place before, in runs of 512 at most */
    uint64_t index, from, count;
};

static void refuses(uint64_t length, const struct false_copy *x)
{
    struct chan c;
    struct frame f;
    struct msg_done done;
    int pid = pair_start(receive, &c);
    (void)offer_by_hand(&c, length, SMALL_LOG2);
    for (uint64_t at = 0; at < x->good; at += 512)
        assert_int_equal(CHAN_SEND(&c, copy, COPY, .id = 9, .index = at, .from = at,
                                   .count = x->good - at < 512 ? x->good - at : 512),
                         ERR_OK);
    assert_int_equal(
        CHAN_SEND(&c, copy, COPY, .id = 9, .index = x->index, .from = x->from, .count = x->count),
        ERR_OK);
    do /* what was copied before is there now */
        assert_int_equal(chan_recv(&c, &f, 10000), ERR_OK);
    while (f.type == MSG_HAVE);
    assert_true(f.type == MSG_DONE && CHAN_GET(&f, done, &done));
    assert_int_equal(done.status, ERR_PROTO);
    assert_int_equal(CHAN_SEND(&c, abort, ABORT, .id = 9, .status = ERR_PROTO), ERR_OK);
    assert_int_equal(chan_flush(&c), ERR_OK);
    expect_end(pid, 1);
    chan_release(&c);
}

static void copies_that_can_not_be_are_refused(void **unused)
{
    enum { OLD = 20 << 6, NEW = OLD + 100 }; /* chunks: all whole but the last ones */
    static const struct false_copy copies[] = {
        {0, 0, 0, 0},         /* nothing */
        {0, 0, 0, 513},       /* over a window's end */
        {100, 100, 100, 413}, /* likewise */
        {0, 1, 1, 1},         /* not the next */
        {3, 2, 2, 1},         /* twice */
        {3, 2, 2, 2},         /* overlapping */
        {0, 0, OLD + 1, 1},   /* of what the old version does not have */
        {0, 0, OLD, 2},       /* in part */
        {0, 0, UINT64_MAX, 2}, {0, UINT64_MAX, 0, 1},
        {0, 0, 1, UINT64_MAX}, {0, 0, OLD, 1},     /* its last chunk is short */
        {0, 0, OLD - 1, 2},    {OLD, OLD, OLD, 1}, /* and here there must be a whole one */
    };
    struct fs_source s;
    struct xfer_result r;
    struct fs_info before, after;
    (void)unused;
    make_source((uint64_t)OLD * SMALL + 99, &s);
    assert_int_equal(transfer(&s, &r, 0), ERR_OK);
    assert_int_equal(fs_stat(&files, "/there", &before), ERR_OK);
    log_quiet(true);
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++)
        refuses((uint64_t)NEW * SMALL + 98, &copies[i]);
    /* the new content's last chunk, of another size than the old one's */
    refuses((uint64_t)OLD * SMALL + 98, &(struct false_copy){OLD, OLD, OLD, 1});
    refuses((uint64_t)OLD * SMALL + 98, &(struct false_copy){OLD, OLD, 5, 1});
    /* nothing was offered */
    whole = true;
    refuses((uint64_t)OLD * SMALL + 99, &(struct false_copy){0, 0, 0, 1});
    whole = false;
    log_quiet(false);
    assert_int_equal(fs_stat(&files, "/there", &after), ERR_OK);
    assert_memory_equal(before.root, after.root, TREE_HASH);
    assert_int_equal(fs_discard(&files, "/there"), ERR_OK);
    close(s.fd);
}

/* What a receiver says instead of the truth. */
static struct false_old {
    uint64_t old, old_length;
    struct {
        uint64_t first;
        size_t bytes; /* of hashes; 0: no more frames */
    } frames[4];
    enum err status;
} lie;

static int tell_lie(struct chan *c)
{
    static const uint8_t hashes[XFER_WINDOW * TREE_HASH];
    struct frame f;
    if (chan_recv(c, &f, 10000) != ERR_OK || f.type != MSG_OFFER ||
        CHAN_SEND(c, ready, READY, .id = 9, .old = lie.old, .old_length = lie.old_length) != ERR_OK)
        return 1;
    for (size_t i = 0; i < 4 && lie.frames[i].bytes; i++)
        if (CHAN_SEND(c, old, OLD, .id = 9, .first = lie.frames[i].first,
                      .hashes = slice_of(hashes, lie.frames[i].bytes)) != ERR_OK)
            return 1;
    /* It is told, by ERROR or by ABORT. */
    enum err e;
    while ((e = chan_recv(c, &f, 10000)) == ERR_OK)
        if (f.type == MSG_ABORT)
            return CHAN_SEND(c, done, DONE, .id = 9, .status = ERR_PROTO) == ERR_OK &&
                           chan_flush(c) == ERR_OK
                       ? 0
                       : 3;
    return e == ERR_PROTO ? 0 : 2;
}

static void hashes_out_of_order_are_refused(void **unused)
{
    enum { FULL = XFER_WINDOW * TREE_HASH };
    static const struct false_old lies[] = {
        {MATCH_MAX + 1, (uint64_t)1 << 40, {{0}}, ERR_PROTO},
        {2, 1 << 20, {{0}}, ERR_PROTO},
        {1, UINT64_MAX, {{0}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{512, FULL}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{1, FULL}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{0, FULL}, {0, FULL}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{0, FULL}, {512, FULL}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{0, FULL - 32}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{0, FULL - 1}}, ERR_PROTO},
        {600, (uint64_t)600 << 20, {{0, 16}}, ERR_PROTO},
        {0, 0, {{0, 32}}, ERR_PROTO},
        {2, 2 << 20, {{0, 64}, {2, 32}}, ERR_PROTO},
        /* never all */
        {600, (uint64_t)600 << 20, {{0, FULL}}, ERR_TIMEOUT},
    };
    struct fs_source s;
    struct xfer_result r;
    (void)unused;
    make_source(5 << 20, &s);
    log_quiet(true);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct chan c;
        lie = lies[i];
        int pid = pair_start(tell_lie, &c);
        c.limits.stall_ms = 500;
        struct xfer x = {.chan = &c, .id = 9, .name = "source", .engine = tree_engine(false)};
        assert_int_equal(xfer_send(&x, &s, &r), lie.status);
        chan_release(&c);
        expect_end(pid, 0);
    }
    log_quiet(false);
    close(s.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_there_and_back),
        cmocka_unit_test(a_frame_over_the_limit_is_refused_by_its_length),
        cmocka_unit_test(a_cut_is_not_an_orderly_end),
        cmocka_unit_test(what_may_be_ignored_is_not_heard_of),
        cmocka_unit_test(progress_must_go_on),
        cmocka_unit_test(whole_files_of_many_lengths),
        cmocka_unit_test(a_receiver_that_dies_is_resumed),
        cmocka_unit_test(a_thread_gives_the_same),
        cmocka_unit_test(content_that_is_not_its_hash_is_refused),
        cmocka_unit_test(compressed_content_is_the_same),
        cmocka_unit_test(a_compressed_transfer_is_resumed),
        cmocka_unit_test(pieces_that_do_not_decompress_are_refused),
        cmocka_unit_test(only_changed_chunks_are_sent),
        cmocka_unit_test(copies_that_can_not_be_are_refused),
        cmocka_unit_test(hashes_out_of_order_are_refused),
        cmocka_unit_test(an_end_in_words_keeps_its_status),
        cmocka_unit_test(a_source_that_changed_is_not_committed),
        cmocka_unit_test(a_source_that_lost_its_name_is_sent),
        cmocka_unit_test(a_source_without_a_tree_must_keep_its_time_of_change),
        cmocka_unit_test(a_stored_source_that_was_written_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
