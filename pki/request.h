/* SPDX-License-Identifier: ISC */
/* Requests for certificates (PKCS#10) made elsewhere, and what of them is taken over: the public
 * key, the subject and the alternative names, as far as the CA's policy lets it. Everything else in a
 * request is left out and named. */
#ifndef CONSIGN_PKI_REQUEST_H
#define CONSIGN_PKI_REQUEST_H

#include "conf.h"
#include "names.h"
#include "pki.h"
#include <gnutls/abstract.h>

/* The section [request] of consign-pki.conf. */
struct request_policy {
    unsigned names; /* bit t: alternative names of type t may be asked for */
    unsigned keys;  /* bit i: the i-th key kind of request.c */
    unsigned days;  /* at most, for a server or a client */
    bool subject;   /* the request's subject is taken when none is given */
};
void request_policy_init(struct request_policy *p);
/* A line of the section (conf_read's handler has seen whose it is). */
enum err request_policy_set(struct request_policy *p, const struct conf_at *at,
                            const char *value) MUST_CHECK;

struct request {
    struct cert_dn subject;
    struct names names;
    gnutls_pubkey_t pub;
    int signature;      /* gnutls_sign_algorithm_t */
    char left_out[512]; /* OIDs of extensions that are not taken over; "": none */
};
/* Reads a PEM request, whose signature must be by its own key: it proves that its sender has the
 * key. ERR_AUTH, ERR_TYPE, ERR_NAME, logged. request_release also after a failure. */
enum err request_read(const char *path, struct request *out) MUST_CHECK;
void request_release(struct request *r);

/* Whether the policy lets the request have its names (unless the CA gives others: own_names), its
 * subject (own_subject) and its key. ERR_NAME, logged. */
enum err request_check(const struct request_policy *p, const struct request *r, bool own_subject,
                       bool own_names) MUST_CHECK;

#endif
