/* SPDX-License-Identifier: ISC */
/* What the files of the map share: map.c (loading), map_keys.c (the keys of a rule), map_group.c (groups), map_rule.c
 * (what a rule must have), map_match.c (whose it is), map_users.c (who there is). */
#ifndef CONSIGND_MAP_INTERNAL_H
#define CONSIGND_MAP_INTERNAL_H

#include "map.h"

#include "conf.h"
#include "map_hours.h"
#include "map_name.h"
#include "network.h"

/* One alternative name; value "*": there is one of the type alone, whatever it is. */
struct map_san {
    enum cert_san_type type;
    char *value;
};

struct map_rule {
    struct map_user user; /* of a template with variables in name and roots */
    struct map_name name;
    const char *file;
    bool partner;   /* not of the map itself */
    uint64_t given; /* its keys, by their rows in map_keys.c */
    char *group;
    char *anchor;
    char *subject_text; /* as written, for explanations */
    char *issuer_text;
    struct cert_dn subject; /* a pattern */
    struct cert_dn issuer;
    struct map_san *sans;
    size_t n_sans;
    bool has_print;
    uint8_t print[WIRE_HASH];
    char *account;
    unsigned rights; /* of roots that have none of their own */
    unsigned rights_line;
    char *hours_text;
    struct map_hours hours;
    struct networks networks; /* none: from anywhere */
};

struct map {
    struct map_rule *rules;
    size_t n;
    char **files; /* the map, and those of the partners */
    size_t n_files;
};

struct map_group;

struct map_reading {
    struct map *map;
    const struct cert_store *anchors;
    bool as_root;
    const char *file;
    const char *only; /* the anchor that all rules of the file are for; NULL: each names its own */
    bool in_group;    /* the section that is read is that of the last group */
    struct map_group *groups; /* of the file */
    size_t n_groups;
};

/* ---- map_keys.c ---- */

extern const char *const map_san_names[3];

/* Takes one key of a rule: those of the table there, and root and rights with a prefix. */
enum err map_rule_take(struct map_rule *r, const struct conf_at *at, const char *value) MUST_CHECK;
/* Whether the rule has that key. */
bool map_rule_has(const struct map_rule *r, const char *key);
/* Whether a key belongs to one rule alone and not to a group of them. */
bool map_key_is_own(const char *key);

/* ---- map_group.c ---- */

/* A section [group NAME] begins; one of its keys. */
enum err map_group_begin(struct map_reading *rd, const struct conf_at *at,
                         const char *name) MUST_CHECK;
enum err map_group_take(struct map_reading *rd, const struct conf_at *at,
                        const char *value) MUST_CHECK;
/* Gives the rule what its group has and it has not. */
enum err map_group_apply(const struct map_reading *rd, struct map_rule *r) MUST_CHECK;
void map_groups_release(struct map_reading *rd);

/* ---- map_rule.c ---- */

/* Logs "FILE:LINE: [NAME]: text" and returns ERR_CONFIG. */
enum err map_rule_fail(const struct map_rule *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))) MUST_CHECK;
/* What a rule must have, and what it must not share with those above it: after all of its file was read. */
enum err map_rule_check(const struct map_reading *rd, size_t index) MUST_CHECK;
void map_rule_release(struct map_rule *r);

/* ---- map_users.c ---- */

/* The rule of that very name, which no template may give to others; NULL when there is none. */
const struct map_rule *map_fixed(const struct map *m, const char *name);

#endif
