/* SPDX-License-Identifier: ISC */
/* A transfer as its receiver sees it, whatever the sender says. All chunks have one hash here, so that the sender's word
 * for them always holds; then the content that is committed is the one that a plain reading of the same frames gives,
 * over the part and the old version that there were. The first byte: 1: there is an old version, 2: a part,
 * 4: frames come in pieces. */
#include "fuzz.h"

#include "deflate.h"
#include "transport.h"
#include "xfer.h"
#include <unistd.h>

enum {
    OLD = 1,
    PART = 2,
    PIECES = 4,
    LENGTH_MAX = 1 << 20,
    ID = 7,
    OLD_SIZE = 50000,
    PART_SIZE = 40000
};

/* ---- one hash for all ---- */

static void hash_many(const uint8_t *data, size_t size, size_t count, uint8_t *out)
{
    (void)data, (void)size;
    memset(out, 0x77, count * TREE_HASH);
}

static void hash_one(const uint8_t *data, size_t n, uint8_t out[static TREE_HASH])
{
    (void)data, (void)n;
    memset(out, 0x77, TREE_HASH);
}

static const struct tree_engine engine = {.name = "one", .many = hash_many, .one = hash_one};

/* ---- what the frames say ---- */

struct model {
    struct msg_offer offer;
    uint8_t content[LENGTH_MAX];
    bool told[LENGTH_MAX]; /* bytes that a frame was about */
    uint8_t old[OLD_SIZE];
};

static uint64_t chunk_at(const struct model *m, uint64_t index)
{
    return index << m->offer.chunk_log2;
}

static void put(struct model *m, uint64_t at, const uint8_t *p, uint64_t n)
{
    if (at > m->offer.length || n > m->offer.length - at)
        return;
    memset(m->told + at, 1, n);
    if (p)
        memcpy(m->content + at, p, n);
    else
        memset(m->content + at, 0, n);
}

static uint64_t run(const struct model *m, uint64_t first, uint64_t count)
{
    uint64_t from = chunk_at(m, first), to = chunk_at(m, first + count);
    return (to < m->offer.length ? to : m->offer.length) - from;
}

static void take_data(struct model *m, const struct frame *f)
{
    struct msg_data d;
    if (!CHAN_GET(f, data, &d) || d.index >= tree_chunks(m->offer.length, m->offer.chunk_log2))
        return;
    uint64_t at = chunk_at(m, d.index) + d.offset;
    if (d.kind == MSG_KIND_PLAIN) {
        put(m, at, d.bytes.p, d.bytes.n);
        return;
    }
    struct deflate unpacked = {0};
    struct wire_rd r = wire_read(d.bytes.p, d.bytes.n);
    uint64_t size = wire_get_u32(&r);
    struct slice stream = wire_get_tail(&r, MSG_DATA_MAX);
    if (size > m->offer.length || at > m->offer.length - size)
        return;
    FUZZ_MUST(deflate_init(&unpacked, deflate_engine()) == ERR_OK);
    (void)!deflate_unpack(&unpacked, stream.p, stream.n, m->content + at, size);
    memset(m->told + at, 1, size);
    deflate_release(&unpacked);
}

static void take(struct model *m, const struct frame *f)
{
    struct msg_hole h;
    struct msg_copy c;
    struct msg_keep k;
    uint64_t chunks = tree_chunks(m->offer.length, m->offer.chunk_log2);
    if (f->type == MSG_DATA)
        take_data(m, f);
    else if (f->type == MSG_HOLE && CHAN_GET(f, hole, &h) && h.first < chunks &&
             h.count <= chunks - h.first)
        put(m, chunk_at(m, h.first), NULL, run(m, h.first, h.count));
    else if (f->type == MSG_COPY && CHAN_GET(f, copy, &c) && c.index < chunks &&
             c.count <= chunks - c.index && c.from < 4 &&
             chunk_at(m, c.from) + run(m, c.index, c.count) <= OLD_SIZE)
        put(m, chunk_at(m, c.index), m->old + chunk_at(m, c.from), run(m, c.index, c.count));
    else if (f->type == MSG_KEEP && CHAN_GET(f, keep, &k) && k.first < chunks &&
             k.count <= chunks - k.first)
        memset(m->told + chunk_at(m, k.first), 1, run(m, k.first, k.count));
}

/* Reads the frames up to the COMMIT; a content that is too long for the model is left alone. */
static bool read_frames(struct model *m, struct slice left)
{
    bool offered = false;
    while (left.n >= 5) {
        uint32_t n = wire_load_u32(left.p);
        if (n == 0 || n > left.n - 4)
            return offered;
        const struct frame f = {left.p[4], left.p + 5, n - 1};
        left = slice_of(left.p + 4 + n, left.n - 4 - n);
        if (f.type == MSG_COMMIT)
            return offered;
        if (offered)
            take(m, &f);
        else if (f.type == MSG_OFFER)
            offered = CHAN_GET(&f, offer, &m->offer) &&
                      m->offer.chunk_log2 >= TREE_CHUNK_LOG2_MIN &&
                      m->offer.chunk_log2 <= TREE_CHUNK_LOG2_MAX;
    }
    return offered;
}

/* ---- the sink ---- */

struct sink {
    uint8_t way;
    int data; /* a second descriptor of what was received */
    bool committed;
};

static uint8_t pattern(size_t i, unsigned salt)
{
    return (uint8_t)(i * 7 + i / 251 + salt);
}

static int make_content(size_t n, unsigned salt)
{
    static uint8_t bytes[OLD_SIZE];
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(i, salt);
    return fuzz_memory(bytes, n);
}

static enum err open_part(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    struct sink *s = arg;
    (void)sparse;
    *out = (struct fs_part){.data = s->way & PART ? make_content(PART_SIZE, 3) : fuzz_memory("", 0),
                            .journal = fuzz_memory("", 0)};
    if (length > LENGTH_MAX) {
        close(out->data);
        close(out->journal);
        return ERR_NOSPACE;
    }
    if (s->way & OLD) {
        out->has_old = true;
        out->old = (struct fs_source){.fd = make_content(OLD_SIZE, 5), .tree = -1};
        FUZZ_MUST(fstat(out->old.fd, &out->old.st) == 0);
    }
    s->data = dup(out->data);
    return ERR_OK;
}

static enum err commit(void *arg, const struct fs_part *part, const struct msg_offer *offer)
{
    struct sink *s = arg;
    (void)part, (void)offer;
    s->committed = true;
    return ERR_OK;
}

/* ---- */

static void check_content(const struct sink *s, struct slice frames)
{
    static struct model m;
    static uint8_t got[LENGTH_MAX + 1];
    memset(m.content, 0, sizeof m.content);
    memset(m.told, 0, sizeof m.told);
    for (size_t i = 0; i < OLD_SIZE; i++) {
        m.old[i] = pattern(i, 5);
        if (s->way & PART && i < PART_SIZE)
            m.content[i] = pattern(i, 3);
    }
    FUZZ_MUST(read_frames(&m, frames) && m.offer.length <= LENGTH_MAX);
    ssize_t n = pread(s->data, got, sizeof got, 0);
    FUZZ_MUST(n >= 0 && (uint64_t)n == m.offer.length);
    FUZZ_MUST(!memchr(m.told, 0, (size_t)n));
    FUZZ_MUST(memcmp(got, m.content, (size_t)n) == 0);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const struct chan_limits limits = {1000, 1};
    struct chan c;
    struct xfer_result result;
    if (n < 2)
        return;
    struct slice frames = slice_of(data + 1, n - 1);
    struct sink s = {.way = data[0], .data = -1};
    const struct xfer x = {.chan = &c, .id = ID, .name = "x", .engine = &engine};
    const struct xfer_sink sink = {.open = open_part, .commit = commit, .arg = &s};
    FUZZ_MUST(chan_init(&c, transport_new(frames, data[0] & PIECES ? 11 : 0), &limits) == ERR_OK);
    chan_allow_data(&c);
    enum err e = xfer_receive(&x, &sink, &result);
    FUZZ_MUST(e != ERR_OK || s.committed);
    if (s.committed)
        check_content(&s, frames);
    if (s.data >= 0)
        close(s.data);
    chan_release(&c);
}

/* ---- seeds ---- */

static void put_hash_of(struct buf *b, uint8_t type, uint64_t number)
{
    uint8_t hash[TREE_HASH];
    memset(hash, 0x77, sizeof hash);
    wire_put_u32(b, 1 + 4 + 8 + TREE_HASH);
    wire_put_u8(b, type);
    wire_put_u32(b, ID);
    wire_put_u64(b, number);
    wire_put_hash(b, hash);
}

static void seed(uint8_t way)
{
    static const uint8_t bytes[1 << 14] = {1, 2, 3};
    const uint64_t length = 3 * sizeof bytes + 100;
    struct buf b;
    buf_init(&b, 1 << 20);
    wire_put_u8(&b, way);
    TRANSPORT_PUT(&b, offer, OFFER, .id = ID, .length = length, .chunk_log2 = 14);
    if (way & PART)
        TRANSPORT_PUT(&b, keep, KEEP, .id = ID, .first = 0, .count = 1);
    else
        TRANSPORT_PUT(&b, hole, HOLE, .id = ID, .first = 0, .count = 1);
    if (way & OLD) {
        TRANSPORT_PUT(&b, copy, COPY, .id = ID, .index = 1, .from = 2, .count = 1);
    } else {
        TRANSPORT_PUT(&b, data, DATA, .id = ID, .index = 1, .bytes = slice_of(bytes, sizeof bytes));
        put_hash_of(&b, MSG_CHUNK, 1);
    }
    TRANSPORT_PUT(&b, hole, HOLE, .id = ID, .first = 2, .count = 1);
    TRANSPORT_PUT(&b, data, DATA, .id = ID, .index = 3, .bytes = slice_of(bytes, 100));
    put_hash_of(&b, MSG_CHUNK, 3);
    put_hash_of(&b, MSG_COMMIT, length);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
}

void fuzz_seeds(void)
{
    for (uint8_t way = 0; way < 8; way++)
        seed(way);
}
