/* SPDX-License-Identifier: ISC */
/* Whether an audit log is a whole chain (common/audit.h), line by line, in constant memory: pure, no files, no keys.
 *
 *   audit_check_init(&c);  set c.found, c.verify, c.arg, c.proofs;
 *   for each line in order audit_check_line(&c, ...);  audit_check_end(&c);
 *
 * The first line that is bad is named, and nothing behind it is judged. For some what comes later tells the cause, so it is
 * told at the latest by audit_check_end. */
#ifndef CONSIGN_PKI_AUDIT_CHECK_H
#define CONSIGN_PKI_AUDIT_CHECK_H

#include "audit.h"

enum audit_kind {
    AUDIT_NOTE, /* worth to be known: a crash, a clock that was set back */
    AUDIT_LOST, /* records are missing, and the log says so */
    AUDIT_BAD,  /* changed, missing, out of order, forged, cut off */
};

enum audit_verdict { AUDIT_GOOD, AUDIT_WRONG, AUDIT_OTHER_KEY, AUDIT_NO_KEY };

/* A line's place. file is borrowed. */
struct audit_place {
    const char *file;
    uint64_t line;
};

/* A head that is known from elsewhere: a head file, another sink. */
struct audit_proof {
    struct audit_head head;
    const char *from; /* borrowed */
    bool loose;       /* there may be such of other logs, which do not count */
};

/* What the lines say, as far as they are good. */
struct audit_summary {
    char log[AUDIT_LOG + 1]; /* "" as long as it is not known */
    uint64_t lines, first, last;
    uint64_t signed_heads, unsigned_heads;
    uint64_t head_seq,
        head_time;        /* of the last head whose signature is good; with no key, that has one */
    uint64_t interval;    /* seconds between heads, as the log says; 0: it does not */
    bool closed;          /* the last line ends the log in order */
    struct timespec time; /* of the last line */
};

/* What waits for the next line. */
enum audit_doubt { AUDIT_SURE, AUDIT_TORN, AUDIT_BROKEN, AUDIT_TWICE, AUDIT_JUMP };

enum { AUDIT_KEPT = 1 << 17 };

struct audit_check {
    void (*found)(void *arg, enum audit_kind kind, const struct audit_place *at, const char *text);
    /* The signature of a head that is a line (its text without newline). */
    enum audit_verdict (*verify)(void *arg, const struct audit_head *head, struct slice line);
    void *arg;
    const struct audit_proof *proofs; /* by rising seq */
    size_t n_proofs;
    struct audit_summary sum;
    bool bad;
    /* private */
    size_t next_proof;
    uint8_t hash[WIRE_HASH];
    struct audit_place at, head_at, doubt_at;
    enum audit_doubt doubt;
    uint8_t doubt_hash[WIRE_HASH], doubt_prev[WIRE_HASH];
    uint64_t doubt_seq, doubt_n;
    uint8_t (*kept)[WIRE_HASH]; /* hashes of the last AUDIT_KEPT lines */
};

/* False: no memory. */
bool audit_check_init(struct audit_check *c);
void audit_check_release(struct audit_check *c);

/* One line without its newline; ended: there is one, behind it in memory. */
void audit_check_line(struct audit_check *c, const struct audit_place *at, struct slice text,
                      bool ended);
void audit_check_end(struct audit_check *c);

#endif
