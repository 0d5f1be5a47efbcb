/* SPDX-License-Identifier: ISC */
#include "bundle.h"

#include "log.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, PEM_MAX = 1 << 20 };

enum err texts_add(struct texts *t, const char *text)
{
    char **grown = t->n < BUNDLE_TEXTS ? realloc(t->list, (t->n + 1) * sizeof *grown) : NULL;
    if (!grown)
        return log_fail(ERR_LIMIT, "more than %d lines", BUNDLE_TEXTS);
    t->list = grown;
    grown[t->n] = strdup(text);
    return grown[t->n] && ++t->n ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for a bundle");
}

void texts_release(struct texts *t)
{
    while (t->n > 0)
        free(t->list[--t->n]);
    free(t->list);
    t->list = NULL;
}

void bundle_release(struct bundle *b)
{
    free(b->name);
    texts_release(&b->ca);
    texts_release(&b->crl);
    texts_release(&b->crl_from);
    texts_release(&b->users);
    texts_release(&b->endpoints);
    *b = (struct bundle){0};
}

/* ---- writing ---- */

static json_t *array_of(const struct texts *t)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < t->n; i++)
        if (json_array_append_new(a, json_string(t->list[i])) != 0) {
            json_decref(a);
            return NULL;
        }
    return a;
}

enum err bundle_encode(const struct bundle *b, gnutls_datum_t *out)
{
    json_t *o = json_pack(
        "{s:i, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "consign-partner", VERSION, "name",
        b->name, "serial", (json_int_t)b->serial, "not-before", (json_int_t)b->from, "not-after",
        (json_int_t)b->until, "ca", array_of(&b->ca), "crl", array_of(&b->crl), "crl-from",
        array_of(&b->crl_from), "user", array_of(&b->users), "endpoint", array_of(&b->endpoints));
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (!text)
        return log_fail(ERR_TYPE, "the bundle can't be written as JSON: is all of it UTF-8?");
    *out = (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
    return ERR_OK;
}

/* ---- reading ---- */

/* One line of a file and of a terminal: no control characters, no blanks at its ends. */
static bool plain(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > BUNDLE_TEXT || s[0] == ' ' || s[n - 1] == ' ')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return false;
    return true;
}

static bool pem(const char *s)
{
    return strlen(s) <= PEM_MAX;
}

static enum err take_list(const char *what, const json_t *a, bool (*good)(const char *),
                          struct texts *out)
{
    enum err e = ERR_OK;
    if (!json_is_array(a) || json_array_size(a) > BUNDLE_LIST)
        return log_fail(ERR_TYPE, "the bundle's \"%s\" is not a list of at most %d", what,
                        BUNDLE_LIST);
    for (size_t i = 0; !e && i < json_array_size(a); i++) {
        const char *s = json_string_value(json_array_get(a, i));
        e = s && good(s) ? texts_add(out, s)
                         : log_fail(ERR_TYPE, "the bundle's \"%s\" holds what it must not", what);
    }
    return e;
}

static enum err take(json_t *o, struct bundle *out)
{
    int version = 0;
    json_int_t serial, from, until;
    const char *name;
    json_t *ca, *crl, *crl_from, *users, *endpoints;
    json_error_t why;
    if (json_unpack_ex(o, &why, JSON_STRICT, "{s:i, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
                       "consign-partner", &version, "name", &name, "serial", &serial, "not-before",
                       &from, "not-after", &until, "ca", &ca, "crl", &crl, "crl-from", &crl_from,
                       "user", &users, "endpoint", &endpoints) != 0)
        return log_fail(ERR_TYPE, "not a partner's bundle: %s", why.text);
    if (version != VERSION || serial <= 0 || from <= 0 || until <= from || !plain(name))
        return log_fail(ERR_TYPE,
                        "a bundle of another version, or with a number or name that can't be");
    out->serial = (uint64_t)serial;
    out->from = from;
    out->until = until;
    if (!(out->name = strdup(name)))
        return log_fail(ERR_INTERNAL, "out of memory for a bundle");
    enum err e = take_list("ca", ca, pem, &out->ca);
    if (!e)
        e = take_list("crl", crl, pem, &out->crl);
    if (!e)
        e = take_list("crl-from", crl_from, plain, &out->crl_from);
    if (!e)
        e = take_list("user", users, plain, &out->users);
    return e ? e : take_list("endpoint", endpoints, plain, &out->endpoints);
}

static enum err check_users(const struct texts *users)
{
    struct cert_dn *dns = calloc(users->n + 1, sizeof *dns);
    enum err e = dns ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory for a bundle");
    for (size_t i = 0; !e && i < users->n; i++) {
        e = cert_dn_parse(users->list[i], &dns[i]);
        for (size_t k = 0; !e && k < i; k++)
            if (cert_dn_eq(&dns[i], &dns[k]))
                e = log_fail(ERR_TYPE, "the bundle names %s twice", users->list[i]);
    }
    for (size_t i = 0; dns && i < users->n; i++)
        cert_dn_release(&dns[i]);
    free(dns);
    return e;
}

enum err bundle_decode(const gnutls_datum_t *json, struct bundle *out)
{
    json_error_t why;
    *out = (struct bundle){0};
    json_t *o = json_loadb((const char *)json->data, json->size, JSON_REJECT_DUPLICATES, &why);
    if (!o)
        return log_fail(ERR_TYPE, "the bundle's text is not JSON: %s", why.text);
    enum err e = take(o, out);
    json_decref(o);
    return e ? e : check_users(&out->users);
}
