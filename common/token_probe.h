/* SPDX-License-Identifier: ISC */
/* What a token says of itself, and what it really can: for checks of a set-up. After token_start. */
#ifndef CONSIGN_TOKEN_PROBE_H
#define CONSIGN_TOKEN_PROBE_H

#include "token.h"

struct token_facts {
    char label[130], manufacturer[130], model[66], serial[66]; /* "" where it does not say */
    bool software; /* it says of itself that it is no hardware */
    bool pin_low, pin_last, pin_locked;
};

/* Of the token that url names. ERR_TOKEN, logged. */
enum err token_facts(const char *url, struct token_facts *out) MUST_CHECK;

/* The mechanisms that consign has tokens use. */
struct token_mechanism {
    unsigned long number;
    const char *name; /* PKCS#11's: "CKM_ECDSA" */
};
const struct token_mechanism *token_mechanisms(size_t *n);

/* Whether the token has the mechanism for keys of so many bits (0: of any size). */
bool token_has(const char *url, const char *mechanism, unsigned bits);

/* What TLS 1.3 needs of a token for a key of GnuTLS's kind: "CKM_ECDSA" and so on; NULL: unknown. */
const char *token_signing_mechanism(gnutls_pk_algorithm_t pk);

/* Opens sessions until one is refused or there are at_most, and closes them. *said: the limit that
 * the token tells, 0 when it tells none. ERR_TOKEN when not even one can be had. */
enum err token_count_sessions(const char *url, unsigned at_most, unsigned *opened,
                              unsigned long *said) MUST_CHECK;

/* Signatures a second of one session, measured for ms milliseconds and at_most signatures. leaf: the
 * key's certificate. */
enum err token_measure(gnutls_privkey_t key, const gnutls_pcert_st *leaf, int ms, unsigned at_most,
                       double *per_second) MUST_CHECK;

#endif
