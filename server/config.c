/* SPDX-License-Identifier: ISC */
#include "config.h"

#include "conf.h"
#include "confine.h"
#include "log.h"
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    YEAR_S = 366 * 86400,
    EPOCH_MAX_S = 7 * 86400,
    SESSIONS_MAX = 100000,
    TOKEN_SESSIONS_MAX = 64
};

/* Who is on this host is no stranger, and behind a proxy that is everybody. */
static const char EXEMPT[] = "127.0.0.0/8, ::1";

enum kind {
    PATH,
    TEXT,
    LISTEN,
    REFERENCE,
    PIN,
    BOOL,
    REQUIRE,
    BEST,
    SINKS,
    FIPS,
    GROUPS,
    COUNT,
    SECONDS,
    SIZE,
    NETWORKS
};

/* Every key of [server] and [limits]: where it goes and what it may be. The key of [server] and what
 * goes with it is the first token's. */
static const struct key {
    const char *section, *name;
    enum kind kind;
    size_t at;
    uint64_t min, max;
} keys[] = {
#define AT(field) offsetof(struct config, field)
    {"server", "listen", LISTEN, AT(listen), 0, 0},
    {"server", "certificate", PATH, AT(certificate), 0, 0},
    {"server", "key", REFERENCE, AT(tokens[0].key), 0, 0},
    {"server", "module", PATH, AT(tokens[0].module), 0, 0},
    {"server", "module-env", TEXT, AT(tokens[0].module_env), 0, 0},
    {"server", "pin", PIN, AT(tokens[0].pin), 0, 0},
    {"server", "max-sessions", COUNT, AT(tokens[0].sessions), 1, TOKEN_SESSIONS_MAX},
    {"server", "keep-alive", SECONDS, AT(tokens[0].keep_alive_s), 1, 86400},
    {"server", "allow-extractable", BOOL, AT(allow_extractable), 0, 0},
    {"server", "map", PATH, AT(map), 0, 0},
    {"server", "partners", PATH, AT(partners), 0, 0},
    {"server", "audit", PATH, AT(audit), 0, 0},
    {"server", "audit-policy", BEST, AT(audit_best), 0, 0},
    {"server", "audit-sync", BOOL, AT(audit_sync), 0, 0},
    {"server", "audit-sink", SINKS, 0, 0, 0},
    {"server", "audit-head-records", COUNT, AT(audit_head_records), 0, UINT32_MAX},
    {"server", "audit-head-interval", SECONDS, AT(audit_head_s), 0, YEAR_S},
    {"server", "sign-key", REFERENCE, AT(sign.key), 0, 0},
    {"server", "sign-cert", PATH, AT(sign_certificate), 0, 0},
    {"server", "sign-module", PATH, AT(sign.module), 0, 0},
    {"server", "sign-module-env", TEXT, AT(sign.module_env), 0, 0},
    {"server", "sign-pin", PIN, AT(sign.pin), 0, 0},
    {"server", "pid-file", PATH, AT(pid_file), 0, 0},
    {"server", "status", PATH, AT(status), 0, 0},
    {"server", "session-user", TEXT, AT(session_user), 0, 0},
    {"server", "token-user", TEXT, AT(token_user), 0, 0},
    {"server", "confine", REQUIRE, AT(confine_require), 0, 0},
    {"server", "tickets", BOOL, AT(tickets), 0, 0},
    {"server", "ticket-key", TEXT, AT(ticket_key), 0, 0},
    {"server", "ticket-epoch", SECONDS, AT(ticket_epoch_s), 3, EPOCH_MAX_S},
    {"server", "fips", FIPS, AT(tls.fips), 0, 0},
    {"server", "groups", GROUPS, AT(tls.groups), 0, 0},
    {"server", "crl-warn", SECONDS, AT(crl_warn_s), 0, YEAR_S},
    {"limits", "sessions", COUNT, AT(sessions), 1, SESSIONS_MAX},
    {"limits", "sessions-per-address", COUNT, AT(sessions_per_address), 1, SESSIONS_MAX},
    {"limits", "handshakes", COUNT, AT(handshakes), 1, SESSIONS_MAX},
    {"limits", "penalty", SECONDS, AT(penalty_s), 0, 86400},
    {"limits", "penalty-exempt", NETWORKS, AT(penalty_exempt), 0, 0},
    {"limits", "handshake", SECONDS, AT(handshake_s), 1, 600},
    {"limits", "sign-wait", SECONDS, AT(sign_wait_s), 1, 600},
    {"limits", "sign-timeout", SECONDS, AT(sign_timeout_s), 1, 600},
    {"limits", "sign-queue", COUNT, AT(sign_queue), 1, SESSIONS_MAX},
    {"limits", "first-request", SECONDS, AT(request_s), 1, 3600},
    {"limits", "idle", SECONDS, AT(idle_s), 1, 86400},
    {"limits", "stall", SECONDS, AT(stall_s), 1, 3600},
    {"limits", "min-rate", SIZE, AT(min_rate), 1, UINT32_MAX},
    {"limits", "drain", SECONDS, AT(drain_s), 1, 86400},
    {"limits", "part-expiry", SECONDS, AT(part_expiry_s), 1, YEAR_S},
    {"limits", "scrub-interval", SECONDS, AT(scrub_interval_s), 0, YEAR_S},
    {"limits", "scrub-rate", SIZE, AT(scrub_rate), 0, UINT64_MAX},
#undef AT
};

/* Every key of [token NAME]. */
static const struct key token_keys[] = {
#define AT(field) offsetof(struct config_token, field)
    {"token", "key", REFERENCE, AT(key), 0, 0},
    {"token", "module", PATH, AT(module), 0, 0},
    {"token", "module-env", TEXT, AT(module_env), 0, 0},
    {"token", "pin", PIN, AT(pin), 0, 0},
    {"token", "max-sessions", COUNT, AT(sessions), 1, TOKEN_SESSIONS_MAX},
    {"token", "keep-alive", SECONDS, AT(keep_alive_s), 1, 86400},
#undef AT
};

enum {
    KEYS = sizeof keys / sizeof keys[0],
    TOKEN_KEYS = sizeof token_keys / sizeof token_keys[0],
};

struct reading {
    struct config *config;
    bool seen[KEYS];
    struct config_anchor *anchor; /* of the section being read */
    bool anchor_policy, anchor_stale;
    struct config_token *token; /* of the section being read */
    bool token_seen[TOKEN_KEYS];
    bool server, limits;
};

/* ---- values ---- */

/* Sources that name a file are paths; "fd:3" and the like are not. */
static enum err take_pin(const struct conf_at *at, const char *value, char **out)
{
    bool file = strncmp(value, "file:", 5) == 0;
    bool plain = !strchr(value, ':') && strcmp(value, "prompt") != 0;
    return conf_string(at, file ? value + 5 : value, file || plain, out);
}

static bool is_address(int family, const char *s, size_t n)
{
    struct addrinfo hints = {.ai_family = family, .ai_flags = AI_NUMERICHOST}, *list = NULL;
    char host[128];
    if (n == 0 || n >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)n, s);
    bool good = getaddrinfo(host, NULL, &hints, &list) == 0;
    if (list)
        freeaddrinfo(list);
    return good;
}

/* Told here, with its line, and not first when the port is opened. */
static enum err take_listen(const struct conf_at *at, const char *value, char **out)
{
    const char *colon = strrchr(value, ':');
    size_t n = colon ? (size_t)(colon - value) : 0, digits = colon ? strlen(colon + 1) : 0;
    bool port = digits > 0 && digits <= 5 && strspn(colon + 1, "0123456789") == digits &&
                atoi(colon + 1) <= UINT16_MAX;
    bool any = n == 1 && value[0] == '*';
    bool v6 = n > 2 && value[0] == '[' && value[n - 1] == ']';
    bool host =
        any || (v6 ? is_address(AF_INET6, value + 1, n - 2) : is_address(AF_INET, value, n));
    if (!port || !host)
        return conf_fail(at, "\"%s\" is not ADDRESS:PORT, [V6]:PORT or *:PORT (numbers)", value);
    return conf_string(at, value, false, out);
}

static enum err take_groups(const struct conf_at *at, const char *value, struct tls_groups *out)
{
    char why[TLS_WHY];
    return tls_groups_parse(value, out, why) ? ERR_OK : conf_fail(at, "%s", why);
}

/* In the place of the default. */
static enum err take_networks(const struct conf_at *at, const char *value, struct networks *out)
{
    char bad[NETWORK_TEXT];
    networks_release(out);
    if (networks_parse(out, value, bad))
        return ERR_OK;
    return conf_fail(at, "\"%s\" is no network: ADDRESS or ADDRESS/BITS is wanted", bad);
}

/* "journald syslog:/dev/log file": words, those of sockets with a path where it is another one. */
static enum err take_sinks(const struct conf_at *at, const char *value, struct config *c)
{
    static const char journald[] = "/run/systemd/journal/socket", syslog[] = "/dev/log";
    enum err e = ERR_OK;
    while (e == ERR_OK && *(value += strspn(value, " "))) {
        size_t n = strcspn(value, " "), name = strcspn(value, ": ");
        bool j = name == 8 && strncmp(value, "journald", name) == 0;
        bool s = name == 6 && strncmp(value, "syslog", name) == 0;
        char path[108] = "";
        if (n - name > sizeof path || (n > name && value[name + 1] != '/'))
            return conf_fail(at, "the path of a socket is absolute, and at most 107 bytes");
        if (n > name)
            snprintf(path, sizeof path, "%.*s", (int)(n - name - 1), value + name + 1);
        if (j || s)
            e = conf_string(at,
                            n > name ? path
                            : j      ? journald
                                     : syslog,
                            true, j ? &c->audit_journald : &c->audit_syslog);
        else if (n != 4 || strncmp(value, "file", n) != 0)
            return conf_fail(at, "\"%.*s\" is neither file nor journald nor syslog", (int)n, value);
        value += n;
    }
    return e;
}

static enum err take_value(const struct key *k, const struct conf_at *at, const char *value,
                           void *to)
{
    enum err e = ERR_OK;
    switch (k->kind) {
    case PATH:
        return conf_string(at, value, true, to);
    case TEXT:
        return conf_string(at, value, false, to);
    case LISTEN:
        return take_listen(at, value, to);
    case REFERENCE:
        return conf_string(at, value, strncmp(value, "pkcs11:", 7) != 0, to);
    case PIN:
        return take_pin(at, value, to);
    case BOOL:
        return conf_bool(at, value, to);
    case COUNT:
        return conf_u64(at, value, k->min, k->max, to);
    case SECONDS:
        return conf_seconds(at, value, k->min, k->max, to);
    case SIZE:
        e = conf_size(at, value, to);
        if (e == ERR_OK && (*(uint64_t *)to < k->min || *(uint64_t *)to > k->max))
            e = conf_fail(at, "out of range");
        return e;
    case REQUIRE:
    case BEST:
        *(bool *)to = strcmp(value, k->kind == BEST ? "best" : "require") == 0;
        return *(bool *)to || strcmp(value, k->kind == BEST ? "require" : "best") == 0
                   ? ERR_OK
                   : conf_fail(at, "\"%s\" is neither require nor best", value);
    case SINKS:
        return take_sinks(at, value, to);
    case FIPS:
        return fips_mode_parse(value, to)
                   ? ERR_OK
                   : conf_fail(at, "\"%s\" is neither require nor report nor off", value);
    case GROUPS:
        return take_groups(at, value, to);
    case NETWORKS:
        return take_networks(at, value, to);
    }
    return ERR_INTERNAL;
}

static enum err take_anchor_value(struct reading *r, const struct conf_at *at, const char *value)
{
    struct config_anchor *a = r->anchor;
    char **to = strcmp(at->key, "ca") == 0 ? &a->ca : strcmp(at->key, "crl") == 0 ? &a->crl : NULL;
    if (to)
        return *to ? conf_fail(at, "given twice") : conf_string(at, value, true, to);
    if (strcmp(at->key, "crl-stale") == 0) {
        if (r->anchor_stale)
            return conf_fail(at, "given twice");
        r->anchor_stale = true;
        return cert_stale_parse(at, value, &a->crl_stale);
    }
    if (strcmp(at->key, "crl-policy") != 0)
        return conf_fail(at, "unknown key");
    if (r->anchor_policy)
        return conf_fail(at, "given twice");
    r->anchor_policy = true;
    if (strcmp(value, "require") == 0)
        a->crl_policy = CERT_CRL_REQUIRE;
    else if (strcmp(value, "if-present") == 0)
        a->crl_policy = CERT_CRL_IF_PRESENT;
    else
        return conf_fail(at, "\"%s\" is neither require nor if-present", value);
    return ERR_OK;
}

/* ---- sections ---- */

static bool is_name(const char *s)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(s);
    return n > 0 && n <= 64 && strspn(s, legal) == n;
}

static enum err begin_anchor(struct reading *r, const struct conf_at *at, const char *name)
{
    struct config *c = r->config;
    for (size_t i = 0; i < c->n_anchors; i++)
        if (strcmp(c->anchors[i].name, name) == 0)
            return conf_fail(at, "this anchor is there twice");
    if (!is_name(name))
        return conf_fail(at, "an anchor's name is 1 to 64 letters, digits, and . _ -");
    struct config_anchor *grown = realloc(c->anchors, (c->n_anchors + 1) * sizeof *grown);
    if (!grown)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    c->anchors = grown;
    r->anchor = &grown[c->n_anchors];
    *r->anchor = (struct config_anchor){.name = strdup(name), .crl_policy = CERT_CRL_REQUIRE};
    r->anchor_policy = r->anchor_stale = false;
    if (!r->anchor->name)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    c->n_anchors++;
    return ERR_OK;
}

static enum err begin_token(struct reading *r, const struct conf_at *at, const char *name)
{
    struct config *c = r->config;
    for (size_t i = 0; i < c->n_tokens; i++)
        if (strcmp(c->tokens[i].name, name) == 0)
            return conf_fail(at, "this token is there twice (\"%s\" is that of [server])",
                             c->tokens[0].name);
    if (!is_name(name))
        return conf_fail(at, "a token's name is 1 to 64 letters, digits, and . _ -");
    if (strcmp(name, "sign") == 0)
        return conf_fail(at, "this is what the token of sign-key is called");
    if (c->n_tokens == CONFIG_TOKENS)
        return conf_fail(at, "more than %d tokens", CONFIG_TOKENS);
    r->token = &c->tokens[c->n_tokens];
    memset(r->token_seen, 0, sizeof r->token_seen);
    r->token->name = strdup(name);
    if (!r->token->name)
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    c->n_tokens++;
    return ERR_OK;
}

static enum err begin_section(struct reading *r, const struct conf_at *at)
{
    bool *seen = strcmp(at->section, "server") == 0   ? &r->server
                 : strcmp(at->section, "limits") == 0 ? &r->limits
                                                      : NULL;
    r->anchor = NULL;
    r->token = NULL;
    if (strncmp(at->section, "token ", 6) == 0)
        return begin_token(r, at, at->section + 6 + strspn(at->section + 6, " "));
    if (strncmp(at->section, "anchor ", 7) == 0)
        return begin_anchor(r, at, at->section + 7 + strspn(at->section + 7, " "));
    if (!seen)
        return conf_fail(at, "unknown section");
    if (*seen)
        return conf_fail(at, "this section is there twice");
    *seen = true;
    return ERR_OK;
}

static enum err take_token_value(struct reading *r, const struct conf_at *at, const char *value)
{
    for (size_t i = 0; i < TOKEN_KEYS; i++) {
        if (strcmp(token_keys[i].name, at->key) != 0)
            continue;
        if (r->token_seen[i])
            return conf_fail(at, "given twice");
        r->token_seen[i] = true;
        return take_value(&token_keys[i], at, value, (char *)r->token + token_keys[i].at);
    }
    return conf_fail(at, "unknown key");
}

static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct reading *r = arg;
    if (!at->key)
        return begin_section(r, at);
    if (r->anchor)
        return take_anchor_value(r, at, value);
    if (r->token)
        return take_token_value(r, at, value);
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].section, at->section) != 0 || strcmp(keys[i].name, at->key) != 0)
            continue;
        if (r->seen[i])
            return conf_fail(at, "given twice");
        r->seen[i] = true;
        return take_value(&keys[i], at, value, (char *)r->config + keys[i].at);
    }
    return conf_fail(at, "unknown key");
}

/* ---- the whole ---- */

static void set_defaults(struct config *c)
{
    c->crl_warn_s = 3 * 86400;
    c->sessions = 256;
    c->sessions_per_address = 64;
    c->handshakes = 128;
    c->penalty_s = 600;
    c->handshake_s = 10;
    c->sign_wait_s = 6;
    c->sign_timeout_s = 3;
    c->sign_queue = 128;
    c->tokens[0].sessions = 8;
    c->tokens[0].keep_alive_s = 20;
    c->ticket_epoch_s = 8 * 3600;
    c->request_s = 30;
    c->idle_s = 300;
    c->stall_s = 60;
    c->min_rate = 1024;
    c->drain_s = 60;
    c->part_expiry_s = 7 * 86400;
    c->scrub_rate = 32 << 20;
    c->audit_head_records = 1000;
    c->audit_head_s = 300;
}

static enum err default_text(char **at, const char *value)
{
    if (!*at && !(*at = strdup(value)))
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    return ERR_OK;
}

static enum err check(struct config *c)
{
    char why[TLS_WHY];
    const struct {
        const char *key;
        const char *value;
    } needed[] = {{"certificate", c->certificate}, {"key", c->tokens[0].key}, {"map", c->map}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!needed[i].value)
            return log_fail(ERR_CONFIG, "%s: [server] %s is missing", c->file, needed[i].key);
    enum err e;
    if (!tls_policy_check(&c->tls, why))
        return log_fail(ERR_CONFIG, "%s: [server] groups: %s", c->file, why);
    if (c->ticket_key && strncmp(c->ticket_key, "pkcs11:", 7) != 0)
        return log_fail(ERR_CONFIG, "%s: [server] ticket-key: a pkcs11: URL is wanted", c->file);
    if (!c->sign.key != !c->sign_certificate)
        return log_fail(ERR_CONFIG, "%s: [server] sign-key and sign-cert go together", c->file);
    if (c->sign.key && strcmp(c->sign.key, c->tokens[0].key) == 0)
        return log_fail(ERR_CONFIG,
                        "%s: [server] sign-key: the key of the server's certificate signs "
                        "nothing but handshakes; make another one",
                        c->file);
    if (c->tickets && c->tls.fips == FIPS_REQUIRE)
        return log_fail(
            ERR_CONFIG,
            "%s: [server] tickets = yes, and fips = require: GnuTLS derives the keys of "
            "tickets by SHA3-512 in a way that is no approved key derivation; leave "
            "tickets out, or take fips = report",
            c->file);
    if (c->n_anchors == 0 && !c->partners)
        return log_fail(ERR_CONFIG, "%s: there is no [anchor NAME]: nobody could be trusted",
                        c->file);
    for (size_t i = 0; i < c->n_anchors; i++) {
        const struct config_anchor *a = &c->anchors[i];
        if (!a->ca)
            return log_fail(ERR_CONFIG, "%s: [anchor %s] ca is missing", c->file, a->name);
        if (!a->crl && a->crl_policy == CERT_CRL_REQUIRE)
            return log_fail(ERR_CONFIG,
                            "%s: [anchor %s] crl is missing (crl-policy = if-present allows that)",
                            c->file, a->name);
    }
    if (c->confine_require && (e = confine_demand()) != ERR_OK)
        return e;
    return config_accounts_find(c);
}

static enum err fill_token(struct config_token *t, const struct config_token *first)
{
    char **own[] = {&t->module, &t->module_env, &t->pin};
    char *const theirs[] = {first->module, first->module_env, first->pin};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (theirs[i] && default_text(own[i], theirs[i]) != ERR_OK)
            return ERR_INTERNAL;
    t->sessions = t->sessions ? t->sessions : first->sessions;
    t->keep_alive_s = t->keep_alive_s ? t->keep_alive_s : first->keep_alive_s;
    return ERR_OK;
}

/* What a [token NAME] does not say is as in [server]; and so of the key of statements, which signs now and then. */
static enum err fill_tokens(struct config *c)
{
    const struct config_token *first = &c->tokens[0];
    enum err e = ERR_OK;
    for (struct config_token *t = c->tokens + 1; e == ERR_OK && t < c->tokens + c->n_tokens; t++) {
        if (!t->key)
            return log_fail(ERR_CONFIG, "%s: [token %s] key is missing", c->file, t->name);
        e = fill_token(t, first);
    }
    c->sign.sessions = 1;
    if (e == ERR_OK && c->sign.key && (e = default_text(&c->sign.name, "sign")) == ERR_OK)
        e = fill_token(&c->sign, first);
    return e;
}

enum err config_load(const char *file, struct config **out)
{
    struct config *c = calloc(1, sizeof *c);
    struct reading r = {.config = c};
    *out = NULL;
    if (!c || !(c->file = strdup(file))) {
        config_free(c);
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    }
    set_defaults(c);
    c->n_tokens = 1;
    char bad[NETWORK_TEXT];
    if (!networks_parse(&c->penalty_exempt, EXEMPT, bad)) {
        config_free(c);
        return log_fail(ERR_INTERNAL, "out of memory for the configuration");
    }
    enum err e = default_text(&c->tokens[0].name, "main");
    if (e == ERR_OK)
        e = conf_read(file, take, &r);
    if (e == ERR_OK && (e = default_text(&c->listen, "*:7411")) == ERR_OK)
        e = default_text(&c->session_user, "nobody");
    if (e == ERR_OK)
        e = check(c);
    if (e == ERR_OK)
        e = fill_tokens(c);
    if (e == ERR_OK)
        e = config_partners_load(c);
    if (e != ERR_OK) {
        config_free(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

static void free_token(const struct config_token *t)
{
    char *own[] = {t->name, t->key, t->module, t->module_env, t->pin};
    for (size_t j = 0; j < sizeof own / sizeof own[0]; j++)
        free(own[j]);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    char *texts[] = {c->file,         c->listen,          c->certificate,  c->map,
                     c->audit,        c->pid_file,        c->session_user, c->token_user,
                     c->status,       c->partners,        c->ticket_key,   c->audit_journald,
                     c->audit_syslog, c->sign_certificate};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (size_t i = 0; i < c->n_tokens; i++)
        free_token(&c->tokens[i]);
    free_token(&c->sign);
    for (size_t i = 0; i < c->n_anchors; i++) {
        free(c->anchors[i].name);
        free(c->anchors[i].ca);
        free(c->anchors[i].crl);
    }
    free(c->anchors);
    free(c->token_groups);
    networks_release(&c->penalty_exempt);
    config_partners_free(c);
    free(c);
}
