/* SPDX-License-Identifier: ISC */
/* Roots of contents of one chunk, for which a stored tree's file each would be many times too
 * much: PATH_SERVICE/trees/<inode / SLOTS in hex>.small holds a slot for each of SLOTS inodes, at
 * SLOT_SIZE * (inode modulo SLOTS): magic, stamp, root, CRC-32. A slot that does not speak of the
 * file's present state counts as not there, so none is ever removed. */
#include "fs_internal.h"

#include "log.h"
#include "wire.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { SLOTS = 1024, SLOT_SIZE = 96 };

static const uint8_t magic[4] = "cst1";

/* Where the fields lie. */
enum { AT_STAMP = sizeof magic, AT_ROOT = AT_STAMP + 4 * 8 + 2 * 4, AT_SUM = AT_ROOT + TREE_HASH };

static void encode(const struct stat *st, const uint8_t root[static TREE_HASH],
                   uint8_t slot[static SLOT_SIZE])
{
    struct part_stamp s;
    part_stamp_of(st, &s);
    memset(slot, 0, SLOT_SIZE);
    memcpy(slot, magic, sizeof magic);
    wire_store_u64(slot + AT_STAMP, s.ino);
    wire_store_u64(slot + AT_STAMP + 8, s.size);
    wire_store_u64(slot + AT_STAMP + 16, (uint64_t)s.mtime_s);
    wire_store_u64(slot + AT_STAMP + 24, (uint64_t)s.ctime_s);
    wire_store_u32(slot + AT_STAMP + 32, s.mtime_ns);
    wire_store_u32(slot + AT_STAMP + 36, s.ctime_ns);
    memcpy(slot + AT_ROOT, root, TREE_HASH);
    wire_store_u32(slot + AT_SUM, (uint32_t)crc32(0, slot, AT_SUM));
}

void fs_slots_init(struct fs_slots *s, int trees)
{
    *s = (struct fs_slots){.trees = trees, .fd = -1};
}

void fs_slots_release(struct fs_slots *s)
{
    fs_close(&s->fd);
    fs_close(&s->trees);
}

/* Opens the file of inode's slot; it stays open for its neighbours. */
static bool open_slots(struct fs_slots *s, uint64_t inode, bool make)
{
    char name[FS_TREE_NAME + sizeof ".small"], number[FS_TREE_NAME];
    struct stat st;
    if (s->trees < 0)
        return false;
    if (s->fd >= 0 && s->group == inode / SLOTS)
        return true;
    fs_close(&s->fd);
    s->group = inode / SLOTS;
    fs_tree_name(s->group, number);
    snprintf(name, sizeof name, "%s.small", number);
    s->fd = fs_open_regular(s->trees, name, O_RDWR, &st);
    if (s->fd < 0 && !make && (errno == EACCES || errno == EROFS))
        s->fd = fs_open_regular(s->trees, name, O_RDONLY, &st);
    if (s->fd < 0 && errno == ENOENT && make) {
        s->fd = openat(s->trees, name, O_RDWR | O_CREAT | FS_LEAF, 0600);
        if (s->fd >= 0 && fstat(s->fd, &st) < 0)
            fs_close(&s->fd);
    }
    if (s->fd >= 0 && (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid()))
        fs_close(&s->fd);
    s->dev = st.st_dev;
    return s->fd >= 0;
}

enum fs_tree fs_slot_find(struct fs_slots *s, const struct stat *st, uint8_t root[static TREE_HASH])
{
    static const uint8_t empty[SLOT_SIZE];
    uint8_t is[SLOT_SIZE], want[SLOT_SIZE];
    off_t at = (off_t)(st->st_ino % SLOTS * SLOT_SIZE);
    if (!open_slots(s, st->st_ino, false) || s->dev != st->st_dev)
        return FS_TREE_NONE;
    ssize_t n = pread(s->fd, is, SLOT_SIZE, at);
    if (n == 0 || (n == SLOT_SIZE && memcmp(is, empty, SLOT_SIZE) == 0))
        return FS_TREE_NONE;
    if (n != SLOT_SIZE || memcmp(is, magic, sizeof magic) != 0 ||
        wire_load_u32(is + AT_SUM) != (uint32_t)crc32(0, is, AT_SUM))
        return FS_TREE_DAMAGED;
    encode(st, is + AT_ROOT, want);
    if (memcmp(is, want, SLOT_SIZE) != 0)
        return FS_TREE_STALE;
    memcpy(root, is + AT_ROOT, TREE_HASH);
    return FS_TREE_VALID;
}

bool fs_slot_read(struct fs_slots *s, const struct stat *st, uint8_t root[static TREE_HASH])
{
    return fs_slot_find(s, st, root) == FS_TREE_VALID;
}

bool fs_slot_write(struct fs_slots *s, const struct stat *st, const uint8_t root[static TREE_HASH])
{
    uint8_t slot[SLOT_SIZE];
    if (!open_slots(s, st->st_ino, true) || s->dev != st->st_dev)
        return false;
    encode(st, root, slot);
    return pwrite(s->fd, slot, SLOT_SIZE, (off_t)(st->st_ino % SLOTS * SLOT_SIZE)) == SLOT_SIZE;
}

void fs_slot_describe(struct fs_slots *s, const struct stat *st, struct fs_info *info)
{
    if (s->trees >= 0 && S_ISREG(st->st_mode))
        info->has_root = fs_one_chunk((uint64_t)st->st_size)
                             ? fs_slot_read(s, st, info->root)
                             : fs_tree_root(s->trees, st, info->root);
}
