/* SPDX-License-Identifier: ISC */
#include "papers.h"

#include "agent.h"
#include "dial.h"
#include "keyring.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>

struct shown {
    struct tls_identity *identity;
    struct shown *next; /* older ones, which connections may still use */
};

struct papers {
    const struct profile *profile;
    struct keyring keys; /* unless there is an agent */
    struct agent *agent;
    struct shown *shown;
    struct cert_store *anchors;
    struct look anchors_look, anchors_warned;
};

/* ---- certificate and key ---- */

/* key moves in. */
static enum err show(struct papers *papers, const gnutls_pcert_st *chain, unsigned n,
                     gnutls_privkey_t key)
{
    const struct profile *p = papers->profile;
    struct shown *s = calloc(1, sizeof *s);
    if (!s) {
        gnutls_privkey_deinit(key);
        return log_fail(ERR_INTERNAL, "out of memory");
    }
    enum err e = tls_identity_new(false, &p->tls, chain, n, key, &s->identity);
    if (e == ERR_OK && p->tickets)
        e = tls_identity_keep_tickets(s->identity);
    if (e != ERR_OK) {
        tls_identity_free(s->identity);
        free(s);
        return e;
    }
    s->next = papers->shown;
    papers->shown = s;
    return ERR_OK;
}

static enum err show_own(struct papers *p)
{
    gnutls_privkey_t key = p->keys.key;
    p->keys.key = NULL;
    return show(p, p->keys.chain, p->keys.n, key);
}

/* GnuTLS asks a key of that kind for what fits it. */
static enum err show_news(struct papers *p, const struct agent_news *news)
{
    gnutls_privkey_t key;
    enum err e = tls_key_external(&news->chain[0], UINT64_MAX, agent_sign, p->agent, &key);
    return e == ERR_OK ? show(p, news->chain, news->n, key) : e;
}

struct tls_identity *papers_identity(struct papers *p)
{
    if (!p->agent && keyring_renew(&p->keys) && show_own(p) != ERR_OK)
        log_warn("the last good certificate goes on");
    return p->shown->identity;
}

/* ---- anchors ---- */

static enum err load_anchors(struct papers *papers, const char *ca, const char *crl)
{
    const struct profile *p = papers->profile;
    struct cert_store *store = NULL;
    enum err e = cert_store_new(&store);
    if (e == ERR_OK)
        cert_store_fips(store, p->tls.fips);
    if (e == ERR_OK)
        e = cert_store_add(store, p->name, ca, crl,
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
    struct look now = {0};
    if (p->agent)
        return p->anchors;
    now = look_at(p->profile->ca, p->profile->crl);
    if (look_same(&now, &p->anchors_look))
        return p->anchors;
    log_quiet(true);
    enum err e = load_anchors(p, p->profile->ca, p->profile->crl);
    log_quiet(false);
    if (e == ERR_OK)
        p->anchors_look = now;
    else
        look_warn(&p->anchors_warned, &now, "trust anchors or revocation lists");
    return p->anchors;
}

/* Files that the agent has opened. */
static void take_anchors(struct papers *p, const struct agent_news *news)
{
    char ca[24], crl[24];
    snprintf(ca, sizeof ca, "fd:%d", news->ca);
    snprintf(crl, sizeof crl, "fd:%d", news->crl);
    log_quiet(true);
    enum err e = load_anchors(p, ca, news->crl >= 0 ? crl : NULL);
    log_quiet(false);
    if (e != ERR_OK)
        log_warn("trust anchors or revocation lists changed, but can't be used: %s; the last good "
                 "goes on",
                 log_reason());
}

/* ---- all ---- */

enum err papers_connect(struct papers *p, int *fd)
{
    struct agent_news news;
    if (!p->agent)
        return dial(p->profile, fd);
    enum err e = agent_connect(p->agent, &news);
    if (e == ERR_OK && news.chain)
        e = show_news(p, &news);
    if (e == ERR_OK && news.ca >= 0)
        take_anchors(p, &news);
    *fd = e == ERR_OK ? news.socket : -1;
    if (e == ERR_OK)
        news.socket = -1;
    agent_news_release(&news);
    return e;
}

void papers_sign_for(struct papers *p, const struct tls *tls)
{
    if (p->agent)
        agent_signs_for(p->agent, tls);
}

static enum err open_keys(struct papers *p, bool apart)
{
    struct agent_news news;
    enum err e =
        apart ? agent_start(p->profile, &p->agent, &news) : keyring_open(&p->keys, p->profile);
    if (!apart)
        return e == ERR_OK ? show_own(p) : e;
    if (e == ERR_OK)
        e = show_news(p, &news);
    agent_news_release(&news);
    return e;
}

enum err papers_new(const struct profile *profile, bool apart, struct papers **out)
{
    struct papers *p = *out = calloc(1, sizeof *p);
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory");
    p->profile = profile;
    p->anchors_look = look_at(profile->ca, profile->crl);
    enum err e = open_keys(p, apart);
    if (e == ERR_OK)
        e = load_anchors(p, profile->ca, profile->crl);
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
    if (p->agent)
        agent_end(p->agent);
    else
        keyring_close(&p->keys);
    free(p);
}
