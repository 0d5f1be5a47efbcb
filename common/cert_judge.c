/* SPDX-License-Identifier: ISC */
/* From a chain and the anchors to a verdict. */
#include "cert_trial.h"

#include "log.h"
#include <stdio.h>
#include <string.h>

/* ---- the path ---- */

/* Whether ca is a better issuer of crt than found: it has the right name, and where another has it
 * too (a CA that changed its key), it is the one that signed. */
static bool better_issuer(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, gnutls_x509_crt_t found)
{
    unsigned status = 0;
    if (!gnutls_x509_crt_check_issuer(crt, ca))
        return false;
    return !found ||
           (gnutls_x509_crt_verify(crt, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) >= 0 &&
            !(status & (GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_SIGNER_NOT_FOUND)));
}

static gnutls_x509_crt_t find_ca(const struct cert_anchor *a, gnutls_x509_crt_t crt)
{
    gnutls_x509_crt_t found = NULL;
    for (unsigned i = 0; i < a->n_cas; i++)
        if (better_issuer(crt, a->cas[i], found))
            found = a->cas[i];
    return found;
}

static gnutls_x509_crt_t find_presented(const struct cert_trial *t, gnutls_x509_crt_t crt,
                                        const gnutls_x509_crt_t *chain, unsigned n)
{
    gnutls_x509_crt_t found = NULL;
    for (unsigned i = 1; i < n; i++) {
        bool used = false;
        for (unsigned k = 0; k < t->n; k++)
            used |= t->path[k] == chain[i];
        if (!used && cert_bearable(chain[i]) && better_issuer(crt, chain[i], found))
            found = chain[i];
    }
    return found;
}

/* From the leaf, whose key was proven, up to a CA of the anchor. What else was presented is of no
 * interest. */
static bool find_path(struct cert_trial *t, const gnutls_x509_crt_t *chain, unsigned n)
{
    t->path[0] = chain[0];
    t->n = 1;
    while (t->n <= CERT_CHAIN_MAX) {
        gnutls_x509_crt_t last = t->path[t->n - 1], ca = find_ca(t->anchor, last);
        if (ca) {
            t->path[t->n++] = ca;
            return true;
        }
        gnutls_x509_crt_t next = find_presented(t, last, chain, n);
        if (!next || t->n == CERT_CHAIN_MAX)
            break;
        t->path[t->n++] = next;
    }
    return cert_because(t, 0, "issued by no trusted CA");
}

static enum err import_chain(const gnutls_datum_t *der, unsigned n, gnutls_x509_crt_t *out,
                             unsigned *imported)
{
    for (*imported = 0; *imported < n; ++*imported) {
        int rc = gnutls_x509_crt_init(&out[*imported]);
        if (rc < 0)
            return log_fail(ERR_INTERNAL, "out of memory for a certificate");
        rc = gnutls_x509_crt_import(out[*imported], &der[*imported], GNUTLS_X509_FMT_DER);
        if (rc < 0) {
            gnutls_x509_crt_deinit(out[*imported]);
            return log_fail(ERR_AUTH, "the peer's certificate can't be read: %s",
                            gnutls_strerror(rc));
        }
    }
    return ERR_OK;
}

/* The anchors that are nearest to the leaf, and no others: where a CA is an anchor by itself its
 * certificates are not the ones of an anchor above it, under which a name is somebody else's. */
static unsigned nearest_anchor(const struct cert_store *s, const gnutls_x509_crt_t *chain,
                               unsigned n, const struct cert_trial *how)
{
    unsigned nearest = CERT_CHAIN_MAX + 2;
    for (size_t i = 0; i < s->n; i++) {
        struct cert_trial t = *how;
        t.anchor = &s->anchors[i];
        t.each = NULL;
        if (find_path(&t, chain, n) && t.n < nearest)
            nearest = t.n;
    }
    return nearest;
}

/* Whether the chain is good under an anchor; *got is that trial, or else the one that got furthest.
 */
static bool try_anchors(const struct cert_store *s, const gnutls_x509_crt_t *chain, unsigned n,
                        const struct cert_trial *how, struct cert_trial *got)
{
    unsigned nearest = nearest_anchor(s, chain, n, how);
    *got = *how;
    for (size_t i = 0; i < s->n; i++) {
        struct cert_trial t = *how;
        t.anchor = &s->anchors[i];
        if (!find_path(&t, chain, n) || t.n != nearest)
            continue;
        bool good = cert_check_path(&t);
        if (good || t.stage > got->stage)
            *got = t;
        if (good)
            return true;
    }
    if (got->stage == 0) {
        got->path[0] = chain[0];
        cert_because(got, 0, "issued by no trusted CA");
    }
    return false;
}

/* The trial that got furthest once more, for all its reasons. */
static void tell_all(struct cert_trial *best, cert_reason_fn *each, void *arg)
{
    struct cert_trial t = *best;
    t.each = each;
    t.arg = arg;
    t.why[0] = '\0';
    if (best->stage == 0)
        each(arg, best->why);
    else if (cert_check_path(&t))
        each(arg, best->why);
}

static enum err judge(const struct cert_store *s, const gnutls_x509_crt_t *chain, unsigned n,
                      const struct cert_trial *how, struct cert_trial *got)
{
    struct cert_trial quick = *how;
    quick.each = NULL;
    if (try_anchors(s, chain, n, &quick, got))
        return ERR_OK;
    if (!how->each)
        return log_fail(ERR_AUTH, "%s", got->why);
    tell_all(got, how->each, how->arg);
    return ERR_AUTH;
}

static enum err judge_der(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                          const struct cert_trial *how, struct cert_id *out)
{
    gnutls_x509_crt_t crts[CERT_CHAIN_MAX];
    unsigned imported = 0;
    struct cert_trial got = {0};
    *out = (struct cert_id){0};
    if (!chain || n == 0)
        return log_fail(ERR_AUTH, "the peer showed no certificate");
    if (n > CERT_CHAIN_MAX)
        return log_fail(ERR_AUTH, "the peer showed %u certificates; at most %d are looked at", n,
                        CERT_CHAIN_MAX);
    enum err e = import_chain(chain, n, crts, &imported);
    if (e == ERR_OK)
        e = judge(s, crts, n, how, &got);
    if (e == ERR_OK)
        e = cert_id_read(&chain[0], out);
    if (e == ERR_OK) {
        snprintf(out->anchor, sizeof out->anchor, "%s", got.anchor->name);
        out->until = got.until;
        out->stale = got.stale;
        snprintf(out->unapproved, sizeof out->unapproved, "%s", got.unapproved);
    }
    while (imported > 0)
        gnutls_x509_crt_deinit(crts[--imported]);
    return e;
}

enum err cert_judge(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                    enum cert_role role, const char *host, time_t now, struct cert_id *out)
{
    struct cert_trial how = {
        .role = role, .host = host, .now = now, .fips = s->fips, .until = INT64_MAX};
    return judge_der(s, chain, n, &how, out);
}

enum err cert_judge_all(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                        enum cert_role role, const char *host, time_t now, cert_reason_fn *each,
                        void *arg, struct cert_id *out)
{
    struct cert_trial how = {.role = role,
                             .host = host,
                             .now = now,
                             .fips = s->fips,
                             .until = INT64_MAX,
                             .each = each,
                             .arg = arg};
    return judge_der(s, chain, n, &how, out);
}
