/* SPDX-License-Identifier: ISC */
/* What is printed for people: "what         value", one a line. */
#ifndef CONSIGN_PKI_SAY_H
#define CONSIGN_PKI_SAY_H

#include "wire.h"
#include <stdint.h>
#include <time.h>

enum { SAY_TEXT = 2048, SAY_TIME = 32 };

/* value for a terminal: what is not visible text becomes \xNN. A backslash stays, so that a name
 * can be pasted (RFC 4514 doubles its own). Cut to the size of out. */
void say_clean(const char *value, char out[static SAY_TEXT]);

void say(const char *what, const char *value);
void say_hash(const char *what, const uint8_t hash[static WIRE_HASH]);

/* "2026-11-24T14:00:00Z"; "none" for (time_t)-1. */
void say_stamp(time_t at, char out[static SAY_TIME]);
void say_time(const char *what, time_t at);

#endif
