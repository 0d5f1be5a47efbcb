/* SPDX-License-Identifier: ISC */
#include "policy.h"

#include "log.h"
#include "pace.h"
#include "token.h"
#include <stdlib.h>
#include <unistd.h>

static enum err load_anchors(struct policy *p)
{
    enum err e = cert_store_new(&p->anchors);
    for (size_t i = 0; e == ERR_OK && i < p->config->n_anchors; i++) {
        const struct config_anchor *a = &p->config->anchors[i];
        e = cert_store_add(p->anchors, a->name, a->ca, a->crl, a->crl_policy);
    }
    return e;
}

/* A rate below what the server demands of a connection would let no transfer live. */
static enum err check_rates(struct policy *p)
{
    size_t n = map_count(p->map);
    for (size_t i = 0; i < n; i++) {
        const struct map_user *u = map_user(p->map, i);
        if (u->rate && u->rate < p->config->min_rate)
            return log_fail(
                ERR_CONFIG, "%s:%u: [%s] rate: below min-rate (%llu bytes a second) of [limits]",
                p->config->map, u->line, u->name, (unsigned long long)p->config->min_rate);
    }
    p->paces = malloc((n ? n : 1) * sizeof *p->paces);
    if (!p->paces)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    for (size_t i = 0; i < n; i++)
        p->paces[i] = -1;
    return ERR_OK;
}

enum err policy_load(const char *config_file, uint64_t generation, struct policy **out)
{
    struct policy *p = calloc(1, sizeof *p);
    enum err e;
    *out = NULL;
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    p->generation = generation;
    if ((e = config_load(config_file, &p->config)) == ERR_OK && (e = load_anchors(p)) == ERR_OK &&
        (e = map_load(p->config->map, p->anchors, geteuid() == 0, &p->map)) == ERR_OK &&
        (e = check_rates(p)) == ERR_OK &&
        (e = token_load_chain(p->config->certificate, &p->chain, &p->n_chain)) == ERR_OK) {
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
    for (size_t i = 0; p->paces && i < map_count(p->map); i++)
        if (p->paces[i] >= 0)
            close(p->paces[i]);
    free(p->paces);
    map_free(p->map);
    cert_store_free(p->anchors);
    config_free(p->config);
    free(p);
}

enum err policy_pace(struct policy *p, size_t rule, int *fd)
{
    enum err e = ERR_OK;
    if (map_user(p->map, rule)->rate && p->paces[rule] < 0)
        e = pace_share(&p->paces[rule]);
    *fd = p->paces[rule];
    return e;
}
