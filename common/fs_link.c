/* SPDX-License-Identifier: ISC */
/* Symbolic links kept as what they are. Nothing here or elsewhere follows one: where a link stands on the way to
 * something else, fs_resolve.c refuses the way. */
#include "fs_gate.h"

#include "log.h"
#include "text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TRIES = 100 };

void fs_keep_links(struct fs *fs)
{
    for (size_t i = 0; i < fs->n; i++)
        fs->roots[i].links = true;
}

bool fs_read_link(int dir, const char *name, char target[static FS_TARGET_MAX + 1])
{
    ssize_t n = readlinkat(dir, name, target, FS_TARGET_MAX + 1);
    target[n > 0 && n <= FS_TARGET_MAX ? n : 0] = '\0';
    return target[0] != '\0';
}

static enum err check(const struct fs_place *at, const struct fs_symlink *l)
{
    size_t n = strlen(l->target);
    if (!at->root->links)
        return log_fail(ERR_DENIED, "%s: symbolic links are not kept here", l->path);
    if (n == 0 || n > FS_TARGET_MAX)
        return log_fail(ERR_NAME, "%s: a link to a target of %zu bytes; 1 to %d are allowed",
                        l->path, n, FS_TARGET_MAX);
    return ERR_OK;
}

/* Makes the link under a name of its own in parts, where a sweep finds what stays behind; then it takes the place of what
 * stands at its path in one step. */
static enum err replace(const struct fs_place *at, const struct fs_symlink *l, int dir)
{
    struct fs_service service = {-1, -1};
    uint8_t id[16];
    char hex[33], aside[44];
    bool made = false;
    enum err e = ERR_OK;
    if (getrandom(id, sizeof id, 0) != sizeof id)
        return log_fail_errno("%s: random name for a link", l->path);
    text_hex(id, sizeof id, hex);
    snprintf(aside, sizeof aside, "%s.data", hex);
    /* Another process that tidies up may remove the folder while nothing is in it. */
    for (int i = 0; i < TRIES && e == ERR_OK && !made; i++) {
        fs_service_close(&service);
        e = fs_service_open(at->root, true, &service);
        made = e == ERR_OK && symlinkat(l->target, service.parts, aside) == 0;
        if (e == ERR_OK && !made && errno != ENOENT)
            e = log_fail_errno("%s: making the link", l->path);
    }
    if (e == ERR_OK && !made)
        e = log_fail(ERR_BUSY, "%s: " PATH_SERVICE " keeps being removed", l->path);
    struct fs_move m = {service.parts, aside, dir, path_base(l->path), l->path, true};
    if (e == ERR_OK && (e = fs_move_name(&m)) != ERR_OK)
        (void)unlinkat(service.parts, aside, 0);
    fs_service_close(&service);
    return e;
}

static enum err make_inside(struct fs_gate *g, const struct fs_place *at,
                            const struct fs_symlink *l, int dir, struct stat *old)
{
    static const struct fs_sum one = {.files = 1};
    const char *name = path_base(l->path);
    struct fs_yield y;
    enum err e = fs_check_target(at, dir, l->overwrite, FS_DO_LINK, old);
    if (e == ERR_OK)
        e = fs_gate_yield(g, dir, name, old, l->path, &y);
    if (e == ERR_OK)
        e = fs_gate_room(g, l->path, &one, NULL, &y);
    if (e != ERR_OK)
        return e;
    if (old->st_nlink > 0)
        e = replace(at, l, dir);
    else if (symlinkat(l->target, dir, name) < 0)
        e = errno == EEXIST ? log_fail(ERR_EXISTS, "%s: already exists", l->path)
                            : log_fail_errno("%s: making the link", l->path);
    if (e != ERR_OK)
        return e;
    /* A link can't carry a mark. */
    fs_gate_came(g, &one);
    fs_gate_gone(g, &y);
    return ERR_OK;
}

static enum err make(struct fs *fs, const struct fs_place *at, const struct fs_symlink *l, int dir)
{
    struct fs_gate g;
    struct stat old = {0};
    enum err e = fs_gate_enter(fs, at->root, true, &g);
    if (e == ERR_OK)
        e = make_inside(&g, at, l, dir, &old);
    fs_gate_leave(&g);
    if (e == ERR_OK)
        e = fs_sync_folder(dir, l->path);
    if (e == ERR_OK && S_ISREG(old.st_mode) && old.st_nlink == 1)
        fs_tree_drop(at->root, &old);
    return e;
}

enum err fs_symlink(struct fs *fs, const struct fs_symlink *l)
{
    char there[FS_TARGET_MAX + 1];
    struct fs_place at = {0};
    const char *name;
    int dir = -1;
    enum err e = fs_allow(fs, l->path, FS_DO_LINK, &at);
    if (e == ERR_OK)
        e = check(&at, l);
    if (e == ERR_OK && l->parents)
        e = fs_parents(fs, l->path);
    if (e == ERR_OK)
        e = fs_open_parent(&at, O_RDONLY, &dir, &name);
    if (e == ERR_OK && !(fs_read_link(dir, name, there) && strcmp(there, l->target) == 0))
        e = make(fs, &at, l, dir);
    fs_close(&dir);
    if (fs->tidy && at.root)
        fs_service_tidy(at.root);
    return e;
}
