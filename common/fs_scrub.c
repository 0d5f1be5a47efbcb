/* SPDX-License-Identifier: ISC */
#include "fs_scrub.h"

#include "fs_internal.h"
#include "log.h"
#include "walk.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20, SLOTS = 512, CATCH_UP_US = 1000000 };

/* The inodes that have a stored tree, sorted; the highest bit marks those whose file was seen. */
#define SEEN (UINT64_C(1) << 63)
struct known {
    uint64_t *list;
    size_t n, cap;
};

struct scrubbing {
    const struct fs_scrub *how;
    struct fs_scrub_counts *counts;
    const struct fs_root *root;
    struct fs_slots stored; /* trees, and roots of contents of one chunk */
    struct known known;
    uint8_t *piece;
    uint8_t *slots;
    int64_t due_us; /* when the next bytes may be read */
};

/* One file. */
struct subject {
    char path[PATH_MAX_BYTES + 1]; /* virtual */
    int fd, tree;
    struct part_header h;
    struct tree_chunk hasher;
    uint64_t bad; /* chunks */
};

/* ---- which trees there are ---- */

static enum err remember(void *arg, uint64_t inode)
{
    struct known *k = arg;
    if (k->n == k->cap) {
        size_t cap = k->cap ? 2 * k->cap : 256;
        uint64_t *grown = realloc(k->list, cap * sizeof *grown);
        if (!grown)
            return log_fail(ERR_INTERNAL, "out of memory for a list of stored trees");
        k->list = grown;
        k->cap = cap;
    }
    k->list[k->n++] = inode & ~SEEN;
    return ERR_OK;
}

static int by_inode(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a & ~SEEN, y = *(const uint64_t *)b & ~SEEN;
    return x < y ? -1 : x > y;
}

static uint64_t *lookup(const struct known *k, uint64_t inode)
{
    uint64_t key = inode & ~SEEN;
    return k->n ? bsearch(&key, k->list, k->n, sizeof key, by_inode) : NULL;
}

/* Of a tree that is still there at the end. */
static enum err count_orphan(void *arg, uint64_t inode)
{
    struct scrubbing *s = arg;
    const uint64_t *hit = lookup(&s->known, inode);
    s->counts->orphans += hit && !(*hit & SEEN);
    return ERR_OK;
}

/* ---- reading, gently ---- */

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Waits until n more bytes are within the rate. Time that the disk took is made up for, a longer pause
 * is not. */
static void pace(struct scrubbing *s, size_t n)
{
    int64_t now = now_us();
    if (s->how->rate == 0)
        return;
    if (s->due_us < now - CATCH_UP_US)
        s->due_us = now;
    struct timespec until = {.tv_sec = s->due_us / 1000000, .tv_nsec = s->due_us % 1000000 * 1000};
    while (s->due_us > now &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
    s->due_us += (int64_t)((double)n * 1e6 / (double)s->how->rate);
}

/* Whether nobody has written to the file since its tree was stamped. */
static bool at_rest(const struct subject *f)
{
    struct part_stamp now;
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return false;
    part_stamp_of(&st, &now);
    return part_stamp_eq(&now, &f->h.stamp);
}

/* Reads n bytes to the piece. ERR_IO (silent) for what the disk does not give, ERR_CHANGED (silent)
 * for a file that ends early. */
static enum err read_piece(struct scrubbing *s, const struct subject *f, uint64_t at, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(f->fd, s->piece + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? ERR_IO : ERR_CHANGED;
        got += (size_t)r;
    }
    s->counts->bytes += n;
    return ERR_OK;
}

/* ---- one file ---- */

static enum err report(const struct scrubbing *s, const struct subject *f, enum fs_rot_kind kind,
                       uint64_t chunk)
{
    struct fs_rot rot = {.kind = kind, .path = f->path};
    if (kind == FS_ROT_TREE) {
        log_warn("%s: its stored tree is damaged: the content can't be proven", f->path);
        return s->how->found(s->how->arg, &rot);
    }
    rot.chunk = chunk;
    rot.offset = chunk << f->h.chunk_log2;
    rot.size = tree_chunk_size(f->h.length, f->h.chunk_log2, chunk);
    log_warn("%s: chunk %llu (bytes %llu and on) %s", f->path, (unsigned long long)chunk,
             (unsigned long long)rot.offset,
             kind == FS_ROT_READ ? "can't be read" : "does not match the uploader's hash");
    return s->how->found(s->how->arg, &rot);
}

/* Whether the slots give the root that stands beside them: else nothing can be held to them. */
static enum err check_slots(struct scrubbing *s, const struct subject *f, bool *good)
{
    struct tree_root root;
    uint8_t own[TREE_HASH];
    uint64_t chunks = tree_chunks(f->h.length, f->h.chunk_log2);
    tree_root_begin(&root, s->how->engine, f->h.length, f->h.chunk_log2);
    if (f->tree < 0) {
        *good = true;
        return ERR_OK;
    }
    for (uint64_t at = 0; at < chunks; at += SLOTS) {
        size_t n = chunks - at < SLOTS ? (size_t)(chunks - at) : SLOTS;
        enum err e = part_slots_read(f->tree, at, n, s->slots);
        if (e != ERR_OK)
            return e;
        for (size_t i = 0; i < n; i++)
            tree_root_add(&root, s->slots + i * TREE_HASH);
    }
    *good = tree_root_end(&root, own) && memcmp(own, f->h.root, TREE_HASH) == 0;
    return ERR_OK;
}

/* Hashes one chunk. ERR_IO and ERR_CHANGED as read_piece. */
static enum err hash_chunk(struct scrubbing *s, struct subject *f, uint64_t chunk,
                           uint8_t hash[static TREE_HASH])
{
    uint64_t start = chunk << f->h.chunk_log2;
    uint64_t size = tree_chunk_size(f->h.length, f->h.chunk_log2, chunk);
    tree_chunk_begin(&f->hasher, f->h.length);
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        pace(s, n);
        enum err e = read_piece(s, f, start + at, n);
        if (e != ERR_OK)
            return e;
        tree_chunk_add(&f->hasher, s->piece, n);
        if ((e = s->how->progress(s->how->arg, s->counts)) != ERR_OK)
            return e;
    }
    tree_chunk_end(&f->hasher, hash);
    (void)posix_fadvise(f->fd, (off_t)start, (off_t)size, POSIX_FADV_DONTNEED);
    return ERR_OK;
}

/* ERR_CHANGED (silent) when the file is being changed. */
static enum err check_chunk(struct scrubbing *s, struct subject *f, uint64_t chunk,
                            const uint8_t *slot)
{
    uint8_t hash[TREE_HASH];
    enum err e = hash_chunk(s, f, chunk, hash);
    if ((e != ERR_OK && e != ERR_IO) || (e == ERR_OK && memcmp(hash, slot, TREE_HASH) == 0))
        return e;
    if (!at_rest(f))
        return ERR_CHANGED;
    f->bad++;
    s->counts->chunks++;
    return report(s, f, e == ERR_IO ? FS_ROT_READ : FS_ROT_DATA, chunk);
}

static enum err check_chunks(struct scrubbing *s, struct subject *f)
{
    uint64_t chunks = tree_chunks(f->h.length, f->h.chunk_log2);
    enum err e = tree_chunk_init(&f->hasher, s->how->engine, f->h.chunk_log2);
    (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
    for (uint64_t i = 0; i < chunks && e == ERR_OK; i++) {
        size_t n = chunks - i < SLOTS ? (size_t)(chunks - i) : SLOTS;
        if (f->tree < 0)
            memcpy(s->slots, f->h.root, TREE_HASH); /* the one chunk's hash */
        else if (i % SLOTS == 0)
            e = part_slots_read(f->tree, i, n, s->slots);
        if (e == ERR_OK)
            e = check_chunk(s, f, i, s->slots + i % SLOTS * TREE_HASH);
    }
    tree_chunk_release(&f->hasher);
    return e == ERR_OK && !at_rest(f) ? ERR_CHANGED : e;
}

static enum err damaged(struct scrubbing *s, const struct subject *f)
{
    s->counts->damaged++;
    return report(s, f, FS_ROT_TREE, 0);
}

/* A file whose stored tree is valid. */
static enum err prove(struct scrubbing *s, struct subject *f)
{
    bool good;
    if (check_slots(s, f, &good) != ERR_OK || !good)
        return at_rest(f) ? damaged(s, f) : ERR_CHANGED;
    enum err e = check_chunks(s, f);
    s->counts->rotten += f->bad > 0;
    if (e == ERR_OK && f->bad == 0)
        s->counts->proven++;
    return e;
}

static enum err open_and_prove(struct scrubbing *s, const struct walk_entry *entry,
                               struct subject *f)
{
    f->fd = walk_open_file(entry, O_RDONLY);
    if (f->fd < 0 && (errno == ENOENT || errno == ESTALE || errno == ELOOP))
        return ERR_CHANGED;
    if (f->fd < 0) {
        log_warn("%s: can't be read: %s", f->path, strerror(errno));
        s->counts->errors++;
        return ERR_OK;
    }
    return at_rest(f) ? prove(s, f) : ERR_CHANGED;
}

static enum err scrub_file(struct scrubbing *s, const struct walk_entry *entry)
{
    struct subject f = {.fd = -1, .tree = -1};
    uint64_t *tree = lookup(&s->known, entry->st.st_ino);
    enum err e = ERR_OK;
    snprintf(f.path, sizeof f.path, "%s/%s",
             strcmp(s->root->prefix, "/") == 0 ? "" : s->root->prefix, entry->path);
    s->counts->files++;
    if (tree)
        *tree |= SEEN;
    switch (fs_tree_find(&s->stored, &entry->st, &f.h, &f.tree)) {
    case FS_TREE_NONE:
        s->counts->plain++;
        break;
    case FS_TREE_STALE:
        s->counts->changed++;
        break;
    case FS_TREE_DAMAGED:
        e = damaged(s, &f);
        break;
    case FS_TREE_VALID:
        e = open_and_prove(s, entry, &f);
        break;
    }
    fs_close(&f.fd);
    fs_close(&f.tree);
    if (e == ERR_CHANGED) {
        s->counts->moving++;
        e = ERR_OK;
    }
    return e == ERR_OK ? s->how->progress(s->how->arg, s->counts) : e;
}

/* ---- one root ---- */

static enum err scrub_entries(struct scrubbing *s, struct walk *walk)
{
    struct walk_entry entry;
    uint64_t errors = s->counts->errors;
    enum err e = ERR_OK;
    while (e == ERR_OK && walk_next(walk, &entry) == ERR_OK) {
        if (entry.kind == WALK_FILE) {
            e = scrub_file(s, &entry);
        } else if (entry.kind == WALK_ERROR) {
            log_warn("root %s: %s: %s", s->root->prefix, entry.path, entry.reason);
            s->counts->errors++;
        }
    }
    if (e == ERR_OK && errors == s->counts->errors)
        e = fs_tree_each(s->stored.trees, count_orphan, s);
    return e;
}

static enum err scrub_root(struct scrubbing *s)
{
    const struct walk_options all = {0};
    struct walk *walk;
    enum err e = fs_tree_each(s->stored.trees, remember, &s->known);
    if (e != ERR_OK)
        return e;
    if (s->known.n > 0)
        qsort(s->known.list, s->known.n, sizeof *s->known.list, by_inode);
    int top = fs_open_beneath(s->root, "", O_RDONLY);
    if (top < 0 || walk_open(top, &all, &walk) != ERR_OK)
        return log_fail_errno("root %s", s->root->prefix);
    e = scrub_entries(s, walk);
    walk_close(walk);
    return e;
}

enum err fs_scrub(const struct fs *fs, size_t i, const struct fs_scrub *how,
                  struct fs_scrub_counts *counts)
{
    struct scrubbing s = {.how = how, .counts = counts, .root = &fs->roots[i]};
    s.piece = malloc(PIECE);
    s.slots = malloc((size_t)SLOTS * TREE_HASH);
    fs_slots_init(&s.stored, fs_trees_open(s.root, false));
    enum err e = s.piece && s.slots ? scrub_root(&s) : log_fail(ERR_INTERNAL, "out of memory");
    fs_slots_release(&s.stored);
    free(s.known.list);
    free(s.piece);
    free(s.slots);
    return e;
}
