/* SPDX-License-Identifier: ISC */
/* What the files of the scribe share. Nobody else includes this. */
#ifndef CONSIGND_SCRIBE_INTERNAL_H
#define CONSIGND_SCRIBE_INTERNAL_H

#include "audit.h"
#include "hub.h"
#include "scribe.h"
#include <limits.h>

/* Where the chain stands. */
struct chain {
    char log[AUDIT_LOG + 1];
    uint64_t seq;
    uint8_t hash[WIRE_HASH];
    struct timespec time; /* of the last line */
};

/* A message that is answered once its lines are written. */
struct waiting {
    struct hub_client *client; /* NULL: gone */
    enum err status;
};

/* scribe_head.c */
struct heads {
    int keeper;             /* its socket; -1: there is none */
    struct audit_head last; /* that is a line; seq 0: none */
    bool last_signed;
    struct buf line;         /* it; empty: none yet */
    struct audit_head asked; /* what the keeper is asked for; seq 0: nothing */
    uint64_t line_seq;       /* the number of the line of the last head */
    bool now;                /* one is wanted, whatever the time */
    int64_t due_ms, retry_ms;
    int64_t late_since; /* seconds since 1970; 0: none is late */
    char late[257];
};

/* scribe_sink.c */
enum { SINKS = 2 };
struct sink {
    const char *path; /* NULL: not there */
    bool journald;
    bool away; /* and that was said */
    int fd;
    uint64_t lost;      /* lines */
    struct buf backlog; /* what it did not take yet */
};

struct scribe {
    struct scribe_how how;
    int control;
    struct hub *hub;         /* NULL until the first message */
    int epoll;               /* of the keeper's socket */
    int folder;              /* -1: the log is standard output */
    char name[NAME_MAX + 1]; /* of the file in folder */
    int fd;
    bool regular;
    bool ends_torn; /* the log ends inside a line of torn bytes, with this hash if known */
    bool torn_known;
    uint64_t torn;
    uint8_t torn_hash[WIRE_HASH];
    bool resumed;            /* the chain goes on, or was begun */
    struct chain done, next; /* as written, and with the lines that are gathered */
    struct buf lines;
    uint64_t gathered;
    struct waiting waiting[64];
    size_t n_waiting, settled; /* of these so many are written whatever comes */
    enum err broken;           /* why records can't be written */
    bool tell;                 /* sessions are to hear of it */
    uint64_t lost, lost_all;   /* records, since it broke and in all */
    int64_t broken_since;      /* seconds since 1970 */
    int64_t again_ms;
    struct heads heads;
    struct sink sinks[SINKS];
};

/* ---- scribe_file.c: the file ---- */

/* Opens folder and file; ERR_OK also with how.best and a file that can't be had, which is then broken. */
enum err scribe_open(struct scribe *s) MUST_CHECK;
/* Opens it anew. *other: it is another file than before; the old one is then in *old, to be closed. */
enum err scribe_reopen(struct scribe *s, bool *other, int *old) MUST_CHECK;
/* Writes the gathered lines, to the disk with how.sync. ERR_IO or ERR_NOSPACE, logged unless it is broken already;
 * then the log is as before, or ends torn. */
enum err scribe_write(struct scribe *s) MUST_CHECK;
/* Waits until what was written is on the disk. */
void scribe_flush(const struct scribe *s);
/* Reads n bytes from at, false when they are not all there. */
bool scribe_read(int fd, void *out, size_t n, off_t at);

/* ---- scribe_chain.c: the lines ---- */

/* Takes the chain up where the log, or the file of its head, leaves it; the scribe's first lines. */
void scribe_resume(struct scribe *s);
/* Adds the line of a record. ERR_IO, logged, for one that is not well-formed. */
enum err scribe_line(struct scribe *s, const struct hub_client *from,
                     const struct ipc_record *m) MUST_CHECK;
/* A line of the scribe's own: pairs as of scribe_record. */
void scribe_own(struct scribe *s, const char *event, ...) __attribute__((sentinel));
/* Writes what was gathered. When that fails it is lost, with its waiting clients told, or not (how.best). */
void scribe_settle(struct scribe *s);
/* Whether there is no trouble, or none any more: what was lost is then said in the log. */
bool scribe_mend(struct scribe *s);

/* ---- scribe_head.c: heads ---- */

void heads_init(struct scribe *s);
/* The file FILE.head: where the chain stands, and the last head. state: open or closed. */
void heads_save(struct scribe *s, const char *state);
/* What it says: false when there is none, or it is not well-formed. */
bool heads_load(struct scribe *s, struct chain *at, bool *closed);
/* A socket to the keeper, which is copied. */
void heads_link(struct scribe *s, int borrowed);
void heads_tend(struct scribe *s, int64_t now_ms);
int64_t heads_next_ms(const struct scribe *s);
/* The last head, waited for. */
void heads_end(struct scribe *s);

/* ---- scribe_sink.c: where lines go besides ---- */

void sinks_open(struct scribe *s);
/* Whole lines, that were written. */
void sinks_send(struct scribe *s, struct slice lines);
/* Tries again; false when there is nothing left. */
bool sinks_tend(struct scribe *s);
void sinks_close(struct scribe *s);
void sinks_text(const struct scribe *s, char *out, size_t cap);
uint64_t sinks_lost(const struct scribe *s);

#endif
