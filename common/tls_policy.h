/* SPDX-License-Identifier: ISC */
/* Which algorithms a handshake may agree on, and which it did: the policy behind tls.h. */
#ifndef CONSIGN_TLS_POLICY_H
#define CONSIGN_TLS_POLICY_H

#include "fips.h"
#include <gnutls/gnutls.h>

enum { TLS_GROUPS = 16, TLS_GROUP_NAME = 32, TLS_WHY = 400, TLS_PRIORITY = 1200 };

/* Groups of the key exchange, the one to be preferred first. */
struct tls_groups {
    unsigned n; /* 0: the default, X25519 P-256 P-384; with fips = require P-256 P-384 */
    gnutls_group_t list[TLS_GROUPS];
};

struct tls_policy {
    enum fips_mode fips;
    struct tls_groups groups;
};

/* Reads names with blanks between: X25519, P-256 (or SECP256R1), X25519MLKEM768 and so on, without
 * regard to case and hyphens. What the GnuTLS in use has decides; a name it lacks, or one that is there
 * twice, is false with why: which, and which there are. */
bool tls_groups_parse(const char *text, struct tls_groups *out, char why[static TLS_WHY]);

/* "P-256" and so on; static. */
const char *tls_group_name(gnutls_group_t group);

/* Whether the policy contradicts itself: false with why for a group that fips = require forbids. */
bool tls_policy_check(const struct tls_policy *p, char why[static TLS_WHY]);

/* GnuTLS's priority string of the policy. */
void tls_policy_priority(const struct tls_policy *p, char out[static TLS_PRIORITY]);

/* Whether a signature in a handshake may be by that algorithm. */
bool tls_policy_signs(const struct tls_policy *p, gnutls_sign_algorithm_t algorithm);

/* What a handshake agreed on, by GnuTLS's names; "" where there was none (a resumed session has no
 * signatures). */
struct tls_agreed {
    char suite[64]; /* "TLS1.3-AES-128-GCM" */
    char group[TLS_GROUP_NAME];
    char signature[40];        /* the server's */
    char client_signature[40]; /* the client's */
    const char *indicator;     /* of the handshake (fips_watch_end) */
};
void tls_agreed_read(gnutls_session_t session, struct tls_agreed *out);

/* "TLS1.3-AES-128-GCM, group X25519, signatures ECDSA-... (server) and ECDSA-... (client)". */
enum { TLS_AGREED_TEXT = 200 };
void tls_agreed_text(const struct tls_agreed *a, char out[static TLS_AGREED_TEXT]);

/* What of a session is not approved: of what was agreed on, the engine of the hash tree, and what
 * cert_judge noted of the peer's certificates. "" when all is approved. */
void tls_agreed_note(const struct tls_agreed *a, const char *engine, const char *certificates,
                     char note[static FIPS_NOTE]);

#endif
