/* SPDX-License-Identifier: ISC */
/* Live sessions are judged again: all of them after a reload, each when time may have changed its verdict (a
 * certificate or a list runs out), and each once, a minute after it began, since up to then its own word is what
 * is known.
 *
 * A certificate is a peer's bytes, and the master parses none. So a judge does it: a process that is forked with the
 * master's table and policy in its memory, gives up all else (no file, no call but for its one socket), says of
 * each session whether its certificates still lead to what it was granted, and ends. The master sends CUT to those
 * that may not go on. A session ends at the next border of a chunk, and keeps what came; one that has not ended
 * JUDGE_CUT_MS later is killed with its store.
 *
 * There is one judge at a time. One that is silent for JUDGE_SILENT_MS is killed. The session that a judge was at when
 * it died is cut, as its certificates can't be judged; the others are judged anew. */
#ifndef CONSIGND_JUDGE_H
#define CONSIGND_JUDGE_H

#include "sessions.h"

enum { JUDGE_CUT_MS = 2000, JUDGE_SILENT_MS = 10 * 1000 };

struct judge {
    pid_t pid; /* 0: none runs */
    int fd;
    bool begun;       /* it said something */
    uint64_t at;      /* the session that it looks at; 0: none */
    bool over;        /* its policy is another one's by now: what it says does not count */
    uint64_t number;  /* of the one that runs, or ran last */
    int64_t heard_ms; /* of it */
    int64_t wait_ms;  /* no other before: the last one could not do its work */
    int64_t due;      /* the next verdict to be made again: seconds since 1970 */
    bool cutting;     /* there are sessions that were told to end */
    int epoll;
    void *what;                   /* the event of its socket */
    uint64_t judged, cut, killed; /* sessions, since the server began */
};

void judge_init(struct judge *j, void *what);

/* A session was granted: its verdict may be the next one that is due. */
void judge_granted(struct judge *j, const struct sessions_entry *s);

/* The policy is another one: all verdicts are due. */
void judge_reload(struct judge *j, struct sessions *t);

/* Starts a judge when there is something due and none runs, and kills what did not end when it was told to. */
void judge_tick(struct judge *j, struct sessions *t, const struct policy *p, int64_t now_ms);

/* Its socket is readable; scribe is the control socket. */
void judge_event(struct judge *j, struct sessions *t, int scribe);

/* A process was reaped: whether it was the judge. */
bool judge_reaped(struct judge *j, struct sessions *t, pid_t pid, int scribe);

/* The judge's life: of all sessions that were asked by number. Returns the exit status. */
int judge_main(const struct policy *p, const struct sessions *t, uint64_t number, int fd);

/* What it makes of one session at the time now; ERR_OK with *until, or why it has to end: log_reason. */
enum err judge_session(const struct policy *p, const struct sessions_entry *s, time_t now,
                       time_t *until) MUST_CHECK;

#endif
