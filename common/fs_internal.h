/* SPDX-License-Identifier: ISC */
/* What the files of fs share; not for others. */
#ifndef CONSIGN_FS_INTERNAL_H
#define CONSIGN_FS_INTERNAL_H

#include "fs.h"

/* Use the walk component by component even where the kernel has openat2: for tests. */
extern bool fs_without_openat2;

/* The root that path belongs to (the longest prefix) and what of path is below it ("" for the root
 * itself); NULL when there is none. */
const struct fs_root *fs_root_of(const struct fs *fs, const char *path, const char **rest);

/* The root of path when it grants right, else NULL and the error (logged) in *e. */
const struct fs_root *fs_allowed(const struct fs *fs, const char *path, unsigned right,
                                 enum err *e);

/* Opens the folder rel below dir for reading, without following any link; -1 and errno. "" is dir
 * itself. */
int fs_open_folder(int dir, const char *rel);

/* Where the last component of a path stands: its folder (a descriptor to close) and its name there.
 */
struct fs_place {
    const struct fs_root *root;
    int dir;
    char name[PATH_NAME_MAX + 1];
};
/* A virtual root itself has no place: ERR_DENIED. */
enum err fs_locate(const struct fs *fs, const char *path, struct fs_place *out) MUST_CHECK;
void fs_place_release(struct fs_place *p);

/* Opens PATH_SERVICE/name below root, making it when make is set; -1 and errno. A folder that is
 * not ours or that others can write is refused (EPERM). */
int fs_open_service(const struct fs_root *root, const char *name, bool make);

/* Makes a change of names in a folder durable. */
enum err fs_sync_folder(int dir, const char *path) MUST_CHECK;

void fs_info_of(const struct stat *st, struct fs_info *out);

/* The stored tree of the file with this state, opened with access (O_RDONLY, O_RDWR), its header in
 * *h; -1 when there is no valid one. */
int fs_open_tree(const struct fs_root *root, const struct stat *st, int access,
                 struct part_header *h);
/* Forgets the stored tree of an inode. */
void fs_drop_tree(const struct fs_root *root, uint64_t ino);
/* The name of an inode's stored tree. */
enum { FS_TREE_NAME = 24 };
void fs_tree_name(uint64_t ino, char out[static FS_TREE_NAME]);

#endif
