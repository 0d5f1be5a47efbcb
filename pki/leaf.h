/* SPDX-License-Identifier: ISC */
/* The policy for certificates below the CA, and their issuing. */
#ifndef CONSIGN_PKI_LEAF_H
#define CONSIGN_PKI_LEAF_H

#include "ca.h"
#include "names.h"

/* What is asked for; everything else is policy: v3, not a CA, digitalSignature, clientAuth or
 * serverAuth alone, key identifiers, a random serial, valid from five minutes ago for at most the
 * CA's own life. */
struct leaf {
    bool server;
    const struct cert_dn *subject;
    const struct names *names;
    gnutls_pubkey_t pub;
    int days; /* 0: the default */
};

struct leaf_made {
    gnutls_datum_t pem;
    gnutls_datum_t subject; /* RFC 4514 text; no data: empty */
    struct cert_id id;
    char serial[LEDGER_SERIAL + 1];
};
void leaf_release(struct leaf_made *m);

/* Checks what is asked for, without a trace. ERR_NAME, logged. */
enum err leaf_check(const struct leaf *l) MUST_CHECK;
/* Signs it with the unlocked CA, in the ledger's order, and stores it as certs/SERIAL.pem. */
enum err leaf_issue(struct ca *ca, const struct leaf *l, struct leaf_made *out) MUST_CHECK;

/* Prints what was made and the lines to paste: into the map for a client, into consignd.conf for a
 * server. key: where the key is; NULL: not ours. file: the certificate's file. module and pin: what
 * the key needs, or NULL. */
struct leaf_report {
    const char *file, *key, *module, *pin;
};
void leaf_print(const struct ca *ca, const struct leaf *l, const struct leaf_made *m,
                const struct leaf_report *r);

/* A file or rule name from any text: other characters become "_"; at most 60. */
void leaf_plain_name(const char *text, char out[static 64]);

#endif
