/* SPDX-License-Identifier: ISC */
/* The store: one process per authorised connection, the only one that touches the file tree. Runs
 * as the mapped account, confined to that user's roots; parses only its session's small, fixed
 * requests (ipc.def, ST_*). */
#ifndef CONSIGND_STORE_H
#define CONSIGND_STORE_H

#include "config.h"
#include "confine.h"
#include "fs.h"
#include "map.h"

/* The store's life in a freshly forked child: opens the roots, becomes the account, confines
 * itself, answers once (ANSWER: ready, or why not) and serves until fd closes. Returns the exit
 * status. */
int store_main(const struct config *config, const struct map_user *user, int fd);

/* What it begins with, for other processes that touch a user's files: opens the roots while still
 * able to, then gives up all else. as: CONFINE_STORE, or CONFINE_SCRUB, which only reads.
 * confine_start comes before. */
enum err store_prepare(struct fs *fs, const struct config *config, const struct map_user *user,
                       enum confine_process as) MUST_CHECK;

#endif
