/* SPDX-License-Identifier: ISC */
#include "inventory.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 256, ID_MAX = 128, PARAMS_MAX = 64 };

static const struct {
    CK_OBJECT_CLASS class;
    const char *what, *type; /* in a URL */
    bool key;
} classes[] = {
    {CKO_PRIVATE_KEY, "private key", "private", true},
    {CKO_SECRET_KEY, "secret key", "secret-key", true},
    {CKO_PUBLIC_KEY, "public key", "public", false},
    {CKO_CERTIFICATE, "certificate", "cert", false},
};

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
} uses[] = {
    {CKA_SIGN, "sign"},       {CKA_VERIFY, "verify"},   {CKA_SIGN_RECOVER, "sign-recover"},
    {CKA_DECRYPT, "decrypt"}, {CKA_ENCRYPT, "encrypt"}, {CKA_WRAP, "wrap"},
    {CKA_UNWRAP, "unwrap"},   {CKA_DERIVE, "derive"},
};

/* The size of an RSA key: public keys have it as a number, private ones as the modulus. */
static unsigned rsa_bits(const struct p11_session *s, CK_OBJECT_HANDLE o)
{
    uint8_t modulus[2048];
    size_t n = sizeof modulus, zeros = 0;
    if (!p11_bytes(s, o, CKA_MODULUS, modulus, &n))
        return 0;
    while (zeros < n && modulus[zeros] == 0)
        zeros++;
    return (unsigned)(n - zeros) * 8;
}

static bool is_of(const struct key_type *t, CK_KEY_TYPE kind, const uint8_t *params, size_t n,
                  unsigned bits)
{
    switch (t->family) {
    case KEY_EC:
        return kind == CKK_EC && n == t->n_params && memcmp(params, t->params, n) == 0;
    case KEY_EDWARDS:
        return kind == CKK_EC_EDWARDS;
    case KEY_RSA:
        return kind == CKK_RSA && bits == t->bits;
    case KEY_HMAC:
        return kind == CKK_GENERIC_SECRET || kind == CKK_SHA512_HMAC;
    }
    return false;
}

const struct key_type *inventory_key_type(const struct p11_session *s, CK_OBJECT_HANDLE o)
{
    uint8_t params[PARAMS_MAX];
    size_t n = sizeof params;
    CK_ULONG kind;
    const struct key_type *t;
    if (!p11_number(s, o, CKA_KEY_TYPE, &kind))
        return NULL;
    if (!p11_bytes(s, o, CKA_EC_PARAMS, params, &n))
        n = 0;
    unsigned bits = kind == CKK_RSA ? rsa_bits(s, o) : 0;
    for (size_t i = 0; (t = key_type_at(i)) && !is_of(t, kind, params, n, bits); i++)
        ;
    return t;
}

static void read_kind(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_OBJECT_CLASS class,
                      struct inventory_object *to)
{
    const struct key_type *t = class == CKO_CERTIFICATE ? NULL : inventory_key_type(s, o);
    CK_ULONG kind = CK_UNAVAILABLE_INFORMATION;
    if (class == CKO_CERTIFICATE)
        snprintf(to->kind, sizeof to->kind, "X.509");
    else if (t)
        snprintf(to->kind, sizeof to->kind, "%s", t->name);
    else if (p11_number(s, o, CKA_KEY_TYPE, &kind) && kind == CKK_RSA)
        snprintf(to->kind, sizeof to->kind, "rsa%u", rsa_bits(s, o));
    else if (kind != CK_UNAVAILABLE_INFORMATION)
        snprintf(to->kind, sizeof to->kind, "type 0x%lx", kind);
}

static void read_key(const struct p11_session *s, CK_OBJECT_HANDLE o, struct inventory_object *to)
{
    size_t at = 0;
    bool set;
    to->key = true;
    to->extractable = true;
    to->sensitive = false;
    (void)p11_flag(s, o, CKA_EXTRACTABLE, &to->extractable);
    (void)p11_flag(s, o, CKA_SENSITIVE, &to->sensitive);
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (p11_flag(s, o, uses[i].type, &set) && set)
            at += (size_t)snprintf(to->uses + at, sizeof to->uses - at, "%s%s", at ? " " : "",
                                   uses[i].name);
}

static enum err read_object(const struct p11_token *t, const struct p11_session *s,
                            CK_OBJECT_HANDLE o, size_t row, struct inventory *to)
{
    char label[LABEL_MAX + 1];
    uint8_t id[ID_MAX];
    size_t n_label = LABEL_MAX, n_id = sizeof id;
    if (!p11_bytes(s, o, CKA_LABEL, (uint8_t *)label, &n_label))
        n_label = 0;
    label[n_label] = '\0';
    if (!p11_bytes(s, o, CKA_ID, id, &n_id))
        n_id = 0;
    struct p11_name name = {classes[row].type, id, n_id, n_label ? label : NULL};
    struct inventory_object *grown = realloc(to->objects, (to->n + 1) * sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory");
    to->objects = grown;
    struct inventory_object *new = &grown[to->n];
    *new = (struct inventory_object){.what = classes[row].what, .url = p11_url(t, &name)};
    if (!new->url)
        return ERR_LIMIT;
    to->n++;
    read_kind(s, o, classes[row].class, new);
    if (classes[row].key)
        read_key(s, o, new);
    return ERR_OK;
}

enum err inventory_read(const struct p11_token *t, const struct p11_session *s,
                        struct inventory *out)
{
    enum err e = ERR_OK;
    *out = (struct inventory){NULL, 0};
    for (size_t row = 0; !e && row < sizeof classes / sizeof classes[0]; row++) {
        CK_OBJECT_CLASS class = classes[row].class;
        CK_ATTRIBUTE match = {CKA_CLASS, &class, sizeof class};
        CK_OBJECT_HANDLE *found = NULL;
        size_t n = 0;
        e = p11_find(s, &match, 1, &found, &n);
        for (size_t i = 0; !e && i < n; i++)
            e = read_object(t, s, found[i], row, out);
        free(found);
    }
    return e;
}

void inventory_release(struct inventory *i)
{
    for (size_t k = 0; k < i->n; k++)
        free(i->objects[k].url);
    free(i->objects);
    *i = (struct inventory){NULL, 0};
}
