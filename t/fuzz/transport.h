/* SPDX-License-Identifier: ISC */
/* What tls.h offers to a channel, over memory instead of TLS: what the peer says is there from the beginning, and is
 * handed out in pieces. A program that uses it has no TLS. */
#ifndef CONSIGN_FUZZ_TRANSPORT_H
#define CONSIGN_FUZZ_TRANSPORT_H

#include "chan.h"
#include "fuzz.h"

/* The peer says all of input (borrowed) and closes. cut: how long the pieces are; 0: as long as they may be. */
struct tls *transport_new(struct slice input, uint8_t cut);

/* What was sent so far, plain; borrowed. */
struct slice transport_sent(const struct tls *t);

/* Appends a frame: TRANSPORT_PUT(&b, done, DONE, .id = 1) */
#define TRANSPORT_PUT(b, name, NAME, ...)                                                          \
    do {                                                                                           \
        size_t transport_at_ = (b)->len;                                                           \
        wire_put_u32(b, 0);                                                                        \
        wire_put_u8(b, MSG_##NAME);                                                                \
        FUZZ_MUST(msg_put_##name(b, &(struct msg_##name){__VA_ARGS__}));                           \
        wire_store_u32((b)->data + transport_at_, (uint32_t)((b)->len - transport_at_ - 4));       \
    } while (0)

#endif
