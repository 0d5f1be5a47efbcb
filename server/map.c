/* SPDX-License-Identifier: ISC */
#include "map.h"

#include "conf.h"
#include "log.h"
#include "pace.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { ROOTS_MAX = 64, SESSIONS_DEFAULT = 16, SESSIONS_MAX = 100000, GROUPS_MAX = 1024 };

struct rule {
    struct map_user user;
    const char *file;
    bool partner; /* not of the map itself */
    char *anchor;
    char *subject_text; /* as written, for explanations */
    struct cert_dn subject;
    char *sans[3]; /* by enum cert_san_type */
    bool has_print;
    uint8_t print[WIRE_HASH];
    char *account;
    bool has_quota, has_sessions, has_rights, has_links;
    unsigned rights;
};

struct map {
    struct rule *rules;
    size_t n;
    char **files; /* the map, and those of the partners */
    size_t n_files;
};

struct reading {
    struct map *map;
    const struct cert_store *anchors;
    bool as_root;
    const char *file;
    const char *only; /* the anchor that all rules of the file are for; NULL: each names its own */
};

static const char *const san_names[3] = {"dns", "email", "uri"};

/* ---- values ---- */

static struct map_root *find_root(struct map_user *u, const char *prefix)
{
    for (size_t i = 0; i < u->n_roots; i++)
        if (strcmp(u->roots[i].prefix, prefix) == 0)
            return &u->roots[i];
    return NULL;
}

/* The root of that prefix, made when it is not there yet. */
static struct map_root *need_root(struct map_user *u, const char *prefix)
{
    struct map_root *r = find_root(u, prefix);
    if (r || u->n_roots == ROOTS_MAX)
        return r;
    struct map_root *grown = realloc(u->roots, (u->n_roots + 1) * sizeof *grown);
    char *copy = strdup(prefix);
    if (grown)
        u->roots = grown;
    if (!grown || !copy) {
        free(copy);
        return NULL;
    }
    grown[u->n_roots] = (struct map_root){.prefix = copy};
    return &grown[u->n_roots++];
}

static enum err take_root(struct rule *r, const struct conf_at *at, const char *prefix,
                          const char *value)
{
    struct map_root *root = need_root(&r->user, prefix);
    if (!root)
        return conf_fail(at, "too many roots");
    if (root->dir)
        return conf_fail(at, "given twice");
    if (value[0] != '/')
        return conf_fail(at, "a root is an absolute path");
    return conf_string(at, value, false, &root->dir);
}

static enum err take_rights(struct rule *r, const struct conf_at *at, const char *prefix,
                            const char *value)
{
    struct map_root *root = prefix ? need_root(&r->user, prefix) : NULL;
    unsigned *to = prefix ? (root ? &root->rights : NULL) : &r->rights;
    if (!to)
        return conf_fail(at, "too many roots");
    if (prefix ? *to != 0 : r->has_rights)
        return conf_fail(at, "given twice");
    if (!fs_rights_parse(value, to))
        return conf_fail(at,
                         "\"%s\": rights are list read create overwrite delete rename mkdir, "
                         "or all",
                         value);
    r->has_rights |= !prefix;
    return ERR_OK;
}

static enum err take_print(struct rule *r, const struct conf_at *at, const char *value)
{
    static const char scheme[] = "SHA256:";
    if (r->has_print)
        return conf_fail(at, "given twice");
    if (strncasecmp(value, scheme, sizeof scheme - 1) != 0 ||
        strlen(value + sizeof scheme - 1) != 2 * WIRE_HASH ||
        strspn(value + sizeof scheme - 1, "0123456789abcdefABCDEF") != 2 * WIRE_HASH)
        return conf_fail(at, "a fingerprint is SHA256: and 64 hex digits");
    for (size_t i = 0; i < WIRE_HASH; i++) {
        char digits[3] = {value[7 + 2 * i], value[8 + 2 * i], '\0'};
        r->print[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    r->has_print = true;
    return ERR_OK;
}

static enum err take_subject(struct rule *r, const struct conf_at *at, const char *value)
{
    if (r->subject_text)
        return conf_fail(at, "given twice");
    const char *why = cert_dn_check(value, &r->subject);
    return why ? conf_fail(at, "%s", why) : conf_string(at, value, false, &r->subject_text);
}

static enum err take_once(const struct conf_at *at, const char *value, char **to)
{
    return *to ? conf_fail(at, "given twice") : conf_string(at, value, false, to);
}

static enum err take_quota(struct rule *r, const struct conf_at *at, const char *value)
{
    if (r->has_quota)
        return conf_fail(at, "given twice");
    r->has_quota = true;
    return conf_size(at, value, &r->user.quota);
}

static enum err take_sessions(struct rule *r, const struct conf_at *at, const char *value)
{
    uint64_t n = 0;
    if (r->has_sessions)
        return conf_fail(at, "given twice");
    r->has_sessions = true;
    enum err e = conf_u64(at, value, 1, SESSIONS_MAX, &n);
    r->user.sessions = (unsigned)n;
    return e;
}

static enum err take_rate(struct rule *r, const struct conf_at *at, const char *value)
{
    if (r->user.rate)
        return conf_fail(at, "given twice");
    enum err e = conf_size(at, value, &r->user.rate);
    if (e == ERR_OK && r->user.rate < PACE_MIN)
        e = conf_fail(at, "at least %d bytes a second", PACE_MIN);
    return e;
}

static enum err take_links(struct rule *r, const struct conf_at *at, const char *value)
{
    if (r->has_links)
        return conf_fail(at, "given twice");
    r->has_links = true;
    return conf_bool(at, value, &r->user.links);
}

/* Words with blanks or commas between. */
static enum err take_attributes(struct rule *r, const struct conf_at *at, const char *value)
{
    static const char *const words[] = {"xattrs", "acls", "owners"};
    static const unsigned kinds[] = {META_XATTRS, META_ACLS, META_OWNERS};
    if (r->user.meta)
        return conf_fail(at, "given twice");
    for (const char *s = value + strspn(value, " \t,"); *s; s += strspn(s, " \t,")) {
        size_t n = strcspn(s, " \t,"), i = 0;
        while (i < 3 && (strlen(words[i]) != n || memcmp(s, words[i], n) != 0))
            i++;
        if (i == 3)
            return conf_fail(at, "\"%s\": attributes are xattrs, acls and owners", s);
        r->user.meta |= kinds[i];
        s += n;
    }
    return r->user.meta ? ERR_OK : conf_fail(at, "no value");
}

/* "/", or "/" before each of some legal names. */
static bool is_prefix(const char *s)
{
    if (strcmp(s, "/") == 0)
        return true;
    if (strlen(s) > PATH_MAX_BYTES)
        return false;
    do {
        size_t n = *s == '/' ? strcspn(s + 1, "/") : 0;
        if (!path_name_ok(s + 1, n))
            return false;
        s += n + 1;
    } while (*s);
    return true;
}

/* "root /inbox", "rights /inbox": the key's word and the prefix behind it. */
static enum err take_prefixed(struct rule *r, const struct conf_at *at, const char *value)
{
    size_t n = strcspn(at->key, " \t");
    const char *prefix = at->key + n + strspn(at->key + n, " \t");
    bool root = n == 4 && memcmp(at->key, "root", 4) == 0;
    bool rights = n == 6 && memcmp(at->key, "rights", 6) == 0;
    if (!root && !rights)
        return conf_fail(at, "unknown key");
    if (*prefix && !is_prefix(prefix))
        return conf_fail(at, "\"%s\" is not a virtual path: / before each of its names", prefix);
    if (root)
        return take_root(r, at, *prefix ? prefix : "/", value);
    return take_rights(r, at, *prefix ? prefix : NULL, value);
}

static enum err take_value(struct rule *r, const struct conf_at *at, const char *value)
{
    for (size_t i = 0; i < 3; i++)
        if (strcmp(at->key, san_names[i]) == 0)
            return take_once(at, value, &r->sans[i]);
    if (strcmp(at->key, "anchor") == 0)
        return take_once(at, value, &r->anchor);
    if (strcmp(at->key, "subject") == 0)
        return take_subject(r, at, value);
    if (strcmp(at->key, "fingerprint") == 0)
        return take_print(r, at, value);
    if (strcmp(at->key, "account") == 0)
        return take_once(at, value, &r->account);
    if (strcmp(at->key, "quota") == 0)
        return take_quota(r, at, value);
    if (strcmp(at->key, "sessions") == 0)
        return take_sessions(r, at, value);
    if (strcmp(at->key, "rate") == 0)
        return take_rate(r, at, value);
    if (strcmp(at->key, "links") == 0)
        return take_links(r, at, value);
    if (strcmp(at->key, "attributes") == 0)
        return take_attributes(r, at, value);
    return take_prefixed(r, at, value);
}

/* ---- rules ---- */

static bool is_user_name(const char *s)
{
    static const char legal[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
    size_t n = strlen(s);
    return n > 0 && n <= 64 && strspn(s, legal) == n && s[0] != '.' && s[0] != '-';
}

static enum err begin_rule(struct reading *rd, const struct conf_at *at)
{
    struct map *m = rd->map;
    if (!is_user_name(at->section))
        return conf_fail(at,
                         "a user's name is 1 to 64 letters, digits and . _ @ -, and begins with "
                         "neither . nor -");
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->rules[i].user.name, at->section) == 0)
            return conf_fail(at, "this user is there twice");
    struct rule *grown = realloc(m->rules, (m->n + 1) * sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    m->rules = grown;
    struct rule *r = &grown[m->n++];
    *r = (struct rule){.user.line = at->line,
                       .user.sessions = SESSIONS_DEFAULT,
                       .file = rd->file,
                       .partner = rd->only != NULL};
    snprintf(r->user.name, sizeof r->user.name, "%s", at->section);
    return ERR_OK;
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct reading *rd = arg;
    return at->key ? take_value(&rd->map->rules[rd->map->n - 1], at, value) : begin_rule(rd, at);
}

/* ---- what a rule must have ---- */

__attribute__((format(printf, 3, 4))) static enum err
bad_rule(const struct reading *rd, const struct rule *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return log_fail(ERR_CONFIG, "%s:%u: [%s]: %s", rd->file, r->user.line, r->user.name, text);
}

static enum err check_roots(const struct reading *rd, struct rule *r)
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

static enum err load_groups(const struct reading *rd, struct rule *r, const struct passwd *pw)
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

static enum err check_account(const struct reading *rd, struct rule *r)
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

static bool has_selector(const struct rule *r)
{
    return r->subject_text || r->has_print || r->sans[0] || r->sans[1] || r->sans[2];
}

static bool same_san(int type, const char *a, const char *b)
{
    if (!a || !b)
        return !a && !b;
    return type == CERT_SAN_DNS ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

static bool same_selectors(const struct rule *a, const struct rule *b)
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

static enum err check_rule(const struct reading *rd, size_t index)
{
    struct rule *r = &rd->map->rules[index];
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

static enum err read_rules(struct reading *rd, const char *file)
{
    struct map *m = rd->map;
    char **grown = realloc(m->files, (m->n_files + 1) * sizeof *grown);
    size_t before = m->n;
    if (grown)
        m->files = grown;
    if (!grown || !(grown[m->n_files] = strdup(file)))
        return log_fail(ERR_INTERNAL, "out of memory for the map");
    rd->file = grown[m->n_files++];
    enum err e = conf_read(file, take, rd);
    for (size_t i = before; e == ERR_OK && i < m->n; i++)
        e = check_rule(rd, i);
    return e;
}

enum err map_load(const char *file, const struct cert_store *anchors, bool as_root,
                  struct map **out)
{
    struct map *m = calloc(1, sizeof *m);
    struct reading rd = {.map = m, .anchors = anchors, .as_root = as_root};
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
    struct reading rd = {.map = m, .anchors = anchors, .as_root = as_root, .only = anchor};
    return read_rules(&rd, file);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        struct rule *r = &m->rules[i];
        map_user_release(&r->user);
        free(r->anchor);
        free(r->subject_text);
        cert_dn_release(&r->subject);
        for (size_t k = 0; k < 3; k++)
            free(r->sans[k]);
        free(r->account);
    }
    for (size_t i = 0; i < m->n_files; i++)
        free(m->files[i]);
    free(m->files);
    free(m->rules);
    free(m);
}

/* ---- matching ---- */

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

static int compare(const struct rule *r, const struct cert_id *id)
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

static void explain_rule(const struct rule *r, const struct cert_id *id, int mismatch,
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
                 san_names[mismatch - NO_SAN], r->sans[mismatch - NO_SAN]);
    snprintf(line, sizeof line, "rule %s (%s%s line %u): %s", r->user.name,
             r->partner ? "partner " : "map", r->partner ? r->anchor : "", r->user.line, why);
    explain(arg, line);
}

const struct map_user *map_match(const struct map *m, const struct cert_id *id,
                                 map_explain_fn *explain, void *arg)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct rule *r = &m->rules[i];
        int mismatch = compare(r, id);
        if (explain)
            explain_rule(r, id, mismatch, explain, arg);
        if (mismatch == NONE)
            return &r->user;
    }
    return NULL;
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
