/* SPDX-License-Identifier: ISC */
/* A transfer as its sender sees it, whatever the receiver says: what goes out is well-formed, covers each chunk once and
 * in order, has the source's bytes, and passes over no chunk whose hash the receiver has not named. The first byte: 1:
 * the receiver asks for ranges, 2: compressed, 4: its frames come in pieces. */
#include "fuzz.h"

#include "../unit/lib/msg_fuzz.h"
#include "deflate.h"
#include "transport.h"
#include "xfer.h"
#include <fcntl.h>
#include <unistd.h>

enum {
    WANTED = 1,
    PACKED = 2,
    PIECES = 4,
    LOG2 = 14,
    CHUNKS = 6,
    LENGTH = ((CHUNKS - 1) << LOG2) + 777,
    ID = 7
};

static uint8_t content[LENGTH], hashes[CHUNKS][TREE_HASH];
static struct fs_source source = {.fd = -1};

/* A file with its stored tree; chunk 2 is zeros, chunk 4 like chunk 1. */
static void make_world(void)
{
    struct part_header h = {
        .length = LENGTH, .chunk_log2 = LOG2, .stamped = true, .complete = true};
    struct tree_chunk c;
    if (source.fd >= 0)
        return;
    for (size_t i = 0; i < LENGTH; i++)
        content[i] = (uint8_t)(i * 7 + i / 259);
    memset(content + (2 << LOG2), 0, 1 << LOG2);
    memcpy(content + (4 << LOG2), content + (1 << LOG2), 1 << LOG2);
    source.fd = fuzz_memory(content, LENGTH);
    source.tree = fuzz_memory("", 0);
    FUZZ_MUST(fstat(source.fd, &source.st) == 0 &&
              tree_chunk_init(&c, tree_engine(true), LOG2) == ERR_OK);
    for (size_t i = 0; i < CHUNKS; i++) {
        tree_chunk_begin(&c, LENGTH);
        tree_chunk_add(&c, content + (i << LOG2), tree_chunk_size(LENGTH, LOG2, i));
        tree_chunk_end(&c, hashes[i]);
    }
    tree_chunk_release(&c);
    FUZZ_MUST(part_header_write(source.tree, &h) == ERR_OK);
    FUZZ_MUST(pwrite(source.tree, hashes, sizeof hashes, PART_SLOTS) == sizeof hashes);
}

/* ---- what went out ---- */

struct model {
    uint8_t way;
    struct slice said; /* by the receiver */
    uint64_t next, at; /* the chunk that comes next, and the bytes of it that came */
    bool offered, ended;
};

/* Whether the bytes of a hash are anywhere in what the receiver said. */
static bool was_said(const struct model *m, uint64_t chunk)
{
    return chunk < CHUNKS && m->said.n > 0 &&
           memmem(m->said.p, m->said.n, hashes[chunk], TREE_HASH);
}

static void check_data(struct model *m, const struct frame *f)
{
    static uint8_t plain[1 << LOG2];
    struct msg_data d;
    FUZZ_MUST(CHAN_GET(f, data, &d) && d.index == m->next && d.offset == m->at);
    struct slice bytes = d.bytes;
    if (d.kind == MSG_KIND_DEFLATE) {
        struct deflate unpacked = {0};
        struct wire_rd r = wire_read(d.bytes.p, d.bytes.n);
        uint32_t n = wire_get_u32(&r);
        bytes = wire_get_tail(&r, MSG_DATA_MAX);
        FUZZ_MUST(m->way & PACKED && n <= sizeof plain);
        FUZZ_MUST(deflate_init(&unpacked, deflate_engine()) == ERR_OK);
        FUZZ_MUST(deflate_unpack(&unpacked, bytes.p, bytes.n, plain, n));
        deflate_release(&unpacked);
        bytes = slice_of(plain, n);
    }
    uint64_t at = (d.index << LOG2) + d.offset;
    FUZZ_MUST(at + bytes.n <= LENGTH && memcmp(bytes.p, content + at, bytes.n) == 0);
    m->at += bytes.n;
}

static void cover(struct model *m, uint64_t first, uint64_t count)
{
    FUZZ_MUST(first == m->next && m->at == 0 && count > 0 && count <= CHUNKS - first);
    m->next += count;
}

static void check_run(struct model *m, const struct frame *f)
{
    struct msg_hole h;
    struct msg_keep k;
    struct msg_copy c;
    struct msg_skip s;
    if (f->type == MSG_HOLE) {
        FUZZ_MUST(CHAN_GET(f, hole, &h) && h.first == 2 && h.count == 1);
        cover(m, h.first, h.count);
    } else if (f->type == MSG_KEEP) {
        FUZZ_MUST(CHAN_GET(f, keep, &k));
        cover(m, k.first, k.count);
        for (uint64_t i = 0; i < k.count; i++)
            FUZZ_MUST(was_said(m, k.first + i));
    } else if (f->type == MSG_COPY) {
        FUZZ_MUST(CHAN_GET(f, copy, &c));
        cover(m, c.index, c.count);
        for (uint64_t i = 0; i < c.count; i++)
            FUZZ_MUST(was_said(m, c.index + i));
    } else {
        FUZZ_MUST(m->way & WANTED && CHAN_GET(f, skip, &s));
        cover(m, s.first, s.count);
    }
}

static void check_frame(struct model *m, const struct frame *f)
{
    struct msg_chunk c;
    struct msg_commit done;
    FUZZ_MUST(!m->ended || f->type == MSG_ERROR);
    FUZZ_MUST(m->offered || f->type == MSG_OFFER || f->type == MSG_ABORT || f->type == MSG_ERROR);
    switch (f->type) {
    case MSG_OFFER:
        FUZZ_MUST(!m->offered);
        m->offered = true;
        break;
    case MSG_DATA:
        check_data(m, f);
        break;
    case MSG_CHUNK:
        FUZZ_MUST(CHAN_GET(f, chunk, &c) && c.index == m->next &&
                  m->at == tree_chunk_size(LENGTH, LOG2, c.index));
        FUZZ_MUST(memcmp(c.hash, hashes[c.index], TREE_HASH) == 0);
        m->at = 0;
        m->next++;
        break;
    case MSG_COMMIT:
        FUZZ_MUST(CHAN_GET(f, commit, &done) && done.length == LENGTH);
        FUZZ_MUST(m->at == 0 && (m->next == CHUNKS || m->way & WANTED));
        m->ended = true;
        break;
    case MSG_ABORT:
        m->ended = true;
        break;
    case MSG_PROGRESS:
    case MSG_ERROR:
        break;
    default:
        check_run(m, f);
    }
}

static void check_sent(struct model *m, struct slice sent)
{
    while (sent.n > 0) {
        FUZZ_MUST(sent.n >= 5);
        uint32_t n = wire_load_u32(sent.p);
        FUZZ_MUST(n > 0 && n <= sent.n - 4 && msg_fuzz_one(sent.p + 4, n));
        check_frame(m, &(struct frame){sent.p[4], sent.p + 5, n - 1});
        sent = slice_of(sent.p + 4 + n, sent.n - 4 - n);
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const struct chan_limits limits = {1000, 1};
    struct chan c;
    struct xfer_result result;
    if (n == 0)
        return;
    make_world();
    struct model m = {.way = data[0], .said = slice_of(data + 1, n - 1)};
    const struct xfer x = {.chan = &c,
                           .id = ID,
                           .name = "x",
                           .engine = tree_engine(true),
                           .compress = data[0] & PACKED ? XFER_COMPRESS_ON : XFER_COMPRESS_OFF,
                           .shared = data[0] & WANTED};
    FUZZ_MUST(chan_init(&c, transport_new(m.said, data[0] & PIECES ? 11 : 0), &limits) == ERR_OK);
    chan_allow_data(&c);
    enum err e = xfer_send(&x, &source, &result);
    check_sent(&m, transport_sent(c.tls));
    FUZZ_MUST(e != ERR_OK || m.ended);
    FUZZ_MUST(fuzz_shows(result.reason, strlen(result.reason), false));
    chan_release(&c);
}

/* ---- seeds ---- */

static void seed(uint8_t way, uint64_t have, uint64_t old)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    wire_put_u8(&b, way);
    TRANSPORT_PUT(&b, ready, READY, .id = ID, .have = have, .old = old, .old_length = old << LOG2);
    if (old)
        TRANSPORT_PUT(&b, old, OLD, .id = ID,
                      .hashes = slice_of(hashes[CHUNKS - 1 - old], old * TREE_HASH));
    if (have)
        TRANSPORT_PUT(&b, have, HAVE, .id = ID, .hashes = slice_of(hashes, have * TREE_HASH));
    if (way & WANTED) {
        TRANSPORT_PUT(&b, want, WANT, .id = ID, .first = 1, .count = 2);
        TRANSPORT_PUT(&b, want, WANT, .id = ID, .first = 5, .count = 1);
        TRANSPORT_PUT(&b, want, WANT, .id = ID, .first = 0, .count = 0);
    }
    TRANSPORT_PUT(&b, progress, PROGRESS, .id = ID, .phase = MSG_PHASE_HASHING, .done = 1,
                  .total = 2);
    TRANSPORT_PUT(&b, done, DONE, .id = ID, .status = way & PIECES ? ERR_NOSPACE : ERR_OK);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    make_world();
    for (uint8_t way = 0; way < 8; way++) {
        seed(way, 0, 0);
        seed(way, 3, 0);
        seed(way, 0, 3);
        seed(way, 2, 4);
    }
}
