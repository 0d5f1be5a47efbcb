/* SPDX-License-Identifier: ISC */
/* Groups: what several rules have in common, written once. A group is kept as text, key by key, and read into each rule
 * that takes it: so there is one way to read a key, and what is wrong is said where it stands. */
#include "map_internal.h"

#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    unsigned line;
    char *key, *value;
};

struct map_group {
    char name[MAP_NAME];
    struct pair *pairs;
    size_t n;
    struct map_rule
        trial; /* finds what is wrong or there twice, whether a rule takes the group or not */
};

static const char no_memory[] = "out of memory for the map";

static struct map_group *find(const struct map_reading *rd, const char *name)
{
    for (size_t i = 0; i < rd->n_groups; i++)
        if (strcmp(rd->groups[i].name, name) == 0)
            return &rd->groups[i];
    return NULL;
}

enum err map_group_begin(struct map_reading *rd, const struct conf_at *at, const char *name)
{
    if (!map_name_ok(name))
        return conf_fail(at, "a group's name is made as a user's");
    if (find(rd, name))
        return conf_fail(at, "this group is there twice");
    struct map_group *grown = realloc(rd->groups, (rd->n_groups + 1) * sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, no_memory);
    rd->groups = grown;
    struct map_group *g = &grown[rd->n_groups++];
    *g = (struct map_group){.n = 0};
    snprintf(g->name, sizeof g->name, "%s", name);
    rd->in_group = true;
    return ERR_OK;
}

enum err map_group_take(struct map_reading *rd, const struct conf_at *at, const char *value)
{
    struct map_group *g = &rd->groups[rd->n_groups - 1];
    if (map_key_is_own(at->key))
        return conf_fail(at, "stands in the rules themselves, not in a group");
    enum err e = map_rule_take(&g->trial, at, value);
    struct pair *grown = realloc(g->pairs, (g->n + 1) * sizeof *grown);
    if (e != ERR_OK || !grown) {
        g->pairs = grown ? grown : g->pairs;
        return e != ERR_OK ? e : log_fail(ERR_INTERNAL, no_memory);
    }
    g->pairs = grown;
    struct pair *p = &grown[g->n++];
    *p = (struct pair){at->line, strdup(at->key), strdup(value)};
    return p->key && p->value ? ERR_OK : log_fail(ERR_INTERNAL, no_memory);
}

enum err map_group_apply(const struct map_reading *rd, struct map_rule *r)
{
    char section[MAP_NAME + 8];
    enum err e = ERR_OK;
    if (!r->group)
        return ERR_OK;
    const struct map_group *g = find(rd, r->group);
    if (!g)
        return map_rule_fail(r, "there is no group %s in this file", r->group);
    snprintf(section, sizeof section, "group %s", g->name);
    for (size_t i = 0; e == ERR_OK && i < g->n; i++) {
        const struct pair *p = &g->pairs[i];
        struct conf_at at = {rd->file, p->line, section, p->key};
        if (!map_rule_has(r, p->key))
            e = map_rule_take(r, &at, p->value);
    }
    return e;
}

static void release(struct map_group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->pairs[i].key);
        free(g->pairs[i].value);
    }
    free(g->pairs);
    map_rule_release(&g->trial);
}

void map_groups_release(struct map_reading *rd)
{
    for (size_t i = 0; i < rd->n_groups; i++)
        release(&rd->groups[i]);
    free(rd->groups);
    rd->groups = NULL;
    rd->n_groups = 0;
}
