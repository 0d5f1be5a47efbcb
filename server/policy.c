/* SPDX-License-Identifier: ISC */
#include "policy.h"

#include "log.h"
#include "notice.h"
#include "pace.h"
#include "tickets.h"
#include "token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum err load_anchors(struct policy *p)
{
    enum err e = cert_store_new(&p->anchors);
    if (e == ERR_OK)
        cert_store_fips(p->anchors, p->config->tls.fips);
    for (size_t i = 0; e == ERR_OK && i < p->config->n_anchors; i++) {
        const struct config_anchor *a = &p->config->anchors[i];
        if ((e = cert_store_add(p->anchors, a->name, a->ca, a->crl, a->crl_policy)) == ERR_OK)
            cert_store_stale(p->anchors, a->crl_stale);
    }
    return e;
}

enum err policy_partner(const struct config_partner *x, struct cert_store *anchors, struct map *map)
{
    enum err e = cert_store_add(anchors, x->name, x->ca, x->crl, CERT_CRL_REQUIRE);
    if (e != ERR_OK)
        return e;
    cert_store_until(anchors, (time_t)x->until);
    return map_add(map, x->rules, anchors, geteuid() == 0, x->name);
}

static enum err load_partners(struct policy *p)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < p->config->n_partners; i++)
        e = policy_partner(&p->config->partners_list[i], p->anchors, p->map);
    return e;
}

/* A rate below what the server demands of a connection would let no transfer live. */
static enum err check_rates(const struct policy *p)
{
    size_t n = map_count(p->map);
    for (size_t i = 0; i < n; i++) {
        const struct map_user *u = map_user(p->map, i);
        if (u->rate && u->rate < p->config->min_rate)
            return log_fail(
                ERR_CONFIG, "%s:%u: [%s] rate: below min-rate (%llu bytes a second) of [limits]",
                map_source(p->map, i), u->line, u->name, (unsigned long long)p->config->min_rate);
    }
    return ERR_OK;
}

static bool same_public(const gnutls_pcert_st *a, const gnutls_pcert_st *b)
{
    gnutls_datum_t x = {NULL, 0}, y = {NULL, 0};
    bool same = gnutls_pubkey_export2(a->pubkey, GNUTLS_X509_FMT_DER, &x) < 0 ||
                gnutls_pubkey_export2(b->pubkey, GNUTLS_X509_FMT_DER, &y) < 0 ||
                (x.size == y.size && memcmp(x.data, y.data, x.size) == 0);
    gnutls_free(x.data);
    gnutls_free(y.data);
    return same;
}

/* The certificate of the key of statements: of another key than the server's, whose signatures are of handshakes alone. */
static enum err load_sign(struct policy *p)
{
    const struct config *c = p->config;
    if (!c->sign_certificate)
        return ERR_OK;
    enum err e = token_load_chain(c->sign_certificate, &p->sign_chain, &p->n_sign_chain);
    if (e == ERR_OK && same_public(&p->sign_chain[0], &p->chain[0]))
        e = log_fail(ERR_CONFIG,
                     "%s: sign-cert %s: its key is that of the server's certificate, which signs "
                     "nothing but handshakes; make another one",
                     c->file, c->sign_certificate);
    return e != ERR_OK
               ? e
               : cert_chain_fips(p->sign_chain, p->n_sign_chain, c->tls.fips, c->sign_certificate);
}

enum err policy_load(const char *config_file, uint64_t generation, struct policy **out)
{
    struct policy *p = calloc(1, sizeof *p);
    enum err e;
    *out = NULL;
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    p->generation = generation;
    if ((e = config_load(config_file, &p->config)) == ERR_OK) {
        p->files = notice_files(p->config);
        e = load_anchors(p);
    }
    if (e == ERR_OK &&
        (e = map_load(p->config->map, p->anchors, geteuid() == 0, &p->map)) == ERR_OK &&
        (e = load_partners(p)) == ERR_OK && (e = check_rates(p)) == ERR_OK &&
        (e = token_load_chain(p->config->certificate, &p->chain, &p->n_chain)) == ERR_OK &&
        (e = cert_chain_fips(p->chain, p->n_chain, p->config->tls.fips, p->config->certificate)) ==
            ERR_OK &&
        (e = load_sign(p)) == ERR_OK) {
        *out = p;
        return ERR_OK;
    }
    policy_free(p);
    return e;
}

void policy_free(struct policy *p)
{
    if (!p)
        return;
    token_free_chain(p->chain, p->n_chain);
    token_free_chain(p->coming, p->n_coming);
    for (size_t i = 0; i < p->n_paces; i++)
        close(p->paces[i].fd);
    token_free_chain(p->sign_chain, p->n_sign_chain);
    free(p->paces);
    map_free(p->map);
    cert_store_free(p->anchors);
    config_free(p->config);
    free(p);
}

/* ---- certificate and key ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static bool same_token(const struct config_token *a, const struct config_token *b)
{
    return same_text(a->name, b->name) && same_text(a->key, b->key) &&
           same_text(a->module, b->module) && same_text(a->module_env, b->module_env) &&
           same_text(a->pin, b->pin) && a->sessions == b->sessions &&
           a->keep_alive_s == b->keep_alive_s;
}

/* Whether a keeper would do with b just what it does with a. */
static bool same_key(const struct config *a, const struct config *b)
{
    bool same = a->n_tokens == b->n_tokens && a->allow_extractable == b->allow_extractable &&
                a->tls.fips == b->tls.fips && a->sign_wait_s == b->sign_wait_s &&
                a->sign_timeout_s == b->sign_timeout_s && a->sign_queue == b->sign_queue &&
                a->sessions == b->sessions && tickets_same(a, b);
    for (size_t i = 0; same && i < a->n_tokens; i++)
        same = same_token(&a->tokens[i], &b->tokens[i]);
    return same;
}

static bool same_leaf(const gnutls_pcert_st *a, const gnutls_pcert_st *b)
{
    return a->cert.size == b->cert.size && memcmp(a->cert.data, b->cert.data, a->cert.size) == 0;
}

static bool same_sign(const struct policy *a, const struct policy *b)
{
    if (!a->sign_chain || !b->sign_chain)
        return !a->sign_chain && !b->sign_chain;
    return same_leaf(a->sign_chain, b->sign_chain) &&
           same_token(&a->config->sign, &b->config->sign);
}

bool policy_pair(struct policy *fresh, struct policy *old)
{
    if (same_leaf(fresh->chain, old->chain) && same_key(fresh->config, old->config) &&
        same_sign(fresh, old))
        return false;
    fresh->coming = fresh->chain;
    fresh->n_coming = fresh->n_chain;
    fresh->chain = old->chain;
    fresh->n_chain = old->n_chain;
    old->chain = NULL;
    old->n_chain = 0;
    return true;
}

void policy_take_chain(struct policy *p)
{
    if (!p->coming)
        return;
    token_free_chain(p->chain, p->n_chain);
    p->chain = p->coming;
    p->n_chain = p->n_coming;
    p->coming = NULL;
    p->n_coming = 0;
}

/* ---- rates ---- */

static struct policy_pace *pace_of(const struct policy *p, const char *user)
{
    for (size_t i = 0; i < p->n_paces; i++)
        if (strcmp(p->paces[i].user, user) == 0)
            return &p->paces[i];
    return NULL;
}

/* Room for one more at the end. */
static struct policy_pace *add_pace(struct policy *p)
{
    if (p->n_paces == POLICY_PACES) {
        close(p->paces[0].fd);
        memmove(p->paces, p->paces + 1, --p->n_paces * sizeof *p->paces);
    }
    struct policy_pace *grown = realloc(p->paces, (p->n_paces + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    p->paces = grown;
    return &grown[p->n_paces];
}

enum err policy_pace(struct policy *p, const struct map_user *user, int *fd)
{
    struct policy_pace *pace = user->rate ? pace_of(p, user->name) : NULL;
    *fd = pace ? pace->fd : -1;
    if (pace || !user->rate)
        return ERR_OK;
    if (!(pace = add_pace(p)))
        return log_fail(ERR_LIMIT, "out of memory for a session");
    enum err e = pace_share(fd);
    if (e != ERR_OK)
        return e;
    snprintf(pace->user, sizeof pace->user, "%s", user->name);
    pace->fd = *fd;
    p->n_paces++;
    return ERR_OK;
}
