/* SPDX-License-Identifier: ISC */
/* What the files of the module master share. Nobody else includes this. */
#ifndef CONSIGND_MASTER_INTERNAL_H
#define CONSIGND_MASTER_INTERNAL_H

#include "crash.h"
#include "crl_alarm.h"
#include "gate.h"
#include "housekeeping.h"
#include "ipc.h"
#include "listen.h"
#include "log.h"
#include "master.h"
#include "notice.h"
#include "scribe.h"
#include "sessions.h"
#include "status.h"
#include "tickets.h"
#include "usher.h"

/* A process that must run as long as the server does: its control socket, what is known of it. */
struct helper {
    int control;         /* -1: not running */
    pid_t pid;           /* also of the last one that ran */
    uint64_t algorithms; /* what a keeper signs with; bit n: gnutls_sign_algorithm_t n */
};

/* What an epoll event is about; sessions and who asks for the status point to their entry instead. */
enum watch {
    WATCH_LISTEN,
    WATCH_SIGNAL,
    WATCH_KEEPER,
    WATCH_COMING,
    WATCH_SCRIBE,
    WATCH_SCRUB,
    WATCH_STATUS,
    WATCH_USHER,
    WATCH_RETIRED,
    WATCHES
};

/* A store whose session has ended before it: a ring of the last ones. */
enum { ORPHANS = 64 };
struct orphan {
    pid_t store;
    char of[33], user[65];
};

struct master {
    const struct master_options *options;
    struct policy *policy;
    struct sessions sessions;
    struct gate gate;
    int epoll, listener, signals;
    char address[LISTEN_NAME];
    struct helper keeper;     /* signs now */
    struct buf keeper_status; /* what it said of itself last (ipc.def, KEEPER_STATUS) */
    struct helper coming;     /* started, not heard of yet: takes over when it is up */
    struct helper scribe;
    struct helper retired; /* replaced, but asked by handshakes that run */
    int64_t retired_until_ms;
    int64_t keeper_due_ms; /* when to start one; 0: none is due */
    int64_t scribe_due_ms;
    int64_t backoff_ms;
    bool accepting;        /* the listener is being watched */
    int64_t accept_due_ms; /* not before: descriptors ran out */
    bool served;           /* a keeper was up once */
    struct tickets tickets;
    int64_t tickets_due_ms; /* not before: the keeper is asked for a key */
    bool tickets_heard;     /* it answered once */
    bool tickets_held;      /* the keeper that runs knows another configuration of them */
    int64_t drain_until_ms; /* 0: not draining */
    struct housekeeping housekeeping;
    struct usher usher;
    struct crash crash;
    struct orphan orphans[ORPHANS];
    unsigned next_orphan;
    struct notice notice;
    struct crl_alarm crl_alarm;
    struct status_reload reload; /* how the last one went */
    struct status status;
    int64_t started, started_ms; /* seconds since 1970; tls_now_ms */
    enum err ended;              /* why the loop ends */
    bool stop;
};

extern char master_watches[WATCHES]; /* addresses to tell sources apart by */

/* epoll_ctl for the event what. */
enum err master_watch(struct master *m, int op, int fd, enum watch what,
                      uint32_t events) MUST_CHECK;

/* Ends the loop. */
void master_stop(struct master *m, enum err why);

/* Leaves a record; a scribe that can't write it is no reason to end the server, but is said. */
#define RECORD(m, ...)                                                                             \
    do {                                                                                           \
        if ((m)->scribe.control >= 0 && scribe_record((m)->scribe.control, __VA_ARGS__) != ERR_OK) \
            log_warn("an event of the server is not in the audit log");                            \
    } while (0)

/* ---- master_confine.c ---- */

/* Gives up all that is not needed from now on. */
enum err master_confine(const struct master *m) MUST_CHECK;

/* ---- master_reap.c ---- */

/* Takes the children that have ended, and says which were killed. */
void master_reap(struct master *m);

/* ---- master_reload.c ---- */

/* SIGHUP: loads everything anew, where that can be done whole, with another keeper, and opens the audit log anew. */
void master_reload(struct master *m);

/* Does so when files have changed. */
void master_watch_files(struct master *m, int64_t now_ms);

/* The keeper for the certificate that waits could not be had: said where a failed reload is. */
void master_pair_failed(struct master *m, const char *reason);

/* ---- master_tickets.c: the keys of tickets ---- */

/* Asks the keeper for one when it is time. */
void master_tend_tickets(struct master *m, int64_t now_ms);
/* A TICKET_KEY of the keeper: false when it is malformed. The message is erased. */
bool master_take_ticket_key(struct master *m, struct ipc_in *in) MUST_CHECK;
/* Whether connections have to wait for the first one. */
bool master_waits_for_tickets(const struct master *m);
/* How it stands, as status.h names it. */
const char *master_tickets_state(const struct master *m, int64_t *until);

/* ---- master_helpers.c: keeper and scribe ---- */

/* No helper runs yet. */
void master_helpers_init(struct master *m);

/* Starts them; the keeper is heard of later. */
enum err master_bring_keeper(struct master *m) MUST_CHECK;
enum err master_bring_scribe(struct master *m) MUST_CHECK;

/* Their sockets are readable. A keeper speaks also while it is well. */
void master_on_keeper(struct master *m);
void master_on_coming(struct master *m);
void master_on_retired(struct master *m);
void master_on_scribe(struct master *m);

/* Takes what keepers have said so far: their words on signatures come before the sessions that have these. */
void master_hear_vouches(struct master *m);

/* Starts what is due again. */
void master_tend_helpers(struct master *m, int64_t now_ms);

/* Closes its control socket, which ends it. */
void master_drop_helper(const struct master *m, struct helper *h);

#endif
