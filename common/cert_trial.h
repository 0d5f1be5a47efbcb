/* SPDX-License-Identifier: ISC */
/* The judgement of one path: what cert_judge.c tries under each anchor, and what cert_check.c asks of it. */
#ifndef CONSIGN_CERT_TRIAL_H
#define CONSIGN_CERT_TRIAL_H

#include "cert_internal.h"

enum { CERT_CHAIN_MAX = 8, CERT_WHY = 400 };

/* What is being judged, under one anchor. */
struct cert_trial {
    const struct cert_anchor *anchor;
    gnutls_x509_crt_t path[CERT_CHAIN_MAX + 1]; /* leaf first; the anchor's CA last */
    unsigned n;                                 /* including the CA */
    enum cert_role role;
    const char *host;
    time_t now;
    enum fips_mode fips;
    time_t until;       /* what time alone changes, it changes behind this */
    time_t stale;       /* when the list that ran out first did, of those that count all the same */
    unsigned stage;     /* how far it got */
    unsigned named;     /* GnuTLS's status bits of which the reason was given already */
    char why[CERT_WHY]; /* the first reason */
    cert_reason_fn *each; /* gets every reason; NULL: the first one ends the trial */
    void *arg;
    char unapproved[FIPS_NOTE];
};

/* Notes why certificate i of the path is not accepted; always false. */
__attribute__((format(printf, 3, 4))) bool cert_because(struct cert_trial *t, unsigned i,
                                                        const char *fmt, ...);

/* Whether the path is good: all that is asked of one, in order. The stage is how far it got. */
bool cert_check_path(struct cert_trial *t);

#endif
