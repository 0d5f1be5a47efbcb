/* SPDX-License-Identifier: ISC */
/* The master's door: which connections become sessions, which wait, which are turned away.
 *
 * The rules are those of admission.h and penalty.h; here they meet the table of sessions, the
 * listening socket and the audit log. A flood leaves a bounded trace: who is shut out is recorded
 * when that begins and when it ends, and of other connections that are turned away the first, and
 * then a count each GATE_TELL_MS. */
#ifndef CONSIGND_GATE_H
#define CONSIGND_GATE_H

#include "penalty.h"
#include "sessions.h"

enum { GATE_TELL_MS = 10 * 1000 };

enum gate_reason {
    GATE_PEER,   /* this peer has its share of sessions */
    GATE_FAILED, /* no session could be started: descriptors, processes, memory, helpers */
    GATE_REASONS
};

struct gate {
    struct penalties *penalties;
    uint64_t places;             /* of sessions: as configured, or as many as descriptors allow */
    uint64_t shut_out, gave_way; /* connections, since the server started */
    struct {
        uint64_t n; /* turned away, not told of yet */
        int64_t due_ms;
        char last[LISTEN_NAME];
    } turned[GATE_REASONS];
};

enum err gate_init(struct gate *g) MUST_CHECK;
void gate_release(struct gate *g);

/* At the start and after a reload: has this process and those it forks open as many descriptors as
 * the host allows it (RLIMIT_NOFILE), and sets places. ERR_CONFIG, logged, when that leaves none. */
enum err gate_fit(struct gate *g, const struct config *c) MUST_CHECK;

/* Whether connections have to wait in the kernel's queue. */
bool gate_full(const struct gate *g, const struct sessions *t, const struct config *c);

/* Whether a connection from there may become a session; if not, it was counted and told of. */
bool gate_admit(struct gate *g, struct sessions *t, const struct config *c,
                const struct sockaddr_storage *address, int64_t now_ms, int scribe);

/* A connection was turned away for that reason. */
void gate_turned(struct gate *g, struct sessions *t, enum gate_reason why,
                 const struct sockaddr_storage *address, int64_t now_ms, int scribe);

/* While it is full and connections wait at the listener: ends handshakes that wait for their peer
 * too long. */
void gate_press(struct gate *g, struct sessions *t, const struct config *c, int listener,
                int64_t now_ms);

/* A session ended, with this status of waitpid(2): what its peer did counts if it was never
 * authorised. */
void gate_ended(struct gate *g, const struct config *c, const struct sessions_entry *s, int status,
                int64_t now_ms, int scribe);

/* Tells of what is due. */
void gate_tick(struct gate *g, int64_t now_ms, int scribe);

#endif
