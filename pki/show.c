/* SPDX-License-Identifier: ISC */
/* consign-pki show: what a file, a serial of the CA or a pkcs11: URL is. Nothing shown is believed.
 */
#include "bounds.h"
#include "ca.h"
#include "cert.h"
#include "file.h"
#include "key.h"
#include "log.h"
#include "names.h"
#include "say.h"
#include "text.h"

#include <gnutls/pkcs11.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void show_key(int pk, unsigned bits)
{
    printf("%-13s%s, %u bits\n", "key", gnutls_pk_get_name((gnutls_pk_algorithm_t)pk), bits);
}

static void show_san(gnutls_x509_crt_t crt)
{
    for (unsigned i = 0;; i++) {
        unsigned char raw[1024];
        char text[1100] = "";
        size_t n = sizeof raw;
        unsigned type = 0;
        int rc = gnutls_x509_crt_get_subject_alt_name2(crt, i, raw, &n, &type, NULL);
        if (rc < 0)
            break;
        struct names one = {0};
        if (type == GNUTLS_SAN_IPADDRESS && !names_add(&one, GNUTLS_SAN_IPADDRESS, raw, n))
            names_text(&one, text, sizeof text);
        else
            log_scrub(text, sizeof text, raw, n);
        printf("%-13s%s\n", "name", text);
    }
}

static void show_purposes(gnutls_x509_crt_t crt)
{
    unsigned critical, ca = 0;
    int depth = -1;
    if (gnutls_x509_crt_get_basic_constraints(crt, &critical, &ca, &depth) >= 0 && ca) {
        say("purpose", "certificate authority");
        bounds_say(crt);
    }
    for (unsigned i = 0;; i++) {
        char oid[128];
        size_t n = sizeof oid;
        if (gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &n, NULL) < 0)
            break;
        say("purpose", strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0   ? "server"
                       : strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0 ? "client"
                                                                    : oid);
    }
}

static void say_dn(const char *what, gnutls_x509_crt_t crt,
                   int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
    gnutls_datum_t dn = {NULL, 0};
    say(what, get(crt, &dn, 0) >= 0 && dn.size ? (const char *)dn.data : "none");
    gnutls_free(dn.data);
}

static enum err show_cert(gnutls_x509_crt_t crt)
{
    gnutls_datum_t der = {NULL, 0};
    struct cert_id id = {0};
    unsigned bits = 0;
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
    enum err e = rc < 0 ? log_fail(ERR_TYPE, "certificate: %s", gnutls_strerror(rc))
                        : cert_id_read(&der, &id);
    gnutls_free(der.data);
    if (e)
        return e;
    say_dn("subject", crt, gnutls_x509_crt_get_dn3);
    say_dn("issuer", crt, gnutls_x509_crt_get_issuer_dn3);
    say("serial", id.serial);
    say_time("valid from", gnutls_x509_crt_get_activation_time(crt));
    say_time("valid until", id.not_after);
    show_purposes(crt);
    show_san(crt);
    int pk = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    show_key(pk, bits);
    say_hash("public key", id.spki_sha256);
    say_hash("certificate", id.cert_sha256);
    cert_id_release(&id);
    return ERR_OK;
}

static enum err show_request(const gnutls_datum_t *pem, const char *path)
{
    static struct names names;
    struct cert_dn dn = {NULL, 0};
    gnutls_x509_crq_t crq = NULL;
    gnutls_datum_t text = {NULL, 0};
    unsigned bits = 0;
    int rc = gnutls_x509_crq_init(&crq);
    if (rc >= 0)
        rc = gnutls_x509_crq_import(crq, pem, GNUTLS_X509_FMT_PEM);
    enum err e = rc < 0 ? log_fail(ERR_TYPE, "%s: not a PEM request: %s", path, gnutls_strerror(rc))
                        : names_from_request(crq, &names, &dn);
    if (!e) {
        char list[4096];
        names_text(&names, list, sizeof list);
        rc = gnutls_x509_crq_get_dn3(crq, &text, 0);
        say("request", rc < 0 ? "(no subject)" : (char *)text.data);
        say("names", *list ? list : "none");
        int pk = gnutls_x509_crq_get_pk_algorithm(crq, &bits);
        show_key(pk, bits);
        say("signature", gnutls_x509_crq_verify(crq, 0) < 0 ? "WRONG" : "right");
    }
    gnutls_free(text.data);
    cert_dn_release(&dn);
    if (crq)
        gnutls_x509_crq_deinit(crq);
    return e;
}

static void show_revoked(gnutls_x509_crl_t crl)
{
    int n = gnutls_x509_crl_get_crt_count(crl);
    for (int i = 0; i < n; i++) {
        unsigned char raw[LEDGER_SERIAL / 2 + 1];
        char hex[2 * sizeof raw + 1];
        size_t size = sizeof raw;
        time_t at = 0;
        if (gnutls_x509_crl_get_crt_serial(crl, (unsigned)i, raw, &size, &at) < 0)
            continue;
        text_hex(raw, size, hex);
        say("revoked", hex);
    }
}

static enum err show_crl(const gnutls_datum_t *pem, const char *path)
{
    gnutls_x509_crl_t crl = NULL;
    gnutls_datum_t issuer = {NULL, 0};
    unsigned char raw[32];
    char hex[2 * sizeof raw + 1] = "none";
    size_t n = sizeof raw;
    int rc = gnutls_x509_crl_init(&crl);
    if (rc >= 0)
        rc = gnutls_x509_crl_import(crl, pem, GNUTLS_X509_FMT_PEM);
    enum err e =
        rc < 0 ? log_fail(ERR_TYPE, "%s: not a PEM CRL: %s", path, gnutls_strerror(rc)) : ERR_OK;
    if (!e) {
        rc = gnutls_x509_crl_get_issuer_dn3(crl, &issuer, 0);
        say("crl of", rc < 0 ? "(no name)" : (char *)issuer.data);
        if (gnutls_x509_crl_get_number(crl, raw, &n, NULL) >= 0)
            text_hex(raw, n, hex);
        printf("%-13s0x%s\n", "number", hex);
        say_time("this update", gnutls_x509_crl_get_this_update(crl));
        say_time("next update", gnutls_x509_crl_get_next_update(crl));
        show_revoked(crl);
    }
    gnutls_free(issuer.data);
    if (crl)
        gnutls_x509_crl_deinit(crl);
    return e;
}

static enum err show_cert_file(const char *path)
{
    gnutls_x509_crt_t crt = NULL;
    enum err e = ca_read_cert(path, &crt);
    if (!e)
        e = show_cert(crt);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    return e;
}

static enum err show_file(const char *path)
{
    gnutls_datum_t pem = {NULL, 0};
    enum err e = file_read(path, &pem);
    if (e)
        return e;
    const char *text = (const char *)pem.data;
    if (strstr(text, "BEGIN X509 CRL"))
        e = show_crl(&pem, path);
    else if (strstr(text, "CERTIFICATE REQUEST"))
        e = show_request(&pem, path);
    else if (strstr(text, "PRIVATE KEY"))
        e = log_fail(ERR_TYPE, "%s: a private key is not shown", path);
    else
        e = show_cert_file(path);
    free(pem.data);
    return e;
}

static enum err show_token_key(const char *url)
{
    struct key k = {0};
    uint8_t hash[WIRE_HASH];
    size_t n = sizeof hash;
    unsigned bits = 0;
    enum err e = key_load(url, false, &k);
    if (e)
        return e;
    int pk = gnutls_pubkey_get_pk_algorithm(k.pub, &bits);
    say("private key", url);
    show_key(pk, bits);
    say("stays", "in its token (sensitive, not extractable)");
    if (gnutls_pubkey_get_key_id(k.pub, GNUTLS_KEYID_USE_SHA256, hash, &n) >= 0)
        say_hash("public key", hash);
    key_release(&k);
    return ERR_OK;
}

static enum err show_token_cert(const char *url)
{
    gnutls_x509_crt_t crt = NULL;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import_url(crt, url, 0);
    enum err e = rc < 0 ? token_fail(rc, "certificate \"%s\"", url) : show_cert(crt);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    return e;
}

static enum err show_url(const struct options *o, const char *url)
{
    struct token_pin *pin = NULL;
    bool private = strstr(url, "type=private") != NULL;
    enum err e = private || o->pin ? token_pin_new(o->pin ? o->pin : "prompt", &pin) : ERR_OK;
    if (!e)
        e = token_start(o->module ? o->module : PKI_MODULE, pin);
    if (!e)
        e = private ? show_token_key(url) : show_token_cert(url);
    token_stop();
    token_pin_free(pin);
    return e;
}

static enum err show_serial(const struct options *o, const char *serial)
{
    struct ca ca;
    enum err e = ca_open(&ca, o->dir, false);
    const struct ledger_entry *entry = e ? NULL : ledger_find(&ca.ledger, serial);
    char *path = NULL;
    if (!e && !entry)
        e = log_fail(ERR_NOENT, "%s: neither a file nor a serial of this CA", serial);
    if (!e)
        path = ca_cert_path(&ca, entry->serial);
    if (path)
        e = show_cert_file(path);
    if (!e && entry->renews[0])
        say("renews", entry->renews);
    if (!e && ledger_renewal(&ca.ledger, entry->serial))
        say("renewed by", ledger_renewal(&ca.ledger, entry->serial)->serial);
    if (!e && entry->revoked) {
        say("REVOKED", entry->reason);
        say_time("since", (time_t)entry->revoked);
    }
    free(path);
    ca_close(&ca);
    return e;
}

enum err show_run(const struct options *o, const char *const *args, int n)
{
    (void)n;
    if (token_is_url(args[0]))
        return show_url(o, args[0]);
    return file_exists(args[0]) ? show_file(args[0]) : show_serial(o, args[0]);
}
