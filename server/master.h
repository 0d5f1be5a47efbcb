/* SPDX-License-Identifier: ISC */
/* The master: listens, starts a session per connection and a store per grant, keeps keeper and
 * scribe alive, reloads, drains, counts, reaps. Single-threaded; parses no byte of any peer's. */
#ifndef CONSIGND_MASTER_H
#define CONSIGND_MASTER_H

#include "policy.h"

struct master_options {
    const char *config_file;
    bool daemon;  /* detach from the terminal once the socket is bound */
    int ready_fd; /* gets "ready ADDRESS:PORT\n" once connections are served; -1: none */
};

/* Runs the server until SIGTERM or SIGINT (drain; a second one ends at once). Returns the exit
 * status: 0 after a drain, else of what prevented the start or ended the server. policy moves in.
 */
int master_run(const struct master_options *options, struct policy *policy);

#endif
