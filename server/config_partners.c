/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "log.h"
#include "partner.h"
#include <stdlib.h>
#include <string.h>

static enum err load(struct config_partner *p, const char *dir, const char *name)
{
    struct partner facts;
    p->name = strdup(name);
    p->ca = partner_path(dir, name, PARTNER_CA);
    p->crl = partner_path(dir, name, PARTNER_CRL);
    p->rules = partner_path(dir, name, PARTNER_RULES);
    p->conf = partner_path(dir, name, PARTNER_CONF);
    if (!p->name || !p->ca || !p->crl || !p->rules || !p->conf)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    enum err e = partner_read(dir, name, &facts);
    p->until = facts.until;
    partner_release(&facts);
    return e;
}

enum err config_partners_load(struct config *c)
{
    char **names = NULL;
    size_t n = 0;
    if (!c->partners)
        return ERR_OK;
    enum err e = partner_names(c->partners, &names, &n);
    if (e == ERR_OK && n > 0 && !(c->partners_list = calloc(n, sizeof *c->partners_list)))
        e = log_fail(ERR_INTERNAL, "out of memory for the configuration");
    for (size_t i = 0; e == ERR_OK && i < n; i++)
        e = load(&c->partners_list[c->n_partners++], c->partners, names[i]);
    partner_names_free(names, n);
    return e;
}

void config_partners_free(struct config *c)
{
    for (size_t i = 0; i < c->n_partners; i++) {
        struct config_partner *p = &c->partners_list[i];
        free(p->name);
        free(p->ca);
        free(p->crl);
        free(p->rules);
        free(p->conf);
    }
    free(c->partners_list);
}
