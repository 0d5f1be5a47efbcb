/* SPDX-License-Identifier: ISC */
#include "leaf.h"
#include "file.h"
#include "log.h"
#include "pubkey.h"
#include "text.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SERIAL = 16 };

void leaf_release(struct leaf_made *m)
{
    gnutls_free(m->pem.data);
    gnutls_free(m->subject.data);
    cert_id_release(&m->id);
    *m = (struct leaf_made){0};
}

static enum err check_strength(gnutls_pubkey_t pub)
{
    unsigned bits = 0;
    int pk = gnutls_pubkey_get_pk_algorithm(pub, &bits);
    bool ok = (pk == GNUTLS_PK_RSA && bits >= 2048 && bits <= 8192) ||
              (pk == GNUTLS_PK_ECDSA && bits >= 256) || pk == GNUTLS_PK_EDDSA_ED25519;
    return ok ? ERR_OK
              : log_fail(ERR_NAME,
                         "key: %s of %u bits is not allowed (RSA 2048 to 8192, P-256 and up)",
                         gnutls_pk_get_name((gnutls_pk_algorithm_t)pk), bits);
}

enum err leaf_check(const struct leaf *l)
{
    if (l->role == LEDGER_SERVER && !names_has_host(l->names))
        return log_fail(ERR_NAME, "a server's certificate needs a host name or an address");
    if (l->role != LEDGER_SERVER && l->subject->n == 0)
        return log_fail(ERR_NAME, "a %s's certificate needs a subject",
                        l->role == LEDGER_CA ? "CA" : "client");
    enum err e = names_check_dn(l->subject);
    return e || !l->pub ? e : check_strength(l->pub);
}

/* Whether the CA has given it to another; its own is another's where it signed itself. */
static bool serial_used(struct ca *ca, const char *serial)
{
    char own[LEDGER_SERIAL + 1] = "";
    return ledger_find(&ca->ledger, serial) ||
           (ca->n_above == 0 && !ca_serial(ca->crt, own) && strcmp(own, serial) == 0);
}

/* 126 random bits; always 16 bytes and positive. */
static enum err choose_serial(struct ca *ca, unsigned char raw[static SERIAL], char *text)
{
    do {
        int rc = gnutls_rnd(GNUTLS_RND_RANDOM, raw, SERIAL);
        if (rc < 0)
            return log_fail(ERR_INTERNAL, "random serial: %s", gnutls_strerror(rc));
        raw[0] = (unsigned char)((raw[0] & 0x3f) | 0x40);
        text_hex(raw, SERIAL, text);
    } while (serial_used(ca, text));
    return ERR_OK;
}

/* Within the CA's own time. */
static enum err choose_times(const struct ca *ca, const struct leaf *l, struct when *out)
{
    int64_t ca_from = gnutls_x509_crt_get_activation_time(ca->crt);
    int64_t ca_until = gnutls_x509_crt_get_expiration_time(ca->crt);
    *out = l->when;
    if (out->until > ca_until) {
        log_warn("valid only as long as the CA itself");
        out->until = ca_until;
    }
    out->from = out->from < ca_from ? ca_from : out->from;
    return out->from < out->until
               ? ERR_OK
               : log_fail(ERR_NAME, "the CA itself is not valid at any of that time");
}

static int set_key_ids(gnutls_x509_crt_t crt, const struct ca *ca, gnutls_pubkey_t pub)
{
    unsigned char id[64];
    size_t n = sizeof id;
    int rc = pubkey_id(pub, id);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_subject_key_id(crt, id, PUBKEY_ID);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_subject_key_id(ca->crt, id, &n, NULL);
    return rc < 0 ? rc : gnutls_x509_crt_set_authority_key_id(crt, id, n);
}

static int set_ca(gnutls_x509_crt_t crt, const struct leaf *l)
{
    int rc = gnutls_x509_crt_set_basic_constraints(crt, 1, l->path_length);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    return rc < 0 || !l->bounds ? rc : gnutls_x509_crt_set_name_constraints(crt, l->bounds, 1);
}

static int set_end(gnutls_x509_crt_t crt, const struct leaf *l)
{
    int rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    return rc < 0
               ? rc
               : gnutls_x509_crt_set_key_purpose_oid(
                     crt,
                     l->role == LEDGER_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT,
                     0);
}

static int set_policy(gnutls_x509_crt_t crt, const struct ca *ca, const struct leaf *l,
                      const struct when *when)
{
    int rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_pubkey(crt, l->pub);
    if (rc >= 0)
        rc = l->role == LEDGER_CA ? set_ca(crt, l) : set_end(crt, l);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_activation_time(crt, (time_t)when->from);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(crt, (time_t)when->until);
    return rc < 0 ? rc : set_key_ids(crt, ca, l->pub);
}

static enum err compose(gnutls_x509_crt_t crt, struct ca *ca, const struct leaf *l,
                        struct leaf_made *out)
{
    unsigned char raw[SERIAL];
    enum err e = choose_serial(ca, raw, out->serial);
    if (!e)
        e = choose_times(ca, l, &out->when);
    if (e)
        return e;
    int rc = gnutls_x509_crt_set_serial(crt, raw, sizeof raw);
    if (rc >= 0)
        rc = set_policy(crt, ca, l, &out->when);
    return rc < 0 ? log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc))
                  : names_put(crt, l->names, l->subject);
}

static enum err write_intent(struct ca *ca, gnutls_x509_crt_t crt, const struct leaf *l,
                             struct leaf_made *out)
{
    struct ledger_entry entry = {.role = l->role, .at = time(NULL), .not_after = out->when.until};
    memcpy(entry.serial, out->serial, strlen(out->serial) + 1);
    snprintf(entry.renews, sizeof entry.renews, "%s", l->renews ? l->renews : "");
    int rc = l->subject->n ? gnutls_x509_crt_get_dn3(crt, &out->subject, 0) : 0;
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "subject: %s", gnutls_strerror(rc));
    entry.subject = out->subject.data ? (char *)out->subject.data : (char *)"";
    return ledger_issuing(&ca->ledger, &entry);
}

static enum err verify_made(const gnutls_datum_t *der, const struct ca *ca, bool *ok)
{
    gnutls_x509_crt_t crt = NULL;
    unsigned status = 0;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER);
    if (rc >= 0)
        rc = gnutls_x509_crt_verify(crt, &ca->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    *ok = status == 0;
    return rc < 0 ? log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc)) : ERR_OK;
}

/* What was signed must say what was asked: a library may write a value otherwise than it was given.
 */
static enum err check_made(gnutls_x509_crt_t crt, const struct ca *ca, const struct leaf *l,
                           struct leaf_made *out)
{
    gnutls_datum_t der = {NULL, 0};
    bool ok = false;
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
    enum err e = rc < 0 ? log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc))
                        : verify_made(&der, ca, &ok);
    if (!e)
        e = cert_id_read(&der, &out->id);
    gnutls_free(der.data);
    bool same = out->id.subject.n + l->subject->n == 0 || cert_dn_eq(&out->id.subject, l->subject);
    if (!e && !ok)
        e = log_fail(ERR_TOKEN,
                     "the CA's key made a wrong signature: certificate %s is not given out",
                     out->serial);
    else if (!e && !same)
        e = log_fail(ERR_INTERNAL, "certificate %s is not what was asked for: it is not given out",
                     out->serial);
    return e;
}

static enum err store(struct ca *ca, gnutls_x509_crt_t crt, struct leaf_made *out)
{
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &out->pem);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc));
    char *path = ca_cert_path(ca, out->serial);
    enum err e = path ? file_write(path, &out->pem, 0644, false) : ERR_INTERNAL;
    free(path);
    return e ? e : ledger_issued(&ca->ledger, out->serial);
}

static enum err sign(struct ca *ca, gnutls_x509_crt_t crt, const struct leaf *l,
                     struct leaf_made *out)
{
    int rc = gnutls_x509_crt_privkey_sign(crt, ca->crt, ca->key, ca_digest(ca), 0);
    if (rc < 0)
        return token_fail(rc, "signature of certificate %s", out->serial);
    enum err e = check_made(crt, ca, l, out);
    return e ? e : store(ca, crt, out);
}

enum err leaf_issue(struct ca *ca, const struct leaf *l, struct leaf_made *out)
{
    gnutls_x509_crt_t crt = NULL;
    *out = (struct leaf_made){0};
    enum err e = leaf_check(l);
    if (!e)
        e = leaf_check_bounds(ca, l);
    if (!e)
        e = ca_approves(ca, false, l->pub, 0);
    if (e)
        return e;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc));
    e = compose(crt, ca, l, out);
    if (!e)
        e = write_intent(ca, crt, l, out);
    if (!e)
        e = sign(ca, crt, l, out);
    gnutls_x509_crt_deinit(crt);
    if (e)
        leaf_release(out);
    return e;
}

enum err leaf_give_out(const struct ca *ca, const struct leaf_made *m, const char *file)
{
    gnutls_datum_t whole = {NULL, 0};
    enum err e = ca_with_chain(ca, &m->pem, &whole);
    if (!e)
        e = file_write(file, &whole, 0644, false);
    if (e)
        log_warn("certificate %s was issued and stands in the CA's folder certs", m->serial);
    free(whole.data);
    return e;
}
