/* SPDX-License-Identifier: ISC */
#include "map_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
static const char *const vars[] = {"", "CN", "UID", "OU", "O", "email"};
static const char user_var[] = "%{user}";

const char *map_var_name(enum map_var var)
{
    return vars[var];
}

/* ---- names ---- */

static bool all_legal(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!s[i] || !strchr(legal, s[i]))
            return false;
    return true;
}

static bool name_ok(const char *s, size_t n)
{
    return n > 0 && n < MAP_NAME && s[0] != '.' && s[0] != '-' && all_legal(s, n);
}

bool map_name_ok(const char *s)
{
    return name_ok(s, strlen(s));
}

/* The variable at s, "%{CN}"; *n is how long that is. */
static enum map_var read_var(const char *s, size_t *n)
{
    for (enum map_var v = MAP_CN; v <= MAP_EMAIL; v++) {
        *n = strlen(vars[v]) + 3;
        if (strncmp(s, "%{", 2) == 0 && strncmp(s + 2, vars[v], *n - 3) == 0 && s[*n - 1] == '}')
            return v;
    }
    return MAP_NO_VAR;
}

const char *map_name_parse(const char *text, struct map_name *out)
{
    static const char wrong[] = "a user's name is 1 to 64 letters, digits and . _ @ -, and begins "
                                "with neither . nor -";
    const char *open = strstr(text, "%{");
    size_t before = open ? (size_t)(open - text) : strlen(text), n = 0;
    *out = (struct map_name){.var = MAP_NO_VAR};
    if (open && (out->var = read_var(open, &n)) == MAP_NO_VAR)
        return "a name can take %{CN}, %{UID}, %{OU}, %{O} or %{email}, and nothing else";
    const char *rest = text + before + n;
    if (strstr(rest, "%{"))
        return "a name can take one variable only: of two, other values could give the same name";
    if (before + strlen(rest) >= MAP_NAME - (open != NULL) || !all_legal(rest, strlen(rest)) ||
        ((before > 0 || !open) && !name_ok(text, before)))
        return wrong;
    memcpy(out->prefix, text, before);
    memcpy(out->suffix, rest, strlen(rest));
    return NULL;
}

const char *map_name_make(const struct map_name *n, struct slice value, char user[static MAP_NAME])
{
    if (n->var == MAP_NO_VAR) {
        memcpy(user, n->prefix, MAP_NAME);
        return NULL;
    }
    if (!name_ok((const char *)value.p, value.n))
        return "is no name for a user: 1 to 64 letters, digits and . _ @ -, beginning with neither "
               ". "
               "nor -";
    int made = snprintf(user, MAP_NAME, "%s%.*s%s", n->prefix, (int)value.n, (const char *)value.p,
                        n->suffix);
    return made < MAP_NAME ? NULL : "makes too long a name for a user";
}

bool map_name_value(const struct map_name *n, const char *user, char value[static MAP_NAME])
{
    size_t all = strlen(user), before = strlen(n->prefix), after = strlen(n->suffix);
    value[0] = '\0';
    if (n->var == MAP_NO_VAR)
        return strcmp(user, n->prefix) == 0;
    if (all >= MAP_NAME || all <= before + after || memcmp(user, n->prefix, before) != 0 ||
        strcmp(user + all - after, n->suffix) != 0)
        return false;
    all -= before + after;
    if (!name_ok(user + before, all))
        return false;
    memcpy(value, user + before, all);
    value[all] = '\0';
    return true;
}

bool map_name_clash(const struct map_name *a, const struct map_name *b)
{
    char value[MAP_NAME];
    if (a->var == MAP_NO_VAR)
        return map_name_value(b, a->prefix, value);
    if (b->var == MAP_NO_VAR)
        return map_name_value(a, b->prefix, value);
    size_t pa = strlen(a->prefix), pb = strlen(b->prefix), p = pa < pb ? pa : pb;
    size_t sa = strlen(a->suffix), sb = strlen(b->suffix), s = sa < sb ? sa : sb;
    return memcmp(a->prefix, b->prefix, p) == 0 &&
           memcmp(a->suffix + sa - s, b->suffix + sb - s, s) == 0;
}

/* ---- folders ---- */

bool map_dir_varies(const char *dir)
{
    return strstr(dir, "%{") != NULL;
}

const char *map_dir_check(const char *dir, const struct map_name *n)
{
    for (const char *c = dir; (c = strstr(c, "%{")) != NULL; c++) {
        size_t len = sizeof user_var - 1;
        bool own = strncmp(c, user_var, len) == 0;
        if (!own && (read_var(c, &len) != n->var || n->var == MAP_NO_VAR))
            return "a folder can take %{user}, and the variable that is in the user's name";
        if (c == dir || c[-1] != '/' || (c[len] && c[len] != '/'))
            return "a variable is a whole name between two slashes";
    }
    return NULL;
}

char *map_dir_of(const char *dir, const struct map_name *n, const char *user)
{
    char value[MAP_NAME];
    size_t cap = strlen(dir) + 1, at = 0;
    for (const char *c = dir; (c = strstr(c, "%{")) != NULL; c++)
        cap += MAP_NAME;
    char *out = malloc(cap);
    (void)map_name_value(n, user, value);
    while (out && *dir) {
        size_t len = strcspn(dir, "}") + 1;
        if (strncmp(dir, "%{", 2) == 0) {
            const char *put = strncmp(dir, user_var, len) == 0 ? user : value;
            memcpy(out + at, put, strlen(put));
            at += strlen(put);
            dir += len;
        } else {
            out[at++] = *dir++;
        }
    }
    if (out)
        out[at] = '\0';
    return out;
}

char *map_dir_above(const char *dir, bool *own)
{
    const char *var = strstr(dir, "%{");
    *own = var && strncmp(var, user_var, sizeof user_var - 1) == 0;
    return var ? strndup(dir, (size_t)(var - dir)) : NULL;
}
