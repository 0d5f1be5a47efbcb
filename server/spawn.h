/* SPDX-License-Identifier: ISC */
/* This program started anew in another role, by fork and exec of /proc/self/exe: for processes that
 * load a PKCS#11 module, which breaks across a mere fork, or that start such. */
#ifndef CONSIGND_SPAWN_H
#define CONSIGND_SPAWN_H

#include "err.h"
#include <sys/types.h>

enum { SPAWN_CONTROL = 3 }; /* the descriptor that it has its end of the control socket at */

/* argv is ended by NULL. *control is our end of the control socket, *pid the process, which the
 * kernel kills when this one ends. */
enum err spawn_self(char *const *argv, int *control, pid_t *pid) MUST_CHECK;

#endif
