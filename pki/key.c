/* SPDX-License-Identifier: ISC */
#include "key.h"
#include "buf.h"
#include "file.h"
#include "log.h"
#include "text.h"

#include <gnutls/crypto.h>
#include <gnutls/pkcs11.h>
#include <gnutls/x509.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID = 16 };

static const struct type {
    const char *name;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
} types[] = {
    {"ecdsa-p256", GNUTLS_PK_ECDSA, (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)},
    {"ecdsa-p384", GNUTLS_PK_ECDSA, (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1)},
    {"rsa-2048", GNUTLS_PK_RSA, 2048},
    {"rsa-3072", GNUTLS_PK_RSA, 3072},
    {"rsa-4096", GNUTLS_PK_RSA, 4096},
};

static const struct type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!name || strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

enum err key_check_type(const char *type)
{
    if (find_type(type))
        return ERR_OK;
    return log_fail(
        ERR_USAGE,
        "key type \"%s\": must be ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096", type);
}

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

/* RFC 7512: everything but unreserved characters as %XX. */
static void put_escaped(struct buf *b, const void *bytes, size_t n, bool all)
{
    const unsigned char *s = bytes;
    char hex[4];
    for (size_t i = 0; i < n; i++) {
        bool keep =
            !all &&
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", s[i]);
        if (keep && s[i]) {
            buf_put(b, &s[i], 1);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", s[i]);
            buf_put(b, hex, 3);
        }
    }
}

static char *url_of(const char *token, const char *label, const unsigned char *id, const char *type)
{
    struct buf b;
    buf_init(&b, 4096);
    if (token_is_url(token)) {
        text_put(&b, token);
    } else {
        text_put(&b, "pkcs11:token=");
        put_escaped(&b, token, strlen(token), false);
    }
    if (id) {
        text_put(&b, ";id=");
        put_escaped(&b, id, ID, true);
    }
    if (label) {
        text_put(&b, ";object=");
        put_escaped(&b, label, strlen(label), false);
    }
    if (type) {
        text_put(&b, ";type=");
        text_put(&b, type);
    }
    buf_put(&b, "", 1);
    if (b.bad && log_fail(ERR_LIMIT, "token \"%s\": name too long", token)) {
        buf_release(&b);
        return NULL;
    }
    return (char *)b.data;
}

char *key_token_url(const char *token)
{
    return url_of(token, NULL, NULL, NULL);
}

enum err key_find(const char *token_url, const char *label, bool *found)
{
    gnutls_pkcs11_obj_t *list = NULL;
    unsigned n = 0;
    char *url = url_of(token_url, label, NULL, "private");
    if (!url)
        return ERR_LIMIT;
    int rc = gnutls_pkcs11_obj_list_import_url4(
        &list, &n, url, GNUTLS_PKCS11_OBJ_FLAG_PRIVKEY | GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    free(url);
    for (unsigned i = 0; rc >= 0 && i < n; i++)
        gnutls_pkcs11_obj_deinit(list[i]);
    gnutls_free(list);
    *found = rc >= 0 && n > 0;
    return rc < 0 ? token_fail(rc, "token \"%s\"", token_url) : ERR_OK;
}

/* By way of its encoding: taken from a token directly it does not know its size. */
static enum err public_half(struct key *k)
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
    return rc < 0 ? token_fail(rc, "public half of key \"%s\"", k->ref) : ERR_OK;
}

enum err key_load(const char *ref, struct key *out)
{
    struct key k = {NULL, NULL, token_is_url(ref) ? strdup(ref) : file_absolute(ref)};
    if (!k.ref)
        return ERR_NOENT;
    enum err e = token_load_key(ref, false, &k.priv);
    if (!e)
        e = public_half(&k);
    if (e)
        key_release(&k);
    else
        *out = k;
    return e;
}

static enum err check_label(const char *token_url, const char *label)
{
    bool found = false;
    enum err e = key_find(token_url, label, &found);
    if (!e && found)
        e = log_fail(ERR_EXISTS,
                     "token \"%s\" holds a key labelled \"%s\" already; choose another --label",
                     token_url, label);
    return e;
}

/* The label and the random id make the URL name this key and no other, also for its removal. */
static enum err generate(const struct type *t, const char *token_url, const char *label, char **url)
{
    unsigned char id[ID];
    gnutls_datum_t cid = {id, sizeof id};
    int rc = gnutls_rnd(GNUTLS_RND_NONCE, id, sizeof id);
    *url = url_of(token_url, label, id, "private");
    if (!*url)
        return ERR_LIMIT;
    if (rc >= 0)
        rc = gnutls_pkcs11_privkey_generate3(
            token_url, t->pk, t->bits, label, &cid, 0, NULL, GNUTLS_KEY_DIGITAL_SIGNATURE,
            GNUTLS_PKCS11_OBJ_FLAG_MARK_PRIVATE | GNUTLS_PKCS11_OBJ_FLAG_MARK_SENSITIVE |
                GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    return rc < 0 ? token_fail(rc, "new %s key in token \"%s\"", t->name, token_url) : ERR_OK;
}

/* Takes away the uses besides signing that GnuTLS leaves to a token's defaults. Some tokens fix
 * them at the birth of a key: then it stays with a warning, as nothing in consign uses them. */
static void narrow(const char *url)
{
    gnutls_pkcs11_obj_t obj = NULL;
    void *module = NULL, *session = NULL, *handle = NULL;
    unsigned long slot = 0;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE uses[] = {{CKA_DECRYPT, &no, sizeof no},
                           {CKA_UNWRAP, &no, sizeof no},
                           {CKA_SIGN_RECOVER, &no, sizeof no},
                           {CKA_DERIVE, &no, sizeof no}};
    CK_SESSION_HANDLE own;
    CK_RV rv = CKR_GENERAL_ERROR;
    unsigned login = GNUTLS_PKCS11_OBJ_FLAG_LOGIN | GNUTLS_PKCS11_OBJ_FLAG_PRIVKEY;
    if (gnutls_pkcs11_obj_init(&obj) < 0)
        return;
    if (gnutls_pkcs11_obj_import_url(obj, url, login) >= 0 &&
        gnutls_pkcs11_obj_get_ptr(obj, &module, &session, &handle, &slot, login) >= 0) {
        CK_FUNCTION_LIST *f = module;
        rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &own);
        if (rv == CKR_OK) {
            rv = f->C_SetAttributeValue(own, (CK_OBJECT_HANDLE)handle, uses,
                                        sizeof uses / sizeof uses[0]);
            f->C_CloseSession(own);
        }
        f->C_CloseSession((CK_SESSION_HANDLE)session);
    }
    if (rv != CKR_OK)
        log_warn("key \"%s\": the token allows more uses than signing and can't be told otherwise",
                 url);
    gnutls_pkcs11_obj_deinit(obj);
}

static enum err make_in_token(const struct type *t, const struct key_wish *w, struct key *out)
{
    char *url = NULL, *token_url = key_token_url(w->token);
    enum err e = token_url ? check_label(token_url, w->label) : ERR_LIMIT;
    if (!e)
        e = generate(t, token_url, w->label, &url);
    if (!e) {
        narrow(url);
        e = key_load(url, out);
        if (e)
            gnutls_pkcs11_delete_url(url, GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    }
    free(url);
    free(token_url);
    return e;
}

static enum err make_in_file(const struct type *t, const char *path, struct key *out)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem = {NULL, 0};
    enum err e = file_free(path);
    if (e)
        return e;
    int rc = gnutls_x509_privkey_init(&key);
    if (rc >= 0)
        rc = gnutls_x509_privkey_generate(key, t->pk, t->bits, 0);
    if (rc >= 0)
        rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                               &pem);
    e = rc < 0 ? log_fail(ERR_INTERNAL, "new %s key: %s", t->name, gnutls_strerror(rc))
               : file_write(path, &pem, 0600, false);
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_privkey_deinit(key);
    return e ? e : key_load(path, out);
}

enum err key_make(const struct key_wish *w, struct key *out)
{
    const struct type *t = find_type(w->type);
    if (!t)
        return key_check_type(w->type);
    return w->token ? make_in_token(t, w, out) : make_in_file(t, w->file, out);
}
