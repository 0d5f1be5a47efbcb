/* SPDX-License-Identifier: ISC */
/* consign-pki revoke: the ledger first, then at once the CRL. */
#include "crl.h"
#include "log.h"
#include "pick.h"
#include "row.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static enum err check_reason(const char *reason)
{
    return crl_reason_code(reason) >= 0
               ? ERR_OK
               : log_fail(ERR_USAGE, "reason \"%s\": must be %s", reason, crl_reason_words());
}

static void show_choice(const struct ca *ca, const struct pick *p, int64_t now)
{
    for (size_t i = 0; i < p->n; i++)
        row_print(&ca->ledger, &ca->ledger.entries[p->list[i]], now, false);
}

/* Whether what was picked can be revoked, all of it. */
static enum err check(const struct ca *ca, const struct pick *p, bool all, int64_t now)
{
    const struct ledger_entry *first = &ca->ledger.entries[p->list[0]];
    if (p->by_subject)
        show_choice(ca, p, now);
    if (p->n > 1 && !all)
        return log_fail(
            ERR_USAGE,
            "%zu live certificates bear this subject: name one by its serial, or all of "
            "them by --all",
            p->n);
    return first->revoked
               ? log_fail(ERR_EXISTS, "%s: revoked already (%s)", first->serial, first->reason)
               : ERR_OK;
}

static enum err revoke_each(struct ca *ca, const struct pick *p, const char *reason)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < p->n; i++) {
        const struct ledger_entry *entry = &ca->ledger.entries[p->list[i]];
        e = ledger_revoked(&ca->ledger, entry->serial, reason);
        if (!e)
            printf("revoked      %s\n", entry->serial);
    }
    return e;
}

static enum err revoke(struct ca *ca, const struct options *o, const char *what, const char *reason)
{
    struct pick p;
    int64_t now = time(NULL);
    enum err e = pick_of(ca, what, now, &p);
    if (!e)
        e = check(ca, &p, o->all, now);
    if (!e)
        e = ca_unlock(ca, o->pin);
    if (!e)
        e = revoke_each(ca, &p, reason);
    if (!e && ca->ledger.crl_due)
        e = crl_write(ca, 0);
    if (!e)
        printf("crl          %s/crl.pem, number %" PRIu64 "\n", ca->dir, ca->ledger.crl_number);
    pick_release(&p);
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
        e = revoke(&ca, o, args[0], reason);
    ca_close(&ca);
    return e;
}
