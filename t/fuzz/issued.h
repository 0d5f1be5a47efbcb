/* SPDX-License-Identifier: ISC */
/* Names on their way into a certificate and out of it. */
#ifndef CONSIGN_FUZZ_ISSUED_H
#define CONSIGN_FUZZ_ISSUED_H

#include "../../pki/names.h"

/* Puts names and subject into a certificate as a CA does, signs it, and reads it from its DER: all names are there as they
 * were, and so is the subject. What names_put refuses is let go. */
void issued_check(const struct names *names, const struct cert_dn *subject);

#endif
