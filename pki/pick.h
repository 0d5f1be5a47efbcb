/* SPDX-License-Identifier: ISC */
/* Which certificates of a CA are meant: by serial (any case, colons are let pass), by a file with
 * one, or by subject (RFC 4514). */
#ifndef CONSIGN_PKI_PICK_H
#define CONSIGN_PKI_PICK_H

#include "ca.h"

struct pick {
    size_t *list; /* indexes of the ledger's entries, oldest first */
    size_t n;     /* at least one */
    bool by_subject;
};

/* By subject: every live certificate that bears it; by serial or file: that one, live or not. A file
 * counts only when this CA signed it. ERR_NOENT, logged. */
enum err pick_of(struct ca *ca, const char *text, int64_t now, struct pick *out) MUST_CHECK;
void pick_release(struct pick *p);

#endif
