/* SPDX-License-Identifier: ISC */
/* A command that receives files does so in a process that has no key and can open nothing but the folder it writes to
 * (receiver.h). What that needs of the outside is done by another one, its agent: it has the token, or the key's file,
 * looks up and connects to the server, signs, once for each connection and nothing but what a client of TLS 1.3 does, and opens the files of trust anchors and
 * revocation lists when they have changed. It reads no byte of the server's. */
#ifndef CONSIGN_AGENT_H
#define CONSIGN_AGENT_H

#include "client.h"

struct agent;

/* What an answer brings; descriptors are -1 where there is none, and the caller's else. */
struct agent_news {
    int socket;
    int ca, crl;            /* files that have changed */
    gnutls_pcert_st *chain; /* NULL: as before */
    unsigned n;
};
void agent_news_release(struct agent_news *n);

/* Starts the agent: before there is a thread, and before this process has anything to do with PKCS#11. The profile
 * must outlive it. *news has the chain. Errors are the agent's, which has logged them. */
enum err agent_start(const struct profile *p, struct agent **out,
                     struct agent_news *news) MUST_CHECK;

/* One more connection, and what has changed since the last one. */
enum err agent_connect(struct agent *a, struct agent_news *news) MUST_CHECK;

/* The connection that agent_sign is called for from now on; NULL: none. */
void agent_signs_for(struct agent *a, const struct tls *tls);

/* A tls_sign_fn with the agent as its argument. */
enum err agent_sign(void *agent, uint32_t algorithm, const void *data, size_t n, uint8_t *sig,
                    size_t *sig_n) MUST_CHECK;

/* Ends it and waits until it has closed its sessions with the token. NULL is allowed. */
void agent_end(struct agent *a);

#endif
