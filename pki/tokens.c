/* SPDX-License-Identifier: ISC */
/* consign-pki token: makes a token, lists tokens and what is in them, measures one. */
#include "bench.h"
#include "inventory.h"
#include "log.h"
#include "options.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err print_url(const char *module, const char *label)
{
    struct p11 m = {NULL};
    struct p11_token t;
    char *url = NULL;
    enum err e = p11_open(module, &m);
    if (!e)
        e = p11_find_token(&m, label, &t);
    if (!e) {
        url = p11_url(&t, NULL);
        e = url ? ERR_OK : ERR_LIMIT;
    }
    if (!e)
        printf("token        %s\n", url);
    free(url);
    p11_close(&m);
    return e;
}

static enum err init(const struct options *o, const char *label)
{
    struct token_pin *so_pin = NULL, *pin = NULL;
    enum err e = token_pin_new(o->so_pin ? o->so_pin : "prompt", &so_pin);
    if (!e)
        e = token_pin_new(o->pin ? o->pin : "prompt", &pin);
    if (!e) {
        token_pin_label(so_pin, "Security officer's PIN of the new token");
        token_pin_label(pin, "User's PIN of the new token");
        e = slot_init(options_module(o), label, so_pin, pin);
    }
    token_pin_free(so_pin);
    token_pin_free(pin);
    return e ? e : print_url(options_module(o), label);
}

static enum inventory_form form_of(const struct options *o, enum inventory_form otherwise)
{
    return o->json ? INVENTORY_JSON : otherwise;
}

/* One token with what a session sees in it; a blank one has no sessions. */
static enum err print_token(const struct p11 *m, const struct p11_token *t, struct token_pin *pin,
                            enum inventory_form form)
{
    struct inventory i = {NULL, 0};
    struct p11_session s = {0};
    enum err e = ERR_OK;
    if (t->info.flags & CKF_TOKEN_INITIALIZED) {
        e = p11_session_open(m, t, false, &s);
        if (!e && pin)
            e = p11_login(&s, t, pin);
        if (!e)
            e = inventory_read(t, &s, &i);
        p11_session_close(&s);
    }
    if (!e)
        e = inventory_print(m, t, &i, form);
    inventory_release(&i);
    return e;
}

static enum err print_all(const struct p11 *m, enum inventory_form form)
{
    struct p11_token *all;
    unsigned n;
    enum err e = p11_tokens(m, &all, &n);
    for (unsigned i = 0; !e && i < n; i++) {
        if (i && form != INVENTORY_JSON)
            printf("\n");
        e = print_token(m, &all[i], NULL, form);
    }
    free(all);
    return e;
}

static enum err print_one(const struct p11 *m, const char *token, struct token_pin *pin,
                          enum inventory_form form)
{
    struct p11_token t;
    enum err e = p11_find_token(m, token, &t);
    return e ? e : print_token(m, &t, pin, form);
}

/* token NULL: all of them. Only the token that is named gets the PIN: at another it would be a wrong
 * one. */
static enum err print(const struct options *o, const char *token, enum inventory_form form)
{
    struct token_pin *pin = NULL;
    struct p11 m = {NULL};
    if (o->pin && !token)
        return log_fail(ERR_USAGE, "--pin: name the token it is for with --token");
    enum err e = o->pin ? token_pin_new(o->pin, &pin) : ERR_OK;
    if (!e)
        e = p11_open(options_module(o), &m);
    if (!e)
        e = token ? print_one(&m, token, pin, form) : print_all(&m, form);
    p11_close(&m);
    token_pin_free(pin);
    return e;
}

enum err tokens_run(const struct options *o, const char *const *args, int n)
{
    const char *token = n == 2 ? args[1] : NULL;
    if (strcmp(args[0], "list") == 0 && !token)
        return print(o, o->token, form_of(o, INVENTORY_SHORT));
    if (strcmp(args[0], "init") == 0 && token)
        return init(o, token);
    if (strcmp(args[0], "show") == 0 && token)
        return print(o, token, form_of(o, INVENTORY_LONG));
    if (strcmp(args[0], "bench") == 0 && token)
        return bench_token(o, token);
    return log_fail(ERR_USAGE, "token: wants init TOKEN, list, show TOKEN or bench TOKEN");
}
