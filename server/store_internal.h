/* SPDX-License-Identifier: ISC */
/* What the files of the module store share. Nobody else includes this. */
#ifndef CONSIGND_STORE_INTERNAL_H
#define CONSIGND_STORE_INTERNAL_H

#include "fs.h"
#include "ipc.h"
#include "store.h"
#include "store_pages.h"

struct store {
    struct fs fs;
    int fd;
    struct fs_group *group;   /* of small files */
    struct fs_reader *reader; /* of others */
    struct buf out;           /* their contents */
    enum err told;            /* whether the session could be told of those that failed */
    struct fs_part part;      /* open for the session; data < 0: none */
    struct store_pages pages;
    char path[PATH_MAX_BYTES + 1], path2[PATH_MAX_BYTES + 1];
};

/* The words of the last failure, as long as an answer takes them; borrowed. */
struct slice store_reason(void);

/* The answer to a request; the reason of a failure is store_reason(). */
enum err store_answer(const struct store *s, enum err status, const int *fds,
                      unsigned n_fds) MUST_CHECK;

/* What stands there, before the answer. */
enum err store_send_info(const struct store *s, const struct fs_info *i,
                         const char *name) MUST_CHECK;

/* The requests: each decodes, acts and leaves the status; false for a malformed one. */
bool store_do_stat(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_list(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_mkdir(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_remove(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_rename(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_symlink(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_meta(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_meta_get(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_commit(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_share(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_release(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_discard(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_pending(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_parents(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_attributes(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_walk(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_next(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_stats(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_small(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_group(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_fetch(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_source(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_part_open(struct store *s, const struct ipc_in *in, enum err *status);
bool store_do_join(struct store *s, const struct ipc_in *in, enum err *status);

#endif
