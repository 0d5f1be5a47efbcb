/* SPDX-License-Identifier: ISC */
/* Which users there are: those that rules name, and those of templates. */
#include "map_internal.h"

#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char no_memory[] = "out of memory for the users of the map";

const struct map_rule *map_fixed(const struct map *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->rules[i].name.var == MAP_NO_VAR && strcmp(m->rules[i].user.name, name) == 0)
            return &m->rules[i];
    return NULL;
}

/* ---- granting ---- */

static bool has_user(const struct map *m, const struct map_rule *r, const char *user)
{
    char value[MAP_NAME];
    return map_name_value(&r->name, user, value) &&
           (r->name.var == MAP_NO_VAR || !map_fixed(m, user));
}

static struct map_user *grant(const struct map_rule *r, const char *user)
{
    struct map_user *u = map_user_copy(&r->user);
    if (!u)
        return NULL;
    snprintf(u->name, sizeof u->name, "%s", user);
    for (size_t i = 0; r->name.var != MAP_NO_VAR && i < u->n_roots; i++) {
        char *dir = map_dir_of(u->roots[i].dir, &r->name, user);
        if (!dir) {
            log_error(no_memory);
            map_user_free(u);
            return NULL;
        }
        free(u->roots[i].dir);
        u->roots[i].dir = dir;
    }
    return u;
}

struct map_user *map_grant(const struct map *m, size_t rule, const char *user)
{
    if (rule < m->n && has_user(m, &m->rules[rule], user))
        return grant(&m->rules[rule], user);
    log_error("the map has no rule %zu for a user %s", rule, user);
    return NULL;
}

struct map_user *map_user_named(const struct map *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (has_user(m, &m->rules[i], name))
            return grant(&m->rules[i], name);
    return NULL;
}

/* ---- listing ---- */

struct list {
    char (*names)[65];
    size_t n, cap;
};

static enum err add(struct list *l, const char *name)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        void *grown = realloc(l->names, cap * sizeof *l->names);
        if (!grown)
            return log_fail(ERR_INTERNAL, no_memory);
        l->names = grown;
        l->cap = cap;
    }
    snprintf(l->names[l->n++], sizeof *l->names, "%s", name);
    return ERR_OK;
}

/* The user whose folder has that name; false when it is no user's. */
static bool user_of(const struct map *m, const struct map_rule *r, const char *entry, bool own,
                    char user[static MAP_NAME])
{
    if (own && strlen(entry) < MAP_NAME)
        memcpy(user, entry, strlen(entry) + 1);
    else if (own || map_name_make(&r->name, slice_str(entry), user) != NULL)
        return false;
    return has_user(m, r, user);
}

/* By the first of its roots that tells them apart. What can't be listed has no users, with a warning. */
static enum err add_template(struct list *l, const struct map *m, const struct map_rule *r)
{
    char user[MAP_NAME];
    char *above = NULL;
    bool own = false;
    enum err e = ERR_OK;
    for (size_t i = 0; !above && i < r->user.n_roots; i++)
        above = map_dir_above(r->user.roots[i].dir, &own);
    DIR *d = above ? opendir(above) : NULL;
    if (!d)
        log_warn("%s: users of [%s] can't be found: %s", above ? above : "root", r->user.name,
                 strerror(errno));
    for (const struct dirent *x; d && e == ERR_OK && (x = readdir(d)) != NULL;)
        if ((x->d_type == DT_DIR || x->d_type == DT_UNKNOWN) && user_of(m, r, x->d_name, own, user))
            e = add(l, user);
    if (d)
        closedir(d);
    free(above);
    return e;
}

enum err map_users(const struct map *m, char (**names)[65], size_t *n)
{
    struct list l = {0};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < m->n; i++) {
        const struct map_rule *r = &m->rules[i];
        e = r->name.var == MAP_NO_VAR ? add(&l, r->user.name) : add_template(&l, m, r);
    }
    if (e != ERR_OK) {
        free(l.names);
        l = (struct list){0};
    }
    *names = l.names;
    *n = l.n;
    return e;
}
