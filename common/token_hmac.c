/* SPDX-License-Identifier: ISC */
/* What a token does besides signing: HMAC with a key that stays there, random bytes. GnuTLS finds the
 * key, opens the session and logs in; the rest is PKCS #11 itself. */
#include "token.h"

#include "log.h"
#include <gnutls/pkcs11.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

struct secret {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

static enum err find(const char *url, struct secret *out)
{
    void *module = NULL, *session = NULL, *key = NULL;
    gnutls_pkcs11_obj_t obj = NULL;
    enum err e = ERR_OK;
    int rc = gnutls_pkcs11_obj_init(&obj);
    if (rc >= 0)
        rc = gnutls_pkcs11_obj_import_url(obj, url, GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    if (rc < 0)
        e = token_fail(rc, "key \"%s\"", url);
    else if (gnutls_pkcs11_obj_get_type(obj) != GNUTLS_PKCS11_OBJ_SECRET_KEY)
        e = log_fail(ERR_CONFIG, "key \"%s\" is no secret key (type=secret-key)", url);
    else if ((rc = gnutls_pkcs11_obj_get_ptr(obj, &module, &session, &key, NULL,
                                             GNUTLS_PKCS11_OBJ_FLAG_LOGIN)) < 0)
        e = token_fail(rc, "key \"%s\"", url);
    if (obj)
        gnutls_pkcs11_obj_deinit(obj);
    if (e == ERR_OK && !module)
        e = log_fail(ERR_TOKEN, "key \"%s\": its token is gone", url);
    *out = (struct secret){module, (CK_SESSION_HANDLE)session, (CK_OBJECT_HANDLE)key};
    return e;
}

static enum err check(const struct secret *s, const char *url)
{
    CK_BBOOL extractable = CK_TRUE, sensitive = CK_FALSE;
    CK_ATTRIBUTE a[] = {{CKA_EXTRACTABLE, &extractable, sizeof extractable},
                        {CKA_SENSITIVE, &sensitive, sizeof sensitive}};
    if (s->f->C_GetAttributeValue(s->session, s->key, a, 2) != CKR_OK)
        return log_fail(ERR_TOKEN, "key \"%s\": the token does not say whether it can be read out",
                        url);
    return !extractable && sensitive
               ? ERR_OK
               : log_fail(ERR_CONFIG,
                          "key \"%s\" can be read out of its token: make it there as sensitive and "
                          "not extractable, or allow it by configuration",
                          url);
}

static enum err compute(const struct secret *s, const char *url, const void *data, size_t n,
                        uint8_t *out)
{
    CK_MECHANISM how = {CKM_SHA512_HMAC, NULL, 0};
    CK_ULONG got = TOKEN_HMAC;
    CK_RV rv = s->f->C_SignInit(s->session, &how, s->key);
    /* The token only reads what it signs; its type lacks the const. */
    if (rv == CKR_OK)
        rv = s->f->C_Sign(s->session, (CK_BYTE *)(uintptr_t)data, n, out, &got);
    if (rv == CKR_MECHANISM_INVALID || rv == CKR_KEY_TYPE_INCONSISTENT ||
        rv == CKR_KEY_SIZE_RANGE || rv == CKR_KEY_FUNCTION_NOT_PERMITTED)
        return log_fail(ERR_CONFIG, "key \"%s\": its token can't do HMAC-SHA512 with it: %s", url,
                        p11_kit_strerror(rv));
    if (rv == CKR_OK && got == TOKEN_HMAC)
        return ERR_OK;
    return log_fail(ERR_TOKEN, "key \"%s\": HMAC-SHA512: %s", url,
                    rv == CKR_OK ? "of a wrong length" : p11_kit_strerror(rv));
}

enum err token_hmac(const char *url, bool allow_extractable, const void *data, size_t n,
                    uint8_t out[static TOKEN_HMAC])
{
    struct secret s;
    enum err e = find(url, &s);
    if (e != ERR_OK)
        return e;
    if (!allow_extractable)
        e = check(&s, url);
    if (e == ERR_OK)
        e = compute(&s, url, data, n, out);
    s.f->C_CloseSession(s.session);
    return e;
}

enum err token_random(const char *url, void *out, size_t n)
{
    int rc = gnutls_pkcs11_token_get_random(url, out, n);
    return rc < 0 ? token_fail(rc, "random bytes of \"%s\"", url) : ERR_OK;
}
