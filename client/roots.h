/* SPDX-License-Identifier: ISC */
/* Contents compared by their roots: the server's, which hashes what it has no root stored of, and ours,
 * hashed meanwhile. No content is moved. */
#ifndef CONSIGN_ROOTS_H
#define CONSIGN_ROOTS_H

#include "pipeline.h"
#include <sys/stat.h>

/* A question for one file's root, STAT; all 0 when it is not asked. Must stay where it is until it is
 * answered. */
struct root_question {
    uint32_t id;
    bool asked;
    enum err status;      /* why the server does not say, ERR_OK when it does; */
    char reason[128];     /* its words, escaped */
    struct fs_info *info; /* where the answer goes, if there is one */
    struct fs_info said;
};

/* Asks for the root of path; the server begins with it at the next chan_flush. Errors are the connection's,
 * here and below. */
enum err roots_ask(struct root_question *q, struct pipeline *p, const char *path,
                   struct fs_info *info) MUST_CHECK;
/* Waits for the answer, if it was asked. */
enum err roots_wait(struct root_question *q, struct pipeline *p) MUST_CHECK;

/* The root of the file that is open as fd, which was found as st; ERR_CHANGED when it is so no more at
 * the end. The connection is looked at meanwhile: its errors are told from the file's by chan.failed. show
 * may be NULL. Failures are logged with name. */
enum err roots_local(struct pipeline *p, int fd, const char *name, const struct stat *st,
                     struct show *show, uint8_t root[static TREE_HASH]) MUST_CHECK;

/* Whether there is the same content at the server: info, or the answer to q that goes there. What can't
 * be read or told is not the same. */
enum err roots_same(struct root_question *q, struct pipeline *p, int fd, const char *name,
                    const struct stat *st, const struct fs_info *info, bool *same) MUST_CHECK;

#endif
