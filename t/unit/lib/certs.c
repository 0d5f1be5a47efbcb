/* SPDX-License-Identifier: ISC */
#include "certs.h"

#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INTEGER = 0x02, BITS = 0x03, OCTETS = 0x04, OID = 0x06, SEQ = 0x30, SET = 0x31 };

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "certs: %s failed\n", what);
    abort();
}

/* ---- DER ---- */

static void raw(struct certs_der *d, const void *p, size_t n)
{
    must(d->n + n <= sizeof d->p, "DER buffer");
    if (n)
        memcpy(d->p + d->n, p, n);
    d->n += n;
}

void certs_put(struct certs_der *d, uint8_t tag, const void *content, size_t n)
{
    uint8_t head[4] = {tag, (uint8_t)n};
    size_t head_n = 2;
    if (n >= 0x100) {
        head[1] = 0x82;
        head[2] = (uint8_t)(n >> 8);
        head[3] = (uint8_t)n;
        head_n = 4;
    } else if (n >= 0x80) {
        head[1] = 0x81;
        head[2] = (uint8_t)n;
        head_n = 3;
    }
    raw(d, head, head_n);
    raw(d, content, n);
}

static void put_der(struct certs_der *d, uint8_t tag, const struct certs_der *content)
{
    certs_put(d, tag, content->p, content->n);
}

static void put_oid(struct certs_der *d, const char *text)
{
    uint8_t out[64];
    size_t n = 0;
    char *rest;
    unsigned long first = strtoul(text, &rest, 10);
    unsigned long arc = first * 40 + strtoul(rest + 1, &rest, 10);
    for (;;) {
        for (int shift = 28; shift >= 0; shift -= 7)
            if (arc >> shift || shift == 0)
                out[n++] = (uint8_t)((arc >> shift & 0x7f) | (shift ? 0x80 : 0));
        if (!*rest)
            break;
        arc = strtoul(rest + 1, &rest, 10);
    }
    certs_put(d, OID, out, n);
}

void certs_put_rdn(struct certs_der *name, const char *oid, uint8_t tag, const void *value,
                   size_t n, bool more)
{
    static size_t
        last; /* where the RDN put last begins: always shorter than 128 bytes when grown */
    struct certs_der pair = {.n = 0}, ava = {.n = 0}, set = {.n = 0};
    put_oid(&pair, oid);
    certs_put(&pair, tag, value, n);
    put_der(&ava, SEQ, &pair);
    if (more) {
        raw(&set, name->p + last + 2, name->n - last - 2);
        name->n = last;
    }
    last = name->n;
    raw(&set, ava.p, ava.n);
    put_der(name, SET, &set);
}

static void put_time(struct certs_der *d, int days)
{
    char text[16];
    struct tm tm;
    time_t t = CERTS_NOW + (time_t)days * CERTS_DAY;
    gmtime_r(&t, &tm);
    must(strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &tm) == 15, "time");
    certs_put(d, 0x17, text + 2, 13); /* UTCTime: without the century */
}

static void put_algorithm(struct certs_der *d, bool sha1)
{
    struct certs_der oid = {.n = 0};
    put_oid(&oid, sha1 ? "1.2.840.10045.4.1" : "1.2.840.10045.4.3.2");
    put_der(d, SEQ, &oid);
}

/* SEQUENCE { tbs, algorithm, signature } */
static gnutls_datum_t sign(const struct certs_der *tbs, gnutls_privkey_t key, bool sha1,
                           bool broken)
{
    struct certs_der body = {.n = 0}, whole = {.n = 0};
    gnutls_datum_t data = {(uint8_t *)(uintptr_t)tbs->p, (unsigned)tbs->n}, sig, out;
    gnutls_sign_algorithm_t with = sha1 ? GNUTLS_SIGN_ECDSA_SHA1 : GNUTLS_SIGN_ECDSA_SHA256;
    uint8_t bits[256] = {0};
    must(gnutls_privkey_sign_data2(key, with, 0, &data, &sig) >= 0 && sig.size < 255, "signing");
    memcpy(bits + 1, sig.data, sig.size);
    bits[sig.size] ^= broken;
    raw(&body, tbs->p, tbs->n);
    put_algorithm(&body, sha1);
    certs_put(&body, BITS, bits, sig.size + 1);
    put_der(&whole, SEQ, &body);
    gnutls_free(sig.data);
    out.data = malloc(whole.n);
    must(out.data != NULL, "malloc");
    memcpy(out.data, whole.p, whole.n);
    out.size = (unsigned)whole.n;
    return out;
}

/* ---- extensions ---- */

static void put_extension(struct certs_der *list, const char *oid, bool critical,
                          gnutls_datum_t der)
{
    struct certs_der ext = {.n = 0};
    put_oid(&ext, oid);
    if (critical)
        certs_put(&ext, 0x01, "\xff", 1);
    certs_put(&ext, OCTETS, der.data, der.size);
    put_der(list, SEQ, &ext);
}

static void put_san(struct certs_der *list, const struct certs_spec *s)
{
    struct certs_der names = {.n = 0}, value = {.n = 0};
    if (s->email)
        certs_put(&names, 0x81, s->email, strlen(s->email));
    if (s->dns)
        certs_put(&names, 0x82, s->dns, strlen(s->dns));
    if (s->uri)
        certs_put(&names, 0x86, s->uri, strlen(s->uri));
    if (s->ip4)
        certs_put(&names, 0x87, s->ip4, 4);
    if (names.n == 0)
        return;
    put_der(&value, SEQ, &names);
    put_extension(list, "2.5.29.17", false, (gnutls_datum_t){value.p, (unsigned)value.n});
}

static void put_subtree(struct certs_der *list, uint8_t tag, const void *base, size_t n)
{
    struct certs_der name = {.n = 0};
    certs_put(&name, tag, base, n);
    put_der(list, SEQ, &name);
}

static void put_constraints(struct certs_der *list, const struct certs_spec *s)
{
    struct certs_der trees = {.n = 0}, permitted = {.n = 0}, excluded = {.n = 0}, value = {.n = 0};
    if (s->permit_mail)
        put_subtree(&trees, 0x81, s->permit_mail, strlen(s->permit_mail));
    if (s->permit_dns)
        put_subtree(&trees, 0x82, s->permit_dns, strlen(s->permit_dns));
    if (s->permit_dn) {
        struct certs_der rdns = {.n = 0}, name = {.n = 0};
        certs_put_rdn(&rdns, CERTS_O, CERTS_UTF8, "Partner", 7, false);
        put_der(&name, SEQ, &rdns);
        put_subtree(&trees, 0xa4, name.p, name.n);
    }
    if (s->permit_uri)
        put_subtree(&trees, 0x86, s->permit_uri, strlen(s->permit_uri));
    if (trees.n > 0)
        put_der(&permitted, 0xa0, &trees);
    if (s->exclude_dns) {
        trees.n = 0;
        put_subtree(&trees, 0x82, s->exclude_dns, strlen(s->exclude_dns));
        put_der(&excluded, 0xa1, &trees);
    }
    if (permitted.n + excluded.n == 0)
        return;
    memcpy(permitted.p + permitted.n, excluded.p, excluded.n);
    permitted.n += excluded.n;
    put_der(&value, SEQ, &permitted);
    put_extension(list, "2.5.29.30", true, (gnutls_datum_t){value.p, (unsigned)value.n});
}

static void put_extensions(struct certs_der *tbs, const struct certs_spec *s)
{
    struct certs_der list = {.n = 0}, seq = {.n = 0}, purposes = {.n = 0}, value = {.n = 0};
    gnutls_datum_t der;
    if (s->ca != CERTS_NO_BASIC) {
        must(gnutls_x509_ext_export_basic_constraints(s->ca == CERTS_CA, s->path_length - 1,
                                                      &der) >= 0,
             "basic");
        put_extension(&list, "2.5.29.19", true, der);
        gnutls_free(der.data);
    }
    if (s->usage) {
        must(gnutls_x509_ext_export_key_usage(s->usage, &der) >= 0, "key usage");
        put_extension(&list, "2.5.29.15", true, der);
        gnutls_free(der.data);
    }
    for (size_t i = 0; i < 3 && s->purpose[i]; i++)
        put_oid(&purposes, s->purpose[i]);
    if (purposes.n) {
        put_der(&value, SEQ, &purposes);
        put_extension(&list, "2.5.29.37", false, (gnutls_datum_t){value.p, (unsigned)value.n});
    }
    put_san(&list, s);
    put_constraints(&list, s);
    if (list.n == 0)
        return;
    put_der(&seq, SEQ, &list);
    put_der(tbs, 0xa3, &seq);
}

/* ---- certificates ---- */

/* The public exponent is the private one, and vice versa: as good a key as the other. */
static void swap_exponents(gnutls_privkey_t key, gnutls_privkey_t out)
{
    gnutls_x509_privkey_t swapped;
    gnutls_datum_t m, e, d, p, q, u;
    must(gnutls_privkey_export_rsa_raw(key, &m, &e, &d, &p, &q, &u, NULL, NULL) >= 0, "key");
    must(gnutls_x509_privkey_init(&swapped) >= 0 &&
             gnutls_x509_privkey_import_rsa_raw2(swapped, &m, &d, &e, &p, &q, &u, &e, &e) >= 0,
         "key with its exponents swapped");
    must(gnutls_privkey_import_x509(out, swapped, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE) >= 0, "key");
    gnutls_datum_t *all[] = {&m, &e, &d, &p, &q, &u};
    for (int i = 0; i < 6; i++)
        gnutls_free(all[i]->data);
}

static gnutls_privkey_t new_key(unsigned rsa_bits, bool swapped)
{
    gnutls_privkey_t key;
    must(gnutls_privkey_init(&key) >= 0, "key");
    must(gnutls_privkey_generate(
             key, rsa_bits ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
             rsa_bits ? rsa_bits : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0,
         "key generation");
    if (swapped) {
        gnutls_privkey_t another = key;
        must(gnutls_privkey_init(&key) >= 0, "key");
        swap_exponents(another, key);
        gnutls_privkey_deinit(another);
    }
    return key;
}

static void put_public_key(struct certs_der *tbs, gnutls_privkey_t key)
{
    gnutls_pubkey_t pub;
    gnutls_datum_t der;
    must(gnutls_pubkey_init(&pub) >= 0 && gnutls_pubkey_import_privkey(pub, key, 0, 0) >= 0 &&
             gnutls_pubkey_export2(pub, GNUTLS_X509_FMT_DER, &der) >= 0,
         "public key");
    raw(tbs, der.data, der.size);
    gnutls_free(der.data);
    gnutls_pubkey_deinit(pub);
}

struct certs_cert certs_issue(const struct certs_spec *s, const struct certs_cert *issuer)
{
    static uint8_t next = 1;
    struct certs_cert c = {.key = new_key(s->rsa_bits, s->swapped),
                           .serial = s->serial ? s->serial : next++};
    struct certs_der tbs = {.n = 0}, body = {.n = 0}, times = {.n = 0}, version = {.n = 0};
    bool dates = s->from_days || s->to_days;
    must(next < 0x80, "a free serial number");
    if (s->subject)
        c.name = *s->subject;
    else
        certs_put_rdn(&c.name, CERTS_CN, CERTS_UTF8, s->cn, strlen(s->cn), false);
    if (!s->v1) {
        certs_put(&version, INTEGER, "\x02", 1);
        put_der(&body, 0xa0, &version);
    }
    certs_put(&body, INTEGER, &c.serial, 1);
    put_algorithm(&body, s->sha1);
    put_der(&body, SEQ, issuer ? &issuer->name : &c.name);
    put_time(&times, dates ? s->from_days : -30);
    put_time(&times, dates ? s->to_days : 30);
    put_der(&body, SEQ, &times);
    put_der(&body, SEQ, &c.name);
    put_public_key(&body, c.key);
    if (!s->v1)
        put_extensions(&body, s);
    put_der(&tbs, SEQ, &body);
    c.der = sign(&tbs, issuer ? issuer->key : c.key, s->sha1, s->broken);
    return c;
}

struct certs_cert certs_ca(const char *cn, const struct certs_cert *issuer)
{
    struct certs_spec s = {
        .cn = cn, .ca = CERTS_CA, .usage = GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN};
    return certs_issue(&s, issuer);
}

struct certs_cert certs_client(const char *cn, const struct certs_cert *issuer)
{
    struct certs_spec s = {.cn = cn,
                           .ca = CERTS_LEAF,
                           .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
                           .purpose = {GNUTLS_KP_TLS_WWW_CLIENT}};
    return certs_issue(&s, issuer);
}

struct certs_cert certs_server(const char *dns, const struct certs_cert *issuer)
{
    struct certs_spec s = {.cn = "server",
                           .ca = CERTS_LEAF,
                           .usage = GNUTLS_KEY_DIGITAL_SIGNATURE,
                           .purpose = {GNUTLS_KP_TLS_WWW_SERVER},
                           .dns = dns};
    return certs_issue(&s, issuer);
}

void certs_release(struct certs_cert *c)
{
    free(c->der.data);
    if (c->key)
        gnutls_privkey_deinit(c->key);
    *c = (struct certs_cert){.key = NULL};
}

static void put_revoked(struct certs_der *list, const uint8_t *serial, size_t n)
{
    struct certs_der entry = {.n = 0};
    certs_put(&entry, INTEGER, serial, n);
    put_time(&entry, -2);
    put_der(list, SEQ, &entry);
}

/* ---- CRLs and files ---- */

static gnutls_datum_t make_crl(const struct certs_crl *crl)
{
    struct certs_der body = {.n = 0}, tbs = {.n = 0}, list = {.n = 0};
    bool dates = crl->from_days || crl->to_days;
    certs_put(&body, INTEGER, "\x01", 1);
    put_algorithm(&body, false);
    put_der(&body, SEQ, &crl->issuer->name);
    put_time(&body, dates ? crl->from_days : -1);
    if (!crl->no_next)
        put_time(&body, dates ? crl->to_days : 7);
    for (size_t i = 0; i < 4 && crl->revoked[i]; i++)
        put_revoked(&list, &crl->revoked[i], 1);
    if (crl->revoked_octets.size)
        put_revoked(&list, crl->revoked_octets.data, crl->revoked_octets.size);
    if (list.n)
        put_der(&body, SEQ, &list);
    if (crl->partial) {
        struct certs_der exts = {.n = 0}, seq = {.n = 0};
        put_extension(&exts, "2.5.29.28", true,
                      (gnutls_datum_t){(uint8_t *)"\x30\x03\x81\x01\xff", 5});
        put_der(&seq, SEQ, &exts);
        put_der(&body, 0xa0, &seq);
    }
    put_der(&tbs, SEQ, &body);
    return sign(&tbs, crl->signer ? crl->signer->key : crl->issuer->key, false, false);
}

static void put_pem(FILE *out, const char *what, const gnutls_datum_t *der)
{
    gnutls_datum_t pem;
    must(gnutls_pem_base64_encode2(what, der, &pem) >= 0, "PEM");
    must(fwrite(pem.data, 1, pem.size, out) == pem.size, "writing");
    gnutls_free(pem.data);
}

static FILE *create(const char *path)
{
    FILE *out = fopen(path, "w");
    must(out && fchmod(fileno(out), 0644) == 0, path);
    return out;
}

void certs_write(const char *path, const struct certs_cert *const *certs, size_t n)
{
    FILE *out = create(path);
    for (size_t i = 0; i < n; i++)
        put_pem(out, "CERTIFICATE", &certs[i]->der);
    must(fclose(out) == 0, path);
}

void certs_write_crls(const char *path, const struct certs_crl *crls, size_t n)
{
    FILE *out = create(path);
    for (size_t i = 0; i < n; i++) {
        gnutls_datum_t der = make_crl(&crls[i]);
        put_pem(out, "X509 CRL", &der);
        free(der.data);
    }
    must(fclose(out) == 0, path);
}
