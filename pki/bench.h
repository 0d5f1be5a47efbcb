/* SPDX-License-Identifier: ISC */
/* How fast a token signs. */
#ifndef CONSIGN_PKI_BENCH_H
#define CONSIGN_PKI_BENCH_H

#include "pki.h"

enum { BENCH_SECONDS = 2, BENCH_SESSIONS = 8, BENCH_SESSIONS_MAX = 64 };

/* Signs with the key o->label, or with a temporary one of o->type that is gone with its session: for
 * o->seconds each with 1, 2, 4 ... o->sessions sessions at once. Prints how many sessions the token
 * gives and a table. A token that stops answering ends the process. */
enum err bench_token(const struct options *o, const char *token) MUST_CHECK;

#endif
