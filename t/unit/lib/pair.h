/* SPDX-License-Identifier: ISC */
/* Two processes with a channel between them, over TLS and a socket pair. What can't be made aborts the
 * test program. */
#ifndef CONSIGN_T_PAIR_H
#define CONSIGN_T_PAIR_H

#include "chan.h"

/* Around all tests: certificates for both. */
void pair_set_up(void);
void pair_tear_down(void);

/* Runs side, as the server, in a child whose exit status is its result, and connects this end to c. */
int pair_start(int (*side)(struct chan *c), struct chan *c);

/* The child's exit status; negative when it was killed. */
int pair_end(int pid);

#endif
