/* SPDX-License-Identifier: ISC */
/* consign-pki crl: writes the next CRL, or says how long the last one is good. */
#include "crl.h"
#include "buf.h"
#include "file.h"
#include "log.h"
#include "say.h"
#include "when.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum err store(const struct ca *ca, const char *name, const gnutls_datum_t *pem)
{
    char *path = ca_path(ca, name);
    enum err e = path ? file_write(path, pem, 0644, true) : ERR_INTERNAL;
    free(path);
    return e;
}

/* The CRLs of the CAs above: of the parent, and what that has of those above it. */
static enum err read_above(const struct ca *ca, gnutls_datum_t *out)
{
    char *all = file_join(ca->parent, CA_CRLS), *one = file_join(ca->parent, "crl.pem");
    enum err e = all && one ? file_read(file_exists(all) ? all : one, out) : ERR_INTERNAL;
    free(all);
    free(one);
    return e;
}

static enum err store_with_above(const struct ca *ca, const gnutls_datum_t *pem)
{
    gnutls_datum_t above = {NULL, 0};
    struct buf b;
    enum err e = read_above(ca, &above);
    if (e)
        return e;
    buf_init(&b, PKI_PEM_MAX);
    buf_put(&b, pem->data, pem->size);
    buf_put(&b, above.data, above.size);
    free(above.data);
    gnutls_datum_t both = {b.data, (unsigned)b.len};
    e = b.bad ? log_fail(ERR_LIMIT, "the CRLs are too long together") : store(ca, CA_CRLS, &both);
    buf_release(&b);
    return e;
}

enum err crl_write(struct ca *ca, int days)
{
    gnutls_datum_t pem = {NULL, 0};
    int64_t now = time(NULL), next = now + (int64_t)(days ? days : PKI_CRL_DAYS) * WHEN_DAY;
    enum err e = ledger_crl(&ca->ledger, now, next);
    if (!e)
        e = crl_make(ca, now - WHEN_SKEW, next, &pem);
    if (!e)
        e = store(ca, "crl.pem", &pem);
    if (!e && ca->parent)
        e = store_with_above(ca, &pem);
    gnutls_free(pem.data);
    return e;
}

/* The CRL in crl.pem and its number; NULL when it can't be read. The caller frees. */
static gnutls_x509_crl_t read_last(const struct ca *ca, uint64_t *number)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crl_t crl = NULL;
    unsigned char raw[32];
    size_t n = sizeof raw;
    char *path = ca_path(ca, "crl.pem");
    bool ok = path && file_exists(path) && !file_read(path, &pem) &&
              gnutls_x509_crl_init(&crl) >= 0 &&
              gnutls_x509_crl_import(crl, &pem, GNUTLS_X509_FMT_PEM) >= 0 &&
              gnutls_x509_crl_get_number(crl, raw, &n, NULL) >= 0;
    *number = 0;
    for (size_t i = 0; ok && i < n; i++)
        *number = *number << 8 | raw[i];
    if (!ok && crl) {
        gnutls_x509_crl_deinit(crl);
        crl = NULL;
    }
    free(pem.data);
    free(path);
    return crl;
}

/* A CRL that can't be read is not current. */
bool crl_current(const struct ca *ca)
{
    uint64_t number;
    gnutls_x509_crl_t crl = read_last(ca, &number);
    if (!crl)
        return false;
    gnutls_x509_crl_deinit(crl);
    return number == ca->ledger.crl_number;
}

/* ---- the alarm ---- */

static void print_check(const struct ca *ca, const char *state, int64_t next, int64_t left,
                        bool json)
{
    char when[SAY_TIME];
    say_stamp((time_t)next, when);
    if (json)
        printf("{\"state\":\"%s\",\"number\":%" PRIu64
               ",\"next_update\":\"%s\",\"days_left\":%" PRId64 "}\n",
               state, ca->ledger.crl_number, when, left / WHEN_DAY);
    else
        printf("%-10s %s/crl.pem, number %" PRIu64 ", until %s\n", state, ca->dir,
               ca->ledger.crl_number, when);
}

/* "good", "soon", "ended", or "damaged": not the one that the ledger wrote down last. */
static enum err check(const struct options *o)
{
    struct ca ca;
    uint64_t number = 0;
    int64_t next = 0, now = time(NULL);
    int64_t within = (int64_t)(o->within ? o->within : PKI_CRL_WITHIN) * WHEN_DAY;
    enum err e = ca_open(&ca, o->dir, false);
    gnutls_x509_crl_t crl = e ? NULL : read_last(&ca, &number);
    if (crl) {
        next = gnutls_x509_crl_get_next_update(crl);
        gnutls_x509_crl_deinit(crl);
    }
    int64_t left = next > now ? next - now : 0;
    bool damaged = !crl || number != ca.ledger.crl_number;
    const char *state = damaged ? "damaged" : !left ? "ended" : left <= within ? "soon" : "good";
    if (!e)
        print_check(&ca, state, next, left, o->json);
    ca_close(&ca);
    return e ? e : damaged || left <= within ? PKI_ALARM : ERR_OK;
}

/* ---- the command ---- */

static enum err copy_out(const struct ca *ca, const char *out)
{
    gnutls_datum_t pem = {NULL, 0};
    char *path = ca_path(ca, ca->parent ? CA_CRLS : "crl.pem");
    enum err e = path ? file_read(path, &pem) : ERR_INTERNAL;
    if (!e)
        e = file_write(out, &pem, 0644, true);
    free(pem.data);
    free(path);
    return e;
}

static void report(const struct ca *ca, const char *out)
{
    size_t revoked = 0;
    for (size_t i = 0; i < ca->ledger.n; i++)
        revoked += ca->ledger.entries[i].revoked != 0;
    printf("crl          %s%s\nnumber       %" PRIu64 ", %zu revoked\n", out ? out : ca->dir,
           out ? "" : "/crl.pem", ca->ledger.crl_number, revoked);
}

enum err crl_run(const struct options *o, const char *const *args, int n)
{
    struct ca ca;
    (void)args;
    (void)n;
    if (o->check && (o->days || o->out || o->pin))
        return log_fail(ERR_USAGE, "--check writes no CRL: --days, --out and --pin are of no use");
    if (o->check)
        return check(o);
    enum err e = ca_open(&ca, o->dir, true);
    if (!e)
        e = ca_unlock(&ca, o->pin);
    if (!e)
        e = crl_write(&ca, o->days);
    if (!e && o->out)
        e = copy_out(&ca, o->out);
    if (!e)
        report(&ca, o->out);
    ca_close(&ca);
    return e;
}
