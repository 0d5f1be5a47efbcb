/* SPDX-License-Identifier: ISC */
/* What a rule of the map grants, apart from the map: kept as long as a session has it, and compared with what
 * a newer map grants. */
#include "map.h"

#include "log.h"
#include <stdlib.h>
#include <string.h>

void map_user_release(struct map_user *u)
{
    for (size_t i = 0; i < u->n_roots; i++) {
        free(u->roots[i].prefix);
        free(u->roots[i].dir);
    }
    free(u->roots);
    free(u->groups);
    u->roots = NULL;
    u->groups = NULL;
    u->n_roots = u->n_groups = 0;
}

void map_user_free(struct map_user *u)
{
    if (u)
        map_user_release(u);
    free(u);
}

static bool copy_roots(struct map_user *to, const struct map_user *from)
{
    to->roots = calloc(from->n_roots, sizeof *to->roots);
    for (; to->roots && to->n_roots < from->n_roots; to->n_roots++) {
        const struct map_root *r = &from->roots[to->n_roots];
        struct map_root *copy = &to->roots[to->n_roots];
        *copy = *r;
        copy->prefix = strdup(r->prefix);
        copy->dir = strdup(r->dir);
        if (!copy->prefix || !copy->dir) {
            to->n_roots++;
            return false;
        }
    }
    return to->roots != NULL;
}

static bool copy_groups(struct map_user *to, const struct map_user *from)
{
    if (from->n_groups == 0)
        return true;
    to->groups = malloc(from->n_groups * sizeof *to->groups);
    if (!to->groups)
        return false;
    memcpy(to->groups, from->groups, from->n_groups * sizeof *to->groups);
    to->n_groups = from->n_groups;
    return true;
}

struct map_user *map_user_copy(const struct map_user *u)
{
    struct map_user *copy = malloc(sizeof *copy);
    if (copy) {
        *copy = *u;
        copy->roots = NULL;
        copy->groups = NULL;
        copy->n_roots = copy->n_groups = 0;
        if (copy_roots(copy, u) && copy_groups(copy, u))
            return copy;
    }
    map_user_free(copy);
    log_error("out of memory for what a user is granted");
    return NULL;
}

/* ---- comparing ---- */

static bool same_account(const struct map_user *a, const struct map_user *b)
{
    if (a->has_account != b->has_account)
        return false;
    if (!a->has_account)
        return true;
    return a->uid == b->uid && a->gid == b->gid && a->n_groups == b->n_groups &&
           (a->n_groups == 0 || memcmp(a->groups, b->groups, a->n_groups * sizeof *a->groups) == 0);
}

static const struct map_root *root_at(const struct map_user *u, const char *prefix)
{
    for (size_t i = 0; i < u->n_roots; i++)
        if (strcmp(u->roots[i].prefix, prefix) == 0)
            return &u->roots[i];
    return NULL;
}

/* Whether prefix lies below another one. */
static bool below(const char *prefix, const char *other)
{
    size_t n = strcmp(other, "/") == 0 ? 0 : strlen(other);
    return strncmp(prefix, other, n) == 0 && prefix[n] == '/' && strcmp(prefix, other) != 0;
}

const char *map_user_lost(const struct map_user *now, const struct map_user *then)
{
    if (strcmp(now->name, then->name) != 0)
        return "the map names another user for this certificate now";
    if (!same_account(now, then))
        return "the user's account is another now";
    if (then->links && !now->links)
        return "the user may not make links any more";
    if (then->meta & ~now->meta)
        return "fewer attributes are kept for the user now";
    for (size_t i = 0; i < then->n_roots; i++) {
        const struct map_root *had = &then->roots[i], *has = root_at(now, had->prefix);
        if (!has || strcmp(has->dir, had->dir) != 0)
            return "the user's folders are others now";
        if (had->rights & ~has->rights)
            return "the user has fewer rights now";
    }
    for (size_t i = 0; i < now->n_roots; i++)
        for (size_t k = 0; !root_at(then, now->roots[i].prefix) && k < then->n_roots; k++)
            if (below(now->roots[i].prefix, then->roots[k].prefix))
                return "the user's folders are others now";
    return NULL;
}
