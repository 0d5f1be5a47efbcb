/* SPDX-License-Identifier: ISC */
#include "fs_gate.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct renaming {
    struct fs_gate gate;
    struct fs_yield yields; /* what is renamed, */
    struct fs_yield replaced;
    struct fs_place from, to;
    int from_dir, to_dir;
    const char *from_name, *to_name;
    struct stat st, old;
    bool overwrite;
};

/* What is stored of the content. */
struct known {
    struct fs_slots slots;
    bool rooted; /* root was in its slot */
    uint8_t root[TREE_HASH];
    int tree;
    struct part_header header;
};

static void look_up(const struct renaming *r, struct known *k)
{
    fs_slots_init(&k->slots, fs_trees_open(r->from.root, false));
    k->rooted = fs_one_chunk((uint64_t)r->st.st_size) && fs_slot_read(&k->slots, &r->st, k->root);
    k->tree = fs_tree_open(k->slots.trees, &r->st, O_RDWR, &k->header);
}

/* The stamp holds the change time, which a rename moves. What else may have changed since the tree
 * was found valid would show in size or mtime. */
static void refresh_tree(const struct renaming *r, struct known *k)
{
    struct stat now;
    if ((k->tree < 0 && !k->rooted) ||
        fstatat(r->to_dir, r->to_name, &now, AT_SYMLINK_NOFOLLOW) < 0 || !fs_same(&now, &r->st) ||
        now.st_size != r->st.st_size || now.st_mtim.tv_sec != r->st.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != r->st.st_mtim.tv_nsec)
        return;
    if (k->rooted ? !fs_slot_write(&k->slots, &now, k->root)
                  : fs_tree_stamp(k->tree, &k->header, &now, r->to.path) != ERR_OK)
        log_warn("%s: its stored tree could not be kept", r->to.path);
}

static enum err check_file(struct renaming *r)
{
    enum err e = fs_check_target(&r->to, r->to_dir, r->overwrite, FS_DO_RENAME, &r->old);
    if (e == ERR_OK)
        e = fs_gate_yield(&r->gate, r->from_dir, r->from_name, &r->st, r->from.path, &r->yields);
    if (e == ERR_OK)
        e = fs_gate_yield(&r->gate, r->to_dir, r->to_name, &r->old, r->to.path, &r->replaced);
    return e;
}

static enum err rename_file(struct renaming *r)
{
    struct known known;
    enum err e = check_file(r);
    if (e != ERR_OK)
        return e;
    struct fs_move m = {r->from_dir, r->from_name,
                        r->to_dir,   r->to_name,
                        r->to.path,  r->overwrite && fs_may(r->to.root, FS_DO_RENAME, true)};
    look_up(r, &known);
    e = fs_move(&m);
    /* rename() leaves two names of one file as they are. */
    bool twins = r->old.st_nlink > 1 && fs_same(&r->old, &r->st);
    if (e == ERR_OK && twins && unlinkat(r->from_dir, r->from_name, 0) < 0)
        e = log_fail_errno("%s: removing the old name", r->from.path);
    fs_gate_moved(&r->gate, &r->yields);
    if (e == ERR_OK)
        fs_gate_gone(&r->gate, &r->replaced);
    if (e == ERR_OK)
        e = fs_sync_folder(r->from_dir, r->from.path);
    if (e == ERR_OK)
        refresh_tree(r, &known);
    if (e == ERR_OK && r->old.st_nlink == 1 && !fs_same(&r->old, &r->st))
        fs_tree_drop(r->to.root, &r->old);
    fs_close(&known.tree);
    fs_slots_release(&known.slots);
    return e;
}

static enum err rename_folder(struct renaming *r)
{
    struct stat st;
    if (fs_within(r->to.path, r->from.path))
        return log_fail(ERR_NAME, "%s: a folder can't be moved into itself", r->from.path);
    if (fstatat(r->to_dir, r->to_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return log_fail(ERR_EXISTS, "%s: already exists", r->to.path);
    enum err e = fs_gate_yield_folder(&r->gate, r->from_dir, r->from_name, r->from.path);
    if (e != ERR_OK)
        return e;
    if (renameat(r->from_dir, r->from_name, r->to_dir, r->to_name) < 0)
        return log_fail_errno("%s: renaming to %s", r->from.path, r->to.path);
    fs_gate_moved_folder(&r->gate);
    e = fs_sync_folder(r->to_dir, r->to.path);
    return e == ERR_OK ? fs_sync_folder(r->from_dir, r->from.path) : e;
}

static enum err rename_opened(struct renaming *r)
{
    if (fstatat(r->from_dir, r->from_name, &r->st, AT_SYMLINK_NOFOLLOW) < 0)
        return log_fail_errno("%s", r->from.path);
    if (r->overwrite && strcmp(r->from.path, r->to.path) == 0)
        return ERR_OK;
    if (S_ISDIR(r->st.st_mode))
        return rename_folder(r);
    return S_ISREG(r->st.st_mode) ? rename_file(r) : fs_fail_type(r->from.path, r->st.st_mode);
}

enum err fs_rename(struct fs *fs, const char *from, const char *to, bool overwrite)
{
    struct renaming r = {.from_dir = -1, .to_dir = -1, .overwrite = overwrite};
    enum err e = fs_allow(fs, from, FS_DO_RENAME, &r.from);
    if (e == ERR_OK)
        e = fs_allow(fs, to, FS_DO_RENAME, &r.to);
    if (e == ERR_OK && r.from.root != r.to.root)
        e = log_fail(ERR_DENIED, "%s: can't be renamed to %s: that lies in another root", from, to);
    if (e == ERR_OK)
        e = fs_open_parent(&r.from, O_RDONLY, &r.from_dir, &r.from_name);
    if (e == ERR_OK)
        e = fs_open_parent(&r.to, O_RDONLY, &r.to_dir, &r.to_name);
    if (e == ERR_OK)
        e = fs_gate_enter(fs, r.from.root, false, &r.gate);
    if (e == ERR_OK)
        e = rename_opened(&r);
    fs_gate_leave(&r.gate);
    fs_close(&r.from_dir);
    fs_close(&r.to_dir);
    return e;
}
