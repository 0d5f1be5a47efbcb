/* SPDX-License-Identifier: ISC */
/* What a CA may issue: its path length and its name constraints (RFC 5280, 4.2.1.9 and 4.2.1.10). */
#ifndef CONSIGN_PKI_BOUNDS_H
#define CONSIGN_PKI_BOUNDS_H

#include "err.h"
#include <gnutls/x509.h>

/* Name constraints for a CA from lists, each ended by NULL, or NULL: "dns:example.org" (the host and
 * all below it), "email:example.org" (its mailboxes), "email:.example.org" (those of hosts below it),
 * "email:a@example.org", "ip:192.0.2.0/24". *out is NULL when both lists are empty. ERR_USAGE,
 * logged; also for uri: and dn:, which consign can't check and so must not promise. The caller frees
 * with gnutls_x509_name_constraints_deinit. */
enum err bounds_parse(char *const *permit, char *const *exclude,
                      gnutls_x509_name_constraints_t *out) MUST_CHECK;

/* The constraints that a CA's certificate holds; NULL when none. */
enum err bounds_read(gnutls_x509_crt_t crt, gnutls_x509_name_constraints_t *out) MUST_CHECK;

/* How many CAs may be below it; -1: any number. */
int bounds_path_length(gnutls_x509_crt_t ca);

/* One line per constraint: "permitted dns:example.org". */
void bounds_say(gnutls_x509_crt_t ca);

#endif
