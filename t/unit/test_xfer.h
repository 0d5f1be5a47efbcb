/* SPDX-License-Identifier: ISC */
/* What the tests of transfers share: a store in a folder of their own, and a receiver in another process that
 * writes to /there in it. */
#ifndef TEST_XFER_H
#define TEST_XFER_H

#include "fs.h"
#include "lib/pair.h"
#include "xfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];    /* with the store's root in it */
static struct fs files;    /* the store */
static uint64_t die_after; /* chunks; 0: never */
static bool threads;       /* the receiver may use a second one */
static bool whole;         /* and takes nothing from an old version */

static inline enum err sink_open(void *arg, uint64_t length, bool sparse, struct fs_part *out)
{
    (void)arg;
    unsigned flags = FS_PART_OVERWRITE | (sparse ? FS_PART_SPARSE : 0);
    return fs_open_part(&files, "/there", length, flags, 5000, out);
}

static inline enum err sink_commit(void *arg, const struct fs_part *part, const struct msg_offer *o)
{
    struct fs_commit how = {"/there", true, o->mode, (int64_t)o->mtime_s, o->mtime_ns};
    (void)arg;
    return fs_commit(&files, part, &how);
}

static inline void sink_event(void *arg, enum xfer_phase phase, uint64_t done, uint64_t total)
{
    (void)arg;
    (void)total;
    if (phase == XFER_MOVING && die_after && done >> TREE_CHUNK_LOG2 >= die_after)
        _exit(7);
}

/* The other process: receives transfer 9. */
static inline int receive(struct chan *c)
{
    struct xfer_sink sink = {.open = sink_open, .commit = sink_commit};
    struct xfer x = {.chan = c,
                     .id = 9,
                     .name = "there",
                     .engine = tree_engine(false),
                     .threads = threads,
                     .whole = whole,
                     .event = sink_event};
    struct xfer_result r;
    return xfer_receive(&x, &sink, &r) == ERR_OK ? 0 : 1;
}

static inline int set_up(void **unused)
{
    const char *tmp = getenv("TMPDIR");
    char store[80];
    (void)unused;
    snprintf(folder, sizeof folder, "%s/xfer.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(store, sizeof store, "%s/store", folder);
    pair_set_up();
    fs_init(&files, "alice", false);
    (void)tree_engine(false);
    return mkdir(store, 0700) == 0 && fs_add_root(&files, "/", store, FS_ALL) == ERR_OK ? 0 : -1;
}

static inline int tear_down(void **unused)
{
    char command[96];
    (void)unused;
    fs_release(&files);
    pair_tear_down();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

#endif
