/* SPDX-License-Identifier: ISC */
/* Which rule is a certificate's. */
#include "map_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool has_san(const struct cert_id *id, enum cert_san_type type, const char *value)
{
    size_t n = strlen(value);
    for (size_t i = 0; i < id->n_sans; i++) {
        const struct cert_san *s = &id->sans[i];
        if (s->type != type || s->n != n)
            continue;
        bool equal = type == CERT_SAN_DNS ? strncasecmp((const char *)s->value, value, n) == 0
                                          : memcmp(s->value, value, n) == 0;
        if (equal)
            return true;
    }
    return false;
}

/* What does not match; NO_SAN + type for an alternative name. */
enum mismatch { NONE, ANCHOR, SUBJECT, PRINT, NO_SAN };

static int compare(const struct map_rule *r, const struct cert_id *id)
{
    if (strcmp(r->anchor, id->anchor) != 0)
        return ANCHOR;
    if (r->subject_text && !cert_dn_eq(&r->subject, &id->subject))
        return SUBJECT;
    if (r->has_print && memcmp(r->print, id->spki_sha256, WIRE_HASH) != 0)
        return PRINT;
    for (int i = 0; i < 3; i++)
        if (r->sans[i] && !has_san(id, (enum cert_san_type)i, r->sans[i]))
            return NO_SAN + i;
    return NONE;
}

static void explain_rule(const struct map_rule *r, const struct cert_id *id, int mismatch,
                         map_explain_fn *explain, void *arg)
{
    char why[1400], line[1600];
    if (mismatch == NONE)
        snprintf(why, sizeof why, "matches");
    else if (mismatch == ANCHOR)
        snprintf(why, sizeof why, "no match: issued under anchor %s, wanted %s", id->anchor,
                 r->anchor);
    else if (mismatch == SUBJECT)
        snprintf(why, sizeof why, "no match: subject is %s, wanted %s", id->subject_text,
                 r->subject_text);
    else if (mismatch == PRINT)
        snprintf(why, sizeof why, "no match: another public key");
    else
        snprintf(why, sizeof why, "no match: no alternative name %s %s",
                 map_san_names[mismatch - NO_SAN], r->sans[mismatch - NO_SAN]);
    snprintf(line, sizeof line, "rule %s (%s%s line %u): %s", r->user.name,
             r->partner ? "partner " : "map", r->partner ? r->anchor : "", r->user.line, why);
    explain(arg, line);
}

const struct map_user *map_match(const struct map *m, const struct cert_id *id,
                                 map_explain_fn *explain, void *arg)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct map_rule *r = &m->rules[i];
        int mismatch = compare(r, id);
        if (explain)
            explain_rule(r, id, mismatch, explain, arg);
        if (mismatch == NONE)
            return &r->user;
    }
    return NULL;
}
