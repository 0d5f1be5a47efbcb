/* SPDX-License-Identifier: ISC */
/* The framed channel: messages of msg.def over one TLS connection.
 *
 * Sending gathers small frames until chan_flush or until there is a good deal of them; a DATA's
 * content is encrypted from where it lies. While the socket is full, what the peer sends is taken
 * in (as far as one frame's room allows), so two peers that both send can't block each other for
 * good. Waiting is bounded everywhere: for a frame by the caller's limit, inside a frame and while
 * sending by the minimum progress. */
#ifndef CONSIGN_CHAN_H
#define CONSIGN_CHAN_H

#include "gauge.h"
#include "msg.h"
#include "pace.h"
#include "tls.h"

struct chan_limits {
    int64_t stall_ms; /* inside a frame, or sending: in each such span ... */
    uint64_t
        min_rate; /* ... at least min_rate * stall_ms / 1000 bytes must move, or be taken by the
                          peer's kernel */
};

/* Asked when the descriptor that chan_heed was given is readable, or now and then: why the connection has to
 * end (logged), or ERR_OK: not now. *ever is set to false when there is nothing more to be heard. */
typedef enum err chan_heed_fn(void *arg, bool *ever);

struct chan {
    struct tls *tls;
    struct chan_limits limits;
    struct buf out; /* plain frames not yet encrypted */
    uint8_t *in;    /* received: in[from, to) */
    size_t in_cap;
    size_t in_from, in_to;
    uint32_t frame_max;   /* longest type and body accepted now */
    bool failed;          /* the connection can't be used any more */
    bool peer_ended;      /* by ERROR: it hears nothing more */
    bool mute;            /* sending failed: nothing more can be said */
    uint64_t moved;       /* content bytes both ways, for the progress watch */
    uint64_t watch_moved; /* moved at the start of the running span */
    int64_t watch_ms;
    bool watch_sampled;   /* watch_acked was taken in the running span */
    uint64_t watch_acked; /* bytes that the peer's kernel had acknowledged by then */
    struct pace *pace;    /* NULL: no limit */
    int64_t pace_ms;      /* the turn of what was received last */
    int heed_fd;          /* -1: nobody may end the connection from outside */
    chan_heed_fn *heed;
    void *heed_arg;
    int64_t heed_ms;    /* when it is asked next, without a sign */
    bool cut;           /* it ended so, between two frames of ours */
    int64_t waited_ns;  /* for the socket to take more, so far */
    struct gauge gauge; /* whether compressing would help here: for the sender of a transfer */
};

/* A received message; body borrows from the channel until the next chan_recv or chan_ready. */
struct frame {
    uint8_t type;
    const uint8_t *body;
    size_t n;
};

/* Takes over a connection after its handshake (tls moves in, also on failure). Frames other than
 * DATA are accepted at first: see chan_allow_data. */
enum err chan_init(struct chan *c, struct tls *tls, const struct chan_limits *limits) MUST_CHECK;
/* Closes without a word. */
void chan_release(struct chan *c);

/* From now on frames up to MSG_FRAME_MAX are accepted: after the peer was authorised. */
void chan_allow_data(struct chan *c);

/* From now on what is sent and received keeps to p (borrowed; NULL: no limit), which other connections
 * may share. Waiting for one's turn is no stall on this side; the other sees slow but steady bytes. To
 * be called before there is much to receive: it bounds what the kernel keeps for us. */
void chan_pace(struct chan *c, struct pace *p);

/* From now on heed may end the connection: fd is watched while the channel waits for the peer, and heed is
 * asked before a frame is received or a DATA sent, not more often than ten times a second. What heed
 * returned is the result of the call it happened in, and chan_reject can still tell it to the peer. */
void chan_heed(struct chan *c, int fd, chan_heed_fn *heed, void *arg);

/* Queues one message: CHAN_SEND(c, done, DONE, .id = id, .status = 0) */
#define CHAN_SEND(c, name, NAME, ...)                                                              \
    ({                                                                                             \
        struct msg_##name chan_msg_ = {__VA_ARGS__};                                               \
        size_t chan_at_ = chan_begin(c, MSG_##NAME);                                               \
        (void)msg_put_##name(&(c)->out, &chan_msg_);                                               \
        chan_end(c, chan_at_);                                                                     \
    })
size_t chan_begin(struct chan *c, uint8_t type);
enum err chan_end(struct chan *c, size_t at) MUST_CHECK;

/* Sends a DATA without copying its content. */
enum err chan_send_data(struct chan *c, const struct msg_data *m) MUST_CHECK;

/* Sends all that is queued. */
enum err chan_flush(struct chan *c) MUST_CHECK;

/* The next frame: flushes, then waits up to timeout_ms for its first byte. ERR_TIMEOUT (silent)
 * when there was none; ERR_CONN when the peer closed (silent when it did so in order between two
 * frames); ERR_PROTO, logged, for a frame that is empty or too long. ERROR is no frame for the caller: it
 * ends the connection wherever it comes, and its status is returned, its reason logged. */
enum err chan_recv(struct chan *c, struct frame *f, int64_t timeout_ms) MUST_CHECK;

/* Lets the last frame received live on: *buffer becomes the buffer that its body lies in, which is the
 * caller's now (free), and the channel goes on with what *buffer was: one of an earlier call, or NULL
 * for a new one. */
enum err chan_keep_frame(struct chan *c, uint8_t **buffer) MUST_CHECK;

/* Whether chan_recv would return a frame without waiting. Takes in what the socket has, never
 * waits, never logs: an error shows at the next call. */
bool chan_ready(struct chan *c);

/* Says ERROR (status, reason) and close_notify, best effort, within a second; the channel is
 * unusable then. */
void chan_reject(struct chan *c, enum err status, const char *reason);

/* After chan_reject: takes in and drops what the peer sends until it closes or ms have passed. A socket
 * that is closed before could lose the last words on their way. */
void chan_linger(struct chan *c, int64_t ms);

/* Orderly end: flushes and says close_notify. */
void chan_bye(struct chan *c);

/* By which other connections join the transfer id of this one: both of its ends can compute the token, and
 * nobody else (PROTOCOL.md). */
enum err chan_token(const struct chan *c, uint32_t id, uint8_t token[static TLS_EXPORT]) MUST_CHECK;

/* Decodes f as message NAME into m: CHAN_GET(f, done, &m), false when it is not well-formed. */
#define CHAN_GET(f, name, m) msg_get_##name((f)->body, (f)->n, m)

/* Logs that message f is malformed or has no place here, and returns ERR_PROTO. */
enum err chan_unexpected(const struct frame *f, const char *where) MUST_CHECK;
enum err chan_malformed(const struct frame *f) MUST_CHECK;

#endif
