/* SPDX-License-Identifier: ISC */
/* What the files of the sender of a transfer share. Nobody else includes this. */
#ifndef CONSIGN_SEND_INTERNAL_H
#define CONSIGN_SEND_INTERNAL_H

#include "hole.h"
#include "match.h"
#include "packer.h"
#include "patience.h"
#include "xfer.h"

/* Chunks in a row that the receiver has already or that are zeros, not yet said. */
struct send_run {
    uint8_t type; /* MSG_KEEP, MSG_COPY or MSG_HOLE */
    uint64_t first, n;
    uint64_t from;   /* COPY: the old chunk that is first's */
    int64_t told_ms; /* when the last one went out */
};

enum {
    SEND_WANTS = 4, /* ranges asked for that may wait */
    SEND_THEIRS = XFER_WINDOW * XFER_WINDOWS,
};

struct sender {
    const struct xfer *x;
    const struct fs_source *source;
    struct xfer_result *result;
    uint64_t length, chunks;
    unsigned chunk_log2;
    bool stored;    /* hashes come from the stored tree */
    uint8_t *piece; /* XFER_PIECE bytes */
    struct packer packer;
    struct tree_chunk hasher;
    struct tree_zeros zeros;
    struct hole_map holes;
    struct tree_root root;
    uint8_t *own; /* window of hashes of the stored tree */
    uint64_t own_first;
    size_t own_n;
    uint8_t *theirs; /* the receiver's hashes: XFER_WINDOWS windows, by chunk index modulo */
    uint64_t have, have_known; /* how many will come; how many came */
    struct match old;          /* what it has in an old version */
    uint64_t shift;            /* of the last chunk found there: its number there less that here */
    struct send_run run;
    uint64_t cursor; /* the chunk that comes next */
    bool wanted;     /* the receiver says which chunks: */
    struct {
        uint64_t first, count;
    } wants[SEND_WANTS];
    unsigned n_wants;
    uint8_t stored_root[TREE_HASH];
    struct patience patience; /* for the receiver's next word */
    bool ready;               /* READY came */
    bool over;                /* the receiver said DONE */
    enum err status;          /* with this */
};

/* ---- send_answer.c: what the receiver says ---- */

/* Waits, as s->patience says, for one frame of the receiver's, whatever it is. ready: where READY goes; NULL when it
 * is not due. */
enum err send_take(struct sender *s, struct msg_ready *ready) MUST_CHECK;

/* Takes what has come. */
enum err send_take_ready(struct sender *s) MUST_CHECK;

/* ---- send_chunk.c ---- */

/* The source's stored tree, if there is a valid one: its hashes are s->stored then, and its chunk size is taken. */
enum err send_open_tree(struct sender *s) MUST_CHECK;

/* Covers chunks [first, first+count), and by SKIP what others bring before them. Ends early when the transfer is over. */
enum err send_range(struct sender *s, uint64_t first, uint64_t count) MUST_CHECK;

/* Others bring the chunks before index. */
enum err send_skip_to(struct sender *s, uint64_t index) MUST_CHECK;

/* The error of a source that is not any more what it was. */
enum err send_changed(const struct sender *s) MUST_CHECK;

#endif
