/* SPDX-License-Identifier: ISC */
/* Several connections that share the files of one command: a queue, and a thread for each connection but
 * the first, which is that of whoever fills the queue. A file whose connection is lost goes back into
 * the queue; the connection is replaced. */
#ifndef CONSIGN_CREW_H
#define CONSIGN_CREW_H

#include "work.h"

enum { CREW_MAX = 64 };

/* Opens as many connections besides first, whose papers they share, as work says, and more later where
 * it leaves that open. Where fewer can be had (a user's limit) the work is done with these. work->crew is
 * set until crew_close. */
enum err crew_open(struct work *work, struct worker *first, const struct profile *p) MUST_CHECK;

/* The job is done by one of the connections; it moves in. Errors are the first connection's. */
enum err crew_do(struct crew *c, struct job *j) MUST_CHECK;

/* Waits until all jobs are done. */
enum err crew_settle(struct crew *c) MUST_CHECK;

/* A job whose connection was lost: true when it was taken back, to be done by another one. */
bool crew_take_back(struct crew *c, struct job *j);

/* Ends the connections. NULL is allowed. */
void crew_close(struct crew *c);

#endif
