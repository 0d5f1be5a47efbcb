/* SPDX-License-Identifier: ISC */
/* The part: an unfinished content and what is known of it. A data file and a journal beside it, on
 * the filesystem of the destination; fs.h makes, finds and ends them, this module is what the
 * receiver of a transfer does with the two descriptors.
 *
 * The journal: a header (what is received, and the stamp) and at PART_SLOTS + 32 * i the hash of
 * chunk i, 32 zero bytes where there is none. All writes are pwrite at fixed places. Promises:
 *   - a slot is written only after its chunk's data was synced;
 *   - the stamp holds size, mtime, ctime and inode of the data file at the last checkpoint. Slots are
 *     trusted only while the data file still equals the stamp; else the data is hashed anew;
 *   - before the first write to data whose slots are trusted, the stamp is voided durably.
 * A failed sync or checkpoint is never retried: every later call but part_release returns its
 * error. A failed sync also voids the stamp, where the journal can still be written.
 *
 * After the commit the same file is the content's stored tree: header with the root, and the
 * slots. */
#ifndef CONSIGN_PART_H
#define CONSIGN_PART_H

#include "claims.h"
#include "tree.h"
#include <sys/stat.h>

enum {
    PART_VERSION = 3,
    PART_SLOTS = 8192, /* where the slots begin */
};

/* Identity of a file's state: equal means nobody wrote to it in between. */
struct part_stamp {
    uint64_t ino;
    uint64_t size;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
};

void part_stamp_of(const struct stat *st, struct part_stamp *out);
bool part_stamp_eq(const struct part_stamp *a, const struct part_stamp *b);

/* The journal's header. */
struct part_header {
    uint64_t length; /* of the content */
    uint8_t chunk_log2;
    uint64_t created; /* seconds since 1970 */
    bool stamped;     /* stamp is valid (not void) */
    struct part_stamp stamp;
    bool complete; /* a stored tree: root is valid and all slots are filled */
    uint8_t root[TREE_HASH];
    char path[4097];          /* the destination's virtual path */
    char owner[65];           /* the user who sends it */
    uint8_t joins[TREE_HASH]; /* of the token that lets other connections join; zeros: none may */
};

/* Reads the header at fd: ERR_NOENT (silent) when it is empty, short, of another version or its
 * check sum is wrong: the caller then treats it as not there. ERR_IO logged. */
enum err part_header_read(int fd, struct part_header *h) MUST_CHECK;
/* Writes it (no sync). */
enum err part_header_write(int fd, const struct part_header *h) MUST_CHECK;

/* count slots from index first, to hashes (32 * count bytes); what lies behind the file's end is
 * zero. */
enum err part_slots_read(int fd, uint64_t first, size_t count, uint8_t *hashes) MUST_CHECK;

/* The token lets other connections of one transfer join: its bytes are in no file, only their SHA-256 is. */
enum { PART_TOKEN = 32 };
/* Whether it is that of the part with this header; takes as long when it is not. */
bool part_joined_by(const struct part_header *h, const uint8_t token[static PART_TOKEN]);

/* A part being received. */
struct part {
    int data;    /* descriptor of the data file, read and write */
    int journal; /* descriptor of the journal, read and write */
    struct part_header header;
    uint64_t chunks;
    uint8_t *seen;                /* bitmap: chunks settled in this run (received or kept) */
    uint8_t *filled;              /* bitmap: slots that hold a hash from before this run */
    uint64_t settled;             /* how many */
    uint64_t have;                /* filled slots at the start, after any re-hash */
    struct part_pending *pending; /* hashes not yet in their slots: data not yet synced */
    size_t n_pending;
    uint64_t unsynced;     /* bytes since the last checkpoint, */
    uint64_t handed;       /* of which the disk was told to begin with so many */
    int64_t checkpoint_ms; /* when that was, CLOCK_MONOTONIC */
    bool
        unordered; /* slots on the disk may be older than those in the journal: sync before a stamp */
    bool shared;   /* other processes write other chunks of it: no stamp before the end */
    uint64_t skipped;     /* chunks left to them */
    struct claims claims; /* of all who write to it; and the last one that this one made: */
    uint64_t claimed;     /* its chunk's number + 1 */
    enum err failed;      /* a checkpoint or sync failed: nothing may be written any more */
};

/* Takes over both descriptors (also when it fails; they are closed by part_release). The journal's
 * header may describe another length or chunk size than offered: then, or with recheck, or when the
 * stamp does not hold, the data present is hashed anew into the slots, data longer than length is
 * cut, and the header is rewritten for (length, chunk_log2). Afterwards the stamp is void, durably,
 * and slots are what the data holds. progress (may be NULL) is called while hashing. */
enum err part_begin(struct part *p, int data, int journal, uint64_t length, unsigned chunk_log2,
                    bool recheck, const struct tree_engine *engine, tree_progress *progress,
                    void *progress_arg) MUST_CHECK;

/* Lets who knows the token write to it as well: part_join. */
enum err part_share(struct part *p, const uint8_t token[static PART_TOKEN]) MUST_CHECK;

/* Takes over both descriptors likewise, of a part that another process has begun and shares.
 * ERR_CHANGED when it is not the one with this token, length and chunk size. What is settled is there
 * for the one who began it once it has gone through a checkpoint. */
enum err part_join(struct part *p, int data, int journal, uint64_t length, unsigned chunk_log2,
                   const uint8_t token[static PART_TOKEN]) MUST_CHECK;

/* Closes and frees; without part_checkpoint what was not synced counts as not received. */
void part_release(struct part *p);

/* Chunks [first, first+count) are about to be overwritten: their slots are emptied. part_write does
 * this itself; who writes to the data file by other means says it first. ERR_PROTO when a chunk does not
 * exist or was settled before. */
enum err part_claim(struct part *p, uint64_t first, uint64_t count) MUST_CHECK;

/* Writes n bytes at offset of chunk index, in any order; the chunk's slot is emptied first. The
 * caller has checked that they lie inside the content. ERR_PROTO when the chunk was settled
 * before. */
enum err part_write(struct part *p, uint64_t index, uint32_t offset, const uint8_t *bytes,
                    size_t n) MUST_CHECK;

/* The chunk is complete in the data file and its hash is hash. ERR_PROTO when it was settled
 * before. May take a checkpoint (by bytes or by time). */
enum err part_settle(struct part *p, uint64_t index,
                     const uint8_t hash[static TREE_HASH]) MUST_CHECK;

/* The same for chunks [first, first+count), which all have that hash. */
enum err part_settle_run(struct part *p, uint64_t first, uint64_t count,
                         const uint8_t hash[static TREE_HASH]) MUST_CHECK;

/* Chunks [first, first+count) are taken as the slots say. ERR_PROTO when a slot is empty, the range
 * is not inside the content or a chunk was settled before. */
enum err part_keep(struct part *p, uint64_t first, uint64_t count) MUST_CHECK;

/* Chunks [first, first+count) come from others, who joined. ERR_PROTO when the part is not shared, the
 * range is not inside the content or a chunk was settled before. */
enum err part_skip(struct part *p, uint64_t first, uint64_t count) MUST_CHECK;

/* Whether chunk index was settled in this run. */
bool part_settled(const struct part *p, uint64_t index);

/* Syncs the data, fills the slots, stamps, syncs the journal. */
enum err part_checkpoint(struct part *p) MUST_CHECK;

/* All chunks settled, here or by those who joined (else ERR_PROTO), none of whom is there any more: sets the data
 * file's size to length, checkpoints, computes the root from the slots, writes it to the header as complete, and
 * returns it. A chunk that more than one wrote to is hashed anew: ERR_CORRUPT when that is not what its slot
 * says. */
enum err part_finish(struct part *p, const struct tree_engine *engine,
                     uint8_t root[static TREE_HASH]) MUST_CHECK;

#endif
