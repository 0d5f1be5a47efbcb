/* SPDX-License-Identifier: ISC */
/* The scribe: the only process that appends to the audit log. One JSON object (RFC 8259) a line, each chained to
 * the one before (audit.h):
 *
 *   {"time":"2026-11-24T13:37:05.123456Z","seq":17,"prev":"9f86...","session":"1f3a-42","peer":"192.0.2.7:50312",
 *    "event":"commit","user":"alice","path":"/a.bin", ...}
 *
 * time, seq, prev, session and peer are the scribe's own (the master told it which session has which socket); event
 * and the rest come from that session, every value a JSON string with all but printable ASCII and valid UTF-8
 * escaped. Names of events and keys are 1 to 32 of [a-z0-9_-], a key comes once; other records are refused. Events
 * of the scribe itself: begin, open, rotate, continue, close, torn, gap, clock, head (consignd(8)).
 *
 * A line has at most 64 KiB; those that come together are written by one write, and answered once that is done, with
 * sync once they are on the disk. What can't be written whole is cut off again (ftruncate) and its numbers are
 * free again. Then, with require, it is answered ERR_IO or ERR_NOSPACE, and who asked must not go on as if it were
 * recorded; sessions are told at once (AUDIT_STATE). Without require it is answered OK and counted. Either way it is tried
 * again with each record and each second; the first line that fits is an event gap with the count.
 *
 * Now and then, and at rotation and the end, the head of the chain is signed by the keeper; it becomes a line, and
 * stands in the file FILE.head. Nothing waits for it but the end, for at most 2 s. Lines that are in the file
 * go to the other sinks, too, which may lose them.
 *
 * The scribe has no signal to end it: it ends when control closes, after what sessions have sent by then, for at
 * most 2 s. */
#ifndef CONSIGND_SCRIBE_H
#define CONSIGND_SCRIBE_H

#include "buf.h"
#include "config.h"
#include "err.h"
#include <sys/types.h>

/* How a configuration wants it. Borrows. */
struct scribe_how {
    const char *file; /* appended to (mode 0640; created); NULL: standard output */
    bool best;        /* go on when records can't be written */
    bool sync;        /* to the disk before they are answered */
    bool sign;        /* there is a key for heads */
    uint64_t head_records,
        head_s; /* a head after so many lines (0: never), and after so long (0: never) */
    const char *journald, *syslog; /* sockets of other sinks; NULL: not one */
};
void scribe_how(const struct config *config, struct scribe_how *out);

/* Starts the scribe: opens the file, forks, confines. *control is the master's end of the control socket. */
enum err scribe_start(const struct scribe_how *how, int *control, pid_t *pid) MUST_CHECK;

/* ---- who has something to record: scribe_client.c ---- */

/* Whether this process, and those that it forks, take a record that is lost for an error: ERR_AUDIT, logged, of
 * all that follows; else for a warning. True at first. */
void scribe_require(bool require);

/* Whether records can be written, as far as fd tells without asking: ERR_AUDIT, logged. What is begun is looked at
 * first, so that no data is taken which could not be acknowledged. */
enum err scribe_ready(int fd) MUST_CHECK;

/* Records an event over fd (a session's socket or the control socket) and waits for it to be written: pairs
 * of key and value (C strings; a NULL value leaves the pair out) ended by NULL, at most 10240 bytes in all. */
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

/* Appends to out how the scribe behind the control socket is, as a status has it (ipc.def, STATUS_AUDIT). One that
 * does not answer at once is not waited for: false. */
bool scribe_status(int control, struct buf *out) MUST_CHECK;

#endif
