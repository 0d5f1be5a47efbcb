/* SPDX-License-Identifier: ISC */
/* A walk through a tree at the server, page by page: as common/walk.h, over a pipeline that goes on with
 * other requests meanwhile. The next page is asked for as soon as one has come.
 *
 * What the server says is held to remote_order.h. */
#ifndef CONSIGN_REMOTE_WALK_H
#define CONSIGN_REMOTE_WALK_H

#include "pipeline.h"
#include "remote_order.h"

struct remote_walk;

/* flags: MSG_WALK_*, MSG_ITEMS_ROOTS. The pipeline must outlive it; one walk a connection at a time. */
enum err remote_walk_open(struct pipeline *p, const char *path, uint32_t flags,
                          struct remote_walk **out) MUST_CHECK;

/* The next item; ERR_NOENT, silent, at the end. Other errors are logged: the server's (no such folder, no
 * right), or the connection's. */
enum err remote_walk_next(struct remote_walk *w, struct remote_item *out) MUST_CHECK;

/* Goes over what is in the folder just reported. */
void remote_walk_skip(struct remote_walk *w);

/* Waits for the page that is on its way. NULL is allowed. */
void remote_walk_close(struct remote_walk *w);

#endif
