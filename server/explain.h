/* SPDX-License-Identifier: ISC */
/* consignd --explain CERT OP PATH: which rule applies to a certificate, and what it may do. */
#ifndef CONSIGND_EXPLAIN_H
#define CONSIGND_EXPLAIN_H

#include "policy.h"

/* Prints to standard output how the certificate (chain) in the PEM file cert is judged now, each
 * rule looked at, the user, and whether op (a right, see fs.h) is allowed at path. ERR_OK when it
 * is, ERR_DENIED when not, ERR_AUTH for a refused certificate. */
enum err explain(const struct policy *policy, const char *cert, const char *op,
                 const char *path) MUST_CHECK;

#endif
