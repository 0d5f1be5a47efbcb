/* SPDX-License-Identifier: ISC */
#include "cert_internal.h"

#include "log.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { CHAIN_MAX = 8, CLOCK_SKEW_S = 300, WHY = 400 };

/* What is being judged, under one anchor. */
struct trial {
    const struct cert_anchor *anchor;
    gnutls_x509_crt_t path[CHAIN_MAX + 1]; /* leaf first; the anchor's CA last */
    unsigned n;                            /* including the CA */
    enum cert_role role;
    const char *host;
    time_t now;
    unsigned stage; /* how far it got */
    char why[WHY];
};

void cert_subject_text(gnutls_x509_crt_t crt, char out[static CERT_TEXT])
{
    gnutls_datum_t text = {0};
    snprintf(out, CERT_TEXT, "(no subject)");
    if (gnutls_x509_crt_get_dn3(crt, &text, 0) == 0)
        log_scrub(out, CERT_TEXT, text.data, text.size);
    gnutls_free(text.data);
}

bool cert_crl_signed_by(gnutls_x509_crl_t crl, gnutls_x509_crt_t issuer)
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

/* Notes why certificate i of the path is not accepted; always false. */
__attribute__((format(printf, 3, 4))) static bool because(struct trial *t, unsigned i,
                                                          const char *fmt, ...)
{
    char subject[CERT_TEXT], cause[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cause, sizeof cause, fmt, ap);
    va_end(ap);
    cert_subject_text(t->path[i], subject);
    snprintf(t->why, sizeof t->why, "certificate of %.180s: %s", subject, cause);
    return false;
}

static void date_text(time_t when, char out[static 32])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(out, 32, "?");
}

/* ---- the path ---- */

static gnutls_x509_crt_t find_ca(const struct cert_anchor *a, gnutls_x509_crt_t crt)
{
    for (unsigned i = 0; i < a->n_cas; i++)
        if (gnutls_x509_crt_check_issuer(crt, a->cas[i]))
            return a->cas[i];
    return NULL;
}

static gnutls_x509_crt_t find_presented(const struct trial *t, gnutls_x509_crt_t crt,
                                        const gnutls_x509_crt_t *chain, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        bool used = false;
        for (unsigned k = 0; k < t->n; k++)
            used |= t->path[k] == chain[i];
        if (!used && gnutls_x509_crt_check_issuer(crt, chain[i]))
            return chain[i];
    }
    return NULL;
}

/* From the leaf, whose key was proven, up to a CA of the anchor. What else was presented is of no
 * interest. */
static bool find_path(struct trial *t, const gnutls_x509_crt_t *chain, unsigned n)
{
    t->path[0] = chain[0];
    t->n = 1;
    while (t->n <= CHAIN_MAX) {
        gnutls_x509_crt_t last = t->path[t->n - 1], ca = find_ca(t->anchor, last);
        if (ca) {
            t->path[t->n++] = ca;
            return true;
        }
        gnutls_x509_crt_t next = find_presented(t, last, chain, n);
        if (!next || t->n == CHAIN_MAX)
            break;
        t->path[t->n++] = next;
    }
    return because(t, 0, "issued by no trusted CA");
}

static bool check_signatures(struct trial *t)
{
    unsigned flags = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_CRL_CHECKS |
                     GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT;
    unsigned status = 0;
    gnutls_datum_t text = {0};
    int rc = gnutls_x509_trust_list_verify_crt2(t->anchor->list, t->path, t->n - 1, NULL, 0, flags,
                                                &status, NULL);
    if (rc < 0)
        return because(t, 0, "%s", gnutls_strerror(rc));
    if (status == 0)
        return true;
    if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
        return because(t, 0, "issued by no trusted CA");
    rc = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
    because(t, 0, "%s", rc < 0 ? "not valid" : (const char *)text.data);
    gnutls_free(text.data);
    return false;
}

/* ---- each certificate ---- */

static bool check_time(struct trial *t, unsigned i)
{
    time_t from = gnutls_x509_crt_get_activation_time(t->path[i]);
    time_t until = gnutls_x509_crt_get_expiration_time(t->path[i]);
    char date[32];
    if (from == (time_t)-1 || until == (time_t)-1)
        return because(t, i, "its dates can't be read");
    date_text(t->now < from ? from : until, date);
    if (t->now < from)
        return because(t, i, "not valid before %s", date);
    return t->now <= until || because(t, i, "expired on %s", date);
}

static bool check_strength(struct trial *t, unsigned i)
{
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(t->path[i], &bits);
    int sign = gnutls_x509_crt_get_signature_algorithm(t->path[i]);
    bool strong = ((pk == GNUTLS_PK_RSA || pk == GNUTLS_PK_RSA_PSS) && bits >= 2048) ||
                  (pk == GNUTLS_PK_ECDSA && bits >= 256) || pk == GNUTLS_PK_EDDSA_ED25519;
    if (!strong)
        return because(t, i, "its key (%s, %u bits) is too weak or of a kind not accepted",
                       pk < 0 ? "unknown" : gnutls_pk_get_name((gnutls_pk_algorithm_t)pk), bits);
    /* An anchor's own signature proves nothing to anybody. */
    if (i + 1 < t->n && (sign < 0 || !gnutls_sign_is_secure2((gnutls_sign_algorithm_t)sign,
                                                             GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS)))
        return because(t, i, "signed with a broken algorithm (%s)",
                       sign < 0 ? "unknown" : gnutls_sign_get_name((gnutls_sign_algorithm_t)sign));
    return true;
}

/* The date crt was revoked by crl; 0 when it was not. */
static time_t revoked_at(gnutls_x509_crl_t crl, gnutls_x509_crt_t crt)
{
    gnutls_x509_crl_iter_t iter = NULL;
    unsigned char own[64], serial[64];
    size_t own_n = sizeof own, n = sizeof serial;
    time_t when = 0, found = 0;
    if (gnutls_x509_crt_get_serial(crt, own, &own_n) < 0)
        return 1;
    while (!found && gnutls_x509_crl_iter_crt_serial(crl, &iter, serial, &n, &when) == 0) {
        if (n == own_n && memcmp(serial, own, n) == 0)
            found = when ? when : 1;
        n = sizeof serial;
    }
    if (iter)
        gnutls_x509_crl_iter_deinit(iter);
    return found;
}

static bool check_revocation(struct trial *t, unsigned i)
{
    bool current = false, stale = false;
    char date[32] = "";
    for (unsigned k = 0; k < t->anchor->n_crls; k++) {
        gnutls_x509_crl_t crl = t->anchor->crls[k];
        if (!gnutls_x509_crl_check_issuer(crl, t->path[i + 1]) ||
            !cert_crl_signed_by(crl, t->path[i + 1]))
            continue;
        time_t revoked = revoked_at(crl, t->path[i]);
        if (revoked) {
            date_text(revoked, date);
            return because(t, i, "revoked on %s", date);
        }
        time_t from = gnutls_x509_crl_get_this_update(crl);
        time_t until = gnutls_x509_crl_get_next_update(crl);
        if (from <= t->now + CLOCK_SKEW_S && until != (time_t)-1 && t->now < until) {
            current = true;
        } else if (!stale) {
            stale = true;
            date_text(until, date);
        }
    }
    if (current)
        return true;
    if (stale)
        return because(t, i, "its CA's revocation list ran out on %s: load a new one", date);
    return t->anchor->policy == CERT_CRL_IF_PRESENT ||
           because(t, i, "there is no revocation list of its CA");
}

/* ---- the leaf ---- */

static bool has_purpose(gnutls_x509_crt_t leaf, const char *wanted)
{
    for (unsigned i = 0;; i++) {
        char oid[128];
        size_t n = sizeof oid;
        int rc = gnutls_x509_crt_get_key_purpose_oid(leaf, i, oid, &n, NULL);
        if (rc == 0 && strcmp(oid, wanted) == 0)
            return true;
        if (rc < 0 && rc != GNUTLS_E_SHORT_MEMORY_BUFFER)
            return false;
    }
}

static bool check_leaf(struct trial *t)
{
    gnutls_x509_crt_t leaf = t->path[0];
    unsigned usage = 0, critical;
    const char *purpose =
        t->role == CERT_CLIENT ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    if (gnutls_x509_crt_get_version(leaf) != 3)
        return because(t, 0, "not an X.509 v3 certificate");
    if (gnutls_x509_crt_get_ca_status(leaf, &critical) > 0)
        return because(t, 0, "a CA's certificate, not one for a peer");
    if (gnutls_x509_crt_get_key_usage(leaf, &usage, &critical) < 0 ||
        !(usage & GNUTLS_KEY_DIGITAL_SIGNATURE))
        return because(t, 0, "its key usage does not allow digital signatures");
    if (!has_purpose(leaf, purpose))
        return because(t, 0, "not for %s (extended key usage)",
                       t->role == CERT_CLIENT ? "clients" : "servers");
    return true;
}

static bool has_san(gnutls_x509_crt_t leaf, int type)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned char value[512];
        size_t n = sizeof value;
        int rc = gnutls_x509_crt_get_subject_alt_name(leaf, i, value, &n, NULL);
        if (rc == type)
            return true;
        if (rc < 0 && rc != GNUTLS_E_SHORT_MEMORY_BUFFER)
            return false;
    }
    return false;
}

static bool check_host(struct trial *t)
{
    unsigned char address[16];
    size_t n = inet_pton(AF_INET, t->host, address) == 1    ? 4
               : inet_pton(AF_INET6, t->host, address) == 1 ? 16
                                                            : 0;
    bool good = n ? gnutls_x509_crt_check_ip(t->path[0], address, (unsigned)n, 0) != 0
                  /* Without a DNS name GnuTLS would fall back to the common name. */
                  : has_san(t->path[0], GNUTLS_SAN_DNSNAME) &&
                        gnutls_x509_crt_check_hostname2(t->path[0], t->host, 0) != 0;
    return good || because(t, 0, "not for the name %.100s (subjectAltName)", t->host);
}

/* ---- the whole ---- */

static bool try_anchor(struct trial *t, const gnutls_x509_crt_t *chain, unsigned n)
{
    if (!find_path(t, chain, n))
        return false;
    t->stage = 1;
    if (!check_signatures(t))
        return false;
    t->stage = 2;
    if (!check_leaf(t))
        return false;
    for (unsigned i = 0; i < t->n; i++)
        if (!check_time(t, i) || !check_strength(t, i))
            return false;
    t->stage = 3;
    for (unsigned i = 0; i + 1 < t->n; i++)
        if (!check_revocation(t, i))
            return false;
    return t->role == CERT_CLIENT || check_host(t);
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

static enum err try_anchors(const struct cert_store *s, const gnutls_x509_crt_t *chain, unsigned n,
                            const struct trial *how, const char **anchor)
{
    struct trial best = *how;
    best.path[0] = chain[0];
    because(&best, 0, "issued by no trusted CA");
    for (size_t i = 0; i < s->n; i++) {
        struct trial t = *how;
        t.anchor = &s->anchors[i];
        if (try_anchor(&t, chain, n)) {
            *anchor = s->anchors[i].name;
            return ERR_OK;
        }
        if (t.stage > best.stage)
            best = t;
    }
    return log_fail(ERR_AUTH, "%s", best.why);
}

enum err cert_judge(const struct cert_store *s, const gnutls_datum_t *chain, unsigned n,
                    enum cert_role role, const char *host, time_t now, struct cert_id *out)
{
    gnutls_x509_crt_t crts[CHAIN_MAX];
    unsigned imported = 0;
    const char *anchor = NULL;
    struct trial how = {.role = role, .host = host, .now = now};
    *out = (struct cert_id){0};
    if (!chain || n == 0)
        return log_fail(ERR_AUTH, "the peer showed no certificate");
    if (n > CHAIN_MAX)
        return log_fail(ERR_AUTH, "the peer showed %u certificates; at most %d are looked at", n,
                        CHAIN_MAX);
    enum err e = import_chain(chain, n, crts, &imported);
    if (e == ERR_OK)
        e = try_anchors(s, crts, n, &how, &anchor);
    if (e == ERR_OK)
        e = cert_id_read(&chain[0], out);
    if (e == ERR_OK)
        snprintf(out->anchor, sizeof out->anchor, "%s", anchor);
    while (imported > 0)
        gnutls_x509_crt_deinit(crts[--imported]);
    return e;
}
