/* SPDX-License-Identifier: ISC */
/* Stored trees and slots: hashes are taken for a file only where magic, check sum and stamp say that they are this
 * file's as it is now; and what is stored is found. The first byte puts right what would be luck to hit. */
#include "fuzz.h"

#include "fs_internal.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BIG = 1, MAGIC = 2, STAMP = 4, SUM = 8 };
enum { SLOT = 96, SLOTS = 1024, STAMP_AT = 4, STAMP_SIZE = 40, ROOT_AT = 44, SUM_AT = 76 };

static int trees = -1;
static struct stat small, big;

static int make(const char *name, off_t size, struct stat *st)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_MUST(fd >= 0 && ftruncate(fd, size) == 0 && fstat(fd, st) == 0);
    return fd;
}

static void make_world(void)
{
    char path[4200];
    if (trees >= 0)
        return;
    close(make("small", 100, &small));
    close(make("big", 5 << 20, &big));
    snprintf(path, sizeof path, "%s/trees", fuzz_folder());
    FUZZ_MUST(mkdir(path, 0700) == 0);
    trees = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_MUST(trees >= 0);
}

static void put(const char *name, const void *p, size_t n, off_t at)
{
    int fd = openat(trees, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_MUST(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, p, n, at) == (ssize_t)n);
    close(fd);
}

/* ---- slots ---- */

static void put_stamp(uint8_t *to, const struct stat *st)
{
    wire_store_u64(to, st->st_ino);
    wire_store_u64(to + 8, (uint64_t)st->st_size);
    wire_store_u64(to + 16, (uint64_t)st->st_mtim.tv_sec);
    wire_store_u64(to + 24, (uint64_t)st->st_ctim.tv_sec);
    wire_store_u32(to + 32, (uint32_t)st->st_mtim.tv_nsec);
    wire_store_u32(to + 36, (uint32_t)st->st_ctim.tv_nsec);
}

/* What is to be found in the slot. */
static enum fs_tree expected(const uint8_t slot[static SLOT], size_t n)
{
    static const uint8_t empty[SLOT];
    uint8_t stamp[STAMP_SIZE];
    put_stamp(stamp, &small);
    if (n == 0 || (n == SLOT && memcmp(slot, empty, SLOT) == 0))
        return FS_TREE_NONE;
    if (n < SLOT || memcmp(slot, "cst1", 4) != 0 ||
        wire_load_u32(slot + SUM_AT) != crc32(0, slot, SUM_AT))
        return FS_TREE_DAMAGED;
    return memcmp(slot + STAMP_AT, stamp, STAMP_SIZE) == 0 &&
                   memcmp(slot + SUM_AT + 4, empty, SLOT - SUM_AT - 4) == 0
               ? FS_TREE_VALID
               : FS_TREE_STALE;
}

static void check_slot(uint8_t way, struct slice in)
{
    char name[64];
    uint8_t slot[SLOT] = {0}, root[TREE_HASH];
    struct fs_slots slots;
    size_t n = in.n < SLOT ? in.n : SLOT;
    if (n)
        memcpy(slot, in.p, n);
    if (way & MAGIC)
        memcpy(slot, "cst1", 4);
    if (way & STAMP)
        put_stamp(slot + STAMP_AT, &small);
    if (way & SUM)
        wire_store_u32(slot + SUM_AT, (uint32_t)crc32(0, slot, SUM_AT));
    snprintf(name, sizeof name, "%llx.small", (unsigned long long)small.st_ino / SLOTS);
    put(name, slot, n, (off_t)(small.st_ino % SLOTS * SLOT));
    fs_slots_init(&slots, dup(trees));
    enum fs_tree found = fs_slot_find(&slots, &small, root);
    FUZZ_MUST(found == expected(slot, n));
    FUZZ_MUST(found != FS_TREE_VALID || memcmp(root, slot + ROOT_AT, TREE_HASH) == 0);
    FUZZ_MUST(fs_slot_write(&slots, &small, slot + ROOT_AT) && fs_slot_read(&slots, &small, root));
    FUZZ_MUST(memcmp(root, slot + ROOT_AT, TREE_HASH) == 0);
    fs_slots_release(&slots);
}

/* ---- trees ---- */

static void check_tree(uint8_t way, struct slice in)
{
    char name[FS_TREE_NAME];
    struct part_header h;
    struct part_stamp stamp;
    struct fs_slots slots;
    struct buf b;
    int fd;
    buf_init(&b, PART_SLOTS);
    if (way & MAGIC) {
        buf_put(&b, "consignP", 8);
        wire_put_u16(&b, PART_VERSION);
        wire_put_u32(&b, (uint32_t)in.n);
    }
    buf_put(&b, in.p, in.n);
    if (way & STAMP && b.len >= 14 + 18 + STAMP_SIZE) {
        /* In a header the times come one by one. */
        wire_store_u64(b.data + 14 + 18, big.st_ino);
        wire_store_u64(b.data + 14 + 26, (uint64_t)big.st_size);
        wire_store_u64(b.data + 14 + 34, (uint64_t)big.st_mtim.tv_sec);
        wire_store_u32(b.data + 14 + 42, (uint32_t)big.st_mtim.tv_nsec);
        wire_store_u64(b.data + 14 + 46, (uint64_t)big.st_ctim.tv_sec);
        wire_store_u32(b.data + 14 + 54, (uint32_t)big.st_ctim.tv_nsec);
    }
    if (way & SUM)
        wire_put_u32(&b, (uint32_t)crc32(0, b.data, (uInt)b.len));
    fs_tree_name(big.st_ino, name);
    put(name, b.data, b.len, 0);
    fs_slots_init(&slots, dup(trees));
    if (fs_tree_find(&slots, &big, &h, &fd) == FS_TREE_VALID) {
        part_stamp_of(&big, &stamp);
        FUZZ_MUST((way & (MAGIC | SUM)) == (MAGIC | SUM) || memcmp(b.data, "consignP", 8) == 0);
        FUZZ_MUST(h.complete && h.stamped && h.length == (uint64_t)big.st_size &&
                  part_stamp_eq(&h.stamp, &stamp));
        fs_close(&fd);
    }
    fs_slots_release(&slots);
    buf_release(&b);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (n == 0 || n > 6000)
        return;
    make_world();
    if (data[0] & BIG)
        check_tree(data[0], slice_of(data + 1, n - 1));
    else
        check_slot(data[0], slice_of(data + 1, n - 1));
}

void fuzz_seeds(void)
{
    struct part_header h = {.length = 5 << 20,
                            .chunk_log2 = TREE_CHUNK_LOG2,
                            .stamped = true,
                            .complete = true,
                            .path = "/a"};
    uint8_t raw[1 + PART_SLOTS] = {0};
    for (uint8_t way = 0; way <= (MAGIC | STAMP | SUM); way = (uint8_t)(way + 2)) {
        raw[0] = way;
        fuzz_seed(raw, 1 + SLOT);
    }
    int fd = fuzz_memory("", 0);
    FUZZ_MUST(part_header_write(fd, &h) == ERR_OK);
    ssize_t n = pread(fd, raw + 1, PART_SLOTS, 0);
    FUZZ_MUST(n > 18);
    raw[0] = BIG;
    fuzz_seed(raw, 1 + (size_t)n);
    memmove(raw + 1, raw + 15, (size_t)n);
    raw[0] = BIG | MAGIC | STAMP | SUM;
    fuzz_seed(raw, 1 + (size_t)n - 18);
    close(fd);
}
