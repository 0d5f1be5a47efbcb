/* SPDX-License-Identifier: ISC */
/* CRLs: complete, signed by the CA itself, with a number that never goes back. */
#include "ca.h"
#include "file.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY = 86400, SKEW = 300 };

static size_t unhex(const char *text, unsigned char *out)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return n;
}

/* A certificate that expired is refused anyway: it may leave the list. */
static int add_revoked(gnutls_x509_crl_t crl, const struct ledger *l, int64_t now)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < l->n; i++) {
        const struct ledger_entry *e = &l->entries[i];
        unsigned char raw[LEDGER_SERIAL / 2];
        if (!e->revoked || e->not_after + DAY < now)
            continue;
        size_t n = unhex(e->serial, raw);
        rc = gnutls_x509_crl_set_crt_serial(crl, raw, n, (time_t)e->revoked);
    }
    return rc;
}

static int set_number(gnutls_x509_crl_t crl, uint64_t number)
{
    unsigned char raw[9] = {0}; /* a leading zero keeps it positive */
    size_t at = sizeof raw;
    do {
        raw[--at] = (unsigned char)number;
        number >>= 8;
    } while (number);
    if (raw[at] & 0x80)
        at--;
    return gnutls_x509_crl_set_number(crl, raw + at, sizeof raw - at);
}

static int compose(gnutls_x509_crl_t crl, const struct ca *ca, int64_t now, int64_t next)
{
    unsigned char id[64];
    size_t n = sizeof id;
    int rc = gnutls_x509_crl_set_version(crl, 2);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_this_update(crl, (time_t)(now - SKEW));
    if (rc >= 0)
        rc = gnutls_x509_crl_set_next_update(crl, (time_t)next);
    if (rc >= 0)
        rc = set_number(crl, ca->ledger.crl_number);
    if (rc >= 0)
        rc = add_revoked(crl, &ca->ledger, now);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_subject_key_id(ca->crt, id, &n, NULL);
    if (rc >= 0)
        rc = gnutls_x509_crl_set_authority_key_id(crl, id, n);
    return rc;
}

static enum err store(const struct ca *ca, gnutls_x509_crl_t crl)
{
    gnutls_datum_t pem = {NULL, 0};
    char *path = ca_path(ca, "crl.pem");
    int rc = path ? gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem) : 0;
    enum err e = !path    ? ERR_INTERNAL
                 : rc < 0 ? log_fail(ERR_INTERNAL, "CRL: %s", gnutls_strerror(rc))
                          : file_write(path, &pem, 0644, true);
    gnutls_free(pem.data);
    free(path);
    return e;
}

enum err crl_write(struct ca *ca, int days)
{
    gnutls_x509_crl_t crl = NULL;
    int64_t now = time(NULL), next = now + (int64_t)(days ? days : PKI_CRL_DAYS) * DAY;
    enum err e = ledger_crl(&ca->ledger, now, next);
    if (e)
        return e;
    int rc = gnutls_x509_crl_init(&crl);
    if (rc >= 0)
        rc = compose(crl, ca, now, next);
    if (rc < 0)
        e = log_fail(ERR_INTERNAL, "CRL: %s", gnutls_strerror(rc));
    if (!e) {
        rc = gnutls_x509_crl_privkey_sign(crl, ca->crt, ca->key, ca_digest(ca), 0);
        e = rc < 0 ? token_fail(rc, "signature of the CRL") : store(ca, crl);
    }
    if (crl)
        gnutls_x509_crl_deinit(crl);
    return e;
}

/* A CRL that can't be read is not current. */
bool crl_current(const struct ca *ca)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crl_t crl = NULL;
    unsigned char raw[32];
    size_t n = sizeof raw;
    uint64_t number = 0;
    char *path = ca_path(ca, "crl.pem");
    bool ok = path && file_exists(path) && !file_read(path, &pem) &&
              gnutls_x509_crl_init(&crl) >= 0 &&
              gnutls_x509_crl_import(crl, &pem, GNUTLS_X509_FMT_PEM) >= 0 &&
              gnutls_x509_crl_get_number(crl, raw, &n, NULL) >= 0;
    for (size_t i = 0; ok && i < n; i++)
        number = number << 8 | raw[i];
    if (crl)
        gnutls_x509_crl_deinit(crl);
    free(pem.data);
    free(path);
    return ok && number == ca->ledger.crl_number;
}

static enum err copy_out(const struct ca *ca, const char *out)
{
    gnutls_datum_t pem = {NULL, 0};
    char *path = ca_path(ca, "crl.pem");
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
