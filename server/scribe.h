/* SPDX-License-Identifier: ISC */
/* The scribe: the only process that appends to the audit log. One JSON object (RFC 8259) a line:
 *
 *   {"time":"2026-11-24T13:37:05.123456Z","seq":17,"session":"1f3a-42","peer":"192.0.2.7:50312","event":"commit",
 *    "user":"alice","path":"/a.bin", ...}
 *
 * time, seq, session and peer are the scribe's own (the master told it which session has which
 * socket); event and the rest come from that session, every value a JSON string with all but
 * printable ASCII and valid UTF-8 escaped. A line has at most 64 KiB; those of records that come together are
 * written by one write. When that can't be done whole, the answer is ERR_IO (ERR_NOSPACE when the disk is full),
 * and what was written of it is cut off again (ftruncate); what asked for it must not go on as if it were
 * recorded. Names of events and keys are 1 to 32 of [a-z0-9_-], a key comes once; other records are
 * refused with ERR_IO. The scribe has no signal to end it: it ends when control closes, after what
 * sessions have sent by then, for at most 2 s. */
#ifndef CONSIGND_SCRIBE_H
#define CONSIGND_SCRIBE_H

#include "buf.h"
#include "err.h"
#include <sys/types.h>

/* Starts the scribe: opens file for appending (mode 0640; created; NULL: standard output), forks,
 * confines. *control is the master's end of the control socket. */
enum err scribe_start(const char *file, int *control, pid_t *pid) MUST_CHECK;

/* Records an event over fd (a session's socket or the control socket) and waits for it to be
 * written: pairs of key and value (C strings; a NULL value leaves the pair out) ended by NULL, at
 * most 10240 bytes in all. ERR_IO, ERR_NOSPACE or ERR_CONN (the scribe is gone), logged. */
enum err scribe_record(int fd, const char *event, ...) __attribute__((sentinel)) MUST_CHECK;

/* Many records at once: scribe_add gathers, and sends now and then; scribe_send sends what was gathered;
 * scribe_wait sends it and waits until all are written. Errors as above, of any of them. */
struct scribe_batch {
    int fd;
    struct buf fields, records;
    unsigned sent; /* messages that are not answered yet */
};
void scribe_batch_init(struct scribe_batch *b, int fd);
void scribe_batch_release(struct scribe_batch *b);
enum err scribe_add(struct scribe_batch *b, const char *event, ...)
    __attribute__((sentinel)) MUST_CHECK;
enum err scribe_send(struct scribe_batch *b) MUST_CHECK;
enum err scribe_wait(struct scribe_batch *b) MUST_CHECK;

#endif
