/* SPDX-License-Identifier: ISC */
#include "policy.h"

#include "log.h"
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
    map_free(p->map);
    cert_store_free(p->anchors);
    config_free(p->config);
    free(p);
}
