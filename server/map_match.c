/* SPDX-License-Identifier: ISC */
/* Which rule is a certificate's, and why the others are not. */
#include "map_internal.h"

#include "log.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* How far a rule is from a certificate: what is missing counts by how much it tells them apart. */
enum { FAR_ANCHOR = 3, FAR_ISSUER = 2, FAR_PART = 4, FAR_SAN = 4, FAR_PRINT = 4, FAR_NAME = 1 };

struct looking {
    const struct map *map;
    const struct map_rule *rule;
    const struct cert_id *id;
    bool all; /* all that is missing is wanted in text, not only whether anything is */
    unsigned far;
    size_t n; /* of text */
    char text[1600];
    char user[MAP_NAME];
};

__attribute__((format(printf, 3, 4))) static void lacks(struct looking *l, unsigned far,
                                                        const char *fmt, ...)
{
    va_list ap;
    l->far += far;
    if (!l->all || l->n + 1 >= sizeof l->text)
        return;
    if (l->n)
        l->n += (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, "; ");
    va_start(ap, fmt);
    int n = l->n < sizeof l->text ? vsnprintf(l->text + l->n, sizeof l->text - l->n, fmt, ap) : 0;
    va_end(ap);
    l->n += n > 0 ? (size_t)n : 0;
    l->n = l->n < sizeof l->text ? l->n : sizeof l->text - 1;
}

/* ---- the selectors ---- */

static bool same_value(const struct map_san *wanted, const struct cert_san *s)
{
    size_t n = strlen(wanted->value);
    if (s->n != n)
        return false;
    return wanted->type == CERT_SAN_DNS ? strncasecmp((const char *)s->value, wanted->value, n) == 0
                                        : memcmp(s->value, wanted->value, n) == 0;
}

static bool has_san(const struct cert_id *id, const struct map_san *wanted)
{
    size_t of_type = 0, equal = 0;
    for (size_t i = 0; i < id->n_sans; i++) {
        if (id->sans[i].type != wanted->type)
            continue;
        of_type++;
        equal += same_value(wanted, &id->sans[i]);
    }
    return strcmp(wanted->value, "*") == 0 ? of_type == 1 : equal > 0;
}

/* The parts of a subject that are as the rule wants them. */
static size_t parts_alike(const struct cert_dn *pattern, const struct cert_dn *dn)
{
    size_t alike = 0;
    for (size_t i = 0; i < pattern->n && i < dn->n; i++) {
        const struct cert_dn a = {&pattern->rdns[i], 1}, b = {&dn->rdns[i], 1};
        alike += cert_dn_match(&a, &b);
    }
    return alike;
}

static void look_at_subject(struct looking *l)
{
    const struct map_rule *r = l->rule;
    if (!r->subject_text || cert_dn_match(&r->subject, &l->id->subject))
        return;
    size_t most = r->subject.n > l->id->subject.n ? r->subject.n : l->id->subject.n;
    unsigned missing = (unsigned)(most - parts_alike(&r->subject, &l->id->subject));
    lacks(l, FAR_PART * (missing ? missing : 1), "subject is %s, wanted %s",
          l->id->subject.n ? l->id->subject_text : "empty", r->subject_text);
}

/* ---- the name of a template ---- */

static struct slice value_of(const struct map_rule *r, const struct cert_id *id)
{
    const struct cert_ava *ava = NULL;
    if (r->name.var == MAP_EMAIL) {
        for (size_t i = 0; i < id->n_sans; i++)
            if (id->sans[i].type == CERT_SAN_EMAIL)
                return slice_of(id->sans[i].value, id->sans[i].n);
    } else if (cert_dn_find(&id->subject, map_var_name(r->name.var), &ava) == 1) {
        return slice_of(ava->value, ava->n);
    }
    return slice_of(NULL, 0);
}

static void look_at_name(struct looking *l)
{
    const struct map_rule *r = l->rule;
    struct slice value = r->name.var == MAP_NO_VAR ? slice_of(NULL, 0) : value_of(r, l->id);
    const char *why = map_name_make(&r->name, value, l->user);
    if (why) {
        char shown[200];
        log_scrub(shown, sizeof shown, value.p, value.n);
        lacks(l, FAR_NAME, "%s \"%s\" %s", map_var_name(r->name.var), shown, why);
        return;
    }
    const struct map_rule *other = r->name.var == MAP_NO_VAR ? NULL : map_fixed(l->map, l->user);
    if (other)
        lacks(l, FAR_NAME, "the name %s is that of a rule of its own (line %u)", l->user,
              other->user.line);
}

/* ---- a rule ---- */

/* Whether the rule is the certificate's; l->user is then the user. */
static bool look(struct looking *l, const struct map_rule *r)
{
    const struct cert_id *id = l->id;
    l->rule = r;
    l->far = 0;
    l->n = 0;
    l->text[0] = '\0';
    if (strcmp(r->anchor, id->anchor) != 0)
        lacks(l, FAR_ANCHOR, "issued under anchor %s, wanted %s", id->anchor, r->anchor);
    if (l->far && !l->all)
        return false;
    if (r->issuer_text && !cert_dn_eq(&r->issuer, &id->issuer))
        lacks(l, FAR_ISSUER, "issued by %s, wanted %s", id->issuer_text, r->issuer_text);
    look_at_subject(l);
    if (r->has_print && memcmp(r->print, id->spki_sha256, WIRE_HASH) != 0)
        lacks(l, FAR_PRINT, "another public key");
    for (size_t i = 0; i < r->n_sans; i++)
        if (!has_san(id, &r->sans[i]))
            lacks(l, FAR_SAN, "no alternative name %s %s", map_san_names[r->sans[i].type],
                  strcmp(r->sans[i].value, "*") == 0 ? "at all, or several" : r->sans[i].value);
    if (l->far == 0)
        look_at_name(l);
    return l->far == 0;
}

/* Why its conditions don't allow it now; NULL when they do. */
static const char *check(const struct map_rule *r, const struct map_asker *who,
                         struct map_answer *out)
{
    bool at_hour = map_hours_allow(&r->hours, who->now, &out->until);
    out->told = "this user may not connect from this address";
    if (r->networks.n && !who->address)
        return "it has networks, and no address is known";
    if (r->networks.n && !networks_have(&r->networks, who->address))
        return "not from this address (networks)";
    out->told = NULL;
    if (at_hour)
        return NULL;
    out->told = "this user may not connect at this hour";
    return "not at this hour (hours)";
}

/* "rule alice (map line 3): " and what about it. */
static void explain_rule(const struct looking *l, size_t i, const char *before, const char *what,
                         map_explain_fn *explain, void *arg)
{
    char line[2000], source[80];
    if (!explain)
        return;
    map_source_text(l->map, i, source);
    snprintf(line, sizeof line, "%srule %s (%s line %u): %s%s", before, l->rule->user.name, source,
             l->rule->user.line, what, l->text);
    explain(arg, line);
}

static enum err take(struct looking *l, size_t i, const struct map_asker *who,
                     struct map_answer *out, map_explain_fn *explain, void *arg)
{
    const struct map_rule *r = l->rule;
    const char *why = check(r, who, out);
    out->rule = i;
    memcpy(out->user, l->user, sizeof out->user);
    if (!why) {
        explain_rule(l, i, "", "matches", explain, arg);
        return ERR_OK;
    }
    lacks(l, 0, "%s", why);
    explain_rule(l, i, "", "matches, but ", explain, arg);
    return log_fail(ERR_DENIED, "user %s: %s", out->user, why);
}

enum err map_ask(const struct map *m, const struct map_asker *who, struct map_answer *out,
                 map_explain_fn *explain, void *arg)
{
    struct looking l = {.map = m, .id = who->id, .all = explain != NULL};
    unsigned least = UINT32_MAX;
    size_t nearest = 0;
    *out = (struct map_answer){.told = "no rule of the map is for this certificate"};
    for (size_t i = 0; i < m->n; i++) {
        if (look(&l, &m->rules[i])) {
            l.all = true;
            return take(&l, i, who, out, explain, arg);
        }
        if (explain)
            explain_rule(&l, i, "", "no match: ", explain, arg);
        if (l.far < least) {
            least = l.far;
            nearest = i;
        }
    }
    if (explain && m->n > 0) {
        (void)look(&l, &m->rules[nearest]);
        explain_rule(&l, nearest, "nearest: ", "", explain, arg);
    }
    return log_fail(ERR_AUTH, "no rule of the map is for %s, issued under anchor %s",
                    who->id->subject.n ? who->id->subject_text : "an empty subject",
                    who->id->anchor);
}
