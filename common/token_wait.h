/* SPDX-License-Identifier: ISC */
/* A call of a PKCS#11 module can't be given a time limit, nor be ended but with its process. So a program
 * with a user in front of it says that it is the token that it waits for, and the user decides. */
#ifndef CONSIGN_TOKEN_WAIT_H
#define CONSIGN_TOKEN_WAIT_H

/* From now on a wait of more than 10 s is told of (log_warn), and again every minute. For a process that
 * does not fork: a thread does it. */
void token_wait_announce(void);

/* Around each call of a token that may take long. Not nested: a begin starts the wait anew, the
 * next end ends it. Nothing but for a process that announces. */
void token_wait_begin(void);
void token_wait_end(void);

#endif
