/* SPDX-License-Identifier: ISC */
/* The store's requests that are answered by pages of items: walks, and many names of one folder. */
#ifndef CONSIGND_STORE_PAGES_H
#define CONSIGND_STORE_PAGES_H

#include "fs.h"
#include "ipc.h"

struct store_pages {
    struct fs *fs;        /* borrowed */
    int fd;               /* the session */
    struct fs_walk *walk; /* open: what is left is for ST_NEXT */
};

/* Each decodes, sends the pages and leaves the status for the ANSWER; false for a malformed one. */
bool store_walk(struct store_pages *p, const struct ipc_in *in, enum err *status);
bool store_next(struct store_pages *p, const struct ipc_in *in, enum err *status);
bool store_stats(struct store_pages *p, const struct ipc_in *in, enum err *status);

/* Ends the walk that is open. */
void store_pages_release(struct store_pages *p);

#endif
