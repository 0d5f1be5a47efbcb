/* SPDX-License-Identifier: ISC */
/* consignd --explain CERT OP PATH: which rule applies to a certificate, and what it may do. */
#ifndef CONSIGND_EXPLAIN_H
#define CONSIGND_EXPLAIN_H

#include "policy.h"

struct explain {
    const char *cert; /* file: PEM, leaf first, or DER of one certificate */
    const char *op;   /* a right, see fs.h */
    const char *path;
    const char *from; /* the peer's address; NULL: not known */
    const char *at;   /* 2026-11-25T14:00:00Z; NULL: now */
};

/* Prints to standard output how the certificate is judged, each rule looked at, the user, and whether op is allowed
 * at path, with the lines of the map that say so; where no rule matches, the one that was nearest; and what the peer
 * would be told. ERR_OK when it is allowed, ERR_DENIED when not, ERR_AUTH for a refused certificate. */
enum err explain(const struct policy *policy, const struct explain *what) MUST_CHECK;

#endif
