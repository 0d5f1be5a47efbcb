/* SPDX-License-Identifier: ISC */
/* The status socket: where `consignd --status` and `consignd --scrub` reach the server that runs.
 *
 * A UNIX socket (SOCK_SEQPACKET, 0600) in a folder of its own (0700). Who connects must be root or
 * the server's own account, by the kernel's word (SO_PEERCRED). A connection is for one request and
 * its answer; few are held at once, none for long. The master waits for nobody: an answer is one
 * datagram, and what is long in it is a file in memory whose descriptor goes along. */
#ifndef CONSIGND_STATUS_H
#define CONSIGND_STATUS_H

#include "buf.h"
#include "config.h"
#include "gate.h"
#include "housekeeping.h"
#include "sessions.h"
#include "usher.h"

enum { STATUS_CLIENTS = 16 };

struct status_client {
    int fd; /* -1: free */
    int64_t until_ms;
};

struct status {
    int folder, listener; /* -1: there is no socket */
    int epoll;
    char name[108]; /* of the socket in folder */
    struct status_client clients[STATUS_CLIENTS];
};

/* How the last loading of the configuration went: seconds since 1970. */
struct status_reload {
    int64_t loaded;
    int64_t failed;   /* a later one that failed; 0: none did */
    char reason[512]; /* of that */
};

/* What a status is made of. */
struct status_view {
    const struct policy *policy;
    const struct sessions *sessions;
    const struct housekeeping *housekeeping;
    const struct status_reload *reload;
    const struct usher *usher;
    const struct gate *gate;
    const struct buf
        *keeper; /* its own messages (ipc.def, KEEPER_STATUS); empty: nothing is known */
    const struct buf *audit; /* the scribe's (STATUS_AUDIT); empty: it did not answer */
    const char *address;
    int64_t started; /* seconds since 1970 */
    int64_t started_ms;
    bool draining;
    const char *tickets;   /* off, token, own, none */
    int64_t tickets_until; /* end of the epoch; 0: no key */
};

/* Where the socket is: config->status, or status in the folder that is called as the audit log with
 * ".run" behind it. NULL when neither is configured. The caller frees. */
char *status_path(const struct config *config);

void status_init(struct status *s);

/* Makes the folder where it is missing, and the socket; what is its event for epoll. A socket that a
 * dead server left is replaced. ERR_CONFIG when another server has it, which would have the same
 * audit log, or when one that is configured by name can't be had; else that is a warning. */
enum err status_open(struct status *s, const struct config *config, int epoll,
                     void *what) MUST_CHECK;

/* The listener is readable: takes one connection, whose event is then a client of s. */
void status_accept(struct status *s);

/* Which client an event is of; NULL when it is none of s. */
struct status_client *status_client(struct status *s, const void *what);

/* What a client asks for. */
struct status_ask {
    bool scrub;    /* a scrub, else the status */
    char user[65]; /* of the scrub, or "" */
};
/* Its request, when there is one; a client that sent anything else is gone afterwards. */
bool status_asked(struct status *s, struct status_client *c, struct status_ask *out);

/* Answers and closes: a status, or how the start of a scrub went. */
void status_answer(struct status *s, struct status_client *c, const struct status_view *view);
void status_reply(struct status *s, struct status_client *c, enum err status, uint64_t run);

/* Closes connections that asked nothing in time. */
void status_expire(struct status *s, int64_t now_ms);

/* Appends a scrub as a status has it; due_ms: when the next one is (tls_now_ms), 0: none is. */
void status_put_scrub(struct buf *out, const struct scrub *s, int64_t due_ms);

/* Closes all and removes the socket. */
void status_close(struct status *s);

#endif
