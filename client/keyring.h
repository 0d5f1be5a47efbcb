/* SPDX-License-Identifier: ISC */
/* Certificate and key of a profile, as they are on the disk by now or in the token. A pair that can't be used, as its
 * second half is not there yet, changes nothing, with a warning: the last good one goes on. */
#ifndef CONSIGN_KEYRING_H
#define CONSIGN_KEYRING_H

#include "client.h"
#include "part.h"
#include "token.h"

/* How two files looked; one that is not there, or no file, as all zeros. */
struct look {
    struct part_stamp of[2];
};
struct look look_at(const char *a, const char *b);
bool look_same(const struct look *a, const struct look *b);
/* Says once for each state of the files that what changed is of no use, with log_reason. */
void look_warn(struct look *warned, const struct look *now, const char *what);

struct keyring {
    const struct profile *profile;
    struct token_pin *pin;
    struct look look, warned;
    gnutls_pcert_st *chain;
    unsigned n;
    gnutls_privkey_t key; /* NULL: it was taken */
};

/* Starts the token and loads both; the profile must outlive it. Also what failed is to be closed. */
enum err keyring_open(struct keyring *k, const struct profile *p) MUST_CHECK;
void keyring_close(struct keyring *k);

/* Whether the files have changed and were loaded anew. */
bool keyring_renew(struct keyring *k);

#endif
