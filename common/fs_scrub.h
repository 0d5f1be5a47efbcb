/* SPDX-License-Identifier: ISC */
/* Scrubbing: reads what lies in a root and holds it to the hashes that its uploaders sent, to find
 * what the disk has lost since. Changes nothing.
 *
 * Only a file whose stored tree is valid can be proven: one that was written, replaced or put there
 * by anything but consign has other times than its tree was stamped with and is counted, not
 * judged. Real rot changes no time. What is read is taken from the disk and not from memory
 * (POSIX_FADV_DONTNEED), where no other process holds it there. */
#ifndef CONSIGN_FS_SCRUB_H
#define CONSIGN_FS_SCRUB_H

#include "fs.h"

struct fs_scrub_counts {
    uint64_t files;   /* regular files come across */
    uint64_t bytes;   /* read */
    uint64_t proven;  /* files that are what their trees say */
    uint64_t rotten;  /* files with a chunk that is not */
    uint64_t chunks;  /* such chunks */
    uint64_t damaged; /* stored trees that can't be read or don't give their own root */
    uint64_t plain;   /* files without a stored tree */
    uint64_t changed; /* files changed beside consign since their tree was stored */
    uint64_t moving;  /* files that changed or went while they were looked at: passed over */
    uint64_t orphans; /* stored trees without a file; not counted where a folder can't be read */
    uint64_t errors;  /* files and folders that can't be read at all */
};

enum fs_rot_kind {
    FS_ROT_DATA, /* a chunk does not have its hash */
    FS_ROT_READ, /* a chunk can't be read */
    FS_ROT_TREE, /* the stored tree is damaged: the file can't be proven; chunk, offset, size 0 */
    FS_ROT_KINDS,
};

struct fs_rot {
    enum fs_rot_kind kind;
    const char *path; /* virtual */
    uint64_t chunk;
    uint64_t offset; /* of the chunk, in bytes */
    uint64_t size;   /* of the chunk */
};

struct fs_scrub {
    const struct tree_engine *engine;
    uint64_t rate; /* bytes read a second, at most; 0: no limit */
    /* Called for each finding. */
    enum err (*found)(void *arg, const struct fs_rot *rot);
    /* Called after each file and each MiB read. A result other than ERR_OK of either ends it. */
    enum err (*progress)(void *arg, const struct fs_scrub_counts *so_far);
    void *arg;
};

/* Scrubs the root number i of fs; adds to counts. Findings are no error. Needs 8 bytes of memory for
 * each stored tree. What can't be read is logged as a warning and counted. */
enum err fs_scrub(const struct fs *fs, size_t i, const struct fs_scrub *how,
                  struct fs_scrub_counts *counts) MUST_CHECK;

#endif
