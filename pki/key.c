/* SPDX-License-Identifier: ISC */
#include "key.h"
#include "file.h"
#include "generate.h"
#include "log.h"
#include "token_patience.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

void key_drop_private(struct key *k)
{
    if (k->priv)
        gnutls_privkey_deinit(k->priv);
    k->priv = NULL;
}

void key_release(struct key *k)
{
    key_drop_private(k);
    if (k->pub)
        gnutls_pubkey_deinit(k->pub);
    free(k->ref);
    *k = (struct key){0};
}

/* By way of its encoding: taken from a token directly it does not know its size. */
static int read_public(struct key *k)
{
    gnutls_pubkey_t from = NULL;
    gnutls_datum_t der = {NULL, 0};
    int rc = gnutls_pubkey_init(&from);
    if (rc >= 0)
        rc = gnutls_pubkey_import_privkey(from, k->priv, GNUTLS_KEY_DIGITAL_SIGNATURE, 0);
    if (rc >= 0)
        rc = gnutls_pubkey_export2(from, GNUTLS_X509_FMT_DER, &der);
    if (rc >= 0)
        rc = gnutls_pubkey_init(&k->pub);
    if (rc >= 0)
        rc = gnutls_pubkey_import(k->pub, &der, GNUTLS_X509_FMT_DER);
    gnutls_free(der.data);
    if (from)
        gnutls_pubkey_deinit(from);
    return rc;
}

static enum err public_half(struct key *k)
{
    struct token_patience patience = {0};
    int rc;
    do
        rc = read_public(k);
    while (rc < 0 && token_is_url(k->ref) && token_again(&patience, k->ref, rc));
    return rc < 0 ? token_fail(rc, "public half of key \"%s\"", k->ref) : ERR_OK;
}

enum err key_load(const char *ref, bool allow_extractable, struct key *out)
{
    struct key k = {NULL, NULL, token_is_url(ref) ? strdup(ref) : file_absolute(ref)};
    if (!k.ref)
        return ERR_NOENT;
    enum err e = token_load_key(ref, allow_extractable, &k.priv);
    if (!e)
        e = public_half(&k);
    if (e)
        key_release(&k);
    else
        *out = k;
    return e;
}

static enum err generate_in(const struct p11 *m, const struct key_wish *w, char **url)
{
    const struct generate_order order = {w->type, w->label, w->allow_extractable};
    struct p11_token t;
    struct p11_session s = {0};
    enum err e = p11_find_token(m, w->token, &t);
    if (!e)
        e = p11_session_open(m, &t, true, &s);
    if (!e)
        e = p11_login(&s, &t, w->pin);
    if (!e)
        e = generate_key(m, &t, &s, &order, url);
    p11_session_close(&s);
    return e;
}

enum err key_generate(const struct key_wish *w, char **url)
{
    struct p11 m = {NULL};
    *url = NULL;
    enum err e = p11_open(w->module, &m);
    if (!e)
        e = generate_in(&m, w, url);
    p11_close(&m);
    return e;
}

static enum err make_in_token(const struct key_wish *w, struct key *out)
{
    char *url;
    enum err e = key_generate(w, &url);
    if (!e)
        e = key_load(url, w->allow_extractable, out);
    if (e && url)
        log_warn("the new key is left in its token: %s", url);
    free(url);
    return e;
}

/* GnuTLS tells curves as bits, too. */
static unsigned bits_of(const struct key_type *t)
{
    switch (t->family) {
    case KEY_EC:
        return GNUTLS_CURVE_TO_BITS(t->bits == 256   ? GNUTLS_ECC_CURVE_SECP256R1
                                    : t->bits == 384 ? GNUTLS_ECC_CURVE_SECP384R1
                                                     : GNUTLS_ECC_CURVE_SECP521R1);
    case KEY_EDWARDS:
        return GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519);
    default:
        return t->bits;
    }
}

static enum err make_in_file(const struct key_type *t, const char *path, struct key *out)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem = {NULL, 0};
    enum err e = file_free(path);
    if (e)
        return e;
    int rc = gnutls_x509_privkey_init(&key);
    if (rc >= 0)
        rc = gnutls_x509_privkey_generate(key, t->pk, bits_of(t), 0);
    if (rc >= 0)
        rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                               &pem);
    e = rc < 0 ? log_fail(ERR_INTERNAL, "new %s key: %s", t->name, gnutls_strerror(rc))
               : file_write(path, &pem, 0600, false);
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_privkey_deinit(key);
    return e ? e : key_load(path, true, out);
}

enum err key_make(const struct key_wish *w, struct key *out)
{
    return w->token ? make_in_token(w, out) : make_in_file(w->type, w->file, out);
}
