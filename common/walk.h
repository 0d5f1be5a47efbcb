/* SPDX-License-Identifier: ISC */
/* A walk through a folder and all below it, entry by entry, as the file system lists them: no order
 * within a folder, a folder before what is in it.
 *
 *   walk_open(fd, &options, &w)
 *   while (walk_next(w, &entry) == ERR_OK)
 *       ...                      walk_skip(w) after a WALK_ENTER: not into that one
 *   walk_close(w)
 *
 * No listing is kept, so memory depends on the depth alone: for each folder being read one
 * descriptor and readdir's buffer (32 KiB, up to 1 MiB where the file system asks for it); at most
 * WALK_DEPTH_MAX of both.
 *
 * Every step goes by one name from the descriptor of the folder it stands in. A symbolic link is
 * never taken for what it points to, a folder is read only when it is the very one that was looked
 * at: who moves things about during the walk can't lead it out of the tree. File systems mounted
 * below are entered.
 *
 * PATH_SERVICE is passed over at any level, and so is what passes() turns down; such a folder is
 * not opened. Nothing is logged: what can't be read is an entry as well, and one such does not end
 * the walk. */
#ifndef CONSIGN_WALK_H
#define CONSIGN_WALK_H

#include "path.h"
#include <sys/stat.h>

/* Folders within each other, the root of the walk included. */
enum { WALK_DEPTH_MAX = 256 };

enum walk_kind {
    WALK_FILE,  /* a regular file */
    WALK_ENTER, /* a folder that could be opened; what is in it follows, then */
    WALK_LEAVE, /* the same folder again, with st as it was at WALK_ENTER */
    WALK_LINK,  /* a symbolic link */
    WALK_OTHER, /* a FIFO, socket or device */
    WALK_ERROR, /* something that can't be taken: error and reason say why */
};

/* All that is borrowed lasts until the next walk_next or walk_skip (dup dirfd to keep it). */
struct walk_entry {
    enum walk_kind kind;
    const char *path; /* relative to the root: "a/b"; "" for the root itself (WALK_ERROR only).
                       * Legal components and short enough for a path with a "/" before it, but for
                       * WALK_ERROR, where a name of more than PATH_NAME_MAX bytes is cut */
    const char *name; /* its last component */
    int dirfd;        /* the folder that name stands in (WALK_ERROR with path "": the root) */
    struct stat st;   /* all 0 for WALK_ERROR where it could not be had */
    bool followed;    /* a WALK_FILE reached by a link: st is the file's */
    enum err error;   /* WALK_ERROR: ERR_NAME for a name or path that path.h refuses, ERR_LIMIT too
                       * deep, ERR_CHANGED replaced between two looks, else what the system said */
    const char *reason;
};

struct walk_options {
    /* Whether the entry at path is to be reported, and entered when it is a folder; NULL: all. */
    bool (*passes)(void *arg, const char *path, bool folder);
    void *arg;
    bool follow; /* report a link to a regular file as that file, wherever it is. Links to folders
                  * and all others, dangling ones too, stay WALK_LINK: a walk can't run in circles */
};

struct walk;

/* Begins a walk of what is in the folder root (a descriptor open for reading, at its beginning;
 * moves in: closed in any case). options are copied. Fails in silence, with errno: no folder, no
 * memory. */
enum err walk_open(int root, const struct walk_options *options, struct walk **out) MUST_CHECK;

/* The next entry. ERR_NOENT at the end; nothing else ends it. The root is reported only when its
 * listing breaks off: a WALK_ERROR with path "", as there is one with its path before the WALK_LEAVE
 * of any other such folder. */
enum err walk_next(struct walk *w, struct walk_entry *out) MUST_CHECK;

/* After a WALK_ENTER: does not read that folder; there is no WALK_LEAVE for it. After any other
 * entry it does nothing. */
void walk_skip(struct walk *w);

/* NULL is allowed. */
void walk_close(struct walk *w);

/* Opens the file of a WALK_FILE, before the next walk_next: flags (O_RDONLY, O_NOATIME...) with
 * O_NOFOLLOW (unless followed), O_NONBLOCK, O_NOCTTY and O_CLOEXEC. -1 with errno, not logged;
 * ESTALE when what stands there is no more the regular file of st. Only the identity is checked:
 * its length may be another by now. */
int walk_open_file(const struct walk_entry *entry, int flags) MUST_CHECK;

#endif
