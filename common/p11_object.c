/* SPDX-License-Identifier: ISC */
/* What is in a token: search, attributes, names. */
#include "p11.h"

#include "buf.h"
#include "log.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_MAX = 4096 };

enum err p11_find(const struct p11_session *s, const CK_ATTRIBUTE *match, CK_ULONG n,
                  CK_OBJECT_HANDLE **out, size_t *count)
{
    CK_ULONG got = 0;
    *count = 0;
    *out = calloc(P11_OBJECTS_MAX, sizeof **out);
    if (!*out)
        return log_fail(ERR_INTERNAL, "out of memory");
    /* The module only reads them; its type lacks the const. */
    CK_RV rv = s->f->C_FindObjectsInit(s->handle, (CK_ATTRIBUTE *)(uintptr_t)match, n);
    if (rv == CKR_OK) {
        do {
            rv = s->f->C_FindObjects(s->handle, *out + *count, P11_OBJECTS_MAX - *count, &got);
            *count += rv == CKR_OK ? got : 0;
        } while (rv == CKR_OK && got > 0 && *count < P11_OBJECTS_MAX);
        s->f->C_FindObjectsFinal(s->handle);
    }
    if (rv == CKR_OK)
        return ERR_OK;
    free(*out);
    *out = NULL;
    *count = 0;
    return p11_fail(rv, "search in the token");
}

bool p11_bytes(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
               uint8_t *out, size_t *n)
{
    CK_ATTRIBUTE a = {type, out, *n};
    if (s->f->C_GetAttributeValue(s->handle, o, &a, 1) != CKR_OK || a.ulValueLen > *n)
        return false;
    *n = a.ulValueLen;
    return true;
}

bool p11_flag(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, bool *out)
{
    CK_BBOOL value = CK_FALSE;
    size_t n = sizeof value;
    if (!p11_bytes(s, o, type, &value, &n) || n != sizeof value)
        return false;
    *out = value != CK_FALSE;
    return true;
}

bool p11_number(const struct p11_session *s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type,
                CK_ULONG *out)
{
    CK_ULONG value = 0;
    size_t n = sizeof value;
    if (!p11_bytes(s, o, type, (uint8_t *)&value, &n) || n != sizeof value)
        return false;
    *out = value;
    return true;
}

/* RFC 7512: everything but unreserved characters as %XX. */
static void put_escaped(struct buf *b, const void *bytes, size_t n, bool all)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    const unsigned char *s = bytes;
    char hex[4];
    for (size_t i = 0; i < n; i++) {
        if (!all && s[i] && strchr(plain, s[i])) {
            buf_put(b, &s[i], 1);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", s[i]);
            buf_put(b, hex, 3);
        }
    }
}

static void put_text(struct buf *b, const char *what, const char *text)
{
    text_put(b, what);
    put_escaped(b, text, strlen(text), false);
}

char *p11_url(const struct p11_token *t, const struct p11_name *object)
{
    struct buf b;
    buf_init(&b, URL_MAX);
    put_text(&b, "pkcs11:token=", t->label);
    if (!t->unique)
        put_text(&b, ";serial=", t->serial);
    if (object && object->n_id) {
        text_put(&b, ";id=");
        put_escaped(&b, object->id, object->n_id, true);
    }
    if (object && object->label)
        put_text(&b, ";object=", object->label);
    if (object && object->type)
        put_text(&b, ";type=", object->type);
    buf_put(&b, "", 1);
    if (b.bad && log_fail(ERR_LIMIT, "token \"%s\": a name is too long", t->label)) {
        buf_release(&b);
        return NULL;
    }
    return (char *)b.data;
}
