/* SPDX-License-Identifier: ISC */
#include "generate.h"
#include "log.h"
#include "pubkey.h"

#include <gnutls/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS = 5, LOOK_AGAIN_MS = 100, TEMPLATE_MAX = 16 };

/* What is being made. */
struct work {
    const struct p11_token *t;
    const struct p11_session *s;
    const struct generate_order *o;
    bool temporary;
    CK_OBJECT_HANDLE private, public; /* public: CK_INVALID_HANDLE for a secret */
    uint8_t id[PUBKEY_ID];
};

struct template
{
    CK_ATTRIBUTE a[TEMPLATE_MAX];
    CK_ULONG n;
};

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void put(struct template *to, CK_ATTRIBUTE_TYPE type, const void *value, size_t n)
{
    /* The module only reads them; its type lacks the const. */
    to->a[to->n++] = (CK_ATTRIBUTE){type, (void *)(uintptr_t)value, n};
}

static void put_flag(struct template *to, CK_ATTRIBUTE_TYPE type, bool value)
{
    put(to, type, value ? &yes : &no, sizeof yes);
}

static void put_names(struct template *to, const struct work *w)
{
    put_flag(to, CKA_TOKEN, !w->temporary);
    put(to, CKA_LABEL, w->o->label, strlen(w->o->label));
    put(to, CKA_ID, w->id, sizeof w->id);
}

/* Uses that are not wanted, of which some tokens don't like to hear at a key's birth. */
static const CK_ATTRIBUTE_TYPE private_uses[] = {CKA_DECRYPT, CKA_UNWRAP, CKA_SIGN_RECOVER,
                                                 CKA_DERIVE};
static const CK_ATTRIBUTE_TYPE secret_uses[] = {CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT,
                                                CKA_WRAP,   CKA_UNWRAP,  CKA_DERIVE};
static const CK_ATTRIBUTE_TYPE public_uses[] = {CKA_ENCRYPT, CKA_WRAP, CKA_VERIFY_RECOVER};

#define PUT_USES(to, uses)                                                                         \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < sizeof uses / sizeof uses[0]; i_++)                               \
            put_flag(to, uses[i_], false);                                                         \
    } while (0)

static void secret_template(const struct work *w, bool uses, struct template *to)
{
    put_names(to, w);
    put_flag(to, CKA_PRIVATE, true);
    put_flag(to, CKA_SENSITIVE, true);
    put_flag(to, CKA_EXTRACTABLE, false);
    put_flag(to, CKA_SIGN, true);
    if (!uses)
        return;
    if (w->o->type->family == KEY_HMAC)
        PUT_USES(to, secret_uses);
    else
        PUT_USES(to, private_uses);
}

static CK_RV make_secret(struct work *w, bool uses)
{
    static const CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    static const CK_KEY_TYPE kind = CKK_GENERIC_SECRET;
    CK_MECHANISM how = {w->o->type->generate, NULL, 0};
    CK_ULONG bytes = w->o->type->bits / 8;
    struct template t = {.n = 0};
    put(&t, CKA_CLASS, &class, sizeof class);
    put(&t, CKA_KEY_TYPE, &kind, sizeof kind);
    put(&t, CKA_VALUE_LEN, &bytes, sizeof bytes);
    secret_template(w, uses, &t);
    return w->s->f->C_GenerateKey(w->s->handle, &how, t.a, t.n, &w->private);
}

static CK_RV make_pair(struct work *w, bool uses, const char *params, size_t n_params)
{
    static const uint8_t exponent[] = {1, 0, 1};
    CK_MECHANISM how = {w->o->type->generate, NULL, 0};
    CK_ULONG bits = w->o->type->bits;
    struct template public = {.n = 0}, private = {.n = 0};
    put_names(&public, w);
    put_flag(&public, CKA_PRIVATE, false);
    put_flag(&public, CKA_VERIFY, true);
    if (uses)
        PUT_USES(&public, public_uses);
    if (params) {
        put(&public, CKA_EC_PARAMS, params, n_params);
    } else {
        put(&public, CKA_MODULUS_BITS, &bits, sizeof bits);
        put(&public, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
    }
    secret_template(w, uses, &private);
    return w->s->f->C_GenerateKeyPair(w->s->handle, &how, public.a, public.n, private.a, private.n,
                                      &w->public, &w->private);
}

static bool is_about_template(CK_RV rv)
{
    return rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_ATTRIBUTE_READ_ONLY;
}

static CK_RV make_with(struct work *w, bool uses)
{
    /* Before PKCS#11 3.0 had the object identifier, tokens took a PrintableString. */
    static const char named[] = "\x13\x0c"
                                "edwards25519";
    const struct key_type *k = w->o->type;
    if (k->family == KEY_HMAC)
        return make_secret(w, uses);
    CK_RV rv = make_pair(w, uses, k->params, k->n_params);
    if (k->family == KEY_EDWARDS && rv != CKR_OK)
        rv = make_pair(w, uses, named, sizeof named - 1);
    return rv;
}

static enum err make(struct work *w)
{
    CK_RV rv = make_with(w, true);
    if (is_about_template(rv))
        rv = make_with(w, false);
    return rv == CKR_OK ? ERR_OK
                        : p11_fail(rv, "new %s key in token \"%s\"", w->o->type->name, w->t->label);
}

/* The name that certificates have for the key, too. A token that does not let it be changed keeps the
 * random one. */
static enum err name_by_public_key(struct work *w)
{
    uint8_t id[PUBKEY_ID];
    CK_ATTRIBUTE a = {CKA_ID, id, sizeof id};
    gnutls_pubkey_t pub = NULL;
    enum err e = pubkey_read(w->s, w->public, w->o->type, &pub);
    if (e)
        return e;
    int rc = pubkey_id(pub, id);
    gnutls_pubkey_deinit(pub);
    if (rc < 0)
        return log_fail(ERR_INTERNAL, "public key: %s", gnutls_strerror(rc));
    if (w->s->f->C_SetAttributeValue(w->s->handle, w->private, &a, 1) != CKR_OK) {
        log_warn("key \"%s\": the token lets nobody set its id, which stays a random one",
                 w->o->label);
        return ERR_OK;
    }
    memcpy(w->id, id, sizeof id);
    (void)w->s->f->C_SetAttributeValue(w->s->handle, w->public, &a, 1);
    return ERR_OK;
}

/* Takes away one by one what was not refused at the birth. */
static void narrow(const struct work *w, const CK_ATTRIBUTE_TYPE *uses, size_t n)
{
    bool wide = false;
    for (size_t i = 0; i < n; i++) {
        bool set = false;
        CK_ATTRIBUTE a = {uses[i], &no, sizeof no};
        if (!p11_flag(w->s, w->private, uses[i], &set) || !set)
            continue;
        w->s->f->C_SetAttributeValue(w->s->handle, w->private, &a, 1);
        wide |= p11_flag(w->s, w->private, uses[i], &set) && set;
    }
    if (wide)
        log_warn("key \"%s\": the token allows more uses than signing and can't be told otherwise",
                 w->o->label);
}

static void narrow_uses(const struct work *w)
{
    if (w->o->type->family == KEY_HMAC)
        narrow(w, secret_uses, sizeof secret_uses / sizeof secret_uses[0]);
    else
        narrow(w, private_uses, sizeof private_uses / sizeof private_uses[0]);
}

/* SoftHSM shows an object with holes for a moment when another process logs in. */
static bool read_flag(const struct work *w, CK_ATTRIBUTE_TYPE type, bool *out)
{
    for (int i = 0; i < LOOKS; i++) {
        if (p11_flag(w->s, w->private, type, out))
            return true;
        poll(NULL, 0, LOOK_AGAIN_MS);
    }
    return false;
}

/* What came out, whatever was asked for. */
static enum err check(const struct work *w)
{
    bool extractable = true, sensitive = false;
    const char *label = w->o->label;
    if (!read_flag(w, CKA_EXTRACTABLE, &extractable) || !read_flag(w, CKA_SENSITIVE, &sensitive))
        return log_fail(ERR_TOKEN,
                        "key \"%s\": the token does not say whether it can be read out; it is "
                        "removed again",
                        label);
    if (!extractable && sensitive)
        return ERR_OK;
    if (!w->o->allow_extractable)
        return log_fail(ERR_CONFIG,
                        "key \"%s\": the token made one that can be read out; it is removed again "
                        "(--allow-extractable keeps such a key)",
                        label);
    log_warn("key \"%s\" can be read out of its token: kept, as --allow-extractable says", label);
    return ERR_OK;
}

static enum err check_label(const struct work *w)
{
    CK_OBJECT_CLASS class = w->o->type->family == KEY_HMAC ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
    CK_OBJECT_HANDLE *found = NULL;
    struct template match = {.n = 0};
    size_t n = 0;
    put(&match, CKA_CLASS, &class, sizeof class);
    put(&match, CKA_LABEL, w->o->label, strlen(w->o->label));
    enum err e = p11_find(w->s, match.a, match.n, &found, &n);
    free(found);
    if (!e && n)
        e = log_fail(ERR_EXISTS,
                     "token \"%s\" holds a key labelled \"%s\" already; choose another --label",
                     w->t->label, w->o->label);
    return e;
}

static enum err check_possible(const struct p11 *m, const struct work *w)
{
    char can[KEY_TYPES_TEXT];
    if (key_type_possible(w->o->type, m, w->t))
        return ERR_OK;
    key_type_list(m, w->t, can);
    return log_fail(ERR_CONFIG, "token \"%s\" can't make %s keys; it can make %s", w->t->label,
                    w->o->type->name, can);
}

static void remove_again(const struct work *w)
{
    CK_RV rv = w->s->f->C_DestroyObject(w->s->handle, w->private);
    if (w->public != CK_INVALID_HANDLE)
        (void)w->s->f->C_DestroyObject(w->s->handle, w->public);
    if (rv != CKR_OK)
        log_error("key \"%s\" is still in token \"%s\": it could not be removed", w->o->label,
                  w->t->label);
}

/* Everything between a key's birth and its use. */
static enum err finish(struct work *w, char **url)
{
    bool secret = w->o->type->family == KEY_HMAC;
    enum err e = secret ? ERR_OK : name_by_public_key(w);
    if (e)
        return e;
    narrow_uses(w);
    e = check(w);
    struct p11_name name = {secret ? "secret-key" : "private", w->id, sizeof w->id, w->o->label};
    if (!e) {
        *url = p11_url(w->t, &name);
        e = *url ? ERR_OK : ERR_LIMIT;
    }
    return e;
}

enum err generate_key(const struct p11 *m, const struct p11_token *t, const struct p11_session *s,
                      const struct generate_order *o, char **url)
{
    struct work w = {.t = t, .s = s, .o = o};
    *url = NULL;
    enum err e = check_possible(m, &w);
    if (!e)
        e = check_label(&w);
    if (!e && gnutls_rnd(GNUTLS_RND_NONCE, w.id, sizeof w.id) < 0)
        e = log_fail(ERR_INTERNAL, "no random bytes");
    if (!e)
        e = make(&w);
    if (e)
        return e;
    e = finish(&w, url);
    if (e)
        remove_again(&w);
    return e;
}

enum err generate_temporary(const struct p11 *m, const struct p11_token *t,
                            const struct p11_session *s, const struct key_type *type,
                            CK_OBJECT_HANDLE *out)
{
    const struct generate_order order = {.type = type, .label = "temporary"};
    struct work w = {.t = t, .s = s, .o = &order, .temporary = true};
    enum err e = check_possible(m, &w);
    if (!e)
        e = make(&w);
    *out = w.private;
    return e;
}
