/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct committing {
    struct fs *fs;
    const struct fs_part *part;
    const struct fs_commit *how;
    struct fs_place at;
    struct fs_names names;
    struct fs_service service;
    int dir;
    const char *name;
    struct part_header header;
    struct stat old; /* what stands there now */
    int64_t until;   /* it is retained; 0: not at all */
};

/* ---- whether ---- */

/* Whether fd is the regular file called name in parts, and has no other name. */
static bool in_place(int parts, const char *name, int fd)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && fstatat(parts, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           fs_same(&held, &named) && S_ISREG(held.st_mode) && held.st_nlink == 1;
}

static enum err check_complete(struct committing *c)
{
    struct part_stamp now;
    struct stat st;
    enum err e = part_header_read(c->part->journal, &c->header);
    if (e == ERR_NOENT || (e == ERR_OK && !c->header.complete))
        return log_fail(ERR_PROTO, "%s: the transfer is not complete", c->how->path);
    if (e != ERR_OK)
        return e;
    if (fstat(c->part->data, &st) < 0)
        return log_fail_errno("%s: looking at what was received", c->how->path);
    part_stamp_of(&st, &now);
    if (strcmp(c->header.path, c->how->path) != 0 || !c->header.stamped ||
        (uint64_t)st.st_size != c->header.length || !part_stamp_eq(&now, &c->header.stamp))
        return log_fail(ERR_CORRUPT, "%s: what was received was changed by somebody else",
                        c->how->path);
    return ERR_OK;
}

static enum err check(struct committing *c)
{
    enum err e = fs_open_parent(&c->at, O_RDONLY, &c->dir, &c->name);
    if (e == ERR_OK)
        e = fs_check_target(&c->at, c->dir, c->how->overwrite, FS_DO_RECEIVE, &c->old);
    if (e == ERR_OK)
        e = fs_service_open(c->at.root, false, &c->service);
    if (e == ERR_NOENT && c->dir >= 0)
        e = log_fail(e, "%s: the unfinished transfer is gone", c->how->path);
    if (e == ERR_OK && (!in_place(c->service.parts, c->names.data, c->part->data) ||
                        !in_place(c->service.parts, c->names.journal, c->part->journal)))
        e = log_fail(ERR_CHANGED, "%s: the unfinished transfer was taken away or exchanged",
                     c->how->path);
    if (e == ERR_OK && (e = fs_unshare_part(c->how->path, c->part)) == ERR_BUSY)
        e = log_fail(e, "%s: another connection still writes to it", c->how->path);
    if (e == ERR_OK && c->how->mtime_ns >= 1000000000)
        e = log_fail(ERR_PROTO, "%s: a time with %u nanoseconds", c->how->path, c->how->mtime_ns);
    return e == ERR_OK ? check_complete(c) : e;
}

/* ---- how ---- */

/* Whose it is. It was counted when it was opened; unless that was before there was a ledger, or the session, which can
 * write to the data, had more in mind than it said. */
static enum err mark(struct committing *c)
{
    struct fs_mark before, m = fs_mark_now(c->fs, c->header.length);
    if (!fs_marks(c->fs, c->service.top))
        return ERR_OK;
    (void)fs_mark_read(c->part->data, &before);
    bool counted =
        before.counted && before.length == c->header.length && strcmp(before.by, c->fs->owner) == 0;
    enum err e = counted ? ERR_OK : fs_charge(c->fs, &c->at, c->part->data, c->header.length);
    m.counted = true;
    c->until = m.until;
    return e == ERR_OK ? fs_mark_write(c->part->data, &m, c->how->path) : e;
}

/* Mark, mode and time before the sync: they become durable with the data. */
static enum err seal(struct committing *c)
{
    enum err e = mark(c);
    if (e != ERR_OK)
        return e;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = c->how->mtime_s, .tv_nsec = c->how->mtime_ns}};
    if (fchmod(c->part->data, (c->how->mode & 0755) | 0600) < 0)
        return log_fail_errno("%s: setting the mode", c->how->path);
    if (futimens(c->part->data, times) < 0)
        return log_fail_errno("%s: setting the time", c->how->path);
    if (fsync(c->part->data) == 0)
        return ERR_OK;
    e = log_fail_errno("%s: making what was received durable", c->how->path);
    log_hush(true);
    if (fs_drop_part(c->fs, c->at.root, c->service.parts, &c->names) != ERR_OK)
        log_warn("%s: what can't be trusted stays behind", c->how->path);
    log_hush(false);
    return e;
}

/* Within the gate: that it may go there, once more, and the name. */
static enum err give_name(struct committing *c, struct fs_gate *g, const struct fs_move *m)
{
    struct fs_sum whole = {c->header.length, 1, 0};
    struct fs_yield old, part = {.sum = {.parts = 1}}, file = {.sum = whole};
    enum err e = fs_check_target(&c->at, c->dir, c->how->overwrite, FS_DO_RECEIVE, &c->old);
    if (e == ERR_OK)
        e = fs_gate_yield(g, c->dir, c->name, &c->old, c->how->path, &old);
    if (e == ERR_OK)
        e = fs_gate_room(g, c->how->path, &whole, &whole, &old);
    if (e == ERR_OK)
        e = fs_gate_promise(g, c->until);
    if (e == ERR_OK)
        e = fs_move_name(m);
    if (e != ERR_OK)
        return e;
    memcpy(part.by, c->fs->owner, sizeof part.by);
    memcpy(file.by, c->fs->owner, sizeof file.by);
    fs_gate_moved(g, &file);
    fs_gate_gone(g, &part);
    fs_gate_gone(g, &old);
    return ERR_OK;
}

static enum err publish(struct committing *c)
{
    /* Who may not overwrite must not win a race for a free name either. */
    struct fs_move m = {
        c->service.parts, c->names.data,
        c->dir,           c->name,
        c->how->path,     c->how->overwrite && fs_may(c->at.root, FS_DO_RECEIVE, true)};
    struct fs_gate g;
    enum err e = fs_gate_enter(c->fs, c->at.root, true, &g);
    if (e == ERR_OK)
        e = give_name(c, &g, &m);
    fs_gate_leave(&g);
    return e == ERR_OK ? fs_move_end(&m) : e;
}

static bool keep_root(const struct committing *c, int trees, const struct stat *st)
{
    struct fs_slots slots;
    fs_slots_init(&slots, trees);
    bool kept = fs_slot_write(&slots, st, c->header.root);
    fs_close(&slots.fd);
    return kept && unlinkat(c->service.parts, c->names.journal, 0) == 0;
}

static bool keep_hashes(struct committing *c, int trees, const struct stat *st)
{
    char name[FS_TREE_NAME];
    fs_tree_name(st->st_ino, name);
    /* Else what is found after a power cut would be taken for damage. */
    return fs_tree_stamp(c->part->journal, &c->header, st, c->how->path) == ERR_OK &&
           fdatasync(c->part->journal) == 0 &&
           renameat(c->service.parts, c->names.journal, trees, name) == 0;
}

/* The file stands and is durable: what fails from here on costs only the stored tree. */
static void keep_tree(struct committing *c, bool keep)
{
    struct stat st;
    bool kept = false;
    int trees = keep ? fs_trees_open(c->at.root, true) : -1;
    if (trees >= 0 && fstat(c->part->data, &st) == 0)
        kept =
            fs_one_chunk(c->header.length) ? keep_root(c, trees, &st) : keep_hashes(c, trees, &st);
    if (!kept)
        (void)unlinkat(c->service.parts, c->names.journal, 0);
    if (keep && !kept)
        log_warn("%s: its stored tree could not be kept", c->how->path);
    fs_close(&trees);
}

/* Nothing came of it but a later change time: without this stamp all would be hashed again. */
static void stay_part(struct committing *c)
{
    struct stat st;
    if (in_place(c->service.parts, c->names.data, c->part->data) &&
        fstat(c->part->data, &st) == 0 &&
        fs_tree_stamp(c->part->journal, &c->header, &st, c->how->path) != ERR_OK)
        log_warn("%s: what was received will be hashed again", c->how->path);
}

static enum err commit(struct committing *c, bool keep)
{
    enum err e = check(c);
    if (e == ERR_OK)
        e = seal(c);
    if (e != ERR_OK)
        return e;
    e = publish(c);
    if (e != ERR_OK)
        stay_part(c);
    if (e == ERR_OK) {
        keep_tree(c, keep);
        if (c->old.st_nlink == 1)
            fs_tree_drop(c->at.root, &c->old);
    }
    return e;
}

enum err fs_commit(struct fs *fs, const struct fs_part *part, const struct fs_commit *how)
{
    struct committing c = {.fs = fs, .part = part, .how = how, .service = {-1, -1}, .dir = -1};
    enum err e = fs_allow(fs, how->path, FS_DO_RECEIVE, &c.at);
    if (e != ERR_OK)
        return e;
    fs_names_of(how->path, &c.names);
    e = commit(&c, !fs->tidy);
    fs_service_close(&c.service);
    fs_close(&c.dir);
    if (fs->tidy)
        fs_service_tidy(c.at.root);
    return e;
}
