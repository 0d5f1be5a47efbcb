/* SPDX-License-Identifier: ISC */
/* One line of the audit log: pure text, no files. */
#ifndef CONSIGND_SCRIBE_LINE_H
#define CONSIGND_SCRIBE_LINE_H

#include "audit.h"
#include "ipc.h"
#include <time.h>

/* The longest record there can be, with every byte of it escaped, fits. */
enum { SCRIBE_LINE_MAX = AUDIT_LINE_MAX };

/* What the scribe knows by itself. session and peer may be "": then they are left out. */
struct scribe_facts {
    struct timespec time;
    uint64_t seq;
    const uint8_t *prev; /* hash of the line before, WIRE_HASH bytes */
    const char *session;
    const char *peer;
};

/* Appends the whole line with its newline. NULL on success, else what is wrong with the record: a
 * name of an event or key that is not 1 to 32 of [a-z0-9_-], a key that is the scribe's own or
 * comes twice, fields that are not pairs, or a line over SCRIBE_LINE_MAX; out is then of no use. */
const char *scribe_line_put(struct buf *out, const struct scribe_facts *facts,
                            const struct ipc_record *record) MUST_CHECK;

#endif
