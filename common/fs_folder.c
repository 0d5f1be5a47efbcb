/* SPDX-License-Identifier: ISC */
#include "fs_internal.h"

#include "log.h"
#include "msg.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fs_folder {
    struct fs *fs;
    char *path;
    int dir; /* -1: there are only roots below */
    struct fs_slots slots;
    bool links; /* their targets are told */
    char target[FS_TARGET_MAX + 1];
};

enum err fs_folder_open(struct fs *fs, const char *path, unsigned flags, struct fs_folder **out)
{
    struct fs_place at;
    *out = NULL;
    enum err e = fs_allow(fs, path, FS_DO_STAT, &at);
    if (e != ERR_OK)
        return e;
    int dir = at.root ? fs_open_beneath(at.root, at.rel, O_PATH) : -1;
    if (at.root && dir < 0 && !(errno == ENOENT && fs_above_roots(fs, path)))
        return fs_fail_open(path, path, strlen(path));
    struct fs_folder *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    if (!f || !copy) {
        free(f);
        free(copy);
        fs_close(&dir);
        return log_fail(ERR_LIMIT, "out of memory for a folder");
    }
    *f = (struct fs_folder){.fs = fs, .path = copy, .dir = dir};
    bool roots = at.root && (flags & FS_ROOTS);
    f->links = at.root && at.root->links && flags & FS_LINKS;
    fs_slots_init(&f->slots, roots ? fs_trees_open(at.root, false) : -1);
    *out = f;
    return ERR_OK;
}

enum err fs_folder_stat(struct fs_folder *f, const char *name, struct fs_info *out)
{
    char path[PATH_MAX_BYTES + 1];
    struct stat st;
    *out = (struct fs_info){.type = MSG_MISSING};
    enum err e = path_join(f->path, name, path);
    if (e != ERR_OK)
        return e;
    if (fs_leads(f->fs, f->fs->n, f->path, name, strlen(name))) {
        fs_describe_root(f->fs, path, out);
    } else if (f->dir >= 0 && fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        fs_describe(&st, out);
        fs_slot_describe(&f->slots, &st, out);
        if (f->links && S_ISLNK(st.st_mode) && fs_read_link(f->dir, name, f->target))
            out->target = f->target;
    } else if (f->dir >= 0 && errno != ENOENT) {
        out->type = MSG_FAULT;
        out->mode = (uint32_t)err_from_errno(errno);
    }
    return ERR_OK;
}

void fs_folder_close(struct fs_folder *f)
{
    if (!f)
        return;
    fs_close(&f->dir);
    fs_slots_release(&f->slots);
    free(f->path);
    free(f);
}
