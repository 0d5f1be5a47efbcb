/* SPDX-License-Identifier: ISC */
/* The keys of a rule, and how their values are read. */
#include "map_internal.h"

#include "pace.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROOTS_MAX = 64, SANS_MAX = 16, SESSIONS_MAX = 100000 };
#define RETAIN_MAX_S (UINT64_C(100) * 365 * 86400)

const char *const map_san_names[3] = {"dns", "email", "uri"};

static struct map_root *find_root(const struct map_user *u, const char *prefix)
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

static enum err take_root(struct map_rule *r, const struct conf_at *at, const char *prefix,
                          const char *value)
{
    struct map_root *root = need_root(&r->user, prefix);
    if (!root)
        return conf_fail(at, "too many roots");
    if (root->dir)
        return conf_fail(at, "given twice");
    if (value[0] != '/')
        return conf_fail(at, "a root is an absolute path");
    root->line = at->line;
    return conf_string(at, value, false, &root->dir);
}

static enum err take_rights(struct map_rule *r, const struct conf_at *at, const char *prefix,
                            const char *value)
{
    struct map_root *root = prefix ? need_root(&r->user, prefix) : NULL;
    unsigned *to = !prefix ? &r->rights : root ? &root->rights : NULL;
    if (!to)
        return conf_fail(at, "too many roots");
    if (*to)
        return conf_fail(at, "given twice");
    if (!fs_rights_parse(value, to))
        return conf_fail(at,
                         "\"%s\": rights are list read create overwrite delete rename mkdir, "
                         "or all",
                         value);
    *(prefix ? &root->rights_line : &r->rights_line) = at->line;
    return ERR_OK;
}

static enum err take_print(struct map_rule *r, const struct conf_at *at, const char *value)
{
    static const char scheme[] = "SHA256:";
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

static enum err take_subject(struct map_rule *r, const struct conf_at *at, const char *value)
{
    const char *why = cert_dn_check_pattern(value, &r->subject);
    return why ? conf_fail(at, "%s", why) : conf_string(at, value, false, &r->subject_text);
}

static enum err take_issuer(struct map_rule *r, const struct conf_at *at, const char *value)
{
    const char *why = cert_dn_check(value, &r->issuer);
    return why ? conf_fail(at, "%s", why) : conf_string(at, value, false, &r->issuer_text);
}

static enum err take_group(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_string(at, value, false, &r->group);
}

static enum err take_anchor(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_string(at, value, false, &r->anchor);
}

static enum err take_account(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_string(at, value, false, &r->account);
}

static enum err add_san(struct map_rule *r, const struct conf_at *at, enum cert_san_type type,
                        const char *value, size_t n)
{
    struct map_san *grown = realloc(r->sans, (r->n_sans + 1) * sizeof *grown);
    char *copy = strndup(value, n);
    if (grown)
        r->sans = grown;
    if (!grown || !copy) {
        free(copy);
        return conf_fail(at, "out of memory");
    }
    grown[r->n_sans++] = (struct map_san){type, copy};
    return ERR_OK;
}

/* One or several with blanks between; a star can only stand alone, as with more it would not be the only one. */
static enum err take_sans(struct map_rule *r, const struct conf_at *at, enum cert_san_type type,
                          const char *value)
{
    enum err e = ERR_OK;
    size_t n = 0, before = r->n_sans;
    bool star = false;
    for (const char *s = value; e == ERR_OK && *s; s += n + strspn(s + n, " \t")) {
        n = strcspn(s, " \t");
        star |= n == 1 && *s == '*';
        e = r->n_sans == SANS_MAX ? conf_fail(at, "too many names") : add_san(r, at, type, s, n);
    }
    if (e == ERR_OK && (r->n_sans == before || (star && r->n_sans > before + 1)))
        e = conf_fail(at, star ? "a star stands alone" : "no value");
    return e;
}

static enum err take_dns(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return take_sans(r, at, CERT_SAN_DNS, value);
}

static enum err take_email(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return take_sans(r, at, CERT_SAN_EMAIL, value);
}

static enum err take_uri(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return take_sans(r, at, CERT_SAN_URI, value);
}

static enum err take_hours(struct map_rule *r, const struct conf_at *at, const char *value)
{
    const char *why = map_hours_parse(value, &r->hours);
    return why ? conf_fail(at, "%s", why) : conf_string(at, value, false, &r->hours_text);
}

/* "none" and no value would be no limit at all. */
static enum err take_networks(struct map_rule *r, const struct conf_at *at, const char *value)
{
    char bad[NETWORK_TEXT];
    if (!networks_parse(&r->networks, value, bad))
        return conf_fail(
            at, "\"%s\" is no network: ADDRESS or ADDRESS/BITS, with no bits beyond them", bad);
    return r->networks.n ? ERR_OK : conf_fail(at, "no network");
}

static enum err take_quota(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_size(at, value, &r->user.quota);
}

static enum err take_quota_files(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_u64(at, value, 0, UINT64_MAX, &r->user.quota_files);
}

static enum err take_parts(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_u64(at, value, 1, UINT64_MAX, &r->user.parts);
}

static enum err take_retain(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_seconds(at, value, 0, RETAIN_MAX_S, &r->user.retain_s);
}

static enum err take_sessions(struct map_rule *r, const struct conf_at *at, const char *value)
{
    uint64_t n = 0;
    enum err e = conf_u64(at, value, 1, SESSIONS_MAX, &n);
    r->user.sessions = (unsigned)n;
    return e;
}

static enum err take_rate(struct map_rule *r, const struct conf_at *at, const char *value)
{
    enum err e = conf_size(at, value, &r->user.rate);
    if (e == ERR_OK && r->user.rate < PACE_MIN)
        e = conf_fail(at, "at least %d bytes a second", PACE_MIN);
    return e;
}

static enum err take_links(struct map_rule *r, const struct conf_at *at, const char *value)
{
    return conf_bool(at, value, &r->user.links);
}

/* Words with blanks or commas between. */
static enum err take_attributes(struct map_rule *r, const struct conf_at *at, const char *value)
{
    static const char *const words[] = {"xattrs", "acls", "owners"};
    static const unsigned kinds[] = {META_XATTRS, META_ACLS, META_OWNERS};
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
static enum err take_prefixed(struct map_rule *r, const struct conf_at *at, const char *value)
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

/* Each at most once in a rule. */
static const struct {
    const char *word;
    enum err (*take)(struct map_rule *r, const struct conf_at *at, const char *value);
    bool own; /* not for groups: it says which rule this is */
} keys[] = {
    {"anchor", take_anchor, false},
    {"issuer", take_issuer, false},
    {"group", take_group, true},
    {"subject", take_subject, true},
    {"fingerprint", take_print, true},
    {"uri", take_uri, true},
    {"email", take_email, true},
    {"dns", take_dns, true},
    {"account", take_account, false},
    {"networks", take_networks, false},
    {"hours", take_hours, false},
    {"quota", take_quota, false},
    {"sessions", take_sessions, false},
    {"rate", take_rate, false},
    {"links", take_links, false},
    {"attributes", take_attributes, false},
    {"quota-files", take_quota_files, false},
    {"parts", take_parts, false},
    {"retain", take_retain, false},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

static size_t row_of(const char *key)
{
    size_t i = 0;
    while (i < KEYS && strcmp(key, keys[i].word) != 0)
        i++;
    return i;
}

enum err map_rule_take(struct map_rule *r, const struct conf_at *at, const char *value)
{
    size_t i = row_of(at->key);
    if (i == KEYS)
        return take_prefixed(r, at, value);
    if (r->given & UINT64_C(1) << i)
        return conf_fail(at, "given twice");
    r->given |= UINT64_C(1) << i;
    return keys[i].take(r, at, value);
}

bool map_rule_has(const struct map_rule *r, const char *key)
{
    size_t i = row_of(key), n = strcspn(key, " \t");
    if (i < KEYS)
        return r->given >> i & 1;
    const char *prefix = key + n + strspn(key + n, " \t");
    if (n == 6 && !*prefix)
        return r->rights != 0;
    const struct map_root *root = find_root(&r->user, *prefix ? prefix : "/");
    return root && (n == 4 ? root->dir != NULL : root->rights != 0);
}

bool map_key_is_own(const char *key)
{
    size_t i = row_of(key);
    return i < KEYS && keys[i].own;
}
