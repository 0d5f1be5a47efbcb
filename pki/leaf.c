/* SPDX-License-Identifier: ISC */
#include "leaf.h"
#include "file.h"
#include "log.h"
#include "say.h"
#include "text.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY = 86400, SKEW = 300, SERIAL = 16 };

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
    if (l->server && !names_has_host(l->names))
        return log_fail(ERR_NAME, "a server's certificate needs a host name or an address");
    if (!l->server && l->subject->n == 0)
        return log_fail(ERR_NAME, "a client's certificate needs a subject");
    enum err e = names_check_dn(l->subject);
    return e || !l->pub ? e : check_strength(l->pub);
}

/* 126 random bits; always 16 bytes and positive. */
static enum err choose_serial(unsigned char raw[static SERIAL])
{
    int rc = gnutls_rnd(GNUTLS_RND_RANDOM, raw, SERIAL);
    raw[0] = (unsigned char)((raw[0] & 0x3f) | 0x40);
    return rc < 0 ? log_fail(ERR_INTERNAL, "random serial: %s", gnutls_strerror(rc)) : ERR_OK;
}

static int set_times(gnutls_x509_crt_t crt, const struct ca *ca, int days)
{
    time_t now = time(NULL), from = now - SKEW;
    time_t until = now + (time_t)(days ? days : PKI_LEAF_DAYS) * DAY;
    time_t ca_from = gnutls_x509_crt_get_activation_time(ca->crt);
    time_t ca_until = gnutls_x509_crt_get_expiration_time(ca->crt);
    if (until > ca_until) {
        log_warn("valid only as long as the CA itself");
        until = ca_until;
    }
    int rc = gnutls_x509_crt_set_activation_time(crt, from < ca_from ? ca_from : from);
    return rc < 0 ? rc : gnutls_x509_crt_set_expiration_time(crt, until);
}

static int set_key_ids(gnutls_x509_crt_t crt, const struct ca *ca)
{
    unsigned char id[64];
    size_t n = sizeof id;
    int rc = gnutls_x509_crt_get_key_id(crt, 0, id, &n);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_subject_key_id(crt, id, n);
    n = sizeof id;
    if (rc >= 0)
        rc = gnutls_x509_crt_get_subject_key_id(ca->crt, id, &n, NULL);
    return rc < 0 ? rc : gnutls_x509_crt_set_authority_key_id(crt, id, n);
}

static int set_policy(gnutls_x509_crt_t crt, const struct ca *ca, const struct leaf *l)
{
    int rc = gnutls_x509_crt_set_version(crt, 3);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_pubkey(crt, l->pub);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(
            crt, l->server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
    if (rc >= 0)
        rc = set_times(crt, ca, l->days);
    return rc < 0 ? rc : set_key_ids(crt, ca);
}

static enum err compose(gnutls_x509_crt_t crt, const struct ca *ca, const struct leaf *l,
                        char *serial)
{
    unsigned char raw[SERIAL];
    enum err e = choose_serial(raw);
    if (e)
        return e;
    text_hex(raw, sizeof raw, serial);
    int rc = gnutls_x509_crt_set_serial(crt, raw, sizeof raw);
    if (rc >= 0)
        rc = set_policy(crt, ca, l);
    return rc < 0 ? log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc))
                  : names_put(crt, l->names, l->subject);
}

static enum err write_intent(struct ca *ca, gnutls_x509_crt_t crt, const struct leaf *l,
                             struct leaf_made *out)
{
    struct ledger_entry entry = {.server = l->server,
                                 .at = time(NULL),
                                 .not_after = gnutls_x509_crt_get_expiration_time(crt)};
    memcpy(entry.serial, out->serial, strlen(out->serial) + 1);
    int rc = l->subject->n ? gnutls_x509_crt_get_dn3(crt, &out->subject, 0) : 0;
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "subject: %s", gnutls_strerror(rc));
    entry.subject = out->subject.data ? (char *)out->subject.data : (char *)"-";
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
        rc = gnutls_x509_crt_verify(crt, &ca->crt, 1, 0, &status);
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
    if (!e && (!ok || !cert_dn_eq(&out->id.subject, l->subject)))
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
    if (e)
        return e;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "certificate: %s", gnutls_strerror(rc));
    e = compose(crt, ca, l, out->serial);
    if (!e)
        e = write_intent(ca, crt, l, out);
    if (!e)
        e = sign(ca, crt, l, out);
    gnutls_x509_crt_deinit(crt);
    if (e)
        leaf_release(out);
    return e;
}

void leaf_plain_name(const char *text, char out[static 64])
{
    size_t n = 0;
    for (; *text && n < 60; text++) {
        bool keep = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                    (*text >= '0' && *text <= '9') || (n > 0 && strchr("._-@", *text));
        out[n++] = keep ? *text : '_';
    }
    out[n] = '\0';
}

/* The value of the first attribute of that type, as a name; else fallback. */
static void rule_name(const struct cert_dn *dn, char out[static 64])
{
    static const char *const oids[] = {"2.5.4.3", "0.9.2342.19200300.100.1.1"}; /* CN, UID */
    char value[NAMES_BYTES + 1] = "user";
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < dn->n; i++) {
            const struct cert_ava *a = dn->rdns[i].avas;
            if (strcmp(a->oid, oids[k]) != 0 || a->n > NAMES_BYTES)
                continue;
            memcpy(value, a->value, a->n);
            value[a->n] = '\0';
            leaf_plain_name(value, out);
            return;
        }
    leaf_plain_name(value, out);
}

/* As it is, to be pasted: it holds nothing but visible text (names_check_dn). */
static const char *subject_of(const struct leaf_made *m)
{
    return m->subject.data ? (const char *)m->subject.data : "(none)";
}

static void print_client(const struct ca *ca, const struct leaf_made *m, const char *fingerprint)
{
    char name[64];
    rule_name(&m->id.subject, name);
    printf("\n# for the server's map; give the folder and the rights that are meant\n"
           "[%s]\nanchor      = %s\nsubject     = %s\n"
           "# with the next line only this very key is accepted, also after a renewal\n"
           "# fingerprint = SHA256:%s\n"
           "root        = /srv/consign/%s\nrights      = list read create\n",
           name, ca->name, subject_of(m), fingerprint, name);
}

static void print_server(const struct ca *ca, const struct leaf_report *r)
{
    printf("\n# for consignd.conf\n[server]\ncertificate = %s\n", r->file);
    printf("key         = %s\n", r->key ? r->key : "(where the owner of the request keeps it)");
    if (r->module)
        printf("module      = %s\n", r->module);
    if (r->pin)
        printf("pin         = %s\n", r->pin);
    printf("\n[anchor %s]\nca          = %s/ca.pem\ncrl         = %s/crl.pem\n"
           "crl-policy  = require\n",
           ca->name, ca->dir, ca->dir);
}

void leaf_print(const struct ca *ca, const struct leaf *l, const struct leaf_made *m,
                const struct leaf_report *r)
{
    char fingerprint[2 * WIRE_HASH + 1];
    text_hex(m->id.spki_sha256, WIRE_HASH, fingerprint);
    say("certificate", r->file);
    say("serial", m->serial);
    say("subject", subject_of(m));
    say_time("valid until", m->id.not_after);
    if (r->key)
        say("key", r->key);
    if (l->server)
        print_server(ca, r);
    else
        print_client(ca, m, fingerprint);
}
