/* SPDX-License-Identifier: ISC */
/* What the files of the receiver of a transfer share. Nobody else includes this. */
#ifndef CONSIGN_RECV_INTERNAL_H
#define CONSIGN_RECV_INTERNAL_H

#include "deflate.h"
#include "lane.h"
#include "old.h"
#include "xfer.h"

/* What a frame brought. */
struct recv_job {
    uint8_t type;    /* MSG_DATA, MSG_CHUNK, MSG_KEEP, MSG_COPY or MSG_HOLE */
    uint8_t *buffer; /* that holds the bytes of DATA, or did so before; NULL: none yet */
    uint64_t index;
    uint32_t offset;
    struct slice bytes;
    uint8_t kind;  /* enum msg_kind: what the bytes are */
    size_t length; /* of the content that they give */
    uint8_t hash[TREE_HASH];
    uint64_t count;
    uint64_t from;
};

/* Ranges that are asked for ahead. Over a long way a loss holds up what is behind it, and whoever sends must not run
 * out of work meanwhile; among several, what one has taken the others can't. */
enum { RECV_WANTS = 4, RECV_WANTS_SHARED = 2 };

struct receiver {
    const struct xfer *x;
    const struct xfer_sink *sink;
    struct xfer_result *result;
    struct msg_offer offer;
    uint64_t chunks;
    struct fs_part files;
    bool opened; /* sink->open succeeded */
    bool begun;  /* part_begin too: the slots speak of this data */
    struct part part;
    uint8_t token[PART_TOKEN]; /* by which others join */
    struct old old;
    struct tree_chunk hasher;
    struct tree_zeros zeros;
    struct deflate deflate; /* made with the first compressed piece, as is: */
    uint8_t *plain;         /* DEFLATE_MAX bytes */
    struct lane lane; /* part, old, hasher and what follows it are its own while it has jobs */
    struct recv_job jobs[LANE_SLOTS];
    uint64_t cursor;  /* the chunk that comes next: all before it are settled */
    uint64_t at;      /* bytes of it received */
    uint64_t told;    /* chunks whose hashes went out in HAVE */
    bool sender_done; /* COMMIT or ABORT came: the sender is silent now */
    bool replied;     /* the peer answered instead of sending */
    int64_t tick_ms;
    bool wanting;                   /* the sender sends what it is asked for: */
    uint64_t want_ends[RECV_WANTS]; /* ends of what was asked for and has not come */
    unsigned n_wants;
    bool want_over; /* no more will be */
};

/* ---- recv.c ---- */

/* Lets the sender hear of us, when it is time. */
enum err recv_tell(struct receiver *r, enum msg_phase phase, uint64_t done,
                   uint64_t total) MUST_CHECK;

/* ---- recv_frame.c: what comes ---- */

/* One frame of the sender's, whatever it is. */
enum err recv_frame(struct receiver *r, const struct frame *f) MUST_CHECK;

/* An ABORT. */
enum err recv_abort(struct receiver *r, const struct frame *f) MUST_CHECK;

/* Sends the hashes the sender may know now: it works in the window of the cursor, so that one and the next. */
enum err recv_send_have(struct receiver *r) MUST_CHECK;

/* Asks for more, so that something is always on its way. Stream 0 waits for what others still have, which it may have
 * to ask for itself. */
enum err recv_want(struct receiver *r) MUST_CHECK;

/* ---- recv_work.c: what becomes of it, on the lane ---- */

/* A lane_fn: does a struct recv_job. */
enum err recv_work(void *receiver, void *job) MUST_CHECK;

/* The bytes of count chunks from number first. */
uint64_t recv_bytes(const struct receiver *r, uint64_t first, uint64_t count);

#endif
