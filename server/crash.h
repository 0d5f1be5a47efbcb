/* SPDX-License-Identifier: ISC */
/* The last words of processes that the kernel kills for a system call that their confinement does not allow.
 *
 * All children of the master have one socket, to which a process that is being killed sends the number of the call
 * (confine.h). The kernel says who sent it, so nobody can speak for another. A process that lies speaks of itself only,
 * and is heard only when it is really dead. */
#ifndef CONSIGND_CRASH_H
#define CONSIGND_CRASH_H

#include "err.h"
#include <sys/types.h>

enum { CRASH_WORDS = 16 };

struct crash {
    int fd, theirs; /* our end; that of all children */
    struct {
        pid_t pid; /* 0: none */
        int call;
    } words[CRASH_WORDS]; /* the last ones, in a ring */
    unsigned next;
};

/* Makes the socket; processes that are forked from now on report to it. */
enum err crash_init(struct crash *c) MUST_CHECK;
void crash_release(struct crash *c);

/* Takes what there is to hear. */
void crash_hear(struct crash *c);

/* The call that pid was killed for; -1 when it left no word. It is forgotten. */
int crash_call(struct crash *c, pid_t pid);

#endif
