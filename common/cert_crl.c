/* SPDX-License-Identifier: ISC */
/* Revocation lists: read once into tables, for GnuTLS walks a list from its start at each question.
 */
#include "cert_internal.h"

#include "conf.h"
#include "log.h"
#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool signed_by(gnutls_x509_crl_t crl, gnutls_x509_crt_t issuer)
{
    /* Whether the list is of today is asked apart: the two have different consequences. GnuTLS says
     * "invalid" for either, beside the bit that tells which. */
    const unsigned of_time =
        GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
    unsigned status = 0;
    int rc = gnutls_x509_crl_verify(crl, &issuer, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    if (rc < 0)
        return false;
    return status == 0 || (status & of_time && !(status & ~(of_time | GNUTLS_CERT_INVALID)));
}

bool cert_crl_speaks_for(const struct cert_crl *crl, gnutls_x509_crt_t issuer)
{
    return crl->own || signed_by(crl->crl, issuer);
}

/* ---- entries ---- */

static int by_serial(const void *a, const void *b)
{
    const struct cert_revoked *x = a, *y = b;
    return memcmp(x->serial, y->serial, CERT_SERIAL);
}

/* From n octets as encoded, at the front, to the number itself: moved to the end. */
static void as_number(uint8_t serial[static CERT_SERIAL], size_t n)
{
    memmove(serial + CERT_SERIAL - n, serial, n);
    memset(serial, 0, CERT_SERIAL - n);
}

time_t cert_crl_revoked(const struct cert_crl *crl, gnutls_x509_crt_t crt)
{
    struct cert_revoked key = {.when = 0};
    size_t n = CERT_SERIAL;
    if (gnutls_x509_crt_get_serial(crt, key.serial, &n) < 0)
        return 1; /* one that no list could name */
    as_number(key.serial, n);
    const struct cert_revoked *found =
        crl->n ? bsearch(&key, crl->revoked, crl->n, sizeof key, by_serial) : NULL;
    return found ? found->when : 0;
}

/* The entries as a sorted table. */
static enum err read_entries(struct cert_crl *crl, const char *file)
{
    gnutls_x509_crl_iter_t iter = NULL;
    int count = gnutls_x509_crl_get_crt_count(crl->crl), rc = count;
    crl->revoked = calloc(count > 0 ? (size_t)count : 1, sizeof *crl->revoked);
    if (!crl->revoked)
        return log_fail(ERR_INTERNAL, "out of memory for a revocation list");
    for (; rc >= 0 && crl->n < (size_t)count; crl->n++) {
        struct cert_revoked *r = &crl->revoked[crl->n];
        size_t n = CERT_SERIAL;
        rc = gnutls_x509_crl_iter_crt_serial(crl->crl, &iter, r->serial, &n, &r->when);
        if (rc >= 0)
            as_number(r->serial, n);
        r->when = r->when ? r->when : 1;
    }
    if (iter)
        gnutls_x509_crl_iter_deinit(iter);
    if (rc < 0)
        return log_fail(ERR_CONFIG, "%s: an entry of a revocation list can't be read: %s", file,
                        gnutls_strerror(rc));
    qsort(crl->revoked, crl->n, sizeof *crl->revoked, by_serial);
    return ERR_OK;
}

/* ---- lists ---- */

/* What is left out of a partial list (delta, by reason, by kind of certificate) could be revoked
 * all the same; such a list says so by a critical extension. */
static bool is_partial(gnutls_x509_crl_t crl)
{
    for (unsigned i = 0;; i++) {
        char oid[128];
        size_t n = sizeof oid;
        unsigned critical = 1;
        int rc = gnutls_x509_crl_get_extension_info(crl, i, oid, &n, &critical);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        if (rc < 0 || critical)
            return true;
    }
}

/* A list by one of the CAs must bear its signature. One by an intermediate CA is checked when it is
 * used. */
static enum err check_signature(const struct cert_anchor *a, struct cert_crl *crl, const char *file)
{
    bool known = false;
    for (unsigned i = 0; i < a->n_cas && !crl->own; i++) {
        if (!gnutls_x509_crl_check_issuer(crl->crl, a->cas[i]))
            continue;
        known = true;
        crl->own = signed_by(crl->crl, a->cas[i]);
    }
    if (known && !crl->own)
        return log_fail(ERR_CONFIG, "%s: a revocation list's signature is not its CA's", file);
    return ERR_OK;
}

static enum err take(const struct cert_anchor *a, struct cert_crl *crl, const char *file)
{
    if (gnutls_x509_crl_get_next_update(crl->crl) == (time_t)-1)
        return log_fail(ERR_CONFIG, "%s: a revocation list does not say how long it is good", file);
    if (is_partial(crl->crl))
        return log_fail(ERR_CONFIG, "%s: a revocation list is partial (a critical extension)",
                        file);
    enum err e = check_signature(a, crl, file);
    return e == ERR_OK ? read_entries(crl, file) : e;
}

enum err cert_crls_load(struct cert_anchor *a, const char *file)
{
    gnutls_datum_t pem;
    gnutls_x509_crl_t *list = NULL;
    unsigned n = 0;
    enum err e = cert_read_file(file, &pem);
    if (e != ERR_OK)
        return e;
    int rc = gnutls_x509_crl_list_import2(&list, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
    free(pem.data);
    if (rc < 0 || n == 0)
        return log_fail(ERR_CONFIG, "%s: no revocation list can be read from it: %s", file,
                        gnutls_strerror(rc));
    a->crls = calloc(n, sizeof *a->crls);
    for (; a->crls && a->n_crls < n; a->n_crls++)
        a->crls[a->n_crls].crl = list[a->n_crls];
    if (!a->crls)
        while (n > 0)
            gnutls_x509_crl_deinit(list[--n]);
    gnutls_free(list);
    if (!a->crls)
        return log_fail(ERR_INTERNAL, "out of memory for a revocation list");
    for (unsigned i = 0; e == ERR_OK && i < a->n_crls; i++)
        e = take(a, &a->crls[i], file);
    return e;
}

void cert_crls_release(struct cert_anchor *a)
{
    for (unsigned i = 0; i < a->n_crls; i++) {
        gnutls_x509_crl_deinit(a->crls[i].crl);
        free(a->crls[i].revoked);
    }
    free(a->crls);
}

/* ---- how old they may be ---- */

enum { GRACE_MAX_S = 366 * 86400 };

enum err cert_stale_parse(const struct conf_at *at, const char *value, struct cert_staleness *out)
{
    uint64_t grace = 0;
    enum err e = ERR_OK;
    *out = (struct cert_staleness){CERT_STALE_FAIL, 0};
    if (strcmp(value, "warn") == 0)
        out->what = CERT_STALE_WARN;
    else if (strncmp(value, "grace ", 6) == 0)
        e = conf_seconds(at, value + 6 + strspn(value + 6, " "), 1, GRACE_MAX_S, &grace);
    else if (strcmp(value, "fail") != 0)
        e = conf_fail(at, "\"%s\" is neither fail nor warn nor grace TIME", value);
    if (grace)
        *out = (struct cert_staleness){CERT_STALE_GRACE, (int64_t)grace};
    return e;
}

time_t cert_crl_end(const struct cert_anchor *a, const struct cert_crl *crl)
{
    time_t next = gnutls_x509_crl_get_next_update(crl->crl);
    return a->stale.what == CERT_STALE_WARN    ? INT64_MAX
           : a->stale.what == CERT_STALE_GRACE ? next + a->stale.grace_s
                                               : next;
}

static void tell_facts(const struct cert_anchor *a, const struct cert_crl *crl,
                       struct cert_crl_facts *out)
{
    gnutls_datum_t text = {0};
    uint8_t number[32];
    size_t n = sizeof number;
    time_t end = cert_crl_end(a, crl);
    *out = (struct cert_crl_facts){.anchor = a->name,
                                   .this_update = gnutls_x509_crl_get_this_update(crl->crl),
                                   .next_update = gnutls_x509_crl_get_next_update(crl->crl),
                                   .counts_until = end == INT64_MAX ? 0 : end,
                                   .revoked = crl->n};
    if (gnutls_x509_crl_get_issuer_dn3(crl->crl, &text, 0) == 0)
        log_scrub(out->issuer, sizeof out->issuer, text.data, text.size);
    gnutls_free(text.data);
    if (gnutls_x509_crl_get_number(crl->crl, number, &n, NULL) == 0)
        text_hex(number, n, out->number);
}

bool cert_store_crl(const struct cert_store *s, size_t i, struct cert_crl_facts *out)
{
    for (size_t k = 0; k < s->n; k++) {
        const struct cert_anchor *a = &s->anchors[k];
        if (i < a->n_crls) {
            tell_facts(a, &a->crls[i], out);
            return true;
        }
        i -= a->n_crls;
    }
    return false;
}
