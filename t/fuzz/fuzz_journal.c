/* SPDX-License-Identifier: ISC */
/* A part's journal, as a crash or another hand may have left it, beside data that may be anything. What is read of it is
 * written and read back the same; and no slot that the receiver goes on with says of the data what the data does not
 * say. The first byte: 1 gives the fields magic, length and check sum. */
#include "fuzz.h"

#include "part_internal.h"
#include <unistd.h>
#include <zlib.h>

#define MAGIC "consignP"
enum { FRAMED = 1, LOG2 = 14, LENGTH_MAX = 3 << LOG2, SLOTS = 8 };

/* The beginning of a journal: fields as they are, or in their frame. */
static void put_header(struct buf *b, struct slice fields, bool framed)
{
    if (framed) {
        buf_put(b, MAGIC, sizeof MAGIC - 1);
        wire_put_u16(b, PART_VERSION);
        wire_put_u32(b, (uint32_t)fields.n);
    }
    buf_put(b, fields.p, fields.n);
    if (framed)
        wire_put_u32(b, (uint32_t)crc32(0, b->data, (uInt)b->len));
    while (b->len < PART_SLOTS)
        wire_put_u8(b, 0);
    b->len = PART_SLOTS;
}

static void check_header(const struct part_header *h)
{
    struct part_header again, third;
    uint8_t one[PART_SLOTS] = {0}, other[PART_SLOTS] = {0};
    int fd = fuzz_memory("", 0);
    FUZZ_MUST(h->length <= INT64_MAX && tree_chunks(h->length, h->chunk_log2) <= TREE_CHUNKS_MAX);
    FUZZ_MUST(part_header_write(fd, h) == ERR_OK && part_header_read(fd, &again) == ERR_OK);
    FUZZ_MUST(pread(fd, one, sizeof one, 0) > 0);
    FUZZ_MUST(part_header_write(fd, &again) == ERR_OK && part_header_read(fd, &third) == ERR_OK);
    FUZZ_MUST(pread(fd, other, sizeof other, 0) > 0 && memcmp(one, other, sizeof one) == 0);
    FUZZ_MUST(strcmp(h->path, again.path) == 0 && strcmp(h->owner, again.owner) == 0);
    FUZZ_MUST(h->length == again.length && h->stamped == again.stamped &&
              h->complete == again.complete);
    FUZZ_MUST(part_stamp_eq(&h->stamp, &again.stamp) &&
              memcmp(h->root, again.root, TREE_HASH) == 0);
    close(fd);
}

/* Every slot is empty or the hash of the chunk that is there. */
static void check_slots(const struct part *p, uint64_t length)
{
    static const uint8_t empty[TREE_HASH];
    uint8_t slot[TREE_HASH], hash[TREE_HASH];
    for (uint64_t i = 0; i < tree_chunks(length, LOG2); i++) {
        FUZZ_MUST(part_slots_read(p->journal, i, 1, slot) == ERR_OK);
        if (memcmp(slot, empty, TREE_HASH) != 0)
            FUZZ_MUST(tree_file_chunk(p->data, "data", length, LOG2, i, tree_engine(true), hash) ==
                          ERR_OK &&
                      memcmp(slot, hash, TREE_HASH) == 0);
    }
}

static void check_begin(int data, int journal, uint64_t length)
{
    struct part p;
    enum err e = part_begin(&p, data, journal, length, LOG2, false, tree_engine(true), NULL, NULL);
    FUZZ_MUST(e == ERR_OK);
    FUZZ_MUST(p.header.length == length && !p.header.stamped && !p.header.complete);
    FUZZ_MUST(p.chunks == tree_chunks(length, LOG2) && p.have <= p.chunks && p.settled == 0);
    check_slots(&p, length);
    part_release(&p);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct wire_rd r = wire_read(data, n);
    bool framed = wire_get_u8(&r) & FRAMED;
    uint64_t length = wire_get_u32(&r) % (LENGTH_MAX + 1);
    uint32_t size = wire_get_u32(&r) % (LENGTH_MAX + 100);
    struct slice fields = wire_get_str(&r, PART_SLOTS - 18),
                 rest = wire_get_tail(&r, SLOTS * TREE_HASH);
    struct part_header h;
    struct buf journal;
    if (r.bad)
        return;
    buf_init(&journal, PART_SLOTS + SLOTS * TREE_HASH);
    put_header(&journal, fields, framed);
    buf_put(&journal, rest.p, rest.n);
    int fd = fuzz_memory(journal.data, journal.len), content = fuzz_memory(rest.p, rest.n);
    FUZZ_MUST(ftruncate(content, size) == 0);
    if (part_header_read(fd, &h) == ERR_OK) {
        size_t size_at = sizeof MAGIC - 1 + 2,
               head = size_at + 4 + wire_load_u32(journal.data + size_at);
        FUZZ_MUST(wire_load_u32(journal.data + head) ==
                  (uint32_t)crc32(0, journal.data, (uInt)head));
        check_header(&h);
    }
    check_begin(content, fd, length);
    buf_release(&journal);
}

/* The fields of a header that was written. */
static void seed(const struct part_header *h, uint8_t way)
{
    uint8_t raw[PART_SLOTS];
    struct buf b;
    int fd = fuzz_memory("", 0);
    FUZZ_MUST(part_header_write(fd, h) == ERR_OK);
    ssize_t n = pread(fd, raw, sizeof raw, 0);
    FUZZ_MUST(n > 18);
    buf_init(&b, 1 << 16);
    wire_put_u8(&b, way);
    wire_put_u32(&b, 40000);
    wire_put_u32(&b, 33000);
    wire_put_str(&b, way & FRAMED ? slice_of(raw + 14, (size_t)n - 18) : slice_of(raw, (size_t)n),
                 UINT16_MAX);
    for (int i = 0; i < 100; i++)
        wire_put_u8(&b, (uint8_t)i);
    fuzz_seed(b.data, b.len);
    buf_release(&b);
    close(fd);
}

void fuzz_seeds(void)
{
    struct part_header h = {.length = 40000,
                            .chunk_log2 = LOG2,
                            .created = 1800000000,
                            .stamped = true,
                            .path = "/a/b",
                            .owner = "alice"};
    seed(&h, 0);
    seed(&h, FRAMED);
    h.complete = true;
    h.length = UINT64_C(1) << 40;
    h.chunk_log2 = 20;
    seed(&h, FRAMED);
}
