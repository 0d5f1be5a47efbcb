/* SPDX-License-Identifier: ISC */
/* The old version: the file that stands at the destination while a new content is received. Chunks
 * that the new one has in common with it, at whatever place, are copied from it instead of sent.
 *
 * It may change at any time, by other hands, and what stands on the disk may have rotted under its
 * stored hashes. So what was copied is hashed before it counts. */
#ifndef CONSIGN_OLD_H
#define CONSIGN_OLD_H

#include "fs.h"

struct old {
    int fd; /* O_RDONLY; -1: none */
    const char *name;
    uint64_t length;
    unsigned chunk_log2;
    uint64_t n; /* chunks that may be copied, counted from the first; 0: nothing may */
    uint8_t *hashes;
    struct part_stamp stamp; /* when they were taken */
    const struct tree_engine *engine;
    bool by_hand;    /* copy_file_range can't */
    uint8_t *buffer; /* to copy or hash with; NULL: not needed so far */
};

/* What is common to all hashing of a receiver's. */
struct old_how {
    unsigned chunk_log2;
    uint64_t most; /* chunks that are of interest */
    bool recheck;  /* do not trust the stored tree */
    const struct tree_engine *engine;
    tree_progress *progress; /* may be NULL */
    void *arg;
};

/* Takes over source's descriptors (also when it fails; old_release closes them). Hashes come from its
 * stored tree where that is valid and of the same chunk size, else from its content. A file that is
 * shorter than a chunk gives nothing (n is 0). After an error n is 0 too. name is borrowed. */
enum err old_open(struct old *o, const struct fs_source *source, const char *name,
                  const struct old_how *how) MUST_CHECK;
void old_release(struct old *o);

/* Copies count old chunks from number from to the part's chunks from number index (inside the part,
 * and of sizes equal to the old ones': old_fits) and settles them. Shared extents where the file
 * system can. When the old version does not hold that any more nothing of this is settled:
 * ERR_CHANGED, or ERR_CORRUPT when nobody wrote to it. */
bool old_fits(const struct old *o, uint64_t from, uint64_t count, uint64_t last_size);
enum err old_copy(struct old *o, struct part *p, uint64_t index, uint64_t from,
                  uint64_t count) MUST_CHECK;

#endif
