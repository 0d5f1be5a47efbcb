/* SPDX-License-Identifier: ISC */
/* Small files that are read one after the other. What neighbours have in common, their folder and the
 * folder of the stored roots, is opened once. */
#include "fs_internal.h"

#include "log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fs_reader {
    struct fs *fs;
    const struct fs_root *root; /* whose slots are open; NULL: nothing is open */
    struct fs_slots slots;
    int dir;
    size_t n; /* of folder */
    char folder[PATH_MAX_BYTES + 1];
};

enum err fs_reader_new(struct fs *fs, struct fs_reader **out)
{
    struct fs_reader *r = *out = calloc(1, sizeof *r);
    if (!r)
        return log_fail(ERR_INTERNAL, "out of memory for reading files");
    r->fs = fs;
    r->dir = -1;
    fs_slots_init(&r->slots, -1);
    return ERR_OK;
}

void fs_reader_rest(struct fs_reader *r)
{
    fs_close(&r->dir);
    fs_slots_release(&r->slots);
    r->root = NULL;
}

void fs_reader_free(struct fs_reader *r)
{
    if (r)
        fs_reader_rest(r);
    free(r);
}

static enum err enter_folder(struct fs_reader *r, const struct fs_place *at)
{
    const char *name = path_base(at->path);
    size_t n = (size_t)(name - at->path);
    if (r->dir >= 0 && r->root == at->root && r->n == n && memcmp(r->folder, at->path, n) == 0)
        return ERR_OK;
    fs_close(&r->dir);
    if (r->root != at->root) {
        fs_slots_release(&r->slots);
        fs_slots_init(&r->slots, fs_trees_open(at->root, false));
        r->root = at->root;
    }
    memcpy(r->folder, at->path, n);
    r->n = n;
    return fs_open_parent(at, O_PATH, &r->dir, &name);
}

/* Reads st_size bytes and finds the end there. */
static enum err read_whole(int fd, const char *path, uint64_t size, uint8_t *bytes)
{
    uint64_t got = 0;
    ssize_t n;
    do {
        n = read(fd, bytes + got, (size_t)(size + 1 - got));
        got += n > 0 ? (uint64_t)n : 0;
    } while ((n < 0 && errno == EINTR) || (n > 0 && got < size));
    if (n < 0)
        return log_fail_errno("%s: reading", path);
    if (got == size)
        return ERR_OK;
    return log_fail(ERR_CHANGED, "%s: the file changed while it was read", path);
}

static enum err read_file(struct fs_reader *r, const struct fs_place *at, uint8_t *bytes,
                          struct fs_info *info)
{
    struct fs_source s;
    enum err e = fs_open_in(at, r->dir, &s);
    if (e != ERR_OK)
        return e;
    fs_describe(&s.st, info);
    if (info->size > FS_SMALL_MAX) {
        fs_close(&s.fd);
        return ERR_LIMIT;
    }
    fs_slot_describe(&r->slots, &s.st, info);
    e = read_whole(s.fd, at->path, info->size, bytes);
    fs_close(&s.fd);
    return e;
}

enum err fs_read_small(struct fs_reader *r, const char *path, uint8_t *bytes, struct fs_info *info)
{
    struct fs_place at;
    *info = (struct fs_info){0};
    enum err e = fs_allow(r->fs, path, FS_DO_READ, &at);
    if (e != ERR_OK)
        return e;
    if (!at.root || at.rel[0] == '\0')
        return fs_fail_type(path, S_IFDIR);
    e = enter_folder(r, &at);
    return e == ERR_OK ? read_file(r, &at, bytes, info) : e;
}
