/* SPDX-License-Identifier: ISC */
/* What is counted for unfinished uploads. It stands in a mark on the part's data, where only a store can write it. */
#include "fs_gate.h"

#include <string.h>

bool fs_part_counts(int parts, const char *data, struct fs_mark *m, struct fs_sum *sum)
{
    struct stat st;
    int fd = fs_open_regular(parts, data, O_RDONLY, &st);
    bool counts = fd >= 0 && st.st_nlink == 1 && fs_mark_read(fd, m) && m->counted;
    fs_close(&fd);
    if (counts)
        *sum = (struct fs_sum){.bytes = m->length, .files = 1, .parts = 1};
    return counts;
}

struct charge {
    const struct fs_place *at;
    int data;
    uint64_t length, before; /* bytes */
    bool counted;            /* with before */
};

/* What stands at the path makes room, unless it may not go. */
static enum err check(const struct fs_gate *g, const struct charge *c)
{
    struct fs_sum add = {c->length, 1, !c->counted}, already = {c->before, c->counted, 0};
    struct fs_yield old;
    struct stat st;
    const char *name;
    int dir;
    enum err e = fs_open_parent(c->at, O_RDONLY, &dir, &name);
    if (e != ERR_OK)
        return e;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        st = (struct stat){0};
    e = fs_gate_yield(g, dir, name, &st, c->at->path, &old);
    if (e == ERR_OK)
        e = fs_gate_room(g, c->at->path, &add, &already, &old);
    fs_close(&dir);
    return e;
}

static enum err change(struct fs_gate *g, const struct charge *c)
{
    struct fs_mark m = {.counted = true, .length = c->length};
    struct fs_sum more = {c->length > c->before ? c->length - c->before : 0, !c->counted,
                          !c->counted};
    struct fs_yield less = {.sum = {c->length < c->before ? c->before - c->length : 0, 0, 0}};
    memcpy(m.by, g->fs->owner, sizeof m.by);
    memcpy(less.by, g->fs->owner, sizeof less.by);
    enum err e = fs_gate_claim(g, &more);
    if (e == ERR_OK)
        e = fs_mark_write(c->data, &m, c->at->path);
    if (e != ERR_OK)
        return e;
    fs_gate_settle(g, &more);
    fs_gate_gone(g, &less);
    return ERR_OK;
}

enum err fs_charge(struct fs *fs, const struct fs_place *at, int data, uint64_t length)
{
    struct charge c = {.at = at, .data = data, .length = length};
    struct fs_gate g;
    struct fs_mark m;
    enum err e = fs_gate_enter(fs, at->root, true, &g);
    if (e != ERR_OK || g.ledger < 0) {
        fs_gate_leave(&g);
        return e;
    }
    if (fs_mark_read(data, &m) && m.counted && strcmp(m.by, fs->owner) == 0) {
        c.counted = true;
        c.before = m.length;
    }
    e = check(&g, &c);
    if (e == ERR_OK && !(c.counted && c.before == length))
        e = change(&g, &c);
    fs_gate_leave(&g);
    return e;
}
