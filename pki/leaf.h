/* SPDX-License-Identifier: ISC */
/* The policy for certificates below the CA, and their issuing. */
#ifndef CONSIGN_PKI_LEAF_H
#define CONSIGN_PKI_LEAF_H

#include "ca.h"
#include "names.h"
#include "when.h"

/* What is asked for; everything else is policy: v3, key identifiers, a random serial, no longer
 * valid than the CA itself. A server's or a client's: not a CA, digitalSignature, serverAuth or
 * clientAuth alone. A CA's: certificates and CRLs, at most path_length CAs below it. */
struct leaf {
    enum ledger_role role;
    const struct cert_dn *subject;
    const struct names *names;
    gnutls_pubkey_t pub;
    struct when when;
    const char *renews;                    /* serial of the one it takes over from, or NULL */
    int path_length;                       /* a CA's */
    gnutls_x509_name_constraints_t bounds; /* a CA's, may be NULL */
};

struct leaf_made {
    gnutls_datum_t pem;
    gnutls_datum_t subject; /* RFC 4514 text; no data: empty */
    struct cert_id id;
    struct when when;
    char serial[LEDGER_SERIAL + 1];
};
void leaf_release(struct leaf_made *m);

/* Checks what is asked for, without a trace. ERR_NAME, logged. */
enum err leaf_check(const struct leaf *l) MUST_CHECK;
/* Also against what the CA's own certificate and those above it allow: path length and name
 * constraints. */
enum err leaf_check_bounds(const struct ca *ca, const struct leaf *l) MUST_CHECK;
/* Signs it with the unlocked CA, in the ledger's order, and stores it as certs/SERIAL.pem. Both
 * checks are part of it. */
enum err leaf_issue(struct ca *ca, const struct leaf *l, struct leaf_made *out) MUST_CHECK;

/* Writes the certificate to the file, with those of the CAs that a peer must be shown with it.
 * ERR_EXISTS. */
enum err leaf_give_out(const struct ca *ca, const struct leaf_made *m, const char *file) MUST_CHECK;

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
