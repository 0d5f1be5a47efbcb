/* SPDX-License-Identifier: ISC */
/* Certificates, revocation lists, and the clock that they are judged by. */
#include "checkup.h"

#include "cert_internal.h"
#include "log.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

enum { DAY = 86400, SOON_DAYS = 30, SKEW_S = 300, DATE = 32, OID = 128 };

static void date_text(time_t when, char out[static DATE])
{
    struct tm tm;
    if (!gmtime_r(&when, &tm) || !strftime(out, DATE, "%Y-%m-%d %H:%M UTC", &tm))
        snprintf(out, DATE, "?");
}

/* Certificate i of a chain; NULL when it can't be read. The caller frees. */
static gnutls_x509_crt_t crt_of(const struct checkup_key *k, unsigned i)
{
    gnutls_x509_crt_t crt = NULL;
    gnutls_pcert_st copy = k->chain[i];
    return gnutls_pcert_export_x509(&copy, &crt) < 0 ? NULL : crt;
}

/* ---- own certificates ---- */

static void check_dates(struct checkup *c, gnutls_x509_crt_t crt, time_t now)
{
    char subject[CERT_TEXT], from[DATE], until[DATE];
    time_t begin = gnutls_x509_crt_get_activation_time(crt);
    time_t end = gnutls_x509_crt_get_expiration_time(crt);
    cert_subject_text(crt, subject);
    date_text(begin, from);
    date_text(end, until);
    if (now < begin)
        checkup_say(c, CHECKUP_FAIL, "dates", "set the clock, or have the certificate issued anew",
                    "%s: not valid before %s", subject, from);
    else if (now > end)
        checkup_say(c, CHECKUP_FAIL, "dates", "have it issued anew for the same key",
                    "%s: expired on %s", subject, until);
    else
        checkup_say(c, end - now < SOON_DAYS * DAY ? CHECKUP_WARN : CHECKUP_OK, "dates",
                    end - now < SOON_DAYS * DAY ? "have it issued anew in time" : NULL,
                    "%s: valid until %s, for %lld days", subject, until,
                    (long long)(end - now) / DAY);
}

static bool has_purpose(gnutls_x509_crt_t crt, const char *wanted)
{
    char oid[OID];
    size_t n = sizeof oid;
    for (unsigned i = 0; gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &n, NULL) >= 0; i++) {
        if (strcmp(oid, wanted) == 0)
            return true;
        n = sizeof oid;
    }
    return false;
}

static void check_purpose(struct checkup *c, gnutls_x509_crt_t leaf, enum cert_role role)
{
    const char *who = role == CERT_SERVER ? "servers" : "clients";
    const char *oid = role == CERT_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
    if (has_purpose(leaf, oid))
        checkup_say(c, CHECKUP_OK, "purpose", NULL, "the certificate is for %s", who);
    else
        checkup_say(c, CHECKUP_FAIL, "purpose", "have one issued for that purpose",
                    "the certificate is not for %s (extended key usage)", who);
}

/* Under the anchors that are known here; a peer may know others. */
static void check_chain(struct checkup *c, const struct checkup_key *k, enum cert_role role,
                        const struct cert_store *anchors, const char *host)
{
    gnutls_datum_t der[16];
    struct cert_id id = {0};
    unsigned n = k->n_chain < 16 ? k->n_chain : 16;
    for (unsigned i = 0; i < n; i++)
        der[i] = k->chain[i].cert;
    if (cert_judge(anchors, der, n, role, host, time(NULL), &id) == ERR_OK)
        checkup_say(c, CHECKUP_OK, "chain", NULL, "verifies under anchor %s%s%s", id.anchor,
                    host ? ", for the name " : "", host ? host : "");
    else if (strstr(log_reason(), "issued by no trusted CA"))
        checkup_say(c, CHECKUP_OK, "chain", NULL,
                    "not issued under an anchor that is configured here: the other side judges it");
    else
        checkup_failed(c, "chain",
                       "have the certificate issued anew, or load what its reason names");
    cert_id_release(&id);
}

void checkup_purpose(struct checkup *c, const struct checkup_key *k, enum cert_role role,
                     const struct cert_store *anchors, const char *host)
{
    time_t now = time(NULL);
    for (unsigned i = 0; k->chain && i < k->n_chain; i++) {
        gnutls_x509_crt_t crt = crt_of(k, i);
        if (!crt)
            continue;
        check_dates(c, crt, now);
        if (i == 0)
            check_purpose(c, crt, role);
        gnutls_x509_crt_deinit(crt);
    }
    if (k->chain && anchors)
        check_chain(c, k, role, anchors, host);
}

static bool covers(gnutls_x509_crt_t leaf, const char *name)
{
    unsigned char raw[16];
    size_t n = inet_pton(AF_INET, name, raw) == 1    ? 4
               : inet_pton(AF_INET6, name, raw) == 1 ? 16
                                                     : 0;
    return n ? gnutls_x509_crt_check_ip(leaf, raw, (unsigned)n, 0) != 0
             : gnutls_x509_crt_check_hostname2(leaf, name, 0) != 0;
}

void checkup_names(struct checkup *c, const struct checkup_key *k, const char *address)
{
    char host[256] = "";
    gnutls_x509_crt_t leaf = k->chain ? crt_of(k, 0) : NULL;
    const char *name = address ? address : host;
    if (!leaf)
        return;
    if (!address && gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    if (covers(leaf, name))
        checkup_say(c, CHECKUP_OK, "names", NULL, "the certificate is for the name %s", name);
    else
        checkup_say(c, CHECKUP_WARN, "names",
                    "have that name put into the certificate, or server-name into each profile",
                    "the certificate is not for the name %s: clients that connect by it refuse",
                    name);
    gnutls_x509_crt_deinit(leaf);
}

/* ---- revocation lists ---- */

static gnutls_x509_crl_t *read_crls(const char *file, unsigned *n)
{
    gnutls_x509_crl_t *list = NULL;
    gnutls_datum_t pem;
    *n = 0;
    if (cert_read_file(file, &pem) != ERR_OK)
        return NULL;
    if (gnutls_x509_crl_list_import2(&list, n, &pem, GNUTLS_X509_FMT_PEM, 0) < 0)
        list = NULL;
    free(pem.data);
    if (!list && log_fail(ERR_CONFIG, "%s: no revocation list can be read from it", file))
        return NULL;
    return list;
}

static void free_crls(gnutls_x509_crl_t *list, unsigned n)
{
    for (unsigned i = 0; list && i < n; i++)
        gnutls_x509_crl_deinit(list[i]);
    gnutls_free(list);
}

static void check_crl(struct checkup *c, const char *name, gnutls_x509_crl_t crl)
{
    static const char fix[] = "have the CA write a new one (consign-pki crl), and put it there";
    time_t now = time(NULL), from = gnutls_x509_crl_get_this_update(crl);
    time_t until = gnutls_x509_crl_get_next_update(crl);
    char begin[DATE], end[DATE];
    date_text(from, begin);
    date_text(until, end);
    if (now >= until)
        checkup_say(c, CHECKUP_FAIL, "crl", fix, "%s: ran out on %s: nobody it is for is let in",
                    name, end);
    else if (from > now + SKEW_S)
        checkup_say(c, CHECKUP_FAIL, "crl", "set the clock", "%s: of %s, yet to come", name, begin);
    else if (until - now < (until - from) / 4)
        checkup_say(c, CHECKUP_WARN, "crl", fix, "%s: of %s; good until %s, %lld hours only", name,
                    begin, end, (long long)(until - now) / 3600);
    else
        checkup_say(c, CHECKUP_OK, "crl", NULL, "%s: %lld days old, good until %s", name,
                    (long long)(now - from) / DAY, end);
}

void checkup_crl(struct checkup *c, const char *name, const char *file, bool require)
{
    unsigned n = 0;
    if (!file) {
        checkup_say(c, require ? CHECKUP_FAIL : CHECKUP_WARN, "crl",
                    "load the CA's list as crl, with crl-policy = require",
                    "%s: there is no revocation list: a stolen key can't be shut out", name);
        return;
    }
    gnutls_x509_crl_t *list = read_crls(file, &n);
    if (!list)
        checkup_failed(c, "crl", "give the PEM file of the CA's revocation list as crl");
    for (unsigned i = 0; list && i < n; i++)
        check_crl(c, name, list[i]);
    free_crls(list, n);
}

/* ---- the clock ---- */

struct latest {
    time_t when;
    char what[CERT_TEXT + 32];
};

static void note_date(struct latest *l, time_t when, const char *what)
{
    if (when == (time_t)-1 || when <= l->when)
        return;
    l->when = when;
    snprintf(l->what, sizeof l->what, "%s", what);
}

static void note_cas(struct latest *l, const char *file)
{
    gnutls_x509_crt_t *list = NULL;
    gnutls_datum_t pem;
    unsigned n = 0;
    if (cert_read_file(file, &pem) != ERR_OK)
        return;
    if (gnutls_x509_crt_list_import2(&list, &n, &pem, GNUTLS_X509_FMT_PEM, 0) < 0)
        n = 0;
    free(pem.data);
    for (unsigned i = 0; i < n; i++) {
        note_date(l, gnutls_x509_crt_get_activation_time(list[i]), file);
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
}

static void note_crls(struct latest *l, const char *file)
{
    unsigned n = 0;
    gnutls_x509_crl_t *list = read_crls(file, &n);
    for (unsigned i = 0; list && i < n; i++)
        note_date(l, gnutls_x509_crl_get_this_update(list[i]), file);
    free_crls(list, n);
}

void checkup_clock(struct checkup *c, const struct checkup_key *k, const char *ca, const char *crl)
{
    static const char fix[] = "set the clock and keep it by NTP (timedatectl set-ntp true)";
    struct latest l = {0};
    struct timex t = {0};
    char date[DATE], now_date[DATE];
    time_t now = time(NULL);
    for (unsigned i = 0; k->chain && i < k->n_chain; i++) {
        gnutls_x509_crt_t crt = crt_of(k, i);
        note_date(&l, crt ? gnutls_x509_crt_get_activation_time(crt) : -1, k->certificate);
        if (crt)
            gnutls_x509_crt_deinit(crt);
    }
    if (ca)
        note_cas(&l, ca);
    if (crl)
        note_crls(&l, crl);
    date_text(l.when, date);
    date_text(now, now_date);
    if (l.when > now + SKEW_S)
        checkup_say(c, CHECKUP_FAIL, "clock", fix, "it says %s, but %s was made on %s", now_date,
                    l.what, date);
    else if (adjtimex(&t) == TIME_ERROR || t.status & STA_UNSYNC)
        checkup_say(c, CHECKUP_WARN, "clock", fix,
                    "it says %s, but the kernel does not know it to be synchronised", now_date);
    else
        checkup_say(c, CHECKUP_OK, "clock", NULL, "%s, synchronised", now_date);
}
