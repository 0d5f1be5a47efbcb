/* SPDX-License-Identifier: ISC */
/* Trees at a server: a walk through one, page by page, and many names of one folder at once. What the
 * server says is held to remote_order.h.
 *
 * A page is asked for while the one before is being used. So its answer may be under way when
 * remote_walk_next returns: before any other request over the link, remote_walk_settle takes it in.
 */
#ifndef CONSIGN_REMOTE_WALK_H
#define CONSIGN_REMOTE_WALK_H

#include "client.h"
#include "remote_order.h"

struct remote_walk;

/* Begins a walk of the folder path; flags: MSG_WALK_FOLDERS, MSG_ITEMS_ROOTS. A connection has one walk
 * at a time. Whether the server can do it shows at the first remote_walk_next. */
enum err remote_walk_open(struct link *l, const char *path, uint32_t flags,
                          struct remote_walk **out) MUST_CHECK;

/* The next item; at the end one whose path is NULL. Errors are logged, and stay: what the server said,
 * ERR_PROTO for what it may not say (the link is of no use then), or the connection's. */
enum err remote_walk_next(struct remote_walk *w, struct remote_item *out) MUST_CHECK;

/* Takes in what is under way: after it the link is free for other requests. */
enum err remote_walk_settle(struct remote_walk *w) MUST_CHECK;

/* Settles as well. NULL is allowed. */
void remote_walk_close(struct remote_walk *w);

/* What stands in folder under each of the n names, all legal: out[i] of names[i], type MSG_MISSING for
 * nothing (as for all when the folder itself is missing), MSG_FAULT for what can't be told, mode being
 * the status that says why. With the roots that are stored, if roots is set. In as many requests as it
 * takes. */
enum err link_stats(struct link *l, const char *folder, bool roots, const char *const *names,
                    size_t n, struct fs_info *out) MUST_CHECK;

#endif
