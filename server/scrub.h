/* SPDX-License-Identifier: ISC */
/* A run of the scrub (common/fs_scrub.h) through the roots of all users of the map, or of one: a
 * process for each user, one after the other, confined as a store is and with the least claim to
 * disk and processor.
 *
 *   scrub_begin, then until scrub_next says that the run is over:
 *       scrub_take while fd is readable, scrub_ended when the process was reaped
 *
 * The master drives it from its loop; without a server scrub_run does. What a process finds goes
 * into the audit log by whoever drives it. */
#ifndef CONSIGND_SCRUB_H
#define CONSIGND_SCRUB_H

#include "fs_scrub.h"
#include "policy.h"
#include <sys/types.h>

enum { SCRUB_PATH = 1024, SCRUB_KEPT = 100 };

/* A finding as the status shows it. */
struct scrub_finding {
    enum fs_rot_kind kind;
    uint64_t chunk, offset, size;
    char user[65];
    char path[SCRUB_PATH]; /* cut where it is longer; the audit log has all of it */
};

struct scrub {
    uint64_t run;         /* counts runs; 0: none yet */
    int64_t began, ended; /* seconds since 1970; ended 0: it runs */
    enum err status;   /* of the run: ERR_CORRUPT when there are findings, else what went wrong */
    char only[65];     /* the user it is for; "": all */
    char (*users)[65]; /* who is to be scrubbed */
    size_t n_users, next;
    char user[65];                          /* who is, "": nobody */
    pid_t pid;                              /* 0: no process */
    int fd;                                 /* from the process; -1: closed */
    struct fs_scrub_counts before, now;     /* of the users that are done; of the one that is not */
    struct scrub_finding found[SCRUB_KEPT]; /* the first ones */
    size_t n_found;
};

void scrub_init(struct scrub *s);
void scrub_release(struct scrub *s);

/* Begins a run. ERR_BUSY while one runs, ERR_NOENT when the map has no user only. scribe: control
 * socket of the scribe, or -1 for no records. */
enum err scrub_begin(struct scrub *s, const struct map *map, const char *only,
                     int scribe) MUST_CHECK;

/* Starts the process for the next user; false when the run is over, which is then recorded. A user
 * who has left the map meanwhile is passed over, one whose process can't be started is an error of
 * the run. */
bool scrub_next(struct scrub *s, const struct policy *policy, int scribe);

/* Takes one message from the process, waiting up to timeout_ms. ERR_TIMEOUT: none there; ERR_CONN:
 * it will send no more. */
enum err scrub_take(struct scrub *s, int scribe, int timeout_ms) MUST_CHECK;

/* The process was reaped: takes what it had sent and closes. */
void scrub_ended(struct scrub *s, int wait_status, int scribe);

/* Ends a run before its time. The process is told; the run is over when it was reaped. */
void scrub_stop(struct scrub *s);

/* All counts of the run so far. */
void scrub_counts(const struct scrub *s, struct fs_scrub_counts *out);

/* What is wrong with the finding: "does not match its hash" and so on. Static. */
const char *scrub_kind_text(enum fs_rot_kind kind);

/* A whole run in this process, with a scribe of its own. each is called now and then. */
enum err scrub_run(const struct policy *policy, const char *only, struct scrub *s,
                   void (*each)(const struct scrub *s)) MUST_CHECK;

#endif
