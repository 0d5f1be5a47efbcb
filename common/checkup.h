/* SPDX-License-Identifier: ISC */
/* Checks of a set-up for people and programs: a line a check, ok, warn or fail, and what to do about it.
 *
 *   ok    pin          token "site" takes the PIN
 *   fail  crl          acme.crl: ran out on 2026-11-24
 *         fix          have the CA write a new one (consign-pki crl) and put it there
 *
 * or one JSON object a line ("event":"check" with check, verdict, text, fix) and one with the counts at
 * the end ("event":"checkup"). */
#ifndef CONSIGN_CHECKUP_H
#define CONSIGN_CHECKUP_H

#include "cert.h"
#include "err.h"
#include "token.h"

enum checkup_verdict { CHECKUP_OK, CHECKUP_WARN, CHECKUP_FAIL };

struct checkup {
    bool json;
    bool quiet; /* no lines that are ok */
    unsigned counts[3];
};

/* Prints one line. fix: what to do, NULL for none. */
void checkup_say(struct checkup *c, enum checkup_verdict v, const char *check, const char *fix,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* For what failed with log_fail: its reason (which log_quiet kept from the log) is the text. */
void checkup_failed(struct checkup *c, const char *check, const char *fix);

/* Prints the counts. ERR_OK, or ERR_CONFIG (silent) when there was a failure. */
enum err checkup_end(struct checkup *c) MUST_CHECK;

/* ---- checks that client and server share ---- */

/* A certificate and its key as they are configured, and what was found. */
struct checkup_key {
    const char *certificate, *key, *module, *module_env, *pin;
    bool allow_extractable;
    bool gentle; /* a server works with the token: only what does not take it away from it */
    /* found; NULL: not there */
    gnutls_pcert_st *chain;
    unsigned n_chain;
    struct token_pin *pin_source;
    gnutls_privkey_t priv;
    bool running; /* PKCS#11 */
    bool refused; /* the PIN: it must not be tried again */
};
/* Each is a check, in this order; what it needs and is missing leaves it out. One login. */
void checkup_chain(struct checkup *c, struct checkup_key *k);
void checkup_module(struct checkup *c, struct checkup_key *k);
void checkup_pin(struct checkup *c, struct checkup_key *k);
void checkup_mechanisms(struct checkup *c, struct checkup_key *k);
void checkup_rate(struct checkup *c, struct checkup_key *k);
void checkup_sessions(struct checkup *c, struct checkup_key *k);
/* One more login, with the PIN that was right before. */
void checkup_reconnect(struct checkup *c, struct checkup_key *k);
void checkup_key_release(struct checkup_key *k);

/* Dates and purpose of an own chain, and how it verifies under anchors (may be NULL). */
void checkup_purpose(struct checkup *c, const struct checkup_key *k, enum cert_role role,
                     const struct cert_store *anchors, const char *host);
/* Whether the own certificate's names cover address (a number); NULL: any, so this host's name. */
void checkup_names(struct checkup *c, const struct checkup_key *k, const char *address);
/* The lists in file (NULL: none): how old, how long still. require: without a current one nobody is
 * let in. */
void checkup_crl(struct checkup *c, const char *name, const char *file, bool require);
/* The clock against the dates of an own chain, of the file of CAs and of CRLs (each may be NULL), and whether
 * the kernel takes it for synchronised. */
void checkup_clock(struct checkup *c, const struct checkup_key *k, const char *ca, const char *crl);
/* fips.h: the policy, and that of the module. */
void checkup_fips(struct checkup *c, enum fips_mode mode);

#endif
