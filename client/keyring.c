/* SPDX-License-Identifier: ISC */
#include "keyring.h"

#include "log.h"
#include <sys/stat.h>

struct look look_at(const char *a, const char *b)
{
    const char *files[] = {a, b};
    struct look look = {0};
    struct stat st;
    for (int i = 0; i < 2; i++)
        if (files[i] && !token_is_url(files[i]) && stat(files[i], &st) == 0)
            part_stamp_of(&st, &look.of[i]);
    return look;
}

bool look_same(const struct look *a, const struct look *b)
{
    return part_stamp_eq(&a->of[0], &b->of[0]) && part_stamp_eq(&a->of[1], &b->of[1]);
}

void look_warn(struct look *warned, const struct look *now, const char *what)
{
    if (look_same(warned, now))
        return;
    *warned = *now;
    log_warn("%s changed, but can't be used: %s; the last good goes on", what, log_reason());
}

static enum err start_token(struct keyring *k)
{
    const struct profile *p = k->profile;
    enum err e = p->pin ? token_pin_new(p->pin, &k->pin) : ERR_OK;
    if (e == ERR_OK && (token_is_url(p->key) || token_is_url(p->certificate)) &&
        (e = token_environment(p->module_env)) == ERR_OK)
        e = token_start(p->module, k->pin);
    return e;
}

static void drop(gnutls_pcert_st *chain, unsigned n, gnutls_privkey_t key)
{
    if (key)
        gnutls_privkey_deinit(key);
    token_free_chain(chain, n);
}

static enum err load(struct keyring *k)
{
    const struct profile *p = k->profile;
    gnutls_pcert_st *chain = NULL;
    gnutls_privkey_t key = NULL;
    unsigned n = 0;
    enum err e = token_load_chain(p->certificate, &chain, &n);
    if (e == ERR_OK && (e = cert_chain_fips(chain, n, p->tls.fips, p->certificate)) == ERR_OK &&
        (e = token_load_key(p->key, p->allow_extractable, &key)) == ERR_OK)
        e = token_match(key, &chain[0], p->certificate);
    token_pin_forget(k->pin);
    if (e != ERR_OK) {
        drop(chain, n, key);
        return e;
    }
    drop(k->chain, k->n, k->key);
    k->chain = chain;
    k->n = n;
    k->key = key;
    return ERR_OK;
}

enum err keyring_open(struct keyring *k, const struct profile *p)
{
    *k = (struct keyring){.profile = p, .look = look_at(p->certificate, p->key)};
    enum err e = start_token(k);
    if (e == ERR_OK)
        e = load(k);
    token_hold();
    return e;
}

bool keyring_renew(struct keyring *k)
{
    struct look now = look_at(k->profile->certificate, k->profile->key);
    if (look_same(&now, &k->look))
        return false;
    log_quiet(true);
    enum err e = load(k);
    log_quiet(false);
    if (e == ERR_OK)
        k->look = now;
    else
        look_warn(&k->warned, &now, "certificate or key");
    return e == ERR_OK;
}

void keyring_close(struct keyring *k)
{
    drop(k->chain, k->n, k->key);
    token_stop();
    token_pin_free(k->pin);
    *k = (struct keyring){0};
}
