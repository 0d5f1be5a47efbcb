/* SPDX-License-Identifier: ISC */
/* What a session is doing at the moment, told to the master without a word being sent: a page of
 * memory that the two share, written by the session and copied out by the master when it is asked
 * for its status.
 *
 * A page and not messages, since a running transfer then costs a few stores a chunk and no system
 * call, the master is not woken, and nothing has to be parsed. Each session has a page of its own,
 * which no process forked later inherits (MADV_DONTFORK): a session that was taken over can lie
 * about itself and reach nobody else's page. What it writes is cut, checked and scrubbed by whoever
 * reads. */
#ifndef CONSIGND_BOARD_H
#define CONSIGND_BOARD_H

#include <stdbool.h>
#include <stdint.h>

enum board_op { BOARD_NOTHING, BOARD_PUT, BOARD_GET, BOARD_OPS };
enum board_phase { BOARD_HASHING, BOARD_MOVING, BOARD_COMMITTING, BOARD_PHASES };

struct board; /* the page */

/* A page for a session that is about to be forked; NULL when there is no memory, which every
 * function here takes for a page that nobody reads. */
struct board *board_new(void);
/* After the fork, in the master: what is forked from now on does not get the page. */
void board_seal(struct board *b);
void board_free(struct board *b);

/* The session's side, as long as it is not authorised: whether it waits for its peer, as at its
 * beginning, or for others. */
void board_peers_turn(struct board *b, bool peers);

/* The master's: since when, by tls_now_ms, it waits for its peer; 0: from its beginning, INT64_MAX: it does not. */
int64_t board_peers_turn_since(const struct board *b);

/* The session's side. path is cut where it is longer than a status shows. */
void board_begin(struct board *b, enum board_op op, const char *path);
/* done of total bytes of the phase; moved: content that crossed the wire in this transfer. */
void board_progress(struct board *b, enum board_phase phase, uint64_t done, uint64_t total,
                    uint64_t moved);
void board_end(struct board *b);

/* What the master makes of it. Nothing in it is to be believed, but it is well-formed: op and phase
 * are of their lists, done is at most total, path ends with NUL, since_ms is not in the future. */
enum { BOARD_PATH = 1024 };
struct board_doing {
    enum board_op op; /* BOARD_NOTHING: the rest is empty */
    enum board_phase phase;
    uint64_t done, total, moved;
    int64_t since_ms; /* tls_now_ms when it began */
    char path[BOARD_PATH];
};
void board_read(const struct board *b, struct board_doing *out);

/* "put", "get"; "hashing", "moving", "committing". Static. */
const char *board_op_name(enum board_op op);
const char *board_phase_name(enum board_phase phase);

#endif
