/* SPDX-License-Identifier: ISC */
/* consignd --doctor: proves that a server can work with a configuration, beside one that may run. */
#ifndef CONSIGND_DOCTOR_H
#define CONSIGND_DOCTOR_H

#include "checkup.h"
#include "map.h"

/* Prints a line a check (checkup.h). The token gets one PIN, once right once more; where a server runs
 * with the file nothing is taken from it. ERR_OK, or ERR_CONFIG when there was a failure. */
enum err doctor(const char *file, bool json, bool quiet) MUST_CHECK;

/* Each rule's roots, as its account: rights, free space and inodes, how long an fsync takes. Forks. */
void doctor_roots(struct checkup *c, const struct map *map);

#endif
