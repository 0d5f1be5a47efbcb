/* SPDX-License-Identifier: ISC */
/* The ledger of a root: what counts to whom in it, and until when something in it is retained. One file,
 * PATH_SERVICE/ledger, written by pwrite at fixed places under a lock of the whole file that also
 * works on a cluster file system. Nobody but the files of the module fs includes this.
 *
 * Records of FS_RECORD bytes: the first one is the head, each other one an account. What counts to a user is
 * what went into his account less what went out of it. Both only ever grow, so that who counts the files
 * on the disk again sees what came and went meanwhile. A record whose check sum is wrong is not there. */
#ifndef CONSIGN_FS_LEDGER_H
#define CONSIGN_FS_LEDGER_H

#include "fs_internal.h"

enum { FS_RECORD = 128 };

struct fs_sum {
    uint64_t bytes; /* by the files' lengths */
    uint64_t files; /* and folders, and links; an unfinished upload is one, too */
    uint64_t parts; /* unfinished uploads */
};

void fs_sum_add(struct fs_sum *to, const struct fs_sum *s);
/* Never below 0. */
void fs_sum_sub(struct fs_sum *from, const struct fs_sum *s);

struct fs_account {
    char user[65]; /* "": of what is nobody's */
    struct fs_sum in, out;
    uint64_t at; /* number of its record; 0: it has none */
};

/* What counts to it. */
struct fs_sum fs_account_sum(const struct fs_account *a);

struct fs_head {
    int64_t until;   /* no file is retained longer; seconds since 1970 */
    uint64_t moves;  /* folders that were renamed */
    int64_t counted; /* when the files were counted last */
};

/* Opens the ledger in top (PATH_SERVICE), making it where make is set. ERR_NOENT, silent, when there is none. */
enum err fs_ledger_open(int top, bool make, int *fd) MUST_CHECK;

/* Waits for the lock, which goes with fd. ERR_BUSY after a minute. */
enum err fs_ledger_lock(int fd) MUST_CHECK;
void fs_ledger_unlock(int fd);

/* All below under the lock. */

/* A head that can't be read retains everything there is. */
void fs_ledger_head(int fd, struct fs_head *out);
enum err fs_ledger_write_head(int fd, const struct fs_head *h) MUST_CHECK;

/* ERR_NOENT, silent, for a user without an account: out is an empty one, then. */
enum err fs_ledger_find(int fd, const char *user, struct fs_account *out) MUST_CHECK;

/* An account without a record gets one. */
enum err fs_ledger_write(int fd, struct fs_account *a) MUST_CHECK;

/* Calls each with every account; its result other than ERR_OK ends it. */
enum err fs_ledger_each(int fd, enum err (*each)(void *arg, const struct fs_account *a),
                        void *arg) MUST_CHECK;

#endif
