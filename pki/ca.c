/* SPDX-License-Identifier: ISC */
#include "ca.h"
#include "buf.h"
#include "cert.h"
#include "conf.h"
#include "file.h"
#include "log.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct ca *ca = arg;
    bool request = strcmp(at->section, "request") == 0;
    if (strcmp(at->section, "ca") != 0 && !request)
        return conf_fail(at, "unknown section");
    if (!at->key)
        return ERR_OK;
    if (request)
        return request_policy_set(&ca->request, at, value);
    if (strcmp(at->key, "allow-extractable") == 0)
        return conf_bool(at, value, &ca->allow_extractable);
    if (strcmp(at->key, "fips") == 0)
        return fips_mode_parse(value, &ca->fips)
                   ? ERR_OK
                   : conf_fail(at, "\"%s\" is neither require nor report nor off", value);
    char **to = strcmp(at->key, "module") == 0   ? &ca->module
                : strcmp(at->key, "key") == 0    ? &ca->key_ref
                : strcmp(at->key, "pin") == 0    ? &ca->pin_source
                : strcmp(at->key, "name") == 0   ? &ca->name
                : strcmp(at->key, "parent") == 0 ? &ca->parent
                                                 : NULL;
    if (!to)
        return conf_fail(at, "unknown key");
    bool path = to == &ca->parent || (to == &ca->key_ref && !token_is_url(value));
    return conf_string(at, value, path, to);
}

char *ca_path(const struct ca *ca, const char *name)
{
    return file_join(ca->dir, name);
}

char *ca_cert_path(const struct ca *ca, const char *serial)
{
    char name[LEDGER_SERIAL + 16];
    snprintf(name, sizeof name, "certs/%s.pem", serial);
    return ca_path(ca, name);
}

enum err ca_read_cert(const char *path, gnutls_x509_crt_t *out)
{
    gnutls_datum_t pem = {NULL, 0};
    gnutls_x509_crt_t crt = NULL;
    enum err e = file_read(path, &pem);
    if (e)
        return e;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM);
    free(pem.data);
    if (rc >= 0) {
        *out = crt;
        return ERR_OK;
    }
    if (crt)
        gnutls_x509_crt_deinit(crt);
    return log_fail(ERR_TYPE, "%s: not a PEM certificate: %s", path, gnutls_strerror(rc));
}

static enum err read_conf(struct ca *ca)
{
    char *path = ca_path(ca, "consign-pki.conf");
    enum err e = path ? conf_read(path, take, ca) : ERR_INTERNAL;
    if (!e && (!ca->key_ref || !ca->name))
        e = log_fail(ERR_CONFIG, "%s: key or name is missing", path);
    free(path);
    return e;
}

static enum err read_own_cert(struct ca *ca)
{
    char *path = ca_path(ca, "ca.pem");
    enum err e = path ? ca_read_cert(path, &ca->crt) : ERR_INTERNAL;
    free(path);
    return e;
}

static enum err read_above(struct ca *ca)
{
    gnutls_datum_t pem = {NULL, 0};
    char *path = ca_path(ca, CA_CHAIN);
    unsigned n = CA_ABOVE;
    enum err e = !path ? ERR_INTERNAL : !file_exists(path) ? ERR_OK : file_read(path, &pem);
    if (!e && pem.data) {
        int rc = gnutls_x509_crt_list_import(ca->above, &n, &pem, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
        ca->n_above = rc < 0 ? 0 : n;
        if (rc < 0)
            e = log_fail(ERR_TYPE, "%s: %s", path, gnutls_strerror(rc));
    }
    free(pem.data);
    free(path);
    return e;
}

/* Only under the ledger's lock. */
static void sweep(const struct ca *ca)
{
    char *certs = ca_path(ca, "certs");
    file_sweep(ca->dir);
    if (certs)
        file_sweep(certs);
    free(certs);
}

/* Only the certificate of that very serial counts. */
static bool is_there(const struct ca *ca, const char *serial)
{
    char found[LEDGER_SERIAL + 1] = "";
    gnutls_x509_crt_t crt = NULL;
    char *path = ca_cert_path(ca, serial);
    bool ok = path && file_exists(path) && !ca_read_cert(path, &crt) && !ca_serial(crt, found) &&
              strcmp(found, serial) == 0;
    if (crt)
        gnutls_x509_crt_deinit(crt);
    free(path);
    return ok;
}

static enum err settle_entry(struct ca *ca, const struct ledger_entry *entry)
{
    if (is_there(ca, entry->serial))
        return ledger_issued(&ca->ledger, entry->serial);
    log_warn("certificate %s was being signed when this CA stopped: it is revoked", entry->serial);
    return ledger_revoked(&ca->ledger, entry->serial, "unfinished");
}

static enum err settle(struct ca *ca)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < ca->ledger.n; i++)
        if (!ca->ledger.entries[i].issued && !ca->ledger.entries[i].revoked)
            e = settle_entry(ca, &ca->ledger.entries[i]);
    return e;
}

enum err ca_open(struct ca *ca, const char *dir, bool writing)
{
    *ca = (struct ca){.ledger.fd = -1};
    request_policy_init(&ca->request);
    ca->dir = realpath(dir ? dir : CA_DIR, NULL);
    if (!ca->dir)
        return log_fail_errno("CA folder \"%s\" (consign-pki init makes one)", dir ? dir : CA_DIR);
    enum err e = read_conf(ca);
    if (!e)
        e = read_own_cert(ca);
    if (!e)
        e = read_above(ca);
    if (e)
        return e;
    char *path = ca_path(ca, "ledger");
    e = path ? ledger_open(&ca->ledger, path, writing) : ERR_INTERNAL;
    free(path);
    if (!e && writing) {
        sweep(ca);
        e = settle(ca);
    }
    return e;
}

enum err ca_pin(struct ca *ca, const char *source)
{
    if (ca->pin)
        return ERR_OK;
    if (!source)
        source = ca->pin_source ? ca->pin_source : "prompt";
    enum err e = token_pin_new(source, &ca->pin);
    if (!e)
        token_pin_label(ca->pin, "PIN of the CA's token");
    return e;
}

static enum err load_key(struct ca *ca, const char *pin_source)
{
    gnutls_pcert_st own;
    enum err e = ERR_OK;
    if (token_is_url(ca->key_ref)) {
        e = ca_pin(ca, pin_source);
        if (!e)
            e = token_start(ca->module ? ca->module : PKI_MODULE, ca->pin);
        ca->running = !e;
    }
    if (!e)
        e = token_load_key(ca->key_ref, ca->allow_extractable, &ca->key);
    if (e)
        return e;
    int rc = gnutls_pcert_import_x509(&own, ca->crt, 0);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "CA certificate: %s", gnutls_strerror(rc));
    e = token_match(ca->key, &own, "the CA's key");
    gnutls_pcert_deinit(&own);
    return e;
}

enum err ca_unlock(struct ca *ca, const char *pin_source)
{
    enum err e = load_key(ca, pin_source);
    if (!e && ca->ledger.crl_number > 0 && (ca->ledger.crl_due || !crl_current(ca)))
        e = crl_write(ca, 0);
    return e;
}

static enum err not_approved(const struct ca *ca, const char *what, const char *why)
{
    if (ca->fips == FIPS_REQUIRE)
        return log_fail(ERR_DENIED, "%s: %s (fips = require)", what, why);
    log_warn("%s: %s", what, why);
    return ERR_OK;
}

static enum err approve_key(const struct ca *ca, gnutls_pubkey_t pub)
{
    char why[FIPS_TEXT];
    unsigned bits = 0;
    int pk = gnutls_pubkey_get_pk_algorithm(pub, &bits);
    const char *kind = pk > 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t)pk) : "unknown";
    if (fips_key(kind, bits))
        return ERR_OK;
    snprintf(why, sizeof why,
             "of kind %s, %u bits, is not approved; make one of P-256, P-384, or RSA of 2048 bits "
             "or more",
             kind, bits);
    return not_approved(ca, "the key", why);
}

enum err ca_approves(struct ca *ca, bool require, gnutls_pubkey_t pub, int request)
{
    char why[FIPS_TEXT];
    enum err e = ERR_OK;
    if (require)
        ca->fips = FIPS_REQUIRE;
    if (ca->fips == FIPS_OFF)
        return ERR_OK;
    if (!cert_approved(ca->crt, ca->n_above == 0, why))
        e = not_approved(ca, "the CA's certificate", why);
    if (e == ERR_OK && pub)
        e = approve_key(ca, pub);
    const char *name = request > 0 ? gnutls_sign_get_name((gnutls_sign_algorithm_t)request) : NULL;
    if (e == ERR_OK && name && !fips_approved(FIPS_SIGNATURE, name)) {
        snprintf(why, sizeof why, "signed with %s, which is not approved; sign it with SHA-256",
                 name);
        e = not_approved(ca, "the request", why);
    }
    return e;
}

void ca_close(struct ca *ca)
{
    if (ca->key)
        gnutls_privkey_deinit(ca->key);
    if (ca->running)
        token_stop();
    if (ca->crt)
        gnutls_x509_crt_deinit(ca->crt);
    while (ca->n_above > 0)
        gnutls_x509_crt_deinit(ca->above[--ca->n_above]);
    token_pin_free(ca->pin);
    ledger_release(&ca->ledger);
    free(ca->dir);
    free(ca->module);
    free(ca->key_ref);
    free(ca->pin_source);
    free(ca->name);
    free(ca->parent);
    *ca = (struct ca){.ledger.fd = -1};
}

static int append_cert(struct buf *b, gnutls_x509_crt_t crt)
{
    gnutls_datum_t pem = {NULL, 0};
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    if (rc >= 0)
        buf_put(b, pem.data, pem.size);
    gnutls_free(pem.data);
    return rc;
}

enum err ca_with_chain(const struct ca *ca, const gnutls_datum_t *pem, gnutls_datum_t *out)
{
    struct buf b;
    buf_init(&b, PKI_PEM_MAX);
    buf_put(&b, pem->data, pem->size);
    int rc = ca->n_above ? append_cert(&b, ca->crt) : 0;
    for (unsigned i = 0; rc >= 0 && i + 1 < ca->n_above; i++)
        rc = append_cert(&b, ca->above[i]);
    if (rc < 0 || b.bad) {
        buf_release(&b);
        return log_fail(ERR_INTERNAL, "chain of the CA: %s",
                        rc < 0 ? gnutls_strerror(rc) : "too long");
    }
    *out = (gnutls_datum_t){b.data, (unsigned)b.len};
    return ERR_OK;
}

enum err ca_key_id(const struct ca *ca, unsigned char *id, size_t *n)
{
    int rc = gnutls_x509_crt_get_subject_key_id(ca->crt, id, n, NULL);
    return rc < 0 ? log_fail(ERR_CONFIG, "CA certificate: no subject key identifier: %s",
                             gnutls_strerror(rc))
                  : ERR_OK;
}

gnutls_digest_algorithm_t ca_digest(const struct ca *ca)
{
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(ca->crt, &bits);
    return pk == GNUTLS_PK_ECDSA && bits > 256 ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA256;
}

enum err ca_serial(gnutls_x509_crt_t crt, char out[static LEDGER_SERIAL + 1])
{
    unsigned char raw[LEDGER_SERIAL / 2];
    size_t n = sizeof raw;
    int rc = gnutls_x509_crt_get_serial(crt, raw, &n);
    if (rc < 0)
        return log_fail(ERR_TYPE, "the certificate's serial: %s", gnutls_strerror(rc));
    text_hex(raw, n, out);
    return ERR_OK;
}
