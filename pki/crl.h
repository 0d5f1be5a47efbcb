/* SPDX-License-Identifier: ISC */
/* CRLs: complete, signed by the CA itself, with a number that never goes back, and with the reason
 * of each revocation (RFC 5280, 5.3.1), which GnuTLS does not write. */
#ifndef CONSIGN_PKI_CRL_H
#define CONSIGN_PKI_CRL_H

#include "ca.h"

/* The reason's code, or -1 for a word that is none. "unspecified" is 0 and left out of CRLs. */
int crl_reason_code(const char *word);
/* "unspecified, key-compromise, ...", for messages. Static. */
const char *crl_reason_words(void);
/* The word of a code in somebody's CRL. Static. */
const char *crl_reason_word(int code);

/* Signs the CRL that the ledger says, as PEM (the caller frees with gnutls_free). */
enum err crl_make(const struct ca *ca, int64_t this_update, int64_t next_update,
                  gnutls_datum_t *pem) MUST_CHECK;

#endif
