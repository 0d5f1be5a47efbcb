/* SPDX-License-Identifier: ISC */
/* What the keeper and the scribe have in common: a process that serves many sessions, each over a
 * socket of its own that the master hands over (ATTACH).
 *
 * Who speaks is known by the socket. A socket that says something malformed, or that does not take
 * its answer, is closed. Of each client one message is handled in a round, so that one that talks
 * without end delays the others by no more than that. */
#ifndef CONSIGND_HUB_H
#define CONSIGND_HUB_H

#include "ipc.h"

struct hub_client {
    int fd;
    bool control;    /* the master itself: session and peer are then empty */
    uint64_t number; /* of the session */
    bool service;    /* no session, but another process of the server's (ATTACH of session 0) */
    char session[IPC_SESSION_TEXT];
    char peer[65]; /* scrubbed (log.h) */
    void *data;    /* the handler's own */
    struct hub *hub;
    struct hub_client *next, *prev;
};

enum hub_next {
    HUB_KEEP,  /* wait for this client's next message */
    HUB_CLOSE, /* it is done with */
    HUB_STOP,  /* the process ends: hub_run returns */
};

/* Handles one message, which is dropped afterwards. HUB_CLOSE for control
 * is as if control had closed. */
typedef enum hub_next hub_fn(void *arg, struct hub_client *from, const struct ipc_in *in);

/* A process that has more to do than to answer at once. */
struct hub_work {
    hub_fn *handle;
    /* A client is about to be closed, whoever wanted it; may be NULL. */
    void (*gone)(void *arg, struct hub_client *client);
    /* Called after each round: does what is due; *wait_ms is set to when more will be, -1: nothing
     * is known of. Here, and nowhere else, clients may be closed by hub_close. May be NULL. */
    enum hub_next (*tend)(void *arg, int *wait_ms);
    int fd; /* ends a wait when it is readable; -1: there is none */
    void *arg;
};

/* Serves until control closes or handle says HUB_STOP; never has more than max sessions: those
 * above are refused, with a warning. Once control closed, what sessions have sent already is still
 * handled, for at most drain_ms. All sockets but control are closed on return. */
enum err hub_run(int control, size_t max, int drain_ms, hub_fn *handle, void *arg) MUST_CHECK;

/* The same, with more to do; HUB_STOP of tend is as of handle. */
enum err hub_serve(int control, size_t max, int drain_ms, const struct hub_work *work) MUST_CHECK;

/* Ends with a client. */
void hub_close(struct hub_client *client);

/* Tells all sessions. Only where they may be closed: those that do not take it are. */
void hub_tell(struct hub *hub, uint8_t type, const struct buf *body);

/* Answers a client without ever waiting for it: HUB_CLOSE (logged) when it does not take the
 * answer. */
enum hub_next hub_answer(const struct hub_client *to, uint8_t type,
                         const struct buf *body) MUST_CHECK;

#endif
