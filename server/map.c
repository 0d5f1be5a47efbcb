/* SPDX-License-Identifier: ISC */
/* Loading the map. */
#include "map_internal.h"

#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS_DEFAULT = 16 };

/* ---- rules ---- */

static enum err begin_rule(struct map_reading *rd, const struct conf_at *at)
{
    struct map *m = rd->map;
    struct map_name name;
    const char *why = map_name_parse(at->section, &name);
    if (why)
        return conf_fail(at, "%s", why);
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->rules[i].user.name, at->section) == 0)
            return conf_fail(at, "this user is there twice");
    struct map_rule *grown = realloc(m->rules, (m->n + 1) * sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    m->rules = grown;
    struct map_rule *r = &grown[m->n++];
    *r = (struct map_rule){.user.line = at->line,
                           .user.sessions = SESSIONS_DEFAULT,
                           .name = name,
                           .file = rd->file,
                           .partner = rd->only != NULL};
    snprintf(r->user.name, sizeof r->user.name, "%s", at->section);
    rd->in_group = false;
    return ERR_OK;
}

/* [NAME] or [group NAME]; no user's name has a blank in it. */
static enum err begin_section(struct map_reading *rd, const struct conf_at *at)
{
    static const char group[] = "group ";
    const char *rest = at->section + sizeof group - 1;
    return strncmp(at->section, group, sizeof group - 1) == 0
               ? map_group_begin(rd, at, rest + strspn(rest, " \t"))
               : begin_rule(rd, at);
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct map_reading *rd = arg;
    if (!at->key)
        return begin_section(rd, at);
    return rd->in_group ? map_group_take(rd, at, value)
                        : map_rule_take(&rd->map->rules[rd->map->n - 1], at, value);
}

/* ---- files ---- */

static enum err read_rules(struct map_reading *rd, const char *file)
{
    struct map *m = rd->map;
    char **grown = realloc(m->files, (m->n_files + 1) * sizeof *grown);
    size_t before = m->n;
    if (grown)
        m->files = grown;
    if (!grown || !(grown[m->n_files] = strdup(file)))
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    rd->file = grown[m->n_files++];
    enum err e = conf_read_whole(file, take, rd);
    for (size_t i = before; e == ERR_OK && i < m->n; i++)
        e = map_rule_check(rd, i);
    map_groups_release(rd);
    return e;
}

enum err map_load(const char *file, const struct cert_store *anchors, bool as_root,
                  struct map **out)
{
    struct map *m = calloc(1, sizeof *m);
    struct map_reading rd = {.map = m, .anchors = anchors, .as_root = as_root};
    *out = NULL;
    if (!m)
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    enum err e = read_rules(&rd, file);
    if (e != ERR_OK) {
        map_free(m);
        return e;
    }
    *out = m;
    return ERR_OK;
}

enum err map_add(struct map *m, const char *file, const struct cert_store *anchors, bool as_root,
                 const char *anchor)
{
    struct map_reading rd = {.map = m, .anchors = anchors, .as_root = as_root, .only = anchor};
    return read_rules(&rd, file);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        map_rule_release(&m->rules[i]);
    for (size_t i = 0; i < m->n_files; i++)
        free(m->files[i]);
    free(m->files);
    free(m->rules);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->n;
}

const struct map_user *map_user(const struct map *m, size_t i)
{
    return i < m->n ? &m->rules[i].user : NULL;
}

const char *map_source(const struct map *m, size_t i)
{
    return m->rules[i].file;
}

void map_source_text(const struct map *m, size_t i, char out[static 80])
{
    const struct map_rule *r = &m->rules[i];
    snprintf(out, 80, "%s%s", r->partner ? "partner " : "map", r->partner ? r->anchor : "");
}
