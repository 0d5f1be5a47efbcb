/* SPDX-License-Identifier: ISC */
/* Housekeeping in a user's folders: processes as a store is, that ask for nothing and serve nobody
 * but report to the master over fd (ipc.def). They are called in a freshly forked child and return
 * its exit status. */
#ifndef CONSIGND_CHORE_H
#define CONSIGND_CHORE_H

#include "policy.h"

/* Removes the user's expired parts and orphaned trees, then sends SWEPT. */
int chore_sweep(const struct policy *policy, const struct map_user *user, int fd);

/* Scrubs the user's roots with the least priority: sends SCRUBBED at most once a second and at the
 * end, ROT for each finding. With shared set, a root is left out that a user above this one in the
 * map has as well. */
int chore_scrub(const struct policy *policy, const struct map_user *user, bool shared, int fd);

#endif
