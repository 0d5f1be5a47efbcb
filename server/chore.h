/* SPDX-License-Identifier: ISC */
/* Housekeeping in a user's folders: processes as a store is, that ask for nothing and serve nobody
 * but report to the master over fd (ipc.def). They are called in a freshly forked child and return
 * its exit status. */
#ifndef CONSIGND_CHORE_H
#define CONSIGND_CHORE_H

#include "policy.h"

/* Removes the user's expired parts and orphaned trees, counts again what his roots hold where that is counted and was not
 * since the round began, for another user of the same folder; then sends SWEPT. */
int chore_sweep(const struct policy *policy, const struct map_user *user, int64_t began, int fd);

/* Scrubs the user's roots with the least priority: sends SCRUBBED at most once a second and at the
 * end, ROT for each finding. A root is left out that one of the n users
 * before this one in the run has as well. */
int chore_scrub(const struct policy *policy, const struct map_user *user, char (*before)[65],
                size_t n, int fd);

#endif
