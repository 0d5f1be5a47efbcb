/* SPDX-License-Identifier: ISC */
/* Says in time that a revocation list or a partner's bundle runs out: once a day for each that will within crl-warn,
 * or has, in the log and in the audit log. */
#ifndef CONSIGND_CRL_ALARM_H
#define CONSIGND_CRL_ALARM_H

#include "policy.h"

struct crl_alarm_said {
    uint64_t list; /* anchor, issuer and date of one */
    int64_t when;  /* seconds since 1970 */
};

struct crl_alarm {
    int64_t due_ms;
    struct crl_alarm_said *said; /* of those that there was something to say about */
    size_t n;
};

/* Looks once a minute; scribe is the control socket, or -1. */
void crl_alarm_tick(struct crl_alarm *a, const struct policy *p, int scribe, int64_t now_ms);
/* The next tick looks: the lists may be others. */
void crl_alarm_reload(struct crl_alarm *a);
void crl_alarm_release(struct crl_alarm *a);

#endif
