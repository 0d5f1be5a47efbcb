/* SPDX-License-Identifier: ISC */
/* The ledger: what the CA has ever signed, one line an event, only ever appended to and synced. Its
 * first line is its version. The others:
 *
 *   issuing SERIAL TIME NOTAFTER server|client|ca SUBJECT [RENEWS]
 *                                                          before the signature is made
 *   issued SERIAL TIME                                     after the certificate's file is durable
 *   revoked SERIAL TIME REASON                             before the CRL is made
 *   crl NUMBER TIME NEXTUPDATE                             before the CRL is signed
 *
 * Times are seconds since 1970, serials lower-case hex; the subject is RFC 4514 text with control
 * characters, blanks and % as %XX ("-": empty); RENEWS is the serial of the certificate that the new
 * one takes over from. The order is the promise: no signature leaves that the ledger
 * does not know. After a crash, an "issuing" without "issued" is either completed (the file stands
 * there) or revoked (ca.h). A torn last line was never acknowledged and is cut off.
 *
 * A writer holds a lock for as long as the ledger is open. */
#ifndef CONSIGN_PKI_LEDGER_H
#define CONSIGN_PKI_LEDGER_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

enum { LEDGER_SERIAL = 40 }; /* hex digits at most: RFC 5280 allows 20 bytes */

/* What a certificate is for. */
enum ledger_role { LEDGER_CLIENT, LEDGER_SERVER, LEDGER_CA };
const char *ledger_role_name(enum ledger_role role); /* "client", "server", "ca" */

struct ledger_entry {
    char serial[LEDGER_SERIAL + 1];
    char renews[LEDGER_SERIAL + 1]; /* "": no other */
    enum ledger_role role;
    bool issued;   /* the certificate's file is known to be durable */
    char *subject; /* RFC 4514 */
    int64_t at;    /* when the line "issuing" was written */
    int64_t not_after;
    int64_t revoked; /* when; 0: not */
    char reason[24];
};

struct ledger {
    int fd;
    char *path;
    bool writing;
    struct ledger_entry *entries;
    size_t n;
    uint64_t crl_number; /* the last one used; 0: none */
    bool crl_due;        /* something was revoked since */
};

/* Makes an empty ledger. ERR_EXISTS. */
enum err ledger_create(const char *path) MUST_CHECK;

/* Opens and reads it; writing: under the lock, waiting for it. ERR_CORRUPT with path and line. */
enum err ledger_open(struct ledger *l, const char *path, bool writing) MUST_CHECK;
void ledger_release(struct ledger *l);

/* NULL when the serial is unknown. Valid until the next ledger_issuing. */
struct ledger_entry *ledger_find(struct ledger *l, const char *serial);

/* The newest that renews the certificate of the serial, was issued and isn't revoked; NULL: none. */
const struct ledger_entry *ledger_renewal(const struct ledger *l, const char *serial);

/* Whether it can still be shown to somebody: neither revoked nor expired at the time now. */
bool ledger_live(const struct ledger_entry *e, int64_t now);

/* Each appends its line, durably, and then changes *l. */
/* ERR_EXISTS for a serial that is in use. */
enum err ledger_issuing(struct ledger *l, const struct ledger_entry *e) MUST_CHECK;
enum err ledger_issued(struct ledger *l, const char *serial) MUST_CHECK;
enum err ledger_revoked(struct ledger *l, const char *serial, const char *reason) MUST_CHECK;
/* Takes the next number. */
enum err ledger_crl(struct ledger *l, int64_t now, int64_t next_update) MUST_CHECK;

#endif
