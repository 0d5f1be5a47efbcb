/* SPDX-License-Identifier: ISC */
/* consign-pki export: a certificate with its chain and its key as PKCS#12 (RFC 7292), encrypted with
 * AES-256 (PBES2) and authenticated with SHA-256. */
#include "file.h"
#include "log.h"
#include "pki.h"
#include "token.h"

#include <gnutls/pkcs12.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN = 8, CIPHER = GNUTLS_PKCS_PBES2_AES_256 };

struct parcel {
    gnutls_x509_crt_t crts[CHAIN];
    unsigned n;
    gnutls_x509_privkey_t key;
    const char *password;
    gnutls_pkcs12_t p12;
    unsigned char id[20]; /* ties the key to its certificate */
    size_t id_size;
};

static void release(struct parcel *p)
{
    while (p->n > 0)
        gnutls_x509_crt_deinit(p->crts[--p->n]);
    if (p->key)
        gnutls_x509_privkey_deinit(p->key);
    if (p->p12)
        gnutls_pkcs12_deinit(p->p12);
}

static enum err read_chain(struct parcel *p, const char *file)
{
    gnutls_datum_t pem = {NULL, 0};
    unsigned n = CHAIN;
    enum err e = file_read(file, &pem);
    if (e)
        return e;
    int rc = gnutls_x509_crt_list_import(p->crts, &n, &pem, GNUTLS_X509_FMT_PEM,
                                         GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
    free(pem.data);
    p->n = rc > 0 ? (unsigned)rc : 0;
    return rc > 0 ? ERR_OK
                  : log_fail(ERR_TYPE, "%s: not PEM certificates: %s", file, gnutls_strerror(rc));
}

static enum err read_key(struct parcel *p, const char *ref)
{
    gnutls_privkey_t key = NULL;
    if (token_is_url(ref))
        return log_fail(ERR_DENIED,
                        "%s: a key in a token stays there: it can't be exported. Make a key in the "
                        "other place and a certificate for it (renew --new-key)",
                        ref);
    enum err e = token_load_key(ref, false, &key);
    if (e)
        return e;
    int rc = gnutls_privkey_export_x509(key, &p->key);
    gnutls_privkey_deinit(key);
    return rc < 0 ? log_fail(ERR_TYPE, "%s: %s", ref, gnutls_strerror(rc)) : ERR_OK;
}

static enum err match(struct parcel *p, const char *ref)
{
    unsigned char of_key[20];
    size_t n = sizeof of_key;
    p->id_size = sizeof p->id;
    if (gnutls_x509_crt_get_key_id(p->crts[0], 0, p->id, &p->id_size) < 0 ||
        gnutls_x509_privkey_get_key_id(p->key, 0, of_key, &n) < 0 || n != p->id_size ||
        memcmp(of_key, p->id, n) != 0)
        return log_fail(ERR_CONFIG, "%s: not the key of this certificate", ref);
    return ERR_OK;
}

static int bag_of_certs(const struct parcel *p, gnutls_pkcs12_bag_t bag)
{
    gnutls_datum_t id = {(unsigned char *)(uintptr_t)p->id, (unsigned)p->id_size};
    int rc = 0;
    for (unsigned i = 0; rc >= 0 && i < p->n; i++) {
        rc = gnutls_pkcs12_bag_set_crt(bag, p->crts[i]);
        if (rc >= 0 && i == 0)
            rc = gnutls_pkcs12_bag_set_key_id(bag, (unsigned)rc, &id);
    }
    return rc < 0 ? rc : gnutls_pkcs12_bag_encrypt(bag, p->password, CIPHER);
}

static int bag_of_key(const struct parcel *p, gnutls_pkcs12_bag_t bag)
{
    gnutls_datum_t id = {(unsigned char *)(uintptr_t)p->id, (unsigned)p->id_size};
    gnutls_datum_t der = {NULL, 0};
    int rc =
        gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_DER, p->password, CIPHER, &der);
    if (rc >= 0)
        rc = gnutls_pkcs12_bag_set_data(bag, GNUTLS_BAG_PKCS8_ENCRYPTED_KEY, &der);
    if (rc >= 0)
        rc = gnutls_pkcs12_bag_set_key_id(bag, (unsigned)rc, &id);
    gnutls_free(der.data);
    return rc;
}

static int add_bag(struct parcel *p, int (*fill)(const struct parcel *, gnutls_pkcs12_bag_t))
{
    gnutls_pkcs12_bag_t bag = NULL;
    int rc = gnutls_pkcs12_bag_init(&bag);
    if (rc >= 0)
        rc = fill(p, bag);
    if (rc >= 0)
        rc = gnutls_pkcs12_set_bag(p->p12, bag);
    if (bag)
        gnutls_pkcs12_bag_deinit(bag);
    return rc;
}

static enum err wrap(struct parcel *p, const char *out)
{
    gnutls_datum_t der = {NULL, 0};
    int rc = gnutls_pkcs12_init(&p->p12);
    if (rc >= 0)
        rc = add_bag(p, bag_of_certs);
    if (rc >= 0)
        rc = add_bag(p, bag_of_key);
    if (rc >= 0)
        rc = gnutls_pkcs12_generate_mac2(p->p12, GNUTLS_MAC_SHA256, p->password);
    if (rc >= 0)
        rc = gnutls_pkcs12_export2(p->p12, GNUTLS_X509_FMT_DER, &der);
    enum err e = rc < 0 ? log_fail(ERR_INTERNAL, "PKCS#12: %s", gnutls_strerror(rc))
                        : file_write(out, &der, 0600, false);
    gnutls_free(der.data);
    return e;
}

/* FILE.pem -> FILE.SUFFIX; the caller frees. NULL, logged. */
static char *beside(const char *file, const char *suffix)
{
    size_t n = strlen(file);
    char *path = NULL;
    if (n > 4 && strcmp(file + n - 4, ".pem") == 0)
        n -= 4;
    if (asprintf(&path, "%.*s.%s", (int)n, file, suffix) >= 0)
        return path;
    return log_fail(ERR_INTERNAL, "out of memory") ? NULL : path;
}

static enum err pack(const struct options *o, const char *file, const char *key, const char *out)
{
    struct parcel p = {.n = 0};
    struct token_pin *password = NULL;
    enum err e = file_free(out);
    if (!e)
        e = read_chain(&p, file);
    if (!e)
        e = read_key(&p, key);
    if (!e)
        e = match(&p, key);
    if (!e)
        e = token_pin_new(o->password, &password);
    if (!e) {
        token_pin_label(password, "Password of the PKCS#12 file");
        p.password = token_pin_get(password);
        e = p.password ? wrap(&p, out) : ERR_PIN;
    }
    if (!e)
        printf("file         %s\nholds        the key, and %u certificates\n", out, p.n);
    token_pin_free(password);
    release(&p);
    return e;
}

enum err export_run(const struct options *o, const char *const *args, int n)
{
    (void)n;
    if (!o->p12 || !o->password)
        return log_fail(ERR_USAGE, "export: say --p12 and --password");
    char *key = o->key ? strdup(o->key) : beside(args[0], "key");
    char *out = o->out ? strdup(o->out) : beside(args[0], "p12");
    enum err e = key && out ? pack(o, args[0], key, out) : ERR_INTERNAL;
    free(key);
    free(out);
    return e;
}
