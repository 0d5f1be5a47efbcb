/* SPDX-License-Identifier: ISC */
/* From when to when something is valid, as asked for on the command line. */
#ifndef CONSIGN_PKI_WHEN_H
#define CONSIGN_PKI_WHEN_H

#include "pki.h"
#include <stdint.h>

enum { WHEN_DAY = 86400, WHEN_SKEW = 300 };

/* Seconds since 1970. */
struct when {
    int64_t from, until;
};

/* "2026-12-01" (its beginning) or "2026-12-01T14:00:00Z", in UTC. ERR_USAGE, logged. */
enum err when_parse(const char *text, int64_t *out) MUST_CHECK;

/* What --not-before, --not-after and --days say: from five minutes ago, for that many days, unless
 * told otherwise. ERR_USAGE, logged, for an end before the beginning or by two options. */
enum err when_of(const struct options *o, int64_t days, struct when *out) MUST_CHECK;

#endif
