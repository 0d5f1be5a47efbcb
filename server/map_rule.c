/* SPDX-License-Identifier: ISC */
/* What a rule must have. */
#include "map_internal.h"

#include "log.h"
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { GROUPS_MAX = 1024 };

void map_rule_release(struct map_rule *r)
{
    map_user_release(&r->user);
    free(r->group);
    free(r->anchor);
    free(r->subject_text);
    free(r->issuer_text);
    cert_dn_release(&r->subject);
    cert_dn_release(&r->issuer);
    for (size_t i = 0; i < r->n_sans; i++)
        free(r->sans[i].value);
    free(r->sans);
    free(r->account);
    free(r->hours_text);
    networks_release(&r->networks);
}

enum err map_rule_fail(const struct map_rule *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return log_fail(ERR_CONFIG, "%s:%u: [%s]: %s", r->file, r->user.line, r->user.name, text);
}

/* ---- what it grants ---- */

/* The folder of a user who is known by now; a template's users get theirs by map_grant. */
static enum err check_dir(struct map_rule *r, struct map_root *root)
{
    const char *why = map_dir_check(root->dir, &r->name);
    if (why)
        return map_rule_fail(r, "root %s: %s", root->prefix, why);
    if (r->name.var != MAP_NO_VAR || !map_dir_varies(root->dir))
        return ERR_OK;
    char *dir = map_dir_of(root->dir, &r->name, r->user.name);
    if (!dir)
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    free(root->dir);
    root->dir = dir;
    return ERR_OK;
}

static enum err check_roots(struct map_rule *r)
{
    bool varies = r->name.var == MAP_NO_VAR;
    if (r->user.n_roots == 0)
        return map_rule_fail(r, "no root");
    for (size_t i = 0; i < r->user.n_roots; i++) {
        struct map_root *root = &r->user.roots[i];
        if (!root->dir)
            return map_rule_fail(r, "rights for %s, which is no root", root->prefix);
        if (!root->rights) {
            root->rights = r->rights;
            root->rights_line = r->rights_line;
        }
        if (!root->rights)
            return map_rule_fail(r, "no rights for root %s", root->prefix);
        varies |= map_dir_varies(root->dir);
        enum err e = check_dir(r, root);
        if (e != ERR_OK)
            return e;
    }
    return varies ? ERR_OK
                  : map_rule_fail(
                        r,
                        "no root of their own: one must have %%{user} or %%{%s} in it, by which "
                        "it is known who there is",
                        map_var_name(r->name.var));
}

static enum err load_groups(struct map_rule *r, const struct passwd *pw)
{
    gid_t groups[GROUPS_MAX];
    int n = GROUPS_MAX;
    if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
        return map_rule_fail(r, "account %s is in more than %d groups", pw->pw_name, GROUPS_MAX);
    r->user.groups = malloc((size_t)n * sizeof *groups);
    if (!r->user.groups)
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    memcpy(r->user.groups, groups, (size_t)n * sizeof *groups);
    r->user.n_groups = (size_t)n;
    return ERR_OK;
}

static enum err check_account(const struct map_reading *rd, struct map_rule *r)
{
    char buffer[16384];
    struct passwd pw, *found = NULL;
    if (!r->account)
        return rd->as_root
                   ? map_rule_fail(r, "no account: consignd runs as root and must know as whom to "
                                      "touch this user's files")
                   : ERR_OK;
    int rc = getpwnam_r(r->account, &pw, buffer, sizeof buffer, &found);
    if (rc != 0 || !found)
        return map_rule_fail(r, "there is no account %s%s%s", r->account, rc ? ": " : "",
                             rc ? strerror(rc) : "");
    if (pw.pw_uid == 0)
        return map_rule_fail(r, "account %s has uid 0", r->account);
    if (!rd->as_root && pw.pw_uid != geteuid())
        return map_rule_fail(r, "account %s: only root can run as another account", r->account);
    r->user.has_account = true;
    r->user.uid = pw.pw_uid;
    r->user.gid = pw.pw_gid;
    return rd->as_root ? load_groups(r, &pw) : ERR_OK;
}

/* ---- whose it is ---- */

static bool has_selector(const struct map_rule *r)
{
    return r->subject_text || r->has_print || r->n_sans;
}

static bool has_san(const struct map_rule *r, const struct map_san *san)
{
    for (size_t i = 0; i < r->n_sans; i++) {
        const struct map_san *s = &r->sans[i];
        if (s->type == san->type && (s->type == CERT_SAN_DNS ? strcasecmp(s->value, san->value)
                                                             : strcmp(s->value, san->value)) == 0)
            return true;
    }
    return false;
}

static bool has_sans_of(const struct map_rule *r, const struct map_rule *other)
{
    for (size_t i = 0; i < other->n_sans; i++)
        if (!has_san(r, &other->sans[i]))
            return false;
    return true;
}

static bool same_dn(const struct cert_dn *a, const struct cert_dn *b)
{
    return a->n == 0 ? b->n == 0 : cert_dn_eq(a, b);
}

static bool same_selectors(const struct map_rule *a, const struct map_rule *b)
{
    return same_dn(&a->subject, &b->subject) && same_dn(&a->issuer, &b->issuer) &&
           has_sans_of(a, b) && has_sans_of(b, a) && a->has_print == b->has_print &&
           memcmp(a->print, b->print, WIRE_HASH) == 0 && strcmp(a->anchor, b->anchor) == 0;
}

/* Whether every certificate that r is for is the other's already, which stands above it. */
static bool is_hidden(const struct map_rule *r, const struct map_rule *other)
{
    return other->name.var == MAP_NO_VAR && strcmp(other->anchor, r->anchor) == 0 &&
           (other->issuer.n == 0 || cert_dn_eq(&other->issuer, &r->issuer)) &&
           (other->subject.n == 0 || cert_dn_eq(&other->subject, &r->subject) ||
            cert_dn_match(&other->subject, &r->subject)) &&
           (!other->has_print ||
            (r->has_print && memcmp(r->print, other->print, WIRE_HASH) == 0)) &&
           has_sans_of(r, other);
}

/* A template's name must come from a part of the certificate that may be anything, of which there is just one. */
static enum err check_template(const struct map_rule *r)
{
    const struct cert_ava *ava = NULL;
    const char *var = map_var_name(r->name.var);
    const struct map_san any = {CERT_SAN_EMAIL, (char *)(uintptr_t) "*"};
    if (r->name.var == MAP_NO_VAR)
        return ERR_OK;
    if (r->name.var == MAP_EMAIL)
        return has_san(r, &any)
                   ? ERR_OK
                   : map_rule_fail(r, "%%{email} goes with email = * in the same rule");
    if (cert_dn_find(&r->subject, var, &ava) == 1 && ava->any)
        return ERR_OK;
    return map_rule_fail(r, "%%{%s} goes with a subject that has just one %s, and this as %s=*",
                         var, var, var);
}

static enum err check_whose(const struct map_reading *rd, const struct map_rule *r)
{
    if (rd->only && strcmp(r->anchor, rd->only) != 0)
        return map_rule_fail(r, "anchor %s: a partner's rules are for its own anchor alone",
                             r->anchor);
    if (!r->anchor)
        return map_rule_fail(r, "no anchor: whose certificates is this rule for?");
    if (!cert_store_has(rd->anchors, r->anchor))
        return map_rule_fail(r, "there is no anchor %s in the configuration", r->anchor);
    if (!has_selector(r))
        return map_rule_fail(r, "no selector: subject, uri, email, dns or fingerprint");
    return check_template(r);
}

/* Two fixed names were compared when they were read; one that is fixed is kept from templates by map_ask. */
static enum err check_others(const struct map *m, size_t index)
{
    const struct map_rule *r = &m->rules[index];
    for (size_t i = 0; i < index; i++) {
        const struct map_rule *other = &m->rules[i];
        if (same_selectors(other, r))
            return map_rule_fail(r, "the same certificates as [%s]", other->user.name);
        if (is_hidden(r, other))
            log_warn("%s:%u: [%s]: matches nothing: its certificates are those of [%s] (line %u), "
                     "which stands above it",
                     r->file, r->user.line, r->user.name, other->user.name, other->user.line);
        if (r->name.var != MAP_NO_VAR && other->name.var != MAP_NO_VAR &&
            map_name_clash(&other->name, &r->name))
            return map_rule_fail(
                r,
                "users of it can have the names of those of [%s]: begin or end the names "
                "of one of them with a word of its own",
                other->user.name);
    }
    return ERR_OK;
}

enum err map_rule_check(const struct map_reading *rd, size_t index)
{
    struct map_rule *r = &rd->map->rules[index];
    enum err e = map_group_apply(rd, r);
    if (e == ERR_OK && rd->only && !r->anchor && !(r->anchor = strdup(rd->only)))
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    if (e == ERR_OK && (e = check_whose(rd, r)) == ERR_OK &&
        (e = check_others(rd->map, index)) == ERR_OK && (e = check_roots(r)) == ERR_OK)
        e = check_account(rd, r);
    return e;
}
