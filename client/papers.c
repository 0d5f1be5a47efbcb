/* SPDX-License-Identifier: ISC */
#include "papers.h"

#include "log.h"
#include "part.h"
#include "token.h"
#include <stdlib.h>
#include <sys/stat.h>

/* How two files looked; one that is not there, or no file, as all zeros. */
struct look {
    struct part_stamp of[2];
};

struct shown {
    struct tls_identity *identity;
    struct shown *next; /* older ones, which connections may still use */
};

struct papers {
    const struct profile *profile;
    struct token_pin *pin;
    struct shown *shown;
    struct look shown_look, shown_warned;
    struct cert_store *anchors;
    struct look anchors_look, anchors_warned;
};

/* ---- files ---- */

static struct look look_at(const char *a, const char *b)
{
    const char *files[] = {a, b};
    struct look look = {0};
    struct stat st;
    for (int i = 0; i < 2; i++)
        if (files[i] && !token_is_url(files[i]) && stat(files[i], &st) == 0)
            part_stamp_of(&st, &look.of[i]);
    return look;
}

static bool same(const struct look *a, const struct look *b)
{
    return part_stamp_eq(&a->of[0], &b->of[0]) && part_stamp_eq(&a->of[1], &b->of[1]);
}

/* Once for each state of the files. */
static void warn_once(struct look *warned, const struct look *now, const char *what)
{
    if (same(warned, now))
        return;
    *warned = *now;
    log_warn("%s changed, but can't be used: %s; the last good goes on", what, log_reason());
}

/* ---- certificate and key ---- */

static enum err start_token(struct papers *papers)
{
    const struct profile *p = papers->profile;
    enum err e = p->pin ? token_pin_new(p->pin, &papers->pin) : ERR_OK;
    if (e == ERR_OK && (token_is_url(p->key) || token_is_url(p->certificate)) &&
        (e = token_environment(p->module_env)) == ERR_OK)
        e = token_start(p->module, papers->pin);
    return e;
}

static enum err load_identity(struct papers *papers)
{
    const struct profile *p = papers->profile;
    struct shown *s = calloc(1, sizeof *s);
    gnutls_pcert_st *chain = NULL;
    gnutls_privkey_t key = NULL;
    unsigned n = 0;
    enum err e = s ? ERR_OK : log_fail(ERR_INTERNAL, "out of memory");
    if (e == ERR_OK && (e = token_load_chain(p->certificate, &chain, &n)) == ERR_OK &&
        (e = cert_chain_fips(chain, n, p->tls.fips, p->certificate)) == ERR_OK &&
        (e = token_load_key(p->key, p->allow_extractable, &key)) == ERR_OK &&
        (e = token_match(key, &chain[0], p->certificate)) == ERR_OK) {
        e = tls_identity_new(false, &p->tls, chain, n, key, &s->identity);
        key = NULL;
        if (e == ERR_OK && p->tickets)
            e = tls_identity_keep_tickets(s->identity);
    }
    if (key)
        gnutls_privkey_deinit(key);
    token_free_chain(chain, n);
    token_pin_forget(papers->pin);
    if (e != ERR_OK) {
        if (s)
            tls_identity_free(s->identity);
        free(s);
        return e;
    }
    s->next = papers->shown;
    papers->shown = s;
    return ERR_OK;
}

struct tls_identity *papers_identity(struct papers *p)
{
    struct look now = look_at(p->profile->certificate, p->profile->key);
    if (same(&now, &p->shown_look))
        return p->shown->identity;
    log_quiet(true);
    enum err e = load_identity(p);
    log_quiet(false);
    if (e == ERR_OK)
        p->shown_look = now;
    else
        warn_once(&p->shown_warned, &now, "certificate or key");
    return p->shown->identity;
}

/* ---- anchors ---- */

static enum err load_anchors(struct papers *papers)
{
    const struct profile *p = papers->profile;
    struct cert_store *store = NULL;
    enum err e = cert_store_new(&store);
    if (e == ERR_OK)
        cert_store_fips(store, p->tls.fips);
    if (e == ERR_OK)
        e = cert_store_add(store, p->name, p->ca, p->crl,
                           p->crl_require ? CERT_CRL_REQUIRE : CERT_CRL_IF_PRESENT);
    if (e != ERR_OK) {
        cert_store_free(store);
        return e;
    }
    cert_store_stale(store, p->crl_stale);
    cert_store_free(papers->anchors);
    papers->anchors = store;
    return ERR_OK;
}

const struct cert_store *papers_anchors(struct papers *p)
{
    struct look now = look_at(p->profile->ca, p->profile->crl);
    if (same(&now, &p->anchors_look))
        return p->anchors;
    log_quiet(true);
    enum err e = load_anchors(p);
    log_quiet(false);
    if (e == ERR_OK)
        p->anchors_look = now;
    else
        warn_once(&p->anchors_warned, &now, "trust anchors or revocation lists");
    return p->anchors;
}

/* ---- all ---- */

enum err papers_new(const struct profile *profile, struct papers **out)
{
    struct papers *p = *out = calloc(1, sizeof *p);
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory");
    p->profile = profile;
    p->shown_look = look_at(profile->certificate, profile->key);
    p->anchors_look = look_at(profile->ca, profile->crl);
    enum err e = start_token(p);
    if (e == ERR_OK && (e = load_identity(p)) == ERR_OK)
        e = load_anchors(p);
    token_hold();
    if (e == ERR_OK)
        return e;
    papers_free(p);
    *out = NULL;
    return e;
}

void papers_free(struct papers *p)
{
    if (!p)
        return;
    while (p->shown) {
        struct shown *s = p->shown;
        p->shown = s->next;
        tls_identity_free(s->identity);
        free(s);
    }
    cert_store_free(p->anchors);
    token_stop();
    token_pin_free(p->pin);
    free(p);
}
