/* SPDX-License-Identifier: ISC */
/* `consignd --status` and `consignd --scrub`: the side of the status socket (status.h) that asks. */
#ifndef CONSIGND_ASK_H
#define CONSIGND_ASK_H

#include "policy.h"

struct ask_options {
    bool json;  /* one JSON object instead of lines for people */
    bool quiet; /* no progress */
};

/* Asks the server that runs for its status and prints it. ERR_CONN, logged, when none runs. */
enum err ask_status(const struct config *config, const struct ask_options *o) MUST_CHECK;

/* Scrubs the roots of one user, or of all ("" as user): has the server do it where one runs, and
 * waits for the end, else does it itself. Prints findings and counts. ERR_CORRUPT when there is a
 * finding, ERR_IO when not all could be looked at; others when nothing came of it. */
enum err ask_scrub(const struct policy *policy, const char *user,
                   const struct ask_options *o) MUST_CHECK;

#endif
