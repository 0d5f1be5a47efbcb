/* SPDX-License-Identifier: ISC */
/* consign-pki list, expiry: the ledger, for people and for programs. Need no PIN. */
#include "ca.h"
#include "row.h"
#include "when.h"

#include <stdio.h>
#include <time.h>

enum err list_run(const struct options *o, const char *const *args, int n)
{
    struct ca ca;
    int64_t now = time(NULL);
    (void)args;
    (void)n;
    enum err e = ca_open(&ca, o->dir, false);
    for (size_t i = 0; !e && i < ca.ledger.n; i++)
        row_print(&ca.ledger, &ca.ledger.entries[i], now, o->json);
    ca_close(&ca);
    return e;
}

/* The CA's own certificate as an entry: it ends as well. */
static enum err own_entry(const struct ca *ca, struct ledger_entry *out)
{
    gnutls_datum_t subject = {NULL, 0};
    *out = (struct ledger_entry){.role = LEDGER_CA, .issued = true};
    out->not_after = gnutls_x509_crt_get_expiration_time(ca->crt);
    if (gnutls_x509_crt_get_dn3(ca->crt, &subject, 0) >= 0)
        out->subject = (char *)subject.data;
    return ca_serial(ca->crt, out->serial);
}

/* What another took over from is shown, but is no reason for an alarm. */
static bool report(const struct ca *ca, const struct ledger_entry *e, int64_t now, int64_t until,
                   bool json)
{
    if (!e->issued || !ledger_live(e, now) || e->not_after > until)
        return false;
    row_print(&ca->ledger, e, now, json);
    return !ledger_renewal(&ca->ledger, e->serial);
}

enum err expiry_run(const struct options *o, const char *const *args, int n)
{
    struct ca ca;
    struct ledger_entry own = {.subject = NULL};
    int64_t now = time(NULL);
    int64_t until = now + (int64_t)(o->within ? o->within : PKI_EXPIRY_WITHIN) * WHEN_DAY;
    bool alarm = false;
    (void)args;
    (void)n;
    enum err e = ca_open(&ca, o->dir, false);
    if (!e)
        e = own_entry(&ca, &own);
    if (!e && own.subject)
        alarm = report(&ca, &own, now, until, o->json);
    for (size_t i = 0; !e && i < ca.ledger.n; i++)
        alarm |= report(&ca, &ca.ledger.entries[i], now, until, o->json);
    gnutls_free(own.subject);
    ca_close(&ca);
    return e ? e : alarm ? PKI_ALARM : ERR_OK;
}
