/* SPDX-License-Identifier: ISC */
/* One long file over several connections: the worker's own, which begins and commits it, and a thread
 * for each other one, which joins (common/share.h). A connection that is lost is replaced, and what it
 * had not brought to its end is moved again; without the worker's own the transfer ends, to be taken
 * up by the next. */
#ifndef CONSIGN_STREAMS_H
#define CONSIGN_STREAMS_H

#include "work.h"

struct streams;

/* Whether j is worth it and the work's connections are not at other files. size: UINT64_MAX when it is
 * not known. */
bool streams_worth(const struct work *w, uint64_t size);

/* flags: of the GET, for a download. */
enum err streams_new(struct worker *w, struct job *j, uint32_t flags,
                     struct streams **out) MUST_CHECK;
struct xfer_streams *streams_of(struct streams *s);

/* The worker's own transfer is over, as e says: waits for the others, adds what they moved to the job's
 * result. The bytes that crossed their wires. */
uint64_t streams_end(struct streams *s, enum err e);

/* For the others' downloads: the part below work->fs that is j's. */
enum err download_join(struct job *j, const uint8_t token[static PART_TOKEN],
                       struct fs_part *out) MUST_CHECK;

#endif
