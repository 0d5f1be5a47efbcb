/* SPDX-License-Identifier: ISC */
/* What is asked of the certificates of a path. */
#include "cert_trial.h"

#include "log.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { CLOCK_SKEW_S = 300 };

void cert_subject_text(gnutls_x509_crt_t crt, char out[static CERT_TEXT])
{
    gnutls_datum_t text = {0};
    snprintf(out, CERT_TEXT, "(no subject)");
    if (gnutls_x509_crt_get_dn3(crt, &text, 0) == 0)
        log_scrub(out, CERT_TEXT, text.data, text.size);
    gnutls_free(text.data);
}

bool cert_because(struct cert_trial *t, unsigned i, const char *fmt, ...)
{
    char subject[CERT_TEXT], cause[200], why[CERT_WHY];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cause, sizeof cause, fmt, ap);
    va_end(ap);
    cert_subject_text(t->path[i], subject);
    snprintf(why, sizeof why, "certificate of %.180s: %s", subject, cause);
    if (!t->why[0])
        snprintf(t->why, sizeof t->why, "%s", why);
    if (t->each)
        t->each(t->arg, why);
    return false;
}

static void date_text(time_t when, char out[static 32])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(out, 32, "?");
}

/* ---- the path ---- */

static const char *role_purpose(enum cert_role role)
{
    return role == CERT_CLIENT ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
}

/* Each bit is a reason of its own. */
static bool status_reasons(struct cert_trial *t, unsigned status)
{
    bool named = false;
    static const struct {
        unsigned bit;
        const char *text;
    } texts[] = {
        {GNUTLS_CERT_SIGNER_NOT_FOUND, "issued by no trusted CA"},
        {GNUTLS_CERT_SIGNATURE_FAILURE, "a signature in its chain is wrong"},
        {GNUTLS_CERT_SIGNER_NOT_CA, "issued by one who is no CA"},
        {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "a CA of its chain may not issue this"},
        {GNUTLS_CERT_PURPOSE_MISMATCH, "a CA of its chain may not issue for this key purpose"},
        {GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "an unknown critical extension in its chain"},
        {GNUTLS_CERT_INSECURE_ALGORITHM, "a broken algorithm or a weak key in its chain"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (status & texts[i].bit)
            named = !cert_because(t, 0, "%s", texts[i].text);
    return !named && cert_because(t, 0, "its chain does not verify");
}

static bool check_signatures(struct cert_trial *t, unsigned leaf)
{
    unsigned flags = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_CRL_CHECKS |
                     GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT;
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)role_purpose(t->role)};
    gnutls_x509_trust_list_t list = NULL;
    unsigned status = 0;
    /* Of the CA that was found, not of all of the anchor: among several of one name GnuTLS would
     * try but the first. */
    int rc = gnutls_x509_trust_list_init(&list, 0);
    if (rc >= 0)
        rc = gnutls_x509_trust_list_add_cas(list, &t->path[t->n - 1], 1, 0);
    if (rc >= 0)
        rc = gnutls_x509_trust_list_verify_crt2(list, t->path, t->n - 1, &purpose, 1, flags,
                                                &status, NULL);
    if (list)
        gnutls_x509_trust_list_deinit(list, 0);
    if (rc < 0)
        return cert_because(t, leaf, "%s", gnutls_strerror(rc));
    unsigned rest = status & ~t->named;
    if (rest != status && (rest & ~(unsigned)GNUTLS_CERT_INVALID) == 0)
        return false;
    return status == 0 || status_reasons(t, rest);
}

/* GnuTLS enforces these two as well, but does not tell them apart. */
static bool check_path_length(struct cert_trial *t, unsigned i)
{
    unsigned critical, ca;
    int length = -1;
    if (i == 0 || gnutls_x509_crt_get_basic_constraints(t->path[i], &critical, &ca, &length) < 0)
        return true; /* what is no CA is refused with the signatures */
    if (length < 0 || i - 1 <= (unsigned)length)
        return true;
    t->named |= GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE;
    return cert_because(t, i, "it allows %d CAs below it and there are %u (path length)", length,
                        i - 1);
}

static bool check_names(struct cert_trial *t, unsigned i)
{
    char ca[CERT_TEXT];
    const char *fault = i == 0 ? NULL : cert_constraint_fault(t->path[0], t->path[i]);
    if (!fault)
        return true;
    cert_subject_text(t->path[i], ca);
    t->named |= GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE;
    return cert_because(t, 0, "%s (name constraints of CA %.80s)", fault, ca);
}

/* ---- each certificate ---- */

static bool check_time(struct cert_trial *t, unsigned i)
{
    time_t from = gnutls_x509_crt_get_activation_time(t->path[i]);
    time_t until = gnutls_x509_crt_get_expiration_time(t->path[i]);
    char date[32];
    if (from == (time_t)-1 || until == (time_t)-1)
        return cert_because(t, i, "its dates can't be read");
    date_text(t->now < from ? from : until, date);
    t->until = until < t->until ? until : t->until;
    if (t->now < from)
        return cert_because(t, i, "not valid before %s", date);
    return t->now <= until || cert_because(t, i, "expired on %s", date);
}

static bool check_anchor(struct cert_trial *t, unsigned i)
{
    char date[32];
    time_t until = t->anchor->until;
    if (!until)
        return true;
    t->until = until < t->until ? until : t->until;
    date_text(until, date);
    return t->now <= until ||
           cert_because(t, i,
                        "what partner %s told of its CAs ran out on %s: import its new bundle",
                        t->anchor->name, date);
}

static bool check_strength(struct cert_trial *t, unsigned i)
{
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(t->path[i], &bits);
    int sign = gnutls_x509_crt_get_signature_algorithm(t->path[i]);
    bool strong = ((pk == GNUTLS_PK_RSA || pk == GNUTLS_PK_RSA_PSS) && bits >= 2048) ||
                  (pk == GNUTLS_PK_ECDSA && bits >= 256) || pk == GNUTLS_PK_EDDSA_ED25519;
    if (!strong)
        return cert_because(t, i, "its key (%s, %u bits) is too weak or of a kind not accepted",
                            pk < 0 ? "unknown" : gnutls_pk_get_name((gnutls_pk_algorithm_t)pk),
                            bits);
    /* An anchor's own signature proves nothing to anybody. */
    if (i + 1 < t->n && (sign < 0 || !gnutls_sign_is_secure2((gnutls_sign_algorithm_t)sign,
                                                             GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS)))
        return cert_because(t, i, "signed with a broken algorithm (%s)",
                            sign < 0 ? "unknown"
                                     : gnutls_sign_get_name((gnutls_sign_algorithm_t)sign));
    return true;
}

/* What fips = report only notes is refused by fips = require. */
static bool check_approved(struct cert_trial *t, unsigned i)
{
    char why[FIPS_TEXT], subject[CERT_TEXT];
    if (t->fips == FIPS_OFF || cert_approved(t->path[i], i + 1 == t->n, why))
        return true;
    if (t->fips == FIPS_REQUIRE)
        return cert_because(t, i, "%.160s", why);
    cert_subject_text(t->path[i], subject);
    /* Not what to do about it, which is the peer's business. */
    const char *end = strstr(why, i + 1 < t->n && strstr(why, ", which") ? ", which" : " is not");
    fips_note(t->unapproved, "certificate of %.100s: %.*s", subject, end ? (int)(end - why) : 100,
              why);
    return true;
}

/* The certificate has a list that counts until end, the newest of which runs out at next. */
static bool note_list(struct cert_trial *t, time_t next, time_t end)
{
    t->until = end - 1 < t->until ? end - 1 : t->until;
    if (next <= t->now && (!t->stale || next < t->stale))
        t->stale = next;
    return true;
}

static bool check_revocation(struct cert_trial *t, unsigned i)
{
    time_t newest = 0, end = 0, ran_out = 0, begins = 0;
    bool foreign = false;
    char date[32] = "";
    for (unsigned k = 0; k < t->anchor->n_crls; k++) {
        const struct cert_crl *crl = &t->anchor->crls[k];
        if (!gnutls_x509_crl_check_issuer(crl->crl, t->path[i + 1]))
            continue;
        if (!cert_crl_speaks_for(crl, t->path[i + 1])) {
            foreign = true; /* of the same CA with another key, where its own is there as well */
            continue;
        }
        time_t revoked = cert_crl_revoked(crl, t->path[i]);
        if (revoked) {
            date_text(revoked, date);
            return cert_because(t, i, "revoked on %s", date);
        }
        time_t from = gnutls_x509_crl_get_this_update(crl->crl);
        time_t until = gnutls_x509_crl_get_next_update(crl->crl);
        time_t counts_until = cert_crl_end(t->anchor, crl);
        if (t->now >= counts_until) {
            ran_out = until > ran_out ? until : ran_out;
        } else if (from > t->now + CLOCK_SKEW_S) {
            begins = from;
        } else {
            newest = until > newest ? until : newest;
            end = counts_until > end ? counts_until : end;
        }
    }
    if (end)
        return note_list(t, newest, end);
    if (foreign && !ran_out && !begins)
        return cert_because(t, i, "a revocation list in its CA's name bears another's signature");
    date_text(ran_out ? ran_out : begins, date);
    if (ran_out)
        return cert_because(t, i, "its CA's revocation list ran out on %s: load a new one", date);
    if (begins)
        return cert_because(t, i, "its CA's revocation list is of %s, yet to come", date);
    return t->anchor->policy == CERT_CRL_IF_PRESENT ||
           cert_because(t, i, "there is no revocation list of its CA");
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

static bool check_kind(struct cert_trial *t, unsigned i)
{
    unsigned critical;
    int ca = gnutls_x509_crt_get_ca_status(t->path[i], &critical);
    if (gnutls_x509_crt_get_version(t->path[i]) != 3)
        return cert_because(t, i, "not an X.509 v3 certificate");
    if (ca > 0)
        return cert_because(t, i, "a CA's certificate, not one for a peer");
    if (ca < 0 && ca != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return cert_because(t, i, "its basic constraints can't be read");
    return true;
}

static bool check_usage(struct cert_trial *t, unsigned i)
{
    unsigned usage = 0, critical;
    return (gnutls_x509_crt_get_key_usage(t->path[i], &usage, &critical) >= 0 &&
            usage & GNUTLS_KEY_DIGITAL_SIGNATURE) ||
           cert_because(t, i, "its key usage does not allow digital signatures");
}

static bool check_purpose(struct cert_trial *t, unsigned i)
{
    if (has_purpose(t->path[i], role_purpose(t->role)))
        return true;
    t->named |= GNUTLS_CERT_PURPOSE_MISMATCH;
    return cert_because(t, i, "not for %s (extended key usage)",
                        t->role == CERT_CLIENT ? "clients" : "servers");
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

static bool check_host(struct cert_trial *t, unsigned i)
{
    unsigned char address[16];
    if (t->role == CERT_CLIENT)
        return true;
    if (!t->host || !t->host[0])
        return cert_because(t, i, "no name to compare it with");
    size_t n = inet_pton(AF_INET, t->host, address) == 1    ? 4
               : inet_pton(AF_INET6, t->host, address) == 1 ? 16
                                                            : 0;
    bool good = n ? gnutls_x509_crt_check_ip(t->path[i], address, (unsigned)n, 0) != 0
                  /* Without a DNS name GnuTLS would fall back to the common name. */
                  : has_san(t->path[i], GNUTLS_SAN_DNSNAME) &&
                        gnutls_x509_crt_check_hostname2(t->path[i], t->host, 0) != 0;
    return good || cert_because(t, i, "not for the name %.100s (subjectAltName)", t->host);
}

/* ---- the whole ---- */

/* What is asked of a path. The stage says how much its reasons tell: of several anchors the reason
 * of the one that got furthest is given. */
static const struct step {
    unsigned stage;
    enum { LEAF, BELOW_ANCHOR, ALL } of;
    bool (*check)(struct cert_trial *t, unsigned i);
} steps[] = {
    {1, ALL, check_strength},
    {1, ALL, check_approved},
    {1, LEAF, check_kind},
    {1, LEAF, check_usage},
    {1, LEAF, check_purpose},
    {1, ALL, check_path_length},
    {1, ALL, check_names},
    {1, LEAF, check_signatures},
    {2, ALL, check_time},
    {2, LEAF, check_anchor},
    {3, BELOW_ANCHOR, check_revocation},
    {3, LEAF, check_host},
};

bool cert_check_path(struct cert_trial *t)
{
    bool good = true;
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        unsigned n = steps[k].of == LEAF ? 1 : steps[k].of == ALL ? t->n : t->n - 1;
        t->stage = steps[k].stage;
        for (unsigned i = 0; i < n; i++) {
            good &= steps[k].check(t, i);
            if (!good && !t->each)
                return false;
        }
    }
    return good;
}
