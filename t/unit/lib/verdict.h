/* SPDX-License-Identifier: ISC */
/* What tests of the judgement of chains share: three CAs, a store with one of them, and what a chain is told. */
#ifndef CONSIGN_T_VERDICT_H
#define CONSIGN_T_VERDICT_H

#include "cert.h"
#include "certs.h"

extern struct verdict {
    char dir[32], ca_file[64], crl_file[64];
    struct certs_cert root, inter, other; /* inter is below root */
} verdict;

/* For cmocka's groups: makes the CAs and a folder for the files; removes it. */
int verdict_begin(void **state);
int verdict_end(void **state);

/* What most leaves of clients are like. */
#define VERDICT_LEAF                                                                               \
    .cn = "alice", .ca = CERTS_LEAF, .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,                        \
    .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}

/* A store with one anchor, acme: ca and these CRLs. */
struct cert_store *verdict_store(const struct certs_cert *ca, const struct certs_crl *crls,
                                 size_t n, enum cert_crl_policy policy);

/* The judgement at CERTS_NOW, whose reason is log_reason. */
enum err verdict_of(const struct cert_store *s, const struct certs_cert *const *chain, unsigned n,
                    enum cert_role role, const char *host);

/* The chain is a client's, and that is what becomes of it: why is a part of the reason. */
void verdict_accepted(const struct cert_store *s, const struct certs_cert *const *chain,
                      unsigned n);
void verdict_refused(const struct cert_store *s, const struct certs_cert *const *chain, unsigned n,
                     const char *why);

#endif
