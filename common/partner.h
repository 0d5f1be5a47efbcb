/* SPDX-License-Identifier: ISC */
/* Partners as `consign-pki partner import` leaves them for consignd: below a folder of partners one folder NAME each,
 * which appears, changes and goes as a whole, with
 *
 *   bundle.pem     what the partner signed
 *   ca.pem         its CAs
 *   crl.pem        their revocation lists
 *   rules          the rules of the map for its users
 *   partner.conf   the bundle's number and validity, and what was said at import
 *
 * Names that begin with a dot are not partners: folders that are being made. */
#ifndef CONSIGN_PARTNER_H
#define CONSIGN_PARTNER_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

#define PARTNER_BUNDLE "bundle.pem"
#define PARTNER_CA     "ca.pem"
#define PARTNER_CRL    "crl.pem"
#define PARTNER_RULES  "rules"
#define PARTNER_CONF   "partner.conf"

struct partner {
    uint64_t serial;      /* of the bundle */
    uint64_t from, until; /* seconds since 1970: the bundle counts from then on, and up to then */
    char *signer;         /* the CA that signs its bundles: SHA256: and 64 hex digits */
    char *root, *rights, *account; /* for the rules; account NULL: none */
};

/* Letters, digits, and . _ -, 1 to 60, the first one no dot and no dash. */
bool partner_name_ok(const char *name);

/* dir/name/file; the caller frees. NULL, logged, without memory. */
char *partner_path(const char *dir, const char *name, const char *file);

/* Reads the partner.conf of a partner. ERR_CONFIG and others, logged. partner_release also after a failure. */
enum err partner_read(const char *dir, const char *name, struct partner *out) MUST_CHECK;
void partner_release(struct partner *p);

/* The names of all partners, sorted by their bytes. ERR_CONFIG, logged, for an entry that is none, and for a folder
 * that others could write to. partner_names_free also after a failure. */
enum err partner_names(const char *dir, char ***names, size_t *n) MUST_CHECK;
void partner_names_free(char **names, size_t n);

#endif
