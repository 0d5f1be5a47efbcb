/* SPDX-License-Identifier: ISC */
/* consign-pki revoke: the ledger first, then at once the CRL. */
#include "ca.h"
#include "file.h"
#include "log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A serial as people paste it: upper case and colons are let pass. False: it is none. */
static bool as_serial(const char *text, char out[static LEDGER_SERIAL + 1])
{
    size_t n = 0;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || n == LEDGER_SERIAL)
            return false;
        out[n++] = (char)tolower((unsigned char)*text);
    }
    out[n] = '\0';
    return n >= 2;
}

/* A file counts only when this CA signed it: another CA may have used the same serial. */
static enum err serial_of_file(const struct ca *ca, const char *path, char *serial)
{
    gnutls_x509_crt_t crt = NULL;
    unsigned status = 0;
    enum err e = ca_read_cert(path, &crt);
    if (e)
        return e;
    int rc = gnutls_x509_crt_verify(crt, &ca->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    if (rc < 0 || status)
        e = log_fail(ERR_NOENT, "%s: not a certificate of this CA", path);
    else
        e = ca_serial(crt, serial);
    gnutls_x509_crt_deinit(crt);
    return e;
}

static enum err check_reason(const char *reason)
{
    static const char *const known[] = {"unspecified", "key-compromise", "superseded", "cessation",
                                        "affiliation-changed"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(reason, known[i]) == 0)
            return ERR_OK;
    return log_fail(ERR_USAGE,
                    "reason \"%s\": must be unspecified, key-compromise, superseded, cessation or "
                    "affiliation-changed",
                    reason);
}

static enum err revoke(struct ca *ca, const char *what, const char *reason, const char *pin)
{
    char serial[LEDGER_SERIAL + 1];
    enum err e = ERR_OK;
    if (!as_serial(what, serial) || !ledger_find(&ca->ledger, serial))
        e = file_exists(what)
                ? serial_of_file(ca, what, serial)
                : log_fail(ERR_NOENT, "%s: neither a serial of this CA nor a file", what);
    if (e)
        return e;
    const struct ledger_entry *entry = ledger_find(&ca->ledger, serial);
    if (!entry)
        return log_fail(ERR_NOENT, "%s: not in the ledger", serial);
    if (entry->revoked)
        return log_fail(ERR_EXISTS, "%s: revoked already (%s)", serial, entry->reason);
    e = ca_unlock(ca, pin);
    if (!e && !entry->revoked)
        e = ledger_revoked(&ca->ledger, serial, reason);
    if (!e && ca->ledger.crl_due)
        e = crl_write(ca, 0);
    if (!e)
        printf("revoked      %s\ncrl          %s/crl.pem, number %" PRIu64 "\n", serial, ca->dir,
               ca->ledger.crl_number);
    return e;
}

enum err revoke_run(const struct options *o, const char *const *args, int n)
{
    struct ca ca = {.ledger.fd = -1};
    const char *reason = o->reason ? o->reason : "unspecified";
    (void)n;
    enum err e = check_reason(reason);
    if (!e)
        e = ca_open(&ca, o->dir, true);
    if (!e)
        e = revoke(&ca, args[0], reason, o->pin);
    ca_close(&ca);
    return e;
}
