/* SPDX-License-Identifier: ISC */
/* What tls.h offers to a channel, over memory instead of TLS: what the peer says is there from the beginning, and is
 * handed out in pieces. A program that uses it has no TLS. */
#ifndef CONSIGN_FUZZ_TRANSPORT_H
#define CONSIGN_FUZZ_TRANSPORT_H

#include "chan.h"

/* The peer says all of input (borrowed) and closes. cut: how long the pieces are; 0: as long as they may be. */
struct tls *transport_new(struct slice input, uint8_t cut);

/* What was sent so far, plain; borrowed. */
struct slice transport_sent(const struct tls *t);

#endif
