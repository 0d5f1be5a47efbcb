/* SPDX-License-Identifier: ISC */
/* What a client shows, and what it holds a server to: certificate and key, trust anchors and revocation lists. Each
 * connection has them as they are on the disk by then: a transfer that takes new connections for days goes on under
 * a renewed certificate and by a new list. Files that can't be read, or a certificate whose key is not there yet,
 * change nothing, with a warning: the last good ones go on, and the next connection looks again.
 *
 * Not for several threads at once. */
#ifndef CONSIGN_PAPERS_H
#define CONSIGN_PAPERS_H

#include "cert.h"
#include "client.h"

struct papers;

/* Reads all for the profile, which must outlive it. apart: the key is an agent's (agent.h), and so is what has to be
 * opened or reached from now on. */
enum err papers_new(const struct profile *p, bool apart, struct papers **out) MUST_CHECK;
void papers_free(struct papers *p);

/* A socket to the server, for one more connection. */
enum err papers_connect(struct papers *p, int *fd) MUST_CHECK;

/* tls is the connection that signatures are made for from now on; NULL: none. */
void papers_sign_for(struct papers *p, const struct tls *tls);

/* For one more connection: read anew where files have changed. The identity lives as long as the papers, the
 * anchors until the next call. */
struct tls_identity *papers_identity(struct papers *p);
const struct cert_store *papers_anchors(struct papers *p);

#endif
