/* SPDX-License-Identifier: ISC */
/* The messages of a status (ipc.def), each printed by itself; what ask_show.c is made of. */
#ifndef CONSIGND_ASK_ROWS_H
#define CONSIGND_ASK_ROWS_H

#include "buf.h"
#include "ipc.h"

/* One message. */
struct ask_item {
    uint8_t type;
    const uint8_t *body;
    size_t n;
};

/* One or more lines for people, to standard output; false when it is of an unknown type or malformed. */
bool ask_text(const struct ask_item *item);

/* The same as a piece of the JSON object that the message before it has left open. */
bool ask_json(struct buf *b, const struct ask_item *item);

/* Of a revocation list, for both: the days until its next update is due, and how it stands. */
int64_t ask_days_left(const struct ipc_status_crl *m);
const char *ask_crl_state(const struct ipc_status_crl *m);

#endif
