/* SPDX-License-Identifier: ISC */
/* Profiles and what stands before the colon of NAME:/PATH. */
#include "client.h"

#include "conf.h"
#include "log.h"
#include "pace.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT  "7411"
#define SYSTEM_CONFIG "/etc/consign/consign.conf"

enum { STALL_S = 120, RETRY_S = 60 };

/* The profile whose values others lack, and that consign:// takes. */
static const char default_name[] = "default";
static const char scheme[] = "consign://";

/* Where a text names a server outright. */
struct address {
    char *host, *port;
};

struct reading {
    struct profile *profile;
    bool found;
};

static void release_profile(struct profile *p)
{
    char **all[] = {&p->name, &p->host,   &p->port,       &p->ca,  &p->crl,        &p->certificate,
                    &p->key,  &p->module, &p->module_env, &p->pin, &p->server_name};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(*all[i]);
    free(p->pace);
    *p = (struct profile){0};
}

static enum err one_of(const struct conf_at *at, const char *value, const char *yes, const char *no,
                       bool *out)
{
    if (strcmp(value, yes) != 0 && strcmp(value, no) != 0)
        return conf_fail(at, "\"%s\" is neither %s nor %s", value, yes, no);
    *out = strcmp(value, yes) == 0;
    return ERR_OK;
}

static const char *const compress_names[] = {
    [XFER_COMPRESS_OFF] = "off", [XFER_COMPRESS_AUTO] = "auto", [XFER_COMPRESS_ON] = "on"};

static bool compress_named(struct profile *p, const char *name)
{
    for (size_t i = 0; i < sizeof compress_names / sizeof compress_names[0]; i++)
        if (strcmp(name, compress_names[i]) == 0) {
            p->compress = (enum xfer_compress)i;
            return true;
        }
    return false;
}

enum err profile_compress(struct profile *p, const char *name)
{
    if (!name || compress_named(p, name))
        return ERR_OK;
    return log_fail(ERR_USAGE, "--compress=%s: neither auto nor on nor off", name);
}

/* A path unless it is a pkcs11: URL. */
static enum err reference(const struct conf_at *at, const char *value, char **out)
{
    return conf_string(at, value, strncmp(value, "pkcs11:", 7) != 0, out);
}

/* PIN sources that name a file are paths too. */
static enum err pin_source(const struct conf_at *at, const char *value, char **out)
{
    bool plain = !strchr(value, ':') && strcmp(value, "prompt") != 0;
    if (strncmp(value, "file:", 5) == 0)
        value += 5;
    else if (!plain)
        return conf_string(at, value, false, out);
    return conf_string(at, value, true, out);
}

static enum err rate(const struct conf_at *at, const char *value, uint64_t *out)
{
    enum err e = conf_size(at, value, out);
    if (e == ERR_OK && *out < PACE_MIN)
        e = conf_fail(at, "at least %d bytes a second", PACE_MIN);
    return e;
}

static enum err fail_fips(const struct conf_at *at, const char *value)
{
    return conf_fail(at, "\"%s\" is neither require nor report nor off", value);
}

static enum err groups(const struct conf_at *at, const char *value, struct tls_groups *out)
{
    char why[TLS_WHY];
    return tls_groups_parse(value, out, why) ? ERR_OK : conf_fail(at, "%s", why);
}

static enum err set(struct profile *p, const struct conf_at *at, const char *value)
{
    const struct {
        const char *key;
        char **to;
        bool path;
    } strings[] = {{"host", &p->host, false},
                   {"port", &p->port, false},
                   {"ca", &p->ca, true},
                   {"crl", &p->crl, true},
                   {"module", &p->module, true},
                   {"server-name", &p->server_name, false},
                   {"module-env", &p->module_env, false}};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (strcmp(at->key, strings[i].key) == 0)
            return *strings[i].to ? conf_fail(at, "given twice")
                                  : conf_string(at, value, strings[i].path, strings[i].to);
    if (strcmp(at->key, "certificate") == 0)
        return reference(at, value, &p->certificate);
    if (strcmp(at->key, "key") == 0)
        return reference(at, value, &p->key);
    if (strcmp(at->key, "pin") == 0)
        return pin_source(at, value, &p->pin);
    if (strcmp(at->key, "crl-policy") == 0)
        return one_of(at, value, "require", "if-present", &p->crl_require);
    if (strcmp(at->key, "crl-stale") == 0)
        return cert_stale_parse(at, value, &p->crl_stale);
    if (strcmp(at->key, "allow-extractable") == 0)
        return conf_bool(at, value, &p->allow_extractable);
    if (strcmp(at->key, "confine") == 0)
        return one_of(at, value, "require", "best", &p->confine_require);
    if (strcmp(at->key, "tickets") == 0)
        return conf_bool(at, value, &p->tickets);
    if (strcmp(at->key, "fips") == 0)
        return fips_mode_parse(value, &p->tls.fips) ? ERR_OK : fail_fips(at, value);
    if (strcmp(at->key, "groups") == 0)
        return groups(at, value, &p->tls.groups);
    if (strcmp(at->key, "rate") == 0)
        return rate(at, value, &p->rate);
    if (strcmp(at->key, "compress") == 0)
        return compress_named(p, value)
                   ? ERR_OK
                   : conf_fail(at, "\"%s\" is neither auto nor on nor off", value);
    if (strcmp(at->key, "stall") == 0)
        return conf_seconds(at, value, 1, 3600, &p->stall_s);
    if (strcmp(at->key, "retry") == 0)
        return conf_seconds(at, value, 0, 86400, &p->retry_s);
    return conf_fail(at, "unknown key");
}

/* Every section is checked, whichever is wanted: a misspelt key must not wait for its day. */
static enum err take(void *arg, const struct conf_at *at, const char *value)
{
    struct reading *r = arg;
    struct profile scratch = {0};
    bool wanted = strcmp(at->section, r->profile->name) == 0;
    if (!at->key) {
        r->found |= wanted;
        return ERR_OK;
    }
    enum err e = set(wanted ? r->profile : &scratch, at, value);
    release_profile(&scratch);
    return e;
}

static char *config_file(void)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *file = NULL;
    if (options.config)
        return strdup(options.config);
    if (xdg && xdg[0] == '/') {
        if (asprintf(&file, "%s/consign/consign.conf", xdg) < 0)
            return NULL;
    } else if (home && asprintf(&file, "%s/.config/consign/consign.conf", home) < 0) {
        return NULL;
    }
    if (file && access(file, F_OK) == 0)
        return file;
    free(file);
    return strdup(SYSTEM_CONFIG);
}

static enum err need(const struct profile *p, const char *file, const char *key, const char *value)
{
    return value ? ERR_OK : log_fail(ERR_CONFIG, "%s: profile [%s] has no %s", file, p->name, key);
}

/* What the text says of the address, before what the profile says. */
static enum err set_address(struct profile *p, struct address *a)
{
    if (a->host) {
        free(p->host);
        free(p->port);
        p->host = a->host;
        p->port = a->port;
        p->addressed = true;
        *a = (struct address){0};
    }
    if (!p->port && !(p->port = strdup(DEFAULT_PORT)))
        return log_fail(ERR_INTERNAL, "out of memory");
    return ERR_OK;
}

/* Fills p from the section of its name. */
static enum err read_profile(struct profile *p, struct address *a)
{
    struct reading r = {p, false};
    char why[TLS_WHY];
    char *file = config_file();
    enum err e = file ? conf_read(file, take, &r) : log_fail(ERR_INTERNAL, "out of memory");
    if (e == ERR_OK && !r.found)
        e = log_fail(ERR_CONFIG, "%s: there is no profile [%s]", file, p->name);
    if (e == ERR_OK && (e = set_address(p, a)) == ERR_OK &&
        (e = need(p, file, "host", p->host)) == ERR_OK &&
        (e = need(p, file, "ca", p->ca)) == ERR_OK &&
        (e = need(p, file, "certificate", p->certificate)) == ERR_OK)
        e = need(p, file, "key", p->key);
    if (e == ERR_OK && !tls_policy_check(&p->tls, why))
        e = log_fail(ERR_CONFIG, "%s: [%s] groups: %s", file, p->name, why);
    free(file);
    return e;
}

/* ---- NAME:/PATH ---- */

static size_t name_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("._-", text[n])))
        n++;
    return n;
}

bool remote_is(const char *text)
{
    size_t n = name_length(text);
    if (strncmp(text, scheme, sizeof scheme - 1) == 0)
        return true;
    return n > 0 && text[n] == ':' && (text[n + 1] == '/' || text[n + 1] == '\0');
}

/* HOST[:PORT] or [V6][:PORT] at text; *rest is what follows. */
static enum err split_authority(const char *text, struct address *a, const char **rest)
{
    const char *end = text + strcspn(text, "/");
    const char *host = text, *host_end;
    if (*text == '[') {
        host++;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return log_fail(ERR_USAGE, "consign://%s: no ] after the address", text);
        text = host_end + 1;
    } else {
        host_end = memchr(text, ':', (size_t)(end - text));
        host_end = text = host_end ? host_end : end;
    }
    a->host = strndup(host, (size_t)(host_end - host));
    if (text < end)
        a->port = strndup(text + 1, (size_t)(end - text - 1));
    if (!a->host || !a->host[0] || (text < end && (*text != ':' || !a->port || !a->port[0])))
        return log_fail(ERR_USAGE, "not consign://HOST[:PORT]/PATH");
    *rest = end;
    return ERR_OK;
}

/* The profile's name, the address where the text has one, and the path. */
static enum err split(const char *text, struct profile *p, struct address *a, const char **path)
{
    bool url = strncmp(text, scheme, sizeof scheme - 1) == 0;
    size_t n = name_length(text);
    if (!remote_is(text))
        return log_fail(ERR_USAGE, "%s: not NAME:/PATH or consign://HOST[:PORT]/PATH", text);
    p->name = url ? strdup(default_name) : strndup(text, n);
    if (!p->name)
        return log_fail(ERR_INTERNAL, "out of memory");
    *path = text + n + 1;
    return url ? split_authority(text + sizeof scheme - 1, a, path) : ERR_OK;
}

static enum err split_path(const char *text, char path[static PATH_MAX_BYTES + 1], bool *folder)
{
    size_t n = strlen(text);
    *folder = n <= 1 || text[n - 1] == '/';
    if (n > 1 && *folder)
        n--;
    return path_parse(n ? slice_of(text, n) : slice_str("/"), path);
}

static enum err set_pace(struct profile *p)
{
    if (!p->rate)
        return ERR_OK;
    if (!p->pace && !(p->pace = calloc(1, sizeof *p->pace)))
        return log_fail(ERR_INTERNAL, "out of memory");
    pace_init(p->pace, p->rate);
    return ERR_OK;
}

enum err remote_parse(const char *text, struct remote *out)
{
    struct profile *p = calloc(1, sizeof *p);
    struct address address = {0};
    const char *path = "";
    *out = (struct remote){.profile = p};
    if (!p)
        return log_fail(ERR_INTERNAL, "out of memory");
    p->stall_s = STALL_S;
    p->retry_s = RETRY_S;
    p->compress = XFER_COMPRESS_AUTO;
    p->tickets = true;
    enum err e = split(text, p, &address, &path);
    if (e == ERR_OK)
        e = split_path(path, out->path, &out->folder);
    if (e == ERR_OK)
        e = read_profile(p, &address);
    if (e == ERR_OK)
        e = set_pace(p);
    free(address.host);
    free(address.port);
    return e;
}

enum err profile_rate(struct profile *p, const char *text)
{
    if (!text)
        return ERR_OK;
    if (!conf_parse_size(text, &p->rate))
        return log_fail(ERR_USAGE, "--rate: \"%s\" is not a number of bytes (500K, 10M ...)", text);
    if (p->rate < PACE_MIN)
        return log_fail(
            ERR_USAGE, "--rate: at least %d bytes a second: a server takes what is slower for dead",
            PACE_MIN);
    return set_pace(p);
}

void remote_release(struct remote *r)
{
    if (!r->profile)
        return;
    release_profile(r->profile);
    free(r->profile);
    r->profile = NULL;
}

/* Whether a text that names a profile, and a server where it has an address, means that of p. */
static bool same_server(const struct profile *p, const char *name, const struct address *a)
{
    if (strcmp(name, p->name) != 0 || (!a->host && p->addressed))
        return false;
    return !a->host || (strcmp(a->host, p->host) == 0 &&
                        strcmp(a->port ? a->port : DEFAULT_PORT, p->port) == 0);
}

enum err remote_also(const struct remote *first, const char *text,
                     char path[static PATH_MAX_BYTES + 1])
{
    struct profile named = {0};
    struct address address = {0};
    const char *rest = "";
    bool folder;
    enum err e = split(text, &named, &address, &rest);
    if (e == ERR_OK && !same_server(first->profile, named.name, &address))
        e = log_fail(ERR_USAGE, "%s: all names must be at one server", text);
    if (e == ERR_OK)
        e = split_path(rest, path, &folder);
    release_profile(&named);
    free(address.host);
    free(address.port);
    return e;
}

void remote_text(const struct remote *r, const char *path, char *out, size_t cap)
{
    const char *host = r->profile->host;
    bool v6 = strchr(host, ':') != NULL;
    if (strcmp(r->profile->name, default_name) == 0)
        snprintf(out, cap, v6 ? "%s[%s]:%s%s" : "%s%s:%s%s", scheme, host, r->profile->port, path);
    else
        snprintf(out, cap, "%s:%s", r->profile->name, path);
}

/* ---- all profiles ---- */

struct names {
    profile_fn *each;
    void *arg;
};

static enum err take_name(void *arg, const struct conf_at *at, const char *value)
{
    struct names *n = arg;
    (void)value;
    if (!at->key)
        n->each(n->arg, at->section);
    return ERR_OK;
}

enum err profile_each(profile_fn *each, void *arg)
{
    struct names n = {each, arg};
    char *file = config_file();
    enum err e = file ? conf_read(file, take_name, &n) : log_fail(ERR_INTERNAL, "out of memory");
    free(file);
    return e;
}
