/* SPDX-License-Identifier: ISC */
/* The confinement of a command that receives: from before the first byte of the server's it can open nothing but what
 * is below the folder it writes to, has no key (agent.h), and few system calls (common/confine.def, RECEIVER). */
#ifndef CONSIGN_RECEIVER_H
#define CONSIGN_RECEIVER_H

#include "client.h"

/* For this thread and all that it starts from now on. fs: its one root is the folder; links: symbolic links are made.
 * What the kernel can't enforce is done without, with a warning where it is all of it, unless the profile says
 * confine = require. */
enum err receiver_confine(const struct profile *p, const struct fs *fs, bool links) MUST_CHECK;

#endif
