/* SPDX-License-Identifier: ISC */
/* What the files of the map share: map.c (loading), map_keys.c (the keys of a rule), map_rule.c (what a rule must
 * have), map_match.c. */
#ifndef CONSIGND_MAP_INTERNAL_H
#define CONSIGND_MAP_INTERNAL_H

#include "map.h"

#include "conf.h"

struct map_rule {
    struct map_user user;
    const char *file;
    bool partner;   /* not of the map itself */
    uint64_t given; /* its keys, by their rows in map_keys.c */
    char *anchor;
    char *subject_text; /* as written, for explanations */
    struct cert_dn subject;
    char *sans[3]; /* by enum cert_san_type */
    bool has_print;
    uint8_t print[WIRE_HASH];
    char *account;
    unsigned rights; /* of roots that have none of their own */
};

struct map {
    struct map_rule *rules;
    size_t n;
    char **files; /* the map, and those of the partners */
    size_t n_files;
};

struct map_reading {
    struct map *map;
    const struct cert_store *anchors;
    bool as_root;
    const char *file;
    const char *only; /* the anchor that all rules of the file are for; NULL: each names its own */
};

/* ---- map_keys.c ---- */

extern const char *const map_san_names[3];

/* Takes one key of a rule: those of the table there, and root and rights with a prefix. */
enum err map_rule_take(struct map_rule *r, const struct conf_at *at, const char *value) MUST_CHECK;

/* ---- map_rule.c ---- */

/* What a rule must have, and what it must not share with those above it: after all of its file was read. */
enum err map_rule_check(const struct map_reading *rd, size_t index) MUST_CHECK;
void map_rule_release(struct map_rule *r);

#endif
