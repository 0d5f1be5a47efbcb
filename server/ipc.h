/* SPDX-License-Identifier: ISC */
/* Messages between consignd's processes: one SOCK_SEQPACKET datagram each, u8 type and the fields
 * of ipc.def, at most IPC_FDS descriptors along. Every socketpair joins exactly two processes, so
 * who speaks is known by the socket and never by what is said.
 *
 *   master  - keeper    ATTACH, TICKET_ASK ->  <- KEEPER_UP, KEEPER_FAILED, KEEPER_EVENT, KEEPER_REFUSED, KEEPER_STATUS, TICKET_KEY,
 *                       VOUCH
 *   master  - scribe    ATTACH, REOPEN, RECORD, KEEPER_LINK, AUDIT_ASK ->  <- RECORDED, STATUS_AUDIT
 *   scribe  - keeper    HEAD_ASK ->  <- STATEMENT
 *   master  - session   <- PROVE  GRANTED, CUT ->
 *   master  - usher     USHER_ASK ->  <- JUDGING, VERDICT
 *   keeper  - signer    SIGNER_START, SIGNER_SIGN, SIGNER_STATE, TICKET_ASK ->  <- SIGNER_UP, SIGNER_FAILED, SIGNER_SIGNED,
 *                       TICKET_KEY
 *   session - keeper    SIGN ->  <- SIGNED       one signature, then the keeper closes
 *   session - scribe    RECORD, BUNDLE ->  <- RECORDED, AUDIT_STATE
 *   session - store     ST_*, BUNDLE ->  <- ST_INFO, ST_PART, ST_ITEMS, ANSWER, BUNDLE
 */
#ifndef CONSIGND_IPC_H
#define CONSIGND_IPC_H

#include "err.h"
#include "wire.h"

enum {
    IPC_FDS = 4,
    IPC_MAX = 192 * 1024, /* what a socket takes in one message: whole pages, small files */
    IPC_SMALL =
        16 *
        1024, /* enough for all but PROVE, what is for or from the usher, and from or for a store */
    IPC_SESSION_TEXT = 24,
    GRANT_CHAIN_MAX = 64 * 1024, /* as long as a handshake's message may be */
};

/* The table that codec.h reads next: this one. */
#undef CODEC_DEF
#undef CODEC_NAME
#undef CODEC_NUMBER
#define CODEC_DEF       "../server/ipc.def" /* seen from codec.h */
#define CODEC_NAME(x)   ipc_##x
#define CODEC_NUMBER(N) IPC_##N

enum ipc_type {
#define CODEC_PASS_NUMBER
#include "codec.h"
#undef CODEC_PASS_NUMBER
};

#define CODEC_PASS_STRUCT
#include "codec.h"
#undef CODEC_PASS_STRUCT
#define CODEC_PASS_PROTO
#include "codec.h"
#undef CODEC_PASS_PROTO

/* A received message; body borrows from the caller's buffer. Descriptors not used must be closed:
 * ipc_drop. */
struct ipc_in {
    uint8_t type;
    const uint8_t *body;
    size_t n;
    int fds[IPC_FDS];
    unsigned n_fds;
};

/* A connected pair of close-on-exec SOCK_SEQPACKET sockets that take messages of IPC_MAX bytes. */
enum err ipc_pair(int pair[static 2]) MUST_CHECK;

/* Sends one message: body is an encoded struct of ipc.def (from buf_*), fds may be NULL. ERR_CONN
 * (silent) when the other side is gone; other failures are logged. Blocks while the socket is full
 * unless dontwait, which then is ERR_BUSY (silent). */
enum err ipc_send(int fd, uint8_t type, const struct buf *body, const int *fds, unsigned n_fds,
                  bool dontwait) MUST_CHECK;

/* Encodes and sends: IPC_SEND(fd, granted, GRANTED, .status = 0) */
#define IPC_SEND_FDS(fd, name, NAME, fds, n_fds, ...)                                              \
    ({                                                                                             \
        struct buf ipc_body_;                                                                      \
        struct ipc_##name ipc_msg_ = {__VA_ARGS__};                                                \
        buf_init(&ipc_body_, IPC_MAX);                                                             \
        enum err ipc_rc_ = ipc_put_##name(&ipc_body_, &ipc_msg_)                                   \
                               ? ipc_send(fd, IPC_##NAME, &ipc_body_, fds, n_fds, false)           \
                               : ERR_LIMIT;                                                        \
        buf_release(&ipc_body_);                                                                   \
        ipc_rc_;                                                                                   \
    })
#define IPC_SEND(fd, name, NAME, ...) IPC_SEND_FDS(fd, name, NAME, NULL, 0, __VA_ARGS__)

/* Several messages in one datagram (BUNDLE), which saves the system calls and wake-ups of all but one: they are
 * gathered in a buf whose bound is at most IPC_MAX - 1, and sent by ipc_send_bundle, which empties it and sends
 * nothing when it is empty. IPC_ADD(&b, record, RECORD, &m) is false, and nothing was added, when it has no room
 * for one more (or m is not well-formed). */
size_t ipc_begin(struct buf *bundle, uint8_t type);
bool ipc_end(struct buf *bundle, size_t at) MUST_CHECK;
enum err ipc_send_bundle(int fd, struct buf *bundle) MUST_CHECK;
#define IPC_ADD(bundle, name, NAME, m)                                                             \
    ({                                                                                             \
        size_t ipc_at_ = ipc_begin(bundle, IPC_##NAME);                                            \
        (void)ipc_put_##name(bundle, m);                                                           \
        ipc_end(bundle, ipc_at_);                                                                  \
    })

/* The messages that are in in: itself, or those of a BUNDLE, one after the other; rest is what is left of it and
 * begins as {0}. False when there is none left; then rest->n is not 0 if what is left is none. They bring no
 * descriptors. */
bool ipc_next(const struct ipc_in *in, struct slice *rest, struct ipc_in *out) MUST_CHECK;

/* Receives one message into buffer (size bytes: IPC_MAX or IPC_SMALL). ERR_CONN (silent) when the
 * other side closed; ERR_TIMEOUT (silent) after timeout_ms without one (-1: no limit); ERR_PROTO,
 * logged, for an empty or truncated datagram, or one that is longer than size. */
enum err ipc_recv(int fd, uint8_t *buffer, size_t size, struct ipc_in *in,
                  int timeout_ms) MUST_CHECK;

/* Closes the descriptors that came along. */
void ipc_drop(struct ipc_in *in);

/* How a session's number is written wherever people read it, "1f3a-42": the upper half (the
 * server's start) in hex, the lower (the count) in decimal. */
void ipc_session_text(uint64_t session, char out[static IPC_SESSION_TEXT]);

/* "GRANT" and so on; "?" for a number that is not in the table. */
const char *ipc_name(uint8_t type);

#endif
