/* SPDX-License-Identifier: ISC */
/* Which chunks of a part were written to by more than one of those who share it: a byte for each chunk in
 * the journal, that all of them map. Who takes over from a connection that was lost can't know what is
 * still on its way from there: what is in doubt is hashed at the end. */
#ifndef CONSIGN_CLAIMS_H
#define CONSIGN_CLAIMS_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims {
    uint8_t *map; /* NULL: none */
    size_t n;
};

/* Makes them at the first page behind byte at of journal, which must be their only user, for n chunks, none
 * of them claimed; and maps what somebody else has made. */
enum err claims_make(struct claims *c, int journal, uint64_t at, uint64_t n) MUST_CHECK;
enum err claims_open(struct claims *c, int journal, uint64_t at, uint64_t n) MUST_CHECK;
void claims_close(struct claims *c);

/* Before a chunk's first byte is written. */
void claims_take(struct claims *c, uint64_t chunk);

/* Whether that was done more than once. Final when nobody else has them open. */
bool claims_several(const struct claims *c, uint64_t chunk);

#endif
