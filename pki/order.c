/* SPDX-License-Identifier: ISC */
#include "order.h"
#include "file.h"
#include "leaf.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void order_release(struct order *w)
{
    cert_dn_release(&w->subject);
    key_release(&w->key);
    free(w->out);
    free(w->key_file);
}

enum err order_sans(struct order *w)
{
    enum err e = ERR_OK;
    for (char **s = w->o->san; !e && s && *s; s++)
        e = names_add_text(&w->names, *s);
    return e;
}

enum err order_server(struct order *w, const char *const *hosts, int n)
{
    char text[80];
    enum err e = ERR_OK;
    w->role = LEDGER_SERVER;
    for (int i = 0; !e && i < n; i++)
        e = names_add_host(&w->names, hosts[i]);
    if (e)
        return e;
    snprintf(text, sizeof text, "CN=%.64s", hosts[0]);
    if (!w->o->subject && strlen(hosts[0]) > 64) /* a common name is no longer: the names must do */
        return ERR_OK;
    return cert_dn_parse(w->o->subject ? w->o->subject : text, &w->subject);
}

enum err order_client(struct order *w, const char *const *args, int n)
{
    if (n != 1)
        return log_fail(ERR_USAGE, "a client has one subject (quote it: \"CN=alice,O=Acme Corp\")");
    if (w->o->subject)
        return log_fail(ERR_USAGE, "--subject is for servers: a client's subject is the argument");
    return cert_dn_parse(args[0], &w->subject);
}

/* The last attribute written first in RFC 4514 is the most particular one. */
void order_label(struct order *w, const char *host)
{
    char value[NAMES_BYTES + 1] = "key";
    if (host) {
        snprintf(value, sizeof value, "%s", host);
    } else if (w->subject.n) {
        const struct cert_ava *a = w->subject.rdns[w->subject.n - 1].avas;
        size_t n = a->n > NAMES_BYTES ? NAMES_BYTES : a->n;
        memcpy(value, a->value, n);
        value[n] = '\0';
    }
    leaf_plain_name(w->o->label ? w->o->label : value, w->label);
}

enum err order_files(struct order *w, const char *suffix)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", w->label, suffix);
    w->out = file_absolute(w->o->out ? w->o->out : name);
    snprintf(name, sizeof name, "%s.key", w->label);
    w->key_file = file_absolute(name);
    if (!w->out || !w->key_file)
        return ERR_NOENT;
    return file_free(w->out);
}

enum err order_check_key(struct order *w)
{
    const struct options *o = w->o;
    if (o->key && (o->file_key || o->token || o->type || o->label))
        return log_fail(ERR_USAGE, "--key names a key that is there: none is made");
    if (o->file_key && o->token)
        return log_fail(ERR_USAGE, "--file-key and --token exclude each other");
    return key_type_find(o->type, true, &w->type);
}

enum err order_key(struct order *w, const char *module, struct token_pin *pin,
                   const char *default_token)
{
    struct key_wish wish = {.type = w->type,
                            .module = module,
                            .pin = pin,
                            .label = w->o->label ? w->o->label : w->label,
                            .allow_extractable = w->o->allow_extractable};
    bool in_token = w->o->key ? token_is_url(w->o->key) : !w->o->file_key;
    enum err e = in_token ? token_start(module, pin) : ERR_OK;
    if (e)
        return e;
    if (w->o->key)
        return key_load(w->o->key, w->o->allow_extractable, &w->key);
    if (w->o->file_key)
        wish.file = w->key_file;
    else
        wish.token = w->o->token ? w->o->token : default_token;
    if (in_token && !wish.token)
        return log_fail(ERR_USAGE, "name the key's token with --token, or use --file-key");
    return key_make(&wish, &w->key);
}

/* The token part of a key's URL: up to the first attribute that names an object. */
static char *token_of(const char *key_url)
{
    static const char *const ends[] = {";id=", ";object=", ";type="};
    size_t n = strlen(key_url);
    if (!token_is_url(key_url))
        return NULL;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const char *at = strstr(key_url, ends[i]);
        if (at && (size_t)(at - key_url) < n)
            n = (size_t)(at - key_url);
    }
    return strndup(key_url, n);
}

static const char *module_for(const struct order *w, const struct ca *ca)
{
    return w->o->module ? w->o->module : ca->module ? ca->module : PKI_MODULE;
}

const char *order_module(const struct order *w, const struct ca *ca)
{
    if (!token_is_url(w->key.ref))
        return NULL;
    return module_for(w, ca);
}

const char *order_pin(const struct order *w, const struct ca *ca)
{
    if (!token_is_url(w->key.ref))
        return NULL;
    return w->o->key_pin ? w->o->key_pin : w->o->pin ? w->o->pin : ca->pin_source;
}
/* The new key's token may want another PIN than the CA's: so first the key, alone, then the CA. */
enum err order_key_for(struct order *w, struct ca *ca)
{
    struct token_pin *own = NULL;
    char *token = token_of(ca->key_ref);
    bool needs_pin = w->o->key ? token_is_url(w->o->key) : !w->o->file_key;
    enum err e = ERR_OK;
    if (needs_pin && w->o->key_pin)
        e = token_pin_new(w->o->key_pin, &own);
    else if (needs_pin)
        e = ca_pin(ca, w->o->pin);
    if (own)
        token_pin_label(own, "PIN of the key's token");
    if (!e)
        e = order_key(w, module_for(w, ca), own ? own : ca->pin, token);
    key_drop_private(&w->key);
    token_stop();
    token_pin_free(own);
    free(token);
    return e;
}
