/* SPDX-License-Identifier: ISC */
/* The policy fips = require | report | off, and the one table of what is approved.
 *
 * The table says which algorithms NIST approves for what TLS, certificates, hashing and tokens do here
 * (its rows name the standard). That is not validation: FIPS 140-3 validates modules, and whether the
 * module in use is one can't be told from an algorithm's name. What GnuTLS says of itself is
 * recorded beside, as it says it (fips_indicator). */
#ifndef CONSIGN_FIPS_H
#define CONSIGN_FIPS_H

#include <stdbool.h>
#include <stddef.h>

enum fips_mode {
    FIPS_OFF,
    FIPS_REPORT,  /* all works; what is not approved is told */
    FIPS_REQUIRE, /* what is not approved is refused */
};

/* "require", "report", "off"; false for any other. */
bool fips_mode_parse(const char *text, enum fips_mode *out);
const char *fips_mode_name(enum fips_mode mode);

enum fips_kind {
    FIPS_SUITE,     /* cipher of a TLS 1.3 suite */
    FIPS_GROUP,     /* of the key exchange */
    FIPS_SIGNATURE, /* in a handshake, a certificate, a revocation list or a request */
    FIPS_KEY,
    FIPS_HASH,      /* engine of the hash tree (tree.h) */
    FIPS_MECHANISM, /* of a token */
};

struct fips_row {
    enum fips_kind kind;
    const char *name; /* GnuTLS's, the engine's, PKCS#11's */
    unsigned bits;    /* FIPS_KEY: at least; else 0 */
    const char *standard;
};

/* The row of that name; NULL: not approved. */
const struct fips_row *fips_find(enum fips_kind kind, const char *name);
static inline bool fips_approved(enum fips_kind kind, const char *name)
{
    return fips_find(kind, name) != NULL;
}

/* Whether a key is approved: kind by GnuTLS's name (gnutls_pk_get_name), size in bits. */
bool fips_key(const char *kind, unsigned bits);

/* A list of what is not approved, as text: "group X25519; hash engine ipsec-mb". Begins empty; what
 * stands in it already is not added again, what does not fit is cut. */
enum { FIPS_NOTE = 400 };
void fips_note(char note[static FIPS_NOTE], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- what the module says of itself ---- */

/* Whether GnuTLS is in FIPS mode in this process. */
bool fips_module(void);

/* One line on the policy and on the module: "fips = require: approved algorithms only; GnuTLS 3.7.9 is
 * not in FIPS mode, ...". */
enum { FIPS_TEXT = 300 };
void fips_statement(enum fips_mode mode, char out[static FIPS_TEXT]);

/* GnuTLS's service indicator (FIPS 140-3, 2.4.C) for what this thread has it do from begin to end. */
struct fips_watch {
    void *context; /* NULL: there is none */
};
void fips_watch_begin(struct fips_watch *w);
/* "approved", "not-approved" or "module-not-in-fips-mode"; static. */
const char *fips_watch_end(struct fips_watch *w);

/* What is recorded of a session without an own watch. */
#define FIPS_NO_MODULE "module-not-in-fips-mode"

#endif
