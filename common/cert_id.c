/* SPDX-License-Identifier: ISC */
/* What a certificate says of its subject. */
#include "cert.h"

#include "log.h"
#include "text.h"
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SANS_MAX = 64, SAN_BYTES = 1024 };

static enum err unreadable(int rc)
{
    return log_fail(ERR_AUTH, "the certificate can't be read: %s", gnutls_strerror(rc));
}

static void dn_text(gnutls_x509_dn_t dn, char *out, size_t cap)
{
    gnutls_datum_t text = {0};
    if (gnutls_x509_dn_get_str2(dn, &text, 0) == 0)
        log_scrub(out, cap, text.data, text.size);
    gnutls_free(text.data);
}

static enum err read_names(gnutls_x509_crt_t crt, struct cert_id *id)
{
    gnutls_x509_dn_t subject, issuer;
    int rc;
    if ((rc = gnutls_x509_crt_get_subject(crt, &subject)) < 0 ||
        (rc = gnutls_x509_crt_get_issuer(crt, &issuer)) < 0)
        return unreadable(rc);
    dn_text(subject, id->subject_text, sizeof id->subject_text);
    dn_text(issuer, id->issuer_text, sizeof id->issuer_text);
    enum err e = cert_dn_read(subject, &id->subject);
    return e == ERR_OK ? cert_dn_read(issuer, &id->issuer) : e;
}

static enum err add_san(struct cert_id *id, enum cert_san_type type, const uint8_t *value, size_t n)
{
    struct cert_san *grown = realloc(id->sans, (id->n_sans + 1) * sizeof *grown);
    uint8_t *copy = malloc(n ? n : 1);
    if (grown)
        id->sans = grown;
    if (!grown || !copy) {
        free(copy);
        return log_fail(ERR_INTERNAL, "out of memory for a certificate");
    }
    memcpy(copy, value, n);
    grown[id->n_sans++] = (struct cert_san){type, copy, n};
    return ERR_OK;
}

static enum err read_sans(gnutls_x509_crt_t crt, struct cert_id *id)
{
    for (unsigned i = 0; i < SANS_MAX; i++) {
        uint8_t value[SAN_BYTES];
        size_t n = sizeof value;
        unsigned type;
        int rc = gnutls_x509_crt_get_subject_alt_name2(crt, i, value, &n, &type, NULL);
        enum err e = ERR_OK;
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return ERR_OK;
        if (rc < 0)
            return unreadable(rc);
        if (rc == GNUTLS_SAN_DNSNAME)
            e = add_san(id, CERT_SAN_DNS, value, n);
        else if (rc == GNUTLS_SAN_RFC822NAME)
            e = add_san(id, CERT_SAN_EMAIL, value, n);
        else if (rc == GNUTLS_SAN_URI)
            e = add_san(id, CERT_SAN_URI, value, n);
        if (e != ERR_OK)
            return e;
    }
    return log_fail(ERR_AUTH, "a certificate with too many alternative names");
}

static enum err read_prints(gnutls_x509_crt_t crt, struct cert_id *id)
{
    uint8_t serial[64];
    size_t n = sizeof serial, hash_n = WIRE_HASH, cert_n = WIRE_HASH;
    int rc;
    if ((rc = gnutls_x509_crt_get_serial(crt, serial, &n)) < 0 ||
        (rc = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id->spki_sha256, &hash_n)) <
            0 ||
        (rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, id->cert_sha256, &cert_n)) <
            0)
        return unreadable(rc);
    if (n > (sizeof id->serial - 1) / 2)
        return log_fail(ERR_AUTH, "a certificate with too long a serial number");
    text_hex(serial, n, id->serial);
    id->not_after = gnutls_x509_crt_get_expiration_time(crt);
    return ERR_OK;
}

enum err cert_id_read(const gnutls_datum_t *der, struct cert_id *out)
{
    gnutls_x509_crt_t crt = NULL;
    enum err e;
    *out = (struct cert_id){0};
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER);
    e = rc < 0 ? unreadable(rc) : ERR_OK;
    if (e == ERR_OK && (e = read_names(crt, out)) == ERR_OK && (e = read_sans(crt, out)) == ERR_OK)
        e = read_prints(crt, out);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (e != ERR_OK)
        cert_id_release(out);
    return e;
}

void cert_id_release(struct cert_id *id)
{
    cert_dn_release(&id->subject);
    cert_dn_release(&id->issuer);
    for (size_t i = 0; i < id->n_sans; i++)
        free(id->sans[i].value);
    free(id->sans);
    *id = (struct cert_id){0};
}
