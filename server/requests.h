/* SPDX-License-Identifier: ISC */
/* The requests of an authorised user: a table of rows, served one after the other. */
#ifndef CONSIGND_REQUESTS_H
#define CONSIGND_REQUESTS_H

#include "board.h"
#include "chan.h"
#include "files.h"
#include "map.h"
#include "scribe.h"
#include "tree.h"

struct requests {
    struct chan *chan;
    struct files files;
    uint32_t busy_id; /* the oldest request that is not answered */
    struct scribe_batch records;
    const struct map_user *user;
    const struct tree_engine *engine;
    struct board *board;         /* where the running transfer is told of */
    struct gathering *gathering; /* small files that wait to be made durable together; or NULL */
    char path[PATH_MAX_BYTES + 1], path2[PATH_MAX_BYTES + 1];
    char stats_path[PATH_MAX_BYTES + 1]; /* of the last STATS that was recorded */
};

/* Takes the next frame, carries it out, answers it and records it. An error ends the connection:
 * the channel failed, the peer broke the protocol, or the audit log can't be written. A request
 * that fails is answered and is ERR_OK. */
enum err requests_serve(struct requests *r) MUST_CHECK;

/* The peer is silent for the moment: finishes what was gathered. Errors as above. */
enum err requests_settle(struct requests *r) MUST_CHECK;

/* What was recorded is in the audit log then, or there is a warning. */
void requests_release(struct requests *r);

#endif
