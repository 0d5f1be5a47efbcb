/* SPDX-License-Identifier: ISC */
/* One transfer of one file, the same code whichever side sends: xfer_send and xfer_receive run
 * against each other over a channel.
 *
 *   sender                                   receiver
 *   OFFER length, chunk size, mtime ... ->
 *                                         <- READY how many chunks it may have, and of an old version
 *                                         <- OLD   hashes of the old version, all of them
 *                                         <- HAVE  of its own, XFER_WINDOWS windows ahead at most
 *   for each chunk in order: HOLE runs of zeros, KEEP runs of those it has, COPY runs of those that are in
 *   the old version, or DATA ... and CHUNK with its hash ->
 *   COMMIT length, root                   ->
 *                                         <- DONE
 *
 * PROGRESS may come from either side while it is busy. The receiver ends a transfer early by DONE
 * with an error: the sender answers with ABORT (or had sent COMMIT already), and until then the
 * receiver drops what is in flight. The sender ends it early by ABORT; the receiver answers with
 * DONE. So a transfer is over when the sender has sent COMMIT or ABORT and the receiver DONE, and
 * the connection goes on. */
#ifndef CONSIGN_XFER_H
#define CONSIGN_XFER_H

#include "chan.h"
#include "fs.h"
#include "share.h"
#include "tree.h"

enum {
    XFER_WINDOW = MSG_HAVE_MAX, /* chunk hashes in one HAVE */
    XFER_WINDOWS = 2,           /* windows the receiver is ahead of the sender */
    XFER_PIECE = MSG_DATA_MAX,  /* bytes read, hashed and sent at once */
    XFER_COPY_MAX = 64 << 20,   /* bytes in a COPY, where that is more than a chunk */
    XFER_TICK_MS = 1000,        /* a side that waits for others is heard of so often */
    XFER_SYNC_MS =
        2 * 60 * 1000, /* a receiver may be silent so long while the kernel syncs for it */
};

enum xfer_phase { XFER_HASHING, XFER_PEER_HASHING, XFER_MOVING, XFER_COMMITTING };

/* Whether the sender compresses: never; where it makes the transfer faster; whatever shrinks. */
enum xfer_compress { XFER_COMPRESS_OFF, XFER_COMPRESS_AUTO, XFER_COMPRESS_ON };

/* Called now and then, at least once a chunk. */
typedef void xfer_event_fn(void *arg, enum xfer_phase phase, uint64_t done, uint64_t total);

/* What a transfer needs on either side. */
struct xfer {
    struct chan *chan;
    uint32_t id;
    const char *name; /* for messages: the path as the user knows it */
    const struct tree_engine *engine;
    enum xfer_compress compress; /* of the sender */
    bool recheck;                /* trust neither journal nor stored tree */
    bool whole;                  /* a receiver takes nothing from an old version */
    bool threads;         /* a second thread may be used: it hashes and writes what is received */
    xfer_event_fn *event; /* may be NULL */
    void *event_arg;
    /* A content over several connections; each is a transfer of its own for a part of the chunks. */
    bool shared; /* at the server: others may join (receiver), chunks are asked for (sender) */
    bool joined; /* this one did: it brings chunks and commits nothing */
    bool
        upload; /* of a receiver at the server: only a download can be answered by DONE instead of an offer */
    const uint8_t *token;         /* of a joined receiver: PART_TOKEN bytes */
    struct xfer_streams *streams; /* at the client; NULL: one connection */
    unsigned stream;              /* number of this one */
};

/* What the streams of one content have in common, at the client. */
struct xfer_streams {
    struct share *share; /* a download's is made when its length is known */
    /* Others can join now. Called by stream 0, once at most. */
    void (*open)(void *arg, const uint8_t token[static PART_TOKEN]);
    void *arg;
};

/* How it went. */
struct xfer_result {
    uint64_t length;
    uint64_t moved;  /* content bytes that crossed the wire */
    uint64_t kept;   /* content bytes the receiver had */
    uint64_t copied; /* those it took from its old version */
    uint64_t zeros;  /* and those of whole chunks of zeros, which it was only told of */
    uint8_t root[TREE_HASH];
    bool peer_said; /* the error is the peer's: its words are in reason */
    char reason[513];
};

/* Sends source (whose descriptors stay the caller's). On an error the transfer is over on both
 * sides, unless the channel failed. */
enum err xfer_send(const struct xfer *x, const struct fs_source *source,
                   struct xfer_result *result) MUST_CHECK;

/* Where the receiver puts it. */
struct xfer_sink {
    /* Opens the part for a content of length bytes; all descriptors become the receiver's. A sparse
     * one will not take all that space. */
    enum err (*open)(void *arg, uint64_t length, bool sparse, struct fs_part *out);
    /* Lets others join the part. NULL: they can't. */
    enum err (*share)(void *arg, const struct fs_part *part);
    /* Before a shared part is finished: no more may join; waits a moment for those who did. ERR_BUSY when one stays: then
     * it is called again, for as long as the channel's stall limit lets a silent one live. */
    enum err (*unshare)(void *arg, const struct fs_part *part);
    /* Makes the finished part visible and durable. */
    enum err (*commit)(void *arg, const struct fs_part *part, const struct msg_offer *offer);
    /* The part is finished or given up: both descriptors are closed already. May be NULL. */
    void (*release)(void *arg);
    /* Called with the outcome before the peer learns of it; an error here replaces success. May be
     * NULL. */
    enum err (*record)(void *arg, enum err outcome, const struct xfer_result *result);
    void *arg;
};

/* Receives a transfer whose OFFER is the next frame. What was received before an error is kept,
 * checked and durable, in the part. With no offer at all (the peer answered DONE instead) that
 * status is returned. */
enum err xfer_receive(const struct xfer *x, const struct xfer_sink *sink,
                      struct xfer_result *result) MUST_CHECK;

/* For a request that was refused before its transfer could be opened: answers DONE with e and the
 * reason, and drops what the sender has in flight until its ABORT or COMMIT. */
enum err xfer_refuse(const struct xfer *x, enum err e, const char *reason) MUST_CHECK;

#endif
