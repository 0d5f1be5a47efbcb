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
    free(r->anchor);
    free(r->subject_text);
    cert_dn_release(&r->subject);
    for (size_t k = 0; k < 3; k++)
        free(r->sans[k]);
    free(r->account);
}

__attribute__((format(printf, 3, 4))) static enum err
bad_rule(const struct map_reading *rd, const struct map_rule *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return log_fail(ERR_CONFIG, "%s:%u: [%s]: %s", rd->file, r->user.line, r->user.name, text);
}

static enum err check_roots(const struct map_reading *rd, struct map_rule *r)
{
    if (r->user.n_roots == 0)
        return bad_rule(rd, r, "no root");
    for (size_t i = 0; i < r->user.n_roots; i++) {
        struct map_root *root = &r->user.roots[i];
        if (!root->dir)
            return bad_rule(rd, r, "rights for %s, which is no root", root->prefix);
        if (!root->rights)
            root->rights = r->rights;
        if (!root->rights)
            return bad_rule(rd, r, "no rights for root %s", root->prefix);
    }
    return ERR_OK;
}

static enum err load_groups(const struct map_reading *rd, struct map_rule *r,
                            const struct passwd *pw)
{
    gid_t groups[GROUPS_MAX];
    int n = GROUPS_MAX;
    if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) < 0)
        return bad_rule(rd, r, "account %s is in more than %d groups", pw->pw_name, GROUPS_MAX);
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
        return rd->as_root ? bad_rule(rd, r,
                                      "no account: consignd runs as root and must know as whom to "
                                      "touch this user's files")
                           : ERR_OK;
    int rc = getpwnam_r(r->account, &pw, buffer, sizeof buffer, &found);
    if (rc != 0 || !found)
        return bad_rule(rd, r, "there is no account %s%s%s", r->account, rc ? ": " : "",
                        rc ? strerror(rc) : "");
    if (pw.pw_uid == 0)
        return bad_rule(rd, r, "account %s has uid 0", r->account);
    if (!rd->as_root && pw.pw_uid != geteuid())
        return bad_rule(rd, r, "account %s: only root can run as another account", r->account);
    r->user.has_account = true;
    r->user.uid = pw.pw_uid;
    r->user.gid = pw.pw_gid;
    return rd->as_root ? load_groups(rd, r, &pw) : ERR_OK;
}

static bool has_selector(const struct map_rule *r)
{
    return r->subject_text || r->has_print || r->sans[0] || r->sans[1] || r->sans[2];
}

static bool same_san(int type, const char *a, const char *b)
{
    if (!a || !b)
        return !a && !b;
    return type == CERT_SAN_DNS ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

static bool same_selectors(const struct map_rule *a, const struct map_rule *b)
{
    for (int i = 0; i < 3; i++)
        if (!same_san(i, a->sans[i], b->sans[i]))
            return false;
    if (!a->subject_text != !b->subject_text ||
        (a->subject_text && !cert_dn_eq(&a->subject, &b->subject)))
        return false;
    return a->has_print == b->has_print && memcmp(a->print, b->print, WIRE_HASH) == 0 &&
           strcmp(a->anchor, b->anchor) == 0;
}

enum err map_rule_check(const struct map_reading *rd, size_t index)
{
    struct map_rule *r = &rd->map->rules[index];
    if (rd->only && !r->anchor && !(r->anchor = strdup(rd->only)))
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    if (rd->only && strcmp(r->anchor, rd->only) != 0)
        return bad_rule(rd, r, "anchor %s: a partner's rules are for its own anchor alone",
                        r->anchor);
    if (!r->anchor)
        return bad_rule(rd, r, "no anchor: whose certificates is this rule for?");
    if (!cert_store_has(rd->anchors, r->anchor))
        return bad_rule(rd, r, "there is no anchor %s in the configuration", r->anchor);
    if (!has_selector(r))
        return bad_rule(rd, r, "no selector: subject, uri, email, dns or fingerprint");
    for (size_t i = 0; i < index; i++)
        if (same_selectors(&rd->map->rules[i], r))
            return bad_rule(rd, r, "the same certificates as [%s]", rd->map->rules[i].user.name);
    enum err e = check_roots(rd, r);
    return e == ERR_OK ? check_account(rd, r) : e;
}
