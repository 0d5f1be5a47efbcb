/* SPDX-License-Identifier: ISC */
/* Attributes (meta.h) of what is moved, where --xattrs, --acls or --owners ask for them: they follow the files and
 * folders once these stand, many requests at once. One that is not kept is warned about and counted; the
 * file is no failure for that. */
#ifndef CONSIGN_KEPT_H
#define CONSIGN_KEPT_H

#include "work.h"

/* Something whose attributes are to be set. */
struct kept;
void kept_free(struct kept *k); /* NULL is allowed */

/* Before an upload: remembers what the source j->fd has, to j->kept. */
void kept_read(struct job *j);

/* A job that succeeded: its attributes are due. */
void kept_due(struct job *j);

/* A folder's attributes are due: fd's for path at the server; path's for local, below work->fs. */
void kept_folder_up(struct worker *w, int fd, const char *shown, const char *path);
void kept_folder_down(struct worker *w, const char *path, const char *local);

/* Whether so many are due that they should be sent now. */
bool kept_full(const struct worker *w);

/* Sends what is due. Errors are the connection's. */
enum err kept_send(struct worker *w) MUST_CHECK;

/* The connection is lost, or ends: counts what is still due. */
void kept_drop(struct worker *w);

#endif
