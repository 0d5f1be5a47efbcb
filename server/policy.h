/* SPDX-License-Identifier: ISC */
/* All that decides who may connect and what they may do, loaded as one: trust anchors, CRLs, the
 * map and the server's own certificates. Held by the master, shared by its children as it was when
 * they were forked. */
#ifndef CONSIGND_POLICY_H
#define CONSIGND_POLICY_H

#include "cert.h"
#include "config.h"
#include "map.h"
#include <gnutls/abstract.h>

struct policy_pace {
    char user[65];
    int fd;
};

struct policy {
    uint64_t generation; /* counts loads: a verdict is good only for the policy it was made under */
    struct config *config;
    struct cert_store *anchors;
    struct map *map;
    struct policy_pace *paces; /* what the sessions of each user with a rate share it by */
    size_t n_paces;
    gnutls_pcert_st *chain; /* the server's, leaf first */
    unsigned n_chain;
    gnutls_pcert_st *coming; /* a newer one, until a keeper has its key; NULL: none */
    unsigned n_coming;
    gnutls_pcert_st *sign_chain; /* of the key of statements; NULL: there is none */
    unsigned n_sign_chain;
    uint64_t files; /* how its files looked when they were read (notice.h) */
};

/* Reads config_file and all it names. On failure nothing is kept. */
enum err policy_load(const char *config_file, uint64_t generation, struct policy **out) MUST_CHECK;
void policy_free(struct policy *p);

/* An anchor for a partner, and its rules for nobody else: as the map was read before, none of its rules can name that
 * anchor. */
enum err policy_partner(const struct config_partner *x, struct cert_store *anchors,
                        struct map *map) MUST_CHECK;

/* Certificate and key are changed together: where the new policy's key could be another one than the old one's,
 * by its certificate or by how it is reached, its chain waits and the old one's, which moves over, goes on.
 * Returns whether a new keeper is wanted. */
bool policy_pair(struct policy *fresh, struct policy *old);
/* The keeper with the key of the chain that waits is up; without one, nothing happens. */
void policy_take_chain(struct policy *p);

/* The descriptor (pace.h) by which all sessions of that user share the rate: made at the first call and
 * kept as long as the policy (of POLICY_PACES users at most: then the one that was made first goes), so that a new
 * session is no way to a new burst; *fd is borrowed, -1 when the user has no limit. Only the sessions of that user
 * get it, and no other can touch it. */
enum { POLICY_PACES = 1024 };
enum err policy_pace(struct policy *p, const struct map_user *user, int *fd) MUST_CHECK;

#endif
