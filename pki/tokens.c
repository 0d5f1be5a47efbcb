/* SPDX-License-Identifier: ISC */
/* consign-pki token: makes a token, lists tokens and what is in one. */
#include "key.h"
#include "log.h"
#include "say.h"
#include "slot.h"

#include <gnutls/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err init(const struct options *o, const char *label)
{
    struct token_pin *so_pin = NULL, *pin = NULL;
    enum err e = token_pin_new(o->so_pin ? o->so_pin : "prompt", &so_pin);
    if (!e)
        e = token_pin_new(o->pin ? o->pin : "prompt", &pin);
    if (!e) {
        token_pin_label(so_pin, "Security officer's PIN of the new token");
        token_pin_label(pin, "User's PIN of the new token");
        e = slot_init(o->module ? o->module : PKI_MODULE, label, so_pin, pin);
    }
    token_pin_free(so_pin);
    token_pin_free(pin);
    if (e)
        return e;
    char *url = key_token_url(label);
    printf("token        %s\n", url ? url : label);
    free(url);
    return ERR_OK;
}

static void print_object(gnutls_pkcs11_obj_t obj)
{
    char *url = NULL;
    gnutls_pkcs11_obj_type_t type = gnutls_pkcs11_obj_get_type(obj);
    const char *what = type == GNUTLS_PKCS11_OBJ_PRIVKEY    ? "private key"
                       : type == GNUTLS_PKCS11_OBJ_PUBKEY   ? "public key"
                       : type == GNUTLS_PKCS11_OBJ_X509_CRT ? "certificate"
                                                            : NULL;
    if (what && gnutls_pkcs11_obj_export_url(obj, GNUTLS_PKCS11_URL_GENERIC, &url) >= 0)
        say(what, url);
    gnutls_free(url);
}

static enum err list_objects(const char *token, bool login)
{
    gnutls_pkcs11_obj_t *list = NULL;
    unsigned n = 0;
    char *url = key_token_url(token);
    if (!url)
        return ERR_LIMIT;
    int rc = gnutls_pkcs11_obj_list_import_url4(&list, &n, url,
                                                login ? GNUTLS_PKCS11_OBJ_FLAG_LOGIN : 0);
    for (unsigned i = 0; rc >= 0 && i < n; i++) {
        print_object(list[i]);
        gnutls_pkcs11_obj_deinit(list[i]);
    }
    gnutls_free(list);
    enum err e = rc < 0 ? token_fail(rc, "token \"%s\"", token) : ERR_OK;
    free(url);
    return e;
}

static enum err list_tokens(void)
{
    for (unsigned i = 0;; i++) {
        char *url = NULL;
        int rc = gnutls_pkcs11_token_get_url(i, GNUTLS_PKCS11_URL_GENERIC, &url);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return ERR_OK;
        if (rc < 0)
            return token_fail(rc, "list of tokens");
        say("token", url);
        gnutls_free(url);
    }
}

/* Only the token that is named gets the PIN: at another it would be a wrong one. */
static enum err list(const struct options *o)
{
    struct token_pin *pin = NULL;
    if (o->pin && !o->token)
        return log_fail(ERR_USAGE, "--pin: name the token it is for with --token");
    enum err e = o->pin ? token_pin_new(o->pin, &pin) : ERR_OK;
    if (!e)
        e = token_start(o->module ? o->module : PKI_MODULE, pin);
    if (!e)
        e = o->token ? list_objects(o->token, pin != NULL) : list_tokens();
    token_stop();
    token_pin_free(pin);
    return e;
}

enum err tokens_run(const struct options *o, const char *const *args, int n)
{
    if (strcmp(args[0], "list") == 0 && n == 1)
        return list(o);
    if (strcmp(args[0], "init") == 0 && n == 2)
        return init(o, args[1]);
    return log_fail(ERR_USAGE, "token: wants init LABEL, or list");
}
