/* SPDX-License-Identifier: ISC */
/* A status as it came over the status socket, printed: lines for people or one JSON object. Every
 * text in it is escaped, whoever put it there. */
#ifndef CONSIGND_ASK_SHOW_H
#define CONSIGND_ASK_SHOW_H

#include "buf.h"
#include "err.h"

/* All of it. */
enum err ask_show(const struct buf *status, bool json) MUST_CHECK;
/* The scrub alone. */
enum err ask_show_scrub(const struct buf *status, bool json) MUST_CHECK;

/* What of a scrub tells how far it is. */
struct ask_scrub {
    uint64_t run, ended, files, bytes, chunks;
    enum err status;
    char user[65]; /* whom it is at */
};
enum err ask_find_scrub(const struct buf *status, struct ask_scrub *out) MUST_CHECK;

#endif
